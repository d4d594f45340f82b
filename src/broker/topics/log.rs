//! The log of a topic: its last messages, which later subscribers can ask for.
//!
//! Held by the topic's owner, appended to when a batch is ordered, read by `replay`, and the first
//! to be evicted under memory pressure.
//!
//! # Always true
//! - Slices lie in the order of their sequences, without holes, and the last one ends before the
//!   topic's next sequence.
//! - A retained slice shares its bytes with the queues that hold it: retaining costs no copy.

use std::collections::VecDeque;

use crate::broker::message::Slice;
use crate::config::Queues;
use crate::protocol::{Sequence, Start};

/// The last messages of one topic.
#[derive(Debug, Default)]
pub struct Log {
    slices: VecDeque<Slice>,
    messages: u64,
    bytes: u64,
}

/// The part of a log that a subscriber has asked for.
#[derive(Debug)]
pub struct Retained {
    /// The first sequence asked for.
    pub from: Sequence,
    /// What the log retains from there on, up to the next message.
    pub slices: Vec<Slice>,
    /// The sequence the next message gets.
    pub next: Sequence,
}

impl Retained {
    /// Frame bytes of what is retained.
    pub fn bytes(&self) -> u64 {
        self.slices.iter().map(|slice| slice.frames.len() as u64).sum()
    }
}

impl Log {
    /// Appends a slice, and evicts older ones beyond the bounds. At least `topic_capacity` messages
    /// are retained if `topic_bytes` has room for them.
    pub fn append(&mut self, slice: Slice, bounds: &Queues) {
        let capacity = u64::from(bounds.topic_capacity);
        if capacity == 0 {
            return;
        }
        self.messages += u64::from(slice.messages);
        self.bytes += slice.frames.len() as u64;
        self.slices.push_back(slice);
        while let Some(oldest) = self.slices.front() {
            let enough_without = self.messages - u64::from(oldest.messages) >= capacity;
            if !enough_without && self.bytes <= bounds.topic_bytes {
                return;
            }
            self.evict_oldest();
        }
    }

    /// Evicts the oldest slice.
    pub fn evict_oldest(&mut self) {
        if let Some(oldest) = self.slices.pop_front() {
            self.messages -= u64::from(oldest.messages);
            self.bytes -= oldest.frames.len() as u64;
        }
    }

    /// Evicts everything, and frees the list.
    pub fn evict_all(&mut self) {
        *self = Log::default();
    }

    /// The sequence of the oldest message retained.
    pub fn first(&self) -> Option<Sequence> {
        self.slices.front().map(|slice| slice.first)
    }

    /// Number of messages retained.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Frame bytes of the messages retained.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of slices retained.
    pub fn slices(&self) -> usize {
        self.slices.len()
    }

    /// What the log retains from a start on. `next` is the sequence that the topic's next message
    /// gets.
    pub fn since(&self, start: Start, next: Sequence) -> Retained {
        let oldest = self.first().unwrap_or(next);
        let from = match start {
            Start::Live => next,
            // Fewer may be retained, and that is no loss: the subscriber asked for at most so many.
            Start::Last(messages) => oldest.max(Sequence(next.0.saturating_sub(messages).max(1))),
            Start::Sequence(from) => Sequence(from.clamp(1, next.0)),
        };
        let first = self.slices.partition_point(|slice| slice.next() <= from);
        let mut slices: Vec<Slice> = self.slices.range(first..).cloned().collect();
        if let Some(first) = slices.first_mut()
            && first.first < from
        {
            first.keep_last((first.next().0 - from.0) as u32);
        }
        Retained { from, slices, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::message::tests::slice;

    fn bounds(topic_capacity: u32, topic_bytes: u64) -> Queues {
        Queues { topic_capacity, topic_bytes, ..Queues::default() }
    }

    fn log(counts: &[&[u16]], bounds: &Queues) -> (Log, Sequence) {
        let mut log = Log::default();
        let mut next = Sequence(1);
        for counts in counts {
            let slice = slice(next.0, counts);
            next = slice.next();
            log.append(slice, bounds);
        }
        (log, next)
    }

    fn ranges(retained: &Retained) -> Vec<(u64, u64)> {
        retained.slices.iter().map(|slice| (slice.first.0, slice.next().0 - 1)).collect()
    }

    #[test]
    fn the_last_messages_are_retained_and_older_slices_evicted() {
        let (log, next) = log(&[&[2], &[3], &[1, 1], &[4]], &bounds(5, 1 << 20));
        assert_eq!(log.first(), Some(Sequence(6)));
        assert_eq!(ranges(&log.since(Start::Last(100), next)), [(6, 7), (8, 11)]);
        assert_eq!(ranges(&log.since(Start::Last(0), next)), []);
    }

    #[test]
    fn a_start_inside_a_frame_cuts_the_frame() {
        let (log, next) = log(&[&[2], &[3, 2]], &bounds(100, 1 << 20));
        for last in 1..=7 {
            let retained = log.since(Start::Last(last), next);
            assert_eq!(retained.from, Sequence(8 - last));
            assert_eq!(retained.slices[0].first, retained.from, "the last {last}");
            let messages: u32 = retained.slices.iter().map(|slice| slice.messages).sum();
            assert_eq!(u64::from(messages), last);
            let same = log.since(Start::Sequence(8 - last), next);
            assert_eq!(ranges(&same), ranges(&retained));
        }
    }

    #[test]
    fn a_start_before_the_oldest_message_returns_what_is_retained_after_it() {
        let (log, next) = log(&[&[4], &[4]], &bounds(4, 1 << 20));
        let retained = log.since(Start::Sequence(2), next);
        assert_eq!((retained.from, ranges(&retained)), (Sequence(2), vec![(5, 8)]));
        let beyond = log.since(Start::Sequence(100), next);
        assert_eq!((beyond.from, ranges(&beyond)), (next, vec![]));
    }

    #[test]
    fn the_byte_bound_evicts_and_a_capacity_of_zero_retains_nothing() {
        let (log, _) = super::tests::log(&[&[1], &[1]], &bounds(100, 50));
        assert_eq!(log.first(), Some(Sequence(2)));
        let (log, _) = super::tests::log(&[&[1]], &bounds(0, 1 << 20));
        assert_eq!(log.first(), None);
    }
}
