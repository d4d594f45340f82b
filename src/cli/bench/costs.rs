//! What `bench idle` and `bench connects` share: each measures what something costs a broker, in rounds,
//! and reports the medians.
//!
//! Called by both. Next on the path: `table` and `json`.

use clap::{Args, value_parser};
use serde_json::{Value, json};

use super::super::Outcome;
use super::super::tls::TlsArgs;
use super::options::{Cpus, assign_pids, parse_cpus};
use super::process::Machine;
use super::progress::Progress;
use super::setup::{pin, raise_open_files};
use super::summary::{Unit, median};
use super::target::{self, Target};
use super::{json, print, table};

/// The options that both have.
#[derive(Debug, Args)]
pub struct CostArgs {
    /// Brokers to measure, as in the other modes.
    #[arg(required = true, value_name = "URL")]
    pub urls: Vec<Target>,
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

/// What is computed from the cost `C` of a round: its name in JSON and in the table, its unit, and how.
pub type Number<C> = (&'static str, &'static str, Unit, fn(&C) -> f64);

/// What a report says beside the costs.
pub struct Report<C: 'static> {
    /// The mode of `bench`.
    pub mode: &'static str,
    /// What was done, behind the mode.
    pub title: String,
    /// The parameters, for JSON.
    pub parameters: Value,
    /// The rows.
    pub numbers: &'static [Number<C>],
}

impl CostArgs {
    /// Measures each target as often as there are rounds; with `resume` the TLS sessions of a target go on
    /// from each connection to the next.
    pub fn measure<C>(
        &self,
        resume: bool,
        mut round: impl FnMut(&Target, u32, &Progress) -> Result<C, String>,
    ) -> Result<Vec<Vec<C>>, String> {
        pin(self.cpu.as_ref().map_or(&[], |cpus| &cpus.0))?;
        raise_open_files();
        let pids = assign_pids(&self.pids, self.urls.len())?;
        let pids: Vec<u32> = pids.into_iter().flatten().collect();
        let targets = target::secured(&self.urls, &self.tls, resume)?;
        let mut costs: Vec<Vec<C>> = targets.iter().map(|_| Vec::new()).collect();
        for number in 1..=self.rounds as usize {
            for ((target, pid), costs) in targets.iter().zip(&pids).zip(&mut costs) {
                let progress = Progress::new(number, self.rounds as usize);
                costs.push(round(target, *pid, &progress)?);
            }
        }
        Ok(costs)
    }

    /// Prints the costs of all rounds, by target.
    pub fn report<C>(&self, report: Report<C>, costs: &[Vec<C>]) -> Outcome {
        let machine = Machine::here();
        let command = std::env::args().collect::<Vec<_>>().join(" ");
        let numbers = report.numbers;
        let medians: Vec<Vec<f64>> = costs.iter().map(|rounds| medians(numbers, rounds)).collect();
        if self.json {
            let document = self.document(report, (&machine, &command), costs, &medians);
            return print(&format!("{document:#}\n"));
        }
        let header = std::iter::once(String::new());
        let header = header.chain(self.urls.iter().map(Target::to_string)).collect();
        let rows = numbers.iter().enumerate().map(|(at, (_, name, unit, _))| {
            let values = medians.iter().map(|values| table::format_value(values[at], *unit));
            std::iter::once((*name).to_owned()).chain(values).collect()
        });
        let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
        print(&format!(
            "{}, {}\n\n{}\n{}\n{command}\n",
            report.mode,
            report.title,
            table::aligned(&rows),
            machine.describe()
        ))
    }

    fn document<C>(
        &self,
        Report { mode, parameters, numbers, .. }: Report<C>,
        (machine, command): (&Machine, &str),
        costs: &[Vec<C>],
        medians: &[Vec<f64>],
    ) -> Value {
        let named = |values: &[f64]| {
            let pairs = numbers.iter().zip(values);
            let pairs = pairs.map(|((key, ..), value)| ((*key).to_owned(), json!(value)));
            Value::Object(pairs.collect())
        };
        let target = |at: usize| {
            let rounds = costs[at].iter().map(|cost| named(&values(numbers, cost)));
            json!({
                "target": self.urls[at].to_string(),
                "pid": self.pids[at],
                "median": named(&medians[at]),
                "rounds": rounds.collect::<Vec<_>>(),
            })
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "mode": mode,
            "command": command,
            "clean": true,
            "parameters": parameters,
            "machine": json::machine_json(machine),
            "targets": (0..self.urls.len()).map(target).collect::<Vec<_>>(),
        })
    }
}

/// What is computed from the cost of a round.
pub fn values<C>(numbers: &[Number<C>], cost: &C) -> Vec<f64> {
    numbers.iter().map(|(.., of)| of(cost)).collect()
}

/// The medians of what is computed from the costs of rounds.
pub fn medians<C>(numbers: &[Number<C>], rounds: &[C]) -> Vec<f64> {
    let all: Vec<Vec<f64>> = rounds.iter().map(|cost| values(numbers, cost)).collect();
    let of =
        |at| median(all.iter().map(|values| values[at]).collect()).expect("at least one round");
    (0..numbers.len()).map(of).collect()
}
