//! The whole result as one JSON document.
//!
//! Called by `mod` for `--json`.
//!
//! # Always true
//! - A number that was not measured is `null`; keys name their units.

use serde_json::{Value, json};

use super::account::Trouble;
use super::process::Machine;
use super::round::{Load, Round};
use super::shared::Pace;
use super::summary::{Measured, NUMBERS};

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
        "machine": of_machine(machine),
        "targets": all.iter().map(of_target).collect::<Vec<_>>(),
    })
}

pub fn of_machine(machine: &Machine) -> Value {
    json!({ "kernel": machine.kernel, "cpu_model": machine.cpu_model, "cpus": machine.cpus })
}

fn of_target(measured: &Measured) -> Value {
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
        "rounds": measured.rounds.iter().map(of_round).collect::<Vec<_>>(),
    })
}

fn of_round(round: &Round) -> Value {
    let numbers = NUMBERS.iter();
    let mut numbers: serde_json::Map<_, _> =
        numbers.map(|number| (number.key.to_owned(), json!(number.of(round)))).collect();
    let totals = &round.totals;
    numbers.extend([
        ("clean".to_owned(), json!(round.trouble.is_none())),
        ("seconds".to_owned(), json!(round.seconds)),
        ("messages".to_owned(), json!(round.published)),
        ("deliveries".to_owned(), json!(round.delivered)),
        ("total_messages".to_owned(), json!(totals.published)),
        ("total_deliveries".to_owned(), json!(totals.delivered)),
        ("total_deliveries_expected".to_owned(), json!(totals.owed)),
        ("trouble".to_owned(), of_trouble(&round.trouble)),
        ("trouble_at".to_owned(), json!(round.troubles)),
        ("late_messages".to_owned(), json!(round.lateness.messages)),
        ("late_max_us".to_owned(), json!(round.lateness.max_ns as f64 / 1_000.0)),
        ("latency_samples".to_owned(), json!(round.latency.len())),
        ("deliveries_per_s_by_time_s".to_owned(), json!(round.series)),
    ]);
    Value::Object(numbers)
}

fn of_trouble(trouble: &Trouble) -> Value {
    json!({
        "missing": trouble.missing,
        "duplicates": trouble.duplicates,
        "out_of_order": trouble.out_of_order,
        "strangers": trouble.strangers,
        "told_gaps": trouble.told_gaps,
    })
}
