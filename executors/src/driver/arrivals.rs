//! What arrives on connections: from the completion of a receive to the service.
//!
//! Connections take turns, one buffer each: one that sends as fast as it can delays the others by a
//! buffer, not by all that it sends.

use crate::clock::Now;
use crate::driver::Driver;
use crate::ring::{Filled, Ring, is_shortage};
use crate::service::{Observed, Service, Shortage};
use crate::socket::{ARRIVED_MAX, Phase, Receive};

impl<S: Service, R: Ring> Driver<S, R> {
    pub(super) fn receive_completed(
        &mut self,
        slot: u32,
        result: Result<Option<Filled>, i32>,
        more: bool,
    ) {
        let (connection, socket) = self.io.sockets.at(slot);
        if !more {
            socket.receive = Receive::Idle;
        }
        match result {
            Ok(Some(filled)) => {
                // One that sends without pause takes turns with those that wait for a buffer.
                let takes_turns = filled.is_full() && !self.io.starved.is_empty();
                socket.arrived.push_back(filled);
                let is_full = socket.arrived.len() >= ARRIVED_MAX;
                self.wait(slot);
                if takes_turns && !more {
                    self.io.starved.push_back(connection);
                } else if takes_turns || is_full {
                    self.io.stop_receive(slot);
                } else if !more {
                    self.io.receive(slot);
                }
            }
            // Its socket may be gone before a buffer comes back.
            Err(libc::ENOBUFS) => {
                self.io.starved.push_back(connection);
                self.service.observe(Observed::Starved);
                self.io.finish_release(slot);
            }
            Err(error) if is_shortage(error) => {
                self.service.observe(Observed::Short { what: Shortage::Receive });
                self.io.rest_receive(slot);
                self.io.finish_release(slot);
            }
            // A receive that was stopped, and may be wanted again by now.
            Err(libc::ECANCELED) => {
                if self.io.starved.is_empty() {
                    self.io.receive(slot);
                } else {
                    self.io.starved.push_back(connection);
                }
                self.io.finish_release(slot);
            }
            // The peer's end.
            Ok(None) => self.end(slot),
            Err(_) => {
                socket.broken = true;
                self.end(slot);
            }
        }
    }

    /// Queues the end of a connection behind what arrived before it.
    pub(super) fn end(&mut self, slot: u32) {
        let (connection, socket) = self.io.sockets.at(slot);
        if !socket.ended {
            socket.ended = true;
            socket.end_arrived = true;
            self.wait(slot);
            self.io.leave(connection);
        }
        self.io.finish_release(slot);
    }

    /// Puts a connection behind the others that something arrived on, once.
    fn wait(&mut self, slot: u32) {
        let (_, socket) = self.io.sockets.at(slot);
        if !socket.is_waiting {
            socket.is_waiting = true;
            self.waiting.push_back(slot);
        }
    }

    /// Hands arrivals to the service as long as it wants them.
    pub(super) fn hand_on(&mut self, now: Now) {
        self.service.go_on(now);
        while self.service.wants_input()
            && let Some(slot) = self.waiting.pop_front()
        {
            self.hand_on_next(now, slot);
        }
        self.feed_starved();
    }

    /// Hands the next arrival of a connection to the service.
    fn hand_on_next(&mut self, now: Now, slot: u32) {
        let (connection, socket) = self.io.sockets.at(slot);
        socket.is_waiting = false;
        let phase = socket.phase;
        if let Some(filled) = socket.arrived.pop_front() {
            let has_room_again = socket.arrived.len() == ARRIVED_MAX / 2;
            if socket.has_arrivals() {
                self.wait(slot);
            }
            match phase {
                Phase::Open => {
                    let bytes = self.io.ring.bytes(&filled);
                    self.service.received(now, connection, bytes);
                }
                // Read only so that the peer's end is seen.
                Phase::Closing | Phase::Releasing | Phase::Released => {}
            }
            self.io.ring.put_back(filled);
            if has_room_again {
                self.io.receive(slot);
            }
            self.io.finish_release(slot);
        } else if std::mem::take(&mut socket.end_arrived) {
            match phase {
                Phase::Open => self.service.ended(now, connection),
                Phase::Closing => self.io.advance_closing(slot),
                Phase::Releasing | Phase::Released => self.io.finish_release(slot),
            }
        }
    }

    /// Drops what arrived on a connection.
    pub(super) fn drop_arrivals(&mut self, slot: u32) {
        let (_, socket) = self.io.sockets.at(slot);
        socket.is_waiting = false;
        socket.end_arrived = false;
        for filled in std::mem::take(&mut socket.arrived) {
            self.io.ring.put_back(filled);
        }
        self.io.finish_release(slot);
    }

    /// Receives again on connections that wait for a buffer: on no more at a time than there are buffers,
    /// else most would only starve once more. Some buffers are left to those that send little: they take
    /// one when something comes, and need not wait behind those that send without pause. A turn that
    /// feeds some is busy, so the others are next; connections that are gone or want nothing by now do not
    /// count, else the turn could feed none and end idle.
    fn feed_starved(&mut self) {
        let mut free = self.io.ring.buffers_free().saturating_sub(self.buffers_kept);
        while free > 0
            && let Some(connection) = self.io.starved.pop_front()
        {
            let found = self.io.sockets.find(connection.slot);
            if found.is_some_and(|(found, _)| found == connection)
                && self.io.receive(connection.slot)
            {
                free -= 1;
            }
        }
    }
}
