//! What happens at the bound of a queue: the one place that decides who loses what.
//!
//! Called by `fan_out` for every subscription a portion reaches. Frames are dropped whole, never
//! cut: a frame's CRC covers all its messages.
//!
//! # Always true
//! - Every message of the portion is either queued or in a gap, never neither, never both.

use crate::config::OverflowPolicy;
use crate::protocol::GapReason;

use super::gaps::Gap;
use super::portion::Portion;
use super::queue::{Bounds, Queue};

/// What became of a portion and of the queue it came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Messages queued.
    pub enqueued: u32,
    /// Messages `drop_oldest` gave up, queued before or just now.
    pub dropped_oldest: u32,
    /// Messages `drop_new` did not take.
    pub dropped_new: u32,
}

impl Outcome {
    /// Whether the queue was full.
    pub fn overflowed(&self) -> bool {
        self.dropped_oldest + self.dropped_new > 0
    }
}

/// Puts a portion into a queue, under the subscription's policy.
pub fn enqueue(
    queue: &mut Queue,
    portion: &Portion,
    policy: OverflowPolicy,
    bounds: Bounds,
) -> Outcome {
    if queue.has_room(portion.messages, portion.frames.len(), bounds)
        && (queue.messages() > 0 || fits_alone(portion, bounds))
    {
        queue.push(portion.clone());
        return Outcome { enqueued: portion.messages, ..Outcome::default() };
    }
    match policy {
        OverflowPolicy::DropOldest => drop_oldest(queue, portion.clone(), bounds),
        OverflowPolicy::DropNew => drop_new(queue, portion.clone(), bounds),
    }
}

/// The gap a full queue makes of these messages.
pub fn gap_of(portion: &Portion) -> Gap {
    Gap {
        topic: portion.topic,
        first: portion.first,
        messages: u64::from(portion.messages),
        reason: GapReason::Overflow,
    }
}

fn fits_alone(portion: &Portion, bounds: Bounds) -> bool {
    (portion.messages <= bounds.messages_max && portion.frames.len() as u64 <= bounds.bytes_max)
        || portion.is_one_frame()
}

fn drop_oldest(queue: &mut Queue, mut portion: Portion, bounds: Bounds) -> Outcome {
    let mut outcome = Outcome { enqueued: portion.messages, ..Outcome::default() };
    while !queue.has_room(portion.messages, portion.frames.len(), bounds) {
        outcome.dropped_oldest += queue.drop_oldest_frame();
    }
    // The queue may be empty now and the portion still too large: its own oldest frames go then.
    while queue.messages() == 0 && !fits_alone(&portion, bounds) {
        let frame = portion.split_first_frame();
        outcome.enqueued -= frame.messages;
        outcome.dropped_oldest += frame.messages;
        queue.miss(gap_of(&frame));
    }
    queue.push(portion);
    outcome
}

