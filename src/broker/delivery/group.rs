//! What a group is made of: its name, its members, its queue, and what a member may be dealt.
//!
//! Used by `groups`, which keeps the groups of a core, and by `deal`.

use std::collections::VecDeque;
use std::sync::Arc;

use super::membership::Members;
use super::overflow::Lost;
use super::queue::{Entry, Queue};
use super::subscription::SubscriptionRef;
use crate::broker::holders::Listed;
use crate::broker::ids::ConnectionId;
use crate::broker::message::{NotTo, Slice, TopicName};
use crate::broker::permissions::Permissions;
use crate::config::OverflowPolicy;
use crate::protocol::CoreId;

/// The name of a group, the same on every core.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupName {
    /// The pattern that its members subscribed to.
    pub pattern: Arc<str>,
    /// The name that they gave.
    pub group: Arc<str>,
}

/// A subscription that joins a group.
#[derive(Debug, Clone)]
pub struct NewMember {
    /// The subscription, on its core.
    pub member: SubscriptionRef,
    /// The most messages that the member may have unsent.
    pub capacity: u32,
    /// The policy of the group's queue, if this is the first member.
    pub policy: OverflowPolicy,
    /// The member's connection.
    pub connection: ConnectionId,
    /// Whether the member shares messages with all groups of this name, whatever their patterns.
    pub shares: bool,
    /// The member's protocol can name topics that are not legal.
    pub takes_any_name: bool,
    /// Permissions of the member, if they forbid some topics of the pattern.
    pub filter: Option<Arc<Permissions>>,
}

/// Notice that a member leaves; sent again for each frame that arrives for the member afterwards.
#[derive(Debug)]
pub struct LeavingMember {
    /// The subscription, on its core.
    pub member: SubscriptionRef,
    /// Entries that the member was not sent.
    pub returned: Vec<Entry>,
    /// Number of messages that the member keeps, because they are sent after CLOSE. `None` for all
    /// that the member was dealt.
    pub sends_itself: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) core: CoreId,
    pub(super) member: SubscriptionRef,
    pub(super) capacity: u32,
    /// Messages dealt to the member that were not sent yet.
    pub(super) unsent_messages: u32,
    /// Frame bytes of those.
    pub(super) unsent_bytes: u64,
    pub(super) connection: ConnectionId,
    /// See [`NewMember::shares`].
    pub(super) shares: bool,
    pub(super) takes_any_name: bool,
    /// See [`NewMember::filter`].
    pub(super) filter: Option<Arc<Permissions>>,
    /// Messages dealt to the member ever.
    pub(super) dealt: u64,
    /// The member is dealt so many, and then leaves.
    pub(super) dealt_max: u64,
}

impl Member {
    pub(super) fn has_room(&self, bytes_max: u64) -> bool {
        self.unsent_messages < self.capacity && self.unsent_bytes < bytes_max
    }

    pub(super) fn may_receive(&self, entry: &NextEntry) -> bool {
        let filter = self.filter.as_deref();
        let is_excluded = entry
            .not_to
            .as_ref()
            .is_some_and(|not_to| not_to.excludes(self.core, self.connection, filter));
        let is_allowed = |topic: &Arc<TopicName>| {
            self.filter.as_ref().is_none_or(|filter| filter.may_receive(&topic.name))
        };
        self.dealt < self.dealt_max
            && (entry.is_legal || self.takes_any_name)
            && !is_excluded
            && entry.topic.as_ref().is_none_or(is_allowed)
    }
}

/// What decides which members may be dealt the next entry of a group. In most groups every member
/// may.
pub(super) struct NextEntry {
    pub(super) not_to: Option<Arc<NotTo>>,
    pub(super) topic: Option<Arc<TopicName>>,
    /// The topic of the entry is legal.
    pub(super) is_legal: bool,
}

impl NextEntry {
    fn of(slice: &Slice) -> NextEntry {
        NextEntry {
            not_to: slice.not_to.clone(),
            topic: Some(slice.topic.clone()),
            is_legal: slice.topic.is_legal(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: GroupName,
    /// Every core that may own a topic of the pattern knows the pattern.
    pub(super) is_active: bool,
    pub(super) queue: Queue,
    /// Among the holders of the core.
    pub(super) listed: Listed,
    pub(super) policy: OverflowPolicy,
    /// Messages that no member got.
    pub(super) lost: Lost,
    /// Entries that members handed back when they left; dealt before the queue.
    pub(super) returned: VecDeque<Entry>,
    pub(super) members: Members,
    /// Some member is not dealt everything: its permissions forbid some topics, or it takes only so many
    /// messages.
    pub(super) is_filtered: bool,
    /// The member whose turn is next.
    pub(super) turn: usize,
}

impl Group {
    /// Number of members that may be dealt a slice.
    pub(super) fn eligible_members(&self, slice: &Slice) -> usize {
        if slice.not_to.is_none() && !self.is_filtered && slice.topic.is_legal() {
            return self.members.len();
        }
        let entry = NextEntry::of(slice);
        self.members.iter().filter(|member| member.may_receive(&entry)).count()
    }

    /// How many messages of a slice that is about to be queued, the first of them, some member is dealt.
    pub(super) fn wants(&self, slice: &Slice) -> u32 {
        if !self.is_filtered {
            return if self.eligible_members(slice) > 0 { slice.messages } else { 0 };
        }
        let entry = NextEntry::of(slice);
        let eligible = self.members.iter().filter(|member| member.may_receive(&entry));
        let wanted =
            eligible.map(|member| member.dealt_max - member.dealt).fold(0, u64::saturating_add);
        let returned: u64 = self.returned.iter().map(Entry::messages).sum();
        let waiting = returned + self.queue.messages();
        wanted.saturating_sub(waiting).min(u64::from(slice.messages)) as u32
    }
}
