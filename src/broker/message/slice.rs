//! A slice: stamped frames of one topic that lie back to back, with consecutive sequences.
//!
//! Made by `shard` from what one turn brought for a topic; what queues hold and the mesh carries.
//!
//! # Always true
//! - `frames` are whole MESSAGES frames that `protocol::messages::check` found right.
//! - All of them expire together, because a batch takes frames of one turn and one TTL.

use std::sync::Arc;

use bytes::Bytes;

use crate::protocol::{CoreId, GapReason, Sequence, messages};

use super::{Gap, TopicName};
use crate::broker::clock::Now;
use crate::broker::ids::ConnectionId;

/// Frames of one topic; clones share the bytes.
#[derive(Debug, Clone)]
pub struct Slice {
    /// The topic.
    pub topic: Arc<TopicName>,
    /// 0 for every plain subscription of a connection that matches; else the one that is meant. The
    /// frames say so only once they are sent: queues share them.
    pub subscription: u32,
    /// Of the first message.
    pub first: Sequence,
    /// In all frames together.
    pub messages: u32,
    /// When they arrived, in `Now::monotonic_ns`.
    pub received_ns: u64,
    /// When they expire, in `Now::monotonic_ns`; `u64::MAX` for never.
    pub deadline_ns: u64,
    /// Its publisher, if it does not want its own messages.
    pub not_to: Option<Arc<Publisher>>,
    /// The frames.
    pub frames: Bytes,
}

/// The connection a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publisher {
    /// The core it is on.
    pub core: CoreId,
    /// There.
    pub connection: ConnectionId,
}

impl Publisher {
    /// Whether it is this connection of this core.
    pub fn is(&self, core: CoreId, connection: ConnectionId) -> bool {
        self.core == core && self.connection == connection
    }
}

impl Slice {
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
            topic: self.topic.clone(),
            subscription: self.subscription,
            first: self.first,
            messages: u64::from(self.messages),
            reason,
        }
    }

    /// The last message alone; the frame it shares with others is cut.
    pub fn newest(&self) -> Slice {
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

    /// Keeps the first `messages`, and cuts the frame that has more of them.
    pub fn keep_first(&mut self, messages: u32) {
        let mut len = 0;
        let mut kept = 0;
        while kept < messages {
            let (frame_len, in_frame) = messages::first_frame(&self.frames[len..]);
            if kept + in_frame > messages {
                let frame = &self.frames[len..len + frame_len];
                let cut = messages::first_messages(frame, (messages - kept) as u16);
                self.frames = [&self.frames[..len], &cut].concat().into();
                self.messages = messages;
                return;
            }
            len += frame_len;
            kept += in_frame;
        }
        self.frames.truncate(len);
        self.messages = messages;
    }

    /// Takes the first frame off; what remains may be empty.
    pub fn split_first_frame(&mut self) -> Slice {
        let (frame_len, messages) = messages::first_frame(&self.frames);
        let first = Slice {
            topic: self.topic.clone(),
            subscription: self.subscription,
            first: self.first,
            messages,
            received_ns: self.received_ns,
            deadline_ns: self.deadline_ns,
            not_to: self.not_to.clone(),
            frames: self.frames.split_to(frame_len),
        };
        self.first = first.next();
        self.messages -= messages;
        first
    }
}
