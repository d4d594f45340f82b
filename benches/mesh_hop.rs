//! From core to core: a message whose topic another core owns, without threads; and mesh messages
//! through the channels between two threads.

use std::thread;

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::support::{World, frame};

pub fn bench(criterion: &mut Criterion) {
    brokers(criterion);
    #[cfg(feature = "server")]
    threads(criterion);
}

/// Publisher and subscriber are on core 0, the topic on core 1: each message goes there and back.
fn brokers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mesh_hop");
    for messages in [1, 64] {
        let mut world = World::new(2);
        let topic = (0..)
            .map(|number| format!("topic{number}"))
            .find(|name| world.cluster.core_of(world.cluster.shard_of_name(name)).0 == 1)
            .expect("core 1 owns half of all names");
        let publisher = world.connect(0);
        let id = world.open(0, publisher, &topic);
        let subscriber = world.connect(0);
        world.subscribe(0, subscriber, &topic);
        let frame = frame(id, messages, 0);
        let mut expected = 0;
        group.throughput(Throughput::Elements(u64::from(messages)));
        group.bench_function(BenchmarkId::new("there_and_back", messages), |bencher| {
            bencher.iter(|| {
                world.now.monotonic_ns += 1_000;
                world.receive(0, publisher, &frame);
                world.run();
                expected += u64::from(messages);
            });
        });
        assert_eq!(world.count(|counters| &counters.delivered_messages), expected);
        assert!(expected == 0 || world.count(|counters| &counters.mesh_messages_sent) > 0);
        world.assert_nothing_lost();
    }
    group.finish();
}

#[cfg(feature = "server")]
fn threads(criterion: &mut Criterion) {
    use std::sync::Arc;

    use executors::mesh::{Waker, build};

    let mut group = criterion.benchmark_group("mesh_hop");
    group.throughput(Throughput::Elements(1));
    group.bench_function("messages_between_threads", |bencher| {
        bencher.iter_custom(|messages_sent| {
            let wakers: Arc<[_]> =
                (0..2).map(|_| Arc::new(Waker::new().expect("an eventfd"))).collect();
            let mut ends = build::<u64>(wakers, 1, 16);
            let (receiver, sender) = (ends.pop().expect("core 1"), ends.pop().expect("core 0"));
            let start = std::time::Instant::now();
            let receiving = thread::spawn(move || {
                let mut expected = 0;
                while expected < messages_sent {
                    match receiver.try_recv(0, 0) {
                        Some(message) => {
                            assert_eq!(message, expected);
                            expected += 1;
                        }
                        None => thread::yield_now(),
                    }
                }
            });
            for message in 0..messages_sent {
                let mut message = message;
                while let Err(back) = sender.try_send(1, 0, message) {
                    message = back;
                    thread::yield_now();
                }
            }
            receiving.join().expect("every message arrives in order");
            start.elapsed()
        });
    });
    group.finish();
}
