//! Members of groups, on the core of their connection: joining, what they are dealt, and leaving.
//!
//! Called by `subscribe` for a member's client, and by `mesh` with what the coordinator of its group says;
//! the coordinator's side is in `groups`.
//!
//! # Always true
//! - What comes for a member that left goes back to its group as long as the group can be named.

use super::Broker;
use super::groups::{GroupName, Joins, Leaves};
use super::letter::Request;
use super::portion::Portion;
use super::queue::Entry;
use super::replay::Asker;
use super::subscriptions::SubscriptionIndex;

/// The group of a member that left, as long as its coordinator may not know.
#[derive(Debug)]
pub struct LeftGroup {
    name: GroupName,
    /// The member told its coordinator that it keeps all it was dealt.
    said_keeps_all: bool,
}

impl Broker {
    /// A subscription of this core joins a group.
    pub(super) fn join_group(&mut self, name: GroupName, joins: Joins) {
        let coordinator = self.coordinator(&name);
        if coordinator == self.core {
            self.member_joins(self.core, name, joins);
        } else {
            self.outgoing[usize::from(coordinator.0)].ask(Request::JoinGroup { name, joins });
        }
    }

    /// A subscription of this core is a member from now on.
    pub(super) fn joined_group(&mut self, member: Asker) {
        let is_nats = self.subscriptions.joining(member).map(|joining| joining.sid.is_some());
        match is_nats {
            Some(true) => self.nats_in_force(member.index),
            Some(false) => self.put_in_force(member.index),
            None => {}
        }
    }

    /// A member of this core is dealt a frame or told of a gap.
    pub(super) fn dealt(&mut self, member: Asker, entry: Entry) {
        let Some(subscription) = self.subscriptions.member(member) else {
            // It left while this was on its way. Its `leave_group` has been told before.
            return self.hand_back(member, entry);
        };
        let id = subscription.id.0;
        let entries = subscription.queue.entries();
        let mut is_last = false;
        match entry {
            Entry::Portion(portion) => {
                subscription.taken += u64::from(portion.messages);
                is_last = subscription.taken >= subscription.taken_max;
                subscription.queue.push(Portion { subscription: id, ..portion });
            }
            Entry::Gap(gap) => {
                subscription.queue.miss(super::gaps::Gap { subscription: id, ..gap });
            }
        }
        self.kept.count_entries(entries, subscription.queue.entries());
        if !subscription.is_listed {
            subscription.is_listed = true;
            let slot = subscription.slot;
            self.sessions.get(slot).to_send.push_back(member.index);
            self.mark_ready(slot);
        }
        if is_last {
            self.end_nats_subscription(member.index, false);
        }
    }

    /// A member of this core has sent messages, or will not: there is room for others.
    pub(super) fn took(&mut self, index: SubscriptionIndex, messages: u32, bytes: u64) {
        let subscription = self.subscriptions.get(index);
        let Some(name) = subscription.group.clone() else { return };
        let member = Asker { index, number: subscription.number };
        let coordinator = self.coordinator(&name);
        if coordinator == self.core {
            self.member_took(&name, self.core, member, (messages, bytes));
        } else {
            let took = Request::Took { name, member, messages, bytes };
            self.outgoing[usize::from(coordinator.0)].ask(took);
        }
    }

    /// A member of this core leaves; what it was not sent goes back.
    pub(super) fn leave_group(&mut self, index: SubscriptionIndex, hands_back: bool) {
        let subscription = self.subscriptions.get(index);
        let Some(name) = subscription.group.take() else { return };
        let member = Asker { index, number: subscription.number };
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
            self.kept.count_entries(entries, 0);
        }
        let left = LeftGroup { name: name.clone(), said_keeps_all: false };
        self.left_groups.insert(member.number, left);
        self.tell_coordinator_left(name, Leaves { member, returned, sends_itself });
    }

    /// A member of this core leaves, but is sent all it was dealt: also what is on its way from the
    /// coordinator, which says when nothing is. Returns whether it has to wait for that.
    pub(super) fn leave_group_later(&mut self, index: SubscriptionIndex) -> bool {
        let subscription = self.subscriptions.get(index);
        let Some(name) = subscription.group.clone() else { return false };
        let member = Asker { index, number: subscription.number };
        let coordinator = self.coordinator(&name);
        if coordinator == self.core || self.subscriptions.member(member).is_none() {
            return false;
        }
        self.subscriptions.get(index).leaves_group = true;
        let leaves = Leaves { member, returned: Vec::new(), sends_itself: None };
        self.outgoing[usize::from(coordinator.0)].ask(Request::LeaveGroup { name, leaves });
        true
    }

    /// The coordinator says that nothing more comes for a member.
    pub(super) fn left_group(&mut self, member: Asker) {
        if self.subscriptions.member(member).is_some_and(|one| one.leaves_group) {
            self.end_nats_subscription(member.index, false);
        }
        // Behind its end, which notes that more may come: nothing does.
        self.left_groups.remove(&member.number);
    }

    /// What came for a member that left goes back, if its group can still be named.
    fn hand_back(&mut self, member: Asker, entry: Entry) {
        let Some(left) = self.left_groups.get(&member.number) else {
            return self.counters.dropped_disconnected_messages.add(entry.messages());
        };
        let name = left.name.clone();
        let sends_itself = (!left.said_keeps_all).then_some(0);
        let leaves = Leaves { member, returned: vec![entry], sends_itself };
        self.tell_coordinator_left(name, leaves);
    }

    fn tell_coordinator_left(&mut self, name: GroupName, leaves: Leaves) {
        let coordinator = self.coordinator(&name);
        if coordinator == self.core {
            self.member_leaves(&name, self.core, leaves);
        } else {
            let left = Request::LeaveGroup { name, leaves };
            self.outgoing[usize::from(coordinator.0)].ask(left);
        }
    }
}
