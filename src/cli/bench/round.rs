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

use super::account::{Account, Trouble};
use super::codec::Envelope;
use super::connect::{Connection, Role, buffer_len};
use super::plan::Plan;
use super::process::{self, Cpu, Snapshot};
use super::progress::Progress;
use super::publisher::{Lane, Lateness, Publisher};
use super::target::{Protocol, Target};
use super::worker::{self, Counters, Done, Pace, Shared, Subscriber, Times, Worker};

/// Between two looks at the counters: a point of the plot.
const TICK: Duration = Duration::from_millis(100);
/// A closed loop in which nothing arrives for so long will not go on.
const STALL: Duration = Duration::from_secs(10);
/// What did not arrive so long after the last that did is missing.
const DRAIN: Duration = Duration::from_secs(2);
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

/// A mirror knows no frames: two publishers of a topic would cut into each other's.
fn check_mirror(target: &Target, load: &Load) -> Result<(), String> {
    if target.protocol != Protocol::Raw {
        return Ok(());
    }
    if load.publishers != load.topics || load.subscribers < load.topics || load.patterns > 0 {
        return Err(format!(
            "{target}: a mirror has one topic per connection and one publisher per topic: give as \
             many --pubs as --topics ({} and {}), at least as many --subs ({}), and no --patterns",
            load.publishers, load.topics, load.subscribers
        ));
    }
    Ok(())
}

fn open_bystanders(target: &Target, load: &Load, plan: &Plan) -> Result<Vec<Connection>, String> {
    // Not below any topic that is published to.
    let root = &plan.topics[0];
    let mut connections = Vec::new();
    if load.patterns > 0 {
        let patterns: Vec<String> =
            (0..load.patterns).map(|number| format!("{root}.none{number}.*")).collect();
        connections.push(Connection::open(target, Role::Patterns(&patterns))?.0);
    }
    for number in 0..load.idle_connections {
        let topic = [format!("{root}.idle.{number}")];
        connections.push(Connection::open(target, Role::Subscribe(&topic))?.0);
    }
    Ok(connections)
}

fn open_subscribers(target: &Target, load: &Load, plan: &Plan) -> Result<Vec<Subscriber>, String> {
    let mut subscribers = Vec::with_capacity(plan.subscribers);
    for number in 0..plan.subscribers {
        let topics = plan.topics_of_subscriber(number).into_iter();
        let topics: Vec<String> = topics.map(|topic| plan.topics[topic].clone()).collect();
        let (connection, _) = Connection::open(target, Role::Subscribe(&topics))?;
        let cells = plan.cells_of(number);
        let account = Account::new(load.payload_len, plan.streams.len(), &cells);
        subscribers.push(Subscriber { number, connection, account });
    }
    Ok(subscribers)
}

fn open_publishers(target: &Target, load: &Load, plan: &Plan) -> Result<Vec<Publisher>, String> {
    let mut publishers = Vec::with_capacity(plan.publishers);
    // Other protocols than ours have one message in each command.
    let batch = if target.protocol == Protocol::Blip { load.batch } else { 1 };
    for number in 0..plan.publishers {
        let streams = plan.streams_of(number);
        let topics = streams.iter().map(|stream| plan.streams[*stream].topic);
        let topics: Vec<String> = topics.map(|topic| plan.topics[topic].clone()).collect();
        let (connection, ids) = Connection::open(target, Role::Publish(&topics))?;
        let lanes = streams.into_iter().zip(topics.iter().zip(ids)).map(|(number, (topic, id))| {
            let stream = &plan.streams[number];
            let envelope = Envelope::new(target.protocol, topic, id, load.payload_len, batch);
            let window = match load.pace {
                Pace::Window(window) => (window / stream.publishers as u32).max(batch as u32),
                Pace::RoundTrip | Pace::Rate { .. } => 1,
            };
            Lane::new(number, stream.cells.clone(), window, envelope)
        });
        let lanes = lanes.collect();
        let publisher =
            Publisher::new(number, plan.publishers, connection, lanes, load.payload_len, batch);
        publishers.push(publisher);
    }
    Ok(publishers)
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

/// Binds the calling thread, and those it starts, to CPUs.
pub fn pin(cpus: &[usize]) -> Result<(), String> {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = rustix::thread::CpuSet::new();
    for cpu in cpus {
        if *cpu >= rustix::thread::CpuSet::MAX_CPU {
            return Err(format!(
                "there is no CPU {cpu}: the highest is the one `nproc --all` says"
            ));
        }
        set.set(*cpu);
    }
    rustix::thread::sched_setaffinity(None, &set).map_err(|error| {
        format!("cannot run on CPU {cpus:?}: {error}; does this process have it? See `taskset -p`")
    })
}

/// What was read at one instant.
struct Mark {
    at: Instant,
    published: u64,
    delivered: u64,
    broker: Option<Snapshot>,
    generator: Snapshot,
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
struct Measured {
    begin: Mark,
    end: Mark,
    series: Vec<(f64, f64)>,
    resident_bytes: Option<u64>,
}

/// Sees to the time; returns when all has arrived, or nothing comes any more. `None` is a stall.
fn watch(
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
