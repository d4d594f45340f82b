//! The connections of a core whose listeners have TLS: between their sockets and the broker.
//!
//! Called by `relay`. Bytes that arrive become plaintext for the broker, and what the broker sends becomes
//! records, one piece at a time; how many handshakes a turn serves is decided by `handshakes`.
//!
//! # Always true
//! - The broker is told of a connection once: before the handshake where the broker speaks first, else
//!   behind it; and never again of one that it was not told of.
//! - A connection that turns out to speak plain text, and may, is the relay's from then on.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use blipmq::broker::memory::Memory;
use blipmq::broker::mesh::Message;
use blipmq::broker::{Admission, Broker, ConnectionId, Now, Peer, Protocol};
use bytes::Bytes;
use executors::{Io, Ring};

use super::counters::{Counters, Outcome};
use super::handshakes::Handshakes;
use super::session::{Flight, Session, Stage};
use super::terms::{HandshakeFirst, Listeners, Need, Terms};
use crate::server::relay::{Between, outward};

/// The connections of a core whose listeners have TLS.
pub struct Sessions {
    pub(super) listeners: Listeners,
    pub(super) counters: Arc<Counters>,
    memory: Memory,
    /// By slot; `None` for connections in plain text.
    slots: Vec<Option<Box<Session>>>,
    pub(super) handshakes: Handshakes,
    /// Connections that may have something to send, or memory to give back.
    touched: Vec<ConnectionId>,
    /// Connections that the broker was never told of and that cannot go on.
    pub(super) to_close: Vec<ConnectionId>,
    /// When clients that say nothing are greeted in plain text, in order.
    pub(super) silences: VecDeque<(u64, ConnectionId)>,
    /// When handshakes have to be over, in order.
    pub(super) deadlines: VecDeque<(u64, ConnectionId)>,
    /// Counts turns.
    turn: u64,
    is_stopping: bool,
}

impl Sessions {
    pub fn new(listeners: Listeners, counters: Arc<Counters>, memory: Memory) -> Sessions {
        Sessions {
            listeners,
            counters,
            memory,
            slots: Vec::new(),
            handshakes: Handshakes::default(),
            touched: Vec::new(),
            to_close: Vec::new(),
            silences: VecDeque::new(),
            deadlines: VecDeque::new(),
            turn: 0,
            is_stopping: false,
        }
    }

    /// A reload has changed the terms: handshakes that begin from now on have the new ones.
    pub fn set_listeners(&mut self, listeners: Listeners) {
        self.listeners = listeners;
    }

    pub(super) fn get(&mut self, id: ConnectionId) -> Option<&mut Session> {
        find(&mut self.slots, id)
    }

    pub(super) fn take(&mut self, id: ConnectionId) -> Box<Session> {
        self.slots[id.slot.index()].take().expect("the relay asked for it")
    }

    /// Puts a session back, unless it has become a connection in plain text.
    pub(super) fn put(&mut self, mut session: Box<Session>) {
        if session.stage == Stage::Plain && session.pending.is_empty() {
            return;
        }
        let wants_look =
            session.layer.wants_write() || session.layer.may_shed() || !session.pending.is_empty();
        if wants_look && !session.is_touched {
            session.is_touched = true;
            self.touched.push(session.id);
        }
        let index = session.id.slot.index();
        self.slots[index] = Some(session);
    }

    pub(super) fn count(&self, session: &Session, outcome: Outcome) {
        self.counters.handshakes(session.listener, outcome).add(1);
    }

    /// The handshake of a connection has so long from now on.
    pub(super) fn set_deadline(&mut self, now: Now, session: &mut Session) {
        session.deadline_ns = now.monotonic_ns + session.terms.handshake_timeout_ns;
        self.deadlines.push_back((session.deadline_ns, session.id));
    }

    pub(super) fn queue(&mut self, session: &mut Session) {
        session.is_queued = true;
        self.handshakes.push(session.id);
    }
}

/// The session of a connection, if the connection is not gone.
fn find(slots: &mut [Option<Box<Session>>], id: ConnectionId) -> Option<&mut Session> {
    let session = slots.get_mut(id.slot.index())?.as_deref_mut()?;
    (session.id == id).then_some(session)
}

/// How a connection begins.
fn begin(protocol: Protocol, terms: &Terms) -> (Stage, Option<u64>) {
    let must = terms.need == Need::Required;
    match (protocol, terms.first) {
        // Its clients speak first, and their first bytes tell.
        (Protocol::Blip, _) => (Stage::Sniffing { must, may_fall_back: false }, None),
        (Protocol::Nats, HandshakeFirst::Auto(silence)) => {
            let silence_ns = u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX);
            (Stage::Sniffing { must, may_fall_back: true }, Some(silence_ns))
        }
        // Nothing else is said before the hello.
        (Protocol::Nats, HandshakeFirst::Always) => {
            (Stage::Sniffing { must: true, may_fall_back: false }, None)
        }
        (Protocol::Nats, HandshakeFirst::Never) => {
            (Stage::Sniffing { must, may_fall_back: false }, Some(0))
        }
    }
}

impl Between for Sessions {
    fn connected(
        &mut self,
        broker: &mut Broker,
        now: Now,
        id: ConnectionId,
        peer: Peer,
        (listener, admission): (usize, Admission),
    ) -> bool {
        let Some(Some(terms)) = self.listeners.get(listener) else { return false };
        let (stage, silence_ns) = begin(peer.protocol, terms);
        let mut session = Box::new(Session::new(id, peer, listener, terms.clone(), stage));
        if self.slots.len() <= id.slot.index() {
            self.slots.resize_with(id.slot.index() + 1, || None);
        }
        if admission != Admission::Admitted || self.is_stopping {
            self.refuse(broker, now, &mut session, admission);
        } else {
            match silence_ns {
                Some(0) => self.greet(broker, now, &mut session),
                Some(silence_ns) => {
                    self.silences.push_back((now.monotonic_ns + silence_ns, id));
                    self.set_deadline(now, &mut session);
                }
                None => self.set_deadline(now, &mut session),
            }
        }
        self.put(session);
        true
    }

