//! Fan-out on one core without I/O: frames of one publisher to many subscribers. The time is per
//! delivered message and excludes the kernel.

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::support::{World, frame};

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan_out");
    for messages in [1, 64] {
        for subscribers in [1, 8, 48] {
            let mut world = World::new(1);
            let publisher = world.connect(0);
            let topic = world.open(0, publisher, "orders.eu");
            for subscriber in 0..subscribers {
                let connection = world.connect(0);
                let pattern = if subscriber % 2 == 0 { "orders.eu" } else { "orders.*" };
                world.subscribe(0, connection, pattern);
            }
            let frame = frame(topic, messages, 0);
            let per_turn = u64::from(messages) * subscribers;
            let mut expected = 0;
            group.throughput(Throughput::Elements(per_turn));
            let id = BenchmarkId::new(format!("frames_of_{messages}"), subscribers);
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    world.now.monotonic_ns += 1_000;
                    world.receive(0, publisher, &frame);
                    world.turn();
                    expected += per_turn;
                });
            });
            assert_eq!(world.count(|counters| &counters.delivered_messages), expected);
            world.assert_nothing_lost();
        }
    }
    group.finish();
}
