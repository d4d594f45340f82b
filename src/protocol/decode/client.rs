//! The frames that clients send.

use super::{Body, kind_of};
use crate::frame::{self, Kind};
use crate::messages::{self, Header};
use crate::{Reject, RequestId, SubscriptionId};

/// A frame that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFrame<'a> {
    /// HELLO: the first frame of a connection.
    Hello(Hello<'a>),
    /// OPEN: asks for the id of a topic.
    Open {
        /// Chosen by the client; the answer carries the same number.
        request: RequestId,
        /// As sent: not checked by [`name`](crate::name) yet.
        topic: &'a str,
    },
    /// SUBSCRIBE: asks for the messages of a pattern.
    Subscribe(Subscribe<'a>),
    /// UNSUBSCRIBE: ends a subscription.
    Unsubscribe {
        /// The number from its SUBSCRIBE.
        subscription: SubscriptionId,
    },
    /// PING: asks for a PONG.
    Ping {
        /// Returned in the PONG.
        opaque: u64,
    },
    /// PONG: answers the server's PING.
    Pong {
        /// The number from the PING.
        opaque: u64,
    },
    /// CLOSE: asks the server to send what is queued, then to close.
    Close,
    /// MESSAGES: messages to publish. The records stay where the frame was found.
    Messages(Header),
}

/// The fields of HELLO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello<'a> {
    /// 0 is none, 1 a token, 2 a user with a password.
    pub auth_kind: u16,
    /// A name for logs and admin pages; may be empty.
    pub client_name: &'a str,
    /// The token with auth kind 1, the user with auth kind 2, else empty.
    pub user: &'a str,
    /// The password with auth kind 2, else empty.
    pub password: &'a str,
}

/// The fields of SUBSCRIBE. The options are as sent: their values are not checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Chosen by the client, unique on its connection.
    pub subscription: SubscriptionId,
    /// The byte of an [`Overflow`](frame::Overflow).
    pub overflow: u8,
    /// The byte of a [`Start`](frame::Start).
    pub start: u8,
    /// Messages that the queue may hold; 0 is the server's default.
    pub capacity: u32,
    /// The argument of that start.
    pub start_argument: u64,
    /// As sent: not checked by [`name`](crate::name) yet.
    pub pattern: &'a str,
    /// Empty if the subscription is not a member of a group.
    pub group: &'a str,
}

impl<'a> Subscribe<'a> {
    /// A plain subscription that starts live, with the server's defaults.
    pub fn live(subscription: SubscriptionId, pattern: &'a str) -> Subscribe<'a> {
        Subscribe {
            subscription,
            overflow: 0,
            start: 0,
            capacity: 0,
            start_argument: 0,
            pattern,
            group: "",
        }
    }
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
