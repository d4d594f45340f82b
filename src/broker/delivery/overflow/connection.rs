//! What happens to a slice that the queues of its connection together have no room for.
//!
//! # Always true
//! - As in [`overflow`](super): every message of the slice is either queued or in a gap.

use super::{Cause, Outcome, drop_oldest, enqueue};
use crate::broker::delivery::queue::{Bounds, Queue};
use crate::broker::message::Slice;
use crate::config::OverflowPolicy;
use crate::protocol::GapReason;

/// Puts a slice into a queue whose connection has room for `bytes_left` more, which are too few. The
/// other queues of the connection may have to make room for what is queued all the same.
pub fn enqueue_beyond_connection(
    queue: &mut Queue,
    slice: &Slice,
    policy: OverflowPolicy,
    bounds: Bounds,
    bytes_left: u64,
) -> Outcome {
    let outcome = match policy {
        OverflowPolicy::DropOldest => {
            // The slice takes the place of the queue's own messages, and what is left.
            let bytes_max = bounds.bytes_max.min(queue.bytes() + bytes_left);
            drop_oldest(queue, slice.clone(), Bounds { bytes_max, ..bounds }, bounds)
        }
        OverflowPolicy::DropNew => drop_new_beyond(queue, slice.clone(), bounds, bytes_left),
        OverflowPolicy::Disconnect => Outcome { disconnects: true, ..Outcome::default() },
        OverflowPolicy::Block | OverflowPolicy::Latest => enqueue(queue, slice, policy, bounds),
    };
    Outcome { cause: Cause::Connection, ..outcome }
}

/// As `drop_new`, for a queue that may take only so many bytes more, also if it is empty. What these do
/// not suffice for counts as queued and dropped, because the policy is not the reason.
fn drop_new_beyond(
    queue: &mut Queue,
    mut slice: Slice,
    bounds: Bounds,
    mut bytes_left: u64,
) -> Outcome {
    let mut outcome = Outcome::default();
    while !slice.frames.is_empty() {
        let frame = slice.split_first_frame();
        let len = frame.frames.len();
        if !queue.has_room(frame.messages, len, bounds) {
            outcome.dropped_new += frame.messages;
            queue.miss(frame.gap(GapReason::Overflow));
            continue;
        }
        outcome.enqueued += frame.messages;
        if len as u64 <= bytes_left {
            bytes_left -= len as u64;
            queue.push(frame);
        } else {
            outcome.dropped_oldest += frame.messages;
            queue.miss(frame.gap(GapReason::Overflow));
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::delivery::queue::Entry;
    use crate::broker::message::tests::slice;

    const BOUNDS: Bounds = Bounds { messages_max: 100, bytes_max: 1 << 20 };

    /// Messages queued, and messages in gaps.
    fn drain(queue: &mut Queue) -> (u64, u64) {
        let (mut queued, mut missed) = (0, 0);
        while let Some(entry) = queue.take_next(1, 0, true) {
            match entry {
                Entry::Slice(frame) => queued += u64::from(frame.messages),
                Entry::Gap(gap) => missed += gap.messages,
            }
        }
        (queued, missed)
    }

    fn holding(messages: u64, policy: OverflowPolicy) -> Queue {
        let mut queue = Queue::default();
        for first in 1..=messages {
            enqueue(&mut queue, &slice(first, &[1]), policy, BOUNDS);
        }
        queue
    }

    #[test]
    fn a_slice_takes_the_place_of_its_own_queue_before_others_make_room() {
        let policy = OverflowPolicy::DropOldest;
        let mut queue = holding(3, policy);
        let outcome = enqueue_beyond_connection(&mut queue, &slice(4, &[1]), policy, BOUNDS, 0);
        assert_eq!((outcome.dropped_oldest, outcome.cause), (1, Cause::Connection));
        assert_eq!(drain(&mut queue), (3, 1));
        // An empty queue gets the slice whole: others have to make room for it.
        let mut queue = Queue::default();
        let outcome = enqueue_beyond_connection(&mut queue, &slice(1, &[1, 1]), policy, BOUNDS, 0);
        assert_eq!((outcome.enqueued, outcome.dropped_oldest), (2, 0));
        assert_eq!(drain(&mut queue), (2, 0));
    }

    #[test]
    fn what_drop_new_does_not_queue_is_counted_by_the_bound_that_had_no_room() {
        let policy = OverflowPolicy::DropNew;
        let frame_len = slice(1, &[1]).frames.len() as u64;
        let mut queue = Queue::default();
        let outcome =
            enqueue_beyond_connection(&mut queue, &slice(1, &[1, 1, 1]), policy, BOUNDS, frame_len);
        assert_eq!((outcome.enqueued, outcome.dropped_oldest, outcome.dropped_new), (3, 2, 0));
        assert_eq!(drain(&mut queue), (1, 2));
        let bounds = Bounds { messages_max: 1, ..BOUNDS };
        let mut queue = holding(1, policy);
        let outcome = enqueue_beyond_connection(&mut queue, &slice(2, &[1]), policy, bounds, 0);
        assert_eq!((outcome.enqueued, outcome.dropped_oldest, outcome.dropped_new), (0, 0, 1));
    }

    #[test]
    fn disconnect_disconnects_and_block_queues_and_blocks() {
        let mut queue = Queue::default();
        let of = |queue: &mut Queue, policy| {
            enqueue_beyond_connection(queue, &slice(1, &[1]), policy, BOUNDS, 0)
        };
        assert!(of(&mut queue, OverflowPolicy::Disconnect).disconnects && queue.is_empty());
        let outcome = of(&mut queue, OverflowPolicy::Block);
        assert_eq!((outcome.enqueued, outcome.dropped_oldest), (1, 0));
    }
}
