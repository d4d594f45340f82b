//! The time of a round while its threads run: begin, end, and what drains after that.
//!
//! Called by `round`, in the thread that started the others.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::process::{self, Snapshot};
use super::progress::Progress;
use super::round::Load;
use super::shared::{Counters, Pace, Shared};
use super::target::Target;

/// Between two looks at the counters: a point of the plot.
const TICK: Duration = Duration::from_millis(100);
/// A closed loop in which nothing arrives for so long will not go on.
pub const STALL: Duration = Duration::from_secs(10);
/// What did not arrive so long after the last that did is missing.
const DRAIN: Duration = Duration::from_secs(2);

/// What was read at one instant.
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

/// What was measured while the threads ran.
pub struct Measured {
    pub begin: Mark,
    pub end: Mark,
    pub series: Vec<(f64, f64)>,
    pub resident_bytes: Option<u64>,
}

/// Sees to the time; returns when all has arrived, or nothing comes any more. `None` is a stall.
pub fn watch(
    target: &Target,
    load: &Load,
    pid: Option<u32>,
    shared: &Shared,
    progress: &Progress,
) -> Result<Option<Measured>, String> {
    let at = |ns| shared.epoch + Duration::from_nanos(ns);
    let mut last = (Instant::now(), 0);
    // Whether nothing came for so long.
    let mut is_quiet = |limit: Duration| {
        let delivered = shared.sum(|counters| &counters.delivered);
        if delivered != last.1 {
            last = (Instant::now(), delivered);
        }
        last.0.elapsed() >= limit
    };
    let failed = || shared.threads.iter().any(|thread| thread.failed.load(Ordering::Acquire));
    let open_loop = matches!(load.pace, Pace::Rate { .. });
    let mut begin = None;
    let mut series = Vec::new();
    let mut tick = (at(shared.times.start), 0);
    loop {
        let now = Instant::now();
        let (next, is_end) = match &begin {
            None => (at(shared.times.measure), false),
            Some(_) => (at(shared.times.stop), true),
        };
        if now < next {
            thread::sleep(TICK.min(next - now));
        } else if !is_end {
            begin = Some(Mark::now(shared, pid)?);
            tick = (Instant::now(), shared.sum(|counters| &counters.delivered));
            continue;
        }
        let begun = begin.as_ref().map_or(now, |mark: &Mark| mark.at);
        let seconds = tick.0.elapsed().as_secs_f64();
        let delivered = shared.sum(|counters| &counters.delivered);
        if seconds >= TICK.as_secs_f64() / 2.0 {
            let rate = (delivered - tick.1) as f64 / seconds;
            if begin.is_some() {
                series.push((begun.elapsed().as_secs_f64(), rate));
            }
            progress.show(target, rate);
            tick = (Instant::now(), delivered);
        }
        if failed() || (!open_loop && is_quiet(STALL)) {
            break;
        }
        if is_end && now >= next {
            break;
        }
    }
    let Some(begin) = begin.filter(|_| Instant::now() >= at(shared.times.stop)) else {
        return Ok(None);
    };
    let end = Mark::now(shared, pid)?;
    let resident_bytes = pid.and_then(process::resident_bytes);
    let mut quiet_since = (Instant::now(), u64::MAX);
    while !failed() {
        let publishing = |thread: &Counters| thread.publishing.load(Ordering::Acquire);
        let owed = shared.sum(|counters| &counters.owed);
        let settled = shared.sum(|counters| &counters.settled);
        let published = !shared.threads.iter().any(publishing);
        if published && settled >= owed {
            // What comes twice comes late: the last may be such.
            thread::sleep(Duration::from_millis(20));
            break;
        }
        if settled != quiet_since.1 {
            quiet_since = (Instant::now(), settled);
        }
        if published && quiet_since.0.elapsed() >= DRAIN {
            break;
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(Some(Measured { begin, end, series, resident_bytes }))
}
