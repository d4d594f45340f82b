//! Fan-out: makes a portion readable by every local subscription of its topic.
//!
//! Called by `mesh`, for portions stamped here and for those that came from other cores.
//! Next on the path: `flush`.
//!
//! # Always true
//! - A message is stored once, however many subscriptions it has: queues share its bytes.
//! - A slow subscription fills only its own queue. It never delays its neighbours.
//! - Nothing here waits: no clock, no socket.

use super::notice::Event;
use super::overflow;
use super::portion::Portion;
use super::queue::Bounds;
use super::subscriptions::State;
use super::{Broker, Now};
use crate::config::OverflowPolicy;
use crate::limits::GAP_RUNS_MAX;
use crate::protocol::{GapReason, Reject};

impl Broker {
    /// Gives a portion to every subscription of this core that its topic reaches; returns whether
    /// there is any.
    pub(super) fn fan_out(&mut self, now: Now, portion: &Portion) -> bool {
        let topic = &portion.topic;
        let targets = self.subscriptions.take_targets(topic);
        let joining = self.joining_targets(topic, &targets);
        let expired = portion.is_expired(now);
        let mut reached = self.fan_out_to_groups(portion, expired);
        let mut too_slow = Vec::new();
        let mut full = Vec::new();
        let mut fulfilled = Vec::new();
        let mut overflowed = Vec::new();
        for &index in targets.iter().chain(&joining) {
            let subscription = self.subscriptions.get(index);
            if let Some(publisher) = &portion.not_to
                && publisher.is(self.core, self.sessions.id(subscription.slot))
            {
                continue;
            }
            reached = true;
            let entries = subscription.queue.entries();
            let lost_before = subscription.lost.messages();
            // One that ends after so many messages gets no more than those.
            let mut cut;
            let mut portion = portion;
            let wants = subscription.taken_max - subscription.taken;
            if !expired && wants <= u64::from(portion.messages) {
                cut = portion.clone();
                cut.keep_first(wants as u32);
                portion = &cut;
                fulfilled.push(index);
            }
            if expired {
                let messages = u64::from(portion.messages);
                self.counters.expired_before_enqueue_messages.add(messages);
                subscription.lost.expired += messages;
                subscription.queue.miss(portion.gap(GapReason::Expired));
            } else {
                subscription.taken += u64::from(portion.messages);
                let bounds = subscription.bounds;
                let policy = match subscription.policy {
                    // Who publishes to it is known to nobody by its id, and cannot be held up.
                    OverflowPolicy::Block if !topic.is_kept() => OverflowPolicy::DropOldest,
                    policy => policy,
                };
                let outcome = overflow::enqueue(&mut subscription.queue, portion, policy, bounds);
                outcome.count(policy, &self.counters, &mut subscription.lost);
                if outcome.overflowed() && !subscription.has_overflowed {
                    subscription.has_overflowed = true;
                    overflowed.push((subscription.slot, subscription.pattern.clone(), policy));
                }
                if outcome.blocks {
                    full.push(index);
                }
                if outcome.disconnects {
                    let why = TooSlow::QueueFull(bounds);
                    too_slow.push((subscription.slot, subscription.id, why));
                }
            }
            self.kept.count_entries(entries, subscription.queue.entries());
            let lost = subscription.lost.messages() - lost_before;
            if lost > 0 {
                self.sessions.get(subscription.slot).lost_messages += lost;
            }
            if subscription.queue.gap_runs() > GAP_RUNS_MAX {
                too_slow.push((subscription.slot, subscription.id, TooSlow::GapsFull));
            }
            let sendable = subscription.state != State::Joining;
            if sendable && !subscription.is_listed {
                subscription.is_listed = true;
                let slot = subscription.slot;
                self.sessions.get(slot).to_send.push_back(index);
                self.mark_ready(slot);
            }
        }
        if !targets.is_empty() || !joining.is_empty() {
            self.turn_messages += portion.messages;
        }
        self.subscriptions.put_targets(topic, targets);
        for (slot, pattern, policy) in overflowed {
            self.notice(slot, Event::Overflow { pattern, policy });
        }
        for index in full {
            self.block(now, index, topic.id);
        }
        for index in fulfilled {
            self.end_nats_subscription(index, false);
        }
        for (slot, id, why) in too_slow {
            let detail = match why {
                TooSlow::QueueFull(bounds) => format!(
                    "its queue of {} messages and {} bytes has no room for what came (overflow \
                     disconnect): read faster, or choose another overflow policy",
                    bounds.messages_max, bounds.bytes_max
                ),
                TooSlow::GapsFull => format!(
                    "it is behind by more than {GAP_RUNS_MAX} runs of missed messages, too many to \
                     tell it: read faster, or subscribe to fewer topics on one connection"
                ),
            };
            self.reject(slot, &Reject::SlowSubscriber { subscription: id.0, detail });
        }
        reached
    }
}

/// Why a subscriber is disconnected.
enum TooSlow {
    /// As it asked for.
    QueueFull(Bounds),
    /// What it missed could not be told.
    GapsFull,
}
