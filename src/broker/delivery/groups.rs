//! Groups: members share the messages of one pattern, and each message goes to exactly one member.
//!
//! One core *coordinates* a group: the core that the group's name hashes to. The coordinator
//! announces the pattern as a subscription would, has one queue for the whole group, and deals
//! frames to members: see `deal`. Members may be on any core; each notifies the coordinator of what
//! was sent, which makes room: see `members`.
//!
//! # Always true
//! - A message is in the group's queue, with one member, or on its way between the two.
//! - A member is dealt messages in the order of their sequences, unless a member that left handed
//!   older ones back.
//! - What a leaving member was not sent is dealt again. The member's last send may have arrived, so
//!   its messages are not dealt again: delivery is at most once.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::Delivery;
use super::announcements::{Announcement, Waiter};
use super::effects::Reply;
use super::group::{Group, GroupName, LeavingMember, Member, NewMember};
use super::membership::Members;
use super::overflow::Lost;
use super::queue::{Entry, Queue};
use super::subscription::SubscriptionRef;
use crate::broker::clock::Now;
use crate::broker::holders::Listed;
use crate::broker::pattern::Matcher;
use crate::config::OverflowPolicy;
use crate::protocol::CoreId;

/// The queue of a group, as `inspect` lists it.
pub struct GroupQueue<'a> {
    /// The pattern that its members subscribed to.
    pub pattern: &'a Arc<str>,
    /// The name of the group.
    pub group: &'a Arc<str>,
    /// What happens at the bound of the queue.
    pub policy: OverflowPolicy,
    /// The group gets messages.
    pub is_active: bool,
    /// The queue.
    pub queue: &'a Queue,
    /// Messages that no member got.
    pub lost: Lost,
}

/// The groups a core coordinates.
#[derive(Debug, Default)]
pub struct Groups {
    pub(super) slots: Vec<Option<Group>>,
    pub(super) free: Vec<u32>,
    pub(super) by_name: HashMap<GroupName, u32>,
    pub(super) active: Matcher,
    /// Times that one of several groups was chosen.
    pub(super) choices: usize,
    /// Messages under way to members that have left, which will be handed back.
    pub(super) coming_back: u64,
}

impl Groups {
    /// Places that are or were a group's.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The queue of the group in a place, if there is one.
    pub fn queue_at(&self, place: usize) -> Option<GroupQueue<'_>> {
        let group = self.slots.get(place)?.as_ref()?;
        Some(GroupQueue {
            pattern: &group.name.pattern,
            group: &group.name.group,
            policy: group.policy,
            is_active: group.is_active,
            queue: &group.queue,
            lost: group.lost,
        })
    }

    /// Whether members have sent every message of every group, so that none can be handed back.
    pub fn are_empty(&self) -> bool {
        let is_empty = |group: &Group| {
            group.queue.is_empty()
                && group.returned.is_empty()
                && group.members.unsent_messages() == 0
        };
        self.coming_back == 0 && self.slots.iter().flatten().all(is_empty)
    }

    /// Whether some group has a pattern that matches a topic.
    pub fn want(&self, topic: &str) -> bool {
        let mut found = Vec::new();
        self.active.matches(topic, &mut found);
        !found.is_empty()
    }

    /// Bytes that the queue of a group holds in memory, if nobody else holds the same messages.
    pub(super) fn held_bytes(&self, index: u32) -> u64 {
        let group = self.slots[index as usize].as_ref();
        group.map_or(0, |group| group.queue.size().held_bytes())
    }

    /// Notes where a group is listed among the holders, unless it has just gone.
    pub(super) fn set_listed(&mut self, index: u32, listed: Listed) {
        if let Some(group) = &mut self.slots[index as usize] {
            group.listed = listed;
        }
    }

    pub(super) fn find(&mut self, name: &GroupName) -> Option<(u32, &mut Group)> {
        let index = *self.by_name.get(name)?;
        Some((index, self.slots[index as usize].as_mut().expect("a name leads to its group")))
    }

    pub(super) fn at(&mut self, index: u32) -> &mut Group {
        self.slots[index as usize].as_mut().expect("the index is in use")
    }
}

impl Delivery {
    /// The core that coordinates a group. Groups of one name have one coordinator, because their
    /// members may share messages whatever their patterns.
    pub(super) fn coordinator(&self, name: &GroupName) -> CoreId {
        self.coordinator_of(&name.group)
    }

    /// The core that coordinates all groups of a name.
    pub fn coordinator_of(&self, group: &str) -> CoreId {
        self.cluster.core_of(self.cluster.shard_of_name(group))
    }

