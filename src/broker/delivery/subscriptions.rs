//! The table of a core's subscriptions, and their states.
//!
//! Changed by `subscribe` and what follows from it; read by `fan_out` for every slice and by `pull`
//! for every send. Which of them a topic reaches is in `reach`.

use super::group::GroupName;
use super::overflow::Lost;
use super::queue::Queue;
use super::reach::Reach;
use super::subscribe::NewSubscription;
use super::subscription::{Joining, State, Subscription, SubscriptionRef};
use crate::broker::cluster::Cluster;
use crate::broker::ids::Slot;
use crate::broker::message::TopicName;

use crate::broker::pattern;
use crate::broker::topics::replay::Progress;
use crate::protocol::CoreId;

/// A subscription of this core; used again after the subscription has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionIndex(pub u32);

/// The subscriptions of a core.
#[derive(Default)]
pub struct Subscriptions {
    slots: Vec<Option<Box<Subscription>>>,
    free: Vec<SubscriptionIndex>,
    last_number: u64,
    last_order: u64,
    last_ended: u64,
    pub(super) reach: Reach,
    /// Those that do not start live and wait for answers.
    joining: Vec<SubscriptionIndex>,
    /// Those that could be active, but for others of their connection that wait for answers.
    deferred: Vec<SubscriptionIndex>,
}

