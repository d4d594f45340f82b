//! Fan-out: makes a slice readable by every local subscription of its topic.
//!
//! Called by `turn`, for slices stamped here and for those that came from other cores. Next on the
//! path: `pull`.
//!
//! # Always true
//! - A message is stored once, however many subscriptions it has: queues share its bytes.
//! - A slow subscription fills only its own queue. It never delays its neighbours.

use super::Delivery;
use super::effects::{Effect, Slowness};
use super::held::ConnectionRoom;
use super::overflow::{self, Cause, Outcome};
use super::reach::Reached;
use super::subscription::State;
use super::subscriptions::SubscriptionIndex;
use crate::broker::clock::Now;
use crate::broker::ids::Slot;
use crate::broker::message::Slice;
use crate::broker::timers::Timers;
use crate::config::OverflowPolicy;
use crate::limits::GAP_RUNS_MAX;
use crate::protocol::GapReason;

/// What a fan-out leads to, once every subscription has the slice.
#[derive(Default)]
struct Aftermath {
    overflowed: Vec<Effect>,
    full: Vec<SubscriptionIndex>,
    satisfied: Vec<SubscriptionIndex>,
    too_slow: Vec<Effect>,
}

impl Delivery {
    /// Gives a slice to every subscription of this core that its topic reaches, but for members of
    /// groups; returns how many of its messages, the first of them, reached some subscription.
    pub fn fan_out(&mut self, now: Now, timers: &mut Timers, slice: &Slice) -> u32 {
        let reached = self.subscriptions.take_targets(&slice.topic);
        let few = self.within_limit(&reached, slice);
        let targets = few.as_ref().unwrap_or(&reached.targets);
        let joining = self.joining_targets(&slice.topic, targets);
        let is_expired = slice.is_expired(now);
        let is_legal = slice.topic.is_legal();
        let mut aftermath = Aftermath::default();
        let mut heard = 0;
        for &index in targets.iter().chain(&joining) {
            if !is_legal && !self.get(index).takes_any_name {
                self.refuse_name(index, slice);
                continue;
            }
            heard = heard.max(self.give(index, slice, is_expired, &mut aftermath));
        }
        if !targets.is_empty() || !joining.is_empty() {
            self.turn_messages += slice.messages;
        }
        let repeats = reached.of_one_connection_max.saturating_sub(1);
        self.turn_repeats += repeats;
        self.work.repeats += repeats;
        self.subscriptions.put_targets(&slice.topic, reached);
        self.effects.append(&mut aftermath.overflowed);
        for index in aftermath.full {
            self.block(now, timers, index, slice.topic.id);
        }
        for index in aftermath.satisfied {
            let satisfied = self.get(index).reference(index);
            self.satisfy(satisfied);
        }
        self.effects.append(&mut aftermath.too_slow);
        heard
    }

    /// If a topic reaches too many subscriptions of some connection: has the connection closed, and
    /// returns what is reached without those that are too many.
    fn within_limit(&mut self, reached: &Reached, slice: &Slice) -> Option<Vec<SubscriptionIndex>> {
        let subscriptions_max = self.cluster.settings.limits.max_fan_out_per_connection;
        let max = subscriptions_max as usize;
        if reached.of_one_connection_max <= max {
            return None;
        }
        let connection = |index: &SubscriptionIndex| self.get(*index).connection;
        let of_each = reached.targets.chunk_by(|one, other| connection(one) == connection(other));
        let (within, beyond): (Vec<_>, Vec<_>) =
            of_each.map(|of_one| of_one.split_at(of_one.len().min(max))).unzip();
        for (within, beyond) in within.iter().zip(beyond) {
            let Some(first) = beyond.first().filter(|index| !self.is_over(**index)) else {
                continue;
            };
            let lost = beyond.len() as u64 * u64::from(slice.messages);
            self.counters.fan_out_exceeded.add(1);
            self.counters.dropped_disconnected_messages.add(lost);
            let (slot, subscription) = (self.get(*first).connection.slot, self.get(*first).id);
            self.note_lost(slot, lost);
            let subscriptions = within.len() + beyond.len();
            let why = Slowness::ReachedTooOften { subscriptions, subscriptions_max };
            self.effects.push(Effect::TooSlow { slot, subscription, why });
        }
        Some(within.concat())
    }

