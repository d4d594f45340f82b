//! Pieces of a send as NATS text; and what subscriptions missed, published on `$SYS.GAP.<client id>`.
//!
//! The protocol has no word for a gap, and clients close for good on an error they do not know. So a
//! client that wants to know of gaps subscribes: to its own, whose number INFO gave, or as a monitor to
//! all.
//!
//! # Always true
//! - Whoever may not subscribe to what was missed hears nothing of it, but for the connection that
//!   missed it.
//! - What a listener to these subjects misses of them is counted, not published: it would be on them.

use std::sync::Arc;

use serde_json::json;

use super::{Client, Doors, Protocol, Send, Shared};
use crate::broker::delivery::{Subscription, SubscriptionIndex};
use crate::broker::ids::Slot;
use crate::broker::message::{Gap, NotTo, Publisher, Slice};
use crate::nats::command::Publish;
use crate::nats::message::{self, Variant};
use crate::protocol::GapReason;
use crate::protocol::name::SYSTEM_PREFIX;

/// The texts of this protocol, with headers and without.
const TEXT: u8 = 0;
const TEXT_WITH_HEADERS: u8 = 1;

/// Messages that a subscription did not get.
#[derive(Debug)]
pub(super) struct Missed {
    sid: Box<[u8]>,
    /// What the subscription is to.
    pattern: Arc<str>,
    gap: Gap,
}

impl Missed {
    /// Notes a gap of a subscription, joined to the last if it continues that.
    pub(super) fn note(missed: &mut Vec<Missed>, subscription: &Subscription, gap: Gap) {
        let sid = subscription.name.as_ref().expect("its client named it");
        if let Some(last) = missed.last_mut()
            && last.sid == *sid
            && last.gap.extend(&gap)
        {
            return;
        }
        let pattern = subscription.pattern.clone();
        missed.push(Missed { sid: sid.clone(), pattern, gap });
    }

    /// The subject that the messages are reported under, and the first sequence. Of ephemeral subjects
    /// several are reported as one, which has no first sequence.
    fn about(&self) -> (&Arc<str>, u64) {
        match self.gap.topic.is_retained() {
            true => (&self.gap.topic.name, self.gap.first.0),
            false => (&self.pattern, 0),
        }
    }

    fn to_json(&self, client_id: u64) -> Vec<u8> {
        let reason = match self.gap.reason {
            GapReason::Overflow => "overflow",
            GapReason::Expired => "expired",
            GapReason::NoLongerKept => "no_longer_kept",
            GapReason::Conflated => "conflated",
        };
        let (subject, first) = self.about();
        let document = json!({
            "client_id": client_id,
            "sid": String::from_utf8_lossy(&self.sid),
            "subject": **subject,
            "first": first,
            "messages": self.gap.messages,
            "reason": reason,
        });
        document.to_string().into_bytes()
    }
}

impl Client {
    pub(super) fn put_slice(
        &mut self,
        doors: &mut Doors<'_>,
        send: &mut Send<'_>,
        (slot, index): (Slot, SubscriptionIndex),
        slice: &Slice,
    ) {
        self.note_requests(doors, slot, slice);
        let subscription = doors.delivery.get(index);
        let sid = subscription.name.as_deref().expect("its client named it");
        let headers = self.options.headers;
        let variant = if headers { TEXT_WITH_HEADERS } else { TEXT };
        let memory = &doors.cluster.memory;
        let name = (Protocol::Nats, sid, variant);
        let text = doors.texts.of(doors.now, doors.timers, memory, slice, name, |out| {
            let subject = slice.topic.name.as_bytes();
            message::encode(out, &slice.frames, &Variant { subject, sid, headers });
        });
        send.push(text);
    }

    /// Publishes what the subscriptions of the connection missed.
    pub(super) fn publish_missed(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
    ) {
        // Limit: what is missed while the broker stops is counted and not published. Other cores were
        // promised that nothing is published any more, and may be gone.
        if !doors.delivery.gaps_are_heard() || doors.drain.said_requests {
            return shared.missed.clear();
        }
        for missed in shared.missed.drain(..) {
            if missed.gap.topic.name.starts_with(SYSTEM_PREFIX) {
                continue;
            }
            let subject = format!("{SYSTEM_PREFIX}GAP.{}", self.client_id);
            let payload = missed.to_json(self.client_id);
            let of = Publisher { core: doors.core, connection: doors.connections.id(slot) };
            let not_to = Arc::new(NotTo::Unprivileged { about: missed.about().0.clone(), of });
            let publish = Publish {
                subject: subject.as_bytes(),
                reply: None,
                headers: b"",
                payload: &payload,
            };
            let (now, place) = (doors.now, &mut self.place);
            let frame_len = message::frame_len(&publish);
            let batch = doors.ingest.for_name(now, &subject, 0, Some(not_to), frame_len, place);
            message::append_frame(&mut batch.frames, &publish).expect("it has no headers");
            batch.messages += 1;
        }
    }
}