    fn has(&self, connection: ConnectionId) -> bool {
        self.slots.get(connection.slot.index()).is_some_and(Option::is_some)
    }

    fn received(&mut self, broker: &mut Broker, now: Now, id: ConnectionId, bytes: &[u8]) {
        let mut session = self.take(id);
        match session.stage {
            Stage::Plain => broker.received(now, id, bytes),
            Stage::Over => {}
            _ if session.is_closing => {}
            _ => self.feed(broker, now, &mut session, bytes, false),
        }
        self.put(session);
    }

    fn sent(&mut self, broker: &mut Broker, now: Now, id: ConnectionId) {
        let mut session = self.take(id);
        session.is_slow = self.turn > session.sent_turn;
        if session.flight.take() == Some(Flight::Last) {
            broker.sent(now, id);
        }
        if session.stage == Stage::Open && session.layer.is_worn() {
            tracing::info!(
                address = %session.peer.address,
                "closed: the keys of its TLS 1.2 are used up; a client with TLS 1.3 changes them"
            );
            // What it was sent is complete: the end of the stream follows.
            broker.give_up(now, id, "the keys of its TLS 1.2 are used up");
        }
        self.put(session);
    }

    fn broken(&mut self, broker: &mut Broker, now: Now, id: ConnectionId) {
        let mut session = self.take(id);
        session.flight = None;
        session.pending = Vec::new();
        if !std::mem::replace(&mut session.is_broken, true) {
            match session.is_known {
                true => broker.broken(now, id),
                false => self.fail(broker, now, &mut session, "the client went away"),
            }
        }
        self.put(session);
    }

    fn ended(&mut self, broker: &mut Broker, now: Now, id: ConnectionId) {
        let mut session = self.take(id);
        self.end(broker, now, &mut session);
        self.put(session);
    }

    fn vanished(&mut self, broker: &mut Broker, now: Now, id: ConnectionId) {
        let mut session = self.take(id);
        match session.is_known {
            true => broker.vanished(now, id),
            false => self.fail(broker, now, &mut session, "the client went away"),
        }
        self.put(session);
    }

    fn closed(&mut self, id: ConnectionId) -> Option<(Peer, Cow<'static, str>)> {
        let session = self.take(id);
        if session.stage == Stage::Open
            && let Some(connections) = self.counters.connections(session.version)
        {
            connections.sub(1);
        }
        (!session.is_known).then_some((session.peer, session.why))
    }

    fn send<R: Ring>(
        &mut self,
        io: &mut Io<Message, R>,
        id: ConnectionId,
        ranges: &mut Vec<Bytes>,
    ) {
        let Sessions { slots, memory, turn, .. } = self;
        let session = find(slots, id).expect("the relay asked for it");
        if session.is_broken || session.stage == Stage::Over {
            // Nothing reaches the peer, as with a send that never completes.
            return ranges.clear();
        }
        session.pending.append(ranges);
        if let Some((mut chunks, _)) = session.next_send(memory) {
            session.sent_turn = *turn;
            io.send(outward(id), &mut chunks);
        }
    }

    fn close<R: Ring>(
        &mut self,
        io: &mut Io<Message, R>,
        now: executors::Now,
        id: ConnectionId,
        last: Bytes,
    ) {
        let Sessions { slots, memory, .. } = self;
        let session = find(slots, id).expect("the relay asked for it");
        let last = session.last_bytes(last, memory);
        io.close(now, outward(id), last);
    }

    fn begin_turn(&mut self, broker: &mut Broker, now: Now) -> bool {
        self.turn += 1;
        if self.slots.is_empty() {
            return false;
        }
        self.check_silences(broker, now);
        self.check_deadlines(broker, now);
        self.serve_handshakes(broker, now);
        !self.handshakes.is_empty()
    }

    fn end_turn<R: Ring>(&mut self, io: &mut Io<Message, R>, now: executors::Now) {
        for id in std::mem::take(&mut self.to_close) {
            if self.get(id).is_some_and(|session| !session.is_closing) {
                self.close(io, now, id, Bytes::new());
            }
        }
        let Sessions { slots, memory, touched, turn, .. } = self;
        while let Some(id) = touched.pop() {
            let Some(session) = find(slots, id) else { continue };
            session.is_touched = false;
            session.layer.shed();
            if let Some((mut chunks, _)) = session.next_send(memory) {
                session.sent_turn = *turn;
                io.send(outward(id), &mut chunks);
            }
            if session.stage == Stage::Plain && session.pending.is_empty() && !session.is_closing {
                slots[id.slot.index()] = None;
            }
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        let first = |all: &VecDeque<(u64, ConnectionId)>| all.front().map(|(at_ns, _)| *at_ns);
        [first(&self.silences), first(&self.deadlines)].into_iter().flatten().min()
    }

    fn stop(&mut self, broker: &mut Broker, now: Now) {
        self.is_stopping = true;
        for index in 0..self.slots.len() {
            if self.slots[index].as_ref().is_some_and(|session| session.is_shaking())
                && let Some(mut session) = self.slots[index].take()
            {
                if !session.is_closing {
                    self.give_up(broker, now, &mut session, "the broker stops");
                }
                self.put(session);
            }
        }
    }
}
