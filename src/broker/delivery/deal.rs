//! Dealing: each message of a group goes to one of its members, in turn.
//!
//! Called by `turn` with slices that match groups of this core, and by `groups` when a member
//! joins or leaves. Next on the path: `members`, on the core of the member.
//!
//! # Always true
//! - A member is dealt nothing while it has its capacity unsent, and never a topic that it may not
//!   receive.
//! - Members take turns by frame.

use super::Delivery;
use super::effects::{Effect, Reply, Work};
use super::group::{GroupName, Member, NextEntry};
use super::groups::Groups;
use super::overflow;
use super::queue::{Bounds, Entry};
use super::subscription::SubscriptionRef;
use crate::broker::clock::Now;
use crate::broker::message::Slice;
use crate::protocol::{CoreId, GapReason};

impl Groups {
    /// Reduces groups of one name whose members all share messages, whatever their patterns, to one
    /// group. Other groups stay.
    fn choose_one_per_name(&mut self, slice: &Slice, reached: &mut Vec<u32>) {
        self.choices = self.choices.wrapping_add(1);
        let group_of =
            |index: &u32| self.slots[*index as usize].as_ref().expect("the group is active");
        let shares = |index: &u32| group_of(index).members.all_share();
        let (mut shared, alone): (Vec<u32>, Vec<u32>) = reached.iter().partition(|at| shares(at));
        shared.sort_unstable_by_key(|index| (&*group_of(index).name.group, *index));
        *reached = alone;
        for of_name in shared.chunk_by(|a, b| group_of(a).name.group == group_of(b).name.group) {
            // Every eligible member has its turn equally often, in whichever group it is.
            let members = of_name.iter().map(|index| group_of(index).eligible_members(slice));
            let mut turn = self.choices % members.sum::<usize>().max(1);
            let has_turn = |index: &&u32| {
                let members = group_of(index).eligible_members(slice);
                let found = turn < members;
                turn = turn.saturating_sub(members);
                found
            };
            reached.extend(of_name.iter().find(has_turn));
        }
    }
}

impl Delivery {
    /// Queues a slice for the groups of this core whose pattern matches, and deals it. Returns how many
    /// of its messages, the first of them, some member takes.
    pub fn fan_out_to_groups(&mut self, now: Now, slice: &Slice) -> u32 {
        let expired = slice.is_expired(now);
        if self.groups.by_name.is_empty() {
            return 0;
        }
        let mut reached = Vec::new();
        self.groups.active.matches(&slice.topic.name, &mut reached);
        if reached.len() > 1 {
            self.groups.choose_one_per_name(slice, &mut reached);
        }
        let mut heard = 0;
        let queues = &self.cluster.settings.queues;
        let bounds =
            Bounds { messages_max: queues.subscriber_capacity, bytes_max: queues.subscriber_bytes };
        for index in reached {
            let group = self.groups.at(index);
            heard = heard.max(group.wants(slice));
            let before = group.queue.size();
            if expired {
                let messages = u64::from(slice.messages);
                group.lost.expired += messages;
                self.counters.expired_before_enqueue_messages.add(messages);
                group.queue.miss(slice.gap(GapReason::Expired));
            } else {
                let outcome = overflow::enqueue(&mut group.queue, slice, group.policy, bounds);
                outcome.count(group.policy, &self.counters, &mut group.lost);
            }
            self.group_resized(index, before);
            self.turn_messages += slice.messages;
            self.deal(now, index);
        }
        heard
    }

    /// Deals entries of a group to members that have room.
    pub(super) fn deal(&mut self, now: Now, index: u32) {
        let bytes_max = self.cluster.settings.queues.subscriber_bytes;
        loop {
            // A member that reaches its maximum leaves while it is dealt to, and may be the last.
            let Some(group) = &mut self.groups.slots[index as usize] else { return };
            // The members do not know yet that they have joined.
            if !group.is_active || group.members.is_empty() {
                return;
            }
            let count = group.members.len();
            let next = match group.returned.front() {
                Some(Entry::Slice(slice)) => Some(slice),
                Some(Entry::Gap(_)) => None,
                None => group.queue.next_slice(),
            };
            let next = NextEntry {
                not_to: next.and_then(|slice| slice.not_to.clone()),
                topic: next.filter(|_| group.is_filtered).map(|slice| slice.topic.clone()),
                is_legal: next.is_none_or(|slice| slice.topic.is_legal()),
            };
            let is_eligible = |member: &Member| member.may_receive(&next);
            let all_are_eligible = next.not_to.is_none() && next.is_legal && !group.is_filtered;
            let at = group.members.next_with_room(group.turn % count, is_eligible);
            let at = match at {
                Some(at) => at,
                None if all_are_eligible || group.members.iter().any(is_eligible) => return,
                // No member may receive the entry.
                None => {
                    let Some(entry) = self.take_next_entry(index) else { return };
                    self.counters.dropped_disconnected_messages.add(entry.messages());
                    continue;
                }
            };
            let Some(entry) = self.take_next_entry(index) else { return };
            let entry = match entry {
                Entry::Slice(slice) if slice.is_expired(now) => {
                    let messages = u64::from(slice.messages);
                    self.counters.expired_in_queue_messages.add(messages);
                    self.groups.at(index).lost.expired += messages;
                    Entry::Gap(slice.gap(GapReason::Expired))
                }
                entry => entry,
            };
            let members = &mut self.groups.at(index).members;
            if let Entry::Slice(slice) = &entry {
                let (messages, bytes) = (i64::from(slice.messages), slice.frames.len() as i64);
                members.count_unsent(at, messages, bytes, bytes_max);
            }
            let member = members.at(at);
            let (core, member) = (member.core, member.member);
            self.groups.at(index).turn = (at + 1) % count;
            self.reply(core, Reply::Dealt { member, entry });
            if core == self.core {
                // The effects of the reply may change the members, so they come first.
                return self.effects.push(Effect::GoOn(Work::Deal(index)));
            }
        }
    }

    /// Removes the entry that a group deals next: one frame, because members take turns by frame.
    fn take_next_entry(&mut self, index: u32) -> Option<Entry> {
        let group = self.groups.at(index);
        if let Some(returned) = group.returned.pop_front() {
            return Some(returned);
        }
        let before = group.queue.size();
        let entry = group.queue.take_next(0, 0, true);
        self.group_resized(index, before);
        entry
    }

    /// Notes that a member of a group that this core coordinates has sent messages and has room
    /// again.
    pub fn member_took(
        &mut self,
        now: Now,
        name: &GroupName,
        core: CoreId,
        member: SubscriptionRef,
        (messages, bytes): (u32, u64),
    ) {
        let bytes_max = self.cluster.settings.queues.subscriber_bytes;
        let Some((index, group)) = self.groups.find(name) else { return };
        if let Some(place) = group.members.place_of(core, member) {
            let (messages, bytes) = (-i64::from(messages), -(bytes as i64));
            group.members.count_unsent(place, messages, bytes, bytes_max);
        }
        self.deal(now, index);
    }
}
