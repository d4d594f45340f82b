//! A portion: stamped frames of one topic that lie back to back, with consecutive sequences.
//!
//! Made by `shard` from what one turn brought for a topic; what queues hold and the mesh carries.
//!
//! # Always true
//! - `frames` are whole MESSAGES frames that `protocol::messages::check` found right.
//! - All of them expire together, because a batch takes frames of one turn and one TTL.

use bytes::Bytes;

use crate::protocol::{Sequence, TopicId, messages};

use super::Now;

/// Frames of one topic; clones share the bytes.
#[derive(Debug, Clone)]
pub struct Portion {
    /// The topic.
    pub topic: TopicId,
    /// Of the first message.
    pub first: Sequence,
    /// In all frames together.
    pub messages: u32,
    /// When they expire, in `Now::monotonic_ns`; `u64::MAX` for never.
    pub deadline_ns: u64,
    /// The frames.
    pub frames: Bytes,
}

impl Portion {
    /// Whether their time to live is over.
    pub fn is_expired(&self, now: Now) -> bool {
        now.monotonic_ns >= self.deadline_ns
    }

    /// The sequence after the last message.
    pub fn next(&self) -> Sequence {
        self.first.plus(u64::from(self.messages))
    }

    /// Whether there is one frame only. Frames are the smallest unit: `crc` covers all records.
    pub fn is_one_frame(&self) -> bool {
        messages::first_frame(&self.frames).0 == self.frames.len()
    }

    /// Takes the first frame off; what remains may be empty.
    pub fn split_first_frame(&mut self) -> Portion {
        let (frame_len, messages) = messages::first_frame(&self.frames);
        let first = Portion {
            topic: self.topic,
            first: self.first,
            messages,
            deadline_ns: self.deadline_ns,
            frames: self.frames.split_to(frame_len),
        };
        self.first = first.next();
        self.messages -= messages;
        first
    }
}
