//! From the first byte of a connection to the end of its handshake, or to the plain text that it may be.
//!
//! Called by `sessions` when bytes arrive, and in each turn for handshakes that waited.
//!
//! # Always true
//! - Costly parts of a handshake are served in its turn alone.

use std::borrow::Cow;
use std::time::Instant;

use blipmq::broker::security::{Handshake, Secured};
use blipmq::broker::{Admission, Broker, Now, Protocol};

use super::counters::Outcome;
use super::identity;
use super::layer::Step;
use super::session::{Greeting, Session, Stage, offer};
use super::sessions::Sessions;
use super::terms::{ClientCertificates, Need, Terms};

/// Bytes that may wait for the turn of a handshake: more than its longest flight.
const WAITING_BYTES_MAX: usize = 128 * 1_024;

impl Sessions {
    /// Tells the broker of a client that it greets in plain text.
    pub(super) fn greet(&mut self, broker: &mut Broker, now: Now, session: &mut Session) {
        let must = session.terms.need == Need::Required;
        session.stage = Stage::Sniffing { must, may_fall_back: false };
        session.greeting = Greeting::Owed;
        session.is_known = true;
        self.set_deadline(now, session);
        let security = (offer(&session.terms), Handshake::ToCome);
        broker.connected_with(now, session.id, session.peer, Admission::Admitted, security);
    }

    /// Refuses a client, in plain text where that is allowed, else without a word.
    pub(super) fn refuse(
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
    pub(super) fn feed(
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
            Stage::Sniffing { must: false, .. } => self.settle_plain(broker, now, session),
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
    pub(super) fn end(&mut self, broker: &mut Broker, now: Now, session: &mut Session) {
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
    pub(super) fn fail(
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

    pub(super) fn give_up(
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
    pub(super) fn serve_handshakes(&mut self, broker: &mut Broker, now: Now) {
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
    pub(super) fn check_silences(&mut self, broker: &mut Broker, now: Now) {
        while let Some((at_ns, id)) = self.silences.front().copied()
            && at_ns <= now.monotonic_ns
        {
            self.silences.pop_front();
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
    pub(super) fn check_deadlines(&mut self, broker: &mut Broker, now: Now) {
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
