//! What a caller can choose, and the defaults.

use std::sync::Arc;
use std::time::Duration;

use crate::error::HeaderError;
use crate::outgoing::Record;
use crate::{Client, ClientError, ReconnectPolicy, connect};
use blipmq_protocol::limits::TOPIC_LEN_MAX;
use blipmq_protocol::{Overflow, Start, encode};

/// Header that carries the topic to answer on (PROTOCOL.md section 2).
pub(crate) const REPLY_TO: &str = "reply-to";

/// How to connect, and the bounds of the connection. Every bound has a default that suits most.
///
/// ```no_run
/// use std::time::Duration;
/// use blipmq_client::ClientOptions;
///
/// let client = ClientOptions::new()
///     .name("pricing")
///     .connect_timeout(Duration::from_secs(1))
///     .connect("127.0.0.1:7878")?;
/// # Ok::<(), blipmq_client::ClientError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClientOptions {
    pub(crate) name: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) outgoing_bytes_max: usize,
    pub(crate) publish_window: Option<PublishWindow>,
    pub(crate) events_max: usize,
    pub(crate) event_bytes_max: usize,
    pub(crate) crc: bool,
    pub(crate) reconnect: Option<ReconnectPolicy>,
    pub(crate) credentials: Credentials,
}

/// What HELLO brings.
#[derive(Clone)]
pub(crate) enum Credentials {
    None,
    Token(String),
    Password { user: String, password: String },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credentials::None => "None",
            Credentials::Token(_) => "Token(..)",
            Credentials::Password { .. } => "Password { .. }",
        })
    }
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            name: String::new(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            outgoing_bytes_max: 1 << 20,
            publish_window: None,
            events_max: 1_024,
            event_bytes_max: 4 << 20,
            crc: false,
            reconnect: None,
            credentials: Credentials::None,
        }
    }
}

impl ClientOptions {
    /// The defaults.
    pub fn new() -> ClientOptions {
        ClientOptions::default()
    }

    /// What the broker's logs and pages call this client; default none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The token that the broker wants (`[auth] token`); default none. It goes over the wire as it
    /// is. Wrong or missing credentials are refused with 4010.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.credentials = Credentials::Token(token.into());
        self
    }

    /// The user to connect as (`[[auth.users]]`), in place of a token. As for a token, the password
    /// goes over the wire as it is.
    pub fn user(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Credentials::Password { user: user.into(), password: password.into() };
        self
    }

    /// How long connecting may take, WELCOME included, per address of the host; default 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a call waits while nothing moves on the connection; default 30 s. A call that
    /// waits long because much is under way does not fail.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Published bytes that may wait for the socket before `publish` blocks; default 1 MiB. As
    /// much again may be in the hands of the writing thread.
    pub fn outgoing_bytes_max(mut self, bytes: usize) -> Self {
        self.outgoing_bytes_max = bytes.max(1);
        self
    }

    /// Bounds what is published and not yet known to be taken by the broker; default none, which
    /// leaves it to TCP. A window keeps a fast publisher from running ahead of fast subscribers.
    ///
    /// The broker's word comes in the same stream as messages do. A client that subscribes too
    /// must receive from another thread than the one that publishes.
    pub fn publish_window(mut self, window: PublishWindow) -> Self {
        self.publish_window =
            Some(PublishWindow { messages: window.messages.max(1), bytes: window.bytes.max(1) });
        self
    }

    /// Events received and not taken by the caller before the client stops reading, so that the
    /// broker sees a slow subscriber; default 1,024. A frame of many messages is one event.
    pub fn events_max(mut self, events: usize) -> Self {
        self.events_max = events.max(1);
        self
    }

    /// As [`events_max`](Self::events_max), in bytes of frames; default 4 MiB. One frame above it
    /// is still taken, alone.
    pub fn event_bytes_max(mut self, bytes: usize) -> Self {
        self.event_bytes_max = bytes.max(1);
        self
    }

    /// Whether what this client publishes carries a checksum (CRC-32C), which subscribers check
    /// end to end; default no. What it receives it checks in any case: messages whose checksum
    /// does not match are not delivered, and an [`Event::Gap`](crate::Event::Gap) with
    /// [`GapReason::Corrupt`](crate::GapReason::Corrupt) tells which they were.
    pub fn crc(mut self, crc: bool) -> Self {
        self.crc = crc;
        self
    }

    /// Connects again when the connection is lost or the broker goes away; default no, and the end
    /// of the connection is then the end of the client. See
    /// [Reconnecting](crate#reconnecting) for what that keeps and what it cannot.
    pub fn reconnect(mut self, policy: ReconnectPolicy) -> Self {
        self.reconnect = Some(policy);
        self
    }

    /// Connects to `host:port` and returns when the broker said WELCOME.
    pub fn connect(&self, addr: &str) -> Result<Client, ClientError> {
        connect::connect(self, addr)
    }
}

/// What may be published before the broker said that it took it; whichever is reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishWindow {
    /// Messages.
    pub messages: u64,
    /// Bytes of payload. One message above it is still sent, alone.
    pub bytes: u64,
}

/// How one message is published.
///
/// ```
/// use std::time::Duration;
/// use blipmq_client::PublishOptions;
///
/// let options = PublishOptions::new()
///     .ttl(Duration::from_millis(500))
///     .header("content-type", "application/json")
///     .reply_to("prices.answers");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PublishOptions {
    pub(crate) ttl: Option<Duration>,
    headers: Vec<u8>,
    bad_header: Option<HeaderError>,
}

impl PublishOptions {
    /// The defaults.
    pub fn new() -> PublishOptions {
        PublishOptions::default()
    }

