//! The metrics of the broker for Prometheus.
//!
//! Called by `admin` at every fetch of `/metrics`.
//!
//! # Always true
//! - The tables here and in `per_core` are the only places that name a metric.
//! - The number of samples does not grow with clients or topics: of all subscriptions only the worst
//!   few have samples, by rank.

use std::sync::atomic::Ordering;

use blipmq::broker::LoginFailure;
use blipmq::broker::counters::Counter;
use blipmq::broker::inspect::{Key, Ranked};
use blipmq::config::{Choice, OverflowPolicy};
use prometheus::proto::{Metric, MetricFamily, MetricType};

use crate::server::control::Fill;
use crate::server::listeners::Addresses;
use crate::server::node::{Core, Node};
use crate::server::process::Process;

mod certificates;
mod per_core;
mod samples;
mod tls;

pub use per_core::{HISTOGRAMS, PER_CORE};
use per_core::{PerCore, REASONS, REFUSED, SHORTAGES};
use samples::{family, histogram_of, metric};

/// Subscriptions with samples of their own, for each measure.
pub const WORST: usize = 10;

/// What the cores answered for this fetch.
pub struct Answers {
    /// How full each core is, `None` for a core that did not answer.
    pub fills: Vec<Option<Fill>>,
    /// The subscriptions with the largest lag in nanoseconds, the largest first.
    pub lag: Vec<Ranked>,
    /// The subscriptions with the most bytes queued.
    pub queued_bytes: Vec<Ranked>,
    /// The subscriptions that lost the most messages.
    pub dropped: Vec<Ranked>,
    /// The time, in the clock of the executors.
    pub now_ns: u64,
}

/// A core and its number, the label `core`.
type Numbered<'n> = (String, &'n Core);

/// Every family that has samples.
pub fn all(node: &Node, answers: &Answers) -> Vec<MetricFamily> {
    let cores: Vec<Numbered<'_>> =
        node.cores.iter().enumerate().map(|(number, core)| (number.to_string(), core)).collect();
    let process = Process::read();
    let mut families = counters_and_gauges(&cores, answers.now_ns);
    families.extend(drops_and_overflows(&cores));
    families.extend(refusals_and_shortages(&cores));
    families.extend(fills(&cores, &answers.fills));
    families.extend(histograms(&cores));
    families.extend(of_broker(node));
    let Addresses { clients: listeners, metrics_tls, .. } = &node.addresses;
    let of_pages = metrics_tls.then_some(&*node.page_handshakes);
    families.extend([tls::handshakes(&cores, listeners, of_pages), tls::connections(&cores)]);
    families.extend([certificates::not_after(&node.configuration.tls().dated)]);
    families.extend(limits(node, &process));
    families.extend(of_process(node, &process));
    families.extend(worst_subscriptions(answers));
    // The text format has no family without samples.
    families.retain(|family| !family.get_metric().is_empty());
    families
}

