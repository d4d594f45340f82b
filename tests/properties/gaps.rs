//! Runs of missed messages, compared with a list of them.

use blipmq::broker::delivery::gaps::Gaps;
use blipmq::broker::message::Gap;
use blipmq::protocol::{GapReason, Sequence};
use proptest::prelude::*;

use crate::frames;

#[derive(Debug, Clone)]
enum Step {
    /// `messages` are missed behind `delivered` ones.
    Add {
        topic: u32,
        delivered: u64,
        messages: u64,
        expired: bool,
    },
    Take,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let topic = prop_oneof![0..4u32, 0..40u32];
    let delivered = prop_oneof![4 => Just(0u64), 1 => 1..3u64];
    let add = (topic, delivered, 1..4u64, prop::bool::weighted(0.2)).prop_map(
        |(topic, delivered, messages, expired)| Step::Add { topic, delivered, messages, expired },
    );
    prop::collection::vec(prop_oneof![3 => add, 1 => Just(Step::Take)], 0..200)
}

proptest! {
    #![proptest_config(super::config())]

    /// Goal: a gap that continues the last run of its topic extends that run, and otherwise is a run of its
    /// own, however many runs there are and however many were taken.
    #[test]
    fn gaps_behave_like_a_list_of_runs(steps in steps()) {
        let mut gaps = Gaps::default();
        let mut list: Vec<Gap> = Vec::new();
        let mut next = [1u64; 40];
        for step in steps {
            match step {
                Step::Add { topic, delivered, messages, expired } => {
                    let next = &mut next[topic as usize];
                    let gap = Gap {
                        topic: frames::named(topic + 1),
                        subscription: 0,
                        first: Sequence(*next + delivered),
                        messages,
                        reason: if expired { GapReason::Expired } else { GapReason::Overflow },
                    };
                    *next += delivered + messages;
                    gaps.add(gap.clone());
                    let last = list.iter_mut().rfind(|run| run.topic.id == gap.topic.id);
                    match last.filter(|run| {
                        run.reason == gap.reason && run.first.0 + run.messages == gap.first.0
                    }) {
                        Some(run) => run.messages += messages,
                        None => list.push(gap),
                    }
                }
                Step::Take => {
                    let first = (!list.is_empty()).then(|| list.remove(0));
                    prop_assert_eq!(gaps.take_first(), first);
                }
            }
            prop_assert_eq!(gaps.len(), list.len());
            prop_assert_eq!(gaps.is_empty(), list.is_empty());
        }
        for run in list {
            prop_assert_eq!(gaps.take_first(), Some(run));
        }
        prop_assert!(gaps.is_empty());
    }
}
