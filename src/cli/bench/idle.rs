//! `blipmq bench idle`: what connections that say nothing cost a broker.
//!
//! Called by `mod`. Next on the path: `connect` for each connection, `process` for what they cost.
//!
//! # Always true
//! - Memory is read before the first connection and after the last has its subscriptions.
//! - A broker that closes an idle connection, or sends it a message, is told.

use std::time::Duration;

use clap::{Args, value_parser};
use serde_json::{Value, json};

use super::super::Outcome;
use super::connect::{Connection, Role, buffer_len};
use super::json;
use super::options::{Cpus, parse_cpus, parse_secs, pids_of};
use super::process::{self, Cpu, Machine, Snapshot};
use super::progress::Progress;
use super::setup::{pin, raise_open_files};
use super::summary::{Unit, median};
use super::table;
use super::target::{Protocol, Target};
use super::worker::Strays;
use super::{print, round};

/// Between the last connection and the first look at what idling costs.
const SETTLE: Duration = Duration::from_millis(300);
/// Connections between two steps of the progress line.
const PROGRESS_STEP: usize = 100;

/// Open connections that say nothing, and tell what they cost.
#[derive(Debug, Args)]
pub struct Idle {
    /// Brokers to measure, as for the other modes.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<Target>,
    /// Connections to open.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u32).range(1..=1_000_000))]
    idle_conns: u32,
    /// Subscriptions on each, to topics of their own.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=100_000))]
    subs_per_conn: u32,
    /// Seconds of idling that are measured, 0.1 to 3600.
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = parse_secs)]
    secs: Duration,
    /// Rounds of each target, in turn.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// CPUs to run this generator on; without it nothing is pinned.
    #[arg(long, value_name = "LIST", value_parser = parse_cpus)]
    cpu: Option<Cpus>,
    /// The broker's process; once for each URL, in order.
    #[arg(long = "pid", value_name = "PID", required = true, value_parser = value_parser!(u32).range(1..))]
    pids: Vec<u32>,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

/// What a round found.
#[derive(Debug, Clone, Copy)]
struct Found {
    resident_before: u64,
    resident_with: u64,
    connections: u32,
    cpu: Cpu,
}

type Number = (&'static str, &'static str, Unit, fn(&Found) -> f64);

const NUMBERS: [Number; 5] = [
    ("resident_bytes_before", "memory before", Unit::Bytes, |found| found.resident_before as f64),
    ("resident_bytes_with", "memory with them", Unit::Bytes, |found| found.resident_with as f64),
    ("resident_bytes_per_connection", "memory per connection", Unit::Bytes, |found| {
        let grown = found.resident_with.saturating_sub(found.resident_before);
        grown as f64 / f64::from(found.connections)
    }),
    ("cpu_percent", "CPU while idle", Unit::Percent, |found| found.cpu.percent()),
    ("cpu_us_per_s", "CPU time per second", Unit::Micros, |found| {
        found.cpu.total_ns as f64 / 1_000.0 / (found.cpu.wall_ns.max(1) as f64 / 1e9)
    }),
];

impl Idle {
    pub fn run(self) -> Outcome {
        if self.subs_per_conn > 1 && self.urls.iter().any(|url| url.protocol == Protocol::Raw) {
            return Err("a mirror has one topic per connection: take --subs-per-conn 1".to_owned());
        }
        pin(self.cpu.as_ref().map_or(&[], |cpus| &cpus.0))?;
        raise_open_files();
        let pids = pids_of(&self.pids, self.urls.len())?;
        let pids: Vec<u32> = pids.into_iter().flatten().collect();
        let mut found = vec![Vec::new(); self.urls.len()];
        for number in 1..=self.rounds as usize {
            for ((target, pid), found) in self.urls.iter().zip(&pids).zip(&mut found) {
                let progress = Progress::new(number, self.rounds as usize);
                found.push(self.round(target, *pid, &progress)?);
            }
        }
        self.report(&found)
    }

