//! Finds the subscriptions that match a topic, among few and many.

use std::hint::black_box;

use blipmq::broker::pattern::Matcher;
use criterion::{BenchmarkId, Criterion, Throughput};

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("topic_match");
    group.throughput(Throughput::Elements(1));
    for (kind, ending) in [("exact", "new"), ("pattern", "*")] {
        for subscriptions in [10, 1_000, 100_000u32] {
            let mut matcher = Matcher::default();
            for number in 0..subscriptions {
                matcher.insert(&format!("orders.eu.{number}.{ending}"), number);
            }
            let topics: Vec<(String, u32)> = (0..64)
                // Spread over all subscriptions, so that the CPU's caches are used realistically.
                .map(|step| (step * 7_919) % subscriptions)
                .map(|number| (format!("orders.eu.{number}.new"), number))
                .collect();
            let mut next = 0;
            let mut found = Vec::new();
            group.bench_function(BenchmarkId::new(kind, subscriptions), |bencher| {
                bencher.iter(|| {
                    let (topic, number) = &topics[next % topics.len()];
                    next += 1;
                    found.clear();
                    matcher.matches(black_box(topic), &mut found);
                    assert_eq!(found, [*number]);
                });
            });
        }
    }
    group.finish();
}
