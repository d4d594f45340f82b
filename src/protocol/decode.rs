//! Bytes to frames: finds where a frame ends, checks it against PROTOCOL.md, and reads its fields.
//!
//! Called by `broker::session` for what clients send and by the client for what servers send.
//! Nothing is copied: a decoded frame borrows from the bytes it was found in.
//!
//! # Always true
//! - The answer does not depend on where reads split the bytes.
//! - No input panics, and none makes this allocate, except for the text of a [`Reject`].

use super::frame::{self, FLAG_FATAL, GapReason, Kind};
use super::limits::{FRAME_HEADER_LEN, HELLO_LEN_MAX};
use super::messages::{self, Header};
use super::reject::Reject;
use super::{CoreId, RequestId, Sequence, SubscriptionId, TopicId};

/// The whole frame at the start of `bytes`, or `None` until more bytes arrive.
pub fn next_frame(bytes: &[u8], frame_len_max: u32) -> Result<Option<&[u8]>, Reject> {
    let Some(frame_len) = bytes.first_chunk::<4>() else { return Ok(None) };
    let frame_len = u32::from_le_bytes(*frame_len);
    if (frame_len as usize) < FRAME_HEADER_LEN {
        return Err(Reject::FrameTooShort { frame_len });
    }
    if frame_len > frame_len_max {
        return Err(Reject::FrameTooLong { frame_len, frame_len_max });
    }
    Ok(bytes.get(..frame_len as usize))
}

/// The HELLO at the start of `bytes`, or `None` until more bytes arrive. Anything else is not a
/// BLIP/1 client, and is told so before much of it is kept.
pub fn next_hello(bytes: &[u8]) -> Result<Option<&[u8]>, Reject> {
    let looks_like_hello = |frame: &[u8]| {
        frame.get(4).is_none_or(|kind| *kind == Kind::Hello as u8)
            && frame
                .iter()
                .skip(FRAME_HEADER_LEN)
                .zip(frame::MAGIC)
                .all(|(byte, magic)| *byte == magic)
    };
    match next_frame(bytes, HELLO_LEN_MAX) {
        // Of a whole frame that ends before its magic, what follows it says nothing.
        Ok(found) if looks_like_hello(found.unwrap_or(bytes)) => Ok(found),
        Ok(_) | Err(_) => {
            let found = bytes[..bytes.len().min(12)].escape_ascii().to_string();
            Err(Reject::NotBlip { found: format!("\"{found}\"") })
        }
    }
}

/// A frame that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFrame<'a> {
    /// The first frame.
    Hello(Hello<'a>),
    /// Asks for a topic's id.
    Open {
        /// Chosen by the client.
        request: RequestId,
        /// As sent: not checked yet.
        topic: &'a str,
    },
    /// Asks for a pattern's messages.
    Subscribe(Subscribe<'a>),
    /// Ends a subscription.
    Unsubscribe {
        /// Chosen by the client.
        subscription: SubscriptionId,
    },
    /// Asks for a PONG.
    Ping {
        /// Returned in the PONG.
        opaque: u64,
    },
    /// Answers the server's PING.
    Pong {
        /// As in the PING.
        opaque: u64,
    },
    /// Send what is queued, then close.
    Close,
    /// Messages to publish; the frame itself stays where it was found.
    Messages(Header),
}

/// HELLO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello<'a> {
    /// 0 none, 1 token, 2 user and password.
    pub auth_kind: u16,
    /// For logs and pages; may be empty.
    pub client_name: &'a str,
    /// Token or user.
    pub user: &'a str,
    /// Only with auth kind 2.
    pub password: &'a str,
}

/// SUBSCRIBE; the options are as sent, `broker::session` gives them meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Chosen by the client.
    pub subscription: SubscriptionId,
    /// See [`frame::Overflow`].
    pub overflow: u8,
    /// See [`frame::Start`].
    pub start: u8,
    /// Messages the queue may hold, 0 for the server's default.
    pub capacity: u32,
    /// See [`frame::Start`].
    pub start_argument: u64,
    /// As sent: not checked yet.
    pub pattern: &'a str,
    /// Empty for none.
    pub group: &'a str,
}

