//! The queue of one subscription: slices still to be sent, and the gaps between them.
//!
//! Filled by `overflow`, which decides what happens at its bounds; emptied by `flush`.
//!
//! # Always true
//! - Per topic, slices and gaps lie in the order of their sequences.
//! - A message that was taken in is either here, handed to `flush`, or in a gap that lies where
//!   it was.

mod replay;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use self::replay::Replay;
use super::gaps::Gaps;
use crate::broker::message::{Gap, Slice, TopicKey, TopicName};
use crate::protocol::GapReason;

/// What comes out of a queue.
#[derive(Debug)]
pub enum Entry {
    /// Messages.
    Slice(Slice),
    /// Messages that are missing here.
    Gap(Gap),
}

impl Entry {
    /// How many messages it has to deliver.
    pub fn messages(&self) -> u64 {
        match self {
            Entry::Slice(slice) => u64::from(slice.messages),
            Entry::Gap(_) => 0,
        }
    }

    /// Frame bytes of those.
    pub fn bytes(&self) -> usize {
        match self {
            Entry::Slice(slice) => slice.frames.len(),
            Entry::Gap(_) => 0,
        }
    }

    /// The topic it is of.
    pub fn topic(&self) -> &Arc<TopicName> {
        match self {
            Entry::Slice(slice) => &slice.topic,
            Entry::Gap(gap) => &gap.topic,
        }
    }
}

/// What lies in a queue.
#[derive(Debug)]
enum Queued {
    Slice(Slice),
    Gap(Gap),
    /// A gap of conflated messages, and the newest one behind it.
    Conflated(Box<(Gap, Slice)>),
}

/// Bounds of a queue; what is beyond them is `overflow`'s business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Messages.
    pub messages_max: u32,
    /// Frame bytes.
    pub bytes_max: u64,
}

/// The queue of one subscription.
#[derive(Debug, Default)]
pub struct Queue {
    /// Boxed: most subscriptions start live.
    replay: Option<Box<Replay>>,
    /// What `drop_oldest` took: told before anything live that is left.
    ahead: Gaps,
    entries: VecDeque<Queued>,
    /// Entries that were taken from the front, ever.
    taken: u64,
    gap_entries: usize,
    messages: u64,
    bytes: u64,
    /// What came after the last entry and was not taken in.
    behind: Gaps,
    /// With conflation: where each topic's entry is, counted from the first ever.
    newest: Option<Box<HashMap<TopicKey, u64>>>,
}

/// A queue that was once long gives its memory back when it is empty; a short one keeps it.
const ENTRIES_KEPT: usize = 64;

/// Between two entries of a queue, also when those before it are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u64);

