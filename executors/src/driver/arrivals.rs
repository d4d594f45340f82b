//! What arrives on connections: from the completion of a receive to the service.

use crate::clock::Now;
use crate::driver::Driver;
use crate::ring::{Filled, Ring, is_shortage};
use crate::service::{Observed, Service, Shortage};
use crate::socket::{Phase, Receive};

/// What arrived and was not handed on yet.
pub(super) enum Arrival {
    Bytes { slot: u32, filled: Filled },
    End { slot: u32 },
}

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
                self.io.arrived(slot);
                self.arrivals.push_back(Arrival::Bytes { slot, filled });
                if !more {
                    self.io.receive(slot);
                }
            }
            // Its socket may be gone before a buffer comes back.
            Err(libc::ENOBUFS) => {
                self.starved.push_back(connection);
                self.service.observe(Observed::Starved);
                self.io.finish_release(slot);
            }
            Err(error) if is_shortage(error) => {
                self.service.observe(Observed::Short { what: Shortage::Receive });
                self.io.rest_receive(slot);
                self.io.finish_release(slot);
            }
            // A pause that was taken back before the kernel had stopped reading.
            Err(libc::ECANCELED) => {
                self.io.receive(slot);
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
            socket.arrivals += 1;
            self.arrivals.push_back(Arrival::End { slot });
            self.io.leave(connection);
        }
        self.io.finish_release(slot);
    }

    /// Hands arrivals to the service as long as it wants them.
    pub(super) fn hand_on(&mut self, now: Now) {
        while self.service.wants_input()
            && let Some(arrival) = self.arrivals.pop_front()
        {
            match arrival {
                Arrival::Bytes { slot, filled } => {
                    let (connection, socket) = self.io.sockets.at(slot);
                    match socket.phase {
                        Phase::Open => {
                            let bytes = self.io.ring.bytes(&filled);
                            self.service.received(now, connection, bytes);
                        }
                        // Read only so that the peer's end is seen.
                        Phase::Closing | Phase::Releasing | Phase::Released => {}
                    }
                    self.io.ring.put_back(filled);
                    self.io.handed_on(slot);
                    self.io.finish_release(slot);
                }
                Arrival::End { slot } => {
                    let (connection, socket) = self.io.sockets.at(slot);
                    socket.arrivals -= 1;
                    match socket.phase {
                        Phase::Open => self.service.ended(now, connection),
                        Phase::Closing => self.io.advance_closing(slot),
                        Phase::Releasing | Phase::Released => self.io.finish_release(slot),
                    }
                }
            }
        }
        self.feed_starved();
    }

    /// Receives again on connections that found no buffer: on no more at a time than there are
    /// buffers, else most would only starve once more. A turn that feeds some is busy, so the others
    /// are next; connections that are gone or want nothing by now do not count, else the turn could
    /// feed none and end idle.
    fn feed_starved(&mut self) {
        let mut free = self.io.ring.buffers_free();
        while free > 0
            && let Some(connection) = self.starved.pop_front()
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
