//! The protocols behind one interface: decoding of received bytes, encoding of published messages.
//!
//! Called by `connect` and `publisher`. Next on the path: `blip`, `nats` and `redis`.
//!
//! # Always true
//! - Only whole units are consumed; the caller passes the rest again with more bytes behind it. So
//!   the result does not depend on where reads split the bytes.
//! - A received message is not copied and causes no allocation.

use super::target::Protocol;
use super::{blip, nats, redis};

/// Receives the decoded units.
pub trait Sink {
    fn message(&mut self, payload: &[u8]);
    /// Receives a report of the broker that it dropped messages.
    fn gap(&mut self, messages: u64);
    fn answer(&mut self, answer: Answer);
    /// Receives bytes that must be sent on the same connection.
    fn reply(&mut self, bytes: &[u8]);
}

/// An answer of a broker, other than a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// WELCOME or INFO.
    Greeting,
    /// The login was accepted.
    LoggedIn,
    /// A topic was opened and got an id.
    Topic {
        request: u32,
        id: u32,
    },
    Subscribed,
    Pong,
    /// A message was accepted.
    Published,
}

/// The decoder of one connection.
#[derive(Debug)]
pub enum Codec {
    Blip,
    Nats(nats::Reader),
    Redis(redis::Reader),
}

impl Codec {
    pub fn new(protocol: Protocol) -> Codec {
        match protocol {
            // A mirror has no frames of its own: subscribers receive the publishers' bytes.
            Protocol::Blip | Protocol::Raw => Codec::Blip,
            Protocol::Nats => Codec::Nats(nats::Reader::default()),
            Protocol::Redis => Codec::Redis(redis::Reader::default()),
        }
    }

    /// Passes whole units to `sink` and returns their length in bytes. An error is one that the
    /// broker sent, or says that the bytes belong to another protocol.
    pub fn decode(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize, String> {
        match self {
            Codec::Blip => blip::decode_frames(bytes, sink),
            Codec::Nats(reader) => reader.decode(bytes, sink),
            Codec::Redis(reader) => reader.decode(bytes, sink),
        }
    }
}

/// The bytes around the payloads of one publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub before: Vec<u8>,
    pub before_each: Vec<u8>,
    pub after: Vec<u8>,
}

impl Envelope {
    /// Builds the envelope for `batch` payloads of `payload_len` bytes to a topic. Only BLIP/1 takes
    /// more than one payload.
    pub fn new(
        protocol: Protocol,
        topic: &str,
        topic_id: u32,
        payload_len: usize,
        batch: usize,
    ) -> Envelope {
        match protocol {
            Protocol::Blip | Protocol::Raw => blip::envelope(topic_id, payload_len, batch),
            Protocol::Nats => nats::envelope(topic, payload_len),
            Protocol::Redis => redis::envelope(topic, payload_len),
        }
    }

    /// Returns the length of a whole publish.
    pub fn publish_len(&self, payload_len: usize, batch: usize) -> usize {
        self.before.len() + self.after.len() + batch * (self.before_each.len() + payload_len)
    }
}

/// Quotes the first bytes of an unexpected unit, and guesses its protocol.
pub fn describe_unexpected(bytes: &[u8]) -> String {
    let first = bytes[..bytes.len().min(24)].escape_ascii();
    let guess = match bytes {
        [b'I', b'N', b'F', b'O', b' ', ..] => ", which is NATS: use nats://",
        [b'-', b'E', b'R', b'R', ..] | [b'+', ..] => ", which looks like Redis: use redis://",
        [_, _, 0, 0, 0x81..=0x8f, ..] => ", which looks like BLIP/1: use blip://",
        _ => ": check the URL",
    };
    format!("\"{first}\"{guess}")
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Records everything decoded, as text.
    #[derive(Debug, Default, PartialEq, Eq)]
    pub struct Recorder(pub Vec<String>);

    impl Sink for Recorder {
        fn message(&mut self, payload: &[u8]) {
            self.0.push(format!("message {}", payload.escape_ascii()));
        }
        fn gap(&mut self, messages: u64) {
            self.0.push(format!("gap {messages}"));
        }
        fn answer(&mut self, answer: Answer) {
            self.0.push(format!("{answer:?}"));
        }
        fn reply(&mut self, bytes: &[u8]) {
            self.0.push(format!("reply {}", bytes.escape_ascii()));
        }
    }

    /// Decodes `bytes` in two parts, split at every position, and in single bytes.
    pub fn assert_decoded(protocol: Protocol, bytes: &[u8], expected: &[&str]) {
        for cut in 0..=bytes.len() {
            let (mut codec, mut recorder) = (Codec::new(protocol), Recorder::default());
            let consumed = codec.decode(&bytes[..cut], &mut recorder).expect("legal bytes");
            assert!(consumed <= cut);
            let rest = codec.decode(&bytes[consumed..], &mut recorder).expect("legal bytes");
            assert_eq!(consumed + rest, bytes.len(), "cut at {cut}");
            assert_eq!(recorder.0, expected, "cut at {cut}");
        }
        let (mut codec, mut recorder, mut from) = (Codec::new(protocol), Recorder::default(), 0);
        for to in 0..=bytes.len() {
            from += codec.decode(&bytes[from..to], &mut recorder).expect("legal bytes");
        }
        assert_eq!(recorder.0, expected, "in single bytes");
    }

    pub fn refusal(protocol: Protocol, bytes: &[u8]) -> String {
        Codec::new(protocol).decode(bytes, &mut Recorder::default()).expect_err("an error")
    }

    /// Encodes a whole publish, as a publisher does.
    pub fn published(envelope: &Envelope, payloads: &[&[u8]]) -> Vec<u8> {
        let mut out = envelope.before.clone();
        for payload in payloads {
            out.extend_from_slice(&envelope.before_each);
            out.extend_from_slice(payload);
        }
        out.extend_from_slice(&envelope.after);
        assert_eq!(out.len(), envelope.publish_len(payloads[0].len(), payloads.len()));
        out
    }
}