    /// Gives a slice to one subscription, unless the slice is not for its connection. Returns how many
    /// messages the subscription takes.
    fn give(
        &mut self,
        index: SubscriptionIndex,
        slice: &Slice,
        is_expired: bool,
        aftermath: &mut Aftermath,
    ) -> u32 {
        if self.is_over(index) {
            return 0;
        }
        let subscription = self.subscriptions.get(index);
        let slot = subscription.connection.slot;
        if let Some(not_to) = &slice.not_to
            && not_to.excludes(self.core, subscription.connection, subscription.filter.as_deref())
        {
            return 0;
        }
        // One that ends after so many messages gets no more than those.
        let mut cut;
        let mut slice = slice;
        let wants = subscription.taken_max - subscription.taken;
        if wants == 0 {
            // It had all it asked for, and is to be ended.
            return 0;
        }
        if !is_expired && wants <= u64::from(slice.messages) {
            cut = slice.clone();
            cut.keep_first(wants as u32);
            slice = &cut;
            aftermath.satisfied.push(index);
        }
        if is_expired {
            let messages = u64::from(slice.messages);
            self.counters.expired_before_enqueue_messages.add(messages);
            subscription.lost.expired += messages;
            let before = subscription.queue.size();
            subscription.queue.miss(slice.gap(GapReason::Expired));
            self.resized(index, before);
            self.note_lost(slot, messages);
        } else {
            self.enqueue(slot, index, slice, aftermath);
        }
        let subscription = self.subscriptions.get(index);
        let gap_runs = subscription.queue.gap_runs();
        let (id, is_joining) = (subscription.id, subscription.state == State::Joining);
        if gap_runs > GAP_RUNS_MAX {
            let why = Slowness::GapsFull;
            aftermath.too_slow.push(Effect::TooSlow { slot, subscription: id, why });
        }
        if !is_joining {
            self.list(index);
        }
        slice.messages
    }

    /// Does not give a slice to a subscription whose protocol cannot name the topic.
    fn refuse_name(&mut self, index: SubscriptionIndex, slice: &Slice) {
        if self.is_over(index) {
            return;
        }
        let messages = u64::from(slice.messages);
        self.counters.refused_messages.add(messages);
        let slot = self.get(index).connection.slot;
        self.note_lost(slot, messages);
    }

    /// Puts a slice into the queue of a subscription, as far as the bounds of the queue and of its
    /// connection allow.
    fn enqueue(
        &mut self,
        slot: Slot,
        index: SubscriptionIndex,
        slice: &Slice,
        aftermath: &mut Aftermath,
    ) {
        let room = self.room_of(slot, slice);
        let is_broken = self.outlets.at(slot).is_broken;
        let subscription = self.subscriptions.get(index);
        let (before, lost_before) = (subscription.queue.size(), subscription.lost.messages());
        subscription.taken += u64::from(slice.messages);
        let policy = match subscription.policy {
            // Publishers to an ephemeral topic cannot be held up, because the topic has no id.
            // Nor are they for a client that nothing reaches any more.
            OverflowPolicy::Block if is_broken || !slice.topic.is_retained() => {
                OverflowPolicy::DropOldest
            }
            policy => policy,
        };
        let bounds = subscription.bounds;
        let queue = &mut subscription.queue;
        let outcome = match room {
            ConnectionRoom::Enough => overflow::enqueue(queue, slice, policy, bounds),
            ConnectionRoom::Left(bytes) => {
                overflow::enqueue_beyond_connection(queue, slice, policy, bounds, bytes)
            }
        };
        outcome.count(policy, &self.counters, &mut subscription.lost);
        let lost = subscription.lost.messages() - lost_before;
        if lost > 0 {
            self.note_lost(slot, lost);
        }
        self.resized(index, before);
        self.note_outcome((slot, index), outcome, policy, aftermath);
        if outcome.cause == Cause::Connection && policy != OverflowPolicy::Block {
            self.keep_connection_bound(slot, index);
        }
    }

    fn note_outcome(
        &mut self,
        (slot, index): (Slot, SubscriptionIndex),
        outcome: Outcome,
        policy: OverflowPolicy,
        aftermath: &mut Aftermath,
    ) {
        let connection_blocks =
            policy == OverflowPolicy::Block && self.is_connection_nearly_full(slot);
        if outcome.cause == Cause::Connection && outcome.overflowed() {
            self.note_connection_full(slot, aftermath);
        }
        let subscription = self.subscriptions.get(index);
        if outcome.cause == Cause::Queue && outcome.overflowed() && !subscription.has_overflowed {
            subscription.has_overflowed = true;
            let pattern = subscription.pattern.clone();
            aftermath.overflowed.push(Effect::Overflowed { slot, pattern, policy });
        }
        if outcome.blocks || connection_blocks {
            aftermath.full.push(index);
        }
        if outcome.disconnects {
            let why = match outcome.cause {
                Cause::Queue | Cause::Memory => Slowness::QueueFull(subscription.bounds),
                Cause::Connection => {
                    let connection_bytes = self.cluster.settings.queues.connection_bytes;
                    Slowness::ConnectionFull { connection_bytes }
                }
            };
            let subscription = subscription.id;
            aftermath.too_slow.push(Effect::TooSlow { slot, subscription, why });
        }
    }

    fn note_connection_full(&mut self, slot: Slot, aftermath: &mut Aftermath) {
        let connection_bytes = self.connection_bytes_max();
        if !std::mem::replace(&mut self.outlets.get(slot).has_been_full, true) {
            aftermath.overflowed.push(Effect::ConnectionFull { slot, connection_bytes });
        }
    }
}
