//! The queue of one subscription: enqueue and take, and enqueue at the bound.

use std::hint::black_box;
use std::sync::Arc;

use blipmq::broker::delivery::overflow::{Outcome, enqueue};
use blipmq::broker::delivery::queue::{Bounds, Entry, Queue};
use blipmq::broker::message::{Slice, TopicName};
use blipmq::config::OverflowPolicy;
use blipmq::protocol::{CoreId, Sequence, TopicId};
use bytes::Bytes;
use criterion::{Criterion, Throughput};

use crate::support::frame;

const PORTIONS: u64 = 64;
const BOUNDS: Bounds = Bounds { messages_max: 2_048, bytes_max: 64 << 20 };

struct Slices {
    topic: Arc<TopicName>,
    frames: Bytes,
    next: Sequence,
}

impl Slices {
    fn new() -> Slices {
        let name = "bench".into();
        let topic = Arc::new(TopicName { id: TopicId(1), owner: CoreId(0), name });
        Slices { topic, frames: frame(1, 1, 0).into(), next: Sequence(1) }
    }

    fn next(&mut self) -> Slice {
        let slice = Slice {
            subscription: 0,
            topic: self.topic.clone(),
            first: self.next,
            messages: 1,
            received_ns: 0,
            deadline_ns: u64::MAX,
            not_to: None,
            frames: self.frames.clone(),
        };
        self.next = slice.next();
        slice
    }
}

fn take(queue: &mut Queue) -> Option<Entry> {
    queue.take_next(256, 256 << 10, true)
}

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    group.throughput(Throughput::Elements(PORTIONS));
    group.bench_function("push_and_take", |bencher| {
        let (mut queue, mut slices) = (Queue::default(), Slices::new());
        bencher.iter(|| {
            for _ in 0..PORTIONS {
                let slice = slices.next();
                let outcome = enqueue(&mut queue, &slice, OverflowPolicy::DropOldest, BOUNDS);
                assert_eq!(outcome, Outcome { enqueued: 1, ..Outcome::default() });
            }
            let mut taken = 0;
            while let Some(entry) = take(&mut queue) {
                assert!(matches!(black_box(entry), Entry::Slice(_)));
                taken += 1;
            }
            assert_eq!(taken, PORTIONS);
        });
    });
    for (name, policy) in
        [("drop_oldest", OverflowPolicy::DropOldest), ("drop_new", OverflowPolicy::DropNew)]
    {
        group.bench_function(name, |bencher| {
            let (mut queue, mut slices) = (Queue::default(), Slices::new());
            for _ in 0..BOUNDS.messages_max {
                enqueue(&mut queue, &slices.next(), policy, BOUNDS);
            }
            bencher.iter(|| {
                for _ in 0..PORTIONS {
                    let outcome = enqueue(&mut queue, &slices.next(), policy, BOUNDS);
                    assert_eq!(outcome.dropped_oldest + outcome.dropped_new, 1);
                }
                assert_eq!(queue.messages(), u64::from(BOUNDS.messages_max));
                assert_eq!(queue.gap_runs(), 1, "all missing messages are one run");
            });
        });
    }
    group.finish();
}
