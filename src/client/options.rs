//! What a caller can choose, and the defaults.

use std::time::Duration;

use super::{Client, ClientError, connect};
use crate::protocol::Overflow;

/// How to connect, and the bounds of the connection. Every bound has a default that suits most.
///
/// ```no_run
/// use std::time::Duration;
/// use blipmq::client::ClientOptions;
///
/// let client = ClientOptions::new()
///     .name("pricing")
///     .connect_timeout(Duration::from_secs(1))
///     .connect("127.0.0.1:7878")?;
/// # Ok::<(), blipmq::client::ClientError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClientOptions {
    pub(super) name: String,
    pub(super) connect_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) outgoing_bytes_max: usize,
    pub(super) publish_window: Option<PublishWindow>,
    pub(super) events_max: usize,
    pub(super) event_bytes_max: usize,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishOptions {
    pub(super) ttl: Option<Duration>,
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

    /// The field of the wire, where 0 is the broker's default.
    pub(super) fn ttl_ms(&self) -> Result<u32, ClientError> {
        let Some(ttl) = self.ttl else { return Ok(0) };
        match u32::try_from(ttl.as_nanos().div_ceil(1_000_000)) {
            Ok(ttl_ms) if ttl_ms > 0 => Ok(ttl_ms),
            _ => Err(ClientError::BadTtl(ttl)),
        }
    }
}

/// How a subscription is kept by the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscribeOptions {
    pub(super) overflow: Overflow,
    pub(super) capacity: u32,
}

impl Default for SubscribeOptions {
    fn default() -> SubscribeOptions {
        SubscribeOptions { overflow: Overflow::ServerDefault, capacity: 0 }
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
}
