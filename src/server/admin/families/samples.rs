//! Families and samples in the types of the `prometheus` crate.

use blipmq::broker::histogram::{self, BOUNDS, Histogram};
use prometheus::proto::{self, Bucket, LabelPair, Metric, MetricFamily, MetricType};

pub fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// A sample. The text format has floating point only: above 2^53 the last digits are rounded.
pub fn metric(kind: MetricType, labels: &[(&str, &str)], number: f64) -> Metric {
    let mut metric = Metric::from_label(labels.iter().map(label).collect());
    if kind == MetricType::COUNTER {
        let mut value = proto::Counter::default();
        value.set_value(number);
        metric.set_counter(value);
    } else {
        let mut value = proto::Gauge::default();
        value.set_value(number);
        metric.set_gauge(value);
    }
    metric
}

/// A histogram whose bounds are powers of two; `/api/v1/cores` has the finer one.
pub fn histogram_of(core: &str, histogram: &Histogram, unit: f64) -> Metric {
    let counts = histogram.counts();
    let mut seen = 0;
    let mut buckets = Vec::new();
    for (index, count) in counts.iter().take(BOUNDS).enumerate() {
        seen += count;
        let bound = histogram::bound(index);
        if bound.is_power_of_two() {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound as f64 / unit);
            bucket.set_cumulative_count(seen);
            buckets.push(bucket);
        }
    }
    let mut value = proto::Histogram::default();
    value.set_sample_sum(histogram.sum() as f64 / unit);
    value.set_sample_count(seen + counts[BOUNDS]);
    value.set_bucket(buckets);
    let mut metric = Metric::from_label(vec![label(&("core", core))]);
    metric.set_histogram(value);
    metric
}

fn label(&(name, value): &(&str, &str)) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}
