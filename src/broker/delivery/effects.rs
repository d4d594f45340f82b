//! What delivery wants done: by `turn`, by frontends, and by delivery on other cores.

use std::fmt;
use std::sync::Arc;

use super::group::{GroupName, LeavingMember, NewMember};
use super::queue::{Bounds, Entry};
use super::subscription::SubscriptionRef;
use crate::broker::ids::{ConnectionId, Slot};
use crate::broker::message::TopicName;
use crate::broker::topics::replay::{Progress, Replay};
use crate::config::OverflowPolicy;
use crate::limits::GAP_RUNS_MAX;
use crate::protocol::{CoreId, Start, SubscriptionId, TopicId};

/// What follows from a call of delivery. Carried out in order; what follows from one effect comes
/// before the next.
#[derive(Debug)]
pub enum Effect {
    /// A core is to do something; this core, too, is asked this way.
    Ask(CoreId, Request),
    /// A core is answered, or notified.
    Reply(CoreId, Reply),
    /// A connection has something to send.
    Ready(Slot),
    /// A subscription is active on all cores that have to know it.
    Known(SubscriptionRef),
    /// A subscription was given all that its client asked for: its frontend ends it.
    Satisfied(SubscriptionRef),
    /// A subscription of a connection was swept.
    Retired {
        /// Its connection.
        connection: ConnectionId,
        /// The subscription, which may be gone.
        id: SubscriptionId,
        /// Its connection need not wait any more for what other cores have to say of it.
        was_pending: bool,
        /// Its client has asked for its end while it waited for answers.
        is_to_end: bool,
    },
    /// All subscriptions of a connection that were over are swept.
    Swept(ConnectionId),
    /// A subscriber has to be disconnected.
    TooSlow {
        /// Its connection.
        slot: Slot,
        /// The subscription at fault.
        subscription: SubscriptionId,
        /// What is wrong with it.
        why: Slowness,
    },
    /// The queue of a subscription was full for the first time.
    Overflowed {
        /// Its connection.
        slot: Slot,
        /// What the subscription asks for.
        pattern: Arc<str>,
        /// What happens there.
        policy: OverflowPolicy,
    },
    /// The queues of a connection were full together for the first time.
    ConnectionFull {
        /// The connection.
        slot: Slot,
        /// `queues.connection_bytes`
        connection_bytes: u64,
    },
    /// A connection holds most while memory is short, and loses messages.
    Reclaimed {
        /// The connection.
        slot: Slot,
        /// Bytes that its queues hold.
        held: u64,
        /// Bytes that it may keep.
        share: u64,
    },
    /// More of this is to be done, by `Delivery::go_on`.
    GoOn(Work),
}

/// Work that was cut: what it leads to comes before the rest of it.
#[derive(Debug)]
pub enum Work {
    /// Deal what a group has to its members.
    Deal(u32),
    /// Sweep subscriptions that are over.
    Sweep,
    /// Activate subscriptions of a connection that waited for others of it.
    Release(ConnectionId),
    /// Nothing more comes for a member that left.
    ForgetLeft(u64),
}

