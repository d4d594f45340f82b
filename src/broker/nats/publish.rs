//! PUB and HPUB: a message becomes a MESSAGES frame in its subject's batch of this turn.
//!
//! The owner of the subject finds or makes its topic, and answers requests that nobody listens to.
//! Called by `receive`. Next on the path: `ingest`.

use std::sync::Arc;

use super::super::portion::Publisher;
use super::super::session::{Paused, Phase};
use super::super::{Broker, ConnectionId, Now};
use super::INBOX_PREFIX;
use crate::nats::command::{self, Bounds, Command, Publish};
use crate::nats::error::Offence;
use crate::nats::{message, subject};
use crate::protocol::name::{self, SYSTEM_PREFIX};

/// A request whose publisher wants to know at once if nobody listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// The publisher's, on the core that took the message in.
    pub connection: ConnectionId,
    /// Where it waits for answers.
    pub reply: Box<str>,
}

/// A request that nobody listens to.
#[derive(Debug)]
pub struct Unheard {
    /// What it was sent to.
    pub subject: Arc<str>,
    /// By whom.
    pub requester: Requester,
}

/// Whether a subject is kept as a topic if there is room: nobody asks for old messages of an inbox,
/// and what no BLIP/1 client could name is of no use to it.
pub fn is_worth_keeping(subject: &str) -> bool {
    !subject.starts_with(INBOX_PREFIX)
        && !subject.starts_with(SYSTEM_PREFIX)
        && name::check_topic(subject).is_ok()
}

/// No subscription matches such a subject.
fn has_empty_token(subject: &[u8]) -> bool {
    subject.split(|byte| *byte == b'.').any(<[u8]>::is_empty)
}

impl Broker {
    /// Whether a publish has to wait; if so it is tried again later.
    pub(super) fn nats_publish_waits(&mut self, slot: u32, publish: &Publish<'_>) -> bool {
        let blocked = match self.blocks.are_none() {
            true => None,
            false => std::str::from_utf8(publish.subject)
                .ok()
                .and_then(|subject| self.blocks.topic_that_waits(subject)),
        };
        if let Some(topic) = blocked {
            self.pause(slot, Paused::Blocked(topic));
            return true;
        }
        // It may be for a group this connection has just joined, and the coordinator not know yet.
        if self.sessions.get(slot).nats().joining_groups > 0 {
            self.begin_quiet_fence(slot);
            return true;
        }
        if !self.ingest.has_room() {
            self.leave_for_later(slot);
            return true;
        }
        // Requests before it are told first that nobody serves them.
        publish.reply.is_some()
            && self.sessions.get(slot).nats().no_responders
            && (has_empty_token(publish.subject)
                || publish.subject.starts_with(SYSTEM_PREFIX.as_bytes()))
            && self.follows_publish(slot, b">")
    }

    pub(super) fn nats_publish(
        &mut self,
        now: Now,
        slot: u32,
        publish: &Publish<'_>,
    ) -> Result<(), Offence> {
        let connection = self.sessions.id(slot);
        let nats = self.sessions.get(slot).nats();
        if !publish.headers.is_empty() && !nats.headers {
            return Err(Offence::HeadersNotSupported);
        }
        let Ok(subject) = std::str::from_utf8(publish.subject) else {
            return Err(Offence::InvalidPublishSubject);
        };
        if nats.pedantic && !subject::is_valid_literal(publish.subject) {
            self.offend(slot, &Offence::InvalidPublishSubject);
        }
        let session = self.sessions.get(slot);
        let permissions = &session.permissions;
        if !permissions.is_unlimited() && !permissions.may_publish(subject) {
            return Err(Offence::publish_violation(publish.subject));
        }
        if subject.starts_with(SYSTEM_PREFIX) {
            return self.refuse_system_subject(slot, subject, publish);
        }
        let nats = session.nats();
        // No client sends these, and no subscription can match them.
        if has_empty_token(publish.subject) {
            if let Some(Ok(reply)) = publish.reply.map(std::str::from_utf8)
                && nats.no_responders
            {
                self.tell_no_responders(slot, subject, reply);
            }
            return Ok(());
        }
        if !self.has_memory() {
            self.counters.refused_for_memory_messages.add(1);
            return Ok(());
        }
        let session = self.sessions.get(slot);
        let nats = session.nats();
        let not_to = (!nats.echo).then(|| Arc::new(Publisher { core: self.core, connection }));
        let wants_responder = nats.no_responders && publish.reply.is_some();
        let frame_len = message::frame_len(publish);
        let ttl_ms = self.cluster.settings.delivery.default_ttl_ms;
        let batch =
            self.ingest.for_subject(now, subject, ttl_ms, not_to, frame_len, &mut nats.place);
        message::append_frame(&mut batch.frames, publish)?;
        batch.messages += 1;
        session.traffic.add_published(1, frame_len);
        if wants_responder
            && let Some(reply) = publish.reply
            && let Ok(reply) = std::str::from_utf8(reply)
        {
            batch.requests.push(Requester { connection, reply: reply.into() });
        }
        self.note_owner(slot, subject);
        Ok(())
    }

