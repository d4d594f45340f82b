//! Members of groups on the core of their connection: they join, receive what they are dealt, and
//! leave. The coordinator's side is in `groups` and `deal`.
//!
//! # Always true
//! - What arrives for a member that has left goes back to its group, as long as the group is known.

use super::Delivery;
use super::effects::{Effect, Request, Work};
use super::group::{GroupName, LeavingMember, NewMember};
use super::queue::Entry;
use super::subscription::SubscriptionRef;
use super::subscriptions::SubscriptionIndex;
use crate::broker::message::{Gap, Slice};

/// The group of a member that left, until the coordinator has confirmed that.
#[derive(Debug)]
pub struct LeftGroup {
    name: GroupName,
    /// The member notified its coordinator that it keeps everything it was dealt.
    keeps_all: bool,
}

impl Delivery {
    /// Asks the coordinator to add a subscription of this core to a group.
    pub(super) fn join_group(&mut self, name: GroupName, joins: NewMember) {
        let coordinator = self.coordinator(&name);
        self.ask(coordinator, Request::JoinGroup { name, joins });
    }

    /// Activates a subscription of this core that has become a member.
    pub fn joined_group(&mut self, member: SubscriptionRef) {
        let is_living = self.living(member).is_some();
        if is_living && self.subscriptions.waiting(member).is_some() {
            self.activate_now(member.index);
        }
    }

    /// Queues a frame that a member of this core is dealt, or a gap.
    pub fn dealt(&mut self, member: SubscriptionRef, entry: Entry) {
        self.sweep_early(member);
        let Some(subscription) = self.subscriptions.member(member) else {
            // The member left while this was under way; the coordinator has been notified.
            return self.hand_back(member, entry);
        };
        let id = subscription.id.0;
        let before = subscription.queue.size();
        let mut is_last = false;
        match entry {
            Entry::Slice(slice) => {
                subscription.taken += u64::from(slice.messages);
                is_last = subscription.taken >= subscription.taken_max;
                subscription.queue.push(Slice { subscription: id, ..slice });
            }
            Entry::Gap(gap) => subscription.queue.miss(Gap { subscription: id, ..gap }),
        }
        self.resized(member.index, before);
        self.list(member.index);
        if is_last {
            self.satisfy(member);
        }
    }

    /// Notifies the coordinator that a member of this core has sent messages and has room for
    /// others.
    pub(super) fn took(&mut self, index: SubscriptionIndex, messages: u32, bytes: u64) {
        let subscription = self.subscriptions.get(index);
        let Some(name) = subscription.group.as_deref().cloned() else { return };
        let member = subscription.reference(index);
        let coordinator = self.coordinator(&name);
        self.ask(coordinator, Request::Took { name, member, messages, bytes });
    }

    /// Makes a member of this core leave. With `hands_back` its unsent messages go back to the
    /// group.
    pub(super) fn leave_group(&mut self, index: SubscriptionIndex, hands_back: bool) {
        let subscription = self.subscriptions.get(index);
        let Some(name) = subscription.group.take() else { return };
        let name = *name;
        let member = subscription.reference(index);
        // The coordinator was notified before, and the member keeps what it was dealt. If the
        // member has reached its maximum since, what is still under way goes back.
        if subscription.leaves_group {
            self.left_groups.insert(member.number, LeftGroup { name, keeps_all: true });
            return;
        }
        let mut returned = Vec::new();
        let sends_itself = Some(if hands_back { 0 } else { subscription.queue.messages() });
        if hands_back {
            let before = subscription.queue.size();
            while let Some(entry) = subscription.queue.take_next(0, 0, true) {
                returned.push(entry);
            }
            self.resized(index, before);
        }
        let left = LeftGroup { name: name.clone(), keeps_all: false };
        self.left_groups.insert(member.number, left);
        self.notify_coordinator(name, LeavingMember { member, returned, sends_itself });
    }

    /// Makes a member of this core leave after everything it was dealt, including what is under way
    /// from the coordinator, which confirms when nothing is. Returns whether the member waits for
    /// that.
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
        self.notify_coordinator(
            name,
            LeavingMember { member, returned: Vec::new(), sends_itself: None },
        );
        true
    }

    /// Notes that the coordinator deals nothing more to a member.
    pub fn left_group(&mut self, member: SubscriptionRef) {
        self.sweep_early(member);
        if self.subscriptions.member(member).is_some_and(|one| one.leaves_group) {
            self.effects.push(Effect::Satisfied(member));
        }
        // After the member's end, which notes that more may come: now nothing does.
        self.effects.push(Effect::GoOn(Work::ForgetLeft(member.number)));
    }

    /// Hands back what arrived for a member that has left, if its group is still known.
    fn hand_back(&mut self, member: SubscriptionRef, entry: Entry) {
        let Some(left) = self.left_groups.get(&member.number) else {
            return self.counters.dropped_disconnected_messages.add(entry.messages());
        };
        let name = left.name.clone();
        let sends_itself = (!left.keeps_all).then_some(0);
        self.notify_coordinator(
            name,
            LeavingMember { member, returned: vec![entry], sends_itself },
        );
    }

    fn notify_coordinator(&mut self, name: GroupName, leaves: LeavingMember) {
        let coordinator = self.coordinator(&name);
        self.ask(coordinator, Request::LeaveGroup { name, leaves });
    }
}
