//! Messages as they arrived: a whole frame, walked when the caller walks it.
//!
//! Made by `reader`, which has checked the frame; used by the caller.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::Subscription;
use crate::options::REPLY_TO;
use blipmq_protocol::frame::FLAG_CRC;
use blipmq_protocol::limits::MESSAGES_HEADER_LEN;
use blipmq_protocol::messages::{self, Header};

/// Messages of one topic that arrived together, in their order. Cheap to clone: the bytes are
/// shared.
///
/// ```no_run
/// use blipmq_client::{Client, Event};
///
/// let client = Client::connect("127.0.0.1:7878")?;
/// client.subscribe("orders.>", Default::default())?;
/// while let Event::Messages(messages) = client.recv()? {
///     for message in messages.iter() {
///         println!("{} {}: {:?}", message.topic, message.sequence, message.payload);
///     }
/// }
/// # Ok::<(), blipmq_client::ClientError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Messages {
    pub(crate) topic: Arc<str>,
    pub(crate) subscription: Option<Subscription>,
    pub(crate) header: Header,
    /// A slice of the reader's buffer, found right by `messages::check`.
    pub(crate) frame: Bytes,
}

impl Messages {
    /// The topic of all of them.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The one subscription they are for: of a group, or kept messages that a
    /// [`start`](crate::SubscribeOptions::start) asked for. `None` is for every plain subscription
    /// that matches the topic.
    pub fn subscription(&self) -> Option<&Subscription> {
        self.subscription.as_ref()
    }

    /// How many, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a frame without messages is refused")]
    pub fn len(&self) -> usize {
        usize::from(self.header.count)
    }

    /// The messages, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        let ttl = match self.header.ttl_ms {
            0 => None,
            ttl_ms => Some(Duration::from_millis(u64::from(ttl_ms))),
        };
        messages::records(&self.frame).zip(0u64..).map(move |(record, index)| Message {
            topic: &self.topic,
            // The number is the server's, and no number of a server may panic here.
            sequence: self.header.sequence.wrapping_add(index),
            timestamp_ns: self.header.timestamp,
            ttl,
            headers: Headers(record.headers),
            payload: record.payload,
        })
    }

    /// A message of [`iter`](Self::iter), to keep without copying it. As
    /// [`payload_bytes`](Self::payload_bytes) it keeps the buffer it arrived in.
    ///
    /// # Panics
    /// If the message is not one of these.
    pub fn owned(&self, message: &Message<'_>) -> OwnedMessage {
        OwnedMessage {
            topic: self.topic.clone(),
            sequence: message.sequence,
            timestamp_ns: message.timestamp_ns,
            ttl: message.ttl,
            headers: self.frame.slice_ref(message.headers.0.block()),
            payload: self.payload_bytes(message),
        }
    }

    /// Whether the checksum matches, if there is one.
    pub(crate) fn is_intact(&self) -> bool {
        self.header.flags & FLAG_CRC == 0
            || self.header.crc == crc32c::crc32c(&self.frame[MESSAGES_HEADER_LEN..])
    }

    /// The payload of a message of [`iter`](Self::iter), to keep without copying it. It keeps the
    /// whole buffer it arrived in: copy small payloads that are kept for long.
    ///
    /// # Panics
    /// If the message is not one of these.
    pub fn payload_bytes(&self, message: &Message<'_>) -> Bytes {
        self.frame.slice_ref(message.payload)
    }
}

/// One message, borrowed from the [`Messages`] it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it was published to.
    pub topic: &'a str,
    /// Its place in the topic, from 1.
    pub sequence: u64,
    /// When the broker took it, in nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
    /// How long from then it was to live; `None` is for ever.
    pub ttl: Option<Duration>,
    /// Names and values, in order.
    pub headers: Headers<'a>,
    /// What was published.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The value of the first header of this name.
    pub fn header(&self, name: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        let name = name.as_ref();
        self.headers.clone().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The topic to answer on, if the publisher named one.
    pub fn reply_to(&self) -> Option<&'a str> {
        std::str::from_utf8(self.header(REPLY_TO)?).ok()
    }
}

/// One message that owns what it shows. Cheap to clone: the bytes are shared.
#[derive(Debug, Clone)]
pub struct OwnedMessage {
    /// What it was published to.
    pub topic: Arc<str>,
    /// Its place in the topic, from 1.
    pub sequence: u64,
    /// When the broker took it, in nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
    /// How long from then it was to live; `None` is for ever.
    pub ttl: Option<Duration>,
    headers: Bytes,
    /// What was published.
    pub payload: Bytes,
}

impl OwnedMessage {
    /// The same message, borrowed.
    pub fn as_message(&self) -> Message<'_> {
        Message {
            topic: &self.topic,
            sequence: self.sequence,
            timestamp_ns: self.timestamp_ns,
            ttl: self.ttl,
            headers: self.headers(),
            payload: &self.payload,
        }
    }

    /// Names and values, in order.
    pub fn headers(&self) -> Headers<'_> {
        Headers(messages::Headers::of(&self.headers))
    }
}

/// The headers of one message: an iterator of names and values, in the publisher's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a>(messages::Headers<'a>);

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
