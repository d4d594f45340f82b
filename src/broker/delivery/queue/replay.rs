//! The retained messages in a queue: they are sent before everything live.

use std::collections::VecDeque;

use super::{Entry, cut};

/// Retained messages that the subscriber asked for. They share the bytes of the topic's log, and
/// their number is bounded by what the log retains, not by the bounds of the queue.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) entries: VecDeque<Entry>,
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Replay {
    pub(super) fn push(&mut self, entry: Entry) {
        if let Entry::Slice(slice) = &entry {
            self.messages += u64::from(slice.messages);
            self.bytes += slice.frames.len() as u64;
        }
        self.entries.push_back(entry);
    }

    /// Removes and returns the next entry, unless that is a slice that does not fit.
    pub(super) fn take_next(
        &mut self,
        messages_max: u32,
        bytes_max: usize,
        at_least_one_frame: bool,
    ) -> Option<Entry> {
        let Entry::Slice(slice) = self.entries.front_mut()? else {
            return self.entries.pop_front();
        };
        let taken = cut(slice, messages_max, bytes_max, at_least_one_frame)?;
        if slice.frames.is_empty() {
            self.entries.pop_front();
        }
        self.messages -= u64::from(taken.messages);
        self.bytes -= taken.frames.len() as u64;
        Some(Entry::Slice(taken))
    }
}
