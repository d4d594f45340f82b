//! The results of all targets as one JSON document.
//!
//! Called by `mod` for `--json`.
//!
//! # Always true
//! - A number that was not measured is `null`; keys contain their units.

use serde_json::{Value, json};

use super::process::Machine;
use super::round::{Load, Round};
use super::shared::Pace;
use super::summary::{Measured, NUMBERS};
use super::tracker::Faults;

pub fn of(mode: &str, command: &str, load: &Load, machine: &Machine, all: &[Measured]) -> Value {
    let (window, rate) = match load.pace {
        Pace::Window(window) => (Some(window), None),
        Pace::RoundTrip => (Some(1), None),
        Pace::Rate { messages_per_s, .. } => (None, Some(messages_per_s)),
    };
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "mode": mode,
        "command": command,
        "clean": all.iter().all(Measured::is_clean),
        "parameters": {
            "pubs": load.publishers,
            "subs": load.subscribers,
            "topics": load.topics,
            "size_bytes": load.payload_len,
            "batch": load.batch,
            "window": window,
            "rate_per_s": rate,
            "secs": load.measured.as_secs_f64(),
            "warmup_s": load.warmup.as_secs_f64(),
            "patterns": load.patterns,
            "idle_conns": load.idle_connections,
            "threads": load.threads,
            "cpus": load.cpus,
        },
        "machine": machine_json(machine),
        "targets": all.iter().map(target_json).collect::<Vec<_>>(),
    })
}

pub fn machine_json(machine: &Machine) -> Value {
    json!({ "kernel": machine.kernel, "cpu_model": machine.cpu_model, "cpus": machine.cpus })
}

fn target_json(measured: &Measured) -> Value {
    let medians = NUMBERS.iter();
    let medians =
        medians.map(|number| (number.key.to_owned(), json!(number.median(&measured.rounds))));
    json!({
        "target": measured.target.to_string(),
        "pid": measured.pid,
        "clean": measured.is_clean(),
        "generator_was_bottleneck": measured.generator_was_bottleneck(),
        "neither_was_busy": measured.neither_was_busy(),
        "median": Value::Object(medians.collect()),
        "rounds": measured.rounds.iter().map(round_json).collect::<Vec<_>>(),
    })
}

fn round_json(round: &Round) -> Value {
    let numbers = NUMBERS.iter();
    let mut numbers: serde_json::Map<_, _> =
        numbers.map(|number| (number.key.to_owned(), json!(number.of(round)))).collect();
    let totals = &round.totals;
    numbers.extend([
        ("clean".to_owned(), json!(round.faults.is_empty())),
        ("seconds".to_owned(), json!(round.seconds)),
        ("messages".to_owned(), json!(round.published)),
        ("deliveries".to_owned(), json!(round.delivered)),
        ("total_messages".to_owned(), json!(totals.published)),
        ("total_deliveries".to_owned(), json!(totals.delivered)),
        ("total_deliveries_expected".to_owned(), json!(totals.owed)),
        ("trouble".to_owned(), faults_json(&round.faults)),
        ("trouble_at".to_owned(), json!(round.fault_texts)),
        ("late_messages".to_owned(), json!(round.lateness.messages)),
        ("late_max_us".to_owned(), json!(round.lateness.max_ns as f64 / 1_000.0)),
        ("latency_samples".to_owned(), json!(round.latency.len())),
        ("deliveries_per_s_by_time_s".to_owned(), json!(round.series)),
    ]);
    Value::Object(numbers)
}

fn faults_json(faults: &Faults) -> Value {
    json!({
        "missing": faults.missing,
        "duplicates": faults.duplicates,
        "out_of_order": faults.out_of_order,
        "strangers": faults.strays,
        "told_gaps": faults.gap_messages,
    })
}
