//! Rates between two polls: differences of counters per second, and percentiles of the difference of
//! two histograms.
//!
//! Called by `state` and `once`. Pure: times are arguments.
//!
//! # Always true
//! - A counter that decreased belongs to another start of the broker: no rate is computed from it.
//! - A percentile is interpolated within its bucket, as if the values were spread evenly over the
//!   bucket. So the error is less than the width of the bucket; the broker's bounds of latency are
//!   about 19 % apart.

use std::collections::HashMap;
use std::time::Duration;

use crate::cli::admin::model::{
    Core, Cores, Counters, Histogram, Latency, Printable, Status, Subscription,
};

/// Selects one of the counters.
type Count = fn(&Counters) -> u64;

/// The reasons why messages did not reach a subscriber or were not accepted, with their counters.
pub const REASONS: [(&str, Count); 10] = [
    ("oldest", |counters| counters.dropped_oldest_messages),
    ("new", |counters| counters.dropped_new_messages),
    ("connection full", |counters| counters.dropped_connection_full_messages),
    ("reclaimed", |counters| counters.reclaimed_messages),
    ("conflated", |counters| counters.conflated_messages),
    ("expired before", |counters| counters.expired_before_enqueue_messages),
    ("expired queued", |counters| counters.expired_in_queue_messages),
    ("disconnected", |counters| counters.dropped_disconnected_messages),
    ("refused", |counters| counters.refused_messages),
    ("no memory", |counters| counters.refused_for_memory_messages),
];

/// The percentiles of latency that are shown.
pub const PERCENTILES: [(&str, f64); 4] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// The rates between two polls.
#[derive(Debug, Clone)]
pub struct Rates {
    pub seconds: f64,
    /// The sum over all cores that have rates.
    pub flow: Flow,
    /// In the order of the cores.
    pub cores: Vec<Option<CoreRates>>,
    /// The number of CPUs that the process kept busy.
    pub cpus_busy: Option<f64>,
    /// In the order of [`PERCENTILES`].
    pub latency: [Option<Percentile>; 4],
}

/// Rates of messages, bytes and connections, per second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flow {
    pub published_messages: f64,
    pub published_bytes: f64,
    pub delivered_messages: f64,
    pub sent_bytes: f64,
    /// In the order of [`REASONS`].
    pub lost_messages: [f64; 10],
    pub publishers_blocked: f64,
    pub connections_opened: f64,
    pub connections_closed: f64,
    pub buffer_shortages: f64,
}

impl Flow {
    pub fn lost(&self) -> f64 {
        self.lost_messages.iter().sum()
    }
}

/// The rates of one core, per second.
#[derive(Debug, Clone, PartialEq)]
pub struct CoreRates {
    /// The fraction of the time that the core did not sleep.
    pub load: f64,
    pub flow: Flow,
    pub turns: f64,
    pub enters: f64,
    /// `None` if no enter sent anything.
    pub sends_per_enter: Option<f64>,
    pub messages_per_send: Option<f64>,
    pub mesh_letters: f64,
    pub mesh_full: f64,
}

/// A percentile, as a value or a lower bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentile {
    pub value: f64,
    /// The percentile is above the last bound, which is the value; no more is known.
    pub is_above: bool,
}

impl Rates {
    /// Computes rates, or returns `None` if the broker was restarted or no time has passed.
    /// `waited` is the time between the polls by the clock of this process.
    pub fn between(
        before: (&Status, &Cores),
        now: (&Status, &Cores),
        waited: Duration,
    ) -> Option<Rates> {
        if before.0.server_id != now.0.server_id {
            return None;
        }
        let reported = now.1.now_unix_seconds - before.1.now_unix_seconds;
        let seconds = elapsed(reported, waited);
        if seconds <= 0.0 {
            return None;
        }
        let earlier: HashMap<u32, &Core> =
            before.1.cores.iter().map(|core| (core.core, core)).collect();
        let rates_of = |core: &Core| CoreRates::between(earlier.get(&core.core)?, core, seconds);
        let cores: Vec<_> = now.1.cores.iter().map(rates_of).collect();
        let mut flow = Flow::default();
        for core in cores.iter().flatten() {
            flow.add(&core.flow);
        }
        let mut latencies: Option<Histogram> = None;
        for core in &now.1.cores {
            let earlier = earlier.get(&core.core);
            let grown = earlier
                .and_then(|earlier| difference(&core.accept_to_send, &earlier.accept_to_send));
            match (&mut latencies, grown) {
                (Some(sum), Some(grown)) => {
                    let pairs = sum.counts.iter_mut().zip(&grown.counts);
                    pairs.for_each(|(sum, count)| *sum += count);
                }
                (latencies @ None, grown) => *latencies = grown,
                (Some(_), None) => {}
            }
        }
        let latency = PERCENTILES.map(|(_, share)| percentile(latencies.as_ref()?, share));
        let cpu_seconds = now.0.process.cpu_seconds - before.0.process.cpu_seconds;
        let cpus_busy = (cpu_seconds >= 0.0).then(|| cpu_seconds / seconds);
        Some(Rates { seconds, flow, cores, cpus_busy, latency })
    }
}

