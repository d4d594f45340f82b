//! Members of groups, on the core of their connection: joining, what they are dealt, and leaving.
//! The coordinator's side is in `groups`.
//!
//! # Always true
//! - What comes for a member that left goes back to its group as long as the group can be named.

use super::Delivery;
use super::effects::{Effect, Request, Work};
use super::group::{GroupName, Joins, Leaves};
use super::queue::Entry;
use super::subscription::SubscriptionRef;
use super::subscriptions::SubscriptionIndex;
use crate::broker::message::{Gap, Slice};

/// The group of a member that left, as long as its coordinator may not know.
#[derive(Debug)]
pub struct LeftGroup {
    name: GroupName,
    /// The member told its coordinator that it keeps all it was dealt.
    said_keeps_all: bool,
}

impl Delivery {
    /// A subscription of this core joins a group.
    pub(super) fn join_group(&mut self, name: GroupName, joins: Joins) {
        let coordinator = self.coordinator(&name);
        self.ask(coordinator, Request::JoinGroup { name, joins });
    }

    /// A subscription of this core is a member from now on.
    pub fn joined_group(&mut self, member: SubscriptionRef) {
        if self.subscriptions.waiting(member).is_some() {
            self.activate_now(member.index);
        }
    }

    /// A member of this core is dealt a frame or notified of a gap.
    pub fn dealt(&mut self, member: SubscriptionRef, entry: Entry) {
        let Some(subscription) = self.subscriptions.member(member) else {
            // It left while this was on its way. Its `leave_group` has been told before.
            return self.hand_back(member, entry);
        };
        let id = subscription.id.0;
        let before = subscription.queue.entries();
        let mut is_last = false;
        match entry {
            Entry::Slice(slice) => {
                subscription.taken += u64::from(slice.messages);
                is_last = subscription.taken >= subscription.taken_max;
                subscription.queue.push(Slice { subscription: id, ..slice });
            }
            Entry::Gap(gap) => subscription.queue.miss(Gap { subscription: id, ..gap }),
        }
        let after = subscription.queue.entries();
        self.count_entries(before, after);
        self.list(member.index);
        if is_last {
            self.effects.push(Effect::Satisfied(member));
        }
    }

    /// A member of this core has sent messages: there is room for others.
    pub(super) fn took(&mut self, index: SubscriptionIndex, messages: u32, bytes: u64) {
        let subscription = self.subscriptions.get(index);
        let Some(name) = subscription.group.as_deref().cloned() else { return };
        let member = subscription.reference(index);
        let coordinator = self.coordinator(&name);
        self.ask(coordinator, Request::Took { name, member, messages, bytes });
    }

    /// A member of this core leaves; what it was not sent goes back, if it hands that back.
    pub(super) fn leave_group(&mut self, index: SubscriptionIndex, hands_back: bool) {
        let subscription = self.subscriptions.get(index);
        let Some(name) = subscription.group.take() else { return };
        let name = *name;
        let member = subscription.reference(index);
        // It has said so already, and keeps what it was dealt. It may have had its maximum since, and
        // then what is still on its way goes back.
        if subscription.leaves_group {
            self.left_groups.insert(member.number, LeftGroup { name, said_keeps_all: true });
            return;
        }
        let mut returned = Vec::new();
        let sends_itself = Some(if hands_back { 0 } else { subscription.queue.messages() });
        if hands_back {
            let entries = subscription.queue.entries();
            while let Some(entry) = subscription.queue.take_next(0, 0, true) {
                returned.push(entry);
            }
            self.count_entries(entries, 0);
        }
        let left = LeftGroup { name: name.clone(), said_keeps_all: false };
        self.left_groups.insert(member.number, left);
        self.notify_coordinator(name, Leaves { member, returned, sends_itself });
    }

    /// A member of this core leaves, but is sent all it was dealt: also what is on its way from the
    /// coordinator, which says when nothing is. Returns whether it has to wait for that.
    pub fn leave_group_later(&mut self, index: SubscriptionIndex) -> bool {
        let subscription = self.subscriptions.get(index);
        let Some(name) = subscription.group.as_deref().cloned() else { return false };
        let member = subscription.reference(index);
        let coordinator = self.coordinator(&name);
        if coordinator == self.core || self.subscriptions.member(member).is_none() {
            return false;
        }
        let subscription = self.subscriptions.get(index);
        subscription.leaves_group = true;
        subscription.awaits_cores = true;
        self.notify_coordinator(name, Leaves { member, returned: Vec::new(), sends_itself: None });
        true
    }

    /// The coordinator says that nothing more comes for a member.
    pub fn left_group(&mut self, member: SubscriptionRef) {
        if self.subscriptions.member(member).is_some_and(|one| one.leaves_group) {
            self.effects.push(Effect::Satisfied(member));
        }
        // Behind its end, which notes that more may come: nothing does.
        self.effects.push(Effect::GoOn(Work::ForgetLeft(member.number)));
    }

    /// What came for a member that left goes back, if its group can still be named.
    fn hand_back(&mut self, member: SubscriptionRef, entry: Entry) {
        let Some(left) = self.left_groups.get(&member.number) else {
            return self.counters.dropped_disconnected_messages.add(entry.messages());
        };
        let name = left.name.clone();
        let sends_itself = (!left.said_keeps_all).then_some(0);
        self.notify_coordinator(name, Leaves { member, returned: vec![entry], sends_itself });
    }

    fn notify_coordinator(&mut self, name: GroupName, leaves: Leaves) {
        let coordinator = self.coordinator(&name);
        self.ask(coordinator, Request::LeaveGroup { name, leaves });
    }
}