    /// Messages to the subject of the connection's last one, as many as follow at the start of
    /// `bytes`; returns how many bytes they were. What was looked at for the first holds for these.
    pub(super) fn nats_publish_more(
        &mut self,
        now: Now,
        slot: u32,
        bytes: &[u8],
        bounds: Bounds,
    ) -> usize {
        let session = self.sessions.get(slot);
        let goes_on = session.phase == Phase::Open && session.paused.is_none();
        let nats = session.nats();
        let is_answered = nats.verbose || nats.pedantic;
        if !goes_on || is_answered || !self.blocks.are_none() || self.cluster.memory.is_full() {
            return 0;
        }
        let (mut consumed, mut messages) = (0, 0);
        while let Ok(Some((Command::Publish(publish), len))) =
            command::parse(&bytes[consumed..], bounds)
        {
            let is_special = (publish.reply.is_some() && nats.no_responders)
                || (!publish.headers.is_empty() && !nats.headers);
            let frame_len = message::frame_len(&publish);
            if is_special
                || !self.ingest.append_to_last(now, nats.place, publish.subject, frame_len, |out| {
                    message::append_frame(out, &publish).is_ok()
                })
            {
                break;
            }
            consumed += len;
            messages += 1;
        }
        session.traffic.add_published(messages, consumed);
        consumed
    }

    /// The broker's own subjects: a request is told that nobody serves it, anything else is refused.
    fn refuse_system_subject(
        &mut self,
        slot: u32,
        subject: &str,
        publish: &Publish<'_>,
    ) -> Result<(), Offence> {
        let nats = self.sessions.get(slot).nats();
        match publish.reply.map(std::str::from_utf8) {
            Some(Ok(reply)) if nats.no_responders => {
                self.tell_no_responders(slot, subject, reply);
                Ok(())
            }
            _ => Err(Offence::publish_violation(subject.as_bytes())),
        }
    }

    /// Notes that the subject is another core's. If that core cannot keep up, the connection is not
    /// read for a while.
    fn note_owner(&mut self, slot: u32, subject: &str) {
        if self.cluster.cores == 1 {
            return;
        }
        self.sessions.get(slot).nats().publishes_to_groups = true;
        let owner = self.cluster.core_of(self.cluster.shard_of_name(subject));
        if owner == self.core {
            return;
        }
        self.sessions.get(slot).nats().publishes_elsewhere = true;
        self.wait_for_mesh(slot, owner);
    }

    /// The owner of a request's subject says that nobody listens to it.
    pub(in crate::broker) fn no_responders(&mut self, unheard: &Unheard) {
        let Requester { connection, reply } = &unheard.requester;
        // The connection may be gone by now.
        if self.sessions.find_id(*connection).is_some() {
            self.tell_no_responders(connection.slot, &unheard.subject, reply);
        }
    }

    /// Status 503 to the subscription of the requester that waits for the answer, if there is one.
    fn tell_no_responders(&mut self, slot: u32, subject: &str, reply: &str) {
        // As little as with a message there.
        if has_empty_token(reply.as_bytes()) {
            return;
        }
        let Some(index) = self.subscriptions.of_connection(slot, reply) else { return };
        self.counters.no_responders.add(1);
        let sid = self.subscriptions.get(index).sid.clone().expect("it is a NATS client's");
        let headers = format!("NATS/1.0 503\r\nNats-Subject: {subject}\r\n\r\n");
        let lens = format!(" {0} {0}\r\n", headers.len());
        self.answer(slot, |out| {
            for part in [b"HMSG ", reply.as_bytes(), b" ", &sid, lens.as_bytes()] {
                out.extend_from_slice(part);
            }
            out.extend_from_slice(headers.as_bytes());
            out.extend_from_slice(b"\r\n");
        });
    }
}
