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

/// What a topic reached when it was last looked up.
struct Targets {
    seen: Seen,
    targets: Vec<SubscriptionIndex>,
}

/// What topics reach.
#[derive(Default)]
pub struct Reach {
    active: Matcher,
    by_topic: HashMap<TopicId, Targets>,
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
    ) -> Vec<SubscriptionIndex> {
        if !topic.is_retained() {
            return self.find(subscriptions, &topic.name);
        }
        if let Some(known) = self.by_topic.get_mut(&topic.id)
            && self.active.confirms(&mut known.seen, &topic.name)
        {
            return std::mem::take(&mut known.targets);
        }
        let mut targets = self.find(subscriptions, &topic.name);
        targets.shrink_to_fit();
        let seen = self.active.see(&topic.name);
        self.by_topic.insert(topic.id, Targets { seen, targets: Vec::new() });
        targets
    }

    /// Forgets what a topic that was removed reached.
    pub fn forget(&mut self, topic: TopicId) {
        self.by_topic.remove(&topic);
    }

    /// Gives back what `take` lent.
    pub fn put(&mut self, topic: &TopicName, targets: Vec<SubscriptionIndex>) {
        if topic.is_retained() {
            self.by_topic.get_mut(&topic.id).expect("lent by `take`").targets = targets;
        }
    }

    fn find(
        &self,
        subscriptions: &[Option<Box<Subscription>>],
        topic: &str,
    ) -> Vec<SubscriptionIndex> {
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
        targets
    }
}
