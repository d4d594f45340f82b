//! What Prometheus is shown: which families there are, and where each finds its numbers.
//!
//! Called by `admin` at every fetch of `/metrics`.
//!
//! # Always true
//! - The tables here are the only place that names a metric.
//! - However many clients and topics there are, there are equally many samples: what is told of single
//!   subscriptions is told of the worst few, by rank.

use blipmq::broker::inspect::{Key, Ranked};
use blipmq::config::{Choice, OverflowPolicy};
use prometheus::proto::{MetricFamily, MetricType};

use crate::server::control::Fill;
use crate::server::node::{Core, Node};
use crate::server::process::Process;

mod per_core;
mod samples;

pub use per_core::{HISTOGRAMS, PER_CORE};
use per_core::{PerCore, REASONS};
use samples::{family, histogram_of, metric};

/// Subscriptions that are told of, by each measure.
pub const WORST: usize = 10;

/// What only the cores know, asked for this fetch.
pub struct Asked {
    /// How full each core is, if it answered.
    pub fills: Vec<Option<Fill>>,
    /// The subscriptions with the largest lag in nanoseconds, the largest first.
    pub lag: Vec<Ranked>,
    /// Those with the most bytes queued.
    pub queued_bytes: Vec<Ranked>,
    /// Those that lost the most messages.
    pub dropped: Vec<Ranked>,
    /// The time, as cores read it.
    pub now_ns: u64,
}

/// Everything there is to tell.
pub fn all(node: &Node, asked: &Asked) -> Vec<MetricFamily> {
    let mut families = of_cores(node, asked);
    families.extend(of_process(node));
    let worst = [
        (
            "blipmq_worst_subscription_lag_seconds",
            "Age of the oldest queued message of the subscriptions furthest behind.",
            1e9,
            &asked.lag,
        ),
        (
            "blipmq_worst_subscription_queued_bytes",
            "Bytes queued for the subscriptions with the longest queues.",
            1.0,
            &asked.queued_bytes,
        ),
        (
            "blipmq_worst_subscription_dropped_messages",
            "Messages that the subscriptions which lost the most have lost.",
            1.0,
            &asked.dropped,
        ),
    ];
    for (name, help, unit, rows) in worst {
        let metrics = rows.iter().enumerate().filter_map(|(rank, ranked)| match ranked.key {
            Key::Number(number) => {
                let rank = (rank + 1).to_string();
                Some(metric(MetricType::GAUGE, &[("rank", &rank)], number as f64 / unit))
            }
            Key::Name(_) => None,
        });
        families.push(family(name, help, MetricType::GAUGE, metrics.collect()));
    }
    // The text has no family without samples.
    families.retain(|family| !family.get_metric().is_empty());
    families
}

fn of_cores(node: &Node, asked: &Asked) -> Vec<MetricFamily> {
    let cores: Vec<(String, &Core)> =
        node.cores.iter().enumerate().map(|(number, core)| (number.to_string(), core)).collect();
    let mut families = Vec::new();
    for PerCore { name, help, kind, read } in &PER_CORE {
        let of_core = |(number, core): &(String, &Core)| {
            metric(*kind, &[("core", number)], read(core) as f64)
        };
        families.push(family(name, help, *kind, cores.iter().map(of_core).collect()));
    }
    let asleep = cores.iter().map(|(number, core)| {
        let seconds = core.turns.asleep_ns(asked.now_ns) as f64 / 1e9;
        metric(MetricType::COUNTER, &[("core", number)], seconds)
    });
    families.push(family(
        "blipmq_asleep_seconds_total",
        "Time this core slept because there was nothing to do.",
        MetricType::COUNTER,
        asleep.collect(),
    ));
    let dropped = cores.iter().flat_map(|(number, core)| {
        REASONS.iter().map(move |(reason, read)| {
            let labels = [("core", number.as_str()), ("reason", reason)];
            metric(MetricType::COUNTER, &labels, read(&core.counters) as f64)
        })
    });
    families.push(family(
        "blipmq_dropped_messages_total",
        "Messages that were accepted or sent by a publisher and not delivered, by reason.",
        MetricType::COUNTER,
        dropped.collect(),
    ));
    let overflows = cores.iter().flat_map(|(number, core)| {
        OverflowPolicy::NAMES.iter().map(move |(name, policy)| {
            let labels = [("core", number.as_str()), ("policy", name)];
            let times = core.counters.overflows_of(*policy).get();
            metric(MetricType::COUNTER, &labels, times as f64)
        })
    });
    families.push(family(
        "blipmq_queue_overflows_total",
        "Times a subscription's queue was full when messages came, by what it does then.",
        MetricType::COUNTER,
        overflows.collect(),
    ));
    let fill = |read: fn(&Fill) -> usize| {
        let of_core = |((number, _), fill): (&(String, &Core), &Option<Fill>)| {
            let read = read(fill.as_ref()?) as f64;
            Some(metric(MetricType::GAUGE, &[("core", number)], read))
        };
        cores.iter().zip(&asked.fills).filter_map(of_core).collect()
    };
    families.push(family(
        "blipmq_mesh_waiting_letters",
        "Batches from other cores that wait to be read.",
        MetricType::GAUGE,
        fill(|fill| fill.mesh_waiting_letters),
    ));
    families.push(family(
        "blipmq_receive_buffers_free",
        "Receive buffers that the kernel may fill now.",
        MetricType::GAUGE,
        fill(|fill| fill.receive_buffers_free),
    ));
    for (name, help, unit, read) in &HISTOGRAMS {
        let of_core = |(number, core): &(String, &Core)| histogram_of(number, read(core), *unit);
        let metrics = cores.iter().map(of_core).collect();
        families.push(family(name, help, MetricType::HISTOGRAM, metrics));
    }
    families
}

fn of_process(node: &Node) -> Vec<MetricFamily> {
    let process = Process::read();
    let limits = node.limits(&process);
    let started = node.started.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let one =
        |name, help, kind, number: f64| family(name, help, kind, vec![metric(kind, &[], number)]);
    let gauge = |name, help, number| one(name, help, MetricType::GAUGE, number);
    let ratios = limits.iter().map(|limit| {
        let ratio = limit.used as f64 / limit.limit.max(1) as f64;
        metric(MetricType::GAUGE, &[("limit", limit.name)], ratio)
    });
    let configuration = node.configuration.snapshot();
    let reloads =
        |outcome, count: u64| metric(MetricType::COUNTER, &[("outcome", outcome)], count as f64);
    let version = metric(MetricType::GAUGE, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    vec![
        family(
            "blipmq_build_info",
            "Always 1; the version is in the label.",
            MetricType::GAUGE,
            vec![version],
        ),
        gauge(
            "blipmq_ready",
            "1 while the broker goes on accepting, 0 once it was told to stop.",
            f64::from(u8::from(node.is_ready())),
        ),
        family(
            "blipmq_config_reloads_total",
            "Times the configuration was read again, by what came of it.",
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
            "Bytes of messages held, in queues and kept ones, over all cores.",
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
        one(
            "blipmq_process_cpu_seconds_total",
            "CPU time of all threads of the broker.",
            MetricType::COUNTER,
            process.cpu_seconds,
        ),
        gauge(
            "blipmq_process_resident_memory_bytes",
            "Memory of the broker that is really there.",
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
