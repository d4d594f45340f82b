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
use super::overflow::{self, Outcome};
use super::subscription::State;
use super::subscriptions::SubscriptionIndex;
use crate::broker::clock::Now;
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
        let targets = self.subscriptions.take_targets(&slice.topic);
        let joining = self.joining_targets(&slice.topic, &targets);
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
        self.subscriptions.put_targets(&slice.topic, targets);
        self.effects.append(&mut aftermath.overflowed);
        for index in aftermath.full {
            self.block(now, timers, index, slice.topic.id);
        }
        for index in aftermath.satisfied {
            let satisfied = Effect::Satisfied(self.get(index).reference(index));
            self.effects.push(satisfied);
        }
        self.effects.append(&mut aftermath.too_slow);
        heard
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
        let subscription = self.subscriptions.get(index);
        let slot = subscription.connection.slot;
        if let Some(not_to) = &slice.not_to
            && not_to.excludes(self.core, subscription.connection, subscription.filter.as_deref())
        {
            return 0;
        }
        let entries = subscription.queue.entries();
        let lost_before = subscription.lost.messages();
        // One that ends after so many messages gets no more than those.
        let mut cut;
        let mut slice = slice;
        let wants = subscription.taken_max - subscription.taken;
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
            subscription.queue.miss(slice.gap(GapReason::Expired));
        } else {
            subscription.taken += u64::from(slice.messages);
            let policy = match subscription.policy {
                // Publishers to an ephemeral topic cannot be held up, because the topic has no id.
                OverflowPolicy::Block if !slice.topic.is_retained() => OverflowPolicy::DropOldest,
                policy => policy,
            };
            let (queue, bounds) = (&mut subscription.queue, subscription.bounds);
            let outcome = overflow::enqueue(queue, slice, policy, bounds);
            outcome.count(policy, &self.counters, &mut subscription.lost);
            self.note_outcome(index, outcome, policy, aftermath);
        }
        let subscription = self.subscriptions.get(index);
        let (after, gap_runs) = (subscription.queue.entries(), subscription.queue.gap_runs());
        let lost = subscription.lost.messages() - lost_before;
        let (id, is_joining) = (subscription.id, subscription.state == State::Joining);
        self.count_entries(entries, after);
        if lost > 0 {
            self.note_lost(slot, lost);
        }
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
        let messages = u64::from(slice.messages);
        self.counters.refused_messages.add(messages);
        let slot = self.get(index).connection.slot;
        self.note_lost(slot, messages);
    }

    fn note_outcome(
        &mut self,
        index: SubscriptionIndex,
        outcome: Outcome,
        policy: OverflowPolicy,
        aftermath: &mut Aftermath,
    ) {
        let subscription = self.subscriptions.get(index);
        let slot = subscription.connection.slot;
        if outcome.overflowed() && !subscription.has_overflowed {
            subscription.has_overflowed = true;
            let pattern = subscription.pattern.clone();
            aftermath.overflowed.push(Effect::Overflowed { slot, pattern, policy });
        }
        if outcome.blocks {
            aftermath.full.push(index);
        }
        if outcome.disconnects {
            let why = Slowness::QueueFull(subscription.bounds);
            let subscription = subscription.id;
            aftermath.too_slow.push(Effect::TooSlow { slot, subscription, why });
        }
    }
}
