//! The course of a round while its threads run: warm-up, measurement, and the drain at the end.
//!
//! Called by `round`, on the thread that started the workers.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::process::{self, Snapshot};
use super::progress::Progress;
use super::shared::{Counters, Pace, Shared};
use super::target::Target;

/// The time between two samples of the counters; each sample is a point of the plot.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
/// A closed loop without a delivery for this long is stalled for good.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Deliveries that are still missing this long after the last one count as missing.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for duplicates, which arrive after the last expected delivery.
const DUPLICATES_TIMEOUT: Duration = Duration::from_millis(20);

/// The counters and CPU times at one instant.
pub struct Mark {
    pub at: Instant,
    pub published: u64,
    pub delivered: u64,
    pub broker: Option<Snapshot>,
    pub generator: Snapshot,
}

impl Mark {
    fn now(shared: &Shared, pid: Option<u32>) -> Result<Mark, String> {
        Ok(Mark {
            at: Instant::now(),
            published: shared.sum(|counters| &counters.published),
            delivered: shared.sum(|counters| &counters.delivered),
            broker: pid.map(Snapshot::of).transpose()?,
            generator: Snapshot::of(std::process::id())?,
        })
    }
}

/// The measurements of one round.
pub struct Measured {
    pub begin: Mark,
    pub end: Mark,
    /// Seconds since `begin`, and deliveries per second at that time.
    pub series: Vec<(f64, f64)>,
    pub resident_bytes: Option<u64>,
}

/// Measures a round and waits for its last deliveries. Returns `None` if the load stalled or a
/// thread failed before the end.
pub fn watch(
    target: &Target,
    pid: Option<u32>,
    shared: &Shared,
    progress: &Progress,
) -> Result<Option<Measured>, String> {
    let at = |ns| shared.epoch + Duration::from_nanos(ns);
    let mut sampler = Sampler {
        target,
        shared,
        progress,
        last_sample: (at(shared.times.start), 0),
        last_delivery: (Instant::now(), 0),
        series: Vec::new(),
    };
    if !sampler.run_until(at(shared.times.measure), None) {
        return Ok(None);
    }
    let begin = Mark::now(shared, pid)?;
    sampler.last_sample = (Instant::now(), sampler.delivered());
    if !sampler.run_until(at(shared.times.stop), Some(begin.at)) {
        return Ok(None);
    }
    let end = Mark::now(shared, pid)?;
    let resident_bytes = pid.and_then(process::resident_bytes);
    drain(shared);
    Ok(Some(Measured { begin, end, series: sampler.series, resident_bytes }))
}

/// Samples the deliveries of all threads at regular intervals.
struct Sampler<'a> {
    target: &'a Target,
    shared: &'a Shared,
    progress: &'a Progress,
    /// The instant of the last sample, and the deliveries until then.
    last_sample: (Instant, u64),
    /// The instant at which the number of deliveries last changed, and that number.
    last_delivery: (Instant, u64),
    series: Vec<(f64, f64)>,
}

impl Sampler<'_> {
    /// Samples until `end`. Returns whether `end` was reached before a failure or a stall. Samples
    /// are recorded if the measurement has begun.
    fn run_until(&mut self, end: Instant, begun: Option<Instant>) -> bool {
        loop {
            let now = Instant::now();
            if now < end {
                thread::sleep(SAMPLE_INTERVAL.min(end - now));
            }
            self.sample(begun);
            if now >= end || has_failed(self.shared) || self.check_stall() {
                return Instant::now() >= end;
            }
        }
    }

    fn sample(&mut self, begun: Option<Instant>) {
        let seconds = self.last_sample.0.elapsed().as_secs_f64();
        if seconds < SAMPLE_INTERVAL.as_secs_f64() / 2.0 {
            return;
        }
        let delivered = self.delivered();
        let rate = (delivered - self.last_sample.1) as f64 / seconds;
        if let Some(begun) = begun {
            self.series.push((begun.elapsed().as_secs_f64(), rate));
        }
        self.progress.show_rate(self.target, rate);
        self.last_sample = (Instant::now(), delivered);
    }

    /// Notes new deliveries, and returns whether a closed loop has stalled.
    fn check_stall(&mut self) -> bool {
        if matches!(self.shared.pace, Pace::Rate { .. }) {
            return false;
        }
        let delivered = self.delivered();
        if delivered != self.last_delivery.1 {
            self.last_delivery = (Instant::now(), delivered);
        }
        self.last_delivery.0.elapsed() >= STALL_TIMEOUT
    }

    fn delivered(&self) -> u64 {
        self.shared.sum(|counters| &counters.delivered)
    }
}

fn has_failed(shared: &Shared) -> bool {
    shared.threads.iter().any(|thread| thread.failed.load(Ordering::Acquire))
}

/// Waits until all deliveries are settled, or no further one is settled for [`DRAIN_TIMEOUT`].
fn drain(shared: &Shared) {
    let mut last_change = (Instant::now(), u64::MAX);
    while !has_failed(shared) {
        let is_publishing = |thread: &Counters| thread.publishing.load(Ordering::Acquire);
        let owed = shared.sum(|counters| &counters.owed);
        let settled = shared.sum(|counters| &counters.settled);
        let all_published = !shared.threads.iter().any(is_publishing);
        if all_published && settled >= owed {
            thread::sleep(DUPLICATES_TIMEOUT);
            return;
        }
        if settled != last_change.1 {
            last_change = (Instant::now(), settled);
        }
        if all_published && last_change.0.elapsed() >= DRAIN_TIMEOUT {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}
