//! The messages that a topic retains, compared with a list of all its messages.

use blipmq::broker::message::Slice;
use blipmq::broker::topics::Log;
use blipmq::config::Queues;
use blipmq::protocol::{Sequence, Start};
use proptest::prelude::*;

use crate::frames::{self, Shape};

#[derive(Debug, Clone)]
enum Step {
    Append(Shape),
    EvictOldest,
    EvictAll,
    Replay(Start),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = prop_oneof![8 => 0u64..60, 1 => Just(u64::MAX)];
    let step = prop_oneof![
        32 => frames::shapes().prop_map(Step::Append),
        4 => Just(Step::EvictOldest),
        1 => Just(Step::EvictAll),
        8 => number.clone().prop_map(|last| Step::Replay(Start::Last(last))),
        8 => number.prop_map(|from| Step::Replay(Start::Sequence(from))),
        4 => Just(Step::Replay(Start::Live)),
    ];
    prop::collection::vec(step, 0..40)
}

/// The first retained slice, from `start` on: as few as possible are evicted to bring the bytes within
/// their bound, and every slice that the last `topic_capacity` messages do not need.
fn first_retained(slices: &[Slice], start: usize, bounds: &Queues) -> usize {
    let fits = |from: &usize| {
        let kept = &slices[*from..];
        let bytes: usize = kept.iter().map(|slice| slice.frames.len()).sum();
        let behind_first: u64 = kept.iter().skip(1).map(|slice| u64::from(slice.messages)).sum();
        bytes as u64 <= bounds.topic_bytes && behind_first < u64::from(bounds.topic_capacity)
    };
    (start..slices.len()).find(fits).unwrap_or(slices.len())
}

/// The sequences of the slices.
fn sequences(slices: &[Slice]) -> Vec<u64> {
    slices.iter().flat_map(|slice| slice.first.0..slice.next().0).collect()
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn a_log_retains_and_replays_what_a_list_of_all_messages_does(
        capacity in prop_oneof![1 => Just(0u32), 9 => 1u32..30],
        bytes in prop_oneof![1 => 0u64..200, 3 => 200u64..3_000],
        steps in steps(),
    ) {
        let bounds =
            Queues { topic_capacity: capacity, topic_bytes: bytes, ..Queues::default() };
        let mut log = Log::default();
        let (mut all, mut start) = (Vec::<Slice>::new(), 0);
        let mut next = Sequence(1);
        for step in steps {
            match step {
                Step::Append(shape) => {
                    let slice = frames::slice(1, next.0, &shape);
                    next = slice.next();
                    log.append(slice.clone(), &bounds);
                    all.push(slice);
                    start = first_retained(&all, start, &bounds);
                }
                Step::EvictOldest => {
                    log.evict_oldest();
                    start = (start + 1).min(all.len());
                }
                Step::EvictAll => {
                    log.evict_all();
                    start = all.len();
                }
                Step::Replay(asked) => {
                    let kept = log.since(asked, next);
                    let retained = sequences(&all[start..]);
                    let oldest = retained.first().copied().unwrap_or(next.0);
                    let from = match asked {
                        Start::Live => next.0,
                        Start::Last(last) => next.0 - last.min(next.0 - oldest),
                        Start::Sequence(from) => from.clamp(1, next.0),
                    };
                    prop_assert_eq!(kept.from.0, from);
                    prop_assert_eq!(kept.next, next);
                    let expected: Vec<u64> =
                        retained.into_iter().filter(|sequence| *sequence >= from).collect();
                    prop_assert_eq!(sequences(&kept.slices), expected, "{:?}", asked);
                    for slice in &kept.slices {
                        frames::read(slice);
                    }
                }
            }
            prop_assert_eq!(log.slices(), all.len() - start);
            prop_assert_eq!(log.first(), all.get(start).map(|slice| slice.first));
        }
    }
}
