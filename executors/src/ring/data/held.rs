//! What requests may point at, and which requests do.

use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use io_uring::types::{Fd, Timespec};

use crate::ring::buffers::BufferRing;
use crate::ring::send::SendOperation;
use crate::waker::Waker;

/// A socket, and what the kernel does with it.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) socket: Option<OwnedFd>,
    /// Requests whose last completion was not reaped.
    pub(super) under_way: u32,
    pub(super) send: Option<Box<SendOperation>>,
}

pub(super) struct Listening {
    pub(super) socket: Option<TcpListener>,
    pub(super) under_way: u32,
    /// Closed with its last completion.
    pub(super) closing: bool,
}

/// What requests may point at.
pub(super) struct Held {
    pub(super) buffers: BufferRing,
    pub(super) slots: Vec<Slot>,
    pub(super) listeners: Vec<Listening>,
    /// Read by the kernel when a timeout request is submitted.
    pub(super) deadline: Box<Timespec>,
    /// Its eventfd is watched.
    pub(super) waker: Arc<Waker>,
}

impl Held {
    /// The slot of a socket that is the ring's, and its descriptor for a request, which it counts.
    pub(super) fn begin(&mut self, slot: u32) -> (Fd, &mut Slot) {
        let place = &mut self.slots[slot as usize];
        place.under_way += 1;
        (Fd(place.socket.as_ref().expect("the slot has a socket").as_raw_fd()), place)
    }

    pub(super) fn finish(&mut self, slot: u32) -> &mut Slot {
        let place = &mut self.slots[slot as usize];
        place.under_way -= 1;
        place
    }

    pub(super) fn begin_at(&mut self, listener: u32) -> Fd {
        let listening = &mut self.listeners[listener as usize];
        listening.under_way += 1;
        Fd(listening.socket.as_ref().expect("the listener is open").as_raw_fd())
    }

    pub(super) fn finish_at(&mut self, listener: u32) {
        let listening = &mut self.listeners[listener as usize];
        listening.under_way -= 1;
        if listening.closing && listening.under_way == 0 {
            listening.socket = None;
        }
    }
}
