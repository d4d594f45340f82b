//! How a NATS client and the broker get to know each other, and what a client is told it did wrong.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use super::super::auth::{self, Credentials};
use super::super::notice::Event;
use super::super::session::Phase;
use super::super::subscriptions::SubscriptionIndex;
use super::super::{Broker, Now, SERVER_NAME};
use super::NatsSession;
use crate::nats::connect::Connect;
use crate::nats::error::Offence;
use crate::nats::info::{self, Info};
use crate::protocol::Reject;

/// What INFO says as the version. Clients and programs read it as that of nats-server and leave out
/// what such a one does not have: everything of 2.10 that is not JetStream, accounts or clustering is
/// here. Who wants to know which server it is reads its name.
const PROTOCOL_LEVEL: &str = "2.10.0-blipmq";

impl Broker {
    /// A NATS client has connected: it is told who we are, and may be asked who it is.
    pub(in crate::broker) fn nats_connected(&mut self, now: Now, slot: u32, admitted: bool) {
        self.nats_clients += 1;
        self.counters.nats_connections_opened.add(1);
        let client_id =
            (self.nats_clients - 1) * u64::from(self.cluster.cores) + u64::from(self.core.0) + 1;
        let session = self.sessions.get(slot);
        session.nats = Some(Box::new(NatsSession::new(client_id, now.monotonic_ns)));
        match self.auth.check(&Credentials::None) {
            Some(permissions) => {
                session.permissions = permissions;
                session.phase = Phase::Open;
            }
            None if self.auth.wants_nonce() => {
                let key = &self.cluster.nonce_key;
                let nonce = auth::nonce(key, self.core, self.nats_clients);
                session.nats().nonce = Some(nonce.into());
            }
            None => {}
        }
        self.tell_info(slot, false);
        if self.drain.has_begun() {
            self.close_with_answers(slot);
        } else if !admitted {
            self.offend(slot, &Offence::MaximumConnectionsExceeded);
        } else {
            self.expect_sign_of_life(now, slot);
            if self.auth.is_required() {
                self.expect_hello(now, slot);
            }
        }
    }

    /// INFO, on connecting and again when the broker stops.
    pub(in crate::broker) fn tell_info(&mut self, slot: u32, stops: bool) {
        let session = self.sessions.get(slot);
        let client_ip = session.peer.address.ip().to_string();
        let nats = session.nats();
        let client_id = nats.client_id;
        let nonce = nats.nonce.clone();
        let server_id = format!("{:016X}", self.cluster.server_id);
        let address = self.cluster.nats_addr;
        let info = Info {
            server_id: &server_id,
            server_name: SERVER_NAME,
            version: PROTOCOL_LEVEL,
            host: &address.ip().to_string(),
            port: address.port(),
            max_payload: self.cluster.settings.server.max_message_size_bytes,
            client_id,
            client_ip: &client_ip,
            auth_required: self.auth.is_required(),
            // TLS will be offered here, for an upgrade behind this line; where the handshake comes
            // first, the line is sent inside of it.
            tls_required: false,
            tls_available: false,
            nonce: nonce.as_deref(),
            ldm: stops,
        };
        self.answer(slot, |out| info::encode(out, &info));
    }

