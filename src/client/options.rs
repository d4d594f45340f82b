//! The options of connections, messages and subscriptions, with their defaults.

use std::sync::Arc;
use std::time::Duration;

use crate::error::HeaderError;
use crate::outgoing::Record;
use crate::{Client, ClientError, ReconnectPolicy, connect};
use blipmq_protocol::limits::GROUP_LEN_MAX;
use blipmq_protocol::{Overflow, Start, encode};

/// The header that names the topic for the reply, as BLIP/1 defines it.
pub(crate) const REPLY_TO: &str = "reply-to";

/// How to connect, and the bounds of the connection. The defaults suit most programs.
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
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::TlsOptions>,
}

/// The credentials that HELLO carries.
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
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl ClientOptions {
    /// Returns the defaults.
    pub fn new() -> ClientOptions {
        ClientOptions::default()
    }

    /// Names the client for the broker's logs and admin pages; default none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the token that the broker requires (`[auth] token`); default none. Without TLS the token is
    /// sent in clear text. The broker refuses wrong or missing credentials with error 4010.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.credentials = Credentials::Token(token.into());
        self
    }

    /// Sets the user to connect as (`[[auth.users]]`), instead of a token. Without TLS the password is
    /// sent in clear text too.
    pub fn user(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Credentials::Password { user: user.into(), password: password.into() };
        self
    }

    /// Bounds the time for connecting, WELCOME included, per address of the host; default 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Bounds the time that a call waits while no byte moves on the connection; default 30 s. A call
    /// that waits long because much is under way does not fail.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Bounds the published bytes that wait for the socket; `publish` blocks at the bound. Default
    /// 1 MiB. The writing thread may hold as many bytes again.
    pub fn outgoing_bytes_max(mut self, bytes: usize) -> Self {
        self.outgoing_bytes_max = bytes.max(1);
        self
    }

    /// Bounds the messages that are published and not yet confirmed by the broker; default none, so
    /// that TCP alone bounds them. A window keeps a fast publisher from running ahead of fast
    /// subscribers.
    ///
    /// Confirmations come in the same stream as messages. A client that also subscribes must not
    /// receive from the thread that publishes.
    pub fn publish_window(mut self, window: PublishWindow) -> Self {
        self.publish_window =
            Some(PublishWindow { messages: window.messages.max(1), bytes: window.bytes.max(1) });
        self
    }

    /// Bounds the events that wait for the caller; default 1,024. At the bound the client stops reading,
    /// and the broker sees a slow subscriber. A frame of many messages is one event.
    pub fn events_max(mut self, events: usize) -> Self {
        self.events_max = events.max(1);
        self
    }

    /// Like [`events_max`](Self::events_max), in bytes of frames; default 4 MiB. A single frame above
    /// the bound is still received, alone.
    pub fn event_bytes_max(mut self, bytes: usize) -> Self {
        self.event_bytes_max = bytes.max(1);
        self
    }

    /// Adds a checksum (CRC-32C) to published frames, which subscribers check end to end; default no.
    /// Checksums of received frames are checked in any case: messages whose checksum does not match
    /// are not delivered, and an [`Event::Gap`](crate::Event::Gap) with
    /// [`GapReason::Corrupt`](crate::GapReason::Corrupt) reports them.
    pub fn crc(mut self, crc: bool) -> Self {
        self.crc = crc;
        self
    }

    /// Reconnects when the connection is lost or the broker stops; default no, and the end of the
    /// connection is the end of the client. See [Reconnecting](crate#reconnecting) for what survives.
    pub fn reconnect(mut self, policy: ReconnectPolicy) -> Self {
        self.reconnect = Some(policy);
        self
    }

    /// Connects over TLS, also to an address without `blips://`; default no, unless the address has it.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: crate::TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    pub(crate) fn has_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Connects to `host:port` and returns when the broker has welcomed the client. The address may have
    /// the scheme `blip://`, or `blips://` for TLS (feature `tls`).
    pub fn connect(&self, addr: &str) -> Result<Client, ClientError> {
        connect::connect(self, addr)
    }
}

