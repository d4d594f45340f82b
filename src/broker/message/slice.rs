//! A slice: stamped frames of one topic that lie back to back, with consecutive sequences.
//!
//! Made by `shard` from a batch. Queues and logs hold slices, and the mesh carries them.
//!
//! # Always true
//! - `frames` are whole MESSAGES frames that passed `protocol::messages::check`.
//! - All messages expire together, because a batch takes frames of one turn and one TTL.

use std::sync::Arc;

use bytes::Bytes;

use crate::protocol::{CoreId, GapReason, Sequence, messages};

use super::{Gap, TopicName};
use crate::broker::clock::Now;
use crate::broker::ids::ConnectionId;
use crate::broker::permissions::Permissions;

/// Frames of one topic; clones share the bytes.
#[derive(Debug, Clone)]
pub struct Slice {
    /// The topic of all messages.
    pub topic: Arc<TopicName>,
    /// The one subscription that the slice is for, or 0 for every plain subscription that matches.
    /// Frames get this number only when they are sent, because queues share them.
    pub subscription: u32,
    /// Sequence of the first message.
    pub first: Sequence,
    /// Number of messages in all frames.
    pub messages: u32,
    /// When the messages arrived, in `Now::monotonic_ns`.
    pub received_ns: u64,
    /// When the messages expire, in `Now::monotonic_ns`; `u64::MAX` for never.
    pub deadline_ns: u64,
    /// Who does not get the messages, if somebody does not.
    pub not_to: Option<Arc<NotTo>>,
    /// Back to back, as they are sent.
    pub frames: Bytes,
}

/// Who does not get messages, although a subscription matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTo {
    /// The publisher, which does not want its own messages.
    Publisher(Publisher),
    /// Those that may not subscribe to what the messages are about. The broker publishes these.
    Unprivileged {
        /// A topic or a pattern.
        about: Arc<str>,
        /// The connection that the messages are about, which gets them in any case.
        of: Publisher,
    },
}

impl NotTo {
    /// Whether a connection of a core does not get the messages. `filter` is that of its subscription.
    pub fn excludes(
        &self,
        core: CoreId,
        connection: ConnectionId,
        filter: Option<&Permissions>,
    ) -> bool {
        match self {
            NotTo::Publisher(publisher) => publisher.is(core, connection),
            NotTo::Unprivileged { about, of } => {
                !of.is(core, connection)
                    && filter.is_some_and(|filter| !filter.may_receive_all(about))
            }
        }
    }
}

/// The connection a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publisher {
    /// The core of the connection.
    pub core: CoreId,
    /// The connection on that core.
    pub connection: ConnectionId,
}

impl Publisher {
    /// Whether the publisher is this connection of this core.
    pub fn is(&self, core: CoreId, connection: ConnectionId) -> bool {
        self.core == core && self.connection == connection
    }
}

impl Slice {
    /// Whether the messages have expired.
    pub fn is_expired(&self, now: Now) -> bool {
        now.monotonic_ns >= self.deadline_ns
    }

    /// The sequence after the last message.
    pub fn next(&self) -> Sequence {
        self.first.plus(u64::from(self.messages))
    }

    /// Whether the slice has only one frame. A frame is the smallest unit, because its CRC covers
    /// all records.
    pub fn is_one_frame(&self) -> bool {
        messages::first_frame(&self.frames).0 == self.frames.len()
    }

    /// The gap to report if the messages are not delivered.
    pub fn gap(&self, reason: GapReason) -> Gap {
        Gap {
            topic: self.topic.clone(),
            subscription: self.subscription,
            first: self.first,
            messages: u64::from(self.messages),
            reason,
        }
    }

    /// The last message alone, cut from its frame.
    pub fn newest(&self) -> Slice {
        let mut newest = self.clone();
        newest.keep_last(1);
        newest
    }

    /// Keeps only the last `messages`, and cuts the frame that has others too.
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

    /// Keeps only the first `messages`, and cuts the frame that has others too.
    pub fn keep_first(&mut self, messages: u32) {
        let mut len = 0;
        let mut found = 0;
        while found < messages {
            let (frame_len, in_frame) = messages::first_frame(&self.frames[len..]);
            if found + in_frame > messages {
                let frame = &self.frames[len..len + frame_len];
                let cut = messages::first_messages(frame, (messages - found) as u16);
                self.frames = [&self.frames[..len], &cut].concat().into();
                self.messages = messages;
                return;
            }
            len += frame_len;
            found += in_frame;
        }
        self.frames.truncate(len);
        self.messages = messages;
    }

    /// Removes and returns the first frame; the rest may be empty.
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
