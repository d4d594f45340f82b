//! Starts other than live: what topics still retain, then what comes, without gap or double.
//!
//! A subscription asks every core that may own a topic of its pattern. Each answers with what it
//! retains, addressed to that subscription, up to the moment of the answer; what is accepted later
//! comes as to everybody, because the core was announced before it was asked and lanes keep order.
//! The subscription is active when all have answered in full, and is sent nothing before.
//!
//! # Always true
//! - While a subscription waits for answers, a topic that has come to it stays with it: others of
//!   its connection that match become active behind it, or later messages would overtake.
//! - Retained messages are sent before everything live, also before what is queued under others of
//!   the connection: some of that is behind them.

use super::Delivery;
use super::effects::Request;
use super::queue::Entry;
use super::subscription::SubscriptionRef;
use super::subscriptions::SubscriptionIndex;
use crate::broker::ids::ConnectionId;
use crate::broker::message::{Gap, TopicName};
use crate::broker::topics::replay::{Progress, Replay, slices_of};
use crate::protocol::{CoreId, GapReason, Start};

impl Delivery {
    /// A subscription that does not start live asks all cores that may own its topics, this core
    /// last: if it owns none of them, the answer is empty.
    pub(super) fn ask_for_replay(&mut self, index: SubscriptionIndex, start: Start) {
        let subscription = self.subscriptions.get(index);
        let (pattern, connection) = (subscription.pattern.clone(), subscription.connection);
        let subscription = subscription.reference(index);
        let mut asked = self.cores_to_ask(&pattern);
        asked.push(self.core);
        self.subscriptions.join(index, asked.len() as u16);
        for core in asked {
            let pattern = pattern.clone();
            self.ask(core, Request::Replay { subscription, connection, pattern, start });
        }
    }

    /// Nothing that a connection has asked topics for is wanted any more.
    pub(super) fn forget_replays(&mut self, connection: ConnectionId) {
        if self.subscriptions.are_joining(connection) {
            for core in self.cluster.others(self.core).chain([self.core]) {
                self.ask(core, Request::ForgetReplays { connection });
            }
        }
    }

    /// A core has answered, in part or, without progress, in full.
    pub fn replayed(
        &mut self,
        from: CoreId,
        (subscription, connection): (SubscriptionRef, ConnectionId),
        replays: Vec<Replay>,
        progress: Option<Progress>,
    ) {
        let index = subscription.index;
        let slices = slices_of(&replays);
        let is_living = self.living(subscription).is_some();
        let waiting = self.subscriptions.waiting(subscription).filter(|_| is_living);
        let Some(waiting) = waiting else {
            return self.replay_sent(from, connection, slices);
        };
        if slices > 0 {
            waiting.replay_unsent.push((from, slices));
        }
        let before = waiting.queue.size();
        for replay in replays {
            self.queue_replay(index, replay);
        }
        self.resized(index, before);
        if self.subscriptions.joined(index, from, progress) {
            self.activate(index);
        }
    }

    /// The cores that answered a subscription may begin other replays of its connection: it was sent
    /// what they answered, or will not be.
    pub(super) fn end_replay(&mut self, index: SubscriptionIndex) {
        let subscription = self.subscriptions.get(index);
        let connection = subscription.connection;
        for (core, slices) in std::mem::take(&mut subscription.replay_unsent) {
            self.replay_sent(core, connection, slices);
        }
    }

    fn replay_sent(&mut self, core: CoreId, connection: ConnectionId, slices: u64) {
        if slices > 0 {
            self.ask(core, Request::ReplaySent { connection, slices });
        }
    }

    /// Queues what one topic retains. The newest stay where not all fit.
    fn queue_replay(&mut self, index: SubscriptionIndex, replay: Replay) {
        let Replay { topic, retained, misses } = replay;
        let subscription = self.subscriptions.get(index);
        let (id, bytes_max) = (subscription.id.0, subscription.bounds.bytes_max);
        let missed = |gap: Gap| Entry::Gap(Gap { subscription: id, ..gap });
        let mut bytes = subscription.queue.replay_bytes();
        let fits = retained.slices.iter().rev().take_while(|slice| {
            bytes += slice.frames.len() as u64;
            bytes <= bytes_max
        });
        let skipped = retained.slices.len() - fits.count();
        let first = retained.slices.first().map_or(retained.next, |slice| slice.first);
        if misses && retained.from < first {
            subscription.queue.push_replay(missed(Gap {
                topic,
                subscription: id,
                first: retained.from,
                messages: first.0 - retained.from.0,
                reason: GapReason::NoLongerKept,
            }));
        }
        for (at, mut slice) in retained.slices.into_iter().enumerate() {
            slice.subscription = id;
            self.counters.enqueued_messages.add(u64::from(slice.messages));
            if at < skipped {
                self.counters.dropped_oldest_messages.add(u64::from(slice.messages));
            }
            subscription.queue.push_replay(match at < skipped {
                true => missed(slice.gap(GapReason::Overflow)),
                false => Entry::Slice(slice),
            });
        }
    }

    /// Subscriptions that are not active yet, but joined the topic: what comes from it is theirs,
    /// unless another subscription of their connection gets it. Targets are in the order of connections.
    pub(super) fn joining_targets(
        &self,
        topic: &TopicName,
        targets: &[SubscriptionIndex],
    ) -> Vec<SubscriptionIndex> {
        let mut joining = self.subscriptions.joining_to(&self.cluster, topic);
        let of = |index: &SubscriptionIndex| self.get(*index).connection;
        joining.retain(|index| targets.binary_search_by_key(&of(index), of).is_err());
        joining
    }
}
