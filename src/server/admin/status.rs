//! The broker as JSON: its identity, its limits and how much of them is used, and the counters of each
//! core.

use std::net::SocketAddr;
use std::time::SystemTime;

use blipmq::broker::counters::Counters;
use blipmq::broker::histogram::{self, BOUNDS, Histogram};
use serde_json::{Map, Value, json};

use crate::server::control::Fill;
use crate::server::listeners::{Addresses, ENDPOINTS};
use crate::server::node::{self, Core, Node};
use crate::server::process::Process;
use crate::server::reload::Snapshot;

/// A counter: its name, and how it is read from a core.
type NamedCounter = (&'static str, fn(&Core) -> u64);

static COUNTERS: [NamedCounter; 36] = [
    ("published_messages", |core| core.counters.published_messages.get()),
    ("published_bytes", |core| core.counters.published_bytes.get()),
    ("enqueued_messages", |core| core.counters.enqueued_messages.get()),
    ("delivered_messages", |core| core.counters.delivered_messages.get()),
    ("dropped_oldest_messages", |core| core.counters.dropped_oldest_messages.get()),
    ("dropped_new_messages", |core| core.counters.dropped_new_messages.get()),
    ("dropped_connection_full_messages", |core| {
        core.counters.dropped_connection_full_messages.get()
    }),
    ("reclaimed_messages", |core| core.counters.reclaimed_messages.get()),
    ("reclaimed_connections", |core| core.counters.reclaimed_connections.get()),
    ("conflated_messages", |core| core.counters.conflated_messages.get()),
    ("expired_before_enqueue_messages", |core| core.counters.expired_before_enqueue_messages.get()),
    ("expired_in_queue_messages", |core| core.counters.expired_in_queue_messages.get()),
    ("dropped_disconnected_messages", |core| core.counters.dropped_disconnected_messages.get()),
    ("refused_messages", |core| core.counters.refused_messages.get()),
    ("refused_for_memory_messages", |core| core.counters.refused_for_memory_messages.get()),
    ("queue_overflows", |core| {
        core.counters.queue_overflows.iter().map(|of_policy| of_policy.get()).sum()
    }),
    ("publishers_blocked", |core| core.counters.publishers_blocked.get()),
    ("evicted_portions", |core| core.counters.evicted_slices.get()),
    ("flushes", |core| core.counters.flushes.get()),
    ("flushed_bytes", |core| core.counters.flushed_bytes.get()),
    ("errors_sent", |core| core.counters.errors_sent.get()),
    ("logins_refused", |core| core.counters.logins_refused.get()),
    ("no_responders", |core| core.counters.no_responders.get()),
    ("connections_opened", |core| core.counters.connections_opened.get()),
    ("connections_closed", |core| core.counters.connections_closed.get()),
    ("mesh_letters_sent", |core| core.counters.mesh_messages_sent.get()),
    ("mesh_full", |core| core.counters.mesh_full.get()),
    ("turns", |core| core.turns.turns.get()),
    ("enters", |core| core.turns.enters.get()),
    ("receive_buffer_shortages", |core| core.turns.buffer_shortages.get()),
    ("input_deferred", |core| core.counters.input_deferred.get()),
    ("rate_limited", |core| core.counters.rate_limited.get()),
    ("refused_subscriptions", |core| core.counters.refused_subscriptions.get()),
    ("fan_out_exceeded", |core| core.counters.fan_out_exceeded.get()),
    ("send_timeouts", |core| core.counters.send_timeouts.get()),
    ("stale_connections", |core| core.counters.stale_connections.get()),
];

/// `/api/v1/status`
pub fn status(node: &Node) -> Value {
    let process = Process::read();
    let now = SystemTime::now();
    let limits = node.limits(&process).map(|limit| {
        json!({
            "name": limit.name,
            "used": limit.used,
            "limit": limit.limit,
            "unit": limit.unit,
            "key": limit.key,
        })
    });
    let totals: Map<String, Value> =
        COUNTERS.iter().map(|(name, read)| ((*name).to_owned(), node.sum(read).into())).collect();
    json!({
        "name": "blipmq",
        "version": env!("CARGO_PKG_VERSION"),
        "server_id": format!("{:016X}", node.server_id),
        "pid": std::process::id(),
        "state": if node.is_ready() { "ready" } else { "draining" },
        "now_unix_seconds": unix_seconds(now),
        "started_unix_seconds": unix_seconds(node.started),
        "uptime_seconds": node.ready_since.elapsed().as_secs_f64(),
        "addresses": addresses(&node.addresses),
        "cpus": node.cores.iter().map(|core| core.cpu).collect::<Vec<_>>(),
        "shards": node.shards,
        "process": {
            "cpu_seconds": process.cpu_seconds,
            "resident_bytes": process.resident_bytes,
            "open_files": process.open_files,
            "open_files_max": process.open_files_max,
            "threads": process.threads,
        },
        "configuration": configuration(&node.configuration.snapshot()),
        "limits": limits,
        "totals": totals,
        "latency": latency(node),
    })
}

/// The address of every endpoint and of these pages, null where one is disabled.
fn addresses(addresses: &Addresses) -> Map<String, Value> {
    let printed = |address: Option<SocketAddr>| json!(address.map(|address| address.to_string()));
    let clients = ENDPOINTS
        .iter()
        .map(|endpoint| (endpoint.name.to_owned(), printed(addresses.of(endpoint))));
    clients.chain([("metrics".to_owned(), printed(addresses.metrics))]).collect()
}

/// The file of the settings, and the outcome of the last reload.
fn configuration(snapshot: &Snapshot) -> Value {
    let last = snapshot.last.as_ref().map(|last| {
        json!({
            "number": last.number,
            "unix_seconds": unix_seconds(last.at),
            "outcome": last.outcome(),
            "applied": last.applied,
            "needs_restart": last.needs_restart,
            "errors": last.errors,
        })
    });
    json!({
        "file": snapshot.file.as_ref().map(|file| file.display().to_string()),
        "loaded_unix_seconds": unix_seconds(snapshot.loaded),
        "reloads": snapshot.applied + snapshot.refused,
        "last_reload": last,
    })
}

/// Percentiles of the time from accepting a message to sending it, since the start.
fn latency(node: &Node) -> Value {
    let mut counts = [0; BOUNDS + 1];
    for core in &node.cores {
        let of_core = core.counters.accept_to_send_us.counts();
        counts.iter_mut().zip(of_core).for_each(|(sum, count)| *sum += count);
    }
    let shares = [
        ("p50_seconds", 0.5),
        ("p90_seconds", 0.9),
        ("p99_seconds", 0.99),
        ("p999_seconds", 0.999),
    ];
    let percentiles = shares.map(|(name, share)| {
        // A time above the last bound is shown as that bound.
        let found = histogram::quantile(&counts, share);
        let bound = found.map(|bound| bound.unwrap_or(histogram::bound(BOUNDS - 1)));
        (name.to_owned(), bound.map(|microseconds| microseconds as f64 / 1e6).into())
    });
    Value::Object(percentiles.into_iter().collect())
}

/// `/api/v1/cores`
pub fn cores(node: &Node, fills: &[Option<Fill>], now_ns: u64) -> Value {
    let rows = node.cores.iter().zip(fills).enumerate().map(|(number, (core, fill))| {
        let counted: Map<String, Value> =
            COUNTERS.iter().map(|(name, read)| ((*name).to_owned(), read(core).into())).collect();
        json!({
            "core": number,
            "cpu": core.cpu,
            "answered": fill.is_some(),
            "counters": counted,
            "asleep_seconds": core.turns.asleep_ns(now_ns) as f64 / 1e9,
            "gauges": gauges(&core.counters, *fill),
            "accept_to_send": histogram_in_seconds(&core.counters.accept_to_send_us),
            "send_messages": histogram_in_counts(&core.counters.send_messages),
            "send_bytes": histogram_in_counts(&core.counters.send_bytes),
            "enter_sends": histogram_in_counts(&core.turns.enter_sends),
        })
    });
    json!({
        "now_unix_seconds": unix_seconds(SystemTime::now()),
        "cores": rows.collect::<Vec<_>>(),
    })
}

fn gauges(counters: &Counters, fill: Option<Fill>) -> Value {
    json!({
        "connections": node::connections(counters),
        "nats_connections": node::nats_connections(counters),
        "subscriptions": counters.subscriptions.get(),
        "topics": counters.topics.get(),
        "blocked_topics": counters.blocked_topics.get(),
        "mesh_waiting_letters": fill.map(|fill| fill.mesh_waiting_messages),
        "receive_buffers_free": fill.map(|fill| fill.receive_buffers_free),
    })
}

fn histogram_in_seconds(microseconds: &Histogram) -> Value {
    let upper = (0..BOUNDS).map(|index| histogram::bound(index) as f64 / 1e6);
    json!({
        "upper_seconds": upper.collect::<Vec<_>>(),
        "counts": microseconds.counts().as_slice(),
        "sum_seconds": microseconds.sum() as f64 / 1e6,
    })
}

fn histogram_in_counts(histogram: &Histogram) -> Value {
    json!({
        "upper": (0..BOUNDS).map(histogram::bound).collect::<Vec<_>>(),
        "counts": histogram.counts().as_slice(),
        "sum": histogram.sum(),
    })
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
