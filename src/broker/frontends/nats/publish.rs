//! PUB and HPUB: a message becomes a MESSAGES frame in its subject's batch of this turn.
//!
//! The owner of the subject finds or makes its topic, and answers requests that nobody listens to.

use std::sync::Arc;

use super::{Client, Doors, Shared};
use crate::broker::connections::Phase;
use crate::broker::ids::Slot;
use crate::broker::message::{NotTo, Publisher, Requester};
use crate::nats::command::{self, Bounds, Command, Publish};
use crate::nats::error::Offence;
use crate::nats::{message, subject};
use crate::protocol::name::SYSTEM_PREFIX;

/// No subscription matches such a subject.
fn has_empty_token(subject: &[u8]) -> bool {
    subject.split(|byte| *byte == b'.').any(<[u8]>::is_empty)
}

impl Client {
    /// Whether a publish has to wait; if so, puts the connection where it waits.
    pub(super) fn publish_waits(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        publish: &Publish<'_>,
    ) -> bool {
        if std::str::from_utf8(publish.subject)
            .is_ok_and(|subject| doors.hold_if_blocked(slot, subject))
        {
            return true;
        }
        // It may be for a group this connection has just joined, and the coordinator not know yet.
        if self.joining_groups > 0 {
            self.begin_fence(shared, doors, slot, false);
            return true;
        }
        if doors.leave_if_turn_is_full(slot) {
            return true;
        }
        if doors.hold_for_memory(slot) {
            return true;
        }
        // The answers to requests before it come first.
        publish.reply.is_some()
            && self.options.no_responders
            && (has_empty_token(publish.subject)
                || publish.subject.starts_with(SYSTEM_PREFIX.as_bytes()))
            && self.waits_for_publish(shared, doors, slot, b">")
    }

    pub(super) fn publish(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        publish: &Publish<'_>,
    ) -> Result<(), Offence> {
        if !publish.headers.is_empty() && !self.options.headers {
            return Err(Offence::HeadersNotSupported);
        }
        let Ok(subject) = std::str::from_utf8(publish.subject) else {
            return Err(Offence::InvalidPublishSubject);
        };
        if self.options.pedantic && !subject::is_valid_literal(publish.subject) {
            self.offend(shared, doors, slot, &Offence::InvalidPublishSubject);
        }
        let permissions = doors.connections.at(slot).permissions();
        let is_allowed = permissions.is_unlimited() || permissions.may_publish(subject);
        if !is_allowed && !self.may_respond(doors, slot, subject) {
            return Err(Offence::publish_violation(publish.subject));
        }
        // No subscription by name can match.
        if doors.check_depth(subject).is_err() {
            return Err(Offence::InvalidPublishSubject);
        }
        if subject.starts_with(SYSTEM_PREFIX) {
            return self.refuse_system_subject(doors, slot, subject, publish);
        }
        // No client sends these, and no subscription can match them.
        if has_empty_token(publish.subject) {
            if let Some(Ok(reply)) = publish.reply.map(std::str::from_utf8)
                && self.options.no_responders
            {
                self.answer_no_responders(doors, slot, subject, reply);
            }
            return Ok(());
        }
        if !doors.has_memory() {
            doors.counters.refused_for_memory_messages.add(1);
            return Ok(());
        }
        self.add(doors, slot, subject, publish)
    }

    /// Adds a message to what this turn brings for its subject.
    fn add(
        &mut self,
        doors: &mut Doors<'_>,
        slot: Slot,
        subject: &str,
        publish: &Publish<'_>,
    ) -> Result<(), Offence> {
        let connection = doors.connections.id(slot);
        let publisher = Publisher { core: doors.core, connection };
        let not_to = (!self.options.echo).then(|| Arc::new(NotTo::Publisher(publisher)));
        let frame_len = message::frame_len(publish);
        let (now, ttl_ms) = (doors.now, doors.settings().delivery.default_ttl_ms);
        let place = &mut self.place;
        let batch = doors.ingest.for_name(now, subject, ttl_ms, not_to, frame_len, place);
        message::append_frame(&mut batch.frames, publish)?;
        batch.messages += 1;
        if let Some(Ok(reply)) = publish.reply.map(std::str::from_utf8) {
            if self.options.no_responders {
                let message = batch.messages - 1;
                batch.requests.push(Requester { connection, reply: reply.into(), message });
            }
            doors.note_reply(slot, reply);
        }
        doors.connections.get(slot).add_published(1, frame_len);
        self.note_owner(doors, slot, subject);
        Ok(())
    }

