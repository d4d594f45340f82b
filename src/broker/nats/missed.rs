//! What a NATS subscription missed, told on the subject `$SYS.GAP.<client id>`.
//!
//! The protocol has no word for it, and clients close for good on an error they do not know. So who
//! wants to know subscribes: a client to its own, whose number INFO told it, or a monitor to all.
//!
//! # Always true
//! - What a listener to these subjects misses of them is counted, not told: it would be told on them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::super::gaps::Gap;
use super::super::subscriptions::Subscription;
use super::super::{Broker, Now};
use crate::nats::command::Publish;
use crate::nats::message;
use crate::protocol::GapReason;
use crate::protocol::name::SYSTEM_PREFIX;

/// Where it is told, for whatever client.
pub const GAP_SUBJECTS: &str = "$SYS.GAP.*";

/// Messages that a subscription did not get.
pub struct Missed {
    sid: Box<[u8]>,
    /// What the subscription is to.
    pattern: Arc<str>,
    gap: Gap,
}

impl Missed {
    /// Of a NATS client's subscription.
    pub fn new(subscription: &Subscription, gap: Gap) -> Missed {
        let sid = subscription.sid.clone().expect("it is a NATS client's");
        Missed { sid, pattern: subscription.pattern.clone(), gap }
    }

    /// Joins a gap to this one if it continues it; returns whether it did.
    pub fn extend(&mut self, subscription: &Subscription, gap: &Gap) -> bool {
        subscription.sid.as_ref() == Some(&self.sid) && self.gap.extend(gap)
    }

    fn to_json(&self, client_id: u64) -> Vec<u8> {
        let reason = match self.gap.reason {
            GapReason::Overflow => "overflow",
            GapReason::Expired => "expired",
            GapReason::NoLongerKept => "no_longer_kept",
            GapReason::Conflated => "conflated",
        };
        // Of subjects that are not kept several are told as one, which has no first sequence.
        let (subject, first) = match self.gap.topic.is_kept() {
            true => (&*self.gap.topic.name, self.gap.first.0),
            false => (&*self.pattern, 0),
        };
        let document = json!({
            "client_id": client_id,
            "sid": String::from_utf8_lossy(&self.sid),
            "subject": subject,
            "first": first,
            "messages": self.gap.messages,
            "reason": reason,
        });
        document.to_string().into_bytes()
    }
}

impl Broker {
    /// Publishes what the subscriptions of a connection missed.
    pub(in crate::broker) fn tell_missed(&mut self, now: Now, slot: u32, missed: &[Missed]) {
        if self.cluster.gap_listeners.load(Ordering::Relaxed) == 0 {
            return;
        }
        for missed in missed {
            if missed.gap.topic.name.starts_with(SYSTEM_PREFIX) {
                continue;
            }
            let nats = self.sessions.get(slot).nats();
            let subject = format!("{SYSTEM_PREFIX}GAP.{}", nats.client_id);
            let payload = missed.to_json(nats.client_id);
            let publish = Publish {
                subject: subject.as_bytes(),
                reply: None,
                headers: b"",
                payload: &payload,
            };
            let frame_len = message::frame_len(&publish);
            let batch = self.ingest.for_subject(now, &subject, 0, None, frame_len, &mut nats.place);
            message::append_frame(&mut batch.frames, &publish).expect("it has no headers");
            batch.messages += 1;
        }
    }
}