/// How much may be published and not confirmed: `publish` blocks when either bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishWindow {
    /// Number of messages.
    pub messages: u64,
    /// Bytes of payload. A single message above the bound is still sent, alone.
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
    /// Returns the defaults.
    pub fn new() -> PublishOptions {
        PublishOptions::default()
    }

    /// Limits the time to live: the message is not delivered later than this after the broker accepted
    /// it. The default is the broker's `delivery.default_ttl_ms`. The time is rounded up to
    /// milliseconds.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Adds a header; a name may occur more than once. A name has at most 255 bytes, a value 65,535,
    /// and all headers of a message together 65,535, with 3 more for each header. Publishing fails if
    /// a limit is exceeded.
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

    /// Names the topic for the reply, in the header `reply-to`.
    pub fn reply_to(self, topic: impl AsRef<str>) -> Self {
        self.header(REPLY_TO, topic.as_ref())
    }

    /// Makes a message with these options.
    pub(crate) fn record<'a>(
        &'a self,
        payload: &'a [u8],
        wants_ack: bool,
    ) -> Result<Record<'a>, ClientError> {
        Ok(Record { headers: self.headers()?, payload, ttl_ms: self.ttl_ms()?, wants_ack })
    }

    /// Returns the header block.
    pub(crate) fn headers(&self) -> Result<&[u8], ClientError> {
        match self.bad_header {
            Some(error) => Err(ClientError::BadHeader(error)),
            None => Ok(&self.headers),
        }
    }

    /// Returns the field of the frame, where 0 is the broker's default.
    pub(crate) fn ttl_ms(&self) -> Result<u32, ClientError> {
        let Some(ttl) = self.ttl else { return Ok(0) };
        match u32::try_from(ttl.as_nanos().div_ceil(1_000_000)) {
            Ok(ttl_ms) if ttl_ms > 0 => Ok(ttl_ms),
            _ => Err(ClientError::BadTtl(ttl)),
        }
    }
}

/// How the broker queues and starts a subscription.
///
/// ```
/// use blipmq_client::{Overflow, Start, SubscribeOptions};
///
/// // The newest value of each topic, beginning with the last one published.
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
    /// Returns the defaults.
    pub fn new() -> SubscribeOptions {
        SubscribeOptions::default()
    }

    /// Sets what the broker does when the queue of the subscription is full; default is the broker's
    /// `queues.overflow_policy`.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Bounds the messages in the queue; the broker's `queues.subscriber_capacity` is the default and
    /// the most.
    pub fn capacity(mut self, messages: u32) -> Self {
        self.capacity = messages;
        self
    }

    /// Sets the message to begin with; default is the next one accepted. Retained messages come in
    /// [`Messages`](crate::Messages) whose
    /// [`subscription`](crate::Messages::subscription) is this one; live ones follow them.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Shares the messages with the other members of the group on the same pattern: each message goes
    /// to one member. They come in [`Messages`](crate::Messages) whose
    /// [`subscription`](crate::Messages::subscription) is this one. An empty name is no group.
    pub fn group(mut self, name: impl Into<Arc<str>>) -> Self {
        self.group = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// Continues behind the last message received after a reconnect; default no, which begins with the
    /// next message accepted. Resuming takes a [`ClientOptions::reconnect`] and a broker that retains
    /// messages. See [Reconnecting](crate#reconnecting) for patterns with wildcards.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ClientError> {
        match self.group.as_ref().map_or(0, |group| group.len()) {
            len if len > GROUP_LEN_MAX => {
                Err(ClientError::GroupTooLong { len, len_max: GROUP_LEN_MAX })
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
            let failure = refused.headers().expect_err("it is beyond");
            assert!(
                matches!(failure, ClientError::BadHeader(error) if error == expected),
                "{failure}"
            );
        }
    }
}
