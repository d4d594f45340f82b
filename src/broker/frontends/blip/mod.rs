//! BLIP/1: the native protocol. What the broker stores is what its clients send and read.
//!
//! | step | file |
//! |---|---|
//! | bytes become frames, each goes to what serves it | `serve` |
//! | HELLO, and WELCOME | `login` |
//! | OPEN and MESSAGES | `publish` |
//! | topics that are names for answers, and not retained | `ephemeral` |
//! | SUBSCRIBE and UNSUBSCRIBE | `subscribe` |
//! | slices go out as they are, behind the TOPIC and the GAPs they need | `put` |
//!
//! # Always true
//! - A TOPIC comes before the first message of its topic, and a GAP before any message behind what
//!   is missing.
//! - A refused frame was whole: the connection goes on behind it, unless the refusal is fatal.

mod ephemeral;
mod login;
mod publish;
mod put;
mod serve;
mod subscribe;

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use ephemeral::EphemeralOpens;

use super::keepalive::Silence;
use super::{Admission, Doors, Frontend, Protocol, Refusal, Send, Served};
use crate::broker::auth::Failed;
use crate::broker::connections::Phase;
use crate::broker::delivery::{Delivery, Pulled, SubscriptionIndex};
use crate::broker::ids::Slot;
use crate::broker::message::{Ack, Gap, TopicName};
use crate::broker::permissions::Permissions;
use crate::broker::topics::TopicsFull;
use crate::limits::TOPIC_ID_MAX;
use crate::protocol::{Reject, RequestId, Sequence, SubscriptionId, TopicId, decode, encode};

/// What became of an OPEN.
#[derive(Debug, Clone)]
enum Opened {
    /// The owner has not answered yet; frames go to it under the topic's name.
    Pending {
        /// The topic.
        name: Arc<str>,
        /// Frames have gone there.
        is_used: bool,
    },
    /// The topic's id.
    Topic(TopicId),
    /// Refused: frames are refused with it.
    Refused,
}

/// A client.
#[derive(Default)]
pub struct Client {
    /// Its OPENs by request.
    opens: HashMap<RequestId, Opened>,
    /// The kind of credentials it gave.
    auth_kind: u16,
    /// How many of those that are remembered were refused.
    refused: u32,
    /// Topics it was told the id of.
    announced: HashSet<TopicId>,
    /// Topics that it has to open again before it publishes there: its user's permissions were changed.
    /// Boxed: that happens to few.
    to_open_again: Option<Box<HashSet<TopicId>>>,
    /// Topics that it opened and has not published to.
    unused: HashSet<TopicId>,
    /// Those of them that it may not publish to. Boxed: most clients have none.
    only_receives: Option<Box<HashMap<TopicId, Arc<TopicName>>>>,
    /// The topic of its last frame, which is most often that of its next.
    last_published: Option<TopicId>,
    /// Topics that it opened under an id of its own. Boxed: most clients answer nothing.
    ephemeral: Option<Box<EphemeralOpens>>,
    /// The topic it was sent last, and the id it has been told for it.
    last_announced: Option<(Arc<TopicName>, TopicId)>,
    /// Its subscriptions by the number it gave them.
    subscriptions: HashMap<SubscriptionId, SubscriptionIndex>,
}

/// What clients share.
#[derive(Default)]
pub struct Shared {
    ephemeral_ids: EphemeralIds,
    /// The last gap of the send that is put together, not written yet: what follows may continue it.
    gap: Option<(TopicId, Gap)>,
}

/// Ids for ephemeral topics, each for one batch to one connection. They come down from the upper half
/// of all ids, which [`TOPICS_RANGE`](crate::limits::TOPICS_RANGE) leaves free, and begin again after
/// a billion.
#[derive(Default)]
struct EphemeralIds {
    given: u32,
}

impl EphemeralIds {
    fn next(&mut self) -> TopicId {
        self.given = (self.given + 1) % (TOPIC_ID_MAX / 2);
        TopicId(TOPIC_ID_MAX - self.given)
    }
}

impl Client {
    /// Sends a client an ERROR; a fatal one ends its connection.
    fn reject(&mut self, doors: &mut Doors<'_>, slot: Slot, reject: &Reject) {
        if let Some(failure) = login::failure_of(reject) {
            let why = reject.to_string();
            doors.count_failed_login(slot, Protocol::Blip, why, failure.into());
        }
        self.send_error(doors, slot, reject);
    }

    fn send_error(&mut self, doors: &mut Doors<'_>, slot: Slot, reject: &Reject) {
        doors.counters.errors_sent.add(1);
        if reject.is_fatal() {
            doors.connections.get(slot).set_why_closed(Cow::Owned(reject.to_string()));
            let mut last = doors.connections.take_answers(slot);
            encode::error(&mut last, reject);
            doors.close(slot, last.freeze());
        } else {
            doors.answer(slot, |out| encode::error(out, reject));
        }
    }
}

