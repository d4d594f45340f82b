//! The data ring: one io_uring per core for all its sockets.
//!
//! # Always true
//! - Everything a request points at (sockets, listeners, sends, buffers, a time) is in [`Held`] and
//!   stays where it is until the request's last completion was reaped; `Drop` waits for that, or
//!   leaks what the kernel still has.
//! - Memory that a request points at is boxed or mapped: a ring can be moved.

mod ending;
mod held;
mod limited;
mod operation;
mod sleeping;

use std::io;
use std::mem::ManuallyDrop;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use io_uring::types::{CancelBuilder, TimeoutFlags, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};
use socket2::SockRef;

use super::buffers::{BUFFER_LEN, BufferRing};
use super::send::SpareSends;
use super::{Completion, Filled, Ring, Tally, is_shortage};
use crate::clock::Now;
use crate::waker::Waker;
use held::{Held, Listening, Slot};
use operation::Operation;

/// Requests queued at most before they are submitted early.
const SUBMISSIONS: u32 = 1_024;
/// Completions the kernel keeps in the ring; more go to its own overflow list.
const COMPLETIONS: u32 = 4_096;

pub(crate) struct DataRing {
    ring: IoUring,
    held: ManuallyDrop<Held>,
    spare_sends: SpareSends,
    /// Requests whose last completion was not reaped.
    under_way: usize,
    ending: bool,
    receives_are_limited: bool,
    tally: Tally,
}

impl DataRing {
    /// Makes a ring, which is used on the thread that makes it: the kernel takes requests from no
    /// other. The waker's eventfd wakes it, and is written to for completions while that is enabled.
    pub(crate) fn new(waker: Arc<Waker>) -> io::Result<DataRing> {
        let mut ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        // SAFETY: `Drop` lets go of the buffers only when no request is under way.
        let mut buffers = unsafe { BufferRing::register(&ring) }?;
        let receives_are_limited = limited::is_supported(&mut ring, &mut buffers)?;
        ring.submitter().register_eventfd(waker.eventfd().as_raw_fd())?;
        let mut ring = DataRing {
            ring,
            held: ManuallyDrop::new(Held {
                buffers,
                slots: Vec::new(),
                listeners: Vec::new(),
                deadline: Box::new(Timespec::new()),
                waker,
            }),
            spare_sends: SpareSends::default(),
            under_way: 0,
            ending: false,
            receives_are_limited,
            tally: Tally::default(),
        };
        ring.set_eventfd_enabled(false);
        ring.watch();
        Ok(ring)
    }

    fn received(
        &mut self,
        result: Result<u32, i32>,
        buffer: Option<u16>,
    ) -> Result<Option<Filled>, i32> {
        if let Some(buffer) = buffer {
            self.held.buffers.taken(buffer);
            match result {
                Ok(len) if len > 0 => {
                    let is_full = len as usize == BUFFER_LEN;
                    return Ok(Some(Filled { buffer, len, is_full }));
                }
                _ => self.held.buffers.put_back(buffer),
            }
        }
        result.map(|_| None)
    }

    fn sent(&mut self, slot: u32, result: Result<u32, i32>) -> Result<bool, i32> {
        let place = &mut self.held.slots[slot as usize];
        let send = place.send.as_mut().expect("a send that completes was in flight");
        let whole = send.completed(result.unwrap_or(0) as usize);
        let over = whole || result.is_err_and(|error| !is_shortage(error));
        if over && let Some(send) = place.send.take() {
            self.spare_sends.recycle(send);
        }
        result.map(|_| whole)
    }

    fn set_deadline(&mut self, at_ns: u64) {
        *self.held.deadline =
            Timespec::new().sec(at_ns / 1_000_000_000).nsec((at_ns % 1_000_000_000) as u32);
    }

    fn push(&mut self, entry: squeue::Entry, operation: Operation) {
        self.under_way += 1;
        let entry = entry.user_data(operation.to_user_data());
        loop {
            // SAFETY: what the entry points at is a field of this ring, or owned by one, until the
            // last completion of `operation` (see the top of this file).
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            // The queue is full in the middle of a turn: submit early, at the cost of one more call.
            self.tally.calls += 1;
            match self.ring.submit().map_err(|error| error.raw_os_error()) {
                // Interrupted, or memory is short for a moment: there is nothing to do but to insist.
                Ok(_) | Err(Some(libc::EINTR | libc::EBUSY)) => {}
                Err(Some(error)) if is_shortage(error) => {}
                Err(error) => panic!("submitting to a ring of our own making: error {error:?}"),
            }
        }
    }
}

impl Ring for DataRing {
    type Socket = OwnedFd;
    type Listener = TcpListener;

