//! Backpressure from a full queue to the publishers of its topic, across cores.
//!
//! When the queue of a `block` subscription is nearly full, its core notifies the topic's owner,
//! and the owner notifies every core. Connections that then publish to the topic are not read until
//! the queue is half empty. Only those publishers wait: no core does, and deliveries to them
//! continue.
//!
//! # Always true
//! - A topic is blocked exactly as long as some core has a subscription that blocks the topic.
//! - Messages that were under way when the queue filled up are queued beyond the bound, not lost:
//!   at most what the mesh holds.
//! - A subscriber that accepts no data for `queues.block_timeout_ms` is disconnected, so
//!   connections that wait for each other, or for themselves, do not wait for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::Delivery;
use super::effects::{Effect, Request, Slowness};
use super::overflow;
use super::subscriptions::SubscriptionIndex;
use crate::broker::clock::{Now, ms_to_ns};
use crate::broker::ids::Slot;
use crate::broker::message::TopicName;
use crate::broker::timers::{Single, Timers};
use crate::protocol::TopicId;

/// The blocked topics, as one core knows them.
#[derive(Debug, Default)]
pub struct Blocks {
    /// Number of subscriptions of this core that block each topic.
    subscriptions: HashMap<TopicId, u32>,
    /// Topics whose publishers on this core wait; by name as well, for protocols without topic ids.
    waiting: HashSet<TopicId>,
    waiting_names: HashMap<Arc<str>, TopicId>,
    /// Subscriptions of this core that block some topic, in the order in which they began.
    full: BTreeMap<u64, SubscriptionIndex>,
    /// Times that a subscription began.
    begun: u64,
}

impl Delivery {
    /// Whether connections of this core that publish to the topic have to wait.
    pub fn is_blocked(&self, topic: TopicId) -> bool {
        !self.blocks.waiting.is_empty() && self.blocks.waiting.contains(&topic)
    }

    /// Whether publishers to any topic have to wait.
    pub fn blocks_any(&self) -> bool {
        !self.blocks.waiting.is_empty()
    }

    /// The topic of this name, if its publishers have to wait.
    pub fn blocked_topic(&self, name: &str) -> Option<TopicId> {
        self.blocks.waiting_names.get(name).copied()
    }

    /// Makes the topic's publishers wait, because a subscription's queue is nearly full.
    pub(super) fn block(
        &mut self,
        now: Now,
        timers: &mut Timers,
        index: SubscriptionIndex,
        topic: TopicId,
    ) {
        let timeout_ns = self.block_timeout_ns();
        let blocking = &mut self.subscriptions.get(index).blocking;
        if blocking.as_ref().is_some_and(|blocking| blocking.topics.contains(&topic)) {
            return;
        }
        let is_first = blocking.is_none();
        let blocking = blocking.get_or_insert_default();
        blocking.topics.insert(topic);
        if is_first {
            self.blocks.begun += 1;
            (blocking.number, blocking.since_ns) = (self.blocks.begun, now.monotonic_ns);
            self.blocks.full.insert(blocking.number, index);
            if timers.single(Single::Blocked).is_none() {
                timers.set_single(Single::Blocked, Some(now.monotonic_ns + timeout_ns));
            }
        }
        let subscriptions = self.blocks.subscriptions.entry(topic).or_default();
        *subscriptions += 1;
        if *subscriptions == 1 {
            self.counters.publishers_blocked.add(1);
            self.notify_owner(topic, true);
        }
    }

    /// Lets publishers continue if a subscription's queue is half empty.
    pub(super) fn unblock_if_half_empty(&mut self, index: SubscriptionIndex) {
        let subscription = self.get(index);
        if subscription.blocking.is_some()
            && overflow::is_half_empty(&subscription.queue, subscription.bounds)
            && self.is_connection_half_empty(index)
        {
            self.unblock(index);
        }
    }

    /// Lets the publishers continue that a subscription has blocked.
    pub(super) fn unblock(&mut self, index: SubscriptionIndex) {
        let Some(blocking) = self.subscriptions.get(index).blocking.take() else { return };
        self.blocks.full.remove(&blocking.number);
        for topic in blocking.topics {
            let subscriptions =
                self.blocks.subscriptions.get_mut(&topic).expect("`block` counted it");
            *subscriptions -= 1;
            if *subscriptions == 0 {
                self.blocks.subscriptions.remove(&topic);
                self.notify_owner(topic, false);
            }
        }
    }

    fn notify_owner(&mut self, topic: TopicId, blocked: bool) {
        let owner = self.cluster.core_of(self.cluster.shard_of_id(topic));
        self.ask(owner, Request::Block { topic, blocked });
    }

    /// Notes what the topic's owner says: whether publishers of this core have to wait.
    pub fn publishers_wait(&mut self, topic: &TopicName, blocked: bool) {
        if blocked {
            self.blocks.waiting.insert(topic.id);
            self.blocks.waiting_names.insert(topic.name.clone(), topic.id);
        } else {
            self.blocks.waiting.remove(&topic.id);
            self.blocks.waiting_names.remove(&topic.name);
        }
    }

    /// Disconnects subscribers that block publishers and have accepted no data for too long.
    /// `sent_ns` returns when the kernel completed the last send of a connection.
    pub fn disconnect_stalled(
        &mut self,
        now: Now,
        timers: &mut Timers,
        sent_ns: impl Fn(Slot) -> u64,
    ) {
        if !timers.is_due(now, Single::Blocked) {
            return;
        }
        let timeout_ns = self.block_timeout_ns();
        let block_timeout_ms = self.cluster.settings.queues.block_timeout_ms;
        let mut next: Option<u64> = None;
        let mut stalled: HashSet<Slot> = HashSet::new();
        for &index in self.blocks.full.values() {
            let subscription = self.get(index);
            if self.outlets.is_gone(subscription) {
                continue;
            }
            let (slot, id) = (subscription.connection.slot, subscription.id);
            let since_ns =
                subscription.blocking.as_ref().expect("a listed subscription blocks").since_ns;
            let taken_ns = sent_ns(slot).max(since_ns);
            if stalled.contains(&slot) {
                continue;
            }
            if taken_ns + timeout_ns > now.monotonic_ns {
                next = Some(next.unwrap_or(u64::MAX).min(taken_ns + timeout_ns));
                continue;
            }
            stalled.insert(slot);
            let why = Slowness::TookNothing { block_timeout_ms };
            self.effects.push(Effect::TooSlow { slot, subscription: id, why });
        }
        timers.set_single(Single::Blocked, next);
    }

    /// Topics whose publishers wait on this core, and topics that subscriptions of this core block.
    pub fn blocks(&self) -> (BTreeSet<TopicId>, BTreeSet<TopicId>) {
        let Blocks { waiting, subscriptions, .. } = &self.blocks;
        (waiting.iter().copied().collect(), subscriptions.keys().copied().collect())
    }

    fn block_timeout_ns(&self) -> u64 {
        ms_to_ns(self.cluster.settings.queues.block_timeout_ms)
    }
}
