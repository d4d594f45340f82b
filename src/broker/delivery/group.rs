//! What a group is made of: its name, its members, its queue, and what a member may be dealt.
//!
//! Used by `groups`, which keeps the groups of a core, and by `deal`.

use std::collections::VecDeque;
use std::sync::Arc;

use super::overflow::Lost;
use super::queue::{Entry, Queue};
use super::subscription::SubscriptionRef;
use crate::broker::ids::ConnectionId;
use crate::broker::message::{Publisher, Slice, TopicName};
use crate::broker::permissions::Permissions;
use crate::config::OverflowPolicy;
use crate::protocol::CoreId;

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
pub(super) struct Member {
    pub(super) core: CoreId,
    pub(super) member: SubscriptionRef,
    pub(super) capacity: u32,
    /// Messages dealt to it that it has not sent yet.
    pub(super) holds: u32,
    /// Frame bytes of those.
    pub(super) holds_bytes: u64,
    /// Its connection, if it shares messages over all patterns that have a group of this name.
    pub(super) sharing: Option<ConnectionId>,
    /// It is not dealt topics that these do not allow.
    pub(super) filter: Option<Arc<Permissions>>,
}

impl Member {
    pub(super) fn may_have(&self, entry: &NextEntry) -> bool {
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
pub(super) struct NextEntry {
    pub(super) not_to: Option<Arc<Publisher>>,
    pub(super) topic: Option<Arc<TopicName>>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: GroupName,
    /// Every core that may own a topic of the pattern knows it.
    pub(super) is_active: bool,
    pub(super) queue: Queue,
    pub(super) policy: OverflowPolicy,
    /// Messages that none of its members got.
    pub(super) lost: Lost,
    /// Handed back by members that left; dealt before the queue.
    pub(super) returned: VecDeque<Entry>,
    pub(super) members: Vec<Member>,
    /// Some member may not have all topics.
    pub(super) is_filtered: bool,
    /// Whose turn it is.
    pub(super) turn: usize,
}

impl Group {
    /// How many members may have it.
    pub(super) fn takers(&self, slice: &Slice) -> usize {
        if slice.not_to.is_none() && !self.is_filtered {
            return self.members.len();
        }
        let entry = NextEntry { not_to: slice.not_to.clone(), topic: Some(slice.topic.clone()) };
        self.members.iter().filter(|member| member.may_have(&entry)).count()
    }
}
