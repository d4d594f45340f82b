//! The data ring: one io_uring per core for all its sockets.
//!
//! Called by `io`, which knows the sockets, and by `driver`, which runs the turns. Requests are
//! only queued here; [`DataRing::enter`] submits all of them with one system call.
//!
//! # Always true
//! - What a queued request points at stays where it is until its completion was reaped: the
//!   callers keep it in boxes that they own until then.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, TimeoutFlags, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};

use crate::ring::buffers::{BUFFER_GROUP, BufferId, BufferRing};
use crate::socket::SendOperation;

/// Requests queued at most before they are submitted early.
const SUBMISSIONS: u32 = 1_024;
/// Completions the kernel keeps in the ring; more go to its own overflow list.
const COMPLETIONS: u32 = 4_096;

/// What a completion is of. The slot is the connection's, the listener an index among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Accept { listener: u32 },
    Receive { slot: u32 },
    Send { slot: u32 },
    Cancel { slot: u32 },
    CancelAccept { listener: u32 },
    Timeout,
    MoveTimeout,
    Wake,
}

impl Operation {
    fn to_user_data(self) -> u64 {
        let (tag, slot) = match self {
            Operation::Accept { listener } => (0, listener),
            Operation::Receive { slot } => (1, slot),
            Operation::Send { slot } => (2, slot),
            Operation::Cancel { slot } => (3, slot),
            Operation::CancelAccept { listener } => (4, listener),
            Operation::Timeout => (5, 0),
            Operation::MoveTimeout => (6, 0),
            Operation::Wake => (7, 0),
        };
        tag << 32 | u64::from(slot)
    }

    fn from_user_data(user_data: u64) -> Operation {
        let slot = user_data as u32;
        match user_data >> 32 {
            0 => Operation::Accept { listener: slot },
            1 => Operation::Receive { slot },
            2 => Operation::Send { slot },
            3 => Operation::Cancel { slot },
            4 => Operation::CancelAccept { listener: slot },
            5 => Operation::Timeout,
            6 => Operation::MoveTimeout,
            7 => Operation::Wake,
            tag => unreachable!("no request was made with tag {tag}"),
        }
    }
}

/// One completion.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Completion {
    pub(crate) operation: Operation,
    /// Bytes, a descriptor, or the error number.
    pub(crate) result: Result<u32, i32>,
    /// The multishot request goes on.
    pub(crate) more: bool,
    /// The buffer that was filled.
    pub(crate) buffer: Option<BufferId>,
}

pub(crate) struct DataRing {
    // Dropped before the buffers: closing the ring ends the kernel's use of them.
    ring: IoUring,
    pub(crate) buffers: BufferRing,
    /// Read by the kernel when the timeout request is submitted.
    deadline: Box<Timespec>,
    tally: Tally,
}

/// What went to the kernel since somebody asked.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// System calls.
    pub(crate) calls: u32,
    /// Sends they carried.
    pub(crate) sends: u32,
}

