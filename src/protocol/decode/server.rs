//! The frames that servers send.

use super::{Body, kind_of};
use crate::frame::{FLAG_FATAL, GapReason, Kind};
use crate::messages::{self, Header};
use crate::{CoreId, Reject, RequestId, Sequence, SubscriptionId, TopicId};

/// A frame that a server may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerFrame<'a> {
    /// Answers HELLO.
    Welcome(Welcome<'a>),
    /// Names a topic id.
    Topic {
        /// The OPEN answered, 0 if none.
        request: RequestId,
        /// The id.
        topic: TopicId,
        /// The sequence the next message gets.
        next_sequence: Sequence,
        /// The core that orders the topic.
        owner: CoreId,
        /// The topic.
        name: &'a str,
    },
    /// In force from here on.
    Subscribed {
        /// Chosen by the client.
        subscription: SubscriptionId,
    },
    /// No message for it follows.
    Unsubscribed {
        /// Chosen by the client.
        subscription: SubscriptionId,
    },
    /// A publish was given its sequence.
    Ack {
        /// The topic.
        topic: TopicId,
        /// As the publisher wrote it.
        publish_id: u64,
        /// Of the first message.
        sequence: Sequence,
        /// How many were accepted.
        messages: u32,
    },
    /// Messages this subscriber missed.
    Gap {
        /// The topic.
        topic: TopicId,
        /// 0, or the one subscription meant.
        subscription: u32,
        /// First one missed.
        first: Sequence,
        /// How many.
        messages: u64,
        /// Why.
        reason: GapReason,
    },
    /// What was wrong.
    Error {
        /// The connection closes.
        fatal: bool,
        /// Request or subscription concerned, else 0.
        about: u32,
        /// PROTOCOL.md section 5.
        code: u16,
        /// What happened, the numbers, what to do.
        text: &'a str,
    },
    /// The server drains.
    Goodbye {
        /// Why.
        reason: &'a str,
    },
    /// Asks for a PONG.
    Ping {
        /// Returned in the PONG.
        opaque: u64,
    },
    /// Answers the client's PING.
    Pong {
        /// As in the PING.
        opaque: u64,
    },
    /// Messages; the frame itself stays where it was found.
    Messages(Header),
}

/// WELCOME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// Of the protocol.
    pub version: u16,
    /// Serving this connection.
    pub core: CoreId,
    /// Of the broker.
    pub cores: u16,
    /// Of the broker.
    pub shards: u16,
    /// Longest payload.
    pub message_len_max: u32,
    /// Longest frame.
    pub frame_len_max: u32,
    /// New at every start of the server.
    pub server_id: u64,
    /// Name and version.
    pub server: &'a str,
}

/// Reads a whole frame that a server sent.
pub fn server_frame(bytes: &[u8]) -> Result<ServerFrame<'_>, Reject> {
    let kind = kind_of(bytes)?;
    let mut body = Body::of(bytes);
    let decoded = match kind {
        Kind::Messages => return messages::check(bytes, u32::MAX).map(ServerFrame::Messages),
        Kind::Welcome => ServerFrame::Welcome(Welcome {
            version: body.u16("version")?,
            core: CoreId(body.u16("core")?),
            cores: body.u16("cores")?,
            shards: body.u16("shards")?,
            message_len_max: body.u32("message_len_max")?,
            frame_len_max: body.u32("frame_len_max")?,
            server_id: body.u64("server id")?,
            server: body.string16("server name")?,
        }),
        Kind::Topic => ServerFrame::Topic {
            request: RequestId(body.u32("request")?),
            topic: TopicId(body.u32("topic id")?),
            next_sequence: Sequence(body.u64("next sequence")?),
            owner: CoreId(body.u16("owner core")?),
            name: body.string16("topic")?,
        },
        Kind::Subscribed => {
            ServerFrame::Subscribed { subscription: SubscriptionId(body.u32("subscription")?) }
        }
        Kind::Unsubscribed => {
            ServerFrame::Unsubscribed { subscription: SubscriptionId(body.u32("subscription")?) }
        }
        Kind::Ack => ServerFrame::Ack {
            topic: TopicId(body.u32("topic id")?),
            publish_id: body.u64("publish id")?,
            sequence: Sequence(body.u64("sequence")?),
            messages: body.u32("messages accepted")?,
        },
        Kind::Gap => ServerFrame::Gap {
            topic: TopicId(body.u32("topic id")?),
            subscription: body.u32("subscription")?,
            first: Sequence(body.u64("first missed sequence")?),
            messages: body.u64("messages missed")?,
            reason: {
                let reason = body.u8("reason")?;
                GapReason::from_byte(reason).ok_or(Reject::BadField {
                    field: "reason",
                    value: u64::from(reason),
                    allowed: "gap reasons are 1 to 4",
                })?
            },
        },
        Kind::Error => ServerFrame::Error {
            fatal: bytes[5] & FLAG_FATAL != 0,
            about: body.u32("request or subscription")?,
            code: body.u16("code")?,
            text: body.string16("text")?,
        },
        Kind::Goodbye => ServerFrame::Goodbye { reason: body.string16("reason")? },
        Kind::Ping => ServerFrame::Ping { opaque: body.u64("opaque")? },
        Kind::Pong => ServerFrame::Pong { opaque: body.u64("opaque")? },
        _ => return Err(Reject::UnknownKind { kind: kind as u8 }),
    };
    body.finish()?;
    Ok(decoded)
}
