//! The cost of an operator's question to a core: of one slice, which is the longest that messages wait
//! for it, and of the whole question, per connection.

use blipmq::broker::inspect::{ConnectionsBy, Inspection, List, Question, SubscriptionsBy};
use criterion::{Criterion, Throughput};

use crate::support::World;

const CONNECTIONS: usize = 10_000;

pub fn bench(criterion: &mut Criterion) {
    let mut world = World::new(1);
    for _ in 0..CONNECTIONS {
        let connection = world.connect(0);
        world.subscribe(0, connection, "orders.*");
    }
    let (now, broker) = (world.now, world.broker(0));
    let mut group = criterion.benchmark_group("inspect");
    for (name, list) in [
        ("connections", List::Connections(ConnectionsBy::QueuedBytes)),
        ("subscriptions", List::Subscriptions(SubscriptionsBy::Dropped)),
    ] {
        let question = Question { list, ascending: false, rows_max: 50 };
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("slice_of_{name}"), |bencher| {
            bencher.iter(|| {
                let mut inspection = Inspection::new(question);
                assert!(
                    !broker.inspect(now, &mut inspection),
                    "the question needs more than one slice"
                );
                inspection
            });
        });
        group.throughput(Throughput::Elements(CONNECTIONS as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut inspection = Inspection::new(question);
                while !broker.inspect(now, &mut inspection) {}
                let answer = inspection.into_answer();
                assert_eq!((answer.total, answer.rows.len()), (CONNECTIONS, 50));
            });
        });
    }
    group.finish();
}