/// Reads a whole frame that a client sent.
pub fn client_frame(bytes: &[u8], message_len_max: u32) -> Result<ClientFrame<'_>, Reject> {
    let kind = kind_of(bytes)?;
    let mut body = Body::of(bytes);
    let decoded = match kind {
        Kind::Messages => {
            return messages::check(bytes, message_len_max).map(ClientFrame::Messages);
        }
        Kind::Hello => ClientFrame::Hello(hello(&mut body)?),
        Kind::Open => ClientFrame::Open {
            request: RequestId(body.u32("request")?),
            topic: body.string16("topic")?,
        },
        Kind::Subscribe => ClientFrame::Subscribe(subscribe(&mut body)?),
        Kind::Unsubscribe => {
            ClientFrame::Unsubscribe { subscription: SubscriptionId(body.u32("subscription")?) }
        }
        Kind::Ping => ClientFrame::Ping { opaque: body.u64("opaque")? },
        Kind::Pong => ClientFrame::Pong { opaque: body.u64("opaque")? },
        Kind::Close => ClientFrame::Close,
        _ => return Err(Reject::UnknownKind { kind: kind as u8 }),
    };
    body.finish()?;
    match decoded {
        ClientFrame::Open { request: RequestId(request), .. }
            if request == 0 || request & frame::PROVISIONAL != 0 =>
        {
            Err(Reject::BadField {
                field: "request",
                value: u64::from(request),
                allowed: "choose a number from 1 to 2147483647",
            })
        }
        ClientFrame::Subscribe(Subscribe { subscription: SubscriptionId(0), .. }) => {
            Err(Reject::BadField {
                field: "subscription",
                value: 0,
                allowed: "choose a number from 1 to 4294967295",
            })
        }
        decoded => Ok(decoded),
    }
}

fn hello<'a>(body: &mut Body<'a>) -> Result<Hello<'a>, Reject> {
    let magic = body.u32("magic")?;
    if magic.to_le_bytes() != frame::MAGIC {
        return Err(Reject::NotBlip { found: format!("magic 0x{magic:08x}") });
    }
    let version = body.u16("version")?;
    if version != frame::VERSION {
        return Err(Reject::Version { version });
    }
    let auth_kind = body.u16("auth kind")?;
    if auth_kind > 2 {
        return Err(Reject::BadField {
            field: "auth kind",
            value: u64::from(auth_kind),
            allowed: "0 is none, 1 a token, 2 user and password",
        });
    }
    Ok(Hello {
        auth_kind,
        client_name: body.string16("client name")?,
        user: body.string16("token or user")?,
        password: body.string16("password")?,
    })
}

fn subscribe<'a>(body: &mut Body<'a>) -> Result<Subscribe<'a>, Reject> {
    let subscription = SubscriptionId(body.u32("subscription")?);
    let overflow = body.u8("overflow")?;
    let start = body.u8("start")?;
    let reserved = body.u16("reserved")?;
    if reserved != 0 {
        return Err(Reject::BadField {
            field: "reserved",
            value: u64::from(reserved),
            allowed: "it must be 0",
        });
    }
    Ok(Subscribe {
        subscription,
        overflow,
        start,
        capacity: body.u32("capacity")?,
        start_argument: body.u64("start argument")?,
        pattern: body.string16("pattern")?,
        group: body.string16("group")?,
    })
}

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

/// Checks the eight bytes every frame starts with.
fn kind_of(frame: &[u8]) -> Result<Kind, Reject> {
    assert!(frame.len() >= FRAME_HEADER_LEN, "`next_frame` gives whole frames");
    let (byte, flags) = (frame[4], frame[5]);
    let kind = Kind::from_byte(byte).ok_or(Reject::UnknownKind { kind: byte })?;
    if flags & !kind.flags_allowed() != 0 {
        return Err(Reject::UnknownFlags { kind: byte, flags });
    }
    let count = u16::from_le_bytes([frame[6], frame[7]]);
    if count != 0 && kind != Kind::Messages {
        return Err(Reject::UnexpectedCount { kind: byte, count });
    }
    Ok(kind)
}

/// What is left to read of a frame's body.
struct Body<'a> {
    kind: u8,
    frame_len: u32,
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    fn of(frame: &'a [u8]) -> Body<'a> {
        Body { kind: frame[4], frame_len: frame.len() as u32, rest: &frame[FRAME_HEADER_LEN..] }
    }

    fn mismatch(&self, detail: &'static str) -> Reject {
        Reject::BodyMismatch { kind: self.kind, frame_len: self.frame_len, detail }
    }

    fn take<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Reject> {
        let (taken, rest) =
            self.rest.split_first_chunk::<N>().ok_or_else(|| self.mismatch(field))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, Reject> {
        self.take::<1>(field).map(|[byte]| byte)
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, Reject> {
        self.take(field).map(u16::from_le_bytes)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, Reject> {
        self.take(field).map(u32::from_le_bytes)
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, Reject> {
        self.take(field).map(u64::from_le_bytes)
    }

    fn string16(&mut self, field: &'static str) -> Result<&'a str, Reject> {
        let len = self.u16(field)?;
        let (text, rest) =
            self.rest.split_at_checked(len as usize).ok_or_else(|| self.mismatch(field))?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| Reject::NotUtf8 { field })
    }

    fn finish(self) -> Result<(), Reject> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.mismatch("bytes are left over")) }
    }
}
