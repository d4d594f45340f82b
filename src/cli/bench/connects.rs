//! `blipmq bench connects`: measures what it costs a broker that a client connects.
//!
//! Called by `mod`. Next on the path: `connect` for each connection, `process` for their cost.
//!
//! # Always true
//! - One connection at a time: a connection is counted once the broker has answered its login, and closed
//!   before the next one is opened.
//! - Over TLS every handshake is a full one, or each but the first of a target is resumed.

use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use serde_json::{Value, json};

use super::super::Outcome;
use super::super::tls::TlsArgs;
use super::connect::{Connection, Role};
use super::options::{Cpus, assign_pids, parse_cpus};
use super::process::{Cpu, Machine, Snapshot};
use super::progress::Progress;
use super::setup::{pin, raise_open_files};
use super::summary::{Unit, median};
use super::target::{self, Protocol, Target};
use super::{json, print, table};

/// The pause in which the broker cleans up behind the last connection.
const SETTLE: Duration = Duration::from_millis(300);
/// Connections between two updates of the progress line.
const PROGRESS_STEP: u32 = 100;

/// Open connections, one after the other, and report what they cost the broker.
#[derive(Debug, Args)]
pub struct Connects {
    /// Brokers to measure, as in the other modes.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<Target>,
    /// Number of connections to open and close in a round.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u32).range(1..=1_000_000))]
    connects: u32,
    /// Resume TLS sessions: the tickets of each connection are used for the next one.
    #[arg(long)]
    resume: bool,
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
    connects: u32,
    /// From the first connection to the end of the last one.
    wall: Duration,
    /// Of the broker, with the pause behind the last connection.
    cpu: Cpu,
}

type Number = (&'static str, &'static str, Unit, fn(&Cost) -> f64);

const NUMBERS: [Number; 3] = [
    ("broker_cpu_us_per_connect", "CPU per connect", Unit::Micros, |cost| {
        cost.cpu.total_ns as f64 / 1_000.0 / f64::from(cost.connects)
    }),
    ("connects_per_broker_cpu_s", "connects per CPU second", Unit::Count, |cost| {
        f64::from(cost.connects) * 1e9 / cost.cpu.total_ns.max(1) as f64
    }),
    ("connects_per_s", "connects/s, one at a time", Unit::Count, |cost| {
        f64::from(cost.connects) / cost.wall.as_secs_f64().max(1e-9)
    }),
];

impl Connects {
    pub fn run(self) -> Outcome {
        if self.urls.iter().any(|url| url.protocol == Protocol::Raw) {
            return Err("a mirror has no login to measure: give a broker".to_owned());
        }
        pin(self.cpu.as_ref().map_or(&[], |cpus| &cpus.0))?;
        raise_open_files();
        let pids = assign_pids(&self.pids, self.urls.len())?;
        let pids: Vec<u32> = pids.into_iter().flatten().collect();
        let targets = target::secured(&self.urls, &self.tls, self.resume)?;
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
        let before = Snapshot::of(pid)?;
        let begun = Instant::now();
        for number in 0..self.connects {
            Connection::open(target, Role::Subscribe(&[]))
                .map_err(|error| format!("{error} (after {number} connections)"))?;
            if number % PROGRESS_STEP == 0 {
                progress.show(format!("{target}: {number} connections"));
            }
        }
        let wall = begun.elapsed();
        std::thread::sleep(SETTLE);
        Ok(Cost { connects: self.connects, wall, cpu: Snapshot::of(pid)?.since(&before) })
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
            "connects, {} a round\n\n{}\n{}\n{command}\n",
            self.connects,
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
            "mode": "connects",
            "command": command,
            "clean": true,
            "parameters": { "connects": self.connects, "resume": self.resume },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_computed_per_connect_and_per_second_of_the_broker() {
        let cpu = Cpu { total_ns: 50_000_000, busiest_ns: 0, wall_ns: 1 };
        let cost = Cost { connects: 500, wall: Duration::from_millis(250), cpu };
        assert_eq!(values(&cost), [100.0, 10_000.0, 2_000.0]);
    }
}
