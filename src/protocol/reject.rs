//! Why the broker refuses something: one variant per offence, sent to the client as an ERROR frame.
//!
//! Made by [`decode`](crate::decode) and the broker, written by [`error`](crate::encode::error).

mod answer;

use crate::limits::GROUP_LEN_MAX;
use crate::name::NameError;

/// An offence of a client. A fatal one closes the client's connection after the ERROR frame.
///
/// | code | meaning | fatal |
/// |---|---|---|
/// | 4000 | malformed frame | yes |
/// | 4001 | not a BLIP/1 client, or an unsupported version | yes |
/// | 4010 | authentication failed or timed out | yes |
/// | 4030 | not allowed to publish or subscribe | no |
/// | 4040 | unknown topic id or subscription | no |
/// | 4080 | PINGs were not answered | yes |
/// | 4090 | number already in use | no |
/// | 4130 | message or frame too large | yes |
/// | 4220 | bad topic, pattern or option | no |
/// | 4260 | TLS is required | yes |
/// | 4290 | slow subscriber | yes |
/// | 4291 | a limit is reached | only those of connections and logins |
/// | 5030 | the server is stopping | yes |
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// The length prefix is less than a frame header.
    #[error(
        "frame_len is {frame_len}, a frame has at least 8 bytes: include the header in the count"
    )]
    FrameTooShort {
        /// The length in the frame's first bytes.
        frame_len: u32,
    },
    /// The length prefix exceeds the limit that WELCOME announced.
    #[error(
        "frame is {frame_len} bytes, the limit is {frame_len_max}: send fewer or smaller messages \
         a frame, or raise `server.max_message_size_bytes`"
    )]
    FrameTooLong {
        /// The length in the frame's first bytes.
        frame_len: u32,
        /// The limit that WELCOME announced.
        frame_len_max: u32,
    },
    /// A payload exceeds the limit that WELCOME announced.
    #[error(
        "message {index} of the frame has {payload_len} bytes, the limit is {message_len_max}: \
         send a smaller message or raise `server.max_message_size_bytes`"
    )]
    MessageTooLong {
        /// The number of the message in its frame, from 0.
        index: u32,
        /// The length of its payload.
        payload_len: u32,
        /// The limit that WELCOME announced.
        message_len_max: u32,
    },
    /// The kind does not exist, or comes from the other side only.
    #[error("frame kind 0x{kind:02x} is not one a client sends")]
    UnknownKind {
        /// The byte at offset 4 of the frame.
        kind: u8,
    },
    /// Flag bits that the kind does not have.
    #[error("flags 0x{flags:02x} are not defined for frame kind 0x{kind:02x}: set them to 0")]
    UnknownFlags {
        /// The byte at offset 4 of the frame.
        kind: u8,
        /// The byte at offset 5.
        flags: u8,
    },
    /// A `count` in a frame that has no messages.
    #[error("count is {count} in frame kind 0x{kind:02x}: only MESSAGES has a count, set it to 0")]
    UnexpectedCount {
        /// The byte at offset 4 of the frame.
        kind: u8,
        /// The number at offset 6 of the frame.
        count: u16,
    },
    /// The body does not end where the frame does.
    #[error("the body of frame kind 0x{kind:02x} does not end at frame_len {frame_len}: {detail}")]
    BodyMismatch {
        /// The byte at offset 4 of the frame.
        kind: u8,
        /// The length in the frame's first bytes.
        frame_len: u32,
        /// The field that did not fit.
        detail: &'static str,
    },
    /// Text that is not UTF-8.
    #[error("{field} is not UTF-8")]
    NotUtf8 {
        /// The name of the field.
        field: &'static str,
    },
    /// A field has a value that is not allowed.
    #[error("{field} is {value}: {allowed}")]
    BadField {
        /// The name of the field.
        field: &'static str,
        /// The value in the frame.
        value: u64,
        /// Which values are allowed.
        allowed: &'static str,
    },
    /// A MESSAGES frame without messages.
    #[error("a MESSAGES frame has count 0: send at least one message")]
    NoMessages,
    /// The records do not match `count`, or do not end where the frame does.
    #[error("record {index} of {count} does not fit the frame: {detail}")]
    BadRecord {
        /// The number of the record, from 0.
        index: u32,
        /// The number of records that the frame announced.
        count: u16,
        /// What did not fit.
        detail: &'static str,
    },
    /// The first bytes are not a HELLO.
    #[error(
        "expected HELLO as the first frame, got {found}: this port speaks BLIP/1, see `blipmq help protocol`"
    )]
    NotBlip {
        /// The first bytes, in printable form.
        found: String,
    },
    /// HELLO names a version of the protocol that is not supported.
    #[error("protocol version {version} is not supported, only version 1: use a BLIP/1 client")]
    Version {
        /// The version in HELLO.
        version: u16,
    },
    /// Plain text where TLS is required.
    #[error("TLS is required: use blips://")]
    TlsRequired,
    /// A second HELLO on one connection.
    #[error("a second HELLO: send HELLO once per connection")]
    SecondHello,
    /// No HELLO within the time limit.
    #[error("no HELLO within {auth_timeout_ms} ms of connecting: send HELLO first, without delay")]
    AuthTimeout {
        /// `server.auth_timeout_ms`
        auth_timeout_ms: u32,
    },
    /// No HELLO in time, and others wait for the place.
    #[error(
        "no HELLO within {within_ms} ms of connecting, while {waiting} connections have not logged in: \
         send HELLO first, without delay"
    )]
    AuthTooLate {
        /// How long this client had.
        within_ms: u64,
        /// Connections before their login.
        waiting: u64,
    },
    /// Credentials for a broker without `[auth]`: the client must not believe that they were checked.
    #[error(
        "auth kind {kind} cannot be checked, because this broker has no `[auth]` and accepts every \
         client: send auth kind 0, or configure a token or users"
    )]
    AuthNotConfigured {
        /// The auth kind in HELLO.
        kind: u16,
    },
    /// No credentials for a broker that requires them.
    #[error(
        "this broker requires authentication: send auth kind 1 with its token, or auth kind 2 with a \
         user and password of its `[auth]`"
    )]
    AuthRequired,
    /// Wrong credentials, or credentials of the wrong kind.
    #[error(
        "authentication failed with auth kind {kind} ({what}): compare them with `[auth]` of the \
         broker's configuration"
    )]
    AuthFailed {
        /// The auth kind in HELLO.
        kind: u16,
        /// Which credentials were checked, without their values.
        what: &'static str,
    },
    /// Credentials that were not looked at: the client may well try them again.
    #[error("the login was not checked, because {why}: connect again in some seconds")]
    LoginNotChecked {
        /// What is too much.
        why: &'static str,
    },
    /// After a reload of `[auth]`, the credentials of this connection are no longer valid.
    #[error(
        "the broker's `[auth]` was changed, and the credentials of this connection are no longer \
         valid: connect again with valid ones"
    )]
    AuthRevoked,
    /// The client's permissions do not allow this.
    #[error("not allowed to {what} `{name}`: {remedy}")]
    NotAllowed {
        /// The request or subscription concerned, else 0.
        about: u32,
        /// What the client asked for.
        what: &'static str,
        /// The topic or pattern.
        name: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The client asked to publish to one of the broker's own topics.
    #[error("topic `{topic}` is the broker's own: clients may subscribe to `$SYS.`, not publish")]
    SystemTopic {
        /// The request of the OPEN.
        request: u32,
        /// The topic in the OPEN.
        topic: String,
    },
    /// A topic id that no TOPIC of this connection named.
    #[error("topic id {topic} was not announced on this connection: OPEN the topic first")]
    UnknownTopic {
        /// The `topic` field.
        topic: u32,
    },
    /// The id of a topic that was removed after it had been announced.
    #[error(
        "topic id {topic} is unknown: the topic was removed because nobody used it for \
         `queues.topic_idle_timeout_ms`; OPEN the topic again"
    )]
    RemovedTopic {
        /// The `topic` field.
        topic: u32,
    },
    /// A provisional topic id whose OPEN is missing.
    #[error("request {request} has no OPEN on this connection: OPEN the topic first")]
    UnknownRequest {
        /// The low bits of the `topic` field.
        request: u32,
    },
    /// An UNSUBSCRIBE without its SUBSCRIBE.
    #[error("subscription {subscription} is not in use on this connection")]
    UnknownSubscription {
        /// The subscription that the frame named.
        subscription: u32,
    },
    /// A SUBSCRIBE with a number that is in use.
    #[error("subscription {subscription} is in use on this connection: choose another number")]
    SubscriptionInUse {
        /// The subscription that the frame named.
        subscription: u32,
    },
    /// An OPEN with a request that is in use.
    #[error("request {request} is in use on this connection: choose another number")]
    RequestInUse {
        /// The request that the frame named.
        request: u32,
    },
    /// A topic that is not legal.
    #[error("bad topic `{topic}`: {error}")]
    BadTopic {
        /// The request of the OPEN.
        request: u32,
        /// The topic in the frame.
        topic: String,
        /// What is wrong with the name.
        error: NameError,
    },
    /// A pattern that is not legal.
    #[error("bad pattern `{pattern}`: {error}")]
    BadPattern {
        /// The subscription that the frame named.
        subscription: u32,
        /// The pattern in the frame.
        pattern: String,
        /// What is wrong with the name.
        error: NameError,
    },
    /// The name of a group is too long.
    #[error("the group's name has {len} bytes, the limit is {GROUP_LEN_MAX}: shorten it")]
    GroupTooLong {
        /// The subscription that the frame named.
        subscription: u32,
        /// The length of the name in bytes.
        len: usize,
    },
    /// An option has a value without a meaning.
    #[error("{option} {value} does not exist: {allowed}")]
    BadOption {
        /// The request or subscription concerned, else 0.
        about: u32,
        /// The name of the field.
        option: &'static str,
        /// The value in the frame.
        value: u64,
        /// Which values are allowed.
        allowed: &'static str,
    },
    /// A part of BLIP/1 that this version of the broker does not support.
    #[error("{what} is not served yet: {instead}")]
    NotServed {
        /// The request or subscription concerned, else 0.
        about: u32,
        /// What the client asked for.
        what: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// The client has sent nothing for so long that it hangs or is cut off.
    #[error(
        "{pings} PINGs were not answered, and nothing else came for {silent_ms} ms: answer each PING with \
         PONG, or raise `server.ping_interval_ms` or `server.pings_max`"
    )]
    Silent {
        /// PINGs that it was sent.
        pings: u32,
        /// How long nothing came.
        silent_ms: u64,
    },
    /// The subscriber is too far behind.
    #[error("slow subscriber: {detail}")]
    SlowSubscriber {
        /// The subscription whose queue is full.
        subscription: u32,
        /// The bound that was reached, with its numbers.
        detail: String,
    },
    /// The limit of connections is reached.
    #[error(
        "{connections_max} connections are open, the limit: close some or raise \
         `server.max_connections`"
    )]
    TooManyConnections {
        /// `server.max_connections`
        connections_max: u32,
    },
    /// The limit of connections of one address is reached.
    #[error(
        "{connections_max} connections of your address are open, the limit: close some or raise \
         `limits.max_connections_per_address`"
    )]
    TooManyOfAddress {
        /// `limits.max_connections_per_address`
        connections_max: u32,
    },
    /// An address connects too often.
    #[error(
        "your address made {per_second_max} new connections within a second, the limit: keep \
         connections open or raise `limits.max_new_connections_per_address`"
    )]
    TooFastOfAddress {
        /// `limits.max_new_connections_per_address`
        per_second_max: u32,
    },
    /// Another limit is reached.
    #[error("{count_max} {what} exist, the limit: {remedy}")]
    LimitReached {
        /// The request or subscription concerned, else 0.
        about: u32,
        /// What is limited.
        what: &'static str,
        /// The limit.
        count_max: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// The server is stopping.
    #[error("the server is stopping: reconnect later or elsewhere")]
    Stopping,
}
