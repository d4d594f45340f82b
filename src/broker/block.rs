//! Backpressure from a full queue to the publishers of its topic, across cores.
//!
//! A subscription with `block` whose queue is nearly full tells the topic's owner; the owner tells
//! every core; there, connections that go on publishing to the topic are not read until the queue
//! is half empty. Only they wait: no core does, and what is sent to them goes on.
//!
//! # Always true
//! - A topic is blocked as long as some core has a subscription that blocks it, and no longer.
//! - What was under way when the queue filled up is queued beyond its bound, not lost: at most what
//!   the mesh holds.
//! - A subscriber that takes nothing for `queues.block_timeout_ms` is disconnected, so two
//!   connections that wait for each other, or one for itself, do not wait for ever.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::letter::{Delivery, Request};
use super::overflow;
use super::subscriptions::SubscriptionIndex;
use super::topic::TopicName;
use super::{Broker, Now};
use crate::protocol::{CoreId, Reject, TopicId};

/// What is blocked, as one core knows it.
#[derive(Debug, Default)]
pub struct Blocks {
    /// How many subscriptions of this core block a topic.
    subscriptions: HashMap<TopicId, u32>,
    /// Topics whose publishers on this core wait, by name as well: NATS clients know no ids.
    publishers_wait: HashSet<TopicId>,
    names_that_wait: HashMap<Arc<str>, TopicId>,
    /// Subscriptions of this core that block some topic.
    full: Vec<SubscriptionIndex>,
    /// When the first of them may have taken nothing for too long.
    check_at_ns: Option<u64>,
}

impl Blocks {
    /// Whether connections of this core that publish to the topic have to wait.
    pub fn publishers_wait(&self, topic: TopicId) -> bool {
        !self.publishers_wait.is_empty() && self.publishers_wait.contains(&topic)
    }

    /// Whether no publisher has to wait for any topic.
    pub fn are_none(&self) -> bool {
        self.publishers_wait.is_empty()
    }

    /// The topic of this name, if its publishers have to wait.
    pub fn topic_that_waits(&self, name: &str) -> Option<TopicId> {
        self.names_that_wait.get(name).copied()
    }

    /// `queues.block_timeout_ms` has changed: they are looked at again at once.
    pub fn timeout_changed(&mut self) {
        self.check_at_ns = self.check_at_ns.map(|_| 0);
    }

    /// When subscribers have to be looked at again.
    pub fn check_at_ns(&self) -> Option<u64> {
        self.check_at_ns
    }
}

impl Broker {
    /// A subscription's queue is nearly full: the topic's publishers have to wait.
    pub(super) fn block(&mut self, now: Now, index: SubscriptionIndex, topic: TopicId) {
        let subscription = self.subscriptions.get(index);
        if subscription.blocks.contains(&topic) {
            return;
        }
        if subscription.blocks.is_empty() {
            subscription.full_since_ns = now.monotonic_ns;
            self.blocks.full.push(index);
            let check_at_ns = now.monotonic_ns + self.block_timeout_ns();
            self.blocks.check_at_ns.get_or_insert(check_at_ns);
        }
        self.subscriptions.get(index).blocks.push(topic);
        let subscriptions = self.blocks.subscriptions.entry(topic).or_default();
        *subscriptions += 1;
        if *subscriptions == 1 {
            self.counters.publishers_blocked.add(1);
            self.tell_owner(topic, true);
        }
    }

    /// Lets publishers go on if a subscription's queue is half empty.
    pub(super) fn unblock_if_half_empty(&mut self, index: SubscriptionIndex) {
        let subscription = self.subscriptions.get(index);
        if !subscription.blocks.is_empty()
            && overflow::is_half_empty(&subscription.queue, subscription.bounds)
        {
            self.unblock(index);
        }
    }

    /// A subscription holds publishers up no longer.
    pub(super) fn unblock(&mut self, index: SubscriptionIndex) {
        let topics = std::mem::take(&mut self.subscriptions.get(index).blocks);
        if topics.is_empty() {
            return;
        }
        self.blocks.full.retain(|full| *full != index);
        for topic in topics {
            let subscriptions =
                self.blocks.subscriptions.get_mut(&topic).expect("`block` counted it");
            *subscriptions -= 1;
            if *subscriptions == 0 {
                self.blocks.subscriptions.remove(&topic);
                self.tell_owner(topic, false);
            }
        }
    }

