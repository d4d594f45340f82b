//! Groups: members share the messages of one pattern, each message goes to exactly one of them.
//!
//! One core *coordinates* a group: the one its name hashes to. It wants the pattern as a
//! subscription would, keeps one queue for the whole group, and deals frames to members in turn,
//! never more to a member than its capacity. Members may be on any core; each tells the coordinator
//! what it has sent, which makes room: see `members`.
//!
//! # Always true
//! - A message is in the group's queue, with one member, or on its way between the two.
//! - A member is dealt messages in the order of their sequences, unless a member that left handed
//!   older ones back.
//! - What a member that leaves was not sent is dealt again. What its last send carried may have
//!   arrived, so it is not: at most once.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::Delivery;
use super::announcements::{Announcement, Waiter};
use super::effects::{Effect, Reply, Work};
use super::overflow::{self, Lost};
use super::queue::{Bounds, Entry, Queue};
use super::subscription::SubscriptionRef;
use crate::broker::clock::Now;
use crate::broker::ids::ConnectionId;
use crate::broker::message::{Publisher, Slice, TopicName};
use crate::broker::pattern::Matcher;
use crate::broker::permissions::Permissions;
use crate::config::OverflowPolicy;
use crate::protocol::{CoreId, GapReason};

/// A group, as every core names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupName {
    /// What its members subscribed to.
    pub pattern: Arc<str>,
    /// What they call it.
    pub group: Arc<str>,
}

/// What a new member brings.
#[derive(Debug, Clone)]
pub struct Joins {
    /// On its core.
    pub member: SubscriptionRef,
    /// Messages it may have waiting.
    pub capacity: u32,
    /// For the group's queue, if it is the first.
    pub policy: OverflowPolicy,
    /// Its connection, if it shares messages over all patterns that have a group of this name.
    pub sharing: Option<ConnectionId>,
    /// It is not dealt topics that these do not allow.
    pub filter: Option<Arc<Permissions>>,
}

/// What a member that leaves tells; once more for each frame that comes for it afterwards.
#[derive(Debug)]
pub struct Leaves {
    /// On its core.
    pub member: SubscriptionRef,
    /// What it was not sent.
    pub returned: Vec<Entry>,
    /// Messages it has and does not hand back: after CLOSE it is sent them. `None` for all it was
    /// dealt.
    pub sends_itself: Option<u64>,
}

#[derive(Debug)]
struct Member {
    core: CoreId,
    member: SubscriptionRef,
    capacity: u32,
    /// Messages dealt to it that it has not sent yet.
    holds: u32,
    /// Frame bytes of those.
    holds_bytes: u64,
    /// Its connection, if it shares messages over all patterns that have a group of this name.
    sharing: Option<ConnectionId>,
    /// It is not dealt topics that these do not allow.
    filter: Option<Arc<Permissions>>,
}

impl Member {
    fn may_have(&self, entry: &NextEntry) -> bool {
        let is_publisher = self.sharing.is_some_and(|connection| {
            entry.not_to.as_ref().is_some_and(|publisher| publisher.is(self.core, connection))
        });
        let may_receive = |topic: &Arc<TopicName>| {
            self.filter.as_ref().is_none_or(|filter| filter.may_receive(&topic.name))
        };
        !is_publisher && entry.topic.as_ref().is_none_or(may_receive)
    }
}

/// What decides who may be dealt the next entry of a group; nothing does in most groups.
struct NextEntry {
    not_to: Option<Arc<Publisher>>,
    topic: Option<Arc<TopicName>>,
}

#[derive(Debug)]
struct Group {
    name: GroupName,
    /// Every core that may own a topic of the pattern knows it.
    is_active: bool,
    queue: Queue,
    policy: OverflowPolicy,
    /// Messages that none of its members got.
    lost: Lost,
    /// Handed back by members that left; dealt before the queue.
    returned: VecDeque<Entry>,
    members: Vec<Member>,
    /// Some member may not have all topics.
    is_filtered: bool,
    /// Whose turn it is.
    turn: usize,
}

impl Group {
    /// How many members may have it.
    fn takers(&self, slice: &Slice) -> usize {
        if slice.not_to.is_none() && !self.is_filtered {
            return self.members.len();
        }
        let entry = NextEntry { not_to: slice.not_to.clone(), topic: Some(slice.topic.clone()) };
        self.members.iter().filter(|member| member.may_have(&entry)).count()
    }
}

/// The queue of a group, for whoever asks what there is.
pub struct GroupQueue<'a> {
    /// What its members subscribed to.
    pub pattern: &'a Arc<str>,
    /// What they call it.
    pub group: &'a Arc<str>,
    /// At the bound of the queue.
    pub policy: OverflowPolicy,
    /// It gets messages.
    pub is_active: bool,
    /// The queue.
    pub queue: &'a Queue,
    /// Messages that none of its members got.
    pub lost: Lost,
}

/// The groups a core coordinates.
#[derive(Debug, Default)]
pub struct Groups {
    slots: Vec<Option<Group>>,
    free: Vec<u32>,
    by_name: HashMap<GroupName, u32>,
    active: Matcher,
    /// How often one of several groups was chosen.
    choices: usize,
    /// Messages on their way to members that have left, which will come back.
    coming_back: u64,
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

