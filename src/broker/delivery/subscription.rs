//! One subscription: what it asks for, how far it is, and its queue.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::GAP_TOPICS;
use super::group::GroupName;
use super::outlets::Rank;
use super::overflow::Lost;
use super::queue::{Bounds, Queue};
use super::subscriptions::SubscriptionIndex;
use crate::broker::cluster::{Cluster, CoreSet};
use crate::broker::holders::Listed;
use crate::broker::ids::ConnectionId;
use crate::broker::message::TopicName;
use crate::broker::pattern;
use crate::broker::permissions::Permissions;
use crate::broker::topics::replay::Progress;
use crate::config::OverflowPolicy;
use crate::protocol::name::SYSTEM_PREFIX;
use crate::protocol::{CoreId, SubscriptionId, TopicId};

/// How far a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Other cores have not all confirmed that they know it.
    Joining,
    /// It gets messages.
    Active,
    /// It gets no more; its end is reported behind what is queued.
    Ending,
    /// Its connection closes: it gets no more, and nothing follows what is queued.
    Closing,
}

/// A subscription that may be gone: its index, and the number that no other has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubscriptionRef {
    /// On its core.
    pub index: SubscriptionIndex,
    /// Distinguishes it from an earlier one under the same index.
    pub number: u64,
}

/// One subscription.
#[derive(Debug)]
pub struct Subscription {
    /// Its connection.
    pub connection: ConnectionId,
    /// Its place among the subscriptions of its connection.
    pub(super) place: u32,
    /// The number its frontend gave it.
    pub id: SubscriptionId,
    /// How far it is.
    pub state: State,
    /// At the bound of its queue.
    pub policy: OverflowPolicy,
    /// It is active on this core before other cores know it.
    pub(super) is_active_at_once: bool,
    /// It is sent each message, whatever else of its connection matches.
    pub(super) is_sent_each: bool,
    /// Its protocol can name topics that are not legal.
    pub(super) takes_any_name: bool,
    /// Its client has asked for its end while it waited for answers; others of its connection may
    /// count on what it was given, so it ends only once it is active.
    pub(super) ends: bool,
    /// Active, but other cores have not all confirmed that they know it, or its coordinator not
    /// that it has left.
    pub(super) awaits_cores: bool,
    /// Its queue was full before.
    pub(super) has_overflowed: bool,
    /// It is about to leave its group, and gets what it was dealt until then.
    pub(super) leaves_group: bool,
    /// Where it is on its connection's list of those with something to send, if it has something.
    pub(super) listed: Option<Rank>,
    /// Among its connection's queues, by what they hold.
    pub(super) listed_by_bytes: Listed,
    /// It could be active, but for others of its connection: how many were deferred before.
    pub(super) deferred: Option<u64>,
    /// What its client calls it, if not by its number. Unread here.
    pub name: Option<Box<[u8]>>,
    /// What it asks for.
    pub pattern: Arc<str>,
    /// Bytes that it counts for, beside its queue.
    pub(super) held_bytes: u64,
    /// Distinguishes it from others under the same index, now or earlier.
    pub number: u64,
    /// Lower if active earlier. Not by when it was asked for: a topic stays with the subscription
    /// it is queued under until that one ends, else later messages could overtake.
    pub(super) order: u64,
    /// Its place among all that were ended.
    pub(super) ended: u64,
    /// Messages it was given, or would have been if its queue had room.
    pub taken: u64,
    /// It ends when it was given so many.
    pub taken_max: u64,
    /// Messages it was sent.
    pub delivered_messages: u64,
    /// Messages it was not sent.
    pub lost: Lost,
    /// The bound of its queue.
    pub bounds: Bounds,
    /// What it has still to be sent.
    pub queue: Queue,
    /// It is not sent topics that these do not allow.
    pub(super) filter: Option<Arc<Permissions>>,
    /// The group it is a member of.
    pub(super) group: Option<Box<GroupName>>,
    /// Answers with retained messages that it waits for.
    pub(super) joining: Option<Box<Joining>>,
    /// How many slices cores have answered it with that it was not sent.
    pub(super) replay_unsent: Vec<(CoreId, u64)>,
    /// Publishers that wait for it.
    pub(super) blocking: Option<Box<Blocking>>,
}

/// The answers that a subscription which does not start live waits for.
#[derive(Debug, Default)]
pub(super) struct Joining {
    /// Some core has answered, at least in part.
    pub is_answered: bool,
    /// Cores that have answered for all their topics.
    pub joined: CoreSet,
    /// How far the others are, where they have answered in part.
    pub progress: Vec<(CoreId, Progress)>,
    /// Cores that have not answered in full.
    pub unanswered: u16,
}

impl Joining {
    /// Whether what is accepted for a topic from now on is the subscription's.
    pub fn has_joined(&self, cluster: &Cluster, topic: &TopicName) -> bool {
        let progress = || self.progress.iter().find(|(core, _)| *core == topic.owner);
        self.joined.contains(topic.owner)
            || (topic.is_retained()
                && progress().is_some_and(|(_, progress)| progress.has_passed(cluster, topic.id)))
    }
}

/// What a subscription holds up.
#[derive(Debug, Default)]
pub(super) struct Blocking {
    /// Topics whose publishers wait for its queue.
    pub topics: BTreeSet<TopicId>,
    /// Its place among all that began to hold something up.
    pub number: u64,
    /// Its connection looks at it again when its queues together are half empty.
    pub awaits_connection: bool,
}

impl Subscription {
    /// Its name for other cores and later turns.
    pub fn reference(&self, index: SubscriptionIndex) -> SubscriptionRef {
        SubscriptionRef { index, number: self.number }
    }

    /// Where its connection sends it.
    pub(super) fn rank(&self) -> Rank {
        match self.state {
            _ if self.queue.has_replay() => Rank::Replays,
            State::Ending => Rank::Ends,
            _ => Rank::InTurn,
        }
    }

    /// Whether it may be sent what subscriptions of other protocols missed.
    pub(super) fn hears_of_gaps(&self) -> bool {
        self.pattern.starts_with(SYSTEM_PREFIX) && pattern::overlap(&self.pattern, GAP_TOPICS)
    }

    /// The group it is a member of.
    pub fn group(&self) -> Option<&GroupName> {
        self.group.as_deref()
    }

    /// How many topics' publishers wait for it.
    pub fn blocked_topics(&self) -> usize {
        self.blocking.as_ref().map_or(0, |blocking| blocking.topics.len())
    }

    /// Whether its connection waits for what other cores have to say of it.
    pub fn is_pending(&self) -> bool {
        self.state == State::Joining || self.awaits_cores
    }

    /// Whether its client has asked for its end while it waited for answers.
    pub fn is_to_end(&self) -> bool {
        self.ends
    }

    /// Whether it gets messages, but was given all its client asked for.
    pub fn has_had_enough(&self) -> bool {
        self.taken >= self.taken_max && matches!(self.state, State::Joining | State::Active)
    }

    /// Whether it is about to leave its group.
    pub fn is_leaving_group(&self) -> bool {
        self.leaves_group
    }
}