fn counters_and_gauges(cores: &[Numbered<'_>], now_ns: u64) -> Vec<MetricFamily> {
    let per_core = PER_CORE.iter().map(|PerCore { name, help, kind, read }| {
        let sample =
            |(number, core): &Numbered<'_>| metric(*kind, &[("core", number)], read(core) as f64);
        family(name, help, *kind, cores.iter().map(sample).collect())
    });
    let asleep = cores.iter().map(|(number, core)| {
        let seconds = core.turns.asleep_ns(now_ns) as f64 / 1e9;
        metric(MetricType::COUNTER, &[("core", number)], seconds)
    });
    let asleep = family(
        "blipmq_asleep_seconds_total",
        "Time this core slept because there was nothing to do.",
        MetricType::COUNTER,
        asleep.collect(),
    );
    per_core.chain([asleep]).collect()
}

fn drops_and_overflows(cores: &[Numbered<'_>]) -> [MetricFamily; 2] {
    let dropped = cores.iter().flat_map(|(number, core)| {
        REASONS.iter().map(move |(reason, read)| {
            let labels = [("core", number.as_str()), ("reason", reason)];
            metric(MetricType::COUNTER, &labels, read(&core.counters) as f64)
        })
    });
    let overflows = cores.iter().flat_map(|(number, core)| {
        OverflowPolicy::NAMES.iter().map(move |(name, policy)| {
            let labels = [("core", number.as_str()), ("policy", name)];
            let times = core.counters.overflows_of(*policy).get();
            metric(MetricType::COUNTER, &labels, times as f64)
        })
    });
    [
        family(
            "blipmq_dropped_messages_total",
            "Messages that were accepted or sent by a publisher and not delivered, by reason.",
            MetricType::COUNTER,
            dropped.collect(),
        ),
        family(
            "blipmq_queue_overflows_total",
            "Times a subscription's queue was full when messages came, by overflow policy.",
            MetricType::COUNTER,
            overflows.collect(),
        ),
    ]
}

fn refusals_and_shortages(cores: &[Numbered<'_>]) -> [MetricFamily; 3] {
    [
        family(
            "blipmq_connections_refused_total",
            "Connections that were refused, or closed before their login for others, by reason.",
            MetricType::COUNTER,
            by_label(cores, ("reason", REFUSED), |core| &core.counters.refused_connections),
        ),
        family(
            "blipmq_login_failures_total",
            "Logins that failed or were not checked, by the reason, which their clients are not told.",
            MetricType::COUNTER,
            by_label(cores, ("reason", LoginFailure::ALL.map(LoginFailure::name)), |core| {
                &core.counters.login_failures
            }),
        ),
        family(
            "blipmq_kernel_shortages_total",
            "Times that the kernel was short of memory or descriptors, by operation; each is retried.",
            MetricType::COUNTER,
            by_label(cores, ("operation", SHORTAGES), |core| &core.turns.shortages),
        ),
    ]
}

/// Samples of counters that differ by one label.
fn by_label<const N: usize>(
    cores: &[Numbered<'_>],
    (label, names): (&str, [&'static str; N]),
    read: fn(&Core) -> &[Counter; N],
) -> Vec<Metric> {
    let samples = cores.iter().flat_map(|(number, core)| {
        names.iter().zip(read(core)).map(move |(name, count)| {
            let labels = [("core", number.as_str()), (label, *name)];
            metric(MetricType::COUNTER, &labels, count.get() as f64)
        })
    });
    samples.collect()
}

fn fills(cores: &[Numbered<'_>], fills: &[Option<Fill>]) -> [MetricFamily; 2] {
    let samples = |read: fn(&Fill) -> usize| {
        let sample = |((number, _), fill): (&Numbered<'_>, &Option<Fill>)| {
            let number_of_core = [("core", number.as_str())];
            Some(metric(MetricType::GAUGE, &number_of_core, read(fill.as_ref()?) as f64))
        };
        cores.iter().zip(fills).filter_map(sample).collect()
    };
    [
        family(
            "blipmq_mesh_waiting_letters",
            "Batches from other cores that wait to be read.",
            MetricType::GAUGE,
            samples(|fill| fill.mesh_waiting_messages),
        ),
        family(
            "blipmq_receive_buffers_free",
            "Receive buffers that the kernel may fill now.",
            MetricType::GAUGE,
            samples(|fill| fill.receive_buffers_free),
        ),
    ]
}

fn histograms(cores: &[Numbered<'_>]) -> Vec<MetricFamily> {
    let families = HISTOGRAMS.iter().map(|(name, help, unit, read)| {
        let sample = |(number, core): &Numbered<'_>| histogram_of(number, read(core), *unit);
        family(name, help, MetricType::HISTOGRAM, cores.iter().map(sample).collect())
    });
    families.collect()
}

fn of_broker(node: &Node) -> [MetricFamily; 5] {
    let configuration = node.configuration.snapshot();
    let reloads =
        |outcome, count: u64| metric(MetricType::COUNTER, &[("outcome", outcome)], count as f64);
    let version = metric(MetricType::GAUGE, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    [
        family(
            "blipmq_build_info",
            "Always 1; the version is in the label.",
            MetricType::GAUGE,
            vec![version],
        ),
        gauge(
            "blipmq_ready",
            "1 while the broker accepts connections, 0 once a stop has begun.",
            f64::from(u8::from(node.is_ready())),
        ),
        family(
            "blipmq_config_reloads_total",
            "Times the configuration was read again, by outcome.",
            MetricType::COUNTER,
            vec![
                reloads("applied", configuration.applied),
                reloads("refused", configuration.refused),
            ],
        ),
        gauge(
            "blipmq_config_last_reload_successful",
            "1 if the configuration was applied when it was last read, 0 if it was refused.",
            f64::from(u8::from(configuration.last.is_none_or(|last| last.errors.is_empty()))),
        ),
        family(
            "blipmq_log_lines_lost_total",
            "Lines of the log that could not be written to stderr.",
            MetricType::COUNTER,
            vec![metric(
                MetricType::COUNTER,
                &[],
                node.log_lines_lost.load(Ordering::Relaxed) as f64,
            )],
        ),
    ]
}

fn limits(node: &Node, process: &Process) -> [MetricFamily; 5] {
    let limits = node.limits(process);
    let ratios = limits.iter().map(|limit| {
        let ratio = limit.used as f64 / limit.limit.max(1) as f64;
        metric(MetricType::GAUGE, &[("limit", limit.name)], ratio)
    });
    [
        gauge(
            "blipmq_connections_limit",
            "Connections allowed at once, over all cores.",
            f64::from(node.settings().server.max_connections),
        ),
        gauge(
            "blipmq_topics_limit",
            "Topics allowed at once, over all cores.",
            f64::from(node.settings().limits.max_topics),
        ),
        gauge(
            "blipmq_memory_held_bytes",
            "Bytes of queued and retained messages, over all cores.",
            node.memory.held() as f64,
        ),
        gauge(
            "blipmq_memory_limit_bytes",
            "Bytes of messages that may be held, over all cores.",
            node.memory.max() as f64,
        ),
        family(
            "blipmq_limit_used_ratio",
            "How much of a limit is used, from 0 to 1.",
            MetricType::GAUGE,
            ratios.collect(),
        ),
    ]
}

fn of_process(node: &Node, process: &Process) -> [MetricFamily; 6] {
    let started = node.started.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let cpu_seconds = metric(MetricType::COUNTER, &[], process.cpu_seconds);
    [
        family(
            "blipmq_process_cpu_seconds_total",
            "CPU time of all threads of the broker.",
            MetricType::COUNTER,
            vec![cpu_seconds],
        ),
        gauge(
            "blipmq_process_resident_memory_bytes",
            "Resident memory of the broker.",
            process.resident_bytes as f64,
        ),
        gauge(
            "blipmq_process_open_fds",
            "Open files of the broker, connections among them.",
            process.open_files as f64,
        ),
        gauge(
            "blipmq_process_max_fds",
            "Files the broker may have open.",
            process.open_files_max as f64,
        ),
        gauge("blipmq_process_threads", "Threads of the broker.", process.threads as f64),
        gauge(
            "blipmq_process_start_time_seconds",
            "When the broker became ready, in seconds since 1970.",
            started.as_secs_f64(),
        ),
    ]
}

fn worst_subscriptions(answers: &Answers) -> [MetricFamily; 3] {
    let ranked = |name, help, unit, rows: &[Ranked]| {
        let samples = rows.iter().enumerate().filter_map(|(rank, ranked)| match ranked.key {
            Key::Number(number) => {
                let rank = (rank + 1).to_string();
                Some(metric(MetricType::GAUGE, &[("rank", &rank)], number as f64 / unit))
            }
            Key::Name(_) => None,
        });
        family(name, help, MetricType::GAUGE, samples.collect())
    };
    [
        ranked(
            "blipmq_worst_subscription_lag_seconds",
            "Age of the oldest queued message of the subscriptions furthest behind.",
            1e9,
            &answers.lag,
        ),
        ranked(
            "blipmq_worst_subscription_queued_bytes",
            "Bytes queued for the subscriptions with the longest queues.",
            1.0,
            &answers.queued_bytes,
        ),
        ranked(
            "blipmq_worst_subscription_dropped_messages",
            "Messages that the subscriptions which lost the most have lost.",
            1.0,
            &answers.dropped,
        ),
    ]
}

/// A gauge of the whole broker.
fn gauge(name: &str, help: &str, number: f64) -> MetricFamily {
    family(name, help, MetricType::GAUGE, vec![metric(MetricType::GAUGE, &[], number)])
}
