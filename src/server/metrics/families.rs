//! What the metrics page shows: which families there are, and where each finds its numbers.
//!
//! Made by `metrics`, which serves it; read at every fetch of the page.
//!
//! # Always true
//! - The tables here are the only place that names a metric.

use std::sync::Arc;

use blipmq::broker::counters::Counters;
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::Info;

/// Everything the page shows.
pub fn registry(counters: Vec<Arc<Counters>>, info: Info) -> Registry {
    let registry = Registry::new();
    let collector = CountersCollector { counters, info, descriptions: descriptions() };
    registry.register(Box::new(collector)).expect("names are legal, and each is there once");
    registry
}

/// A family with one value per core.
pub(super) struct PerCore {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    read: fn(&Counters) -> u64,
}

const fn counter(name: &'static str, help: &'static str, read: fn(&Counters) -> u64) -> PerCore {
    PerCore { name, help, kind: MetricType::COUNTER, read }
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&Counters) -> u64) -> PerCore {
    PerCore { name, help, kind: MetricType::GAUGE, read }
}

pub(super) static PER_CORE: [PerCore; 20] = [
    counter(
        "blipmq_published_messages_total",
        "Messages that topics of this core accepted.",
        |counters| counters.published_messages.get(),
    ),
    counter(
        "blipmq_published_bytes_total",
        "Bytes of the frames those messages came in.",
        |counters| counters.published_bytes.get(),
    ),
    counter(
        "blipmq_enqueued_messages_total",
        "Messages put into queues, once per subscription.",
        |counters| counters.enqueued_messages.get(),
    ),
    counter(
        "blipmq_delivered_messages_total",
        "Messages handed to the kernel in full, once per connection.",
        |counters| counters.delivered_messages.get(),
    ),
    counter(
        "blipmq_ttl_drops_total",
        "Messages dropped because their time to live had ended, before or after being enqueued.",
        |counters| {
            counters.expired_before_enqueue_messages.get()
                + counters.expired_in_queue_messages.get()
        },
    ),
    counter(
        "blipmq_queue_overflows_total",
        "Times a subscription's queue was full when messages came.",
        |counters| counters.queue_overflows.get(),
    ),
    counter(
        "blipmq_publishers_blocked_total",
        "Times subscriptions with overflow block began to hold the publishers of a topic up.",
        |counters| counters.publishers_blocked.get(),
    ),
    counter(
        "blipmq_kept_evictions_total",
        "Runs of kept messages given up because the memory budget was nearly used up.",
        |counters| counters.evicted_portions.get(),
    ),
    counter("blipmq_flushes_total", "Vectored sends handed to the kernel.", |counters| {
        counters.flushes.get()
    }),
    counter("blipmq_flushed_bytes_total", "Bytes of those sends.", |counters| {
        counters.flushed_bytes.get()
    }),
    counter(
        "blipmq_errors_sent_total",
        "ERROR frames, and -ERR to NATS clients, sent.",
        |counters| counters.errors_sent.get(),
    ),
    counter("blipmq_connections_opened_total", "Connections this core was given.", |counters| {
        counters.connections_opened.get()
    }),
    gauge("blipmq_connections", "Connections open now.", |counters| {
        // Closed first: what closes between both reads was opened before, so the difference
        // cannot fall below zero; saturating, because another core's stores may be seen late.
        let closed = counters.connections_closed.get();
        counters.connections_opened.get().saturating_sub(closed)
    }),
    gauge("blipmq_nats_connections", "Of those, connections of NATS clients.", |counters| {
        let closed = counters.nats_connections_closed.get();
        counters.nats_connections_opened.get().saturating_sub(closed)
    }),
    counter(
        "blipmq_nats_no_responders_total",
        "Requests of NATS clients that were told at once that nobody listens.",
        |counters| counters.no_responders.get(),
    ),
    gauge("blipmq_subscriptions", "Subscriptions in force now.", |counters| {
        counters.subscriptions.get()
    }),
    gauge("blipmq_topics", "Topics this core owns now.", |counters| counters.topics.get()),
    counter(
        "blipmq_mesh_letters_sent_total",
        "Batches this core sent to other cores.",
        |counters| counters.mesh_letters_sent.get(),
    ),
    counter(
        "blipmq_mesh_full_total",
        "Times the channel to another core was full, so that this core kept its batch back.",
        |counters| counters.mesh_full.get(),
    ),
    counter(
        "blipmq_connections_closed_total",
        "Connections of this core that ended.",
        |counters| counters.connections_closed.get(),
    ),
];

