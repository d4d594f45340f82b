//! Which subscriptions of this core each topic reaches.
//!
//! # Always true
//! - A connection is reached at most once per message, under the earliest of its subscriptions that
//!   match, unless its subscriptions are sent each message.
//! - What a topic reaches is found again only when subscriptions that match it may have changed.

use hashbrown::HashMap;

use super::subscription::Subscription;
use super::subscriptions::SubscriptionIndex;
use crate::broker::message::TopicName;
use crate::broker::pattern::{Matcher, Seen};
use crate::protocol::TopicId;

/// The subscriptions that a topic reaches.
#[derive(Debug, Default)]
pub struct Reached {
    /// By connection, the earliest of each first.
    pub targets: Vec<SubscriptionIndex>,
    /// The most of them that one connection has.
    pub of_one_connection_max: usize,
}

/// What a topic reached when it was last looked up.
struct Known {
    seen: Seen,
    reached: Reached,
}

/// What topics reach.
#[derive(Default)]
pub struct Reach {
    active: Matcher,
    by_topic: HashMap<TopicId, Known>,
}

impl Reach {
    /// A subscription is active.
    pub fn insert(&mut self, pattern: &str, index: SubscriptionIndex) {
        self.active.insert(pattern, index.0);
    }

    /// A subscription is active no longer.
    pub fn remove(&mut self, pattern: &str, index: SubscriptionIndex) {
        self.active.remove(pattern, index.0);
    }

    /// The active subscriptions that match a topic.
    pub fn matches(&self, topic: &str) -> Vec<SubscriptionIndex> {
        let mut found = Vec::new();
        self.active.matches(topic, &mut found);
        found.into_iter().map(SubscriptionIndex).collect()
    }

    /// Takes the list of subscriptions that a topic reaches.
    pub fn take(
        &mut self,
        subscriptions: &[Option<Box<Subscription>>],
        topic: &TopicName,
    ) -> Reached {
        if !topic.is_retained() {
            return self.find(subscriptions, &topic.name);
        }
        if let Some(known) = self.by_topic.get_mut(&topic.id)
            && self.active.confirms(&mut known.seen, &topic.name)
        {
            return std::mem::take(&mut known.reached);
        }
        let mut reached = self.find(subscriptions, &topic.name);
        reached.targets.shrink_to_fit();
        let seen = self.active.see(&topic.name);
        self.by_topic.insert(topic.id, Known { seen, reached: Reached::default() });
        reached
    }

    /// Forgets what a topic that was removed reached.
    pub fn forget(&mut self, topic: TopicId) {
        self.by_topic.remove(&topic);
    }

    /// Gives back what `take` lent.
    pub fn put(&mut self, topic: &TopicName, reached: Reached) {
        if topic.is_retained() {
            self.by_topic.get_mut(&topic.id).expect("lent by `take`").reached = reached;
        }
    }

    fn find(&self, subscriptions: &[Option<Box<Subscription>>], topic: &str) -> Reached {
        let at = |index: &SubscriptionIndex| {
            subscriptions[index.0 as usize].as_ref().expect("it is active")
        };
        let mut targets = self.matches(topic);
        // Here, and not for every message: what a topic reaches is remembered.
        targets.retain(|index| at(index).filter.as_ref().is_none_or(|one| one.may_receive(topic)));
        // The earliest of each connection stays, in an order that does not depend on hashing.
        let key = |index: &SubscriptionIndex| (at(index).connection, at(index).order);
        targets.sort_unstable_by_key(key);
        targets.dedup_by(|later, earlier| {
            at(later).connection == at(earlier).connection && !at(later).is_sent_each
        });
        let of_each = targets.chunk_by(|one, other| at(one).connection == at(other).connection);
        let of_one_connection_max = of_each.map(<[_]>::len).max().unwrap_or(0);
        Reached { targets, of_one_connection_max }
    }
}
