//! The end of many subscriptions at once: their connection goes, is closed, or starts over.
//!
//! Called by frontends. From then on the subscriptions are *over*, all of them by one number of their
//! connection. What has to be done for each is done later, for so many a turn: they are *swept*.
//!
//! # Always true
//! - A subscription that is over gets no more, is not named to its frontend, and is swept once.
//! - A turn sweeps at most [`Cluster::ends_per_turn`] subscriptions, however many are over, and
//!   connections take turns. Subscriptions that had their maximum of messages share that number: each
//!   gets no more from then on, and is ended when its turn comes.
//!
//! [`Cluster::ends_per_turn`]: crate::broker::cluster::Cluster::ends_per_turn

use std::collections::VecDeque;

use super::effects::{Effect, Work};
use super::outlets::Sweep;
use super::subscription::{State, Subscription, SubscriptionRef};
use super::subscriptions::SubscriptionIndex;
use super::{Delivery, WorkDone};
use crate::broker::ids::{ConnectionId, Slot};

/// Entries of a queue that are dropped like one subscription.
const ENTRIES_PER_STEP: usize = 128;

/// How the subscriptions of a connection end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The connection closes: they are sent what they have queued, and nothing behind that.
    Close,
    /// Their client starts over: they are ended as if it had ended each.
    StartOver,
}

/// Subscriptions to be swept.
#[derive(Debug)]
enum Over {
    /// Their connection is gone, and its slot may have another.
    Gone(Vec<SubscriptionIndex>),
    /// Their connection is there; its outlet says how far it was swept.
    Open(ConnectionId),
}

/// What there is to sweep.
#[derive(Debug, Default)]
pub(super) struct Retired {
    over: VecDeque<Over>,
    /// Subscriptions that had all their clients asked for, and are to be ended.
    satisfied: VecDeque<SubscriptionRef>,
    /// Subscriptions that this turn may still sweep.
    left: usize,
}

impl Retired {
    /// Whether some subscription may be over, and not swept.
    pub fn are_any(&self) -> bool {
        !self.over.is_empty()
    }

    /// Subscriptions whose connection is gone.
    pub fn gone(&self) -> impl Iterator<Item = SubscriptionIndex> {
        let gone = self.over.iter().filter_map(|over| match over {
            Over::Gone(gone) => Some(gone),
            Over::Open(_) => None,
        });
        gone.flatten().copied()
    }
}

impl Delivery {
    /// The end of a connection ends its subscriptions; what they had queued is lost, and counted.
    pub fn drop_connection(&mut self, slot: Slot) {
        if let Some(connection) = self.outlets.at(slot).connection {
            self.forget_replays(connection);
        }
        self.connection_gone(slot);
        let mut gone = self.outlets.close(slot);
        if !gone.is_empty() {
            // They are taken from the end.
            gone.reverse();
            self.retired.over.push_back(Over::Gone(gone));
            self.effects.push(Effect::GoOn(Work::Sweep));
        }
    }

    /// The connection closes: its subscriptions get no more, and those with something queued are
    /// sent that first. For each whose answers were waited for, an [`Effect::Retired`] follows.
    pub fn close_connection(&mut self, slot: Slot) {
        self.retire(slot, Way::Close);
    }

    /// Ends the subscriptions of a client that starts over: members hand back what they were not
    /// sent. Returns whether that goes on in later turns: [`Effect::Swept`] follows then as well.
    pub fn start_over(&mut self, slot: Slot) -> bool {
        let goes_on = self.retired.are_any() || self.subscriptions_of(slot) >= self.retired.left;
        self.retire(slot, Way::StartOver);
        goes_on
    }

    fn retire(&mut self, slot: Slot, way: Way) {
        let last_number = self.subscriptions.last_number();
        let outlet = self.outlets.get(slot);
        let connection = outlet.connection.expect("the connection is there");
        outlet.over_up_to = last_number;
        let sweep = Sweep { way, left: outlet.subscriptions.len() };
        if outlet.sweep.replace(sweep).is_none() {
            self.retired.over.push_back(Over::Open(connection));
        }
        self.forget_replays(connection);
        self.effects.push(Effect::GoOn(Work::Sweep));
    }

    /// Whether a subscription gets no more, because all of its connection are over.
    #[inline]
    pub(super) fn is_over(&self, index: SubscriptionIndex) -> bool {
        self.retired.are_any() && self.at(index).is_some_and(|one| self.outlets.is_over(one))
    }

    /// A subscription that there is, unless it is over.
    pub(super) fn living(&self, of: SubscriptionRef) -> Option<&Subscription> {
        let found = self.at(of.index).filter(|found| found.number == of.number)?;
        (!self.retired.are_any() || !self.outlets.is_over(found)).then_some(found)
    }

    /// Whether there is more to sweep.
    pub fn is_sweeping(&self) -> bool {
        self.retired.are_any() || self.has_satisfied()
    }

    /// Whether subscriptions that had all their clients asked for are still to be ended.
    pub fn has_satisfied(&self) -> bool {
        !self.retired.satisfied.is_empty()
    }

    /// A subscription had all its client asked for: ends it now, or in a later turn if this one has
    /// ended enough. Until then the subscription gets no more.
    pub(super) fn satisfy(&mut self, of: SubscriptionRef) {
        if self.retired.left == 0 || self.has_satisfied() {
            self.retired.satisfied.push_back(of);
        } else {
            self.end_satisfied(of);
        }
    }