fn drop_new(queue: &mut Queue, mut portion: Portion, bounds: Bounds) -> Outcome {
    let mut outcome = Outcome::default();
    while !portion.frames.is_empty() {
        let frame = portion.split_first_frame();
        if queue.has_room(frame.messages, frame.frames.len(), bounds) {
            outcome.enqueued += frame.messages;
            queue.push(frame);
        } else {
            outcome.dropped_new += frame.messages;
            queue.miss(gap_of(&frame));
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::queue::Entry;
    use super::*;
    use crate::protocol::messages::Header;
    use crate::protocol::{Sequence, TopicId};

    /// Frames of `counts` messages each; sequences from `first`.
    fn portion(first: u64, counts: &[u16]) -> Portion {
        let mut frames = BytesMut::new();
        for count in counts {
            let records = vec![0; 4 * usize::from(*count)];
            let header = Header {
                frame_len: (40 + records.len()) as u32,
                flags: 0,
                count: *count,
                topic: 1,
                subscription: 0,
                sequence: 0,
                timestamp: 0,
                ttl_ms: 0,
                crc: 0,
            };
            frames.extend_from_slice(&header.to_bytes());
            frames.extend_from_slice(&records);
        }
        Portion {
            topic: TopicId(1),
            first: Sequence(first),
            messages: counts.iter().map(|count| u32::from(*count)).sum(),
            deadline_ns: u64::MAX,
            frames: frames.freeze(),
        }
    }

    /// What a subscriber would see: runs of messages, positive, and of gaps, negative.
    fn drain(queue: &mut Queue) -> Vec<i64> {
        let mut next = 1;
        let mut seen = Vec::new();
        let mut see = |first: Sequence, messages: i64| {
            assert_eq!(first.0, next, "nothing is doubled or silently skipped");
            next += messages.unsigned_abs();
            seen.push(messages);
        };
        for gap in queue.take_ahead() {
            see(gap.first, -(gap.messages as i64));
        }
        while let Some(entry) = queue.take_next(1, 0, true) {
            match entry {
                Entry::Portion(frame) => see(frame.first, i64::from(frame.messages)),
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
            |portion: Portion| enqueue(&mut queue, &portion, OverflowPolicy::DropOldest, BOUNDS);
        assert_eq!(enqueue(portion(1, &[1, 2])), Outcome { enqueued: 3, ..Outcome::default() });
        let outcome = enqueue(portion(4, &[1, 1, 1]));
        assert_eq!(outcome, Outcome { enqueued: 3, dropped_oldest: 3, dropped_new: 0 });
        let outcome = enqueue(portion(7, &[3, 1, 1]));
        assert_eq!(outcome, Outcome { enqueued: 2, dropped_oldest: 6, dropped_new: 0 });
        assert_eq!(drain(&mut queue), [-6, -3, 1, 1]);
    }

    #[test]
    fn drop_new_keeps_the_oldest_frames_and_one_gap_behind() {
        let mut queue = Queue::default();
        let mut enqueue =
            |portion: Portion| enqueue(&mut queue, &portion, OverflowPolicy::DropNew, BOUNDS);
        assert_eq!(enqueue(portion(1, &[1, 2])), Outcome { enqueued: 3, ..Outcome::default() });
        let outcome = enqueue(portion(4, &[1, 1, 1]));
        assert_eq!(outcome, Outcome { enqueued: 1, dropped_oldest: 0, dropped_new: 2 });
        assert_eq!(enqueue(portion(7, &[2])).dropped_new, 2);
        assert_eq!(drain(&mut queue), [1, 2, 1, -4]);
    }

    #[test]
    fn drop_new_takes_messages_again_once_there_is_room_behind_the_gap() {
        let mut queue = Queue::default();
        let drop_new = OverflowPolicy::DropNew;
        enqueue(&mut queue, &portion(1, &[4]), drop_new, BOUNDS);
        enqueue(&mut queue, &portion(5, &[1, 1]), drop_new, BOUNDS);
        assert!(matches!(queue.take_next(9, 999, false), Some(Entry::Portion(_))));
        enqueue(&mut queue, &portion(7, &[1]), drop_new, BOUNDS);
        let Some(Entry::Gap(gap)) = queue.take_next(9, 999, false) else { panic!("a gap first") };
        assert_eq!((gap.first, gap.messages), (Sequence(5), 2));
        let Some(Entry::Portion(rest)) = queue.take_next(9, 999, false) else { panic!("then 7") };
        assert_eq!(rest.first, Sequence(7));
        assert!(queue.is_empty());
    }

    #[test]
    fn one_frame_beyond_every_bound_is_queued_alone() {
        for policy in [OverflowPolicy::DropOldest, OverflowPolicy::DropNew] {
            let mut queue = Queue::default();
            let tiny = Bounds { messages_max: 1, bytes_max: 1 };
            assert_eq!(enqueue(&mut queue, &portion(1, &[9]), policy, tiny).enqueued, 9);
        }
    }

    #[test]
    fn the_byte_bound_counts_as_the_message_bound_does() {
        let frame_len = portion(1, &[1]).frames.len() as u64;
        let bounds = Bounds { messages_max: 100, bytes_max: 2 * frame_len };
        let mut queue = Queue::default();
        for sequence in 1..=5 {
            let policy = OverflowPolicy::DropOldest;
            enqueue(&mut queue, &portion(sequence, &[1]), policy, bounds);
            assert!(queue.bytes() <= bounds.bytes_max);
        }
        assert_eq!(drain(&mut queue), [-3, 1, 1]);
    }

    /// Goal: for every sequence of batches both policies account for every message and keep bounds.
    /// Method: all short sequences of small batches against the reader in `drain`.
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
                    let portion = portion(next, batch);
                    next = portion.next().0;
                    let outcome = enqueue(&mut queue, &portion, policy, BOUNDS);
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
    fn portions_share_their_bytes() {
        let original = portion(1, &[1]);
        let mut queue = Queue::default();
        enqueue(&mut queue, &original, OverflowPolicy::DropOldest, BOUNDS);
        let Some(Entry::Portion(queued)) = queue.take_next(1, 0, true) else { panic!("queued") };
        assert_eq!(queued.frames.as_ptr(), original.frames.as_ptr());
    }
}
