//! Subscriptions that are not active yet, because they or others of their connection wait for answers
//! with what topics retain.
//!
//! # Always true
//! - Subscriptions of a connection that wait for answers become active in the order in which they
//!   asked, and those that wait for nothing themselves behind all of them.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::subscription::Subscription;
use super::subscriptions::SubscriptionIndex;
use crate::broker::ids::ConnectionId;
use crate::broker::pattern::Matcher;

/// The subscriptions of one connection that are not active yet.
#[derive(Debug, Default)]
struct OfConnection {
    /// Those that wait for answers, by number: in the order in which they asked.
    joining: BTreeMap<u64, SubscriptionIndex>,
    /// Those that could be active, but for others that wait for answers; in the order of `deferrals`.
    deferred: BTreeMap<u64, SubscriptionIndex>,
}

/// The subscriptions of a core that are not active yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    of: HashMap<ConnectionId, OfConnection>,
    deferrals: u64,
    /// The patterns of all of them.
    patterns: Matcher,
    /// Those that some core has answered at least in part: they may get what comes from its topics.
    answered: Matcher,
    answered_count: usize,
}

impl Waiting {
    /// A subscription waits for answers.
    pub fn join(&mut self, index: SubscriptionIndex, subscription: &Subscription) {
        debug_assert!(subscription.deferred.is_none(), "it waits for answers first");
        self.patterns.insert(&subscription.pattern, index.0);
        let of_connection = self.of.entry(subscription.connection).or_default();
        of_connection.joining.insert(subscription.number, index);
    }

    /// Whether a subscription of a connection waits for answers.
    pub fn are_joining(&self, connection: ConnectionId) -> bool {
        self.of.get(&connection).is_some_and(|of| !of.joining.is_empty())
    }

    /// A core has answered a subscription for the first time.
    pub fn answered(&mut self, index: SubscriptionIndex, pattern: &str) {
        self.answered.insert(pattern, index.0);
        self.answered_count += 1;
    }

    /// Whether another subscription of its connection has to be active before: one that waits for
    /// answers may hold messages of the same topics.
    pub fn has_to_wait(&self, subscription: &Subscription) -> bool {
        let Some(of_connection) = self.of.get(&subscription.connection) else { return false };
        let Some((first, _)) = of_connection.joining.first_key_value() else { return false };
        subscription.group.is_none()
            && (subscription.joining.is_none() || *first < subscription.number)
    }

    /// A subscription has to wait for others of its connection.
    pub fn defer(&mut self, index: SubscriptionIndex, subscription: &mut Subscription) {
        if subscription.deferred.is_none() {
            if subscription.joining.is_none() {
                self.patterns.insert(&subscription.pattern, index.0);
            }
            self.deferrals += 1;
            subscription.deferred = Some(self.deferrals);
            let of_connection = self.of.entry(subscription.connection).or_default();
            of_connection.deferred.insert(self.deferrals, index);
        }
    }

    /// The first subscription of a connection that was deferred, if none of the connection waits for
    /// answers, else the first that waits for answers: it need not wait for others.
    pub fn next(&self, connection: ConnectionId) -> Option<SubscriptionIndex> {
        let of_connection = self.of.get(&connection)?;
        let next = of_connection.joining.first_key_value();
        let next = next.or_else(|| of_connection.deferred.first_key_value());
        Some(*next?.1)
    }

    /// A subscription waits no longer, neither for answers nor for others.
    pub fn leave(&mut self, index: SubscriptionIndex, subscription: &mut Subscription) {
        let joining = subscription.joining.take();
        let deferred = subscription.deferred.take();
        if joining.is_none() && deferred.is_none() {
            return;
        }
        self.patterns.remove(&subscription.pattern, index.0);
        let Some(of_connection) = self.of.get_mut(&subscription.connection) else { return };
        if let Some(joining) = joining {
            of_connection.joining.remove(&subscription.number);
            if joining.is_answered {
                self.answered.remove(&subscription.pattern, index.0);
                self.answered_count -= 1;
            }
        }
        if let Some(deferral) = deferred {
            of_connection.deferred.remove(&deferral);
        }
        if of_connection.joining.is_empty() && of_connection.deferred.is_empty() {
            self.of.remove(&subscription.connection);
        }
    }

    /// Whether some subscription that waits has a pattern that matches a topic.
    pub fn want(&self, topic: &str) -> bool {
        let mut found = Vec::new();
        self.patterns.matches(topic, &mut found);
        !found.is_empty()
    }

    /// Subscriptions whose pattern matches a topic, and which some core has answered at least in
    /// part.
    pub fn answered_to(&self, topic: &str) -> Vec<SubscriptionIndex> {
        let mut found = Vec::new();
        if self.answered_count > 0 {
            self.answered.matches(topic, &mut found);
        }
        found.into_iter().map(SubscriptionIndex).collect()
    }
}