/// To delivery or the topics of some core.
#[derive(Debug)]
pub enum Request {
    /// The sender wants what matches.
    Announce {
        /// Returned in the answer.
        number: u64,
        /// Found legal.
        pattern: Arc<str>,
    },
    /// The sender wants what matches no longer.
    Withdraw {
        /// Announced before.
        pattern: Arc<str>,
    },
    /// The sender wants what topics of the receiver retain for a pattern.
    Replay {
        /// On the sender.
        subscription: SubscriptionRef,
        /// Its connection.
        connection: ConnectionId,
        /// Found legal; announced before.
        pattern: Arc<str>,
        /// Where the replay begins.
        start: Start,
    },
    /// A connection of the sender was sent slices that it was answered with, or will not be.
    ReplaySent {
        /// The connection.
        connection: ConnectionId,
        /// How many slices.
        slices: u64,
    },
    /// A connection of the sender wants none of the replays that it has asked for.
    ForgetReplays {
        /// The connection.
        connection: ConnectionId,
    },
    /// A subscription of the sender joins a group that the receiver coordinates.
    JoinGroup {
        /// The group.
        name: GroupName,
        /// The subscription.
        joins: NewMember,
    },
    /// A member on the sender has sent messages.
    Took {
        /// The group.
        name: GroupName,
        /// The member.
        member: SubscriptionRef,
        /// Number of messages.
        messages: u32,
        /// Frame bytes of those.
        bytes: u64,
    },
    /// A member on the sender leaves once it was dealt so many messages.
    LimitMember {
        /// The group.
        name: GroupName,
        /// The member.
        member: SubscriptionRef,
        /// Counted from its beginning.
        messages_max: u64,
    },
    /// A member on the sender has left.
    LeaveGroup {
        /// The group.
        name: GroupName,
        /// The member, and what it was not sent.
        leaves: LeavingMember,
    },
    /// The sender has begun or ceased to hold up a topic's publishers.
    Block {
        /// Owned by the receiver.
        topic: TopicId,
        /// Whether the sender has begun.
        blocked: bool,
    },
}

/// From delivery or the topics of some core.
#[derive(Debug)]
pub enum Reply {
    /// Answers [`Request::Announce`].
    Announced {
        /// As asked.
        number: u64,
    },
    /// Answers [`Request::Replay`], in parts.
    Replay {
        /// As asked.
        subscription: SubscriptionRef,
        /// As asked.
        connection: ConnectionId,
        /// By topic.
        replays: Vec<Replay>,
        /// How far the answer is; `None` for the last part.
        progress: Option<Progress>,
    },
    /// A subscription of the receiver is a member of its group.
    JoinedGroup {
        /// The member.
        member: SubscriptionRef,
    },
    /// A member is dealt a frame, or notified of a gap.
    Dealt {
        /// The member.
        member: SubscriptionRef,
        /// What the member is dealt.
        entry: Entry,
    },
    /// Answers [`Request::LeaveGroup`]: nothing more comes for the member.
    LeftGroup {
        /// The member.
        member: SubscriptionRef,
    },
    /// Publishers of a topic have to wait, or may go on.
    PublishersWait {
        /// Owned by the sender.
        topic: Arc<TopicName>,
        /// Whether they have to wait.
        blocked: bool,
    },
}

impl Request {
    /// Bytes that the request holds on its way.
    pub fn bytes(&self) -> usize {
        match self {
            Request::Announce { pattern, .. }
            | Request::Withdraw { pattern }
            | Request::Replay { pattern, .. } => pattern.len(),
            Request::LeaveGroup { leaves, .. } => leaves.returned.iter().map(Entry::bytes).sum(),
            Request::ReplaySent { .. }
            | Request::ForgetReplays { .. }
            | Request::JoinGroup { .. }
            | Request::Took { .. }
            | Request::LimitMember { .. }
            | Request::Block { .. } => 0,
        }
    }
}

impl Reply {
    /// Bytes that the reply holds on its way.
    pub fn bytes(&self) -> usize {
        match self {
            Reply::Replay { replays, .. } => {
                replays.iter().map(|replay| replay.retained.bytes() as usize).sum()
            }
            Reply::Dealt { entry, .. } => entry.bytes(),
            Reply::Announced { .. }
            | Reply::JoinedGroup { .. }
            | Reply::LeftGroup { .. }
            | Reply::PublishersWait { .. } => 0,
        }
    }
}