impl Flow {
    fn between(before: &Counters, now: &Counters, seconds: f64) -> Option<Flow> {
        let rate = |count: Count| {
            count(now).checked_sub(count(before)).map(|grown| grown as f64 / seconds)
        };
        let mut lost_messages = [0.0; REASONS.len()];
        for (lost, (_, count)) in lost_messages.iter_mut().zip(REASONS) {
            *lost = rate(count)?;
        }
        Some(Flow {
            published_messages: rate(|counters| counters.published_messages)?,
            published_bytes: rate(|counters| counters.published_bytes)?,
            delivered_messages: rate(|counters| counters.delivered_messages)?,
            sent_bytes: rate(|counters| counters.flushed_bytes)?,
            lost_messages,
            publishers_blocked: rate(|counters| counters.publishers_blocked)?,
            connections_opened: rate(|counters| counters.connections_opened)?,
            connections_closed: rate(|counters| counters.connections_closed)?,
            buffer_shortages: rate(|counters| counters.receive_buffer_shortages)?,
        })
    }

    fn add(&mut self, other: &Flow) {
        self.published_messages += other.published_messages;
        self.published_bytes += other.published_bytes;
        self.delivered_messages += other.delivered_messages;
        self.sent_bytes += other.sent_bytes;
        for (lost, more) in self.lost_messages.iter_mut().zip(other.lost_messages) {
            *lost += more;
        }
        self.publishers_blocked += other.publishers_blocked;
        self.connections_opened += other.connections_opened;
        self.connections_closed += other.connections_closed;
        self.buffer_shortages += other.buffer_shortages;
    }
}

impl CoreRates {
    fn between(before: &Core, now: &Core, seconds: f64) -> Option<CoreRates> {
        let (earlier, counters) = (&before.counters, &now.counters);
        let rate = |before: u64, now: u64| Some(now.checked_sub(before)? as f64 / seconds);
        Some(CoreRates {
            load: (1.0 - (now.asleep_seconds - before.asleep_seconds) / seconds).clamp(0.0, 1.0),
            flow: Flow::between(earlier, counters, seconds)?,
            turns: rate(earlier.turns, counters.turns)?,
            enters: rate(earlier.enters, counters.enters)?,
            sends_per_enter: mean(&before.enter_sends, &now.enter_sends),
            messages_per_send: mean(&before.send_messages, &now.send_messages),
            mesh_letters: rate(earlier.mesh_letters_sent, counters.mesh_letters_sent)?,
            mesh_full: rate(earlier.mesh_full, counters.mesh_full)?,
        })
    }
}

/// Returns the seconds between two polls. The broker's clock is preferred, because it excludes the
/// time that answers travel; but it may have been set in between, and then differs much from `waited`.
fn elapsed(reported: f64, waited: Duration) -> f64 {
    let waited = waited.as_secs_f64();
    match reported > waited / 2.0 && reported < waited * 2.0 {
        true => reported,
        false => waited,
    }
}

/// Returns the values added to a histogram since `before`, or `None` if the histogram was reset.
fn difference(now: &Histogram, before: &Histogram) -> Option<Histogram> {
    if now.upper != before.upper {
        return None;
    }
    let pairs = now.counts.iter().zip(&before.counts);
    let counts = pairs.map(|(now, before)| now.checked_sub(*before)).collect::<Option<_>>()?;
    Some(Histogram { upper: now.upper.clone(), counts, sum: now.sum - before.sum })
}

