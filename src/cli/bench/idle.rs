//! `blipmq bench idle`: measures what idle connections cost a broker.
//!
//! Called by `mod`. Next on the path: `connect` for each connection, `process` for their cost, `costs` for
//! the report.
//!
//! # Always true
//! - Memory is read before the first connection is opened and after the last one has subscribed.
//! - A broker that closes an idle connection or sends a message to one is reported.
//! - PINGs of the broker are answered, however long the measurement is.

use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use serde_json::json;

use super::super::Outcome;
use super::connect::{Connection, Role, buffer_len};
use super::costs::{CostArgs, Number, Report};
use super::options::parse_secs;
use super::process::{self, Cpu, Snapshot};
use super::progress::Progress;
use super::round;
use super::summary::Unit;
use super::target::{Protocol, Target};
use super::worker::{Strays, send_replies};

/// The pause between the last connection and the measurement.
const SETTLE: Duration = Duration::from_millis(300);
/// Connections between two updates of the progress line.
const PROGRESS_STEP: usize = 100;
/// The time between two looks for PINGs: brokers close clients that do not answer for some times that.
const ANSWER_INTERVAL: Duration = Duration::from_secs(5);

/// Open idle connections and report what they cost the broker.
#[derive(Debug, Args)]
pub struct Idle {
    #[command(flatten)]
    costs: CostArgs,
    /// Number of connections to open.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u32).range(1..=1_000_000))]
    idle_conns: u32,
    /// Subscriptions per connection, each to a topic of its own.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=100_000))]
    subs_per_conn: u32,
    /// Length of the measurement in seconds, 0.1 to 3600.
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = parse_secs)]
    secs: Duration,
}

/// The measurements of one round.
#[derive(Debug, Clone, Copy)]
struct Cost {
    resident_before: u64,
    resident_with: u64,
    connections: u32,
    cpu: Cpu,
}

const NUMBERS: [Number<Cost>; 5] = [
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
        let urls = &self.costs.urls;
        if self.subs_per_conn > 1 && urls.iter().any(|url| url.protocol == Protocol::Raw) {
            return Err("a mirror has one topic per connection: use --subs-per-conn 1".to_owned());
        }
        let round = |target: &Target, pid, progress: &Progress| self.round(target, pid, progress);
        let costs = self.costs.measure(false, round)?;
        let secs = self.secs.as_secs_f64();
        let report = Report {
            mode: "idle",
            title: format!(
                "{} connections with {} subscriptions each, {secs} s",
                self.idle_conns, self.subs_per_conn
            ),
            parameters: json!({
                "idle_conns": self.idle_conns,
                "subs_per_conn": self.subs_per_conn,
                "secs": secs,
            }),
            numbers: &NUMBERS,
        };
        self.costs.report(report, &costs)
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
    use super::super::costs::{medians, values};
    use super::*;

    #[test]
    fn costs_are_computed_per_connection_and_per_second() {
        let cpu = Cpu { total_ns: 4_000_000, busiest_ns: 0, wall_ns: 2_000_000_000 };
        let costs = Cost { resident_before: 1_000, resident_with: 5_000, connections: 4, cpu };
        assert_eq!(values(&NUMBERS, &costs), [1_000.0, 5_000.0, 1_000.0, 0.2, 2_000.0]);
        let other = Cost { resident_with: 9_000, ..costs };
        assert_eq!(medians(&NUMBERS, &[costs, other])[2], 1_500.0);
    }
}
