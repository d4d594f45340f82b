//! The queue of one subscription: portions still to be sent, and the gaps between them.
//!
//! Filled by `overflow`, which decides what happens at its bounds; emptied by `flush`.
//!
//! # Always true
//! - Per topic, portions and gaps lie in the order of their sequences.
//! - A message that was taken in is either here, handed to `flush`, or in a gap that lies where
//!   it was.

use std::collections::VecDeque;

use super::gaps::{Gap, Gaps};
use super::portion::Portion;

/// What lies in a queue.
#[derive(Debug)]
pub enum Entry {
    /// Messages.
    Portion(Portion),
    /// Messages that are missing here.
    Gap(Gap),
}

/// Bounds of a queue; what is beyond them is `overflow`'s business.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Messages.
    pub messages_max: u32,
    /// Frame bytes.
    pub bytes_max: u64,
}

/// The queue of one subscription.
#[derive(Debug, Default)]
pub struct Queue {
    /// What `drop_oldest` took: told before anything that is left.
    ahead: Gaps,
    entries: VecDeque<Entry>,
    gap_entries: usize,
    messages: u64,
    bytes: u64,
    /// What came after the last entry and was not taken in.
    behind: Gaps,
}

/// A queue that was once long gives its memory back when it is empty; a short one keeps it.
const ENTRIES_KEPT: usize = 64;

impl Queue {
    /// Nothing to send, nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.ahead.is_empty() && self.behind.is_empty()
    }

    /// Messages queued.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Frame bytes queued.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Runs of missed messages that were not told yet.
    pub fn gap_runs(&self) -> usize {
        self.ahead.len() + self.gap_entries + self.behind.len()
    }

    /// Whether a portion fits. One always fits when no message is queued: a frame of more messages
    /// than the bound could be delivered to nobody otherwise.
    pub fn has_room(&self, messages: u32, bytes: usize, bounds: Bounds) -> bool {
        self.messages == 0
            || (self.messages + u64::from(messages) <= u64::from(bounds.messages_max)
                && self.bytes + bytes as u64 <= bounds.bytes_max)
    }

    /// Takes messages in, behind everything else.
    pub fn push(&mut self, portion: Portion) {
        self.line_up_gaps();
        self.messages += u64::from(portion.messages);
        self.bytes += portion.frames.len() as u64;
        self.entries.push_back(Entry::Portion(portion));
    }

    /// Notes messages that came after everything else and are not taken in.
    pub fn miss(&mut self, gap: Gap) {
        self.behind.add(gap);
    }

    /// Gives up the oldest frame; returns its messages, 0 if no message is queued.
    pub fn drop_oldest_frame(&mut self) -> u32 {
        while let Some(oldest) = self.entries.front_mut() {
            match oldest {
                // It stays in front of what follows its topic, and becomes one with its neighbours.
                Entry::Gap(gap) => {
                    self.ahead.add(*gap);
                    self.gap_entries -= 1;
                    self.entries.pop_front();
                }
                Entry::Portion(portion) => {
                    let frame = portion.split_first_frame();
                    if portion.frames.is_empty() {
                        self.entries.pop_front();
                    }
                    self.messages -= u64::from(frame.messages);
                    self.bytes -= frame.frames.len() as u64;
                    self.ahead.add(super::overflow::gap_of(&frame));
                    return frame.messages;
                }
            }
        }
        0
    }

    /// The gaps that come before the next entry.
    pub fn take_ahead(&mut self) -> Vec<Gap> {
        self.ahead.take_all()
    }

    /// The next entry if it is a gap, or a portion of at most `messages_max` messages and
    /// `bytes_max` bytes. With `whatever` a larger one is cut to its first frame.
    pub fn take_next(
        &mut self,
        messages_max: u32,
        bytes_max: usize,
        whatever: bool,
    ) -> Option<Entry> {
        if self.entries.is_empty() {
            self.line_up_gaps();
        }
        let portion = match self.entries.front_mut() {
            None => return None,
            Some(Entry::Gap(_)) => {
                self.gap_entries -= 1;
                return self.pop();
            }
            Some(Entry::Portion(portion)) => portion,
        };
        let taken = if portion.messages <= messages_max && portion.frames.len() <= bytes_max {
            match self.pop() {
                Some(Entry::Portion(portion)) => portion,
                _ => unreachable!("the front was a portion"),
            }
        } else if whatever {
            // Taking `whatever` when it is one frame leaves nothing, which must not stay queued.
            let frame = portion.split_first_frame();
            if portion.frames.is_empty() {
                self.pop();
            }
            frame
        } else {
            return None;
        };
        self.messages -= u64::from(taken.messages);
        self.bytes -= taken.frames.len() as u64;
        Some(Entry::Portion(taken))
    }

    /// Asserts that the sums are right and the bounds held.
    pub fn audit(&self, bounds: Bounds) {
        let (mut messages, mut bytes, mut frames, mut gaps) = (0, 0, 0, 0);
        for entry in &self.entries {
            match entry {
                Entry::Gap(_) => gaps += 1,
                Entry::Portion(portion) => {
                    messages += u64::from(portion.messages);
                    bytes += portion.frames.len() as u64;
                    frames += if portion.is_one_frame() { 1 } else { 2 };
                }
            }
        }
        assert!(messages == self.messages && bytes == self.bytes && gaps == self.gap_entries);
        let within = messages <= u64::from(bounds.messages_max) && bytes <= bounds.bytes_max;
        assert!(within || frames == 1, "a queue keeps its bounds, or holds one frame alone");
    }

    /// What was missed behind the last entry becomes entries itself.
    fn line_up_gaps(&mut self) {
        for gap in self.behind.take_all() {
            self.gap_entries += 1;
            self.entries.push_back(Entry::Gap(gap));
        }
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front();
        if self.entries.is_empty() && self.entries.capacity() > ENTRIES_KEPT {
            self.entries = VecDeque::new();
        }
        entry
    }
}
