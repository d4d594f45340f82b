//! The end of a data ring: everything is cancelled, and what the kernel keeps is leaked.

use std::mem::ManuallyDrop;
use std::time::Duration;

use io_uring::opcode;
use io_uring::types::CancelBuilder;

use super::operation::Operation;
use super::{DataRing, Ring};

/// How long, and how often, a ring that is dropped waits for what it has cancelled.
const LAST_WAIT: Duration = Duration::from_millis(10);
const LAST_WAITS: u32 = 200;

impl DataRing {
    /// Cancels everything and reaps until the kernel has nothing; false if it keeps something.
    fn end_everything(&mut self) -> bool {
        self.ending = true;
        let entry = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
        self.push(entry, Operation::CancelEverything);
        for _ in 0..LAST_WAITS {
            if self.wait(LAST_WAIT).is_err() {
                return false;
            }
            for _ in 0..self.ready() {
                // Sockets that were accepted meanwhile are dropped, and so closed.
                self.reap();
            }
            if self.under_way == 0 {
                return true;
            }
        }
        false
    }
}

impl Drop for DataRing {
    fn drop(&mut self) {
        if self.under_way == 0 || self.end_everything() {
            // SAFETY: dropped here only, and used by nothing after it: no request is under way. If
            // one is, the kernel may still read and write all this, so it is leaked.
            unsafe { ManuallyDrop::drop(&mut self.held) };
        }
    }
}
