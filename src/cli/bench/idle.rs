//! `blipmq bench idle`: measures what idle connections cost a broker.
//!
//! Called by `mod`. Next on the path: `connect` for each connection, `process` for their cost.
//!
//! # Always true
//! - Memory is read before the first connection is opened and after the last one has subscribed.
//! - A broker that closes an idle connection or sends a message to one is reported.
//! - PINGs of the broker are answered, however long the measurement is.

use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use serde_json::{Value, json};

use super::super::Outcome;
use super::super::tls::TlsArgs;
use super::connect::{Connection, Role, buffer_len};
use super::json;
use super::options::{Cpus, assign_pids, parse_cpus, parse_secs};
use super::process::{self, Cpu, Machine, Snapshot};
use super::progress::Progress;
use super::setup::{pin, raise_open_files};
use super::summary::{Unit, median};
use super::table;
use super::target::{self, Protocol, Target};
use super::worker::{Strays, send_replies};
use super::{print, round};

/// The pause between the last connection and the measurement.
const SETTLE: Duration = Duration::from_millis(300);
/// Connections between two updates of the progress line.
const PROGRESS_STEP: usize = 100;
/// The time between two looks for PINGs: brokers close clients that do not answer for some times that.
const ANSWER_INTERVAL: Duration = Duration::from_secs(5);

/// Open idle connections and report what they cost the broker.
#[derive(Debug, Args)]
pub struct Idle {
    /// Brokers to measure, as in the other modes.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<Target>,
    /// Number of connections to open.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u32).range(1..=1_000_000))]
    idle_conns: u32,
    /// Subscriptions per connection, each to a topic of its own.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=100_000))]
    subs_per_conn: u32,
    /// Length of the measurement in seconds, 0.1 to 3600.
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = parse_secs)]
    secs: Duration,
    /// Rounds per target; targets take turns.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// CPUs to run this generator on; without this option, no thread is pinned.
    #[arg(long, value_name = "LIST", value_parser = parse_cpus)]
    cpu: Option<Cpus>,
    /// The broker's process id; give one for each URL, in order.
    #[arg(long = "pid", value_name = "PID", required = true, value_parser = value_parser!(u32).range(1..))]
    pids: Vec<u32>,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tls: TlsArgs,
}

/// The measurements of one round.
#[derive(Debug, Clone, Copy)]
struct Cost {
    resident_before: u64,
    resident_with: u64,
    connections: u32,
    cpu: Cpu,
}

type Number = (&'static str, &'static str, Unit, fn(&Cost) -> f64);

const NUMBERS: [Number; 5] = [
    ("resident_bytes_before", "memory before", Unit::Bytes, |cost| cost.resident_before as f64),
    ("resident_bytes_with", "memory with them", Unit::Bytes, |cost| cost.resident_with as f64),
    ("resident_bytes_per_connection", "memory per connection", Unit::Bytes, |cost| {
        let grown = cost.resident_with.saturating_sub(cost.resident_before);
        grown as f64 / f64::from(cost.connections)
    }),
    ("cpu_percent", "CPU while idle", Unit::Percent, |cost| cost.cpu.percent()),
    ("cpu_us_per_s", "CPU time per second", Unit::Micros, |cost| {
        cost.cpu.total_ns as f64 / 1_000.0 / (cost.cpu.wall_ns.max(1) as f64 / 1e9)
    }),
];

impl Idle {
    pub fn run(self) -> Outcome {
        if self.subs_per_conn > 1 && self.urls.iter().any(|url| url.protocol == Protocol::Raw) {
            return Err("a mirror has one topic per connection: use --subs-per-conn 1".to_owned());
        }
        pin(self.cpu.as_ref().map_or(&[], |cpus| &cpus.0))?;
        raise_open_files();
        let pids = assign_pids(&self.pids, self.urls.len())?;
        let pids: Vec<u32> = pids.into_iter().flatten().collect();
        let targets = target::secured(&self.urls, &self.tls, false)?;
        let mut costs = vec![Vec::new(); targets.len()];
        for number in 1..=self.rounds as usize {
            for ((target, pid), costs) in targets.iter().zip(&pids).zip(&mut costs) {
                let progress = Progress::new(number, self.rounds as usize);
                costs.push(self.round(target, *pid, &progress)?);
            }
        }
        self.report(&costs)
    }

