//! What cores of one broker write to each other: the words. When they are read is `mesh`'s business.
//!
//! Two lanes per ordered pair of cores: *requests* to the owner of a topic, and *deliveries* from
//! it. What a core has for another in one turn travels as one [`Letter`].

use std::collections::VecDeque;
use std::sync::Arc;

use super::ConnectionId;
use super::groups::{GroupName, Joins, Leaves};
use super::ingest::Batch;
use super::nats::publish::Unheard;
use super::portion::Portion;
use super::queue::Entry;
use super::replay::{Asker, Replay};
use super::shard::TopicsFull;
use super::topic::TopicName;
use crate::limits::MESH_OUTGOING_BYTES_MAX;
use crate::protocol::{CoreId, RequestId, Sequence, Start, TopicId};

/// Lanes per ordered pair of cores.
pub const LANES: usize = 2;
/// The lane of [`Letter::Requests`].
pub const REQUESTS: usize = 0;
/// The lane of [`Letter::Deliveries`].
pub const DELIVERIES: usize = 1;

/// Bytes a letter's entry counts beside the frames it carries.
const ENTRY_LEN: usize = 64;

/// What became of a frame whose publisher wants to know.
#[derive(Debug, Clone, Copy)]
pub struct Ack {
    /// The publisher's, on the core that took the frame in.
    pub connection: ConnectionId,
    /// As the publisher wrote it.
    pub publish_id: u64,
    /// Of its first message; `None` if it was refused with its OPEN.
    pub first: Option<Sequence>,
    /// Messages accepted.
    pub messages: u32,
}

/// To the owner of a topic.
#[derive(Debug)]
pub enum Request {
    /// Find or make a topic.
    Open {
        /// Who asked.
        connection: ConnectionId,
        /// Under which number.
        request: RequestId,
        /// Found legal.
        topic: Arc<str>,
    },
    /// Messages.
    Publish(Batch),
    /// The sender wants what matches.
    Announce {
        /// Returned in the answer.
        number: u64,
        /// Found legal.
        pattern: Arc<str>,
    },
    /// The sender wants it no longer.
    Withdraw {
        /// Announced before.
        pattern: Arc<str>,
    },
    /// What topics of the receiver keep for a pattern.
    Replay {
        /// On the sender.
        asker: Asker,
        /// Found legal; announced before.
        pattern: Arc<str>,
        /// Where it begins.
        start: Start,
    },
    /// A subscription of the sender joins a group the receiver coordinates.
    JoinGroup {
        /// The group.
        name: GroupName,
        /// The subscription.
        joins: Joins,
    },
    /// A member on the sender has sent messages.
    Took {
        /// The group.
        name: GroupName,
        /// The member.
        member: Asker,
        /// How many.
        messages: u32,
        /// Frame bytes of those.
        bytes: u64,
    },
    /// A member on the sender has left.
    LeaveGroup {
        /// The group.
        name: GroupName,
        /// The member, and what it was not sent.
        leaves: Leaves,
    },
    /// The broker holds too much: give up kept messages.
    GiveUpKept,
    /// The sender has begun or ceased to hold up a topic's publishers.
    Block {
        /// Owned by the receiver.
        topic: TopicId,
        /// Begun.
        blocked: bool,
    },
    /// Answer when everything before was served.
    Fence {
        /// Whose next command waits for that, on the sender.
        connection: ConnectionId,
    },
    /// The sender stops; no request follows.
    Drained,
}

/// From the owner of a topic.
#[derive(Debug)]
pub enum Delivery {
    /// Messages that the receiver announced interest in.
    Portion(Portion),
    /// Answers [`Request::Open`].
    Opened {
        /// Who asked.
        connection: ConnectionId,
        /// Under which number.
        request: RequestId,
        /// The topic and the sequence its next message gets.
        opened: Result<(Arc<TopicName>, Sequence), TopicsFull>,
    },
    /// Answers frames of a [`Request::Publish`] whose publishers want to know.
    Acks {
        /// Of all of them.
        topic: TopicId,
        /// One per frame.
        acks: Vec<Ack>,
    },
    /// A subscription of the receiver is a member of its group.
    JoinedGroup {
        /// The member.
        member: Asker,
    },
    /// A member is dealt a frame, or told of a gap.
    Dealt {
        /// The member.
        member: Asker,
        /// What it is dealt.
        entry: Entry,
    },
    /// Answers [`Request::LeaveGroup`]: nothing more comes for the member.
    LeftGroup {
        /// The member.
        member: Asker,
    },
    /// The sender stops, and its groups have dealt all they had.
    GroupsDrained,
    /// Answers [`Request::Replay`].
    Replay {
        /// As asked.
        asker: Asker,
        /// By topic.
        replays: Vec<Replay>,
    },
    /// Nobody listens to a request that came by a [`Request::Publish`].
    NoResponders(Unheard),
    /// Answers [`Request::Fence`].
    Fenced {
        /// As asked.
        connection: ConnectionId,
    },
    /// Publishers of a topic have to wait, or may go on.
    Block {
        /// Owned by the sender.
        topic: Arc<TopicName>,
        /// They have to wait.
        blocked: bool,
    },
    /// Answers [`Request::Announce`].
    Announced {
        /// As asked.
        number: u64,
    },
    /// The sender stops; no delivery follows.
    Drained,
}

/// What one core had for another in one turn.
#[derive(Debug)]
pub enum Letter {
    /// On lane [`REQUESTS`].
    Requests(Vec<Request>),
    /// On lane [`DELIVERIES`].
    Deliveries(Vec<Delivery>),
}

/// What a core has for another.
#[derive(Debug, Default)]
pub struct Outgoing {
    pub(super) requests: Vec<Request>,
    pub(super) request_bytes: usize,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) delivery_bytes: usize,
}

impl Outgoing {
    /// Adds a request.
    pub fn ask(&mut self, request: Request) {
        self.request_bytes += ENTRY_LEN
            + match &request {
                Request::Publish(batch) => batch.frames.len(),
                _ => 0,
            };
        self.requests.push(request);
    }

    /// Adds a delivery.
    pub fn deliver(&mut self, delivery: Delivery) {
        self.delivery_bytes += ENTRY_LEN
            + match &delivery {
                Delivery::Portion(portion) => portion.frames.len(),
                _ => 0,
            };
        self.deliveries.push(delivery);
    }

    /// Whether connections that publish to that core have to wait.
    pub fn requests_are_full(&self) -> bool {
        self.request_bytes >= MESH_OUTGOING_BYTES_MAX
    }

    pub(super) fn deliveries_are_full(&self) -> bool {
        self.delivery_bytes >= MESH_OUTGOING_BYTES_MAX
    }

    /// Whether everything was sent.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.deliveries.is_empty()
    }
}

/// What came from other cores and was not served yet.
#[derive(Debug, Default)]
pub struct Inbox {
    pub(super) requests: VecDeque<(CoreId, Request)>,
    pub(super) deliveries: VecDeque<(CoreId, Delivery)>,
}
