//! A portion: stamped frames of one topic that lie back to back, with consecutive sequences.
//!
//! Made by `shard` from what one turn brought for a topic; what queues hold and the mesh carries.
//!
//! # Always true
//! - `frames` are whole MESSAGES frames that `protocol::messages::check` found right.
//! - All of them expire together, because a batch takes frames of one turn and one TTL.

use bytes::Bytes;

use crate::protocol::{GapReason, Sequence, TopicId, messages};

use super::Now;
use super::gaps::Gap;

/// Frames of one topic; clones share the bytes.
#[derive(Debug, Clone)]
pub struct Portion {
    /// The topic.
    pub topic: TopicId,
    /// 0 for every plain subscription of a connection that matches; else the one that is meant. The
    /// frames say so only once they are sent: queues share them.
    pub subscription: u32,
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

    /// Their gap, if they are not delivered.
    pub fn gap(&self, reason: GapReason) -> Gap {
        Gap {
            topic: self.topic,
            subscription: self.subscription,
            first: self.first,
            messages: u64::from(self.messages),
            reason,
        }
    }

    /// The last message alone; the frame it shares with others is cut.
    pub fn newest(&self) -> Portion {
        let mut newest = self.clone();
        newest.keep_last(1);
        newest
    }

    /// Keeps the last `messages`, and cuts the frame that has only some of them.
    pub fn keep_last(&mut self, messages: u32) {
        while self.messages > messages {
            let (frame_len, in_frame) = messages::first_frame(&self.frames);
            let excess = self.messages - messages;
            if in_frame <= excess {
                self.split_first_frame();
                continue;
            }
            let cut =
                messages::last_messages(&self.frames[..frame_len], (in_frame - excess) as u16);
            self.frames = match self.frames.len() == frame_len {
                true => cut.into(),
                false => [&cut, &self.frames[frame_len..]].concat().into(),
            };
            self.first = self.first.plus(u64::from(excess));
            self.messages = messages;
        }
    }

    /// Takes the first frame off; what remains may be empty.
    pub fn split_first_frame(&mut self) -> Portion {
        let (frame_len, messages) = messages::first_frame(&self.frames);
        let first = Portion {
            topic: self.topic,
            subscription: self.subscription,
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