impl DataRing {
    /// Must be made on the thread that uses it: the kernel takes requests from no other.
    /// `eventfd` is told of completions while that is enabled.
    pub(crate) fn new(eventfd: RawFd) -> io::Result<DataRing> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let buffers = BufferRing::register(&ring)?;
        ring.submitter().register_eventfd(eventfd)?;
        let deadline = Box::new(Timespec::new());
        let mut ring = DataRing { ring, buffers, deadline, tally: Tally::default() };
        ring.set_eventfd_enabled(false);
        Ok(ring)
    }

    /// Submits everything queued and lets the kernel post what completed: one system call.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        let queued = self.ring.submission().len() as u32;
        loop {
            self.tally.calls += 1;
            // SAFETY: no argument is passed with these flags, and every queued request points at
            // memory its owner keeps until the completion (see the top of this file).
            let entered = unsafe {
                self.ring.submitter().enter::<libc::sigset_t>(
                    queued,
                    0,
                    EnterFlags::GETEVENTS.bits(),
                    None,
                )
            };
            match entered {
                Ok(_) => return Ok(()),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    // The completion list is full, or memory is short for a moment: what was not
                    // submitted stays queued, and the caller reaps before it comes again.
                    Some(libc::EBUSY | libc::EAGAIN) => return Ok(()),
                    _ => return Err(error),
                },
            }
        }
    }

    /// Submits everything queued and waits until something completes; false if nothing did in
    /// time.
    pub(crate) fn wait(&mut self, at_most: Duration) -> io::Result<bool> {
        let at_most = Timespec::from(at_most);
        self.tally.calls += 1;
        let waited =
            self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&at_most));
        match waited {
            Ok(_) => Ok(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME) => Ok(false),
                // As in `enter`; the caller looks for work and comes again.
                Some(libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(true),
                _ => Err(error),
            },
        }
    }

    /// What went to the kernel since the last time this was asked.
    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Takes the completions posted so far.
    pub(crate) fn reap(&mut self, into: &mut Vec<Completion>) {
        into.extend(self.ring.completion().map(|entry| Completion {
            operation: Operation::from_user_data(entry.user_data()),
            result: u32::try_from(entry.result()).map_err(|_| -entry.result()),
            more: cqueue::more(entry.flags()),
            buffer: cqueue::buffer_select(entry.flags()).map(BufferId),
        }));
    }

    /// Completions write to the eventfd from now on, or no longer.
    pub(crate) fn set_eventfd_enabled(&mut self, enabled: bool) {
        let completions = self.ring.completion();
        if enabled { completions.enable_eventfd() } else { completions.disable_eventfd() }
    }

    /// Whether the next `enter` has something to do: requests that wait for it, or work the kernel
    /// put off. Newer kernels do a limited amount of work per call (20 pieces in 6.18), some of
    /// which ends in no completion, so a call without completions does not mean that all is done.
    pub(crate) fn has_queued(&mut self) -> bool {
        let submission = self.ring.submission();
        !submission.is_empty() || submission.taskrun()
    }

    /// A completion when an eventfd is written to.
    pub(crate) fn watch(&mut self, eventfd: RawFd) {
        let entry = opcode::PollAdd::new(Fd(eventfd), libc::POLLIN as u32).multi(true).build();
        self.push(entry, Operation::Wake);
    }

    /// Whether there are completions, or work that will become some. No system call.
    pub(crate) fn has_news(&mut self) -> bool {
        self.ring.submission().taskrun() || !self.ring.completion().is_empty()
    }

    pub(crate) fn accept(&mut self, listener: u32, socket: RawFd) {
        let entry = opcode::AcceptMulti::new(Fd(socket)).flags(libc::SOCK_CLOEXEC).build();
        self.push(entry, Operation::Accept { listener });
    }

    pub(crate) fn cancel_accept(&mut self, listener: u32) {
        let target = Operation::Accept { listener }.to_user_data();
        self.push(opcode::AsyncCancel::new(target).build(), Operation::CancelAccept { listener });
    }

    pub(crate) fn receive(&mut self, slot: u32, socket: RawFd) {
        let entry = opcode::RecvMulti::new(Fd(socket), BUFFER_GROUP).build();
        self.push(entry, Operation::Receive { slot });
    }

    /// Stops a multishot receive; it ends with a completion of its own.
    pub(crate) fn cancel_receive(&mut self, slot: u32) {
        let target = Operation::Receive { slot }.to_user_data();
        self.push(opcode::AsyncCancel::new(target).build(), Operation::Cancel { slot });
    }

    /// Stops everything the kernel does with a socket.
    pub(crate) fn cancel_all(&mut self, slot: u32, socket: RawFd) {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::fd(Fd(socket)).all()).build();
        self.push(entry, Operation::Cancel { slot });
    }

    /// Sends what is left of `operation`, all of it unless the connection breaks.
    pub(crate) fn send(&mut self, slot: u32, socket: RawFd, operation: &mut SendOperation) {
        const FLAGS: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let entry = match operation.prepare() {
            (_, [only]) => opcode::Send::new(Fd(socket), only.iov_base.cast(), only.iov_len as u32)
                .flags(FLAGS)
                .build(),
            (header, _) => opcode::SendMsg::new(Fd(socket), header).flags(FLAGS as u32).build(),
        };
        self.push(entry, Operation::Send { slot });
        self.tally.sends += 1;
    }

    /// Makes the timeout under way come sooner; if it has come already, nothing happens.
    pub(crate) fn move_timeout(&mut self, at_ns: u64) {
        self.set_deadline(at_ns);
        let target = Operation::Timeout.to_user_data();
        let entry =
            opcode::TimeoutUpdate::new(target, &*self.deadline).flags(TimeoutFlags::ABS).build();
        self.push(entry, Operation::MoveTimeout);
    }

    /// Asks for a completion at a time of the monotonic clock. One at a time may be under way.
    pub(crate) fn timeout(&mut self, at_ns: u64) {
        self.set_deadline(at_ns);
        let entry = opcode::Timeout::new(&*self.deadline).flags(TimeoutFlags::ABS).build();
        self.push(entry, Operation::Timeout);
    }

    fn set_deadline(&mut self, at_ns: u64) {
        *self.deadline =
            Timespec::new().sec(at_ns / 1_000_000_000).nsec((at_ns % 1_000_000_000) as u32);
    }

    fn push(&mut self, entry: squeue::Entry, operation: Operation) {
        let entry = entry.user_data(operation.to_user_data());
        loop {
            // SAFETY: what the entry points at is kept by its owner until the completion, which
            // `operation` names (see the top of this file).
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            // The queue is full in the middle of a turn: submit early, at the cost of one more call.
            self.tally.calls += 1;
            match self.ring.submit().map_err(|error| error.raw_os_error()) {
                // Interrupted, or memory is short for a moment: there is nothing to do but to insist.
                Ok(_) | Err(Some(libc::EINTR | libc::EAGAIN)) => {}
                Err(error) => panic!("submitting to a ring of our own making: error {error:?}"),
            }
        }
    }
}
