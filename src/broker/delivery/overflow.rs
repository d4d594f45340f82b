//! What happens at the bound of a queue: the one place that decides which messages are dropped.
//!
//! Called by `fan_out` for every subscription a slice reaches. Frames are dropped whole, never
//! cut: a frame's CRC covers all its messages. Only conflation cuts, to the newest message.
//!
//! # Always true
//! - Every message of the slice is either queued or in a gap, never neither, never both.

mod connection;
mod lost;

use crate::config::OverflowPolicy;
use crate::protocol::GapReason;

use super::queue::{Bounds, Queue};
use crate::broker::counters::Counters;
use crate::broker::message::Slice;

pub use connection::enqueue_beyond_connection;
pub use lost::{Cause, Lost};

/// What became of a slice and of the queue it came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Messages queued, including those that `drop_oldest` dropped at once.
    pub enqueued: u32,
    /// Messages that `drop_oldest` dropped, queued before or just now.
    pub dropped_oldest: u32,
    /// Messages that `drop_new` did not queue.
    pub dropped_new: u32,
    /// Messages that `latest` replaced with newer ones.
    pub conflated: u32,
    /// Under `block`: the topic's publishers have to wait.
    pub blocks: bool,
    /// Under `disconnect`: the subscriber has to be disconnected.
    pub disconnects: bool,
    /// The bound that the slice came to.
    pub cause: Cause,
}

impl Outcome {
    /// Whether the queue was full.
    pub fn overflowed(&self) -> bool {
        self.dropped_oldest + self.dropped_new > 0 || self.blocks || self.disconnects
    }

    /// Adds the outcome to the counters of this core, and to the losses of the queue's owner.
    pub fn count(&self, policy: OverflowPolicy, counters: &Counters, lost: &mut Lost) {
        counters.enqueued_messages.add(u64::from(self.enqueued));
        counters.conflated_messages.add(u64::from(self.conflated));
        lost.conflated += u64::from(self.conflated);
        if self.overflowed() {
            counters.overflows_of(policy).add(1);
            self.cause.count(u64::from(self.dropped_oldest), counters, lost);
            lost.overflow_new += u64::from(self.dropped_new);
            counters.dropped_new_messages.add(u64::from(self.dropped_new));
        }
    }
}

/// Puts a slice into a queue as the subscription's policy says.
pub fn enqueue(
    queue: &mut Queue,
    slice: &Slice,
    policy: OverflowPolicy,
    bounds: Bounds,
) -> Outcome {
    if policy == OverflowPolicy::Latest {
        return latest(queue, slice, bounds);
    }
    if queue.has_room(slice.messages, slice.frames.len(), bounds)
        && (queue.messages() > 0 || fits_alone(slice, bounds))
    {
        queue.push(slice.clone());
        let blocks = policy == OverflowPolicy::Block && is_nearly_full(queue, bounds);
        return Outcome { enqueued: slice.messages, blocks, ..Outcome::default() };
    }
    match policy {
        OverflowPolicy::DropOldest => drop_oldest(queue, slice.clone(), bounds, bounds),
        OverflowPolicy::DropNew => drop_new(queue, slice.clone(), bounds),
        OverflowPolicy::Block => {
            // Publishers wait already; messages that were under way are not lost.
            queue.push(slice.clone());
            Outcome { enqueued: slice.messages, blocks: true, ..Outcome::default() }
        }
        OverflowPolicy::Disconnect => Outcome { disconnects: true, ..Outcome::default() },
        OverflowPolicy::Latest => unreachable!("`latest` was handled above"),
    }
}

/// Whether publishers have to wait: there is still room for what is under way.
pub fn is_nearly_full(queue: &Queue, bounds: Bounds) -> bool {
    queue.messages() >= (u64::from(bounds.messages_max) * 3).div_ceil(4)
        || queue.bytes() >= (bounds.bytes_max * 3).div_ceil(4)
}

/// Whether publishers may continue. Not earlier, or they would have to stop again at once.
pub fn is_half_empty(queue: &Queue, bounds: Bounds) -> bool {
    queue.messages() <= u64::from(bounds.messages_max) / 2 && queue.bytes() <= bounds.bytes_max / 2
}