    fn round(&self, target: &Target, pid: u32, progress: &Progress) -> Result<Found, String> {
        let resident = || {
            process::resident_bytes(pid)
                .ok_or_else(|| format!("cannot read the memory of process {pid}: is it running?"))
        };
        let resident_before = resident()?;
        let run = round::run_name();
        let mut connections = Vec::with_capacity(self.idle_conns as usize);
        for number in 0..self.idle_conns {
            let topic = |at| format!("bench.{run}.idle.{number}.{at}");
            let topics: Vec<String> = (0..self.subs_per_conn).map(topic).collect();
            let (connection, _) = Connection::open(target, Role::Subscribe(&topics))
                .map_err(|error| format!("{error} (after {number} connections)"))?;
            connections.push(connection);
            if connections.len().is_multiple_of(PROGRESS_STEP) {
                progress.say(format!("{target}: {number} connections"));
            }
        }
        std::thread::sleep(SETTLE);
        let before = Snapshot::of(pid)?;
        progress.wait(target, self.secs);
        let cpu = Snapshot::of(pid)?.since(&before);
        let resident_with = resident()?;
        check_silent(target, &mut connections)?;
        Ok(Found { resident_before, resident_with, connections: self.idle_conns, cpu })
    }

    fn report(&self, found: &[Vec<Found>]) -> Outcome {
        let machine = Machine::here();
        let command = std::env::args().collect::<Vec<_>>().join(" ");
        let medians: Vec<Vec<f64>> = found.iter().map(|rounds| medians(rounds)).collect();
        if self.json {
            let document = self.document(&machine, &command, found, &medians);
            return print(&format!("{document:#}\n"));
        }
        let header = std::iter::once(String::new());
        let header = header.chain(self.urls.iter().map(Target::to_string)).collect();
        let rows = NUMBERS.iter().enumerate().map(|(at, (_, name, unit, _))| {
            let values = medians.iter().map(|values| table::shown(values[at], *unit));
            std::iter::once((*name).to_owned()).chain(values).collect()
        });
        let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
        print(&format!(
            "idle, {} connections with {} subscriptions each, {} s\n\n{}\n{}\n{command}\n",
            self.idle_conns,
            self.subs_per_conn,
            self.secs.as_secs_f64(),
            table::aligned(&rows),
            machine.words()
        ))
    }

    fn document(
        &self,
        machine: &Machine,
        command: &str,
        found: &[Vec<Found>],
        medians: &[Vec<f64>],
    ) -> Value {
        let target = |at: usize| {
            let rounds = found[at].iter().map(|found| numbers(&values(found)));
            json!({
                "target": self.urls[at].to_string(),
                "pid": self.pids[at],
                "median": numbers(&medians[at]),
                "rounds": rounds.collect::<Vec<_>>(),
            })
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "mode": "idle",
            "command": command,
            "clean": true,
            "parameters": {
                "idle_conns": self.idle_conns,
                "subs_per_conn": self.subs_per_conn,
                "secs": self.secs.as_secs_f64(),
            },
            "machine": json::of_machine(machine),
            "targets": (0..self.urls.len()).map(target).collect::<Vec<_>>(),
        })
    }
}

fn numbers(values: &[f64]) -> Value {
    let pairs = NUMBERS.iter().zip(values);
    Value::Object(pairs.map(|((key, ..), value)| ((*key).to_owned(), json!(value))).collect())
}

fn values(found: &Found) -> Vec<f64> {
    NUMBERS.iter().map(|(.., of)| of(found)).collect()
}

fn medians(rounds: &[Found]) -> Vec<f64> {
    let all: Vec<Vec<f64>> = rounds.iter().map(values).collect();
    let of = |at| median(all.iter().map(|values| values[at]).collect()).expect("there are rounds");
    (0..NUMBERS.len()).map(of).collect()
}

/// Nothing but a PING may have come, and no connection may have ended.
fn check_silent(target: &Target, connections: &mut [Connection]) -> Outcome {
    let mut buffer = vec![0; buffer_len(0)];
    for (number, connection) in connections.iter_mut().enumerate() {
        let named = |error| format!("{target}: idle connection {number}: {error}");
        let mut strays = Strays::default();
        if let Some(len) = connection.read(&mut buffer).map_err(named)? {
            connection.take(&buffer[..len], &mut strays).map_err(named)?;
        }
        if strays.messages > 0 {
            return Err(named(format!(
                "NOT CLEAN: {} messages came, none was due",
                strays.messages
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_per_connection_and_per_second() {
        let cpu = Cpu { total_ns: 4_000_000, busiest_ns: 0, wall_ns: 2_000_000_000 };
        let found = Found { resident_before: 1_000, resident_with: 5_000, connections: 4, cpu };
        assert_eq!(values(&found), [1_000.0, 5_000.0, 1_000.0, 0.2, 2_000.0]);
        let other = Found { resident_with: 9_000, ..found };
        assert_eq!(medians(&[found, other])[2], 1_500.0);
    }
}
