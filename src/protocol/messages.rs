//! MESSAGES frames: reading the header, stamping the header in place, walking records and frames.
//!
//! Used by the broker when a publisher's frame arrives and when the topic's owner stamps it, and by
//! the client for what it publishes and receives.
//!
//! # Always true
//! - Stamping writes offsets 8 to 36 only: `crc` covers the bytes behind it, and stays valid.

use crate::limits::MESSAGES_HEADER_LEN;
use crate::{Kind, Sequence, TopicId};

mod parts;
mod records;
#[cfg(test)]
mod tests;

pub use parts::{RunBounds, first_messages, last_messages, run};
pub use records::{Headers, Record, check, records};

const KIND_AT: usize = 4;
const FLAGS_AT: usize = 5;
const COUNT_AT: usize = 6;
const TOPIC_AT: usize = 8;
const SUBSCRIPTION_AT: usize = 12;
const SEQUENCE_AT: usize = 16;
const TIMESTAMP_AT: usize = 24;
const TTL_AT: usize = 32;
const CRC_AT: usize = 36;

/// The fields of the first 40 bytes of a MESSAGES frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Length of the whole frame.
    pub frame_len: u32,
    /// [`FLAG_ACK`](crate::frame::FLAG_ACK), [`FLAG_CRC`](crate::frame::FLAG_CRC) and
    /// [`FLAG_HEADERS`](crate::frame::FLAG_HEADERS).
    pub flags: u8,
    /// Number of messages in the frame.
    pub count: u16,
    /// Topic id; from a publisher perhaps a [provisional](crate::frame::PROVISIONAL) one.
    pub topic: u32,
    /// 0 for all plain subscriptions, else the one subscription that the frame is for.
    pub subscription: u32,
    /// From a publisher the publish id, to a subscriber the sequence of the first message.
    pub sequence: u64,
    /// When the broker accepted the frame, in nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// Time to live in milliseconds. From a publisher 0 is the server's default, to a subscriber 0
    /// is for ever.
    pub ttl_ms: u32,
    /// CRC-32C of everything behind the header, if the CRC flag is set.
    pub crc: u32,
}

impl Header {
    /// Reads the header of a frame.
    ///
    /// # Panics
    /// If the frame is shorter than its header.
    #[inline]
    pub fn read(frame: &[u8]) -> Header {
        Header {
            frame_len: u32_at(frame, 0),
            flags: frame[FLAGS_AT],
            count: u16_at(frame, COUNT_AT),
            topic: u32_at(frame, TOPIC_AT),
            subscription: u32_at(frame, SUBSCRIPTION_AT),
            sequence: u64_at(frame, SEQUENCE_AT),
            timestamp: u64_at(frame, TIMESTAMP_AT),
            ttl_ms: u32_at(frame, TTL_AT),
            crc: u32_at(frame, CRC_AT),
        }
    }

    /// Returns the 40 bytes of this header.
    pub fn to_bytes(&self) -> [u8; MESSAGES_HEADER_LEN] {
        let mut bytes = [0; MESSAGES_HEADER_LEN];
        bytes[..4].copy_from_slice(&self.frame_len.to_le_bytes());
        bytes[KIND_AT] = Kind::Messages as u8;
        bytes[FLAGS_AT] = self.flags;
        bytes[COUNT_AT..][..2].copy_from_slice(&self.count.to_le_bytes());
        bytes[TOPIC_AT..][..4].copy_from_slice(&self.topic.to_le_bytes());
        bytes[SUBSCRIPTION_AT..][..4].copy_from_slice(&self.subscription.to_le_bytes());
        bytes[SEQUENCE_AT..][..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[TIMESTAMP_AT..][..8].copy_from_slice(&self.timestamp.to_le_bytes());
        bytes[TTL_AT..][..4].copy_from_slice(&self.ttl_ms.to_le_bytes());
        bytes[CRC_AT..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }
}

/// What the broker writes into the header of a frame that it accepted.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// The topic's id, which may replace a provisional one.
    pub topic: TopicId,
    /// The sequence of the first message.
    pub sequence: Sequence,
    /// The time of acceptance, in nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// The time to live that the publisher asked for, or the server's default.
    pub ttl_ms: u32,
}

/// Stamps every frame of `frames`, which are whole MESSAGES frames back to back. Returns the sequence
/// after the last message.
pub fn stamp(frames: &mut [u8], stamp: Stamp) -> Sequence {
    let mut sequence = stamp.sequence;
    let mut rest = frames;
    while !rest.is_empty() {
        let frame_len = u32_at(rest, 0) as usize;
        let count = u16_at(rest, COUNT_AT);
        rest[TOPIC_AT..][..4].copy_from_slice(&stamp.topic.0.to_le_bytes());
        rest[SUBSCRIPTION_AT..][..4].copy_from_slice(&0u32.to_le_bytes());
        rest[SEQUENCE_AT..][..8].copy_from_slice(&sequence.0.to_le_bytes());
        rest[TIMESTAMP_AT..][..8].copy_from_slice(&stamp.timestamp.to_le_bytes());
        rest[TTL_AT..][..4].copy_from_slice(&stamp.ttl_ms.to_le_bytes());
        sequence = sequence.plus(u64::from(count));
        rest = &mut rest[frame_len..];
    }
    sequence
}

/// Writes topic id and subscription into every frame of `frames`, which are whole MESSAGES frames back
/// to back.
pub fn address(frames: &mut [u8], topic: TopicId, subscription: u32) {
    let mut rest = frames;
    while !rest.is_empty() {
        let frame_len = u32_at(rest, 0) as usize;
        rest[TOPIC_AT..][..4].copy_from_slice(&topic.0.to_le_bytes());
        rest[SUBSCRIPTION_AT..][..4].copy_from_slice(&subscription.to_le_bytes());
        rest = &mut rest[frame_len..];
    }
}

/// Returns the length of the first of several whole MESSAGES frames, and its number of messages.
pub fn first_frame(frames: &[u8]) -> (usize, u32) {
    (u32_at(frames, 0) as usize, u32::from(u16_at(frames, COUNT_AT)))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
