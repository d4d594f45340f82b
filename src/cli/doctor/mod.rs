//! `blipmq doctor`: checks this machine against what the broker needs and the tuning guide advises.
//!
//! Called by `cli`. [`facts`] reads the machine once; each check is a function of those facts.
//!
//! | to learn | read |
//! |---|---|
//! | what is read, and where | `facts`, `holders` |
//! | what the broker needs to start | `start` |
//! | sysctls, as `deploy/sysctl.d/60-blipmq.conf` has them | `sysctls` |
//! | cores, nodes and clocks | `cpu` |
//! | huge pages, swap, memory | `memory` |
//! | how it is printed | `report` |
//!
//! # Always true
//! - What the start checks too has its numbers and its tries from `executors::preflight`.
//! - Nothing of the machine is changed: the limits that are raised are this process's own.
//! - What cannot be read is UNKNOWN, and never a reason to fail.

mod cpu;
mod facts;
mod holders;
mod memory;
mod report;
mod start;
mod sysctls;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use blipmq::config::Settings;
use clap::Args;

use super::{Outcome, serve};
use facts::{Facts, Tree};
use report::{Report, Status};

pub const NOTES: &str = "\
OK       as it should be
WARN     the broker works, but worse than the tuning guide promises
FAIL     the broker would not start, or would break
UNKNOWN  it cannot be found out from here, as often in a container

Limits and cores are those of this process: run it as the broker will be run, such as by
  systemd-run --pipe --slice=blipmq.slice -p LimitNOFILE=1048576 -p LimitMEMLOCK=infinity \\
    blipmq doctor
Only root is told which program has a port that is taken.
Fixes that name deploy/ are files of BlipMQ's source.

Examples:
  blipmq doctor                                    check for a broker with the defaults
  blipmq doctor --config /etc/blipmq/blipmq.toml   check for one with this file
  blipmq doctor --json | jq '.summary'             for programs

Exit status: 0 if nothing is FAIL, whatever is WARN or UNKNOWN; 1 if something is, or the
configuration is wrong; 2 a command line that cannot be understood.";

/// Check this machine against what the broker needs and what the tuning guide advises.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The configuration file of the broker; without one every setting has its default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object: the checks with name, status, found, wanted, why and fix, and counts.
    #[arg(long)]
    json: bool,
    /// Read proc/ and sys/ below this folder, for tests. Limits, rings and ports stay those of the
    /// machine.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

impl Doctor {
    pub fn run(self) -> Outcome {
        let settings = match &self.config {
            Some(file) => serve::read_settings(file)?,
            None => Settings::default(),
        };
        let report = examine(&Facts::read(&Tree(self.root), &settings), &settings);
        let terminal = io::stdout().is_terminal();
        let mut out = io::stdout().lock();
        let written = match self.json {
            true => report.write_json(&mut out),
            false => report.write_text(&mut out, coloured(terminal, std::env::var_os("NO_COLOR"))),
        };
        match written.and_then(|()| out.flush()) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written.map_err(|error| format!("cannot write to stdout: {error}"))?,
        }
        match report.count(Status::Fail) {
            0 => Ok(()),
            failed => Err(format!(
                "{failed} of {} checks failed: with this configuration the broker would not start \
                 here, or would break; each has its fix",
                report.0.len()
            )),
        }
    }
}

/// Every check, what is needed before what is advised.
fn examine(facts: &Facts, settings: &Settings) -> Report {
    let mut checks = start::checks(facts, settings);
    checks.extend(sysctls::checks(facts, settings));
    checks.extend(cpu::checks(facts));
    checks.extend(memory::checks(facts, settings));
    Report(checks)
}

/// Colours are for people: not in files and pipes, and not for those who asked for none.
fn coloured(terminal: bool, no_color: Option<OsString>) -> bool {
    terminal && no_color.is_none_or(|value| value.is_empty())
}

/// A number of bytes, and the same in the unit people say it in.
fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| count >= *unit) {
        Some((unit, name)) => {
            let whole = count / unit;
            match (count % unit) * 10 / unit {
                0 => format!("{whole} {name}"),
                tenths => format!("{whole}.{tenths} {name}"),
            }
        }
        None => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_whose_owner_does_not_mind() {
        assert!(coloured(true, None));
        assert!(coloured(true, Some("".into())));
        assert!(!coloured(true, Some("1".into())));
        assert!(!coloured(false, None));
    }

    #[test]
    fn bytes_are_printed_in_the_unit_people_say_them_in() {
        assert_eq!(bytes(1_023), "1023 bytes");
        assert_eq!(bytes(512 << 10), "512 KiB");
        assert_eq!(bytes((2 << 30) + (1 << 29)), "2.5 GiB");
    }

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let settings = Settings::default();
        let report = examine(&Facts::good(), &settings);
        let mut names: Vec<_> = report.0.iter().map(|check| check.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), report.0.len());
    }

    #[test]
    fn a_good_machine_has_nothing_but_ok() {
        let settings = Settings::default();
        for check in examine(&Facts::good(), &settings).0 {
            assert_eq!(check.status, Status::Ok, "{check:?}");
            assert_eq!(check.fix, None, "{check:?}");
        }
    }

    /// An empty tree: nothing of what is read there can be told, and that alone fails nothing.
    #[test]
    fn a_machine_that_says_nothing_has_neither_warnings_nor_failures() {
        let settings = Settings::default();
        let report = examine(&Facts::unreadable(), &settings);
        assert!(report.count(Status::Unknown) > 15);
        for check in report.0 {
            assert!(matches!(check.status, Status::Ok | Status::Unknown), "{check:?}");
        }
    }
}
