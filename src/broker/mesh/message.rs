//! What cores of one broker send each other.

use std::sync::Arc;

use crate::broker::cluster::CoreSet;
use crate::broker::delivery::{self, Reply};
use crate::broker::ids::ConnectionId;
use crate::broker::message::{Ack, Batch, Slice, TopicName, Unheard};
use crate::broker::topics::{Removed, ReplyName, TopicsFull};
use crate::protocol::{CoreId, RequestId, Sequence, TopicId};

/// Lanes per ordered pair of cores.
pub const LANES: usize = 2;
/// The lane of [`Message::Requests`].
pub const REQUESTS: usize = 0;
/// The lane of [`Message::Deliveries`].
pub const DELIVERIES: usize = 1;

/// What one core had for another in one turn.
#[derive(Debug)]
pub enum Message {
    /// On lane [`REQUESTS`].
    Requests(Vec<Request>),
    /// On lane [`DELIVERIES`].
    Deliveries(Vec<Delivery>),
}

/// To the owner of a topic, or the coordinator of a group.
#[derive(Debug)]
pub enum Request {
    /// Find or make a topic.
    Open {
        /// On the sender.
        connection: ConnectionId,
        /// The number of the client's request.
        request: RequestId,
        /// Found legal.
        topic: Arc<str>,
    },
    /// Take a name for that of an answer.
    NoteReply(ReplyName),
    /// Messages to order.
    Publish(Batch),
    /// From delivery.
    Delivery(delivery::Request),
    /// The broker holds too much: have a turn, which evicts what is retained and reclaims what those
    /// hold who hold most.
    Evict,
    /// Give memory that nobody holds any more back to the operating system.
    GiveBack,
    /// Answer when everything before was served, and have it pass through other cores.
    Fence {
        /// The connection whose next command waits for that, on the sender.
        connection: ConnectionId,
        /// Cores that coordinate groups of the connection: what the receiver ordered reaches the
        /// connection through these, so each of them answers as well.
        through: CoreSet,
    },
    /// Answers [`Delivery::Requests`].
    Heard {
        /// As asked.
        number: u64,
        /// So many messages, the first of the slice, reached somebody.
        messages: u32,
    },
    /// The sender stops; no request follows.
    Drained,
}

/// From the owner of a topic, or the coordinator of a group.
#[derive(Debug)]
pub enum Delivery {
    /// Messages that the receiver announced interest in.
    Slice(Slice),
    /// The same, with requests among the messages: say how many reached somebody.
    Requests {
        /// The messages.
        slice: Slice,
        /// Returned in the answer.
        number: u64,
    },
    /// Answers [`Request::Open`].
    Opened {
        /// As asked.
        connection: ConnectionId,
        /// As asked.
        request: RequestId,
        /// The topic and the sequence its next message gets.
        opened: Result<(Arc<TopicName>, Sequence), TopicsFull>,
    },
    /// Answers frames of a [`Request::Publish`] whose publishers want an ACK.
    Acks {
        /// Of all of them.
        topic: TopicId,
        /// One per frame.
        acks: Vec<Ack>,
    },
    /// Messages of a [`Request::Publish`] were for a topic that was removed.
    Removed(Removed),
    /// The sender has removed a topic.
    Forget(TopicId),
    /// To delivery.
    Delivery(Reply),
    /// Nobody listens to a request that came by a [`Request::Publish`].
    NoResponders(Unheard),
    /// Answer to another core when everything before was served.
    PassFence {
        /// The core that is to be answered.
        core: CoreId,
        /// On that core.
        connection: ConnectionId,
    },
    /// Answers [`Request::Fence`], or [`Delivery::PassFence`].
    Fenced {
        /// As asked.
        connection: ConnectionId,
    },
    /// The sender stops, and its groups have dealt all they had.
    GroupsDrained,
    /// The sender stops; no delivery follows.
    Drained,
}

impl Request {
    /// Bytes that the request holds on its way.
    pub fn bytes(&self) -> usize {
        match self {
            Request::Publish(batch) => batch.frames.len(),
            Request::Open { topic, .. } => topic.len(),
            Request::Delivery(request) => request.bytes(),
            Request::NoteReply(_)
            | Request::Evict
            | Request::GiveBack
            | Request::Fence { .. }
            | Request::Heard { .. }
            | Request::Drained => 0,
        }
    }
}

impl Delivery {
    /// Bytes that the delivery holds on its way.
    pub fn bytes(&self) -> usize {
        match self {
            Delivery::Slice(slice) | Delivery::Requests { slice, .. } => slice.frames.len(),
            Delivery::Delivery(reply) => reply.bytes(),
            Delivery::Acks { acks, .. } => std::mem::size_of_val(&acks[..]),
            Delivery::NoResponders(unheard) => unheard.topic.len(),
            Delivery::Opened { .. }
            | Delivery::Removed(_)
            | Delivery::Forget(_)
            | Delivery::PassFence { .. }
            | Delivery::Fenced { .. }
            | Delivery::GroupsDrained
            | Delivery::Drained => 0,
        }
    }
}
