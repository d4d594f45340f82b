//! The frames that servers send.

use super::{Body, kind_of};
use crate::frame::{FLAG_FATAL, GapReason, Kind};
use crate::messages::{self, Header};
use crate::{CoreId, Reject, RequestId, Sequence, SubscriptionId, TopicId};

/// A frame that a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerFrame<'a> {
    /// WELCOME: answers HELLO.
    Welcome(Welcome<'a>),
    /// TOPIC: names a topic id.
    Topic {
        /// The OPEN that is answered; 0 if the frame was not asked for.
        request: RequestId,
        /// The id, valid as long as the server runs.
        topic: TopicId,
        /// The sequence of the topic's next message.
        next_sequence: Sequence,
        /// The core that orders the topic.
        owner: CoreId,
        /// The name of the topic.
        name: &'a str,
    },
    /// SUBSCRIBED: the subscription is active from here on.
    Subscribed {
        /// The number from its SUBSCRIBE.
        subscription: SubscriptionId,
    },
    /// UNSUBSCRIBED: the subscription has ended, no message for it follows.
    Unsubscribed {
        /// The number from its SUBSCRIBE.
        subscription: SubscriptionId,
    },
    /// ACK: the messages of a frame were accepted and have their sequences.
    Ack {
        /// The topic of the frame.
        topic: TopicId,
        /// The publish id that the publisher wrote into the frame.
        publish_id: u64,
        /// The sequence of the first message.
        sequence: Sequence,
        /// The number of messages accepted.
        messages: u32,
    },
    /// GAP: messages that this subscriber missed.
    Gap {
        /// The topic of the messages.
        topic: TopicId,
        /// 0 for all plain subscriptions, else the one subscription that missed them.
        subscription: u32,
        /// The sequence of the first missed message.
        first: Sequence,
        /// The number of messages missed.
        messages: u64,
        /// Why they were missed.
        reason: GapReason,
    },
    /// ERROR: the server refused something.
    Error {
        /// Whether the connection closes.
        fatal: bool,
        /// The request or subscription concerned, else 0.
        about: u32,
        /// One of the protocol's error codes, see [`Reject::code`].
        code: u16,
        /// What happened, the numbers, what to do.
        text: &'a str,
    },
    /// GOODBYE: the server is stopping.
    Goodbye {
        /// Why the server stops, for people.
        reason: &'a str,
    },
    /// PING: asks for a PONG.
    Ping {
        /// Returned in the PONG.
        opaque: u64,
    },
    /// PONG: answers the client's PING.
    Pong {
        /// The number from the PING.
        opaque: u64,
    },
    /// MESSAGES: published messages. The records stay where the frame was found.
    Messages(Header),
}

/// The fields of WELCOME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// Version of the protocol.
    pub version: u16,
    /// The core that serves this connection.
    pub core: CoreId,
    /// The number of cores of the broker.
    pub cores: u16,
    /// The number of shards of the broker.
    pub shards: u16,
    /// Longest payload that the broker accepts.
    pub message_len_max: u32,
    /// Longest frame that the broker accepts.
    pub frame_len_max: u32,
    /// A number that is new at every start of the server.
    pub server_id: u64,
    /// Name and version of the server.
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