    fn tell_owner(&mut self, topic: TopicId, blocked: bool) {
        let owner = self.cluster.core_of(self.cluster.shard_of_id(topic));
        if owner == self.core {
            self.core_blocks(topic, blocked);
        } else {
            self.outgoing[usize::from(owner.0)].ask(Request::Block { topic, blocked });
        }
    }

    /// This core owns the topic, and a core has begun or ceased to block it.
    pub(super) fn core_blocks(&mut self, topic: TopicId, blocked: bool) {
        let shard = self.cluster.shard_of_id(topic);
        let topic = self.shard_mut(shard).topic_mut(topic);
        let before = topic.blocked_by;
        topic.blocked_by = if blocked { before + 1 } else { before - 1 };
        if before.min(topic.blocked_by) > 0 {
            return;
        }
        let topic = topic.name.clone();
        match blocked {
            true => self.counters.blocked_topics.add(1),
            false => self.counters.blocked_topics.sub(1),
        }
        self.publishers_wait(&topic, blocked);
        for core in self.others() {
            self.outgoing[core].deliver(Delivery::Block { topic: topic.clone(), blocked });
        }
    }

    /// The owner says whether publishers of this core have to wait.
    pub(super) fn publishers_wait(&mut self, topic: &TopicName, blocked: bool) {
        if blocked {
            self.blocks.publishers_wait.insert(topic.id);
            self.blocks.names_that_wait.insert(topic.name.clone(), topic.id);
        } else {
            self.blocks.publishers_wait.remove(&topic.id);
            self.blocks.names_that_wait.remove(&topic.name);
        }
    }

    /// Disconnects subscribers that held publishers up and took nothing for too long.
    pub(super) fn check_blocks(&mut self, now: Now) {
        if self.blocks.check_at_ns.is_none_or(|at| at > now.monotonic_ns) {
            return;
        }
        let timeout_ns = self.block_timeout_ns();
        let mut next = None;
        for index in self.blocks.full.clone() {
            // Another of its connection has ended it.
            if !self.blocks.full.contains(&index) {
                continue;
            }
            let subscription = self.subscriptions.get(index);
            let (slot, id) = (subscription.slot, subscription.id);
            let full_since_ns = subscription.full_since_ns;
            let taken_ns = self.sessions.get(slot).last_sent_ns.max(full_since_ns);
            if taken_ns + timeout_ns > now.monotonic_ns {
                next = Some(next.unwrap_or(u64::MAX).min(taken_ns + timeout_ns));
                continue;
            }
            let detail = format!(
                "it took nothing for {} ms while publishers waited for it (overflow block): read \
                 faster, or raise `queues.block_timeout_ms`",
                self.cluster.settings.queues.block_timeout_ms
            );
            self.reject(slot, &Reject::SlowSubscriber { subscription: id.0, detail });
        }
        self.blocks.check_at_ns = next;
    }

    fn block_timeout_ns(&self) -> u64 {
        u64::from(self.cluster.settings.queues.block_timeout_ms) * 1_000_000
    }

    /// The other cores of this broker.
    pub(super) fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let (core, cores) = (self.core, self.cluster.cores);
        (0..cores).map(CoreId).filter(move |other| *other != core).map(|other| usize::from(other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Cluster;
    use crate::config::Settings;

    #[test]
    fn publishers_wait_until_the_last_core_has_room_again() {
        let cluster = Cluster::new(2, 1, Arc::new(Settings::default()));
        let name: Arc<str> = (0..)
            .map(|number| Arc::from(format!("topic{number}")))
            .find(|name| cluster.core_of(cluster.shard_of_name(name)) == CoreId(0))
            .expect("some topic is core 0's");
        let shard = cluster.shard_of_name(&name);
        let mut broker = Broker::new(CoreId(0), cluster, Arc::default());
        let (topic, _) = broker.open_topic(shard, &name).expect("there is room for one");
        for blocked in [true, true, false] {
            broker.core_blocks(topic.id, blocked);
            assert!(broker.blocks.publishers_wait(topic.id), "one core at least is full");
        }
        broker.core_blocks(topic.id, false);
        assert!(!broker.blocks.publishers_wait(topic.id));
    }
}