    /// Messages to the subject of the connection's last one, as many as follow at the start of
    /// `bytes`; returns how many bytes they were. What was looked at for the first holds for these.
    pub(super) fn publish_more(
        &mut self,
        doors: &mut Doors<'_>,
        slot: Slot,
        bytes: &[u8],
        bounds: Bounds,
    ) -> usize {
        let connection = doors.connections.at(slot);
        let goes_on = connection.phase() == Phase::Open
            && connection.held_for().is_none()
            // Each answer to a request is counted.
            && connection.permissions().responses().is_none();
        let is_answered = self.options.verbose || self.options.pedantic;
        let must_look = doors.delivery.blocks_any() || doors.cluster.memory.is_full();
        if !goes_on || is_answered || must_look {
            return 0;
        }
        let (mut consumed, mut messages) = (0, 0);
        while let Ok(Some((Command::Publish(publish), len))) =
            command::parse(&bytes[consumed..], bounds)
        {
            let is_special =
                publish.reply.is_some() || (!publish.headers.is_empty() && !self.options.headers);
            let frame_len = message::frame_len(&publish);
            let (now, subject) = (doors.now, publish.subject);
            if is_special
                || !doors.ingest.append_to_last(now, self.place, subject, frame_len, |out| {
                    message::append_frame(out, &publish).is_ok()
                })
            {
                break;
            }
            consumed += len;
            messages += 1;
        }
        doors.connections.get(slot).add_published(messages, consumed);
        consumed
    }

    /// The broker's own subjects: a request there has no responders, anything else is refused.
    fn refuse_system_subject(
        &mut self,
        doors: &mut Doors<'_>,
        slot: Slot,
        subject: &str,
        publish: &Publish<'_>,
    ) -> Result<(), Offence> {
        match publish.reply.map(std::str::from_utf8) {
            Some(Ok(reply)) if self.options.no_responders => {
                self.answer_no_responders(doors, slot, subject, reply);
                Ok(())
            }
            _ => Err(Offence::publish_violation(subject.as_bytes())),
        }
    }

    /// Notes that the subject is another core's. If that core cannot keep up, the connection is not
    /// read for a while.
    fn note_owner(&mut self, doors: &mut Doors<'_>, slot: Slot, subject: &str) {
        if doors.cluster.cores == 1 {
            return;
        }
        self.publishes_to_groups = true;
        let owner = doors.cluster.core_of(doors.cluster.shard_of_name(subject));
        if owner != doors.core {
            self.publishes_elsewhere = true;
            doors.hold_for_mesh(slot, owner);
        }
    }

    /// Status 503 to the subscription of the requester that waits for the answer, if there is one.
    pub(super) fn answer_no_responders(
        &self,
        doors: &mut Doors<'_>,
        slot: Slot,
        subject: &str,
        reply: &str,
    ) {
        // As little as with a message there.
        if has_empty_token(reply.as_bytes()) {
            return;
        }
        let Some(index) = doors.delivery.of_connection(slot, reply) else { return };
        doors.counters.no_responders.add(1);
        let sid = doors.delivery.get(index).name.clone().expect("its client named it");
        let headers = format!("NATS/1.0 503\r\nNats-Subject: {subject}\r\n\r\n");
        let lens = format!(" {0} {0}\r\n", headers.len());
        doors.answer(slot, |out| {
            for part in [b"HMSG ", reply.as_bytes(), b" ", &sid, lens.as_bytes()] {
                out.extend_from_slice(part);
            }
            out.extend_from_slice(headers.as_bytes());
            out.extend_from_slice(b"\r\n");
        });
    }
}
