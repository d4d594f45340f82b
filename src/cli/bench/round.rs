//! One round: connections are opened, threads publish and take for a while, and the books close.
//!
//! Called by `mod` for each target in turn. Next on the path: `worker`, a thread each.
//!
//! # Always true
//! - Nothing is published before every subscription is in force.
//! - Rates and CPU time are of the same stretch: both are read at its two ends.
//! - Every message that was published is accounted for, also those before and after the stretch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::account::Trouble;
use super::connect::{Connection, buffer_len};
use super::connections::{check_mirror, open_bystanders, open_publishers, open_subscribers};
use super::plan::Plan;
use super::process::Cpu;
use super::progress::Progress;
use super::publisher::{Lateness, Publisher};
use super::setup::pin;
use super::shared::{Counters, Pace, Shared, Times};
use super::target::Target;
use super::watch::{Measured, STALL, watch};
use super::worker::{self, Done, Subscriber, Worker};

/// Troubles told one by one.
const TROUBLES_TOLD: usize = 5;
/// From the last connection to the first message.
const HEAD_START: Duration = Duration::from_millis(20);

/// What every round does.
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

/// What a round found.
#[derive(Debug)]
pub struct Round {
    /// How long was measured.
    pub seconds: f64,
    pub payload_len: usize,
    /// In that time.
    pub published: u64,
    pub delivered: u64,
    pub broker: Option<Cpu>,
    pub resident_bytes: Option<u64>,
    pub generator: Cpu,
    /// In nanoseconds.
    pub latency: Histogram<u64>,
    /// Seconds since the measurement began, and deliveries per second until then.
    pub series: Vec<(f64, f64)>,
    pub lateness: Lateness,
    /// Over the whole round.
    pub totals: Totals,
    pub trouble: Trouble,
    /// Where the trouble was.
    pub troubles: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
pub struct Totals {
    pub published: u64,
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
    let watched = watch(target, load, pid, &shared, progress);
    shared.ended.store(true, Ordering::Release);
    shared.threads.iter().for_each(Counters::wake);
    let done = threads.into_iter().map(|thread| match thread.join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    });
    let done: Vec<Done> = done.collect();
    let totals = Totals {
        published: shared.sum(|counters| &counters.published),
        owed: shared.sum(|counters| &counters.owed),
        delivered: shared.sum(|counters| &counters.delivered),
    };
    let arrived = format!("{} of {} deliveries had arrived", totals.delivered, totals.owed);
    if let Some(failure) = done.iter().find_map(|done| done.failure.as_ref()) {
        return Err(format!("{target}: {failure}; {arrived}"));
    }
    let sent = sent_by_stream(&plan, &done);
    let Some(measured) = watched? else {
        let waits = who_waits(&plan, &shared, &sent);
        let stall_s = STALL.as_secs();
        return Err(format!(
            "{target}: nothing was delivered for {stall_s} s: {waits}; {arrived}. Does the broker \
             drop messages? A smaller --window keeps fewer of them on the way"
        ));
    };
    Ok(close(&plan, load, measured, done, &sent, totals))
}

/// Topics of one round are not those of another, nor of another generator.
pub fn run_name() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    format!("{:08x}", RandomState::new().build_hasher().finish() as u32)
}

/// Deals connections out to threads: those of equal number, which are often pairs, share one.
fn start_threads(
    load: &Load,
    shared: &Arc<Shared>,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    bystanders: Vec<Connection>,
) -> Result<Vec<JoinHandle<Done>>, String> {
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
                // The command line was checked with the same CPUs.
                cpu.map(|cpu| pin(&[cpu]));
                worker.run()
            })
            .map_err(|error| format!("cannot start a thread: {error}; take fewer --threads"))
    };
    workers.into_iter().map(start).collect()
}

fn sent_by_stream(plan: &Plan, done: &[Done]) -> Vec<u64> {
    let mut sent = vec![0; plan.streams.len()];
    let lanes = done.iter().flat_map(|done| &done.publishers).flat_map(|one| &one.lanes);
    lanes.for_each(|lane| sent[lane.stream as usize] = lane.sent);
    sent
}

/// The first cell that waits for something.
fn who_waits(plan: &Plan, shared: &Shared, sent: &[u64]) -> String {
    for (stream, sent) in plan.streams.iter().zip(sent) {
        for cell in stream.cells.clone() {
            let waits_for = shared.cells[cell].load(Ordering::Relaxed);
            if waits_for != *sent as u32 {
                let (subscriber, stream) = plan.name_of(cell);
                return format!(
                    "subscriber {subscriber} waits for message {waits_for} of publisher {} on {}, \
                     which has sent {sent}",
                    stream.publisher, plan.topics[stream.topic]
                );
            }
        }
    }
    "every subscriber has all that was sent, and publishers send no more".to_owned()
}

fn close(
    plan: &Plan,
    load: &Load,
    measured: Measured,
    done: Vec<Done>,
    sent: &[u64],
    totals: Totals,
) -> Round {
    let mut latency = worker::histogram();
    let (mut trouble, mut troubles) = (Trouble::default(), Vec::new());
    let mut lateness = Lateness::default();
    let mut told = |trouble: &Trouble, place: String| {
        if troubles.len() < TROUBLES_TOLD {
            troubles.push(format!("{} {place}", trouble.words()));
        }
    };
    let stream_of = |cell: u32| plan.streams.partition_point(|one| one.cells.end <= cell as usize);
    for done in &done {
        latency.add(&done.latency).expect("they have the same bounds");
        for publisher in &done.publishers {
            lateness.messages += publisher.lateness.messages;
            lateness.max_ns = lateness.max_ns.max(publisher.lateness.max_ns);
        }
        for subscriber in &done.subscribers {
            let (of_cells, rest) = subscriber.account.close(|cell| sent[stream_of(cell)] as u32);
            for (cell, of_cell) in of_cells {
                trouble.add(&of_cell);
                let (subscriber, stream) = plan.name_of(cell as usize);
                let (publisher, topic) = (stream.publisher, &plan.topics[stream.topic]);
                told(
                    &of_cell,
                    format!("at subscriber {subscriber} from publisher {publisher} on {topic}"),
                );
            }
            if !rest.is_none() {
                trouble.add(&rest);
                told(&rest, format!("at subscriber {}", subscriber.number));
            }
        }
        if done.strays > 0 {
            let strays = Trouble { strangers: done.strays, ..Trouble::default() };
            trouble.add(&strays);
            told(&strays, "at connections that subscribed to none of them".to_owned());
        }
    }
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
        trouble,
        troubles,
    }
}
