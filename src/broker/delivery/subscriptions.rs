//! The table of a core's subscriptions, and their states.
//!
//! Changed by `subscribe` and what follows from it; read by `fan_out` for every slice and by `pull`
//! for every send. Which of them a topic reaches is in `reach`.

use std::sync::Arc;

use super::group::GroupName;
use super::overflow::Lost;
use super::queue::Queue;
use super::reach::{Reach, Reached};
use super::subscribe::NewSubscription;
use super::subscription::{Joining, State, Subscription, SubscriptionRef};
use super::waiting::Waiting;
use crate::broker::cluster::Cluster;
use crate::broker::holders::Listed;
use crate::broker::ids::ConnectionId;
use crate::broker::message::TopicName;

use crate::broker::permissions::Permissions;
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
    /// Those that are not active yet, because of answers with what topics retain.
    waiting: Waiting,
}

impl Subscriptions {
    /// Adds a subscription that is not active yet, and holds so many bytes beside its queue.
    pub fn insert(&mut self, new: NewSubscription, held_bytes: u64) -> SubscriptionIndex {
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
            listed: None,
            listed_by_bytes: Listed::default(),
            deferred: None,
            name: new.name,
            pattern: new.pattern,
            held_bytes,
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
            replay_unsent: Vec::new(),
            blocking: None,
        });
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            SubscriptionIndex((self.slots.len() - 1) as u32)
        });
        self.slots[index.0 as usize] = Some(subscription);
        index
    }

    /// The number of the newest subscription.
    pub fn last_number(&self) -> u64 {
        self.last_number
    }

    /// A subscription that there is.
    pub fn get(&mut self, index: SubscriptionIndex) -> &mut Subscription {
        in_use(&mut self.slots, index)
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
        let Subscriptions { slots, waiting, .. } = self;
        let subscription = in_use(slots, index);
        let joining = Joining { unanswered, ..Joining::default() };
        subscription.joining = Some(Box::new(joining));
        waiting.join(index, subscription);
    }

    /// A core has answered, in part or in full. Returns whether all have in full.
    pub fn joined(
        &mut self,
        index: SubscriptionIndex,
        core: CoreId,
        progress: Option<Progress>,
    ) -> bool {
        let Subscriptions { slots, waiting, .. } = self;
        let subscription = in_use(slots, index);
        let joining = subscription.joining.as_mut().expect("the subscription waits for answers");
        if !std::mem::replace(&mut joining.is_answered, true) {
            waiting.answered(index, &subscription.pattern);
        }
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

    /// Whether another subscription of its connection has to be active before.
    pub fn has_to_wait(&self, index: SubscriptionIndex) -> bool {
        self.waiting.has_to_wait(self.at(index).expect("the index is in use"))
    }

    /// Whether a subscription of a connection waits for answers with what topics retain.
    pub fn are_joining(&self, connection: ConnectionId) -> bool {
        self.waiting.are_joining(connection)
    }

    /// A subscription has to wait for others of its connection.
    pub fn defer(&mut self, index: SubscriptionIndex) {
        let Subscriptions { slots, waiting, .. } = self;
        waiting.defer(index, in_use(slots, index));
    }

    /// Whether a subscription waits for answers with what topics retain.
    pub fn is_joining(&self, index: SubscriptionIndex) -> bool {
        self.at(index).is_some_and(|subscription| subscription.joining.is_some())
    }

    /// A subscription of a connection that was deferred and does not have to wait any more.
    pub fn next_deferred(&self, connection: ConnectionId) -> Option<SubscriptionIndex> {
        let is_deferred = |index: &SubscriptionIndex| {
            self.at(*index).is_some_and(|subscription| subscription.deferred.is_some())
        };
        self.waiting.next(connection).filter(is_deferred)
    }

    /// Subscriptions that still wait for some core, but not for the answer of the topic's owner,
    /// and match the topic: the earliest of each connection.
    pub fn joining_to(&self, cluster: &Cluster, topic: &TopicName) -> Vec<SubscriptionIndex> {
        let at = |index: &SubscriptionIndex| self.at(*index).expect("it waits");
        let mut joining = self.waiting.answered_to(&topic.name);
        joining.retain(|index| {
            let joining = at(index).joining.as_ref().expect("it waits");
            joining.has_joined(cluster, topic)
        });
        joining.sort_unstable_by_key(|index| (at(index).connection, at(index).number));
        joining.dedup_by_key(|index| at(index).connection);
        joining
    }

    /// Whether a subscription matches a topic, or will once it is active.
    pub fn want(&self, topic: &str) -> bool {
        !self.reach.matches(topic).is_empty() || self.waiting.want(topic)
    }

    /// Indexes that are or were in use.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The earliest active subscription of a connection that matches a topic.
    pub fn of_connection(
        &self,
        connection: ConnectionId,
        topic: &str,
    ) -> Option<SubscriptionIndex> {
        let of_connection = self.reach.matches(topic).into_iter().filter_map(|index| {
            let subscription = self.at(index)?;
            (subscription.connection == connection).then_some((subscription.order, index))
        });
        Some(of_connection.min()?.1)
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
        let Subscriptions { slots, waiting, .. } = self;
        let subscription = in_use(slots, index);
        waiting.leave(index, subscription);
        subscription.order = order;
        subscription.state = State::Active;
        // A member gets what its group deals it, and nothing else.
        if subscription.group.is_none() {
            let pattern = subscription.pattern.clone();
            self.reach.insert(&pattern, index);
        }
    }

    /// From now on a subscription is not sent what these do not allow.
    pub fn set_filter(&mut self, index: SubscriptionIndex, filter: Option<Arc<Permissions>>) {
        let subscription = in_use(&mut self.slots, index);
        subscription.filter = filter;
        if subscription.state == State::Active && subscription.group.is_none() {
            // What topics reach is looked up again.
            let pattern = subscription.pattern.clone();
            self.reach.remove(&pattern, index);
            self.reach.insert(&pattern, index);
        }
    }

    /// From now on a subscription gets no more messages. Returns the state it was in.
    pub fn end(&mut self, index: SubscriptionIndex, state: State) -> State {
        self.last_ended += 1;
        let ended = self.last_ended;
        let Subscriptions { slots, waiting, .. } = self;
        let subscription = in_use(slots, index);
        waiting.leave(index, subscription);
        subscription.ended = ended;
        let was = std::mem::replace(&mut subscription.state, state);
        if was == State::Active && subscription.group.is_none() {
            let pattern = subscription.pattern.clone();
            self.reach.remove(&pattern, index);
        }
        was
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
    pub fn take_targets(&mut self, topic: &TopicName) -> Reached {
        let Subscriptions { slots, reach, .. } = self;
        reach.take(slots, topic)
    }

    /// Gives back what `take_targets` lent.
    pub fn put_targets(&mut self, topic: &TopicName, reached: Reached) {
        self.reach.put(topic, reached);
    }
}

fn in_use(slots: &mut [Option<Box<Subscription>>], index: SubscriptionIndex) -> &mut Subscription {
    slots[index.0 as usize].as_mut().expect("the index is in use")
}
