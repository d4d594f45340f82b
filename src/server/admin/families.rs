//! What Prometheus is shown: which families there are, and where each finds its numbers.
//!
//! Called by `admin` at every fetch of `/metrics`.
//!
//! # Always true
//! - The tables here are the only place that names a metric.
//! - However many clients and topics there are, there are equally many samples: what is told of single
//!   subscriptions is told of the worst few, by rank.

use blipmq::broker::counters::Counters;
use blipmq::broker::histogram::{self, BOUNDS, Histogram};
use blipmq::broker::inspect::{Key, Ranked};
use blipmq::config::{Choice, OverflowPolicy};
use prometheus::proto::{self, Bucket, LabelPair, Metric, MetricFamily, MetricType};

use crate::server::control::Fill;
use crate::server::node::{Core, Node, connections, nats_connections};
use crate::server::process::Process;

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

/// A family with one value per core.
pub(super) struct PerCore {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    read: fn(&Core) -> u64,
}

const fn counter(name: &'static str, help: &'static str, read: fn(&Core) -> u64) -> PerCore {
    PerCore { name, help, kind: MetricType::COUNTER, read }
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&Core) -> u64) -> PerCore {
    PerCore { name, help, kind: MetricType::GAUGE, read }
}

pub(super) static PER_CORE: [PerCore; 24] = [
    counter(
        "blipmq_published_messages_total",
        "Messages that topics of this core accepted.",
        |core| core.counters.published_messages.get(),
    ),
    counter(
        "blipmq_published_bytes_total",
        "Bytes of the frames those messages came in.",
        |core| core.counters.published_bytes.get(),
    ),
    counter(
        "blipmq_enqueued_messages_total",
        "Messages put into queues, once per subscription.",
        |core| core.counters.enqueued_messages.get(),
    ),
    counter(
        "blipmq_delivered_messages_total",
        "Messages handed to the kernel in full, once per connection.",
        |core| core.counters.delivered_messages.get(),
    ),
    counter(
        "blipmq_ttl_drops_total",
        "Messages dropped because their time to live had ended, before or after being enqueued.",
        |core| {
            core.counters.expired_before_enqueue_messages.get()
                + core.counters.expired_in_queue_messages.get()
        },
    ),
    counter(
        "blipmq_publishers_blocked_total",
        "Times subscriptions with overflow block began to hold the publishers of a topic up.",
        |core| core.counters.publishers_blocked.get(),
    ),
    gauge("blipmq_blocked_topics", "Topics of this core whose publishers wait now.", |core| {
        core.counters.blocked_topics.get()
    }),
    counter(
        "blipmq_kept_evictions_total",
        "Runs of kept messages given up because the memory budget was nearly used up.",
        |core| core.counters.evicted_portions.get(),
    ),
    counter("blipmq_flushes_total", "Vectored sends handed to the kernel.", |core| {
        core.counters.flushes.get()
    }),
    counter("blipmq_flushed_bytes_total", "Bytes of those sends.", |core| {
        core.counters.flushed_bytes.get()
    }),
    counter("blipmq_errors_sent_total", "ERROR frames, and -ERR to NATS clients, sent.", |core| {
        core.counters.errors_sent.get()
    }),
    counter(
        "blipmq_logins_refused_total",
        "Connections refused because they did not prove who they are.",
        |core| core.counters.logins_refused.get(),
    ),
    counter("blipmq_connections_opened_total", "Connections this core was given.", |core| {
        core.counters.connections_opened.get()
    }),
    counter("blipmq_connections_closed_total", "Connections of this core that ended.", |core| {
        core.counters.connections_closed.get()
    }),
    gauge("blipmq_connections", "Connections open now.", |core| connections(&core.counters)),
    gauge("blipmq_nats_connections", "Of those, connections of NATS clients.", |core| {
        nats_connections(&core.counters)
    }),
    counter(
        "blipmq_nats_no_responders_total",
        "Requests of NATS clients that were told at once that nobody listens.",
        |core| core.counters.no_responders.get(),
    ),
    gauge("blipmq_subscriptions", "Subscriptions in force now.", |core| {
        core.counters.subscriptions.get()
    }),
    gauge("blipmq_topics", "Topics this core owns now.", |core| core.counters.topics.get()),
    counter("blipmq_mesh_letters_sent_total", "Batches this core sent to other cores.", |core| {
        core.counters.mesh_letters_sent.get()
    }),
    counter(
        "blipmq_mesh_full_total",
        "Times the channel to another core was full, so that this core kept its batch back.",
        |core| core.counters.mesh_full.get(),
    ),
    counter("blipmq_turns_total", "Turns of the core's loop.", |core| core.turns.turns.get()),
    counter(
        "blipmq_enters_total",
        "System calls that handed sends to the kernel, took completions, or slept.",
        |core| core.turns.enters.get(),
    ),
    counter(
        "blipmq_receive_buffer_shortages_total",
        "Times a connection had more to read and no receive buffer was free.",
        |core| core.turns.buffer_shortages.get(),
    ),
];

/// Why a message was dropped, as the label `reason` has it.
type Reason = (&'static str, fn(&Counters) -> u64);

static REASONS: [Reason; 8] = [
    ("overflow_oldest", |counters| counters.dropped_oldest_messages.get()),
    ("overflow_new", |counters| counters.dropped_new_messages.get()),
    ("conflated", |counters| counters.conflated_messages.get()),
    ("refused_for_memory", |counters| counters.refused_for_memory_messages.get()),
    ("expired_before_enqueue", |counters| counters.expired_before_enqueue_messages.get()),
    ("expired_in_queue", |counters| counters.expired_in_queue_messages.get()),
    ("disconnected", |counters| counters.dropped_disconnected_messages.get()),
    ("refused", |counters| counters.refused_messages.get()),
];

/// A histogram of every core: its name, its meaning, how many of what it counts make one of what is
/// told, and where it is.
type PerCoreHistogram = (&'static str, &'static str, f64, fn(&Core) -> &Histogram);

pub(super) static HISTOGRAMS: [PerCoreHistogram; 4] = [
    (
        "blipmq_accept_to_send_seconds",
        "Time from a message's arrival to the end of the turn that handed it to the kernel, once per \
         connection.",
        1e6,
        |core| &core.counters.accept_to_send_us,
    ),
    ("blipmq_send_messages", "Messages of each vectored send.", 1.0, |core| {
        &core.counters.send_messages
    }),
    ("blipmq_send_bytes", "Bytes of each vectored send.", 1.0, |core| &core.counters.send_bytes),
    ("blipmq_enter_sends", "Vectored sends that went to the kernel together.", 1.0, |core| {
        &core.turns.enter_sends
    }),
];

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

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// The text format knows floating point only: above 2^53 the last digits are rounded.
fn metric(kind: MetricType, labels: &[(&str, &str)], number: f64) -> Metric {
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

/// With powers of two for bounds: what is finer is for `/api/v1/cores`.
fn histogram_of(core: &str, histogram: &Histogram, unit: f64) -> Metric {
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