    /// Adds a member, from any core, to a group that this core coordinates.
    pub fn member_joins(&mut self, now: Now, core: CoreId, name: GroupName, joins: NewMember) {
        let index = match self.groups.find(&name) {
            Some((index, _)) => index,
            None => self.create_group(now, name, joins.policy),
        };
        let group = self.groups.at(index);
        let NewMember { member, capacity, connection, shares, takes_any_name, filter, .. } = joins;
        group.is_filtered |= filter.is_some();
        group.members.add(Member {
            core,
            member,
            capacity,
            unsent_messages: 0,
            unsent_bytes: 0,
            connection,
            shares,
            takes_any_name,
            filter,
            dealt: 0,
            dealt_max: u64::MAX,
        });
        if group.is_active {
            self.reply(core, Reply::JoinedGroup { member });
            self.deal(now, index);
        }
    }

    fn create_group(&mut self, now: Now, name: GroupName, policy: OverflowPolicy) -> u32 {
        let group = Group {
            name: name.clone(),
            is_active: false,
            queue: Queue::default(),
            listed: Listed::default(),
            policy,
            lost: Lost::default(),
            returned: VecDeque::new(),
            members: Members::default(),
            is_filtered: false,
            turn: 0,
        };
        let index = self.groups.free.pop().unwrap_or_else(|| {
            self.groups.slots.push(None);
            (self.groups.slots.len() - 1) as u32
        });
        self.groups.slots[index as usize] = Some(group);
        self.groups.by_name.insert(name.clone(), index);
        match self.announce(&name.pattern, Waiter::Group(index)) {
            Announcement::Known => self.activate_group(now, index),
            Announcement::Waits | Announcement::Ask(_) => {}
        }
        index
    }

    /// Activates a group whose pattern all cores know that have to.
    pub(super) fn activate_group(&mut self, now: Now, index: u32) {
        let group = self.groups.at(index);
        group.is_active = true;
        let pattern = group.name.pattern.clone();
        let members: Vec<_> = group.members.iter().map(|one| (one.core, one.member)).collect();
        self.groups.active.insert(&pattern, index);
        for (core, member) in members {
            self.reply(core, Reply::JoinedGroup { member });
        }
        // Entries that were handed back after an earlier group of this name had ended.
        self.deal(now, index);
    }

    /// Notes that a member, from any core, leaves once it was dealt so many messages.
    pub fn limit_member(
        &mut self,
        name: &GroupName,
        core: CoreId,
        member: SubscriptionRef,
        messages_max: u64,
    ) {
        let Some((_, group)) = self.groups.find(name) else { return };
        group.is_filtered |= group.members.limit(core, member, messages_max);
    }

    /// Removes a member from a group that this core coordinates. Other members get its unsent
    /// messages.
    pub fn member_leaves(
        &mut self,
        now: Now,
        name: &GroupName,
        core: CoreId,
        leaves: LeavingMember,
    ) {
        let LeavingMember { member, returned, sends_itself } = leaves;
        if core == self.core {
            // Nothing is under way to the member.
            self.left_groups.remove(&member.number);
        } else {
            self.reply(core, Reply::LeftGroup { member });
        }
        let comes_back: u64 = returned.iter().map(Entry::messages).sum();
        let found = self.groups.find(name);
        let leaver = found.and_then(|(_, group)| group.members.remove(core, member));
        match leaver {
            // What the member was dealt and does not account for is still under way to it.
            Some(leaver) => {
                let holds = u64::from(leaver.unsent_messages) - comes_back;
                self.groups.coming_back += holds - sends_itself.unwrap_or(holds);
            }
            // The member keeps everything, so nothing was expected back.
            None if sends_itself.is_none() => {}
            None => self.groups.coming_back -= comes_back,
        }
        let Some((index, group)) = self.groups.find(name) else {
            // The last member left before, so there is no member to deal this to.
            return self.counters.dropped_disconnected_messages.add(comes_back);
        };
        for mut entry in returned.into_iter().rev() {
            match &mut entry {
                Entry::Slice(slice) => slice.subscription = 0,
                Entry::Gap(gap) => gap.subscription = 0,
            }
            group.returned.push_front(entry);
        }
        if !group.members.is_empty() {
            return self.deal(now, index);
        }
        let group = self.groups.slots[index as usize].take().expect("found above");
        self.groups.free.push(index);
        self.groups.by_name.remove(name);
        if group.is_active {
            self.groups.active.remove(&name.pattern, index);
        }
        self.withdraw(&name.pattern, Waiter::Group(index));
        self.group_gone(index, group.listed, group.queue.size());
        let returned: u64 = group.returned.iter().map(Entry::messages).sum();
        let lost = returned + group.queue.messages();
        self.counters.dropped_disconnected_messages.add(lost);
    }
}