/// Returns the mean of the values added to a histogram since `before`.
fn mean(before: &Histogram, now: &Histogram) -> Option<f64> {
    let grown = difference(now, before)?;
    let count: u64 = grown.counts.iter().sum();
    (count > 0).then(|| grown.sum / count as f64)
}

/// Returns a percentile, or `None` for an empty histogram.
pub fn percentile(histogram: &Histogram, share: f64) -> Option<Percentile> {
    let total: u64 = histogram.counts.iter().sum();
    let rank = share * total as f64;
    let mut below = 0;
    let mut lower = 0.0;
    for (upper, count) in histogram.upper.iter().zip(&histogram.counts) {
        if *count > 0 && (below + count) as f64 >= rank {
            let within = (rank - below as f64) / *count as f64;
            return Some(Percentile { value: lower + (upper - lower) * within, is_above: false });
        }
        below += count;
        lower = *upper;
    }
    (total > 0).then_some(Percentile { value: lower, is_above: true })
}

/// Returns the broker's own percentiles, in the order of [`PERCENTILES`].
pub fn since_start(latency: &Latency) -> [Option<f64>; 4] {
    [latency.p50_seconds, latency.p90_seconds, latency.p99_seconds, latency.p999_seconds]
}

/// The rates at which subscriptions lose messages, from one poll to the next.
#[derive(Debug, Default)]
pub struct Losses {
    /// The messages lost, and the rate if the last two polls had the subscription.
    seen: HashMap<Identity, (u64, Option<f64>)>,
}

/// What distinguishes a subscription: its connection and name, or pattern and group of a group's queue.
type Identity = (Option<Printable>, Printable, Printable, Option<Printable>);

fn identity(row: &Subscription) -> Identity {
    (row.connection.clone(), row.subscription.clone(), row.pattern.clone(), row.group.clone())
}

impl Losses {
    pub fn update(&mut self, rows: &[Subscription], seconds: f64) {
        let before = std::mem::take(&mut self.seen);
        for row in rows {
            let key = identity(row);
            let grown =
                before.get(&key).and_then(|(lost, _)| row.dropped_messages.checked_sub(*lost));
            let rate = grown.filter(|_| seconds > 0.0).map(|grown| grown as f64 / seconds);
            self.seen.insert(key, (row.dropped_messages, rate));
        }
    }

