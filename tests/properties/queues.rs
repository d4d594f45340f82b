//! The queue of a subscription compared with a plain list, for each policy.

use blipmq::broker::delivery::overflow;
use blipmq::broker::delivery::queue::{Bounds, Entry, Queue};
use blipmq::config::OverflowPolicy;
use blipmq::protocol::GapReason;
use proptest::prelude::*;

use crate::frames::{self, Shape};
use crate::list::List;

/// Enough topics that more gaps wait than are looked at linearly, see `gaps`.
const TOPICS: usize = 20;

#[derive(Debug, Clone)]
enum Step {
    Enqueue(usize, Shape),
    /// A message that has expired before the queue.
    Miss(usize, u64),
    Take {
        messages_max: u32,
        bytes_max: usize,
        over_budget: bool,
    },
    /// The reader takes everything.
    TakeAll,
}

/// A few topics, so that they meet often; sometimes any topic.
fn topics() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..4usize, 1 => 0..TOPICS]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => (topics(), frames::shapes()).prop_map(|(topic, shape)| Step::Enqueue(topic, shape)),
        2 => (topics(), 1..4u64).prop_map(|(topic, messages)| Step::Miss(topic, messages)),
        6 => (0..12u32, 0..800usize, any::<bool>()).prop_map(
            |(messages_max, bytes_max, over_budget)| Step::Take { messages_max, bytes_max, over_budget }
        ),
        1 => Just(Step::TakeAll),
    ];
    prop::collection::vec(step, 0..100)
}

/// Retained messages for a replay.
fn replays() -> impl Strategy<Value = Vec<(usize, bool, Shape)>> {
    prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec((topics(), any::<bool>(), frames::shapes()), 1..4),
    ]
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let bytes_max = prop_oneof![1 => 1..100u64, 3 => 100..2_000u64, 1 => Just(1 << 20)];
    (1..16u32, bytes_max).prop_map(|(messages_max, bytes_max)| Bounds { messages_max, bytes_max })
}

struct Both {
    policy: OverflowPolicy,
    bounds: Bounds,
    queue: Queue,
    list: List,
    /// The next sequence of each topic.
    next: [u64; TOPICS],
    disconnected: bool,
}

impl Both {
    fn new(policy: OverflowPolicy, bounds: Bounds) -> Both {
        let (queue, list) = (Queue::default(), List::new(policy, bounds));
        Both { policy, bounds, queue, list, next: [1; TOPICS], disconnected: false }
    }

    fn replay(&mut self, topic: usize, missing: bool, shape: &Shape) {
        let (id, first) = (topic as u32 + 1, self.next[topic]);
        let slice = frames::slice(id, first, shape);
        self.next[topic] = slice.next().0;
        self.queue.push_replay(if missing {
            self.list.miss_replay(id, first, u64::from(slice.messages));
            Entry::Gap(slice.gap(GapReason::NoLongerKept))
        } else {
            self.list.push_replay(id, first, shape);
            Entry::Slice(slice)
        });
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Enqueue(topic, shape) => {
                let (id, first) = (*topic as u32 + 1, self.next[*topic]);
                let slice = frames::slice(id, first, shape);
                let outcome = overflow::enqueue(&mut self.queue, &slice, self.policy, self.bounds);
                assert_eq!(outcome, self.list.enqueue(id, first, shape));
                self.disconnected |= outcome.disconnects;
                if !outcome.disconnects {
                    self.next[*topic] = slice.next().0;
                }
            }
            Step::Miss(topic, messages) => {
                let id = *topic as u32 + 1;
                let shape = vec![vec![0; *messages as usize]];
                let slice = frames::slice(id, self.next[*topic], &shape);
                self.list.miss(id, self.next[*topic], *messages, GapReason::Expired);
                self.queue.miss(slice.gap(GapReason::Expired));
                self.next[*topic] += messages;
            }
            Step::Take { messages_max, bytes_max, over_budget } => {
                self.take(*messages_max, *bytes_max, *over_budget);
            }
            Step::TakeAll => self.take_all(),
        }
        self.compare();
    }

    fn take(&mut self, messages_max: u32, bytes_max: usize, over_budget: bool) -> bool {
        match self.queue.take_next(messages_max, bytes_max, over_budget) {
            Some(Entry::Slice(slice)) => {
                let fits = slice.messages <= messages_max && slice.frames.len() <= bytes_max;
                assert!(fits || (over_budget && slice.is_one_frame()), "a budget is kept");
                self.list.took(&slice);
                true
            }
            Some(Entry::Gap(gap)) => {
                self.list.took_gap(&gap);
                true
            }
            None => {
                assert!(!over_budget || self.queue.is_empty(), "what is queued can be taken");
                false
            }
        }
    }

    fn take_all(&mut self) {
        while self.take(1, 0, true) {}
    }

    fn compare(&self) {
        let holds_bounds = self.policy != OverflowPolicy::Block;
        self.queue.audit(self.bounds, holds_bounds);
        assert_eq!(self.queue.messages(), self.list.messages());
        assert_eq!(self.queue.messages_with_replay(), self.list.messages_with_replay());
        assert_eq!(self.queue.bytes(), self.list.bytes());
        assert_eq!(self.queue.is_empty(), self.list.is_empty());
    }

    /// Checks that every message was delivered or reported.
    fn finish(&mut self) {
        self.take_all();
        self.compare();
        assert!(self.queue.is_empty() && self.queue.gap_runs() == 0 && self.queue.entries() == 0);
        for (topic, next) in self.next.iter().enumerate() {
            assert_eq!(self.list.next_unreported(topic as u32 + 1), *next, "topic {topic}");
        }
    }
}

fn play(policy: OverflowPolicy, bounds: Bounds, replays: &[(usize, bool, Shape)], steps: &[Step]) {
    let mut both = Both::new(policy, bounds);
    for (topic, missing, shape) in replays {
        both.replay(*topic, *missing, shape);
    }
    for step in steps {
        both.step(step);
        if both.disconnected {
            break;
        }
    }
    both.finish();
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn drop_oldest_behaves_like_a_list_that_loses_its_front(
        bounds in bounds(), replays in replays(), steps in steps(),
    ) {
        play(OverflowPolicy::DropOldest, bounds, &replays, &steps);
    }

    #[test]
    fn drop_new_behaves_like_a_list_that_refuses_at_its_end(
        bounds in bounds(), replays in replays(), steps in steps(),
    ) {
        play(OverflowPolicy::DropNew, bounds, &replays, &steps);
    }

    #[test]
    fn block_behaves_like_a_list_that_loses_nothing_and_blocks_before_it_is_full(
        bounds in bounds(), replays in replays(), steps in steps(),
    ) {
        play(OverflowPolicy::Block, bounds, &replays, &steps);
    }

    #[test]
    fn disconnect_behaves_like_a_list_that_ends_at_its_bound(
        bounds in bounds(), replays in replays(), steps in steps(),
    ) {
        play(OverflowPolicy::Disconnect, bounds, &replays, &steps);
    }

    #[test]
    fn latest_behaves_like_a_list_of_one_message_per_topic(
        bounds in bounds(), replays in replays(), steps in steps(),
    ) {
        play(OverflowPolicy::Latest, bounds, &replays, &steps);
    }
}
