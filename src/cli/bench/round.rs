//! One round: opens the connections, runs the threads for a while, and sums up their results.
//!
//! Called by `mod` for each target in turn. Next on the path: `worker`, once per thread.
//!
//! # Always true
//! - Nothing is published before every subscription is active.
//! - Rates and CPU times cover the same period: both are read at its begin and its end.
//! - Every published message is accounted for, also before and after that period.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::connect::{Connection, buffer_len};
use super::connections::{check_mirror, open_bystanders, open_publishers, open_subscribers};
use super::plan::Plan;
use super::process::Cpu;
use super::progress::Progress;
use super::publisher::{Lateness, Publisher};
use super::setup::pin;
use super::shared::{Counters, Pace, Shared, Times};
use super::target::Target;
use super::tracker::Faults;
use super::watch::{Measured, STALL_TIMEOUT, watch};
use super::worker::{self, Subscriber, Worker, WorkerResult};

/// The most faults that are described individually.
const FAULT_TEXTS_MAX: usize = 5;
/// The time between the start of the threads and the first message.
const HEAD_START: Duration = Duration::from_millis(20);

/// The load that every round generates.
#[derive(Debug, Clone)]
pub struct Load {
    pub publishers: usize,
    pub subscribers: usize,
    pub topics: usize,
    pub payload_len: usize,
    pub batch: usize,
    pub pace: Pace,
    pub warmup: Duration,
    pub measured: Duration,
    pub patterns: usize,
    pub idle_connections: usize,
    pub threads: usize,
    pub cpus: Vec<usize>,
}

/// The result of a round.
#[derive(Debug)]
pub struct Round {
    /// The length of the measurement.
    pub seconds: f64,
    pub payload_len: usize,
    /// Messages published during the measurement.
    pub published: u64,
    /// Messages delivered during the measurement.
    pub delivered: u64,
    pub broker: Option<Cpu>,
    pub resident_bytes: Option<u64>,
    pub generator: Cpu,
    /// In nanoseconds.
    pub latency: Histogram<u64>,
    /// Seconds since the measurement began, and deliveries per second until then.
    pub series: Vec<(f64, f64)>,
    pub lateness: Lateness,
    /// Counts over the whole round.
    pub totals: Totals,
    pub faults: Faults,
    /// The first faults, each with its place.
    pub fault_texts: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
pub struct Totals {
    pub published: u64,
    /// Deliveries that the published messages must lead to.
    pub owed: u64,
    pub delivered: u64,
}

pub fn run(
    target: &Target,
    load: &Load,
    pid: Option<u32>,
    progress: &Progress,
) -> Result<Round, String> {
    let plan = Plan::new(&run_name(), load.publishers, load.subscribers, load.topics)?;
    check_mirror(target, load)?;
    let bystanders = open_bystanders(target, load, &plan)?;
    let subscribers = open_subscribers(target, load, &plan)?;
    let publishers = open_publishers(target, load, &plan)?;
    let threads = (0..load.threads).map(|_| Counters::new()).collect::<Result<_, _>>()?;
    let epoch = Instant::now();
    let start = HEAD_START.as_nanos() as u64;
    let measure = start + load.warmup.as_nanos() as u64;
    let stop = measure + load.measured.as_nanos() as u64;
    let shared = Arc::new(Shared {
        epoch,
        pace: load.pace,
        times: Times { start, measure, stop },
        cells: (0..plan.cells()).map(|_| AtomicU32::new(0)).collect(),
        ended: AtomicBool::new(false),
        threads,
    });
    let threads = start_threads(load, &shared, publishers, subscribers, bystanders)?;
    let watched = watch(target, pid, &shared, progress);
    shared.ended.store(true, Ordering::Release);
    shared.threads.iter().for_each(Counters::wake);
    let results = threads.into_iter().map(|thread| match thread.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    });
    let results: Vec<WorkerResult> = results.collect();
    let totals = Totals {
        published: shared.sum(|counters| &counters.published),
        owed: shared.sum(|counters| &counters.owed),
        delivered: shared.sum(|counters| &counters.delivered),
    };
    let arrived = format!("{} of {} deliveries had arrived", totals.delivered, totals.owed);
    if let Some(failure) = results.iter().find_map(|result| result.failure.as_ref()) {
        return Err(format!("{target}: {failure}; {arrived}"));
    }
    let sent = sent_per_stream(&plan, &results);
    let Some(measured) = watched? else {
        let waiting = describe_stall(&plan, &shared, &sent);
        let stall_s = STALL_TIMEOUT.as_secs();
        return Err(format!(
            "{target}: nothing was delivered for {stall_s} s: {waiting}; {arrived}. Does the broker \
             drop messages? With a smaller --window, fewer messages are in flight"
        ));
    };
    Ok(summarize(&plan, load, measured, &results, &sent, totals))
}

/// Returns a random name, so that rounds and generators never share topics.
pub fn run_name() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    format!("{:08x}", RandomState::new().build_hasher().finish() as u32)
}

