//! The queue of one subscription: slices still to be sent, and the gaps between them.
//!
//! Filled by `overflow`, which decides what happens at the bounds; emptied by `pull`.
//!
//! # Always true
//! - Per topic, slices and gaps lie in the order of their sequences.
//! - Every message that was pushed is queued, or handed to `pull`, or in a gap at its place.

mod conflate;
mod replay;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use self::replay::Replay;
use super::gaps::Gaps;
use crate::broker::memory::bytes_of_entries;
use crate::broker::message::{Gap, Slice, TopicKey, TopicName};
use crate::protocol::GapReason;

/// An entry as the consumer of a queue gets it.
#[derive(Debug)]
pub enum Entry {
    /// Messages to deliver.
    Slice(Slice),
    /// Messages that are missing at this place.
    Gap(Gap),
}

impl Entry {
    /// Number of messages to deliver: none for a gap.
    pub fn messages(&self) -> u64 {
        match self {
            Entry::Slice(slice) => u64::from(slice.messages),
            Entry::Gap(_) => 0,
        }
    }

    /// Frame bytes of those messages.
    pub fn bytes(&self) -> usize {
        match self {
            Entry::Slice(slice) => slice.frames.len(),
            Entry::Gap(_) => 0,
        }
    }

    /// The topic of the messages, or of the gap.
    pub fn topic(&self) -> &Arc<TopicName> {
        match self {
            Entry::Slice(slice) => &slice.topic,
            Entry::Gap(gap) => &gap.topic,
        }
    }
}

/// An entry as the queue stores it.
#[derive(Debug)]
enum Queued {
    Slice(Slice),
    Gap(Gap),
    /// A gap of conflated messages, and the newest message after the gap.
    Conflated(Box<(Gap, Slice)>),
}

/// Bounds of a queue; `overflow` decides what happens beyond them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most messages.
    pub messages_max: u32,
    /// The most frame bytes.
    pub bytes_max: u64,
}

/// What a queue holds, as the memory budget and the bound of its connection count it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Entries of all kinds.
    pub entries: usize,
    /// Frame bytes of live messages.
    pub bytes: u64,
}

impl Size {
    /// Bytes that this holds in memory, if nobody else holds the same messages.
    pub fn held_bytes(self) -> u64 {
        bytes_of_entries(self.entries, self.bytes)
    }
}

/// The queue of one subscription.
#[derive(Debug, Default)]
pub struct Queue {
    /// Boxed, because most subscriptions start live.
    replay: Option<Box<Replay>>,
    /// What `drop_oldest` dropped: reported before the live messages that are left.
    ahead: Gaps,
    entries: VecDeque<Queued>,
    /// Entries ever removed from the front.
    taken: u64,
    gap_entries: usize,
    messages: u64,
    bytes: u64,
    /// What came after the last entry and was not queued.
    behind: Gaps,
    /// Under `latest`: the place of each topic's entry, counted from the first entry ever.
    newest: Option<Box<HashMap<TopicKey, u64>>>,
}

/// An empty queue keeps the memory of at most this many entries, and frees the rest.
const IDLE_ENTRIES_MAX: usize = 64;

/// A place between two entries of a queue. A place stays valid when the entries before it are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u64);

impl Queue {
    /// Whether there is neither a message to send nor a gap to report.
    pub fn is_empty(&self) -> bool {
        self.replay.is_none()
            && self.entries.is_empty()
            && self.ahead.is_empty()
            && self.behind.is_empty()
    }

    /// Number of live messages queued, which the bounds apply to.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Number of all messages queued, live and replayed.
    pub fn messages_with_replay(&self) -> u64 {
        self.messages + self.replay.as_ref().map_or(0, |replay| replay.messages)
    }

    /// Frame bytes of live messages queued.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest live message arrived.
    pub fn oldest_received_ns(&self) -> Option<u64> {
        // A gap has no time; the slice after a leading gap is nearly as old.
        self.entries.iter().find_map(|entry| match entry {
            Queued::Slice(slice) => Some(slice.received_ns),
            Queued::Conflated(both) => Some(both.1.received_ns),
            Queued::Gap(_) => None,
        })
    }