fn fits_alone(slice: &Slice, bounds: Bounds) -> bool {
    (slice.messages <= bounds.messages_max && slice.frames.len() as u64 <= bounds.bytes_max)
        || slice.is_one_frame()
}

/// `bounds` are those of the queue with the slice, `alone` those of a slice in an empty queue.
fn drop_oldest(queue: &mut Queue, mut slice: Slice, bounds: Bounds, alone: Bounds) -> Outcome {
    let mut outcome = Outcome { enqueued: slice.messages, ..Outcome::default() };
    while !queue.has_room(slice.messages, slice.frames.len(), bounds) {
        outcome.dropped_oldest += queue.drop_oldest_frame();
    }
    // The queue may be empty now and the slice still too large: then its own oldest frames are
    // dropped.
    while queue.messages() == 0 && !fits_alone(&slice, alone) {
        let frame = slice.split_first_frame();
        outcome.dropped_oldest += frame.messages;
        queue.miss(frame.gap(GapReason::Overflow));
    }
    queue.push(slice);
    outcome
}

fn drop_new(queue: &mut Queue, mut slice: Slice, bounds: Bounds) -> Outcome {
    let mut outcome = Outcome::default();
    while !slice.frames.is_empty() {
        let frame = slice.split_first_frame();
        if queue.has_room(frame.messages, frame.frames.len(), bounds) {
            outcome.enqueued += frame.messages;
            queue.push(frame);
        } else {
            outcome.dropped_new += frame.messages;
            queue.miss(frame.gap(GapReason::Overflow));
        }
    }
    outcome
}