    fn now(&self) -> Now {
        Now::read()
    }

    fn peer(socket: &OwnedFd) -> Option<SocketAddr> {
        let peer = SockRef::from(socket).peer_addr().ok()?.as_socket()?;
        // A listener of both families shows IPv4 as `::ffff:10.0.0.7`.
        Some(SocketAddr::new(peer.ip().to_canonical(), peer.port()))
    }

    fn enter(&mut self) -> io::Result<bool> {
        let queued = self.ring.submission().len() as u32;
        loop {
            self.tally.calls += 1;
            // SAFETY: no argument is passed with these flags, and what every queued request points
            // at is kept until its completion (see the top of this file).
            let entered = unsafe {
                self.ring.submitter().enter::<libc::sigset_t>(
                    queued,
                    0,
                    EnterFlags::GETEVENTS.bits(),
                    None,
                )
            };
            match entered {
                Ok(_) => return Ok(true),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    // The completion list is full: what was not submitted stays queued, and the
                    // caller reaps before it comes again.
                    Some(libc::EBUSY) => return Ok(true),
                    Some(error) if is_shortage(error) => return Ok(false),
                    _ => return Err(error),
                },
            }
        }
    }

    fn has_queued(&mut self) -> bool {
        !self.ring.submission().is_empty()
    }

    /// The kernel sets the flag after it has put work on its list, and clears the flag before it
    /// takes the list. If another CPU puts work there while this one enters, the list may be taken
    /// between the two: the flag stays set over an empty list, and only further work clears it.
    ///
    /// The flag alone cannot tell that from work that is left: newer kernels do a limited amount
    /// of work per call (20 pieces in 6.18), some of which ends in no completion.
    fn has_deferred(&mut self) -> bool {
        self.ring.submission().taskrun()
    }

    fn ready(&mut self) -> usize {
        self.ring.completion().len()
    }

    fn reap(&mut self) -> Option<Completion<OwnedFd>> {
        let entry = self.ring.completion().next()?;
        let result = u32::try_from(entry.result()).map_err(|_| -entry.result());
        let more = cqueue::more(entry.flags());
        self.under_way -= usize::from(!more);
        match Operation::from_user_data(entry.user_data()) {
            Operation::Accept { listener } => {
                if !more {
                    self.held.finish_at(listener);
                }
                // SAFETY: the kernel has just opened this descriptor for us, nothing else owns it.
                let result = result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) });
                Some(Completion::Accepted { listener, result, more })
            }
            Operation::Receive { slot } => {
                if !more {
                    self.held.finish(slot);
                }
                let buffer = cqueue::buffer_select(entry.flags());
                let result = self.received(result, buffer);
                Some(Completion::Received { slot, result, more })
            }
            Operation::Send { slot } => {
                self.held.finish(slot);
                let result = self.sent(slot, result);
                Some(Completion::Sent { slot, result })
            }
            Operation::WatchEnd { slot } => {
                self.held.finish(slot);
                Some(Completion::Watched { slot, result: result.map(drop) })
            }
            Operation::Cancel { slot } => {
                self.held.finish(slot);
                Some(Completion::Cancelled { slot })
            }
            Operation::CancelAccept { listener } => {
                self.held.finish_at(listener);
                Some(Completion::AcceptCancelled { listener })
            }
            Operation::Timeout => Some(Completion::Timeout),
            Operation::Wake => {
                if !more && !self.ending {
                    self.watch();
                }
                None
            }
            Operation::MoveTimeout | Operation::CancelEverything => None,
        }
    }

    fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    fn listen(&mut self, listener: u32, socket: TcpListener) {
        assert!(listener as usize == self.held.listeners.len(), "listeners are counted from 0");
        self.held.listeners.push(Listening { socket: Some(socket), under_way: 0, closing: false });
    }

    fn accept(&mut self, listener: u32) {
        let socket = self.held.begin_at(listener);
        let entry = opcode::AcceptMulti::new(socket).flags(libc::SOCK_CLOEXEC).build();
        self.push(entry, Operation::Accept { listener });
    }

    fn cancel_accept(&mut self, listener: u32) {
        self.held.begin_at(listener);
        let target = Operation::Accept { listener }.to_user_data();
        self.push(opcode::AsyncCancel::new(target).build(), Operation::CancelAccept { listener });
    }

    fn close_listener(&mut self, listener: u32) {
        let listening = &mut self.held.listeners[listener as usize];
        listening.closing = true;
        if listening.under_way == 0 {
            listening.socket = None;
        }
    }

    fn open(&mut self, slot: u32, socket: OwnedFd) {
        let places = self.held.slots.len().max(slot as usize + 1);
        self.held.slots.resize_with(places, Slot::default);
        let free = self.held.slots[slot as usize].socket.replace(socket).is_none();
        assert!(free, "a slot has one socket at a time");
    }

    fn is_busy(&self, slot: u32) -> bool {
        self.held.slots[slot as usize].under_way > 0
    }

    fn close(&mut self, slot: u32) {
        let place = &mut self.held.slots[slot as usize];
        assert!(place.under_way == 0, "the kernel is done with a socket before it is closed");
        place.socket = None;
        assert!(place.send.is_none(), "a send has ended, or its rest was dropped");
    }

    fn receive(&mut self, slot: u32) {
        let (socket, _) = self.held.begin(slot);
        let entry = limited::receive(socket, self.receives_are_limited);
        self.push(entry, Operation::Receive { slot });
    }

    fn receive_once(&mut self, slot: u32) {
        let (socket, _) = self.held.begin(slot);
        self.push(limited::receive_once(socket), Operation::Receive { slot });
    }

    fn cancel_receive(&mut self, slot: u32) {
        self.held.begin(slot);
        let target = Operation::Receive { slot }.to_user_data();
        self.push(opcode::AsyncCancel::new(target).build(), Operation::Cancel { slot });
    }

    /// Errors and the end of both sides are always among what a poll sees.
    fn watch_end(&mut self, slot: u32) {
        let (socket, _) = self.held.begin(slot);
        let entry = opcode::PollAdd::new(socket, libc::POLLRDHUP as u32).build();
        self.push(entry, Operation::WatchEnd { slot });
    }

    fn cancel_all(&mut self, slot: u32) {
        let (socket, _) = self.held.begin(slot);
        let entry = opcode::AsyncCancel2::new(CancelBuilder::fd(socket).all()).build();
        self.push(entry, Operation::Cancel { slot });
    }

    fn send(&mut self, slot: u32, bytes: &mut Vec<Bytes>) {
        let place = &mut self.held.slots[slot as usize];
        assert!(place.send.is_none(), "one send at a time");
        place.send = Some(self.spare_sends.fill(bytes));
        self.send_rest(slot);
    }

    /// Sends all of it unless the connection breaks.
    fn send_rest(&mut self, slot: u32) {
        const FLAGS: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let (socket, place) = self.held.begin(slot);
        let send = place.send.as_mut().expect("a send was begun");
        let entry = match send.submit() {
            (_, [only]) => opcode::Send::new(socket, only.iov_base.cast(), only.iov_len as u32)
                .flags(FLAGS)
                .build(),
            (header, _) => opcode::SendMsg::new(socket, header).flags(FLAGS as u32).build(),
        };
        self.push(entry, Operation::Send { slot });
        self.tally.sends += 1;
    }

    fn drop_send(&mut self, slot: u32) {
        let send = self.held.slots[slot as usize].send.take().expect("a send was begun");
        self.spare_sends.recycle(send);
    }

    fn shut_write(&mut self, slot: u32) {
        let socket = self.held.slots[slot as usize].socket.as_ref().expect("the slot has a socket");
        // A peer that is gone already cannot be reached; that is no error here.
        let _ = SockRef::from(socket).shutdown(Shutdown::Write);
    }

    /// The kernel counts the end as a byte that the peer has not acknowledged yet.
    fn is_delivered(&self, slot: u32) -> bool {
        let socket = self.held.slots[slot as usize].socket.as_ref().expect("the slot has a socket");
        let mut unacknowledged: libc::c_int = 0;
        // SAFETY: the request writes one number, to a place that is valid for the length of the call.
        let result =
            unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut unacknowledged) };
        result != 0 || unacknowledged == 0
    }

    fn buffers_free(&self) -> usize {
        self.held.buffers.free()
    }

    fn bytes(&self, filled: &Filled) -> &[u8] {
        self.held.buffers.bytes(filled.buffer, filled.len as usize)
    }

    fn put_back(&mut self, filled: Filled) {
        self.held.buffers.put_back(filled.buffer);
    }

    fn timeout(&mut self, at_ns: u64) {
        self.set_deadline(at_ns);
        let entry = opcode::Timeout::new(&*self.held.deadline).flags(TimeoutFlags::ABS).build();
        self.push(entry, Operation::Timeout);
    }

    fn move_timeout(&mut self, at_ns: u64) {
        self.set_deadline(at_ns);
        let target = Operation::Timeout.to_user_data();
        let entry = opcode::TimeoutUpdate::new(target, &*self.held.deadline)
            .flags(TimeoutFlags::ABS)
            .build();
        self.push(entry, Operation::MoveTimeout);
    }
}

#[cfg(test)]
pub(crate) mod tests;
