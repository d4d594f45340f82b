//! Messages with a time to live: messages in time, and messages that expire in a queue and are reported
//! as a gap.

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::support::{World, frame};

const MESSAGES: u16 = 64;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ttl");
    group.throughput(Throughput::Elements(u64::from(MESSAGES)));
    for (name, waits_ns) in [("in_time", 0), ("expired", 2_000_000)] {
        let mut world = World::new(1);
        let publisher = world.connect(0);
        let topic = world.open(0, publisher, "quotes");
        let subscriber = world.connect(0);
        world.subscribe(0, subscriber, "quotes");
        let frame = frame(topic, MESSAGES, 1);
        // From here on the subscriber's socket is free only when the next message is queued.
        world.receive(0, publisher, &frame);
        world.turn_without_completions();
        let mut expected = 0;
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                world.now.monotonic_ns += 1_000;
                world.receive(0, publisher, &frame);
                world.turn_without_completions();
                world.now.monotonic_ns += waits_ns;
                world.complete_sends();
                world.turn_without_completions();
                expected += u64::from(MESSAGES);
            });
        });
        world.complete_sends();
        let delivered = world.count(|counters| &counters.delivered_messages);
        let expired = world.count(|counters| &counters.expired_in_queue_messages);
        let in_time = waits_ns == 0;
        let first = u64::from(MESSAGES);
        let counts = if in_time { (first + expected, 0) } else { (first, expected) };
        assert_eq!((delivered, expired), counts);
    }
    group.finish();
}