impl Frontend for Client {
    type Shared = Shared;

    const COPIES: bool = false;

    fn new(_: &mut Shared, _: &mut Doors<'_>, _: Slot) -> Client {
        Client::default()
    }

    fn begin(&mut self, _: &mut Shared, doors: &mut Doors<'_>, slot: Slot, admission: Admission) {
        match doors.refusal_of_new(admission) {
            Some(refusal) => self.reject(doors, slot, &refusal.to_reject()),
            None => doors.expect_login(slot),
        }
    }

    fn serve(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        bytes: &[u8],
    ) -> Served {
        self.serve_frame(shared, doors, slot, bytes)
    }

    fn frame_len(&self, bytes: &[u8]) -> Option<usize> {
        decode::frame_len(bytes)
    }

    fn refuse(&mut self, _: &mut Shared, doors: &mut Doors<'_>, slot: Slot, why: &Refusal) {
        self.reject(doors, slot, &why.to_reject());
    }

    fn login_answered(
        &mut self,
        _: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        answer: Result<Arc<Permissions>, Failed>,
    ) {
        match answer {
            Ok(permissions) => self.welcome(doors, slot, permissions),
            Err(failed) => self.refuse_login(doors, slot, failed),
        }
    }

    fn publishes_otherwise(&mut self) {
        self.forget_opens();
    }

    fn lost(
        &mut self,
        _: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        index: SubscriptionIndex,
    ) {
        self.end_lost_subscription(doors, slot, index);
    }

    fn known(
        &mut self,
        _: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        index: SubscriptionIndex,
    ) {
        self.subscribed(doors, slot, index);
    }

    fn opened(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        request: RequestId,
        opened: Result<(Arc<TopicName>, Sequence), TopicsFull>,
    ) {
        self.answer_open(shared, doors, slot, request, opened);
    }

    fn acked(&mut self, doors: &mut Doors<'_>, slot: Slot, topic: TopicId, ack: &Ack) {
        doors.connections.end_pending(slot);
        match ack.first {
            Some(first) => {
                let topic = self.opened_as(ack.topic).unwrap_or(topic);
                doors.answer(slot, |out| {
                    encode::ack(out, topic, ack.publish_id, first, ack.messages);
                });
            }
            // A refused OPEN had the one ERROR. A topic that was removed accepts nothing: which frames
            // that concerns, only their ACKs say.
            None => {
                if let Some(topic) = self.opened_as(ack.topic) {
                    doors.answer(slot, |out| {
                        encode::ack(out, topic, ack.publish_id, Sequence(0), 0);
                    });
                }
                doors.finish_if_empty(slot);
            }
        }
    }

    fn removed(&mut self, doors: &mut Doors<'_>, slot: Slot, topic: TopicId) {
        // Several batches may have been on their way: the client is told once.
        if self.announced.remove(&topic) && doors.connections.at(slot).phase() == Phase::Open {
            self.forget_id(topic);
            self.reject(doors, slot, &Reject::RemovedTopic { topic: topic.0 });
        }
    }

    fn put(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        send: &mut Send<'_>,
        piece: Pulled,
    ) {
        match piece {
            Pulled::Slice { slice, .. } => self.put_slice(shared, doors, slot, send, slice),
            Pulled::Gap { gap, .. } => self.put_gap(shared, doors, slot, send, gap),
            Pulled::End { index } => self.put_end(shared, doors, send, index),
        }
    }

    fn complete(
        &mut self,
        shared: &mut Shared,
        _: &mut Doors<'_>,
        _: Slot,
        send: &mut Send<'_>,
    ) -> bool {
        shared.write_gap(send);
        false
    }

    fn retired(
        &mut self,
        _: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        id: SubscriptionId,
        is_to_end: bool,
    ) {
        if is_to_end {
            doors.answer(slot, |out| encode::unsubscribed(out, id));
        }
    }

    fn silent(&mut self, _: &mut Shared, doors: &mut Doors<'_>, slot: Slot) {
        // Behind CLOSE the client says nothing more.
        if doors.connections.at(slot).phase() != Phase::Open {
            return;
        }
        match doors.check_silence(Protocol::Blip, slot) {
            Silence::Short => {}
            Silence::Asked(number) => {
                doors.answer(slot, |out| encode::ping(out, u64::from(number)));
            }
            Silence::TooLong { pings, silent_ms } => {
                self.reject(doors, slot, &Reject::Silent { pings, silent_ms });
            }
        }
    }

    fn leave(&mut self, doors: &mut Doors<'_>, slot: Slot) {
        self.stopping(doors, slot);
    }

    fn stopping(&mut self, doors: &mut Doors<'_>, slot: Slot) {
        doors.answer(slot, |out| {
            encode::goodbye(out, "the server is stopping: reconnect later or elsewhere");
        });
    }

    fn subscriptions(&self, delivery: &Delivery, slot: Slot) -> usize {
        delivery.subscriptions_of(slot)
    }
}