    /// Whether every message of every group was sent by some member, so that none can come back.
    pub fn are_empty(&self) -> bool {
        let is_empty = |group: &Group| {
            group.queue.is_empty()
                && group.returned.is_empty()
                && group.members.iter().all(|member| member.holds == 0)
        };
        self.coming_back == 0 && self.slots.iter().flatten().all(is_empty)
    }

    fn find(&mut self, name: &GroupName) -> Option<(u32, &mut Group)> {
        let index = *self.by_name.get(name)?;
        Some((index, self.slots[index as usize].as_mut().expect("a name leads to its group")))
    }

    /// Of groups of one name whose members share messages over patterns, one is left. Groups with other
    /// members are each of their own.
    fn keep_one_of_a_name(&mut self, slice: &Slice, reached: &mut Vec<u32>) {
        self.choices = self.choices.wrapping_add(1);
        let group_of = |index: &u32| self.slots[*index as usize].as_ref().expect("it is in force");
        let shares = |index: &u32| group_of(index).members.iter().all(|one| one.sharing.is_some());
        let (mut shared, alone): (Vec<u32>, Vec<u32>) = reached.iter().partition(|at| shares(at));
        shared.sort_unstable_by_key(|index| (&*group_of(index).name.group, *index));
        *reached = alone;
        for of_name in shared.chunk_by(|a, b| group_of(a).name.group == group_of(b).name.group) {
            // Each member's turn comes as often as that of any other that may have it.
            let members = of_name.iter().map(|index| group_of(index).takers(slice));
            let mut turn = self.choices % members.sum::<usize>().max(1);
            let has_turn = |index: &&u32| {
                let members = group_of(index).takers(slice);
                let found = turn < members;
                turn = turn.saturating_sub(members);
                found
            };
            reached.extend(of_name.iter().find(has_turn));
        }
    }

    fn at(&mut self, index: u32) -> &mut Group {
        self.slots[index as usize].as_mut().expect("the index is in use")
    }
}

impl Delivery {
    /// The core that coordinates a group, and all others of its name: members may share messages over
    /// several patterns.
    pub(super) fn coordinator(&self, name: &GroupName) -> CoreId {
        self.cluster.core_of(self.cluster.shard_of_name(&name.group))
    }

    /// This core coordinates: a member joins, from whatever core.
    pub fn member_joins(&mut self, now: Now, core: CoreId, name: GroupName, joins: Joins) {
        let index = match self.groups.find(&name) {
            Some((index, _)) => index,
            None => self.make_group(now, name, joins.policy),
        };
        let group = self.groups.at(index);
        let Joins { member, capacity, sharing, filter, .. } = joins;
        group.is_filtered |= filter.is_some();
        group.members.push(Member {
            core,
            member,
            capacity,
            holds: 0,
            holds_bytes: 0,
            sharing,
            filter,
        });
        if group.is_active {
            self.reply(core, Reply::JoinedGroup { member });
            self.deal(now, index);
        }
    }