    fn round(&self, target: &Target, pid: u32, progress: &Progress) -> Result<Cost, String> {
        let resident = || {
            process::resident_bytes(pid)
                .ok_or_else(|| format!("cannot read the memory of process {pid}: is it running?"))
        };
        let resident_before = resident()?;
        let run = round::run_name();
        let mut connections = Vec::with_capacity(self.idle_conns as usize);
        let mut answered = Instant::now();
        for number in 0..self.idle_conns {
            let topic = |at| format!("bench.{run}.idle.{number}.{at}");
            let topics: Vec<String> = (0..self.subs_per_conn).map(topic).collect();
            let (connection, _) = Connection::open(target, Role::Subscribe(&topics))
                .map_err(|error| format!("{error} (after {number} connections)"))?;
            connections.push(connection);
            if connections.len().is_multiple_of(PROGRESS_STEP) {
                progress.show(format!("{target}: {number} connections"));
            }
            if answered.elapsed() >= ANSWER_INTERVAL {
                answer_pings(target, &mut connections)?;
                answered = Instant::now();
            }
        }
        std::thread::sleep(SETTLE);
        let before = Snapshot::of(pid)?;
        let mut left = self.secs;
        while !left.is_zero() {
            let pause = left.min(ANSWER_INTERVAL);
            progress.sleep(target, pause);
            left -= pause;
            if !left.is_zero() {
                answer_pings(target, &mut connections)?;
            }
        }
        let cpu = Snapshot::of(pid)?.since(&before);
        let resident_with = resident()?;
        answer_pings(target, &mut connections)?;
        Ok(Cost { resident_before, resident_with, connections: self.idle_conns, cpu })
    }

    fn report(&self, costs: &[Vec<Cost>]) -> Outcome {
        let machine = Machine::here();
        let command = std::env::args().collect::<Vec<_>>().join(" ");
        let medians: Vec<Vec<f64>> = costs.iter().map(|rounds| medians(rounds)).collect();
        if self.json {
            let document = self.document(&machine, &command, costs, &medians);
            return print(&format!("{document:#}\n"));
        }
        let header = std::iter::once(String::new());
        let header = header.chain(self.urls.iter().map(Target::to_string)).collect();
        let rows = NUMBERS.iter().enumerate().map(|(at, (_, name, unit, _))| {
            let values = medians.iter().map(|values| table::format_value(values[at], *unit));
            std::iter::once((*name).to_owned()).chain(values).collect()
        });
        let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
        print(&format!(
            "idle, {} connections with {} subscriptions each, {} s\n\n{}\n{}\n{command}\n",
            self.idle_conns,
            self.subs_per_conn,
            self.secs.as_secs_f64(),
            table::aligned(&rows),
            machine.describe()
        ))
    }

    fn document(
        &self,
        machine: &Machine,
        command: &str,
        costs: &[Vec<Cost>],
        medians: &[Vec<f64>],
    ) -> Value {
        let target = |at: usize| {
            let rounds = costs[at].iter().map(|cost| numbers(&values(cost)));
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
            "machine": json::machine_json(machine),
            "targets": (0..self.urls.len()).map(target).collect::<Vec<_>>(),
        })
    }
}

fn numbers(values: &[f64]) -> Value {
    let pairs = NUMBERS.iter().zip(values);
    Value::Object(pairs.map(|((key, ..), value)| ((*key).to_owned(), json!(value))).collect())
}

fn values(cost: &Cost) -> Vec<f64> {
    NUMBERS.iter().map(|(.., of)| of(cost)).collect()
}

fn medians(rounds: &[Cost]) -> Vec<f64> {
    let all: Vec<Vec<f64>> = rounds.iter().map(values).collect();
    let of =
        |at| median(all.iter().map(|values| values[at]).collect()).expect("at least one round");
    (0..NUMBERS.len()).map(of).collect()
}

/// Checks that nothing but PINGs arrived and that no connection was closed, and answers the PINGs.
fn answer_pings(target: &Target, connections: &mut [Connection]) -> Outcome {
    let mut buffer = vec![0; buffer_len(0)];
    for (number, connection) in connections.iter_mut().enumerate() {
        let describe_error = |error| format!("{target}: idle connection {number}: {error}");
        let mut strays = Strays::default();
        if let Some(len) = connection.read(&mut buffer).map_err(describe_error)? {
            connection.decode(&buffer[..len], &mut strays).map_err(describe_error)?;
        }
        send_replies(connection, &strays.replies).map_err(describe_error)?;
        if strays.messages > 0 {
            return Err(describe_error(format!(
                "NOT CLEAN: received {} messages, none was published",
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
    fn costs_are_computed_per_connection_and_per_second() {
        let cpu = Cpu { total_ns: 4_000_000, busiest_ns: 0, wall_ns: 2_000_000_000 };
        let costs = Cost { resident_before: 1_000, resident_with: 5_000, connections: 4, cpu };
        assert_eq!(values(&costs), [1_000.0, 5_000.0, 1_000.0, 0.2, 2_000.0]);
        let other = Cost { resident_with: 9_000, ..costs };
        assert_eq!(medians(&[costs, other])[2], 1_500.0);
    }
}
