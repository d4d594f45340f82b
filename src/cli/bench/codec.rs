//! The protocols as one: what comes of received bytes, and what a message to publish looks like.
//!
//! Called by `connect` and `worker`. Next on the path: `blip`, `nats` and `redis`, a file each.
//!
//! # Always true
//! - Only whole units are consumed; what is left is handed in again with more behind it. So the
//!   result does not depend on where reads split the bytes.
//! - A message that arrives is not copied, and nothing is allocated for it.

use super::target::Protocol;
use super::{blip, nats, redis};

/// Takes what was found in received bytes.
pub trait Sink {
    fn message(&mut self, payload: &[u8]);
    /// The broker says that it dropped so many.
    fn gap(&mut self, messages: u64);
    fn answer(&mut self, answer: Answer);
    /// Bytes to be sent on the same connection.
    fn reply(&mut self, bytes: &[u8]);
}

/// What a broker says beside messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// WELCOME or INFO.
    Greeting,
    /// A login was right.
    LoggedIn,
    /// The id of a topic that was opened.
    Topic {
        request: u32,
        id: u32,
    },
    Subscribed,
    Pong,
    /// A message was taken.
    Published,
}

/// One connection's side that reads.
#[derive(Debug)]
pub enum Codec {
    Blip,
    Nats(nats::Reader),
    Redis(redis::Reader),
}

impl Codec {
    pub fn new(protocol: Protocol) -> Codec {
        match protocol {
            // The mirror knows nothing of frames: subscribers get what publishers wrote.
            Protocol::Blip | Protocol::Raw => Codec::Blip,
            Protocol::Nats => Codec::Nats(nats::Reader::default()),
            Protocol::Redis => Codec::Redis(redis::Reader::default()),
        }
    }

    /// Hands whole units to `sink`; the number of bytes they had. An error is what the broker
    /// complained of, or bytes of another protocol.
    pub fn read(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize, String> {
        match self {
            Codec::Blip => blip::read(bytes, sink),
            Codec::Nats(reader) => reader.read(bytes, sink),
            Codec::Redis(reader) => reader.read(bytes, sink),
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
    /// For `batch` payloads of `payload_len` bytes to a topic; brokers other than ours take one.
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

    pub fn bytes(&self, payload_len: usize, batch: usize) -> usize {
        self.before.len() + self.after.len() + batch * (self.before_each.len() + payload_len)
    }
}

/// The first bytes of something unexpected, for an error, and what they may be.
pub fn shown(bytes: &[u8]) -> String {
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

    /// Everything that came, in words.
    #[derive(Debug, Default, PartialEq, Eq)]
    pub struct Heard(pub Vec<String>);

    impl Sink for Heard {
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

    /// Feeds `bytes` in two parts, split at every place, and in single bytes.
    pub fn assert_heard(protocol: Protocol, bytes: &[u8], expected: &[&str]) {
        for cut in 0..=bytes.len() {
            let (mut codec, mut heard) = (Codec::new(protocol), Heard::default());
            let consumed = codec.read(&bytes[..cut], &mut heard).expect("legal bytes");
            assert!(consumed <= cut);
            let rest = codec.read(&bytes[consumed..], &mut heard).expect("legal bytes");
            assert_eq!(consumed + rest, bytes.len(), "cut at {cut}");
            assert_eq!(heard.0, expected, "cut at {cut}");
        }
        let (mut codec, mut heard, mut from) = (Codec::new(protocol), Heard::default(), 0);
        for to in 0..=bytes.len() {
            from += codec.read(&bytes[from..to], &mut heard).expect("legal bytes");
        }
        assert_eq!(heard.0, expected, "in single bytes");
    }

    pub fn refusal(protocol: Protocol, bytes: &[u8]) -> String {
        Codec::new(protocol).read(bytes, &mut Heard::default()).expect_err("it is refused")
    }

    /// A whole publish, as a worker writes it.
    pub fn published(envelope: &Envelope, payloads: &[&[u8]]) -> Vec<u8> {
        let mut out = envelope.before.clone();
        for payload in payloads {
            out.extend_from_slice(&envelope.before_each);
            out.extend_from_slice(payload);
        }
        out.extend_from_slice(&envelope.after);
        assert_eq!(out.len(), envelope.bytes(payloads[0].len(), payloads.len()));
        out
    }
}