const DROPPED_NAME: &str = "blipmq_dropped_messages_total";
const DROPPED_HELP: &str =
    "Messages that were accepted or sent by a publisher and not delivered, by reason.";

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

const BUILD_INFO_NAME: &str = "blipmq_build_info";
const BUILD_INFO_HELP: &str = "Always 1; the version is in the label.";
const CONNECTIONS_LIMIT_NAME: &str = "blipmq_connections_limit";
const CONNECTIONS_LIMIT_HELP: &str = "Connections allowed at once, over all cores.";
const MEMORY_NAME: &str = "blipmq_memory_held_bytes";
const MEMORY_HELP: &str = "Bytes of messages held, in queues and kept ones, over all cores.";
const MEMORY_LIMIT_NAME: &str = "blipmq_memory_limit_bytes";
const MEMORY_LIMIT_HELP: &str = "Bytes of messages that may be held, over all cores.";

struct CountersCollector {
    counters: Vec<Arc<Counters>>,
    info: Info,
    descriptions: Vec<Desc>,
}

impl Collector for CountersCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Vec::with_capacity(self.descriptions.len());
        for per_core in &PER_CORE {
            let metrics = self.cores().map(|(core, counters)| {
                let labels = vec![label("core", &core)];
                metric(per_core.kind, labels, (per_core.read)(counters))
            });
            families.push(family(per_core.name, per_core.help, per_core.kind, metrics.collect()));
        }
        let dropped = self.cores().flat_map(|(core, counters)| {
            REASONS.iter().map(move |(reason, read)| {
                let labels = vec![label("core", &core), label("reason", reason)];
                metric(MetricType::COUNTER, labels, read(counters))
            })
        });
        families.push(family(DROPPED_NAME, DROPPED_HELP, MetricType::COUNTER, dropped.collect()));
        let version = vec![label("version", self.info.version)];
        families.push(family(
            BUILD_INFO_NAME,
            BUILD_INFO_HELP,
            MetricType::GAUGE,
            vec![metric(MetricType::GAUGE, version, 1)],
        ));
        for (name, help, number) in [
            (CONNECTIONS_LIMIT_NAME, CONNECTIONS_LIMIT_HELP, u64::from(self.info.max_connections)),
            (MEMORY_NAME, MEMORY_HELP, self.info.memory.held()),
            (MEMORY_LIMIT_NAME, MEMORY_LIMIT_HELP, self.info.memory.max()),
        ] {
            let metrics = vec![metric(MetricType::GAUGE, vec![], number)];
            families.push(family(name, help, MetricType::GAUGE, metrics));
        }
        families
    }
}

impl CountersCollector {
    fn cores(&self) -> impl Iterator<Item = (String, &Counters)> {
        self.counters.iter().enumerate().map(|(core, counters)| (core.to_string(), &**counters))
    }
}

fn descriptions() -> Vec<Desc> {
    let description = |name: &str, help: &str, labels: &[&str]| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Desc::new(name.to_owned(), help.to_owned(), labels, Default::default())
            .expect("names and labels are legal")
    };
    let per_core = PER_CORE.iter().map(|family| description(family.name, family.help, &["core"]));
    let others = [
        description(DROPPED_NAME, DROPPED_HELP, &["core", "reason"]),
        description(BUILD_INFO_NAME, BUILD_INFO_HELP, &["version"]),
        description(CONNECTIONS_LIMIT_NAME, CONNECTIONS_LIMIT_HELP, &[]),
        description(MEMORY_NAME, MEMORY_HELP, &[]),
        description(MEMORY_LIMIT_NAME, MEMORY_LIMIT_HELP, &[]),
    ];
    per_core.chain(others).collect()
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn metric(kind: MetricType, labels: Vec<LabelPair>, number: u64) -> Metric {
    // The text format knows floating point only: above 2^53 the last digits are rounded.
    let number = number as f64;
    let mut metric = Metric::from_label(labels);
    if kind == MetricType::COUNTER {
        let mut value = Counter::default();
        value.set_value(number);
        metric.set_counter(value);
    } else {
        let mut value = Gauge::default();
        value.set_value(number);
        metric.set_gauge(value);
    }
    metric
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}
