//! What a simulated kernel keeps: requests that wait, and completions that were not reaped.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::{Cancel, Deferred, SocketId};
use crate::clock::Now;
use crate::ring::send::SendOperation;

pub(in crate::ring) struct State {
    pub(in crate::ring) now: Now,
    pub(in crate::ring) cores: Vec<CoreState>,
    pub(in crate::ring) listeners: Vec<ListenerState>,
    pub(in crate::ring) sockets: Vec<SocketState>,
}

#[derive(Default)]
pub(in crate::ring) struct CoreState {
    pub(in crate::ring) completions: VecDeque<Posted>,
    pub(in crate::ring) buffers_free: usize,
    pub(in crate::ring) buffer_len: usize,
    pub(in crate::ring) timeout_at_ns: Option<u64>,
    pub(in crate::ring) deferred: Option<Deferred>,
    /// Enters that are to fail for want of memory.
    pub(in crate::ring) enters_short: u32,
}

#[derive(Default)]
pub(in crate::ring) struct ListenerState {
    pub(in crate::ring) accepting: bool,
    pub(in crate::ring) cancels: u32,
    pub(in crate::ring) closed: bool,
}

#[derive(Default)]
pub(in crate::ring) struct SocketState {
    /// Core and slot, once a core has it.
    pub(in crate::ring) at: Option<(usize, u32)>,
    pub(in crate::ring) peer: Option<SocketAddr>,
    pub(in crate::ring) receiving: bool,
    /// The receive ends with the first bytes.
    pub(in crate::ring) receives_once: bool,
    pub(in crate::ring) watching: bool,
    pub(in crate::ring) delivered: bool,
    pub(in crate::ring) send: Option<Sending>,
    pub(in crate::ring) cancels: VecDeque<Cancel>,
    pub(in crate::ring) write_shut: bool,
    pub(in crate::ring) closed: bool,
}

pub(in crate::ring) struct Sending {
    pub(in crate::ring) operation: Box<SendOperation>,
    /// Submitted and not completed.
    pub(in crate::ring) under_way: bool,
    /// Bytes that have left, of those submitted.
    pub(in crate::ring) taken: usize,
}

/// A completion before the core reaps it.
pub(in crate::ring) enum Posted {
    Accepted { listener: u32, result: Result<SocketId, i32>, more: bool },
    AcceptCancelled { listener: u32 },
    Received { slot: u32, result: Result<Option<Vec<u8>>, i32>, more: bool },
    Watched { slot: u32, result: Result<(), i32> },
    Sent { socket: SocketId, slot: u32, result: Result<usize, i32> },
    Cancelled { slot: u32 },
    Timeout,
}

/// A request before it is submitted.
#[derive(Clone, Copy)]
pub(in crate::ring) enum Request {
    Accept { listener: u32 },
    CancelAccept { listener: u32 },
    Receive { socket: SocketId, once: bool },
    WatchEnd { socket: SocketId },
    Send { socket: SocketId },
    Cancel { socket: SocketId, what: Cancel },
    Timeout { at_ns: u64 },
    MoveTimeout { at_ns: u64 },
}

impl State {
    pub(super) fn post(&mut self, core: usize, posted: Posted) {
        self.cores[core].completions.push_back(posted);
    }

    pub(in crate::ring) fn submit(&mut self, core: usize, request: Request) {
        match request {
            Request::Accept { listener } => self.listeners[listener as usize].accepting = true,
            Request::CancelAccept { listener } => self.listeners[listener as usize].cancels += 1,
            Request::Receive { socket, once } => {
                let socket = &mut self.sockets[socket.0];
                assert!(!socket.receiving, "one receive at a time");
                (socket.receiving, socket.receives_once) = (true, once);
            }
            Request::WatchEnd { socket } => {
                let watching = &mut self.sockets[socket.0].watching;
                assert!(!*watching, "one watch at a time");
                *watching = true;
            }
            Request::Send { socket } => {
                let send = self.sockets[socket.0].send.as_mut().expect("a send was begun");
                (send.under_way, send.taken) = (true, 0);
            }
            Request::Cancel { socket, what } => self.sockets[socket.0].cancels.push_back(what),
            Request::Timeout { at_ns } => {
                assert!(self.cores[core].timeout_at_ns.is_none(), "one timeout at a time");
                self.cores[core].timeout_at_ns = Some(at_ns);
                self.expire(core);
            }
            Request::MoveTimeout { at_ns } => {
                if let Some(timeout) = &mut self.cores[core].timeout_at_ns {
                    *timeout = at_ns;
                    self.expire(core);
                }
            }
        }
    }

    pub(super) fn expire(&mut self, core: usize) {
        let due = |at_ns: &mut u64| *at_ns <= self.now.monotonic_ns;
        if self.cores[core].timeout_at_ns.take_if(due).is_some() {
            self.post(core, Posted::Timeout);
        }
    }
}
