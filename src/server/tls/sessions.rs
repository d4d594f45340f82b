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
use std::time::Instant;

use blipmq::broker::memory::Memory;
use blipmq::broker::mesh::Message;
use blipmq::broker::security::{Handshake, Secured};
use blipmq::broker::{Admission, Broker, ConnectionId, Now, Peer, Protocol};
use bytes::Bytes;
use executors::{Io, Ring};

use super::counters::{Counters, Outcome};
use super::handshakes::Handshakes;
use super::identity;
use super::layer::Step;
use super::session::{Flight, Greeting, Session, Stage, offer};
use super::terms::{ClientCertificates, HandshakeFirst, Listeners, Need, Terms};
use crate::server::relay::{Between, outward};

/// Bytes that may wait for the turn of a handshake: more than its longest flight.
const WAITING_BYTES_MAX: usize = 128 * 1_024;

/// The connections of a core whose listeners have TLS.
pub struct Sessions {
    listeners: Listeners,
    counters: Arc<Counters>,
    memory: Memory,
    /// By slot; `None` for connections in plain text.
    slots: Vec<Option<Box<Session>>>,
    handshakes: Handshakes,
    /// Connections that may have something to send, or memory to give back.
    touched: Vec<ConnectionId>,
    /// Connections that the broker was never told of and that cannot go on.
    to_close: Vec<ConnectionId>,
    /// When clients that say nothing are greeted in plain text, in order.
    silences: VecDeque<(u64, ConnectionId)>,
    /// When handshakes have to be over, in order.
    deadlines: VecDeque<(u64, ConnectionId)>,
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

    fn get(&mut self, id: ConnectionId) -> Option<&mut Session> {
        let session = self.slots.get_mut(id.slot.index())?.as_deref_mut()?;
        (session.id == id).then_some(session)
    }

    fn take(&mut self, id: ConnectionId) -> Box<Session> {
        self.slots[id.slot.index()].take().expect("the relay asked for it")
    }

