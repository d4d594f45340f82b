//! What the core does later for its connections: cut off those that linger, give up those whose peers are
//! gone while nobody reads them, try again what the kernel had no memory for.

use std::collections::VecDeque;

use super::Io;
use crate::clock::Now;
use crate::connection::ConnectionId;
use crate::ring::Ring;
use crate::socket::Phase;

/// How long a connection rests after the kernel was short of memory.
const REST_NS: u64 = 100_000_000;

/// How long a stop waits between two looks at which peers have everything; the wait doubles.
const LOOK_REST_MIN_NS: u64 = 1_000_000;
const LOOK_REST_MAX_NS: u64 = 64_000_000;

/// Connections and times, soonest first.
pub(super) struct Waiting {
    /// How long a closing connection's peer may take to close too, and how long what a peer sent before
    /// its end may wait to be read.
    linger_ns: u64,
    /// When closing connections are cut off.
    lingering: VecDeque<(u64, ConnectionId)>,
    /// When paused connections whose peers have ended are given up.
    leaving: VecDeque<(u64, ConnectionId)>,
    /// When what failed for want of memory is tried again.
    resting: VecDeque<(u64, ConnectionId)>,
    /// The next look of a stop at which peers have everything, once a stop has begun.
    look: Option<Look>,
}

#[derive(Clone, Copy)]
struct Look {
    at_ns: u64,
    rest_ns: u64,
}

impl Waiting {
    pub(super) fn new(linger_ns: u64) -> Waiting {
        Waiting {
            linger_ns,
            lingering: VecDeque::new(),
            leaving: VecDeque::new(),
            resting: VecDeque::new(),
            look: None,
        }
    }

    pub(super) fn linger(&mut self, now: Now, connection: ConnectionId) {
        self.lingering.push_back((now.monotonic_ns + self.linger_ns, connection));
    }
}

/// Takes the first connection whose time has come.
fn take_due(waiting: &mut VecDeque<(u64, ConnectionId)>, now: Now) -> Option<(u64, ConnectionId)> {
    let is_due = waiting.front().is_some_and(|(at_ns, _)| *at_ns <= now.monotonic_ns);
    if is_due { waiting.pop_front() } else { None }
}

impl<M, R: Ring> Io<M, R> {
    /// Watches for the end of a paused connection's peer. If the peer has ended already, what it sent
    /// waits no longer than a closing connection lingers.
    pub(super) fn watch_end(&mut self, connection: ConnectionId) {
        let socket = self.sockets.get(connection);
        if socket.ended {
            self.leave(connection);
        } else if !socket.watching {
            socket.watching = true;
            self.ring.watch_end(connection.slot);
        }
    }

    /// Notes that a watch has ended.
    pub(crate) fn watched(&mut self, slot: u32, result: Result<(), i32>) {
        let (connection, socket) = self.sockets.at(slot);
        socket.watching = false;
        // After a cancel of everything or a shortage the connection is watched at its next pause.
        if result.is_ok() {
            self.leave(connection);
        }
        self.finish_release(slot);
    }

    /// Gives a paused connection up whose peer has ended, unless it is read until then.
    pub(crate) fn leave(&mut self, connection: ConnectionId) {
        let at_ns = self.ring.now().monotonic_ns + self.waiting.linger_ns;
        let socket = self.sockets.get(connection);
        if socket.paused && socket.phase == Phase::Open && socket.leaves_at_ns.is_none() {
            socket.leaves_at_ns = Some(at_ns);
            self.waiting.leaving.push_back((at_ns, connection));
        }
    }

    /// The next paused connection whose peer is gone and whose time has come.
    pub(crate) fn take_vanished(&mut self, now: Now) -> Option<ConnectionId> {
        while let Some((at_ns, connection)) = take_due(&mut self.waiting.leaving, now) {
            if let Some((found, socket)) = self.sockets.find(connection.slot)
                && found == connection
                && socket.leaves_at_ns == Some(at_ns)
                && socket.phase == Phase::Open
            {
                return Some(connection);
            }
        }
        None
    }

    /// Tries again later what the kernel had no memory for.
    pub(super) fn rest(&mut self, slot: u32) {
        let (connection, _) = self.sockets.at(slot);
        let at_ns = self.ring.now().monotonic_ns + REST_NS;
        self.waiting.resting.push_back((at_ns, connection));
    }

    /// Notes that the kernel had no memory for a receive.
    pub(crate) fn rest_receive(&mut self, slot: u32) {
        self.sockets.at(slot).1.receive_rests = true;
        self.rest(slot);
    }

    /// Goes on with connections that have rested.
    pub(crate) fn end_rests(&mut self, now: Now) {
        while let Some((_, connection)) = take_due(&mut self.waiting.resting, now) {
            let Some((found, socket)) = self.sockets.find(connection.slot) else { continue };
            if found != connection || socket.is_released() {
                continue;
            }
            socket.receive_rests = false;
            if std::mem::take(&mut socket.send_rests) {
                self.ring.send_rest(connection.slot);
            }
            self.receive(connection.slot);
        }
    }

    /// Cuts off connections that have lingered long enough, and in a stop those whose peers have all
    /// that was sent: a stop waits for delivery, not for what peers do after it.
    pub(crate) fn cut_off(&mut self, now: Now) {
        while let Some((_, connection)) = take_due(&mut self.waiting.lingering, now) {
            if self.lingers(connection) {
                self.release(connection.slot);
            }
        }
        let Some(Look { at_ns, rest_ns }) = self.waiting.look else { return };
        if self.waiting.lingering.is_empty() || at_ns > now.monotonic_ns {
            return;
        }
        let mut lingering = std::mem::take(&mut self.waiting.lingering);
        lingering.retain(|(_, connection)| {
            if self.lingers(*connection) && self.has_everything(*connection) {
                self.release(connection.slot);
            }
            self.lingers(*connection)
        });
        self.waiting.lingering = lingering;
        let at_ns = now.monotonic_ns + rest_ns;
        self.waiting.look = Some(Look { at_ns, rest_ns: (2 * rest_ns).min(LOOK_REST_MAX_NS) });
    }

    /// Whether a connection is closing, and was not cut off.
    fn lingers(&mut self, connection: ConnectionId) -> bool {
        let found = self.sockets.find(connection.slot);
        found.is_some_and(|(found, socket)| found == connection && !socket.is_released())
    }

    fn has_everything(&mut self, connection: ConnectionId) -> bool {
        let socket = self.sockets.get(connection);
        socket.write_shut && !socket.sending && self.ring.is_delivered(connection.slot)
    }

    /// A stop has begun.
    pub(crate) fn begin_stop(&mut self, now: Now) {
        self.waiting.look = Some(Look { at_ns: now.monotonic_ns, rest_ns: LOOK_REST_MIN_NS });
    }

    /// When one of these has something to do.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let Waiting { lingering, leaving, resting, look, .. } = &self.waiting;
        let look = look.filter(|_| !lingering.is_empty()).map(|look| look.at_ns);
        let first = |waiting: &VecDeque<(u64, ConnectionId)>| waiting.front().map(|(at, _)| *at);
        [first(lingering), first(leaving), first(resting), look].into_iter().flatten().min()
    }
}
