//! `blipmq bench connects`: measures what it costs a broker that a client connects.
//!
//! Called by `mod`. Next on the path: `connect` for each connection, `process` for their cost, `costs` for
//! the report.
//!
//! # Always true
//! - One connection at a time: a connection is counted once the broker has answered its login, and closed
//!   before the next one is opened.
//! - Over TLS every handshake is a full one, or each but the first of a target is resumed.

use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use serde_json::json;

use super::super::Outcome;
use super::connect::{Connection, Role};
use super::costs::{CostArgs, Number, Report};
use super::process::{Cpu, Snapshot};
use super::progress::Progress;
use super::summary::Unit;
use super::target::{Protocol, Target};

/// The pause in which the broker cleans up behind the last connection.
const SETTLE: Duration = Duration::from_millis(300);
/// Connections between two updates of the progress line.
const PROGRESS_STEP: u32 = 100;

/// Open connections, one after the other, and report what they cost the broker.
#[derive(Debug, Args)]
pub struct Connects {
    #[command(flatten)]
    costs: CostArgs,
    /// Number of connections to open and close in a round.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u32).range(1..=1_000_000))]
    connects: u32,
    /// Resume TLS sessions: the tickets of each connection are used for the next one.
    #[arg(long)]
    resume: bool,
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

const NUMBERS: [Number<Cost>; 3] = [
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
        if self.costs.urls.iter().any(|url| url.protocol == Protocol::Raw) {
            return Err("a mirror has no login to measure: give a broker".to_owned());
        }
        let round = |target: &Target, pid, progress: &Progress| self.round(target, pid, progress);
        let costs = self.costs.measure(self.resume, round)?;
        let report = Report {
            mode: "connects",
            title: format!("{} a round", self.connects),
            parameters: json!({ "connects": self.connects, "resume": self.resume }),
            numbers: &NUMBERS,
        };
        self.costs.report(report, &costs)
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
}

#[cfg(test)]
mod tests {
    use super::super::costs::values;
    use super::*;

    #[test]
    fn costs_are_computed_per_connect_and_per_second_of_the_broker() {
        let cpu = Cpu { total_ns: 50_000_000, busiest_ns: 0, wall_ns: 1 };
        let cost = Cost { connects: 500, wall: Duration::from_millis(250), cpu };
        assert_eq!(values(&NUMBERS, &cost), [100.0, 10_000.0, 2_000.0]);
    }
}