    /// CONNECT.
    pub(super) fn nats_connect(&mut self, slot: u32, json: &[u8]) -> Result<(), Offence> {
        let session = self.sessions.get(slot);
        let nats = session.nats();
        // What a second CONNECT leaves out stays.
        let mut connect = Connect {
            verbose: nats.verbose,
            pedantic: nats.pedantic,
            echo: nats.echo,
            headers: nats.headers,
            no_responders: nats.no_responders,
            ..Connect::default()
        };
        connect.update(json)?;
        // Who introduces itself once more begins once more.
        let was_connected = std::mem::replace(&mut nats.is_connected, true);
        if was_connected {
            let mut all: Vec<SubscriptionIndex> = nats.sids.values().copied().collect();
            all.sort_unstable();
            for index in all {
                self.end_nats_subscription(index, true);
            }
        }
        let session = self.sessions.get(slot);
        let nonce = session.nats().nonce.as_deref().unwrap_or_default().as_bytes();
        let credentials = credentials(&connect, nonce);
        // Who proved itself before and gives nothing new stays who it was.
        if !(was_connected && matches!(credentials, Credentials::None)) {
            let permissions = self.auth.check(&credentials);
            session.permissions = permissions.ok_or(Offence::AuthorizationViolation)?;
        }
        session.phase = Phase::Open;
        let nats = session.nats();
        nats.verbose = connect.verbose;
        nats.pedantic = connect.pedantic;
        nats.echo = connect.echo;
        nats.headers = connect.headers;
        nats.no_responders = connect.no_responders;
        Ok(())
    }

    /// Tells a client what was wrong; some offences end its connection, once it was sent what is queued
    /// for it.
    pub(in crate::broker) fn offend(&mut self, slot: u32, offence: &Offence) {
        if matches!(self.sessions.get(slot).phase, Phase::Finishing | Phase::Closing) {
            return;
        }
        self.counters.errors_sent.add(1);
        if matches!(offence, Offence::AuthorizationViolation | Offence::AuthenticationTimeout) {
            self.counters.logins_refused.add(1);
            self.notice(slot, Event::LoginRefused { why: offence.text().into_owned() });
        }
        let session = self.sessions.get(slot);
        let takes_what_is_queued = session.phase == Phase::Open
            && !session.broken
            && !matches!(offence, Offence::SlowConsumer | Offence::StaleConnection);
        if offence.closes() {
            session.why_closed = Cow::Owned(offence.text().into_owned());
        }
        if offence.closes() && takes_what_is_queued {
            let mut last_words = BytesMut::new();
            offence.encode(&mut last_words);
            session.nats().last_words = last_words.freeze();
            return self.begin_last_fence(slot);
        }
        self.answer(slot, |out| offence.encode(out));
        if offence.closes() {
            self.close_with_answers(slot);
        }
    }

    /// What the broker refuses whatever the protocol, in the words of this one.
    pub(in crate::broker) fn offend_with(&mut self, slot: u32, reject: &Reject) {
        let offence = match reject {
            Reject::TooManyConnections { .. } => Offence::MaximumConnectionsExceeded,
            Reject::AuthTimeout { .. } => Offence::AuthenticationTimeout,
            Reject::SlowSubscriber { .. } => Offence::SlowConsumer,
            Reject::Stopping => return self.close_with_answers(slot),
            other => unreachable!("no command of NATS leads to: {other}"),
        };
        self.offend(slot, &offence);
    }

    /// Ends a connection without what is queued for it.
    pub(in crate::broker) fn revoke_nats(&mut self, slot: u32) {
        self.counters.errors_sent.add(1);
        let offence = Offence::AuthenticationRevoked;
        self.sessions.get(slot).why_closed = Cow::Owned(offence.text().into_owned());
        self.answer(slot, |out| offence.encode(out));
        self.close_with_answers(slot);
    }

    fn close_with_answers(&mut self, slot: u32) {
        let last: Bytes = std::mem::take(&mut self.sessions.get(slot).answers).freeze();
        self.close(slot, last);
    }
}

/// What CONNECT proves its client with; `nonce` is what that was given to sign.
fn credentials<'a>(connect: &'a Connect, nonce: &'a [u8]) -> Credentials<'a> {
    if !connect.nkey.is_empty() {
        Credentials::Nkey { public: &connect.nkey, signature: &connect.sig, nonce }
    } else if !connect.auth_token.is_empty() {
        Credentials::Token(&connect.auth_token)
    } else if !connect.user.is_empty() {
        Credentials::Password { user: &connect.user, password: &connect.pass }
    } else {
        Credentials::None
    }
}