    pub fn rate_of(&self, row: &Subscription) -> Option<f64> {
        self.seen.get(&identity(row))?.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::samples;

    fn histogram(upper: &[f64], counts: &[u64]) -> Histogram {
        Histogram { upper: upper.to_vec(), counts: counts.to_vec(), sum: 0.0 }
    }

    #[test]
    fn percentiles_are_interpolated_within_their_bucket() {
        let within = |share| percentile(&histogram(&[1.0, 2.0, 4.0], &[0, 50, 50, 0]), share);
        assert_eq!(within(0.25), Some(Percentile { value: 1.5, is_above: false }));
        assert_eq!(within(0.5), Some(Percentile { value: 2.0, is_above: false }));
        assert_eq!(within(0.75), Some(Percentile { value: 3.0, is_above: false }));
        assert_eq!(within(1.0), Some(Percentile { value: 4.0, is_above: false }));
        let first = percentile(&histogram(&[1.0], &[10, 0]), 0.5);
        assert_eq!(first, Some(Percentile { value: 0.5, is_above: false }));
    }

    #[test]
    fn percentiles_above_the_last_bound_are_marked_and_empty_histograms_have_none() {
        let above = percentile(&histogram(&[1.0, 2.0], &[1, 0, 9]), 0.5);
        assert_eq!(above, Some(Percentile { value: 2.0, is_above: true }));
        assert_eq!(percentile(&histogram(&[1.0, 2.0], &[0, 0, 0]), 0.5), None);
        assert_eq!(percentile(&histogram(&[], &[0]), 0.5), None);
    }

    /// Goal: the error of a percentile is never larger than its bucket.
    /// Method: known values, bounds 19 % apart, each percentile compared with the sorted values.
    #[test]
    fn percentiles_are_off_by_less_than_their_bucket() {
        let mut upper = vec![1e-6];
        while upper.len() < 100 {
            upper.push(upper[upper.len() - 1] * 1.19);
        }
        let values: Vec<f64> = (1..=5_000).map(|at| 1e-9 * f64::from(at) * f64::from(at)).collect();
        let mut counts = vec![0; upper.len() + 1];
        for value in &values {
            counts[upper.partition_point(|bound| bound < value)] += 1;
        }
        let histogram = Histogram { upper, counts, sum: 0.0 };
        for share in [0.5, 0.9, 0.99, 0.999] {
            let truth = values[(share * values.len() as f64) as usize - 1];
            let found = percentile(&histogram, share).expect("a percentile").value;
            assert!((found / truth - 1.0).abs() < 0.19, "{share}: {found} for {truth}");
        }
    }

    #[test]
    fn rates_are_differences_per_second_of_the_brokers_clock() {
        let (status, before) = (samples::status(), samples::cores(2, 1));
        let mut now = samples::cores(2, 3);
        now.now_unix_seconds = before.now_unix_seconds + 2.0;
        let waited = Duration::from_millis(2_100);
        let rates = Rates::between((&status, &before), (&status, &now), waited)
            .expect("the same server id");
        assert_eq!(rates.seconds, 2.0);
        let grown = |count: Count| {
            let sum = |cores: &Cores| cores.cores.iter().map(|core| count(&core.counters)).sum();
            let (before, now): (u64, u64) = (sum(&before), sum(&now));
            assert!(now > before);
            (now - before) as f64 / 2.0
        };
        assert_eq!(rates.flow.published_messages, grown(|counters| counters.published_messages));
        assert_eq!(rates.flow.sent_bytes, grown(|counters| counters.flushed_bytes));
        assert_eq!(rates.flow.lost_messages[0], grown(|counters| counters.dropped_oldest_messages));
        let core = rates.cores[1].as_ref().expect("rates");
        let asleep = now.cores[1].asleep_seconds - before.cores[1].asleep_seconds;
        assert_eq!(core.load, 1.0 - asleep / 2.0);
        assert!(rates.latency.iter().all(Option::is_some));
    }

    #[test]
    fn a_broker_clock_that_was_set_is_ignored() {
        assert_eq!(elapsed(1.01, Duration::from_secs(1)), 1.01);
        for reported in [-3_600.0, 0.0, 0.4, 2.1, 3_600.0] {
            assert_eq!(elapsed(reported, Duration::from_secs(1)), 1.0, "{reported}");
        }
    }

    #[test]
    fn no_rates_are_computed_across_a_restart() {
        let (before, cores) = (samples::status(), samples::cores(2, 1));
        let mut now = before.clone();
        now.server_id = Printable::new("0000000000000001");
        let later = samples::cores(2, 2);
        let waited = Duration::from_secs(1);
        assert!(Rates::between((&before, &cores), (&now, &later), waited).is_none());
    }

    #[test]
    fn a_core_that_is_new_or_whose_counters_decreased_has_no_rates() {
        let (status, before) = (samples::status(), samples::cores(2, 2));
        let mut now = samples::cores(3, 3);
        now.cores[0].counters.turns = 0;
        let waited = Duration::from_secs(1);
        let rates = Rates::between((&status, &before), (&status, &now), waited)
            .expect("the same server id");
        let known: Vec<bool> = rates.cores.iter().map(Option::is_some).collect();
        assert_eq!(known, [false, true, false]);
        let alone = rates.cores[1].as_ref().expect("rates").flow.clone();
        assert_eq!(rates.flow, alone);
    }

    #[test]
    fn loss_rates_need_two_polls_with_the_subscription() {
        let mut losses = Losses::default();
        let mut rows = vec![samples::subscription("a", 10), samples::subscription("b", 20)];
        losses.update(&rows, 0.0);
        assert_eq!(losses.rate_of(&rows[0]), None);
        rows[0].dropped_messages = 16;
        rows[1] = samples::subscription("c", 5);
        losses.update(&rows, 2.0);
        assert_eq!(losses.rate_of(&rows[0]), Some(3.0));
        assert_eq!(losses.rate_of(&rows[1]), None);
    }
}
