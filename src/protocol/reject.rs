//! Why the broker refuses something: one variant per offence, sent to its client as an ERROR frame.
//!
//! Made by `decode` and by `broker::session`; `encode::error` writes it. The numbers are those of
//! PROTOCOL.md section 5.

use crate::name::NameError;

/// An offence of a client. Fatal ones close that client's connection after the ERROR frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// The length prefix is less than a frame header.
    #[error("frame_len is {frame_len}, a frame has at least 8 bytes: count the header itself in")]
    FrameTooShort {
        /// What the frame said.
        frame_len: u32,
    },
    /// The length prefix exceeds what WELCOME announced.
    #[error(
        "frame is {frame_len} bytes, the limit is {frame_len_max}: send fewer or smaller messages \
         a frame, or raise `server.max_message_size_bytes`"
    )]
    FrameTooLong {
        /// What the frame said.
        frame_len: u32,
        /// What WELCOME said.
        frame_len_max: u32,
    },
    /// A payload exceeds what WELCOME announced.
    #[error(
        "message {index} of the frame has {payload_len} bytes, the limit is {message_len_max}: \
         send a smaller message or raise `server.max_message_size_bytes`"
    )]
    MessageTooLong {
        /// Which message of the frame, from 0.
        index: u32,
        /// Its payload.
        payload_len: u32,
        /// What WELCOME said.
        message_len_max: u32,
    },
    /// No such kind, or one that only a server sends.
    #[error("frame kind 0x{kind:02x} is not one a client sends")]
    UnknownKind {
        /// The byte at offset 4.
        kind: u8,
    },
    /// Flag bits the kind does not have.
    #[error("flags 0x{flags:02x} are not defined for frame kind 0x{kind:02x}: leave them 0")]
    UnknownFlags {
        /// The byte at offset 4.
        kind: u8,
        /// The byte at offset 5.
        flags: u8,
    },
    /// `count` in a frame that has no messages.
    #[error("count is {count} in frame kind 0x{kind:02x}: only MESSAGES counts, leave it 0")]
    UnexpectedCount {
        /// The byte at offset 4.
        kind: u8,
        /// The number at offset 6.
        count: u16,
    },
    /// The body does not end where the frame does.
    #[error("the body of frame kind 0x{kind:02x} does not end at frame_len {frame_len}: {detail}")]
    BodyMismatch {
        /// The byte at offset 4.
        kind: u8,
        /// What the frame said.
        frame_len: u32,
        /// Which field did not fit.
        detail: &'static str,
    },
    /// Text that is not UTF-8.
    #[error("{field} is not UTF-8")]
    NotUtf8 {
        /// The field's name in PROTOCOL.md.
        field: &'static str,
    },
    /// A field with a value it may not have.
    #[error("{field} is {value}: {allowed}")]
    BadField {
        /// The field's name in PROTOCOL.md.
        field: &'static str,
        /// What the frame said.
        value: u64,
        /// What would be right.
        allowed: &'static str,
    },
    /// A MESSAGES frame without messages.
    #[error("a MESSAGES frame has count 0: send at least one message")]
    NoMessages,
    /// Records and `count` disagree.
    #[error("record {index} of {count} does not fit the frame: {detail}")]
    BadRecord {
        /// Which record, from 0.
        index: u32,
        /// How many the frame announced.
        count: u16,
        /// What did not fit.
        detail: &'static str,
    },
    /// The first bytes are not a HELLO.
    #[error(
        "expected HELLO as the first frame, got {found}: this port speaks BLIP/1, see PROTOCOL.md"
    )]
    NotBlip {
        /// The first bytes, printed.
        found: String,
    },
    /// Another version of the protocol.
    #[error("protocol version {version} is not served here, only version 1: use a BLIP/1 client")]
    Version {
        /// What HELLO said.
        version: u16,
    },
    /// HELLO twice.
    #[error("a second HELLO: a connection says it once")]
    SecondHello,
    /// No HELLO in time.
    #[error("no HELLO within {auth_timeout_ms} ms of connecting: send it first, at once")]
    AuthTimeout {
        /// `server.auth_timeout_ms`
        auth_timeout_ms: u32,
    },
    /// Credentials that nobody checks: the client must not believe that somebody did.
    #[error(
        "auth kind {kind} cannot be checked, this broker has no `[auth]` and lets everybody in: \
         send auth kind 0, or give the broker a token or users"
    )]
    AuthNotConfigured {
        /// What HELLO said.
        kind: u16,
    },
    /// No credentials where some are required.
    #[error(
        "this broker wants to know who connects: send auth kind 1 with its token, or auth kind 2 \
         with a user and password of its `[auth]`"
    )]
    AuthRequired,
    /// Wrong credentials.
    #[error(
        "authentication failed with auth kind {kind} ({what}): compare them with `[auth]` of the \
         broker's configuration"
    )]
    AuthFailed {
        /// What HELLO said.
        kind: u16,
        /// What HELLO brought.
        what: &'static str,
    },
    /// Whoever this connection proved to be may not connect any more, or is not the same any more.
    #[error(
        "the broker's `[auth]` was changed: what this connection proved itself with is gone or \
         differs; connect again with what is valid now"
    )]
    AuthRevoked,
    /// What the client's permissions do not allow.
    #[error("not allowed to {what} `{name}`: {remedy}")]
    NotAllowed {
        /// Request or subscription concerned, else 0.
        about: u32,
        /// What was asked for.
        what: &'static str,
        /// The topic or pattern.
        name: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The broker's own topics.
    #[error("topic `{topic}` is the broker's own: clients may subscribe to `$SYS.`, not publish")]
    SystemTopic {
        /// The request of the OPEN.
        request: u32,
        /// What OPEN said.
        topic: String,
    },
    /// A topic id this connection was not told.
    #[error("topic id {topic} was not announced on this connection: OPEN the topic first")]
    UnknownTopic {
        /// The `topic` field.
        topic: u32,
    },
    /// A provisional topic id of no OPEN.
    #[error("request {request} has no OPEN on this connection: OPEN the topic first")]
    UnknownRequest {
        /// The low bits of the `topic` field.
        request: u32,
    },
    /// An UNSUBSCRIBE of nothing.
    #[error("subscription {subscription} is not in use on this connection")]
    UnknownSubscription {
        /// What the frame said.
        subscription: u32,
    },
    /// A SUBSCRIBE with an id in use.
    #[error("subscription {subscription} is in use on this connection: choose another number")]
    SubscriptionInUse {
        /// What the frame said.
        subscription: u32,
    },
    /// An OPEN with a request in use.
    #[error("request {request} is in use on this connection: choose another number")]
    RequestInUse {
        /// What the frame said.
        request: u32,
    },
    /// A topic that is not legal.
    #[error("bad topic `{topic}`: {error}")]
    BadTopic {
        /// The request of the OPEN.
        request: u32,
        /// What the frame said.
        topic: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// A pattern that is not legal.
    #[error("bad pattern `{pattern}`: {error}")]
    BadPattern {
        /// What the frame said.
        subscription: u32,
        /// What the frame said.
        pattern: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// An option without meaning.
    #[error("{option} {value} does not exist: {allowed}")]
    BadOption {
        /// Request or subscription concerned, else 0.
        about: u32,
        /// The field's name in PROTOCOL.md.
        option: &'static str,
        /// What the frame said.
        value: u64,
        /// What would be right.
        allowed: &'static str,
    },
    /// Something of BLIP/1 that this version does not do.
    #[error("{what} is not served yet: {instead}")]
    NotServed {
        /// Request or subscription concerned, else 0.
        about: u32,
        /// What was asked for.
        what: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// A subscriber that is too far behind.
    #[error("slow subscriber: {detail}")]
    SlowSubscriber {
        /// The subscription.
        subscription: u32,
        /// The numbers.
        detail: String,
    },
    /// Too many connections.
    #[error(
        "{connections_max} connections are open, the limit: close some or raise \
         `server.max_connections`"
    )]
    TooManyConnections {
        /// `server.max_connections`
        connections_max: u32,
    },
    /// Too much of something else.
    #[error("{count_max} {what} exist, the limit: {remedy}")]
    LimitReached {
        /// Request or subscription concerned, else 0.
        about: u32,
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        count_max: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// The server is stopping.
    #[error("the server is stopping: reconnect later or elsewhere")]
    Stopping,
}

impl Reject {
    /// The code of the ERROR frame.
    pub fn code(&self) -> u16 {
        use Reject::*;
        match self {
            FrameTooShort { .. } | UnknownKind { .. } | UnknownFlags { .. } => 4000,
            UnexpectedCount { .. } | BodyMismatch { .. } | NotUtf8 { .. } => 4000,
            BadField { .. } | NoMessages | BadRecord { .. } | SecondHello => 4000,
            NotBlip { .. } | Version { .. } => 4001,
            AuthTimeout { .. } | AuthNotConfigured { .. } => 4010,
            AuthRequired | AuthFailed { .. } | AuthRevoked => 4010,
            SystemTopic { .. } | NotAllowed { .. } => 4030,
            UnknownTopic { .. } | UnknownRequest { .. } | UnknownSubscription { .. } => 4040,
            SubscriptionInUse { .. } | RequestInUse { .. } => 4090,
            FrameTooLong { .. } | MessageTooLong { .. } => 4130,
            BadTopic { .. } | BadPattern { .. } | BadOption { .. } | NotServed { .. } => 4220,
            SlowSubscriber { .. } => 4290,
            TooManyConnections { .. } | LimitReached { .. } => 4291,
            Stopping => 5030,
        }
    }

    /// Whether a client did not prove who it is.
    pub fn refuses_login(&self) -> bool {
        self.code() == 4010 && *self != Reject::AuthRevoked
    }

    /// Whether the connection closes after the ERROR frame.
    pub fn is_fatal(&self) -> bool {
        match self.code() {
            4030 | 4040 | 4090 | 4220 => false,
            4291 => matches!(self, Reject::TooManyConnections { .. }),
            _ => true,
        }
    }

    /// The request or subscription the ERROR frame names, 0 where there is none.
    pub fn about(&self) -> u32 {
        use Reject::*;
        match *self {
            SystemTopic { request, .. } | BadTopic { request, .. } => request,
            UnknownRequest { request } | RequestInUse { request } => request,
            UnknownSubscription { subscription }
            | SubscriptionInUse { subscription }
            | BadPattern { subscription, .. }
            | SlowSubscriber { subscription, .. } => subscription,
            BadOption { about, .. } | NotServed { about, .. } | LimitReached { about, .. } => about,
            NotAllowed { about, .. } => about,
            _ => 0,
        }
    }
}
