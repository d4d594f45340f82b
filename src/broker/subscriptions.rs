//! The subscriptions of a core, and which of them each topic reaches.
//!
//! Changed by `subscribe`; read by `fan_out` for every portion and by `flush` for every send.
//!
//! # Always true
//! - A connection is reached at most once per message: under the earliest of its subscriptions
//!   that match.
//! - What a topic reaches is found again only when subscriptions have changed.

use std::sync::Arc;

use hashbrown::HashMap;

use super::pattern::Matcher;
use super::queue::{Bounds, Queue};
use super::topic::TopicName;
use crate::config::OverflowPolicy;
use crate::protocol::{SubscriptionId, TopicId};

/// A subscription of this core; used again after the subscription has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionIndex(pub u32);

/// How far a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Other cores have not all said that they know it.
    Joining,
    /// It gets messages.
    InForce,
    /// It gets no more; UNSUBSCRIBED follows what is queued.
    Ending,
    /// Its connection sent CLOSE: it gets no more, and nothing follows what is queued.
    Closing,
}

/// One subscription.
#[derive(Debug)]
pub struct Subscription {
    /// Its connection.
    pub slot: u32,
    /// As its client calls it.
    pub id: SubscriptionId,
    /// What it asks for.
    pub pattern: Arc<str>,
    /// How far it is.
    pub state: State,
    /// Lower if in force earlier. Not by when it was asked for: a topic stays with the subscription
    /// it is queued under until that one ends, else later messages could overtake.
    pub order: u64,
    /// At the bound of its queue.
    pub policy: OverflowPolicy,
    /// The bound of its queue.
    pub bounds: Bounds,
    /// What it has still to be sent.
    pub queue: Queue,
    /// On its connection's list of those with something to send.
    pub is_listed: bool,
}

/// What a topic reaches on this core.
struct Reach {
    topic: Arc<TopicName>,
    version: u64,
    targets: Vec<SubscriptionIndex>,
}

/// The subscriptions of a core.
#[derive(Default)]
pub struct Subscriptions {
    slots: Vec<Option<Box<Subscription>>>,
    free: Vec<SubscriptionIndex>,
    last_order: u64,
    in_force: Matcher,
    reach: HashMap<TopicId, Reach>,
}

impl Subscriptions {
    /// A new subscription that is not in force yet.
    pub fn insert(
        &mut self,
        slot: u32,
        id: SubscriptionId,
        pattern: Arc<str>,
        policy: OverflowPolicy,
        bounds: Bounds,
    ) -> SubscriptionIndex {
        let subscription = Box::new(Subscription {
            slot,
            id,
            pattern,
            state: State::Joining,
            order: 0,
            policy,
            bounds,
            queue: Queue::default(),
            is_listed: false,
        });
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            SubscriptionIndex((self.slots.len() - 1) as u32)
        });
        self.slots[index.0 as usize] = Some(subscription);
        index
    }

    /// A subscription that there is.
    pub fn get(&mut self, index: SubscriptionIndex) -> &mut Subscription {
        self.slots[index.0 as usize].as_mut().expect("the index is in use")
    }

    /// A subscription, if the index is in use.
    pub fn at(&self, index: SubscriptionIndex) -> Option<&Subscription> {
        self.slots[index.0 as usize].as_deref()
    }

    /// All subscriptions.
    pub fn iter(&self) -> impl Iterator<Item = (SubscriptionIndex, &Subscription)> {
        let all = self.slots.iter().enumerate();
        all.filter_map(|(at, slot)| Some((SubscriptionIndex(at as u32), slot.as_deref()?)))
    }

    /// From now on it gets messages.
    pub fn put_in_force(&mut self, index: SubscriptionIndex) {
        self.last_order += 1;
        let order = self.last_order;
        let subscription = self.get(index);
        subscription.order = order;
        subscription.state = State::InForce;
        let pattern = subscription.pattern.clone();
        self.in_force.insert(&pattern, index.0);
    }

    /// From now on it gets no more messages.
    pub fn end(&mut self, index: SubscriptionIndex, state: State) {
        let subscription = self.get(index);
        let was = std::mem::replace(&mut subscription.state, state);
        if was == State::InForce {
            let pattern = subscription.pattern.clone();
            self.in_force.remove(&pattern, index.0);
        }
    }

    /// Frees a subscription that was ended.
    pub fn remove(&mut self, index: SubscriptionIndex) -> Box<Subscription> {
        let subscription = self.slots[index.0 as usize].take().expect("the index is in use");
        assert!(
            !matches!(subscription.state, State::InForce | State::Joining),
            "`end` comes before `remove`"
        );
        self.free.push(index);
        subscription
    }

    /// The name of a topic that has reached this core.
    pub fn topic_name(&self, topic: TopicId) -> Arc<TopicName> {
        self.reach.get(&topic).expect("what is queued has been fanned out").topic.clone()
    }

    /// Takes the list of subscriptions that a topic reaches; give it back with `put_targets`.
    pub fn take_targets(&mut self, topic: &Arc<TopicName>) -> Vec<SubscriptionIndex> {
        let version = self.in_force.version();
        let reach = self.reach.entry(topic.id).or_insert_with(|| Reach {
            topic: topic.clone(),
            version: u64::MAX,
            targets: Vec::new(),
        });
        let mut targets = std::mem::take(&mut reach.targets);
        if reach.version != version {
            reach.version = version;
            self.find_targets(&topic.name, &mut targets);
        }
        targets
    }

    /// Gives back what `take_targets` lent.
    pub fn put_targets(&mut self, topic: TopicId, targets: Vec<SubscriptionIndex>) {
        self.reach.get_mut(&topic).expect("lent by `take_targets`").targets = targets;
    }

    fn find_targets(&mut self, name: &str, targets: &mut Vec<SubscriptionIndex>) {
        let mut found = Vec::new();
        self.in_force.matches(name, &mut found);
        targets.clear();
        targets.extend(found.into_iter().map(SubscriptionIndex));
        // The earliest of each connection stays, in an order that does not depend on hashing.
        let slots = &self.slots;
        let key = |index: &SubscriptionIndex| {
            let subscription = slots[index.0 as usize].as_ref().expect("it is in force");
            (subscription.slot, subscription.order)
        };
        targets.sort_unstable_by_key(key);
        targets.dedup_by_key(|index| key(index).0);
        targets.shrink_to_fit();
    }
}