    fn end_satisfied(&mut self, of: SubscriptionRef) {
        self.retired.left -= 1;
        self.work.ends += 1;
        self.effects.push(Effect::Satisfied(of));
    }

    /// Ends subscriptions that earlier turns left: with half of what this turn may end, if others are
    /// to be swept as well.
    fn end_some_satisfied(&mut self) {
        let left = self.retired.left;
        let may_end = if self.retired.are_any() { left.div_ceil(2) } else { left };
        for _ in 0..may_end {
            let Some(of) = self.retired.satisfied.pop_front() else { return };
            // Its client may have ended the subscription itself, or be gone.
            if self.living(of).is_some_and(Subscription::has_had_enough) {
                self.end_satisfied(of);
            }
        }
    }

    /// Begins a turn: it may sweep so many subscriptions again.
    pub fn sweep(&mut self) {
        self.retired.left = self.cluster.ends_per_turn;
        self.work = WorkDone::default();
        self.end_some_satisfied();
        if self.retired.are_any() {
            self.retired.over.rotate_left(1);
            self.effects.push(Effect::GoOn(Work::Sweep));
        }
    }

    /// Sweeps one subscription, then the next, as long as this turn may.
    pub(super) fn sweep_next(&mut self) {
        if self.retired.left == 0 {
            return;
        }
        let Some(over) = self.retired.over.pop_front() else { return };
        self.retired.left -= 1;
        self.work.ends += 1;
        let rest = match over {
            Over::Gone(gone) => self.sweep_gone(gone).map(Over::Gone),
            Over::Open(connection) => self.sweep_open(connection).then_some(Over::Open(connection)),
        };
        if let Some(rest) = rest {
            self.retired.over.push_front(rest);
        }
        self.effects.push(Effect::GoOn(Work::Sweep));
    }

    /// Drops the last of these subscriptions, or a part of its queue; returns those that are left.
    fn sweep_gone(&mut self, mut gone: Vec<SubscriptionIndex>) -> Option<Vec<SubscriptionIndex>> {
        let index = *gone.last()?;
        self.leave_as_gone(index);
        let subscription = self.subscriptions.get(index);
        let before = subscription.queue.size();
        let mut lost = 0;
        for _ in 0..ENTRIES_PER_STEP {
            let Some(entry) = subscription.queue.take_next(u32::MAX, usize::MAX, true) else {
                break;
            };
            lost += entry.messages();
        }
        let is_empty = subscription.queue.is_empty();
        self.counters.dropped_disconnected_messages.add(lost);
        self.resized(index, before);
        if is_empty {
            self.forget(index);
            gone.pop();
        }
        (!gone.is_empty()).then_some(gone)
    }

    fn leave_as_gone(&mut self, index: SubscriptionIndex) {
        if self.get(index).state != State::Closing {
            self.end_as(index, State::Closing, true);
        }
    }

    /// Sweeps the next subscription of a connection that is there. Returns whether there are more.
    fn sweep_open(&mut self, connection: ConnectionId) -> bool {
        let outlet = self.outlets.get(connection.slot);
        let Some(sweep) = outlet.sweep.filter(|_| outlet.connection == Some(connection)) else {
            // It is gone, and swept as that.
            return false;
        };
        // Others may have gone meanwhile. Those that took their places were looked at before.
        let left = sweep.left.min(outlet.subscriptions.len());
        let Some(left) = left.checked_sub(1) else {
            outlet.sweep = None;
            self.effects.push(Effect::Swept(connection));
            return false;
        };
        outlet.sweep = Some(Sweep { left, ..sweep });
        let index = outlet.subscriptions[left];
        if self.get(index).number <= self.outlets.at(connection.slot).over_up_to {
            self.sweep_one(index, sweep.way);
        }
        true
    }

    fn sweep_one(&mut self, index: SubscriptionIndex, way: Way) {
        let subscription = self.subscriptions.get(index);
        // The end of one that ends already is still owed.
        if !matches!(subscription.state, State::Joining | State::Active) {
            return;
        }
        let (was_pending, is_to_end) = (subscription.is_pending(), subscription.ends);
        let (connection, id) = (subscription.connection, subscription.id);
        match way {
            Way::StartOver => drop(self.end(index, true)),
            Way::Close => {
                subscription.awaits_cores = false;
                // What is queued is sent to it, also if it is a member of a group.
                self.end_as(index, State::Closing, false);
                if self.subscriptions.get(index).listed.is_none() {
                    self.forget(index);
                }
            }
        }
        if was_pending || is_to_end {
            self.effects.push(Effect::Retired { connection, id, was_pending, is_to_end });
        }
    }

    /// Sweeps a subscription that is over before its turn, so that what comes for it finds it ended.
    pub(super) fn sweep_early(&mut self, of: SubscriptionRef) {
        if !self.is_over(of.index) || self.living(of).is_some() {
            return;
        }
        let Some(subscription) = self.subscriptions.find(of) else { return };
        let connection = subscription.connection;
        let outlet = self.outlets.at(connection.slot);
        if outlet.connection != Some(connection) {
            self.leave_as_gone(of.index);
        } else if let Some(sweep) = outlet.sweep {
            self.sweep_one(of.index, sweep.way);
        }
        // Otherwise it was swept, and its client is still owed its end.
    }
}