/// Keeps only the newest message of each topic queued, so the bounds count topics. Beyond them the
/// topic that has waited longest is dropped.
fn latest(queue: &mut Queue, slice: &Slice, bounds: Bounds) -> Outcome {
    let newest = slice.newest();
    let mut skipped = slice.clone();
    skipped.messages -= newest.messages;
    let skipped = (skipped.messages > 0).then(|| skipped.gap(GapReason::Conflated));
    let conflated = queue.push_newest(newest, skipped) as u32;
    let mut outcome = Outcome { enqueued: slice.messages, conflated, ..Outcome::default() };
    while queue.messages() > 1 && !queue.has_room(0, 0, bounds) {
        outcome.dropped_oldest += queue.drop_oldest_frame();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::super::queue::Entry;
    use super::*;
    use crate::broker::message::tests::{named, slice};
    use crate::protocol::{Sequence, TopicId};

    /// What a subscriber would get: runs of messages as positive numbers, gaps as negative ones.
    fn drain(queue: &mut Queue) -> Vec<i64> {
        let mut next = 1;
        let mut seen = Vec::new();
        let mut see = |first: Sequence, messages: i64| {
            assert_eq!(first.0, next, "no message is duplicated or silently skipped");
            next += messages.unsigned_abs();
            seen.push(messages);
        };
        while let Some(entry) = queue.take_next(1, 0, true) {
            match entry {
                Entry::Slice(frame) => see(frame.first, i64::from(frame.messages)),
                Entry::Gap(gap) => see(gap.first, -(gap.messages as i64)),
            }
        }
        assert!(queue.is_empty() && queue.messages() == 0 && queue.bytes() == 0);
        seen
    }

    const BOUNDS: Bounds = Bounds { messages_max: 4, bytes_max: 1 << 20 };

    #[test]
    fn drop_oldest_keeps_the_newest_frames_and_one_gap_in_front() {
        let mut queue = Queue::default();
        let mut enqueue =
            |slice: &Slice| enqueue(&mut queue, slice, OverflowPolicy::DropOldest, BOUNDS);
        assert_eq!(enqueue(&slice(1, &[1, 2])), Outcome { enqueued: 3, ..Outcome::default() });
        let outcome = enqueue(&slice(4, &[1, 1, 1]));
        assert_eq!(outcome, Outcome { enqueued: 3, dropped_oldest: 3, ..Outcome::default() });
        let outcome = enqueue(&slice(7, &[3, 1, 1]));
        assert_eq!(outcome, Outcome { enqueued: 5, dropped_oldest: 6, ..Outcome::default() });
        assert_eq!(drain(&mut queue), [-6, -3, 1, 1]);
    }

    #[test]
    fn drop_new_keeps_the_oldest_frames_and_one_gap_behind() {
        let mut queue = Queue::default();
        let mut enqueue =
            |slice: &Slice| enqueue(&mut queue, slice, OverflowPolicy::DropNew, BOUNDS);
        assert_eq!(enqueue(&slice(1, &[1, 2])), Outcome { enqueued: 3, ..Outcome::default() });
        let outcome = enqueue(&slice(4, &[1, 1, 1]));
        assert_eq!(outcome, Outcome { enqueued: 1, dropped_new: 2, ..Outcome::default() });
        assert_eq!(enqueue(&slice(7, &[2])).dropped_new, 2);
        assert_eq!(drain(&mut queue), [1, 2, 1, -4]);
    }

    #[test]
    fn drop_new_queues_messages_after_the_gap_once_there_is_room() {
        let mut queue = Queue::default();
        let drop_new = OverflowPolicy::DropNew;
        enqueue(&mut queue, &slice(1, &[4]), drop_new, BOUNDS);
        enqueue(&mut queue, &slice(5, &[1, 1]), drop_new, BOUNDS);
        assert!(matches!(queue.take_next(9, 999, false), Some(Entry::Slice(_))));
        enqueue(&mut queue, &slice(7, &[1]), drop_new, BOUNDS);
        let Some(Entry::Gap(gap)) = queue.take_next(9, 999, false) else { panic!("a gap first") };
        assert_eq!((gap.first, gap.messages), (Sequence(5), 2));
        let Some(Entry::Slice(rest)) = queue.take_next(9, 999, false) else { panic!("then 7") };
        assert_eq!(rest.first, Sequence(7));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_frame_larger_than_every_bound_is_queued_alone() {
        for policy in [OverflowPolicy::DropOldest, OverflowPolicy::DropNew] {
            let mut queue = Queue::default();
            let tiny = Bounds { messages_max: 1, bytes_max: 1 };
            assert_eq!(enqueue(&mut queue, &slice(1, &[9]), policy, tiny).enqueued, 9);
        }
    }

    #[test]
    fn the_byte_bound_limits_a_queue_as_the_message_bound_does() {
        let frame_len = slice(1, &[1]).frames.len() as u64;
        let bounds = Bounds { messages_max: 100, bytes_max: 2 * frame_len };
        let mut queue = Queue::default();
        for sequence in 1..=5 {
            let policy = OverflowPolicy::DropOldest;
            enqueue(&mut queue, &slice(sequence, &[1]), policy, bounds);
            assert!(queue.bytes() <= bounds.bytes_max);
        }
        assert_eq!(drain(&mut queue), [-3, 1, 1]);
    }

    /// Goal: both policies account for every message and keep the bounds, whatever the batches.
    /// Method: all short sequences of small batches, read by `drain`.
    #[test]
    fn every_message_is_queued_or_in_a_gap_for_every_short_sequence_of_batches() {
        let batches: [&[u16]; 5] = [&[1], &[3], &[5], &[1, 1, 1], &[2, 5, 1]];
        for policy in [OverflowPolicy::DropOldest, OverflowPolicy::DropNew] {
            for choice in 0..batches.len().pow(4) {
                let mut queue = Queue::default();
                let mut next = 1;
                let mut dropped = 0;
                for step in 0..4 {
                    let batch = batches[choice / batches.len().pow(step) % batches.len()];
                    let slice = slice(next, batch);
                    next = slice.next().0;
                    let outcome = enqueue(&mut queue, &slice, policy, BOUNDS);
                    dropped += u64::from(outcome.dropped_oldest + outcome.dropped_new);
                    assert!(queue.messages() <= 5, "the bound, or one frame alone");
                }
                let seen = drain(&mut queue);
                let missed: i64 = seen.iter().filter(|run| **run < 0).sum();
                assert_eq!(missed.unsigned_abs(), dropped);
                assert_eq!(seen.iter().map(|run| run.unsigned_abs()).sum::<u64>(), next - 1);
            }
        }
    }

    #[test]
    fn slices_share_their_bytes() {
        let original = slice(1, &[1]);
        let mut queue = Queue::default();
        enqueue(&mut queue, &original, OverflowPolicy::DropOldest, BOUNDS);
        let Some(Entry::Slice(queued)) = queue.take_next(1, 0, true) else { panic!("queued") };
        assert_eq!(queued.frames.as_ptr(), original.frames.as_ptr());
    }

    #[test]
    fn latest_keeps_the_newest_message_and_one_gap_before_it() {
        let mut queue = Queue::default();
        let mut enqueue =
            |slice: &Slice| enqueue(&mut queue, slice, OverflowPolicy::Latest, BOUNDS);
        assert_eq!(enqueue(&slice(1, &[2, 3])).conflated, 4);
        assert_eq!(enqueue(&slice(6, &[1])).conflated, 1);
        assert_eq!(enqueue(&slice(7, &[1, 1])).conflated, 2);
        assert_eq!(drain(&mut queue), [-7, 1]);
    }

    #[test]
    fn latest_keeps_one_message_per_topic_in_the_order_the_topics_came() {
        let mut queue = Queue::default();
        let of_topic = |topic, first| Slice { topic: named(topic), ..slice(first, &[1]) };
        for first in 1..=3 {
            for topic in [7, 5] {
                enqueue(&mut queue, &of_topic(topic, first), OverflowPolicy::Latest, BOUNDS);
            }
        }
        let mut seen = Vec::new();
        while let Some(entry) = queue.take_next(1, 999, false) {
            seen.push(match entry {
                Entry::Slice(slice) => (slice.topic.id.0, slice.first.0, 0),
                Entry::Gap(gap) => (gap.topic.id.0, gap.first.0, gap.messages),
            });
        }
        assert_eq!(seen, [(7, 1, 2), (7, 3, 0), (5, 1, 2), (5, 3, 0)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn latest_reports_an_expired_message_at_its_place() {
        let mut queue = Queue::default();
        enqueue(&mut queue, &slice(1, &[1]), OverflowPolicy::Latest, BOUNDS);
        queue.miss(slice(2, &[1]).gap(GapReason::Expired));
        enqueue(&mut queue, &slice(3, &[1]), OverflowPolicy::Latest, BOUNDS);
        enqueue(&mut queue, &slice(4, &[1]), OverflowPolicy::Latest, BOUNDS);
        assert_eq!(drain(&mut queue), [-1, -1, -1, 1]);
    }

    #[test]
    fn latest_drops_the_topic_that_has_waited_longest_beyond_the_bound() {
        let mut queue = Queue::default();
        for topic in 1..=5 {
            let slice = Slice { topic: named(topic), ..slice(1, &[1]) };
            let outcome = enqueue(&mut queue, &slice, OverflowPolicy::Latest, BOUNDS);
            assert_eq!(outcome.dropped_oldest, u32::from(topic == 5));
        }
        assert_eq!(queue.messages(), 4);
        let Some(Entry::Gap(gap)) = queue.take_next(1, 999, false) else { panic!("a gap first") };
        assert_eq!((gap.topic.id, gap.reason), (TopicId(1), GapReason::Overflow));
    }

    #[test]
    fn block_queues_everything_and_makes_publishers_wait_before_the_queue_is_full() {
        let mut queue = Queue::default();
        let mut enqueue = |slice: &Slice| enqueue(&mut queue, slice, OverflowPolicy::Block, BOUNDS);
        assert!(!enqueue(&slice(1, &[2])).blocks);
        assert!(enqueue(&slice(3, &[1])).blocks);
        assert!(enqueue(&slice(4, &[9])).blocks);
        assert_eq!(drain(&mut queue), [2, 1, 9]);
    }
}
