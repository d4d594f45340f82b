//! Reclaiming memory: when the budget is nearly used up and nothing retained is left, those who hold most
//! lose it, the largest first, and nobody more than down to a fair share.
//!
//! Called by `turn` once per turn as long as memory is short. Connections lose what their queues hold,
//! by the policy of the subscription; groups the oldest messages of their queues.
//!
//! # Always true
//! - A turn takes at most [`RECLAIMED_PER_TURN_MAX`](crate::limits::RECLAIMED_PER_TURN_MAX) slices.
//! - Nobody is left with less than its fair share, but for what one slice more or less makes.

use super::Delivery;
use super::effects::{Effect, Slowness};
use super::held::Holder;
use super::overflow::Cause;
use crate::broker::clock::Now;
use crate::broker::ids::Slot;
use crate::config::OverflowPolicy;
use crate::limits::GAP_RUNS_MAX;
use crate::protocol::SubscriptionId;

/// What the end of a connection counts for, in slices.
const SLICES_PER_DISCONNECT: usize = 32;

/// How often a connection is named for what it loses.
const NOTICE_EVERY_NS: u64 = 10_000_000_000;

impl Delivery {
    /// Takes from the largest holders of this core until memory is not short any more, and no more than
    /// is `left` of this turn. Returns whether more can be taken, now or in the next turn.
    pub fn reclaim(&mut self, now: Now, left: &mut usize) -> bool {
        let share = self.cluster.memory.fair_share();
        while *left > 0 {
            *left -= 1;
            self.count_memory();
            if !self.cluster.memory.is_nearly_full() {
                return false;
            }
            let Some(holder) = self.largest_above(share) else { return false };
            let goes_on = match holder {
                Holder::Connection(slot) => self.reclaim_from(now, slot, share),
                Holder::Group(index) => self.reclaim_from_group(index),
            };
            if !goes_on {
                // What was decided takes effect before the next look.
                *left = left.saturating_sub(SLICES_PER_DISCONNECT);
                return true;
            }
        }
        true
    }

    fn largest_above(&mut self, share: u64) -> Option<Holder> {
        let Delivery { holders, outlets, groups, .. } = self;
        holders.largest_where(|holder| match holder {
            Holder::Connection(slot) => outlets.at(slot).held_bytes() > share,
            Holder::Group(index) => groups.held_bytes(index) > share,
        })
    }

    /// Takes a slice from a connection, or disconnects it if its policy says so. Returns whether the
    /// next slice can be taken at once.
    fn reclaim_from(&mut self, now: Now, slot: Slot, share: u64) -> bool {
        self.note_reclaimed(now, slot, share);
        // Neither a message that has not come in full, nor an answer, nor a subscription can be dropped.
        let can_drop = !self.outlets.at(slot).holds_mostly_other_bytes();
        let Some(index) = self.largest_queue_of(slot).filter(|_| can_drop) else {
            self.disconnect_to_reclaim(slot, share);
            return false;
        };
        match self.get(index).policy {
            // What was promised cannot be taken: the connection goes, and knows why.
            OverflowPolicy::Block | OverflowPolicy::Disconnect => {
                self.disconnect_to_reclaim(slot, share);
                return false;
            }
            OverflowPolicy::DropOldest | OverflowPolicy::DropNew | OverflowPolicy::Latest => {}
        }
        self.drop_oldest_of(index, Cause::Memory);
        let subscription = self.get(index);
        if subscription.queue.gap_runs() > GAP_RUNS_MAX {
            let why = Slowness::GapsFull;
            let subscription = subscription.id;
            self.effects.push(Effect::TooSlow { slot, subscription, why });
            return false;
        }
        true
    }

    /// Disconnects a connection that holds more than its fair share, which cannot be taken from it.
    pub fn disconnect_to_reclaim(&mut self, slot: Slot, share: u64) {
        let first = self.outlets.at(slot).subscriptions.first();
        let subscription = first.map_or(SubscriptionId(0), |index| self.get(*index).id);
        let outlet = self.outlets.at(slot);
        let (held, subscriptions) = (outlet.held_bytes(), outlet.subscriptions.len());
        self.counters.reclaimed_connections.add(1);
        let why = match outlet.holds_mostly_subscriptions() {
            true => Slowness::SubscribesTooMuch { subscriptions, held, share },
            false => Slowness::HoldsTooMuch { held, share },
        };
        self.effects.push(Effect::TooSlow { slot, subscription, why });
    }

    fn note_reclaimed(&mut self, now: Now, slot: Slot, share: u64) {
        let outlet = self.outlets.get(slot);
        let held = outlet.held_bytes();
        let is_due = outlet.reclaimed_ns.is_none_or(|at| now.monotonic_ns - at >= NOTICE_EVERY_NS);
        if is_due {
            outlet.reclaimed_ns = Some(now.monotonic_ns);
            self.effects.push(Effect::Reclaimed { slot, held, share });
        }
    }

    fn reclaim_from_group(&mut self, index: u32) -> bool {
        let group = self.groups.at(index);
        let before = group.queue.size();
        let messages = group.queue.drop_oldest_slice();
        Cause::Memory.count(messages, &self.counters, &mut group.lost);
        self.group_resized(index, before);
        messages > 0
    }
}
