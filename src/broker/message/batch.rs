//! A batch: what one turn brought for one topic, not ordered yet.

use std::sync::Arc;

use bytes::BytesMut;

use super::NotTo;
use crate::broker::ids::ConnectionId;
use crate::protocol::TopicId;

/// Where a batch goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A topic whose id is known.
    Topic(TopicId),
    /// A topic that was opened and whose owner has not answered yet: the owner knows it by name.
    Opened(Arc<str>),
    /// A topic that was never opened: the owner finds or makes it, if it is worth retaining.
    Name(Arc<str>),
    /// A topic that was opened and that its owner did not make, since it is the name for an answer.
    Ephemeral(Arc<str>),
}

/// A frame whose publisher wants an ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantsAck {
    /// The publisher's, on the core that took the frame in.
    pub connection: ConnectionId,
    /// As the publisher wrote it.
    pub publish_id: u64,
    /// What the publisher calls the topic.
    pub topic: u32,
    /// Messages of the batch before this frame.
    pub messages_before: u32,
    /// Messages of this frame.
    pub messages: u32,
}

/// A request whose publisher wants to be notified at once if no subscription matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// The publisher's, on the core that took the message in.
    pub connection: ConnectionId,
    /// Where the publisher waits for answers.
    pub reply: Box<str>,
    /// The place of the message in its batch, from 0.
    pub message: u32,
}

/// A request that no subscription matches.
#[derive(Debug)]
pub struct Unheard {
    /// What the request was published to.
    pub topic: Arc<str>,
    /// Its publisher.
    pub requester: Requester,
}

/// What became of a frame whose publisher wants an ACK.
#[derive(Debug, Clone, Copy)]
pub struct Ack {
    /// The publisher's, on the core that took the frame in.
    pub connection: ConnectionId,
    /// As the publisher wrote it.
    pub publish_id: u64,
    /// What the publisher calls the topic.
    pub topic: u32,
    /// Of its first message.
    pub first: Option<crate::protocol::Sequence>,
    /// Messages accepted.
    pub messages: u32,
}

/// Frames for one topic, not stamped yet.
#[derive(Debug)]
pub struct Batch {
    /// Where the batch goes.
    pub destination: Destination,
    /// The server's default is in already.
    pub ttl_ms: u32,
    /// When its frames were received, in `Now::monotonic_ns`.
    pub received_ns: u64,
    /// In all frames together.
    pub messages: u32,
    /// The frames.
    pub frames: BytesMut,
    /// Those of them whose publishers want an ACK.
    pub acks: Vec<WantsAck>,
    /// Those of them whose publishers want a notice if no subscription matches.
    pub requests: Vec<Requester>,
    /// Who published them, if the destination is an id: the topic may be gone.
    pub publishers: Vec<ConnectionId>,
    /// Who does not get them, if somebody does not.
    pub not_to: Option<Arc<NotTo>>,
}
