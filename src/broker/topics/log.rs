//! The log of a topic: its last messages, which later subscribers can ask for.
//!
//! Kept by the topic's owner; appended to by `mesh`, read by `replay`, and the first to give memory
//! back when the broker holds too much.
//!
//! # Always true
//! - Slices lie in the order of their sequences, without holes, and the last ends where the topic
//!   is.
//! - A kept slice shares its bytes with the queues it is in: keeping costs no copy.

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

/// What a log has for a subscriber that asks.
#[derive(Debug)]
pub struct Retained {
    /// The first sequence asked for.
    pub from: Sequence,
    /// What is kept of it, up to the next message.
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
    /// Keeps a slice, and gives up older ones beyond the bounds. At least `topic_capacity`
    /// messages stay if `topic_bytes` has room for them.
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

    /// Gives up the oldest slice.
    pub fn evict_oldest(&mut self) {
        if let Some(oldest) = self.slices.pop_front() {
            self.messages -= u64::from(oldest.messages);
            self.bytes -= oldest.frames.len() as u64;
        }
    }

    /// Gives up everything, and the memory of the list too.
    pub fn evict_all(&mut self) {
        *self = Log::default();
    }

    /// The sequence of the oldest message kept.
    pub fn first(&self) -> Option<Sequence> {
        self.slices.front().map(|slice| slice.first)
    }

    /// How many messages are kept.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Frame bytes of what is kept.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many slices are kept.
    pub fn slices(&self) -> usize {
        self.slices.len()
    }

    /// What there is for a start; `next` is the sequence the topic's next message gets.
    pub fn since(&self, start: Start, next: Sequence) -> Retained {
        let oldest = self.first().unwrap_or(next);
        let from = match start {
            Start::Live => next,
            // Fewer may be kept, and that is no loss: at most so many were asked for.
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

    fn ranges(kept: &Retained) -> Vec<(u64, u64)> {
        kept.slices.iter().map(|slice| (slice.first.0, slice.next().0 - 1)).collect()
    }

    #[test]
    fn the_last_messages_are_kept_and_older_slices_go() {
        let (log, next) = log(&[&[2], &[3], &[1, 1], &[4]], &bounds(5, 1 << 20));
        assert_eq!(log.first(), Some(Sequence(6)));
        assert_eq!(ranges(&log.since(Start::Last(100), next)), [(6, 7), (8, 11)]);
        assert_eq!(ranges(&log.since(Start::Last(0), next)), []);
    }

    #[test]
    fn a_start_inside_a_frame_cuts_the_frame() {
        let (log, next) = log(&[&[2], &[3, 2]], &bounds(100, 1 << 20));
        for last in 1..=7 {
            let kept = log.since(Start::Last(last), next);
            assert_eq!(kept.from, Sequence(8 - last));
            assert_eq!(kept.slices[0].first, kept.from, "the last {last}");
            let messages: u32 = kept.slices.iter().map(|slice| slice.messages).sum();
            assert_eq!(u64::from(messages), last);
            let same = log.since(Start::Sequence(8 - last), next);
            assert_eq!(ranges(&same), ranges(&kept));
        }
    }

    #[test]
    fn a_sequence_no_longer_kept_is_asked_for_and_what_is_retained_begins_later() {
        let (log, next) = log(&[&[4], &[4]], &bounds(4, 1 << 20));
        let kept = log.since(Start::Sequence(2), next);
        assert_eq!((kept.from, ranges(&kept)), (Sequence(2), vec![(5, 8)]));
        let beyond = log.since(Start::Sequence(100), next);
        assert_eq!((beyond.from, ranges(&beyond)), (next, vec![]));
    }

    #[test]
    fn the_byte_bound_and_a_capacity_of_zero_keep_nothing_that_is_too_much() {
        let (log, _) = super::tests::log(&[&[1], &[1]], &bounds(100, 50));
        assert_eq!(log.first(), Some(Sequence(2)));
        let (log, _) = super::tests::log(&[&[1]], &bounds(0, 1 << 20));
        assert_eq!(log.first(), None);
    }
}