    /// The message is not delivered later than this after the broker took it; default is the
    /// broker's `delivery.default_ttl_ms`. Parts of a millisecond count as a whole one.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Adds a header; a name may come more than once. A name has 255 bytes at most, a value
    /// 65,535, and all headers of a message together 65,535 with 3 more for each: what is beyond
    /// is told when the message is published.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        let block_len = self.headers.len() + 3 + name.len() + value.len();
        if name.len() > usize::from(u8::MAX) {
            self.bad_header.get_or_insert(HeaderError::NameTooLong { name_len: name.len() });
        } else if block_len > usize::from(u16::MAX) {
            self.bad_header.get_or_insert(HeaderError::BlockTooLong { block_len });
        } else {
            encode::record_header(&mut self.headers, name, value);
        }
        self
    }

    /// Names the topic on which an answer is awaited, in the header `reply-to`.
    pub fn reply_to(self, topic: impl AsRef<str>) -> Self {
        self.header(REPLY_TO, topic.as_ref())
    }

    /// A message with these options.
    pub(crate) fn record<'a>(
        &'a self,
        payload: &'a [u8],
        wants_ack: bool,
    ) -> Result<Record<'a>, ClientError> {
        Ok(Record { headers: self.headers()?, payload, ttl_ms: self.ttl_ms()?, wants_ack })
    }

    /// The header block.
    pub(crate) fn headers(&self) -> Result<&[u8], ClientError> {
        match self.bad_header {
            Some(error) => Err(ClientError::BadHeader(error)),
            None => Ok(&self.headers),
        }
    }

    /// The field of the wire, where 0 is the broker's default.
    pub(crate) fn ttl_ms(&self) -> Result<u32, ClientError> {
        let Some(ttl) = self.ttl else { return Ok(0) };
        match u32::try_from(ttl.as_nanos().div_ceil(1_000_000)) {
            Ok(ttl_ms) if ttl_ms > 0 => Ok(ttl_ms),
            _ => Err(ClientError::BadTtl(ttl)),
        }
    }
}

/// How a subscription is kept by the broker.
///
/// ```
/// use blipmq_client::{Overflow, Start, SubscribeOptions};
///
/// // The newest value of each topic, beginning with the one that is there.
/// let dashboard = SubscribeOptions::new().overflow(Overflow::Latest).start(Start::Last(1));
/// // One of several workers that share the messages.
/// let worker = SubscribeOptions::new().group("billing").overflow(Overflow::Block);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeOptions {
    pub(crate) overflow: Overflow,
    pub(crate) capacity: u32,
    pub(crate) start: Start,
    pub(crate) group: Option<Arc<str>>,
    pub(crate) resume: bool,
}

impl Default for SubscribeOptions {
    fn default() -> SubscribeOptions {
        SubscribeOptions {
            overflow: Overflow::ServerDefault,
            capacity: 0,
            start: Start::Live,
            group: None,
            resume: false,
        }
    }
}

impl SubscribeOptions {
    /// The defaults.
    pub fn new() -> SubscribeOptions {
        SubscribeOptions::default()
    }

    /// What the broker does when the subscription's queue is full; default is its
    /// `queues.overflow_policy`.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Messages the queue may hold; default, and most, is the broker's
    /// `queues.subscriber_capacity`.
    pub fn capacity(mut self, messages: u32) -> Self {
        self.capacity = messages;
        self
    }

    /// Which message to begin with; default is the next one accepted. Kept messages come in
    /// [`Messages`](crate::Messages) whose
    /// [`subscription`](crate::Messages::subscription) is this one; live ones follow them.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Shares the messages with the other members of the group on the same pattern: each goes to
    /// one of them. They come in [`Messages`](crate::Messages) whose
    /// [`subscription`](crate::Messages::subscription) is this one. Empty is no group.
    pub fn group(mut self, name: impl Into<Arc<str>>) -> Self {
        self.group = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// After a reconnect, goes on behind the last message received; default no, which begins with
    /// the next one accepted. It takes a [`ClientOptions::reconnect`], and a broker that keeps
    /// messages. See [Reconnecting](crate#reconnecting) for patterns with wildcards.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ClientError> {
        match self.group.as_ref().map_or(0, |group| group.len()) {
            len if len > TOPIC_LEN_MAX => {
                Err(ClientError::GroupTooLong { len, len_max: TOPIC_LEN_MAX })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_to_live_is_rounded_up_and_zero_or_beyond_the_wire_is_refused() {
        let ttl_ms = |ttl| PublishOptions::new().ttl(ttl).ttl_ms();
        assert_eq!(PublishOptions::new().ttl_ms().unwrap(), 0);
        assert_eq!(ttl_ms(Duration::from_micros(1)).unwrap(), 1);
        assert_eq!(ttl_ms(Duration::from_millis(u64::from(u32::MAX))).unwrap(), u32::MAX);
        assert!(matches!(ttl_ms(Duration::ZERO), Err(ClientError::BadTtl(_))));
        assert!(matches!(ttl_ms(Duration::MAX), Err(ClientError::BadTtl(_))));
    }
    #[test]
    fn headers_beyond_the_wire_are_refused_and_those_within_are_kept() {
        let options = |name: usize, value: usize| {
            PublishOptions::new().header("n".repeat(name), "v".repeat(value))
        };
        assert_eq!(options(255, 65_535 - 3 - 255).headers().unwrap().len(), 65_535);
        for (name, value, expected) in [
            (256, 0, HeaderError::NameTooLong { name_len: 256 }),
            (0, 65_533, HeaderError::BlockTooLong { block_len: 65_536 }),
        ] {
            let refused = options(name, value);
            let told = refused.headers().expect_err("it is beyond");
            assert!(matches!(told, ClientError::BadHeader(error) if error == expected), "{told}");
        }
    }
}