/// Why a subscriber is disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slowness {
    /// Its queue is full, and it asked for `disconnect`.
    QueueFull(Bounds),
    /// The queues of its connection together are full, and it asked for `disconnect`.
    ConnectionFull {
        /// `queues.connection_bytes`
        connection_bytes: u64,
    },
    /// Memory is short, and its connection holds more than a fair share.
    HoldsTooMuch {
        /// Bytes that the connection holds.
        held: u64,
        /// The fair share.
        share: u64,
    },
    /// Memory is short, and its connection holds more than a fair share, most of that for subscriptions.
    SubscribesTooMuch {
        /// Subscriptions of the connection.
        subscriptions: usize,
        /// Bytes that the connection holds.
        held: u64,
        /// The fair share.
        share: u64,
    },
    /// A message reaches too many subscriptions of its connection.
    ReachedTooOften {
        /// Subscriptions of the connection that the message reaches.
        subscriptions: usize,
        /// `limits.max_fan_out_per_connection`
        subscriptions_max: u32,
    },
    /// It has missed more than could be reported to it.
    GapsFull,
    /// It took nothing while publishers waited for it.
    TookNothing {
        /// `queues.block_timeout_ms`
        block_timeout_ms: u32,
    },
    /// Its peer took no byte of what it was sent.
    TakesNoBytes {
        /// `server.write_timeout_ms`
        write_timeout_ms: u32,
    },
    /// It took too little while publishers waited for it.
    TookLittle {
        /// Bytes that it took.
        taken_bytes: u64,
        /// How long publishers waited meanwhile.
        held_ms: u64,
        /// `queues.block_min_rate`
        block_min_rate: u32,
    },
}

impl Slowness {
    /// Whether the subscriber is disconnected for the memory that it holds.
    pub fn frees_memory(&self) -> bool {
        matches!(self, Slowness::HoldsTooMuch { .. } | Slowness::SubscribesTooMuch { .. })
    }
}

impl fmt::Display for Slowness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Slowness::QueueFull(bounds) => write!(
                f,
                "its queue of {} messages and {} bytes has no room for what came (overflow \
                 disconnect): read faster, or choose another overflow policy",
                bounds.messages_max, bounds.bytes_max
            ),
            Slowness::ConnectionFull { connection_bytes } => write!(
                f,
                "the queues of its connection, which hold {connection_bytes} bytes together, have no \
                 room for what came (overflow disconnect): read faster, choose another overflow \
                 policy, or raise `queues.connection_bytes`"
            ),
            Slowness::HoldsTooMuch { held, share } => write!(
                f,
                "`limits.memory_max` is nearly used up, and its connection holds {held} bytes in queues, \
                 unfinished messages, unread answers and opened topics, more than a fair share of \
                 {share}: read faster, or choose the overflow policy drop_oldest"
            ),
            Slowness::SubscribesTooMuch { subscriptions, held, share } => write!(
                f,
                "`limits.memory_max` is nearly used up, and its connection holds {held} bytes for \
                 {subscriptions} subscriptions, more than a fair share of {share}: use patterns \
                 instead of many subscriptions, or raise `limits.memory_max`"
            ),
            Slowness::ReachedTooOften { subscriptions, subscriptions_max } => write!(
                f,
                "a message reaches {subscriptions} subscriptions of its connection, more than \
                 {subscriptions_max}: unsubscribe what is not used any more, or raise \
                 `limits.max_fan_out_per_connection`"
            ),
            Slowness::GapsFull => write!(
                f,
                "it is behind by more than {GAP_RUNS_MAX} runs of missed messages, too many to \
                 tell it: read faster, or subscribe to fewer topics on one connection"
            ),
            Slowness::TookNothing { block_timeout_ms } => write!(
                f,
                "it took nothing for {block_timeout_ms} ms while publishers waited for it \
                 (overflow block): read faster, or raise `queues.block_timeout_ms`"
            ),
            Slowness::TakesNoBytes { write_timeout_ms } => write!(
                f,
                "its peer took nothing of what it was sent for {write_timeout_ms} ms: read, or raise \
                 `server.write_timeout_ms`"
            ),
            Slowness::TookLittle { taken_bytes, held_ms, block_min_rate } => write!(
                f,
                "it took {taken_bytes} bytes while publishers waited {held_ms} ms for it, less than \
                 {block_min_rate} bytes a second (overflow block): read faster, or lower \
                 `queues.block_min_rate`"
            ),
        }
    }
}
