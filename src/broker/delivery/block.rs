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
//! - A connection that accepts no data for `queues.block_timeout_ms`, or less than
//!   `queues.block_min_rate` while publishers wait for that long, is disconnected, so connections that
//!   wait for each other, or for themselves, do not wait for ever.
//! - A connection to which nothing can be sent any more blocks nobody.
//! - A turn judges so many connections at most, those first that are due first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::Delivery;
use super::effects::{Effect, Request, Slowness};
use super::overflow;
use super::pace::{Demand, Judgement, Pace};
use super::subscriptions::SubscriptionIndex;
use crate::broker::clock::{Now, ms_to_ns};
use crate::broker::ids::{ConnectionId, Slot};
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
    /// Connections of this core by when they are judged, soonest first.
    due: BTreeSet<(u64, ConnectionId)>,
    /// Connections whose publishers' wait has ended in this turn.
    unsettled: Vec<Slot>,
    /// Times that a subscription began.
    begun: u64,
}

impl Blocks {
    /// Judges all connections in the next turns, because other settings apply.
    pub(super) fn judge_all_at_once(&mut self) {
        let due = std::mem::take(&mut self.due);
        self.due = due.into_iter().map(|(_, connection)| (0, connection)).collect();
    }
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
        let timeout_ns = self.demand().timeout_ns;
        let subscription = self.subscriptions.get(index);
        let connection = subscription.connection;
        let outlet = self.outlets.get(connection.slot);
        if outlet.connection != Some(connection) || outlet.is_broken {
            return;
        }
        let blocking = &mut subscription.blocking;
        if blocking.as_ref().is_some_and(|blocking| blocking.topics.contains(&topic)) {
            return;
        }
        let is_first = blocking.is_none();
        let blocking = blocking.get_or_insert_default();
        blocking.topics.insert(topic);
        if is_first {
            self.blocks.begun += 1;
            blocking.number = self.blocks.begun;
            let pace = outlet.pace.get_or_insert_default();
            pace.begin(now.monotonic_ns, blocking.number, index);
            if !std::mem::replace(&mut pace.is_due, true) {
                let due_ns = pace.due_ns(now.monotonic_ns, timeout_ns);
                self.blocks.due.insert((due_ns, connection));
                self.wake_when_due(timers);
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
        let subscription = self.subscriptions.get(index);
        let Some(blocking) = subscription.blocking.take() else { return };
        let connection = subscription.connection;
        let outlet = self.outlets.get(connection.slot);
        if outlet.connection == Some(connection) {
            let pace = outlet.pace.as_mut().expect("`block` made it");
            pace.holding.remove(&blocking.number);
            if pace.holding.is_empty() {
                self.blocks.unsettled.push(connection.slot);
            }
        }
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

    /// Nothing more reaches the client of a connection: nobody waits for it any more.
    pub fn break_off(&mut self, slot: Slot) {
        let outlet = self.outlets.get(slot);
        outlet.is_broken = true;
        let holding = outlet.pace.as_ref().map(|pace| pace.holding.clone());
        for index in holding.into_iter().flat_map(BTreeMap::into_values) {
            self.unblock(index);
        }
    }

    /// The kernel has taken a send of a connection.
    pub fn note_taken(&mut self, now: Now, slot: Slot, bytes: usize) {
        if let Some(pace) = &mut self.outlets.get(slot).pace {
            pace.take(now.monotonic_ns, bytes as u64);
        }
    }

    /// Ends the turn: counts the waits that have ended in it.
    pub fn settle_paces(&mut self, now: Now) {
        for slot in self.blocks.unsettled.drain(..) {
            if let Some(pace) = &mut self.outlets.get(slot).pace {
                pace.settle(now.monotonic_ns);
            }
        }
    }

    /// Disconnects connections that hold publishers up and have taken nothing, or too little, for too
    /// long; judges at most so many connections.
    pub fn disconnect_stalled(&mut self, now: Now, timers: &mut Timers, judged_max: usize) {
        for _ in 0..judged_max {
            let Some(&(due_ns, connection)) = self.blocks.due.first() else { break };
            if due_ns > now.monotonic_ns {
                break;
            }
            self.blocks.due.pop_first();
            self.judge(now, connection);
        }
        self.wake_when_due(timers);
    }

    fn judge(&mut self, now: Now, connection: ConnectionId) {
        let (demand, slot) = (self.demand(), connection.slot);
        let outlet = self.outlets.get(slot);
        if outlet.connection != Some(connection) {
            return;
        }
        let pace: &mut Pace = outlet.pace.as_mut().expect("it holds or held publishers up");
        pace.is_due = false;
        // One that holds nobody up now is judged when it does again.
        let Some(&index) = pace.holding.values().next() else { return };
        let judgement = pace.judge(now.monotonic_ns, demand);
        let queues = &self.cluster.settings.queues;
        let why = match judgement {
            Judgement::Fine => {
                pace.is_due = true;
                let due_ns = pace.due_ns(now.monotonic_ns, demand.timeout_ns);
                self.blocks.due.insert((due_ns, connection));
                return;
            }
            Judgement::TookNothing => {
                Slowness::TookNothing { block_timeout_ms: queues.block_timeout_ms }
            }
            Judgement::TookLittle { taken_bytes, held_ns } => {
                let (held_ms, block_min_rate) = (held_ns / 1_000_000, queues.block_min_rate);
                Slowness::TookLittle { taken_bytes, held_ms, block_min_rate }
            }
        };
        let subscription = self.get(index).id;
        self.effects.push(Effect::TooSlow { slot, subscription, why });
    }

    fn wake_when_due(&self, timers: &mut Timers) {
        let first = self.blocks.due.first().map(|(due_ns, _)| *due_ns);
        timers.set_single(Single::Blocked, first);
    }

    /// Topics whose publishers wait on this core, and topics that subscriptions of this core block.
    pub fn blocks(&self) -> (BTreeSet<TopicId>, BTreeSet<TopicId>) {
        let Blocks { waiting, subscriptions, .. } = &self.blocks;
        (waiting.iter().copied().collect(), subscriptions.keys().copied().collect())
    }

    fn demand(&self) -> Demand {
        let queues = &self.cluster.settings.queues;
        Demand {
            timeout_ns: ms_to_ns(queues.block_timeout_ms),
            min_rate: u64::from(queues.block_min_rate),
        }
    }
}
