//! The tables of the metrics of every core: the name of each family, its help, and its number.

use blipmq::broker::counters::Counters;
use blipmq::broker::histogram::Histogram;
use prometheus::proto::MetricType;

use crate::server::node::{Core, connections, nats_connections};

/// A family with one value per core.
pub struct PerCore {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: MetricType,
    pub read: fn(&Core) -> u64,
}

const fn counter(name: &'static str, help: &'static str, read: fn(&Core) -> u64) -> PerCore {
    PerCore { name, help, kind: MetricType::COUNTER, read }
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&Core) -> u64) -> PerCore {
    PerCore { name, help, kind: MetricType::GAUGE, read }
}

pub static PER_CORE: [PerCore; 31] = [
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
        "Times subscriptions with overflow block began to hold up the publishers of a topic.",
        |core| core.counters.publishers_blocked.get(),
    ),
    gauge("blipmq_blocked_topics", "Topics of this core whose publishers wait now.", |core| {
        core.counters.blocked_topics.get()
    }),
    counter(
        "blipmq_kept_evictions_total",
        "Runs of retained messages evicted because the memory budget was nearly used up.",
        |core| core.counters.evicted_slices.get(),
    ),
    counter(
        "blipmq_reclaimed_connections_total",
        "Connections closed because memory was short and they held more than a fair share.",
        |core| core.counters.reclaimed_connections.get(),
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
        "Connections refused because their login was wrong or missing.",
        |core| core.counters.logins_refused.get(),
    ),
    counter("blipmq_connections_opened_total", "Connections that began on this core.", |core| {
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
        "Requests of NATS clients that were answered at once because nobody is subscribed.",
        |core| core.counters.no_responders.get(),
    ),
    gauge("blipmq_subscriptions", "Subscriptions that are active now.", |core| {
        core.counters.subscriptions.get()
    }),
    gauge("blipmq_topics", "Topics this core owns now.", |core| core.counters.topics.get()),
    counter("blipmq_mesh_letters_sent_total", "Batches this core sent to other cores.", |core| {
        core.counters.mesh_messages_sent.get()
    }),
    counter(
        "blipmq_mesh_full_total",
        "Times the channel to another core was full, so that this core held its batch back.",
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
    counter(
        "blipmq_input_deferred_total",
        "Times input of a connection waited for the next turn because the connection had had its \
         share of the turn.",
        |core| core.counters.input_deferred.get(),
    ),
    counter(
        "blipmq_rate_limited_total",
        "Times a connection was not read because it had published faster than it may.",
        |core| core.counters.rate_limited.get(),
    ),
    counter(
        "blipmq_refused_subscriptions_total",
        "Subscriptions refused because there were too many, or no memory for them.",
        |core| core.counters.refused_subscriptions.get(),
    ),
    counter(
        "blipmq_fan_out_exceeded_total",
        "Connections closed because a message reached too many of their subscriptions.",
        |core| core.counters.fan_out_exceeded.get(),
    ),
    counter(
        "blipmq_send_timeouts_total",
        "Connections closed because their peers took nothing for server.write_timeout_ms.",
        |core| core.counters.send_timeouts.get(),
    ),
    counter(
        "blipmq_stale_connections_total",
        "Connections closed because their clients answered no PING and sent nothing else.",
        |core| core.counters.stale_connections.get(),
    ),
];

/// A reason why messages are dropped: the label `reason`, and the counter.
pub type Reason = (&'static str, fn(&Counters) -> u64);

pub static REASONS: [Reason; 10] = [
    ("overflow_oldest", |counters| counters.dropped_oldest_messages.get()),
    ("overflow_new", |counters| counters.dropped_new_messages.get()),
    ("connection_full", |counters| counters.dropped_connection_full_messages.get()),
    ("reclaimed", |counters| counters.reclaimed_messages.get()),
    ("conflated", |counters| counters.conflated_messages.get()),
    ("refused_for_memory", |counters| counters.refused_for_memory_messages.get()),
    ("expired_before_enqueue", |counters| counters.expired_before_enqueue_messages.get()),
    ("expired_in_queue", |counters| counters.expired_in_queue_messages.get()),
    ("disconnected", |counters| counters.dropped_disconnected_messages.get()),
    ("refused", |counters| counters.refused_messages.get()),
];

/// Why connections are refused, as the label `reason`, by the number of `Refused`.
pub static REFUSED: [&str; 5] = ["limit", "address", "address_rate", "before_login", "user"];

/// What the kernel could not do, as the label `operation`, by the number of `Shortage`.
pub static SHORTAGES: [&str; 4] = ["accept", "receive", "send", "enter"];

/// A histogram of every core: its name, its help, how many counted units make one exported unit, and
/// how the histogram is read from a core.
pub type PerCoreHistogram = (&'static str, &'static str, f64, fn(&Core) -> &Histogram);

pub static HISTOGRAMS: [PerCoreHistogram; 4] = [
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