impl Subscriptions {
    /// Adds a subscription that is not active yet.
    pub fn insert(&mut self, new: NewSubscription) -> SubscriptionIndex {
        self.last_number += 1;
        let pattern = new.pattern.clone();
        let group = new.group.map(|group| Box::new(GroupName { pattern, group }));
        let subscription = Box::new(Subscription {
            connection: new.connection,
            place: 0,
            id: new.id,
            state: State::Joining,
            policy: new.policy,
            is_active_at_once: new.is_active_at_once,
            is_sent_each: new.is_sent_each,
            takes_any_name: new.takes_any_name,
            ends: false,
            awaits_cores: false,
            has_overflowed: false,
            leaves_group: false,
            is_listed: false,
            name: new.name,
            pattern: new.pattern,
            number: self.last_number,
            order: u64::MAX,
            ended: 0,
            taken: 0,
            taken_max: u64::MAX,
            delivered_messages: 0,
            lost: Lost::default(),
            bounds: new.bounds,
            queue: Queue::default(),
            filter: new.filter,
            group,
            joining: None,
            blocking: None,
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
        self.slots.get(index.0 as usize)?.as_deref()
    }

    /// A subscription, if it is still the one that is meant.
    pub fn find(&mut self, of: SubscriptionRef) -> Option<&mut Subscription> {
        let subscription = self.slots.get_mut(of.index.0 as usize)?.as_deref_mut()?;
        (subscription.number == of.number).then_some(subscription)
    }

    /// The subscription that has asked for a replay or a group, if it still waits.
    pub fn waiting(&mut self, of: SubscriptionRef) -> Option<&mut Subscription> {
        self.find(of).filter(|subscription| subscription.state == State::Joining)
    }

    /// The subscription of a member, if it still is one.
    pub fn member(&mut self, member: SubscriptionRef) -> Option<&mut Subscription> {
        self.find(member).filter(|subscription| {
            subscription.state == State::Active && subscription.group.is_some()
        })
    }

    /// A subscription waits for so many answers with what topics retain.
    pub fn join(&mut self, index: SubscriptionIndex, unanswered: u16) {
        self.get(index).joining = Some(Box::new(Joining { unanswered, ..Joining::default() }));
        self.joining.push(index);
    }

    /// A core has answered, in part or in full. Returns whether all have in full.
    pub fn joined(
        &mut self,
        index: SubscriptionIndex,
        core: CoreId,
        progress: Option<Progress>,
    ) -> bool {
        let joining = self.get(index).joining.as_mut().expect("the subscription waits for answers");
        joining.progress.retain(|(other, _)| *other != core);
        match progress {
            Some(progress) => joining.progress.push((core, progress)),
            None => {
                joining.joined.insert(core);
                joining.unanswered -= 1;
            }
        }
        joining.unanswered == 0
    }

    /// Whether another subscription of its connection has to be active before: one that waits for
    /// answers may hold messages of the same topics.
    pub fn has_to_wait(&self, index: SubscriptionIndex) -> bool {
        let subscription = self.at(index).expect("the index is in use");
        if subscription.group.is_some() {
            return false;
        }
        let waits_itself = self.joining.contains(&index);
        self.joining.iter().any(|joining| {
            let other = self.at(*joining).expect("it waits");
            other.connection.slot == subscription.connection.slot
                && *joining != index
                && (!waits_itself || other.number < subscription.number)
        })
    }

    /// A subscription has to wait for others of its connection.
    pub fn defer(&mut self, index: SubscriptionIndex) {
        if !self.deferred.contains(&index) {
            self.deferred.push(index);
        }
    }

    /// Whether a subscription waits for answers with what topics retain.
    pub fn is_joining(&self, index: SubscriptionIndex) -> bool {
        self.joining.contains(&index)
    }

    /// A subscription of a connection that was deferred and does not have to wait any more.
    pub fn next_deferred(&self, slot: Slot) -> Option<SubscriptionIndex> {
        let is_of_slot = |index: &&SubscriptionIndex| {
            self.at(**index).expect("it waits").connection.slot == slot
        };
        let mut of_slot = self.deferred.iter().filter(is_of_slot);
        of_slot.find(|index| !self.has_to_wait(**index)).copied()
    }

    /// Subscriptions that still wait for some core, but not for the answer of the topic's owner,
    /// and match the topic.
    pub fn joining_to(&self, cluster: &Cluster, topic: &TopicName) -> Vec<SubscriptionIndex> {
        let joins = |index: &&SubscriptionIndex| {
            let subscription = self.at(**index).expect("it waits");
            let joining = subscription.joining.as_ref().expect("it waits");
            joining.has_joined(cluster, topic)
                && pattern::selects(&subscription.pattern, &topic.name)
        };
        self.joining.iter().filter(joins).copied().collect()
    }

    /// Whether a subscription matches a topic, or will once it is active.
    pub fn want(&self, topic: &str) -> bool {
        let waiting = self.joining.iter().chain(&self.deferred);
        let mut waiting = waiting.filter_map(|index| self.at(*index));
        !self.reach.matches(topic).is_empty()
            || waiting.any(|subscription| pattern::selects(&subscription.pattern, topic))
    }

    /// Indexes that are or were in use.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The earliest active subscription of a connection that matches a topic.
    pub fn of_connection(&self, slot: Slot, topic: &str) -> Option<SubscriptionIndex> {
        let of_slot = self.reach.matches(topic).into_iter().filter_map(|index| {
            let subscription = self.at(index)?;
            (subscription.connection.slot == slot).then_some((subscription.order, index))
        });
        Some(of_slot.min()?.1)
    }

    /// All subscriptions.
    pub fn iter(&self) -> impl Iterator<Item = (SubscriptionIndex, &Subscription)> {
        let all = self.slots.iter().enumerate();
        all.filter_map(|(at, slot)| Some((SubscriptionIndex(at as u32), slot.as_deref()?)))
    }

    /// From now on a subscription gets messages.
    pub fn activate(&mut self, index: SubscriptionIndex) {
        self.last_order += 1;
        let order = self.last_order;
        self.joining.retain(|joining| *joining != index);
        self.deferred.retain(|deferred| *deferred != index);
        let subscription = self.get(index);
        subscription.order = order;
        subscription.state = State::Active;
        subscription.joining = None;
        // A member gets what its group deals it, and nothing else.
        if subscription.group.is_none() {
            let pattern = subscription.pattern.clone();
            self.reach.insert(&pattern, index);
        }
    }

    /// From now on a subscription gets no more messages. Returns the state it was in.
    pub fn end(&mut self, index: SubscriptionIndex, state: State) -> State {
        self.last_ended += 1;
        let ended = self.last_ended;
        let subscription = self.get(index);
        subscription.ended = ended;
        let was = std::mem::replace(&mut subscription.state, state);
        if was == State::Active && subscription.group.is_none() {
            let pattern = subscription.pattern.clone();
            self.reach.remove(&pattern, index);
        }
        self.joining.retain(|joining| *joining != index);
        self.deferred.retain(|deferred| *deferred != index);
        was
    }

    /// Where its connection sends a subscription: retained messages first, then those that end, one
    /// after the other, then the rest in turn.
    pub fn rank(&self, index: SubscriptionIndex) -> (u8, u64) {
        let subscription = self.at(index).expect("the index is in use");
        match subscription.state {
            _ if subscription.queue.has_replay() => (0, 0),
            State::Ending => (1, subscription.ended),
            _ => (2, 0),
        }
    }

    /// Frees a subscription that was ended.
    pub fn remove(&mut self, index: SubscriptionIndex) -> Box<Subscription> {
        let subscription = self.slots[index.0 as usize].take().expect("the index is in use");
        assert!(
            !matches!(subscription.state, State::Active | State::Joining),
            "`end` comes before `remove`"
        );
        self.free.push(index);
        subscription
    }

    /// Takes the list of subscriptions that a topic reaches; give it back with `put_targets`.
    pub fn take_targets(&mut self, topic: &TopicName) -> Vec<SubscriptionIndex> {
        let Subscriptions { slots, reach, .. } = self;
        reach.take(slots, topic)
    }

    /// Gives back what `take_targets` lent.
    pub fn put_targets(&mut self, topic: &TopicName, targets: Vec<SubscriptionIndex>) {
        self.reach.put(topic, targets);
    }
}