    /// Puts a session back, unless it has become a connection in plain text.
    fn put(&mut self, mut session: Box<Session>) {
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

    fn count(&self, session: &Session, outcome: Outcome) {
        self.counters.handshakes(session.listener, outcome).add(1);
    }

    /// The handshake of a connection has so long from now on.
    fn set_deadline(&mut self, now: Now, session: &mut Session) {
        session.deadline_ns = now.monotonic_ns + session.terms.handshake_timeout_ns;
        self.deadlines.push_back((session.deadline_ns, session.id));
    }

    fn queue(&mut self, session: &mut Session) {
        session.is_queued = true;
        self.handshakes.push(session.id);
    }

    /// Tells the broker of a client that it greets in plain text.
    fn greet(&mut self, broker: &mut Broker, now: Now, session: &mut Session) {
        let must = session.terms.need == Need::Required;
        session.stage = Stage::Sniffing { must, may_fall_back: false };
        session.greeting = Greeting::Owed;
        session.is_known = true;
        self.set_deadline(now, session);
        let security = (offer(&session.terms), Handshake::ToCome);
        broker.connected_with(now, session.id, session.peer, Admission::Admitted, security);
    }

    /// Refuses a client, in plain text where that is allowed, else without a word.
    fn refuse(
        &mut self,
        broker: &mut Broker,
        now: Now,
        session: &mut Session,
        admission: Admission,
    ) {
        let must = session.terms.need == Need::Required;
        session.stage = match must {
            true => Stage::Over,
            false => Stage::Sniffing { must, may_fall_back: false },
        };
        session.greeting = Greeting::Owed;
        session.is_known = true;
        let security = (offer(&session.terms), Handshake::ToCome);
        broker.connected_with(now, session.id, session.peer, admission, security);
        if must {
            broker.give_up(now, session.id, "refused before its handshake");
        }
    }

    /// Serves bytes of a connection. `has_turn` says that a costly part of a handshake may be served.
    fn feed(
        &mut self,
        broker: &mut Broker,
        now: Now,
        session: &mut Session,
        mut bytes: &[u8],
        has_turn: bool,
    ) {
        loop {
            if session.is_queued || (!has_turn && self.costs_much(session)) {
                return self.wait(broker, now, session, bytes);
            }
            match session.layer.advance(&mut bytes) {
                Step::Idle => return,
                Step::NotTls => return self.plain_text(broker, now, session),
                Step::Hello => {
                    session.stage = Stage::Shaking;
                    session.hello_ns = now.monotonic_ns;
                    self.queue(session);
                }
                Step::Established => self.established(broker, now, session),
                Step::Plaintext => {
                    let id = session.id;
                    let is_open = session.stage == Stage::Open;
                    session.layer.drain(|plain| {
                        if is_open {
                            broker.received(now, id, plain);
                        }
                    });
                }
                Step::Ended => self.end(broker, now, session),
                Step::Failed(why) => return self.fail(broker, now, session, why),
            }
            if session.stage == Stage::Over {
                return;
            }
        }
    }

    /// Whether what the client says next is left for the turn of its handshake.
    fn costs_much(&self, session: &Session) -> bool {
        let asks = session.terms.client_certificates != ClientCertificates::None;
        session.stage == Stage::Shaking && session.layer.is_flight_costly(asks)
    }

    /// Keeps bytes for the turn of the handshake.
    fn wait(&mut self, broker: &mut Broker, now: Now, session: &mut Session, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if session.waiting.len() + bytes.len() > WAITING_BYTES_MAX {
            return self.fail(broker, now, session, "too many bytes before the handshake is over");
        }
        session.waiting.extend_from_slice(bytes);
        if !session.is_queued {
            self.queue(session);
        }
    }

    /// The client does not speak TLS.
    fn plain_text(&mut self, broker: &mut Broker, now: Now, session: &mut Session) {
        match session.stage {
            Stage::Sniffing { must: false, may_fall_back: false } => {
                self.settle_plain(broker, now, session);
            }
            // The broker has said nothing, and the client speaks its protocol: it is told why.
            Stage::Sniffing { must: true, may_fall_back: false }
                if session.peer.protocol == Protocol::Blip =>
            {
                tracing::debug!(address = %session.peer.address, "plain text, where TLS is required");
                self.count(session, Outcome::Failed);
                session.stage = Stage::Plain;
                session.is_known = true;
                let security = (offer(&session.terms), Handshake::None);
                let (id, peer) = (session.id, session.peer);
                broker.connected_with(now, id, peer, Admission::PlainText, security);
            }
            _ => self.fail(broker, now, session, "plain text, where TLS is required"),
        }
    }

    /// The client speaks plain text, and may.
    fn settle_plain(&mut self, broker: &mut Broker, now: Now, session: &mut Session) {
        session.stage = Stage::Plain;
        let id = session.id;
        match session.is_known {
            true => broker.secured(now, id, None),
            false => {
                let security = (offer(&session.terms), Handshake::None);
                broker.connected_with(now, id, session.peer, Admission::Admitted, security);
                session.is_known = true;
            }
        }
        let first = session.layer.first_bytes();
        if !first.is_empty() {
            broker.received(now, id, &first);
        }
    }

    /// The handshake of a connection is over.
    fn established(&mut self, broker: &mut Broker, now: Now, session: &mut Session) {
        let names = match session.layer.certificate() {
            Some(certificate) => {
                let now_unix_s = now.unix_ns / 1_000_000_000;
                match identity::names_of_client(certificate, now_unix_s) {
                    Ok(names) => Some(names),
                    Err(why) => {
                        let why = format!("the client's certificate is of no use: {why:?}");
                        return self.fail(broker, now, session, why);
                    }
                }
            }
            // A ticket of a session without one is no way around.
            None if session.terms.client_certificates == ClientCertificates::Required => {
                return self.fail(broker, now, session, "the client has shown no certificate");
            }
            None => None,
        };
        let resumed = session.layer.is_resumed();
        self.count(session, if resumed { Outcome::Resumed } else { Outcome::Full });
        let took_us = now.monotonic_ns.saturating_sub(session.hello_ns) / 1_000;
        self.counters.handshake_us.record(took_us, 1);
        session.stage = Stage::Open;
        session.version = session.layer.version();
        let (version, suite) = (session.version, session.layer.suite());
        if let Some(connections) = self.counters.connections(version) {
            connections.add(1);
        }
        let secured = Box::new(Secured { version, suite, resumed, names });
        let id = session.id;
        match session.is_known {
            true => broker.secured(now, id, Some(secured)),
            false => {
                let security = (offer(&session.terms), Handshake::Done(secured));
                broker.connected_with(now, id, session.peer, Admission::Admitted, security);
                session.is_known = true;
            }
        }
    }

    /// The peer sends no more.
    fn end(&mut self, broker: &mut Broker, now: Now, session: &mut Session) {
        if std::mem::replace(&mut session.has_ended, true) {
            return;
        }
        match session.stage {
            Stage::Open | Stage::Plain => broker.ended(now, session.id),
            Stage::Sniffing { .. } if session.layer.is_untouched() => {
                // Nobody began a handshake.
                self.give_up(broker, now, session, "its client closed it");
            }
            Stage::Sniffing { .. } | Stage::Shaking => {
                self.fail(broker, now, session, "the client went away");
            }
            Stage::Over => {}
        }
    }

    /// A connection cannot go on.
    fn fail(
        &mut self,
        broker: &mut Broker,
        now: Now,
        session: &mut Session,
        why: impl Into<Cow<'static, str>>,
    ) {
        let why = why.into();
        tracing::debug!(
            address = %session.peer.address, protocol = session.peer.protocol.name(), %why, "TLS failed"
        );
        if session.is_shaking() {
            self.count(session, Outcome::Failed);
        }
        self.give_up(broker, now, session, why);
    }

    fn give_up(
        &mut self,
        broker: &mut Broker,
        now: Now,
        session: &mut Session,
        why: impl Into<Cow<'static, str>>,
    ) {
        if session.stage == Stage::Open
            && let Some(connections) = self.counters.connections(session.version)
        {
            connections.sub(1);
        }
        session.stage = Stage::Over;
        session.is_queued = false;
        session.waiting = Vec::new();
        session.pending = Vec::new();
        session.why = why.into();
        match session.is_known {
            true => broker.give_up(now, session.id, session.why.clone()),
            false => self.to_close.push(session.id),
        }
    }

    /// Serves handshakes that wait, as many as this turn may.
    fn serve_handshakes(&mut self, broker: &mut Broker, now: Now) {
        self.handshakes.begin_turn(now.monotonic_ns);
        if self.handshakes.is_empty() {
            return;
        }
        let began = Instant::now();
        while let Some(id) = self.handshakes.pop() {
            // A client that has gone costs nothing.
            if !self.get(id).is_some_and(|session| session.is_queued) {
                continue;
            }
            let mut session = self.take(id);
            self.serve_handshake(broker, now, &mut session);
            self.put(session);
            if !self.handshakes.may_go_on(began.elapsed()) {
                break;
            }
        }
        self.handshakes.end_turn(began.elapsed());
        self.counters.waiting.set(self.handshakes.len() as u64);
    }

    fn serve_handshake(&mut self, broker: &mut Broker, now: Now, session: &mut Session) {
        session.is_queued = false;
        if session.layer.has_hello() {
            if let Some(Some(terms)) = self.listeners.get(session.listener) {
                session.terms = terms.clone();
            }
            let Terms { config, record_bytes, .. } = &*session.terms;
            if let Step::Failed(why) = session.layer.answer(config.clone(), *record_bytes) {
                return self.fail(broker, now, session, why);
            }
        }
        let waiting = std::mem::take(&mut session.waiting);
        self.feed(broker, now, session, &waiting, true);
    }

    /// Greets clients that have said nothing for long enough.
    fn check_silences(&mut self, broker: &mut Broker, now: Now) {
        while let Some((_, id)) = self.silences.pop_front_if(|(at, _)| *at <= now.monotonic_ns) {
            let is_silent = self.get(id).is_some_and(|session| {
                matches!(session.stage, Stage::Sniffing { may_fall_back: true, .. })
                    && session.layer.is_untouched()
            });
            if is_silent {
                let mut session = self.take(id);
                self.greet(broker, now, &mut session);
                self.put(session);
            }
        }
    }

    /// Ends connections whose handshake is not over in time.
    fn check_deadlines(&mut self, broker: &mut Broker, now: Now) {
        loop {
            let Some((at_ns, id)) = self.deadlines.front().copied() else { return };
            // One that was over or was given more time is in nobody's way.
            let waits = self
                .get(id)
                .is_some_and(|session| session.is_shaking() && session.deadline_ns == at_ns);
            if waits && at_ns > now.monotonic_ns {
                return;
            }
            self.deadlines.pop_front();
            if !waits {
                continue;
            }
            let mut session = self.take(id);
            match session.stage {
                Stage::Sniffing { must: false, .. } if session.layer.is_untouched() => {
                    self.settle_plain(broker, now, &mut session);
                }
                _ => {
                    self.count(&session, Outcome::TimedOut);
                    self.give_up(broker, now, &mut session, "its handshake was not over in time");
                }
            }
            self.put(session);
        }
    }
}

/// How a connection begins.
fn begin(protocol: Protocol, terms: &Terms) -> (Stage, Option<u64>) {
    let must = terms.need == Need::Required;
    match (protocol, terms.first) {
        // Its clients speak first, and their first bytes tell.
        (Protocol::Blip, _) => (Stage::Sniffing { must, may_fall_back: false }, None),
        (Protocol::Nats, HandshakeFirst::Auto(silence)) => {
            let silence_ns = u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX);
            (Stage::Sniffing { must: true, may_fall_back: true }, Some(silence_ns))
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
        let turn = self.turn;
        let memory = self.memory.clone();
        let session = self.get(id).expect("the relay asked for it");
        if session.is_broken || session.stage == Stage::Over {
            // Nothing reaches the peer, as with a send that never completes.
            return ranges.clear();
        }
        session.pending.append(ranges);
        if let Some((mut chunks, _)) = session.next_send(&memory) {
            session.sent_turn = turn;
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
        let memory = self.memory.clone();
        let session = self.get(id).expect("the relay asked for it");
        let last = session.last_bytes(last, &memory);
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
        while let Some(id) = self.touched.pop() {
            let (turn, memory) = (self.turn, self.memory.clone());
            let Some(session) = self.get(id) else { continue };
            session.is_touched = false;
            session.layer.shed();
            if let Some((mut chunks, _)) = session.next_send(&memory) {
                session.sent_turn = turn;
                io.send(outward(id), &mut chunks);
            }
            if session.stage == Stage::Plain && session.pending.is_empty() && !session.is_closing {
                self.slots[id.slot.index()] = None;
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
