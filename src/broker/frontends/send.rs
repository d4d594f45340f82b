//! The send of one connection, as it is put together.

use bytes::{Bytes, BytesMut};

use crate::broker::delivery::Room;
use crate::limits::{SEND_BYTES_MAX, SEND_RANGES_MAX};

/// Ranges that go to a connection with one system call.
pub struct Send<'a> {
    ranges: &'a mut Vec<Bytes>,
    /// What goes before the next messages.
    pub between: BytesMut,
    messages: u32,
    bytes: usize,
    messages_max: u32,
}

impl Send<'_> {
    /// A send that begins with these answers.
    pub fn new(ranges: &mut Vec<Bytes>, answers: BytesMut, messages_max: u32) -> Send<'_> {
        Send { ranges, between: answers, messages: 0, bytes: 0, messages_max }
    }

    /// What it still has room for.
    pub fn room(&self) -> Room {
        Room {
            messages: self.messages_max - self.messages.min(self.messages_max),
            bytes: SEND_BYTES_MAX.saturating_sub(self.bytes),
            is_full: self.messages >= self.messages_max
                || self.bytes >= SEND_BYTES_MAX
                || self.ranges.len() + 2 > SEND_RANGES_MAX,
            is_empty: self.messages == 0,
        }
    }

    /// Counts messages whose bytes follow.
    pub fn count(&mut self, messages: u32) {
        self.messages += messages;
    }

    /// Appends messages, behind what goes before them.
    pub fn push(&mut self, bytes: Bytes) {
        self.put_between();
        self.bytes += bytes.len();
        self.ranges.push(bytes);
    }

    /// Puts what goes between messages where it belongs: before the next, or at the end.
    pub(super) fn put_between(&mut self) {
        if !self.between.is_empty() {
            self.bytes += self.between.len();
            self.ranges.push(self.between.split().freeze());
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Messages and bytes.
    pub fn totals(&self) -> (u32, usize) {
        (self.messages, self.bytes)
    }
}