    fn make_group(&mut self, now: Now, name: GroupName, policy: OverflowPolicy) -> u32 {
        let group = Group {
            name: name.clone(),
            is_active: false,
            queue: Queue::default(),
            policy,
            lost: Lost::default(),
            returned: VecDeque::new(),
            members: Vec::new(),
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

    /// Every core that has to knows the group's pattern.
    pub(super) fn activate_group(&mut self, now: Now, index: u32) {
        let group = self.groups.at(index);
        group.is_active = true;
        let pattern = group.name.pattern.clone();
        let members: Vec<_> = group.members.iter().map(|one| (one.core, one.member)).collect();
        self.groups.active.insert(&pattern, index);
        for (core, member) in members {
            self.reply(core, Reply::JoinedGroup { member });
        }
        // What an earlier group of this name was handed back too late.
        self.deal(now, index);
    }

    /// Gives a slice to the groups of this core whose pattern matches; returns whether there is any
    /// with a member that may have it.
    pub fn fan_out_to_groups(&mut self, now: Now, slice: &Slice) -> bool {
        let expired = slice.is_expired(now);
        if self.groups.by_name.is_empty() {
            return false;
        }
        let mut reached = Vec::new();
        self.groups.active.matches(&slice.topic.name, &mut reached);
        if reached.len() > 1 {
            self.groups.keep_one_of_a_name(slice, &mut reached);
        }
        let mut reached_any = false;
        let queues = &self.cluster.settings.queues;
        let bounds =
            Bounds { messages_max: queues.subscriber_capacity, bytes_max: queues.subscriber_bytes };
        for index in reached {
            let group = self.groups.at(index);
            reached_any |= group.takers(slice) > 0;
            let entries = group.queue.entries();
            if expired {
                let messages = u64::from(slice.messages);
                group.lost.expired += messages;
                self.counters.expired_before_enqueue_messages.add(messages);
                group.queue.miss(slice.gap(GapReason::Expired));
            } else {
                let outcome = overflow::enqueue(&mut group.queue, slice, group.policy, bounds);
                outcome.count(group.policy, &self.counters, &mut group.lost);
            }
            let after = group.queue.entries();
            self.count_entries(entries, after);
            self.turn_messages += slice.messages;
            self.deal(now, index);
        }
        reached_any
    }

    /// Deals what the group has to members that have room.
    pub(super) fn deal(&mut self, now: Now, index: u32) {
        let bytes_max = self.cluster.settings.queues.subscriber_bytes;
        loop {
            // A member that has had enough leaves while it is dealt to, and may be the last.
            let Some(group) = &mut self.groups.slots[index as usize] else { return };
            // Its members do not know yet that they are.
            if !group.is_active || group.members.is_empty() {
                return;
            }
            let count = group.members.len();
            let turn = group.turn;
            let next = match group.returned.front() {
                Some(Entry::Slice(slice)) => Some(slice),
                Some(Entry::Gap(_)) => None,
                None => group.queue.next_slice(),
            };
            let next = NextEntry {
                not_to: next.and_then(|slice| slice.not_to.clone()),
                topic: next.filter(|_| group.is_filtered).map(|slice| slice.topic.clone()),
            };
            let may_have = |member: &Member| member.may_have(&next);
            let has_room = |at: &usize| {
                let member = &group.members[*at];
                member.holds < member.capacity && member.holds_bytes < bytes_max && may_have(member)
            };
            let at = (0..count).map(|step| (turn + step) % count).find(has_room);
            let at = match at {
                Some(at) => at,
                None if group.members.iter().any(may_have) => return,
                // Nobody wants it or may have it.
                None => {
                    let lost = self.take_next_of(index).map_or(0, |entry| entry.messages());
                    self.counters.dropped_disconnected_messages.add(lost);
                    continue;
                }
            };
            let Some(entry) = self.take_next_of(index) else { return };
            let entry = match entry {
                Entry::Slice(slice) if slice.is_expired(now) => {
                    let messages = u64::from(slice.messages);
                    self.counters.expired_in_queue_messages.add(messages);
                    self.groups.at(index).lost.expired += messages;
                    Entry::Gap(slice.gap(GapReason::Expired))
                }
                entry => entry,
            };
            let member = &mut self.groups.at(index).members[at];
            if let Entry::Slice(slice) = &entry {
                member.holds += slice.messages;
                member.holds_bytes += slice.frames.len() as u64;
            }
            let (core, member) = (member.core, member.member);
            self.groups.at(index).turn = (at + 1) % count;
            self.reply(core, Reply::Dealt { member, entry });
            if core == self.core {
                // What that leads to may change the members, so it comes first.
                return self.effects.push(Effect::GoOn(Work::Deal(index)));
            }
        }
    }

    /// What a group deals next: one frame at a time, because members take turns by frame.
    fn take_next_of(&mut self, index: u32) -> Option<Entry> {
        let group = self.groups.at(index);
        if let Some(returned) = group.returned.pop_front() {
            return Some(returned);
        }
        let entries = group.queue.entries();
        let entry = group.queue.take_next(0, 0, true);
        let after = group.queue.entries();
        self.count_entries(entries, after);
        entry
    }

    /// This core coordinates: a member has room again.
    pub fn member_took(
        &mut self,
        now: Now,
        name: &GroupName,
        core: CoreId,
        member: SubscriptionRef,
        (messages, bytes): (u32, u64),
    ) {
        let Some((index, group)) = self.groups.find(name) else { return };
        let found = group.members.iter_mut().find(|one| one.core == core && one.member == member);
        if let Some(found) = found {
            found.holds -= messages;
            found.holds_bytes -= bytes;
        }
        self.deal(now, index);
    }

    /// This core coordinates: a member has left; the others get what it was not sent.
    pub fn member_leaves(&mut self, now: Now, name: &GroupName, core: CoreId, leaves: Leaves) {
        let Leaves { member, returned, sends_itself } = leaves;
        if core == self.core {
            // Nothing for it is under way any more.
            self.left_groups.remove(&member.number);
        } else {
            self.reply(core, Reply::LeftGroup { member });
        }
        let comes_back: u64 = returned.iter().map(Entry::messages).sum();
        let is_leaver = |one: &Member| one.core == core && one.member == member;
        let found = self.groups.find(name);
        let leaver = found.and_then(|(_, group)| {
            let at = group.members.iter().position(is_leaver)?;
            Some(group.members.remove(at))
        });
        match leaver {
            // What it was dealt and does not account for is still on its way to it.
            Some(leaver) => {
                let holds = u64::from(leaver.holds) - comes_back;
                self.groups.coming_back += holds - sends_itself.unwrap_or(holds);
            }
            // It was to keep everything, so nothing was expected back.
            None if sends_itself.is_none() => {}
            None => self.groups.coming_back -= comes_back,
        }
        let Some((index, group)) = self.groups.find(name) else {
            // The last member left before; nobody is there to get it.
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
        self.count_entries(group.queue.entries(), 0);
        let returned: u64 = group.returned.iter().map(Entry::messages).sum();
        let lost = returned + group.queue.messages();
        self.counters.dropped_disconnected_messages.add(lost);
    }
}