    /// Number of gaps that are still to be reported.
    pub fn gap_runs(&self) -> usize {
        self.ahead.len() + self.gap_entries + self.behind.len()
    }

    /// Whether a slice fits. Any slice fits when no message is queued: otherwise a frame of more
    /// messages than the bound could never be delivered.
    pub fn has_room(&self, messages: u32, bytes: usize, bounds: Bounds) -> bool {
        self.messages == 0
            || (self.messages + u64::from(messages) <= u64::from(bounds.messages_max)
                && self.bytes + bytes as u64 <= bounds.bytes_max)
    }

    /// Appends retained messages, after other retained ones and before everything live.
    pub fn push_replay(&mut self, entry: Entry) {
        self.replay.get_or_insert_default().push(entry);
    }

    /// Whether retained messages, or gaps between them, are queued.
    pub fn has_replay(&self) -> bool {
        self.replay.is_some()
    }

    /// Frame bytes of retained messages queued.
    pub fn replay_bytes(&self) -> u64 {
        self.replay.as_ref().map_or(0, |replay| replay.bytes)
    }

    /// Number of entries of all kinds, which is what a queue costs beside its frames.
    pub fn entries(&self) -> usize {
        self.replay.as_ref().map_or(0, |replay| replay.entries.len())
            + self.entries.len()
            + self.ahead.len()
            + self.behind.len()
    }

    /// What the queue holds.
    pub fn size(&self) -> Size {
        Size { entries: self.entries(), bytes: self.bytes }
    }

    /// Whether all live messages that are queued lie in one slice.
    pub fn has_one_slice(&self) -> bool {
        self.messages > 0 && self.entries.len() - self.gap_entries == 1
    }

    /// Appends messages after everything else.
    pub fn push(&mut self, slice: Slice) {
        self.seal();
        self.count_in(&slice);
        self.entries.push_back(Queued::Slice(slice));
    }

    /// Notes messages that came after everything else and are not queued.
    pub fn miss(&mut self, gap: Gap) {
        self.behind.add(gap);
    }

    /// The slice that `take_next` takes messages from, if no gap comes first.
    pub fn next_slice(&self) -> Option<&Slice> {
        match self.entries.front() {
            Some(Queued::Slice(slice)) if self.replay.is_none() && self.ahead.is_empty() => {
                Some(slice)
            }
            _ => None,
        }
    }

    /// Drops the oldest frame and returns the number of its messages: 0 if no message is queued.
    pub fn drop_oldest_frame(&mut self) -> u32 {
        self.drop_oldest(Slice::split_first_frame) as u32
    }

    /// Drops the oldest slice and returns the number of its messages: 0 if no message is queued. A
    /// part of a slice would free no memory.
    pub fn drop_oldest_slice(&mut self) -> u64 {
        self.drop_oldest(|slice| {
            let frames = std::mem::take(&mut slice.frames);
            Slice { frames, ..slice.clone() }
        })
    }

    /// Drops what `split` takes from the front of the oldest slice.
    fn drop_oldest(&mut self, split: impl FnOnce(&mut Slice) -> Slice) -> u64 {
        while let Some(oldest) = self.entries.front_mut() {
            match oldest {
                // The gap stays before what follows in its topic, and joins adjacent gaps.
                Queued::Gap(gap) => {
                    self.ahead.add(gap.clone());
                    self.gap_entries -= 1;
                    self.pop();
                }
                Queued::Conflated(both) => {
                    let (gap, slice) = (both.0.clone(), both.1.clone());
                    self.ahead.add(gap);
                    *oldest = Queued::Slice(slice);
                }
                Queued::Slice(slice) => {
                    let dropped = split(slice);
                    if slice.frames.is_empty() {
                        self.pop();
                        self.forget_newest(&dropped);
                    }
                    self.count_out(&dropped);
                    self.ahead.add(dropped.gap(GapReason::Overflow));
                    return u64::from(dropped.messages);
                }
            }
        }
        0
    }

