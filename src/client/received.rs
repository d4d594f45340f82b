//! Messages as they arrived: a whole frame, whose records are read when the caller iterates.
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

/// Messages of one topic that arrived together, in their order. Clones share the bytes.
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
    /// A slice of the reader's buffer, which has passed `messages::check`.
    pub(crate) frame: Bytes,
}

impl Messages {
    /// Returns the topic of all the messages.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Returns the subscription that the messages are for, if there is only one: that of a group, or
    /// one whose [`start`](crate::SubscribeOptions::start) asked for retained messages. `None` is for
    /// every plain subscription that matches the topic.
    pub fn subscription(&self) -> Option<&Subscription> {
        self.subscription.as_ref()
    }

    /// Returns the number of messages, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a frame without messages is refused")]
    pub fn len(&self) -> usize {
        usize::from(self.header.count)
    }

    /// Returns the messages, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        let ttl = match self.header.ttl_ms {
            0 => None,
            ttl_ms => Some(Duration::from_millis(u64::from(ttl_ms))),
        };
        messages::records(&self.frame).zip(0u64..).map(move |(record, index)| Message {
            topic: &self.topic,
            // A server could send any number, and none may cause a panic here.
            sequence: self.header.sequence.wrapping_add(index),
            timestamp_ns: self.header.timestamp,
            ttl,
            headers: Headers(record.headers),
            payload: record.payload,
        })
    }

    /// Returns a message of [`iter`](Self::iter) that can be stored, without copying it. Like
    /// [`payload_bytes`](Self::payload_bytes), the result keeps the buffer that the message arrived in.
    ///
    /// # Panics
    /// If the message is not one of these messages.
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

    /// Returns the payload of a message of [`iter`](Self::iter), without copying it. The result keeps
    /// the whole buffer that the message arrived in: copy small payloads that are stored for long.
    ///
    /// # Panics
    /// If the message is not one of these messages.
    pub fn payload_bytes(&self, message: &Message<'_>) -> Bytes {
        self.frame.slice_ref(message.payload)
    }
}

/// One message, borrowed from the [`Messages`] it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// The topic that the message was published to.
    pub topic: &'a str,
    /// The place of the message in its topic, counted from 1.
    pub sequence: u64,
    /// When the broker accepted the message, in nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
    /// The time to live, counted from that moment; `None` is for ever.
    pub ttl: Option<Duration>,
    /// The headers, in the publisher's order.
    pub headers: Headers<'a>,
    /// The published bytes.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Returns the value of the first header with this name.
    pub fn header(&self, name: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        let name = name.as_ref();
        self.headers.clone().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Returns the topic for the reply, if the publisher named one.
    pub fn reply_to(&self) -> Option<&'a str> {
        std::str::from_utf8(self.header(REPLY_TO)?).ok()
    }
}

/// One message that can be stored. Clones share the bytes.
#[derive(Debug, Clone)]
pub struct OwnedMessage {
    /// The topic that the message was published to.
    pub topic: Arc<str>,
    /// The place of the message in its topic, counted from 1.
    pub sequence: u64,
    /// When the broker accepted the message, in nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
    /// The time to live, counted from that moment; `None` is for ever.
    pub ttl: Option<Duration>,
    headers: Bytes,
    /// The published bytes.
    pub payload: Bytes,
}

impl OwnedMessage {
    /// Returns the same message, borrowed.
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

    /// Returns the headers, in the publisher's order.
    pub fn headers(&self) -> Headers<'_> {
        Headers(messages::Headers::of(&self.headers))
    }
}

/// The headers of one message: an iterator over names and values, in the publisher's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a>(messages::Headers<'a>);

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