/// Distributes the connections over the threads and starts them. A publisher and a subscriber of
/// the same number, which are often a pair, share a thread.
fn start_threads(
    load: &Load,
    shared: &Arc<Shared>,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    bystanders: Vec<Connection>,
) -> Result<Vec<JoinHandle<WorkerResult>>, String> {
    let unit_len = load.batch * (load.payload_len + 64);
    let mut workers: Vec<Worker> = (0..load.threads)
        .map(|number| Worker {
            number,
            shared: shared.clone(),
            publishers: Vec::new(),
            subscribers: Vec::new(),
            bystanders: Vec::new(),
            buffer_len: buffer_len(unit_len),
        })
        .collect();
    for publisher in publishers {
        workers[publisher.number % load.threads].publishers.push(publisher);
    }
    for subscriber in subscribers {
        workers[subscriber.number % load.threads].subscribers.push(subscriber);
    }
    workers[0].bystanders = bystanders;
    let start = |worker: Worker| {
        let cpu = load.cpus.get(worker.number % load.cpus.len().max(1)).copied();
        thread::Builder::new()
            .name(format!("bench-{}", worker.number))
            .spawn(move || {
                // Cannot fail: `pin` succeeded for the same CPUs at the start.
                cpu.map(|cpu| pin(&[cpu]));
                worker.run()
            })
            .map_err(|error| format!("cannot start a thread: {error}; use fewer --threads"))
    };
    workers.into_iter().map(start).collect()
}

fn sent_per_stream(plan: &Plan, results: &[WorkerResult]) -> Vec<u64> {
    let mut sent = vec![0; plan.streams.len()];
    let publishers = results.iter().flat_map(|result| &result.publishers);
    let lanes = publishers.flat_map(|publisher| &publisher.lanes);
    lanes.for_each(|lane| sent[lane.stream as usize] = lane.sent);
    sent
}

/// Describes the first subscriber that waits for a message.
fn describe_stall(plan: &Plan, shared: &Shared, sent: &[u64]) -> String {
    for (stream, sent) in plan.streams.iter().zip(sent) {
        for cell in stream.cells.clone() {
            let waits_for = shared.cells[cell].load(Ordering::Relaxed);
            if waits_for != *sent as u32 {
                let (subscriber, stream) = plan.subscriber_and_stream(cell);
                return format!(
                    "subscriber {subscriber} waits for message {waits_for} of publisher {} on {}, \
                     which has sent {sent}",
                    stream.publisher, plan.topics[stream.topic]
                );
            }
        }
    }
    "every subscriber has received all messages, and no publisher sends more".to_owned()
}

fn summarize(
    plan: &Plan,
    load: &Load,
    measured: Measured,
    results: &[WorkerResult],
    sent: &[u64],
    totals: Totals,
) -> Round {
    let mut latency = worker::histogram();
    let mut lateness = Lateness::default();
    let mut report = FaultReport::default();
    for result in results {
        latency.add(&result.latency).expect("all histograms have the same bounds");
        for publisher in &result.publishers {
            lateness.messages += publisher.lateness.messages;
            lateness.max_ns = lateness.max_ns.max(publisher.lateness.max_ns);
        }
        for subscriber in &result.subscribers {
            report.add_subscriber(plan, subscriber, sent);
        }
        if result.strays > 0 {
            let strays = Faults { strays: result.strays, ..Faults::default() };
            report.add(&strays, || "at connections without a matching subscription".to_owned());
        }
    }
    let FaultReport { faults, texts: fault_texts } = report;
    let Measured { begin, end, series, resident_bytes } = measured;
    Round {
        seconds: end.at.duration_since(begin.at).as_secs_f64(),
        payload_len: load.payload_len,
        published: end.published - begin.published,
        delivered: end.delivered - begin.delivered,
        broker: end.broker.zip(begin.broker).map(|(end, begin)| end.since(&begin)),
        resident_bytes,
        generator: end.generator.since(&begin.generator),
        latency,
        series,
        lateness,
        totals,
        faults,
        fault_texts,
    }
}

/// The sum of all faults, and descriptions of the first ones.
#[derive(Default)]
struct FaultReport {
    faults: Faults,
    texts: Vec<String>,
}

impl FaultReport {
    fn add(&mut self, faults: &Faults, place: impl Fn() -> String) {
        self.faults.add(faults);
        if self.texts.len() < FAULT_TEXTS_MAX {
            self.texts.push(format!("{} {}", faults.describe(), place()));
        }
    }

    fn add_subscriber(&mut self, plan: &Plan, subscriber: &Subscriber, sent: &[u64]) {
        let stream_index =
            |cell: u32| plan.streams.partition_point(|stream| stream.cells.end <= cell as usize);
        let (by_cell, rest) = subscriber.tracker.finish(|cell| sent[stream_index(cell)] as u32);
        for (cell, faults) in by_cell {
            let (number, stream) = plan.subscriber_and_stream(cell as usize);
            let (publisher, topic) = (stream.publisher, &plan.topics[stream.topic]);
            self.add(&faults, || {
                format!("at subscriber {number} from publisher {publisher} on {topic}")
            });
        }
        if !rest.is_empty() {
            self.add(&rest, || format!("at subscriber {}", subscriber.number));
        }
    }
}