    /// Removes and returns the next entry: a gap, or a slice of at most `messages_max` messages and
    /// `bytes_max` bytes. With `at_least_one_frame` a larger slice is cut to its first frame.
    pub fn take_next(
        &mut self,
        messages_max: u32,
        bytes_max: usize,
        at_least_one_frame: bool,
    ) -> Option<Entry> {
        if let Some(replay) = &mut self.replay {
            let taken = replay.take_next(messages_max, bytes_max, at_least_one_frame);
            if replay.entries.is_empty() {
                self.replay = None;
            }
            return taken;
        }
        if let Some(gap) = self.ahead.take_first() {
            return Some(Entry::Gap(gap));
        }
        let Some(first) = self.entries.front_mut() else {
            return self.behind.take_first().map(Entry::Gap);
        };
        match first {
            Queued::Gap(gap) => {
                let gap = gap.clone();
                self.gap_entries -= 1;
                self.pop();
                Some(Entry::Gap(gap))
            }
            Queued::Conflated(both) => {
                let (gap, slice) = (both.0.clone(), both.1.clone());
                *first = Queued::Slice(slice);
                Some(Entry::Gap(gap))
            }
            Queued::Slice(slice) => {
                let taken = cut(slice, messages_max, bytes_max, at_least_one_frame)?;
                if slice.frames.is_empty() {
                    self.pop();
                    self.forget_newest(&taken);
                }
                self.count_out(&taken);
                Some(Entry::Slice(taken))
            }
        }
    }

    /// The place after everything that is queued.
    pub fn end(&self) -> Place {
        Place(self.taken + self.entries.len() as u64)
    }

    /// Whether everything before a place has been taken or dropped.
    pub fn has_passed(&self, place: Place) -> bool {
        self.taken >= place.0
    }

    /// Asserts that the sums are right, and that the bounds hold if the policy enforces them.
    pub fn audit(&self, bounds: Bounds, holds_bounds: bool) {
        let (mut messages, mut bytes, mut frames, mut gaps) = (0, 0, 0, 0);
        for entry in &self.entries {
            let slice = match entry {
                Queued::Gap(_) => {
                    gaps += 1;
                    continue;
                }
                Queued::Conflated(both) => &both.1,
                Queued::Slice(slice) => slice,
            };
            messages += u64::from(slice.messages);
            bytes += slice.frames.len() as u64;
            frames += if slice.is_one_frame() { 1 } else { 2 };
        }
        assert!(messages == self.messages && bytes == self.bytes && gaps == self.gap_entries);
        let within = messages <= u64::from(bounds.messages_max) && bytes <= bounds.bytes_max;
        assert!(
            within || frames == 1 || !holds_bounds,
            "a queue keeps its bounds, or holds one frame alone"
        );
    }

    /// Fixes the place of the gaps after the last entry: before what comes next.
    fn seal(&mut self) {
        while let Some(gap) = self.behind.take_first() {
            self.gap_entries += 1;
            self.entries.push_back(Queued::Gap(gap));
        }
    }

    fn count_in(&mut self, slice: &Slice) {
        self.messages += u64::from(slice.messages);
        self.bytes += slice.frames.len() as u64;
    }

    fn count_out(&mut self, slice: &Slice) {
        self.messages -= u64::from(slice.messages);
        self.bytes -= slice.frames.len() as u64;
    }

    fn pop(&mut self) {
        self.entries.pop_front();
        self.taken += 1;
        if self.entries.is_empty() && self.entries.capacity() > IDLE_ENTRIES_MAX {
            self.entries = VecDeque::new();
        }
    }
}

/// Takes a whole slice if it fits, leaving it empty; else its first frame, if `at_least_one_frame`.
fn cut(
    slice: &mut Slice,
    messages_max: u32,
    bytes_max: usize,
    at_least_one_frame: bool,
) -> Option<Slice> {
    if slice.messages <= messages_max && slice.frames.len() <= bytes_max {
        let frames = std::mem::take(&mut slice.frames);
        Some(Slice { frames, ..slice.clone() })
    } else {
        at_least_one_frame.then(|| slice.split_first_frame())
    }
}
