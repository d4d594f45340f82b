//! How a core waits on its data ring, and what wakes it.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::opcode;
use io_uring::types::{Fd, SubmitArgs, Timespec};

use super::DataRing;
use super::operation::Operation;

impl DataRing {
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

    /// Completions write to the eventfd from now on, or no longer.
    pub(crate) fn set_eventfd_enabled(&mut self, enabled: bool) {
        let completions = self.ring.completion();
        if enabled { completions.enable_eventfd() } else { completions.disable_eventfd() }
    }

    /// Whether there are completions, or work that will become some. No system call.
    pub(crate) fn has_news(&mut self) -> bool {
        self.ring.submission().taskrun() || !self.ring.completion().is_empty()
    }

    /// Asks for a completion whenever the waker's eventfd is written to.
    pub(super) fn watch(&mut self) {
        let eventfd = Fd(self.held.waker.eventfd().as_raw_fd());
        let entry = opcode::PollAdd::new(eventfd, libc::POLLIN as u32).multi(true).build();
        self.push(entry, Operation::Wake);
    }
}