impl Queue {
    /// Nothing to send, nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.replay.is_none()
            && self.entries.is_empty()
            && self.ahead.is_empty()
            && self.behind.is_empty()
    }

    /// Live messages queued: what the bounds are about.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// All messages queued.
    pub fn messages_with_replay(&self) -> u64 {
        self.messages + self.replay.as_ref().map_or(0, |replay| replay.messages)
    }

    /// Frame bytes of live messages queued.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When its oldest live message arrived.
    pub fn oldest_received_ns(&self) -> Option<u64> {
        // A gap in front has no time; what is behind it is nearly as old.
        self.entries.iter().find_map(|entry| match entry {
            Queued::Slice(slice) => Some(slice.received_ns),
            Queued::Conflated(both) => Some(both.1.received_ns),
            Queued::Gap(_) => None,
        })
    }

    /// Runs of missed messages that were not told yet.
    pub fn gap_runs(&self) -> usize {
        self.ahead.len() + self.gap_entries + self.behind.len()
    }

    /// Whether a slice fits. One always fits when no message is queued: a frame of more messages
    /// than the bound could be delivered to nobody otherwise.
    pub fn has_room(&self, messages: u32, bytes: usize, bounds: Bounds) -> bool {
        self.messages == 0
            || (self.messages + u64::from(messages) <= u64::from(bounds.messages_max)
                && self.bytes + bytes as u64 <= bounds.bytes_max)
    }

    /// Takes kept messages in, behind other kept ones and before everything live.
    pub fn push_replay(&mut self, entry: Entry) {
        self.replay.get_or_insert_default().push(entry);
    }

    /// Whether kept messages are queued, or gaps in them.
    pub fn has_replay(&self) -> bool {
        self.replay.is_some()
    }

    /// Frame bytes of kept messages queued.
    pub fn replay_bytes(&self) -> u64 {
        self.replay.as_ref().map_or(0, |replay| replay.bytes)
    }

    /// Entries of all kinds: what a queue costs beside its frames.
    pub fn entries(&self) -> usize {
        self.replay.as_ref().map_or(0, |replay| replay.entries.len())
            + self.entries.len()
            + self.ahead.len()
            + self.behind.len()
    }

    /// Takes messages in, behind everything else.
    pub fn push(&mut self, slice: Slice) {
        self.seal();
        self.count_in(&slice);
        self.entries.push_back(Queued::Slice(slice));
    }

    /// Takes the newest message of a topic in, in place of the one that is queued: returns how many
    /// messages gave way to it. `skipped` came between the two.
    pub fn push_newest(&mut self, slice: Slice, skipped: Option<Gap>) -> u64 {
        let topic = slice.topic.key();
        let mut conflated = skipped.as_ref().map_or(0, |gap| gap.messages);
        let place = self.newest.get_or_insert_default().get(&topic).copied();
        let index = place.map(|place| (place - self.taken) as usize);
        // A gap of another kind may have come behind the older one, and is told in its order.
        let in_place = index.filter(|_| self.behind.is_empty());
        let mut gap: Option<Gap> = None;
        if let Some(index) = index {
            let older = std::mem::replace(
                &mut self.entries[index],
                Queued::Gap(slice.gap(GapReason::Conflated)),
            );
            let (before, older) = match older {
                Queued::Slice(older) => (None, older),
                Queued::Conflated(both) => (Some(both.0), both.1),
                Queued::Gap(_) => unreachable!("`newest` names slices"),
            };
            self.count_out(&older);
            conflated += u64::from(older.messages);
            let of_older = older.gap(GapReason::Conflated);
            gap = Some(match before {
                None => of_older,
                Some(mut before) => {
                    let joined = before.extend(&of_older);
                    assert!(joined, "a conflated gap ends where its message begins");
                    before
                }
            });
        }
        if let Some(index) = in_place
            && let Some(whole) = &mut gap
        {
            let continues = match &skipped {
                Some(skipped) => whole.extend(skipped),
                None => whole.first.plus(whole.messages) == slice.first,
            };
            if continues {
                self.count_in(&slice);
                let whole = gap.expect("it was just extended");
                self.entries[index] = Queued::Conflated(Box::new((whole, slice)));
                return conflated;
            }
        }
        if let (Some(index), Some(whole)) = (index, gap) {
            self.gap_entries += 1;
            self.entries[index] = Queued::Gap(whole);
        }
        self.seal();
        let place = self.taken + self.entries.len() as u64;
        self.newest.get_or_insert_default().insert(topic, place);
        self.count_in(&slice);
        self.entries.push_back(match skipped {
            Some(skipped) => Queued::Conflated(Box::new((skipped, slice))),
            None => Queued::Slice(slice),
        });
        conflated
    }

    /// Notes messages that came after everything else and are not taken in.
    pub fn miss(&mut self, gap: Gap) {
        self.behind.add(gap);
    }

    /// What `take_next` takes its messages of, if no gap comes before.
    pub fn next_slice(&self) -> Option<&Slice> {
        match self.entries.front() {
            Some(Queued::Slice(slice)) if self.replay.is_none() && self.ahead.is_empty() => {
                Some(slice)
            }
            _ => None,
        }
    }

    /// Gives up the oldest frame; returns its messages, 0 if no message is queued.
    pub fn drop_oldest_frame(&mut self) -> u32 {
        while let Some(oldest) = self.entries.front_mut() {
            match oldest {
                // It stays in front of what follows its topic, and becomes one with its neighbours.
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
                    let frame = slice.split_first_frame();
                    if slice.frames.is_empty() {
                        self.pop();
                        self.forget_newest(&frame);
                    }
                    self.count_out(&frame);
                    self.ahead.add(frame.gap(GapReason::Overflow));
                    return frame.messages;
                }
            }
        }
        0
    }

    /// Takes the next entry out: a gap, or a slice of at most `messages_max` messages and
    /// `bytes_max` bytes. With `whatever` a larger one is cut to its first frame.
    pub fn take_next(
        &mut self,
        messages_max: u32,
        bytes_max: usize,
        whatever: bool,
    ) -> Option<Entry> {
        if let Some(replay) = &mut self.replay {
            let taken = replay.take_next(messages_max, bytes_max, whatever);
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
                let taken = cut(slice, messages_max, bytes_max, whatever)?;
                if slice.frames.is_empty() {
                    self.pop();
                    self.forget_newest(&taken);
                }
                self.count_out(&taken);
                Some(Entry::Slice(taken))
            }
        }
    }

    /// The place behind everything that is queued.
    pub fn end(&self) -> Place {
        Place(self.taken + self.entries.len() as u64)
    }

    /// Whether everything before a place was taken out, or given up.
    pub fn has_passed(&self, place: Place) -> bool {
        self.taken >= place.0
    }

    /// Asserts that the sums are right, and the bounds held if the policy holds them.
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

    /// Puts the gaps behind the last entry where they stay: before what comes next.
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

    fn forget_newest(&mut self, slice: &Slice) {
        if let Some(newest) = &mut self.newest {
            newest.remove(&slice.topic.key());
        }
    }

    fn pop(&mut self) {
        self.entries.pop_front();
        self.taken += 1;
        if self.entries.is_empty() && self.entries.capacity() > ENTRIES_KEPT {
            self.entries = VecDeque::new();
        }
    }
}

/// Takes a whole slice if it fits, leaving nothing, or `whatever` comes first of it.
fn cut(slice: &mut Slice, messages_max: u32, bytes_max: usize, whatever: bool) -> Option<Slice> {
    if slice.messages <= messages_max && slice.frames.len() <= bytes_max {
        let frames = std::mem::take(&mut slice.frames);
        Some(Slice { frames, ..slice.clone() })
    } else {
        whatever.then(|| slice.split_first_frame())
    }
}
