//! Starts other than live: what topics still keep, then what comes, without gap or double.
//!
//! A subscription asks every core that may own a topic of its pattern. Each answers with what it
//! keeps, addressed to that subscription, up to the moment of the answer; what is accepted later
//! comes as to everybody, because the core was announced before it was asked and lanes keep order.
//! The subscription is in force when all have answered, and is sent nothing before.
//!
//! # Always true
//! - While a subscription waits for answers, a topic that has come to it stays with it: others of
//!   its connection that match come in force behind it, or later messages would overtake.
//! - Kept messages are sent before everything live, also before what is queued under others of the
//!   connection: some of that is behind them.
//!
//! Called by `subscribe`; answers come through `mesh`.

use std::sync::Arc;

use super::Broker;
use super::gaps::Gap;
use super::letter::{Delivery, Request};
use super::log::Kept;
use super::pattern;
use super::queue::Entry;
use super::subscriptions::SubscriptionIndex;
use super::topic::TopicName;
use crate::protocol::{CoreId, GapReason, Start};

/// Which subscription asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// On its core.
    pub index: SubscriptionIndex,
    /// Tells it from an earlier one under the same index.
    pub number: u64,
}

/// What one topic keeps for an asker.
#[derive(Debug)]
pub struct Replay {
    /// The topic.
    pub topic: Arc<TopicName>,
    /// Up to the next message.
    pub kept: Kept,
    /// Whether older messages were asked for than are kept, so that they are missed.
    pub misses: bool,
}

impl Broker {
    /// A subscription that does not start live asks all cores that may own its topics.
    pub(super) fn ask_for_replay(
        &mut self,
        index: SubscriptionIndex,
        start: Start,
        ask: &[CoreId],
    ) {
        let subscription = self.subscriptions.get(index);
        let pattern = subscription.pattern.clone();
        let asker = Asker { index, number: subscription.number };
        self.subscriptions.join(index, ask.len() as u16 + 1);
        for core in ask {
            let request = Request::Replay { asker, pattern: pattern.clone(), start };
            self.outgoing[usize::from(core.0)].ask(request);
        }
        // This core may own topics of the pattern as well; if not, the answer is empty.
        let replays = self.replays(&pattern, start);
        self.replayed(self.core, asker, replays);
    }

    /// What this core's topics keep for a pattern.
    pub(super) fn replays(&mut self, pattern: &str, start: Start) -> Vec<Replay> {
        let mut replays = Vec::new();
        for shard in &self.shards {
            for topic in shard.all() {
                if !pattern::matches(pattern, &topic.name.name) {
                    continue;
                }
                let kept = topic.log.kept(start, topic.next_sequence);
                if kept.from < kept.next {
                    let misses = matches!(start, Start::Sequence(_));
                    replays.push(Replay { topic: topic.name.clone(), kept, misses });
                }
            }
        }
        replays
    }

    /// A core has answered.
    pub(super) fn replayed(&mut self, from: CoreId, asker: Asker, replays: Vec<Replay>) {
        let Some(subscription) = self.subscriptions.joining(asker) else { return };
        let (id, bytes_max) = (subscription.id.0, subscription.bounds.bytes_max);
        let entries = subscription.queue.entries();
        for Replay { topic, kept, misses } in replays {
            let missed = |gap: Gap| Entry::Gap(Gap { subscription: id, ..gap });
            // The newest are kept where not all fit.
            let mut bytes = subscription.queue.replay_bytes();
            let fits = kept.portions.iter().rev().take_while(|portion| {
                bytes += portion.frames.len() as u64;
                bytes <= bytes_max
            });
            let skipped = kept.portions.len() - fits.count();
            let first_kept = kept.portions.first().map_or(kept.next, |portion| portion.first);
            if misses && kept.from < first_kept {
                subscription.queue.push_replay(missed(Gap {
                    topic: topic.clone(),
                    subscription: id,
                    first: kept.from,
                    messages: first_kept.0 - kept.from.0,
                    reason: GapReason::NoLongerKept,
                }));
            }
            for (index, mut portion) in kept.portions.into_iter().enumerate() {
                portion.subscription = id;
                self.counters.enqueued_messages.add(u64::from(portion.messages));
                if index < skipped {
                    self.counters.dropped_oldest_messages.add(u64::from(portion.messages));
                }
                subscription.queue.push_replay(match index < skipped {
                    true => missed(portion.gap(GapReason::Overflow)),
                    false => Entry::Portion(portion),
                });
            }
        }
        self.kept.count_entries(entries, subscription.queue.entries());
        if self.subscriptions.joined(asker.index, from) {
            self.come_in_force(asker.index);
        }
    }

    /// Another core asks.
    pub(super) fn answer_replay(&mut self, to: CoreId, asker: Asker, pattern: &str, start: Start) {
        let replays = self.replays(pattern, start);
        self.outgoing[usize::from(to.0)].deliver(Delivery::Replay { asker, replays });
    }

    /// Subscriptions that are not in force yet, but joined the core that owns the topic: what comes
    /// from it is theirs, unless another subscription of their connection gets it.
    pub(super) fn joining_targets(
        &mut self,
        topic: &TopicName,
        targets: &[SubscriptionIndex],
    ) -> Vec<SubscriptionIndex> {
        let mut joining = self.subscriptions.joining_to(topic);
        if !joining.is_empty() {
            let mut taken: Vec<u32> =
                targets.iter().map(|index| self.subscriptions.get(*index).slot).collect();
            joining.retain(|index| {
                let slot = self.subscriptions.get(*index).slot;
                let free = !taken.contains(&slot);
                taken.push(slot);
                free
            });
        }
        joining
    }
}
