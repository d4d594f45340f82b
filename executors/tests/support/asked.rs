//! The service: its connections do what their first byte asks for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

use bytes::Bytes;
use executors::{ConnectionId, Io, Now, Ring, Service};

use super::{
    CLOSE, ECHO, Event, FLOOD, FLOOD_LEN, LAST, PIECES, Random, STUTTER, Shared, TOO_MANY, flood,
};

/// How often a service looks for commands of its test.
const TICK_NS: u64 = 2_000_000;
/// Bytes to echo that stop the reading of a connection.
const ECHO_BYTES_MAX: usize = 1 << 20;

#[derive(Default)]
struct Session {
    mode: Option<u8>,
    outgoing: Vec<Bytes>,
    outgoing_bytes: usize,
    in_flight: bool,
    ended: bool,
    paused_turns: u64,
    full: bool,
    /// Close at once, with these bytes.
    close: Option<Bytes>,
    closing: bool,
}

/// The service.
pub struct Asked {
    core: usize,
    events: Sender<Event>,
    shared: Arc<Shared>,
    sessions: HashMap<ConnectionId, Session>,
    dirty: Vec<ConnectionId>,
    random: Random,
    stopping: bool,
    tick_ns: u64,
}

impl Asked {
    pub fn new(core: usize, events: Sender<Event>, shared: Arc<Shared>) -> Asked {
        Asked {
            core,
            events,
            shared,
            sessions: HashMap::new(),
            dirty: Vec::new(),
            random: Random::new(core as u64),
            stopping: false,
            tick_ns: 0,
        }
    }

    fn session(&mut self, connection: ConnectionId) -> &mut Session {
        self.dirty.push(connection);
        self.sessions.get_mut(&connection).expect("only connections that were reported")
    }

    fn step<R: Ring>(&mut self, now: Now, io: &mut Io<(), R>, connection: ConnectionId) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        if session.closing {
            return;
        }
        if !session.in_flight && !session.outgoing.is_empty() && session.close.is_none() {
            session.in_flight = true;
            session.outgoing_bytes = 0;
            io.send(connection, &mut session.outgoing);
            assert!(session.outgoing.is_empty());
        }
        let full = session.outgoing_bytes > ECHO_BYTES_MAX;
        if session.mode == Some(STUTTER) && session.paused_turns == 0 {
            match self.random.below(4) {
                0 => {
                    io.pause(connection);
                    io.resume(connection);
                }
                1 => session.paused_turns = 1 + self.random.below(8),
                2 => {
                    io.pause(connection);
                    io.resume(connection);
                    session.paused_turns = 1;
                }
                _ => {}
            }
            if session.paused_turns > 0 {
                io.pause(connection);
                self.dirty.push(connection);
            }
        } else if session.paused_turns > 0 {
            session.paused_turns -= 1;
            if session.paused_turns == 0 && !full {
                io.resume(connection);
            } else {
                self.dirty.push(connection);
            }
            session.paused_turns = session.paused_turns.max(u64::from(full));
        } else if full != session.full {
            session.full = full;
            if full { io.pause(connection) } else { io.resume(connection) }
        }
        let empty = session.outgoing.is_empty() && !session.in_flight;
        if session.close.is_none() && empty && (session.ended || self.stopping) {
            session.close = Some(Bytes::new());
        }
        if let Some(last) = session.close.take() {
            session.closing = true;
            io.close(now, connection, last);
        }
    }
}

impl Service for Asked {
    type Message = ();

    const LANES: usize = 1;

    fn connected(
        &mut self,
        _: Now,
        connection: ConnectionId,
        _: SocketAddr,
        listener: usize,
        admission: executors::Admission,
    ) {
        let admitted = admission == executors::Admission::Admitted;
        let close = (!admitted).then_some(Bytes::from_static(TOO_MANY));
        let known = self.sessions.insert(connection, Session { close, ..Session::default() });
        assert!(known.is_none(), "an id is given out once");
        self.dirty.push(connection);
        let core = self.core;
        let _ = self.events.send(Event::Connected { core, connection, listener, admitted });
    }

    fn received(&mut self, _: Now, connection: ConnectionId, mut bytes: &[u8]) {
        let session = self.session(connection);
        assert!(!session.ended && !session.closing && !bytes.is_empty());
        if session.mode.is_none() {
            session.mode = Some(bytes[0]);
            bytes = &bytes[1..];
            match session.mode {
                Some(FLOOD) => session.outgoing.push(flood(FLOOD_LEN).into()),
                Some(PIECES) => {
                    let flood = Bytes::from(flood(FLOOD_LEN));
                    let pieces = (0..FLOOD_LEN).step_by(FLOOD_LEN / 4_096);
                    let piece = |at| flood.slice(at..at + FLOOD_LEN / 4_096);
                    session.outgoing.extend(pieces.map(piece));
                }
                Some(CLOSE) => session.close = Some(Bytes::from_static(LAST)),
                _ => {}
            }
        }
        match session.mode {
            Some(ECHO | STUTTER) if !bytes.is_empty() => {
                session.outgoing_bytes += bytes.len();
                session.outgoing.push(Bytes::copy_from_slice(bytes));
            }
            Some(FLOOD) if !bytes.is_empty() => session.close = Some(Bytes::from_static(LAST)),
            _ => {}
        }
    }

    fn broken(&mut self, _: Now, connection: ConnectionId) {
        let session = self.session(connection);
        assert!(session.in_flight && !session.closing, "only what was sent can fail");
        session.in_flight = false;
        session.outgoing.clear();
    }

    fn sent(&mut self, _: Now, connection: ConnectionId) {
        let session = self.session(connection);
        assert!(session.in_flight && !session.closing);
        session.in_flight = false;
    }

    fn ended(&mut self, _: Now, connection: ConnectionId) {
        let session = self.session(connection);
        assert!(!session.ended && !session.closing, "an end is handed on once");
        session.ended = true;
    }

    fn closed(&mut self, connection: ConnectionId) {
        self.sessions.remove(&connection).expect("an id is void once");
        let _ = self.events.send(Event::Closed { core: self.core, connection });
    }

    fn wants_input(&self) -> bool {
        !self.shared.hold.load(Ordering::Relaxed)
    }

    fn turn<R: Ring>(&mut self, now: Now, io: &mut Io<(), R>) -> bool {
        self.shared.turns.fetch_add(1, Ordering::Relaxed);
        self.tick_ns = now.monotonic_ns + TICK_NS;
        self.shared.close.lock().expect("no test panics with it").retain(|&(core, connection)| {
            if core == self.core {
                let session = self.sessions.get_mut(&connection).expect("tests close what is open");
                session.close = Some(Bytes::from_static(LAST));
                self.dirty.push(connection);
            }
            core != self.core
        });
        for connection in std::mem::take(&mut self.dirty) {
            self.step(now, io, connection);
        }
        !self.dirty.is_empty()
    }

    fn next_deadline(&self) -> Option<u64> {
        Some(self.tick_ns)
    }

    fn stop(&mut self, _: Now) {
        self.stopping = true;
        self.dirty.extend(self.sessions.keys());
    }

    fn is_stopped(&self) -> bool {
        self.stopping && self.sessions.is_empty()
    }
}
