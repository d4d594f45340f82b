//! The subscriptions of a core, and which of them each topic reaches.
//!
//! Changed by `subscribe`; read by `fan_out` for every portion and by `flush` for every send.
//!
//! # Always true
//! - A BLIP/1 connection is reached at most once per message: under the earliest of its
//!   subscriptions that match. A NATS connection is reached under each of them.
//! - What a topic reaches is found again only when subscriptions have changed.

use std::sync::Arc;

use hashbrown::HashMap;

use super::groups::GroupName;
use super::interest::CoreSet;
use super::nats::missed::GAP_SUBJECTS;
use super::overflow::Lost;
use super::pattern::{self, Matcher};
use super::permissions::Permissions;
use super::queue::{Bounds, Queue};
use super::replay::Asker;
use super::topic::TopicName;
use crate::config::OverflowPolicy;
use crate::protocol::{CoreId, SubscriptionId, TopicId};

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
    /// As its client calls it; for a NATS client, which of its subscriptions it is.
    pub id: SubscriptionId,
    /// As a NATS client calls it.
    pub sid: Option<Box<[u8]>>,
    /// What it asks for.
    pub pattern: Arc<str>,
    /// How far it is.
    pub state: State,
    /// Tells it from others under the same index, now or earlier.
    pub number: u64,
    /// Lower if in force earlier. Not by when it was asked for: a topic stays with the subscription
    /// it is queued under until that one ends, else later messages could overtake.
    pub order: u64,
    /// Cores it has joined, while it does not start live.
    pub joined: CoreSet,
    /// Cores that have not answered yet.
    pub unanswered: u16,
    /// UNSUBSCRIBE came while it waited for answers; others of its connection may count on what it
    /// was given, so it ends only once it is in force.
    pub ends: bool,
    /// When it was ended, among all that were.
    pub ended: u64,
    /// A NATS client's: other cores have not all said that they know it, or its coordinator not that
    /// it has left.
    pub awaits_cores: bool,
    /// Messages it was given, or would have been if its queue had room.
    pub taken: u64,
    /// It ends when it was given so many.
    pub taken_max: u64,
    /// Messages it was sent.
    pub delivered_messages: u64,
    /// Messages it was not.
    pub lost: Lost,
    /// Its queue was full before.
    pub has_overflowed: bool,
    /// It is not sent topics that these do not allow.
    pub filter: Option<Arc<Permissions>>,
    /// It is about to leave its group, and gets what it was dealt until then.
    pub leaves_group: bool,
    /// The group it is a member of.
    pub group: Option<GroupName>,
    /// At the bound of its queue.
    pub policy: OverflowPolicy,
    /// The bound of its queue.
    pub bounds: Bounds,
    /// What it has still to be sent.
    pub queue: Queue,
    /// Topics whose publishers wait for this queue.
    pub blocks: Vec<TopicId>,
    /// Since when some do.
    pub full_since_ns: u64,
    /// On its connection's list of those with something to send.
    pub is_listed: bool,
}

impl Subscription {
    /// Whether it may be sent what NATS subscriptions missed, see `nats::missed`.
    pub fn hears_of_gaps(&self) -> bool {
        pattern::overlap(&self.pattern, GAP_SUBJECTS)
    }
}

/// What a topic reaches on this core.
struct Reach {
    version: u64,
    targets: Vec<SubscriptionIndex>,
}

/// The subscriptions of a core.
#[derive(Default)]
pub struct Subscriptions {
    slots: Vec<Option<Box<Subscription>>>,
    free: Vec<SubscriptionIndex>,
    last_number: u64,
    last_order: u64,
    last_ended: u64,
    in_force: Matcher,
    /// Those that do not start live and wait for answers.
    joining: Vec<SubscriptionIndex>,
    /// Those that could be in force, but for others of their connection that wait for answers.
    deferred: Vec<SubscriptionIndex>,
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
        self.last_number += 1;
        let subscription = Box::new(Subscription {
            slot,
            id,
            sid: None,
            pattern,
            state: State::Joining,
            number: self.last_number,
            order: u64::MAX,
            joined: CoreSet::default(),
            unanswered: 0,
            ends: false,
            ended: 0,
            awaits_cores: false,
            taken: 0,
            taken_max: u64::MAX,
            delivered_messages: 0,
            lost: Lost::default(),
            has_overflowed: false,
            filter: None,
            leaves_group: false,
            group: None,
            policy,
            bounds,
            queue: Queue::default(),
            blocks: Vec::new(),
            full_since_ns: 0,
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

    /// It waits for so many answers with what topics keep.
    pub fn join(&mut self, index: SubscriptionIndex, unanswered: u16) {
        self.get(index).unanswered = unanswered;
        self.joining.push(index);
    }

    /// The subscription of an asker, if it still waits.
    pub fn joining(&mut self, asker: Asker) -> Option<&mut Subscription> {
        let subscription = self.slots[asker.index.0 as usize].as_deref_mut()?;
        let waits = subscription.number == asker.number && subscription.state == State::Joining;
        waits.then_some(subscription)
    }

    /// The subscription of a member, if it still is one.
    pub fn member(&mut self, member: Asker) -> Option<&mut Subscription> {
        let subscription = self.slots[member.index.0 as usize].as_deref_mut()?;
        let is_member = subscription.number == member.number
            && subscription.state == State::InForce
            && subscription.group.is_some();
        is_member.then_some(subscription)
    }

    /// A core has answered; returns whether all have.
    pub fn joined(&mut self, index: SubscriptionIndex, core: CoreId) -> bool {
        let subscription = self.get(index);
        subscription.joined.insert(core);
        subscription.unanswered -= 1;
        subscription.unanswered == 0
    }

    /// Whether another subscription of its connection has to be in force before: one that waits for
    /// answers may hold messages of the same topics.
    pub fn must_wait(&mut self, index: SubscriptionIndex) -> bool {
        let subscription = self.slots[index.0 as usize].as_ref().expect("the index is in use");
        if subscription.group.is_some() {
            return false;
        }
        let waits_itself = self.joining.contains(&index);
        let waits = self.joining.iter().any(|joining| {
            let other = self.slots[joining.0 as usize].as_ref().expect("it waits");
            other.slot == subscription.slot
                && *joining != index
                && (!waits_itself || other.number < subscription.number)
        });
        if waits && !self.deferred.contains(&index) {
            self.deferred.push(index);
        }
        waits
    }

    /// Whether it waits for answers with what topics keep.
    pub fn is_joining(&self, index: SubscriptionIndex) -> bool {
        self.joining.contains(&index)
    }

    /// One of a connection that had to wait and has not to any more.
    pub fn next_deferred(&mut self, slot: u32) -> Option<SubscriptionIndex> {
        let mut of_slot: Vec<_> = self.deferred.clone();
        of_slot.retain(|index| self.get(*index).slot == slot);
        of_slot.into_iter().find(|index| !self.must_wait(*index))
    }

    /// Those that still wait for some core, but not for the one that owns this topic, and match it.
    pub fn joining_to(&self, topic: &TopicName) -> Vec<SubscriptionIndex> {
        let joins = |index: &&SubscriptionIndex| {
            let subscription = self.slots[index.0 as usize].as_ref().expect("it waits");
            subscription.joined.contains(topic.owner)
                && pattern::matches(&subscription.pattern, &topic.name)
        };
        self.joining.iter().filter(joins).copied().collect()
    }

    /// Indexes that are or were in use.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// A subscription, if the index is in use.
    pub fn at(&self, index: SubscriptionIndex) -> Option<&Subscription> {
        self.slots.get(index.0 as usize)?.as_deref()
    }

    /// The earliest subscription of a connection that is in force and matches a topic.
    pub fn of_connection(&self, slot: u32, topic: &str) -> Option<SubscriptionIndex> {
        let mut found = Vec::new();
        self.in_force.matches(topic, &mut found);
        let of_slot = found.into_iter().map(SubscriptionIndex).filter_map(|index| {
            let subscription = self.at(index)?;
            (subscription.slot == slot).then_some((subscription.order, index))
        });
        Some(of_slot.min()?.1)
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
        self.joining.retain(|joining| *joining != index);
        self.deferred.retain(|deferred| *deferred != index);
        let subscription = self.get(index);
        subscription.order = order;
        subscription.state = State::InForce;
        // A member gets what its group deals it, and nothing else.
        if subscription.group.is_none() {
            let pattern = subscription.pattern.clone();
            self.in_force.insert(&pattern, index.0);
        }
    }

    /// From now on it gets no more messages.
    pub fn end(&mut self, index: SubscriptionIndex, state: State) {
        self.last_ended += 1;
        let ended = self.last_ended;
        let subscription = self.get(index);
        subscription.ended = ended;
        let was = std::mem::replace(&mut subscription.state, state);
        if was == State::InForce && subscription.group.is_none() {
            let pattern = subscription.pattern.clone();
            self.in_force.remove(&pattern, index.0);
        }
        self.joining.retain(|joining| *joining != index);
        self.deferred.retain(|deferred| *deferred != index);
    }

    /// Where its connection sends it: kept messages first, then those that end, one after the
    /// other, then the rest in turn.
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
            !matches!(subscription.state, State::InForce | State::Joining),
            "`end` comes before `remove`"
        );
        self.free.push(index);
        subscription
    }

    /// Takes the list of subscriptions that a topic reaches; give it back with `put_targets`.
    pub fn take_targets(&mut self, topic: &TopicName) -> Vec<SubscriptionIndex> {
        let mut targets = Vec::new();
        if !topic.is_kept() {
            self.find_targets(&topic.name, &mut targets);
            return targets;
        }
        let version = self.in_force.version();
        let reach = self
            .reach
            .entry(topic.id)
            .or_insert_with(|| Reach { version: u64::MAX, targets: Vec::new() });
        targets = std::mem::take(&mut reach.targets);
        if reach.version != version {
            reach.version = version;
            self.find_targets(&topic.name, &mut targets);
            targets.shrink_to_fit();
        }
        targets
    }

    /// Gives back what `take_targets` lent.
    pub fn put_targets(&mut self, topic: &TopicName, targets: Vec<SubscriptionIndex>) {
        if topic.is_kept() {
            self.reach.get_mut(&topic.id).expect("lent by `take_targets`").targets = targets;
        }
    }

    fn find_targets(&mut self, name: &str, targets: &mut Vec<SubscriptionIndex>) {
        let mut found = Vec::new();
        self.in_force.matches(name, &mut found);
        targets.clear();
        targets.extend(found.into_iter().map(SubscriptionIndex));
        // Here, and not for every message: what a topic reaches is kept.
        targets.retain(|index| {
            let subscription = self.slots[index.0 as usize].as_ref().expect("it is in force");
            subscription.filter.as_ref().is_none_or(|filter| filter.may_receive(name))
        });
        // The earliest of each connection stays, in an order that does not depend on hashing.
        let slots = &self.slots;
        let key = |index: &SubscriptionIndex| {
            let subscription = slots[index.0 as usize].as_ref().expect("it is in force");
            (subscription.slot, subscription.order)
        };
        targets.sort_unstable_by_key(key);
        let is_blip = |index: &SubscriptionIndex| {
            slots[index.0 as usize].as_ref().is_some_and(|subscription| subscription.sid.is_none())
        };
        targets.dedup_by(|later, earlier| key(later).0 == key(earlier).0 && is_blip(later));
    }
}
