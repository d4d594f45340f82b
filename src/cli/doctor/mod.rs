//! `blipmq doctor`: checks this machine against the broker's needs and the tuning guide's advice.
//!
//! Called by `cli`. [`facts`] reads the machine once; each check is a function of these facts.
//!
//! | to learn | read |
//! |---|---|
//! | what is read, and where | `facts`, `holders` |
//! | checks of the needs of a start | `start`, `certificates` |
//! | checks of sysctls, as in `deploy/sysctl.d/60-blipmq.conf` | `sysctls` |
//! | checks of cores, nodes and clocks | `cpu` |
//! | checks of huge pages, swap and memory | `memory` |
//! | how the report is printed | `report` |
//!
//! # Always true
//! - Checks that a start makes too use the same code, `executors::preflight` and `server::tls`.
//! - Nothing on the machine is changed, except the limits of this process.
//! - A fact that cannot be read is UNKNOWN, which is never a failure.

mod certificates;
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
use std::time::SystemTime;

use blipmq::config::Settings;
use clap::Args;

use super::{Outcome, serve};
use facts::{Facts, Tree};
use report::{Report, Status};

pub const NOTES: &str = "\
OK       as it should be
WARN     the broker works, but worse than the tuning guide promises
FAIL     the broker would not start, or would fail later
UNKNOWN  the fact cannot be read from here, as is often the case in a container

Limits and cores are those of this process: run doctor the way the broker will be run, for example by
  systemd-run --pipe --slice=blipmq.slice -p LimitNOFILE=1048576 -p LimitMEMLOCK=infinity \\
    blipmq doctor
Only root can see which program listens on a port that is in use.
Paths in deploy/ are in BlipMQ's source repository.

Examples:
  blipmq doctor                                    check for a broker with the defaults
  blipmq doctor --config /etc/blipmq/blipmq.toml   check for a broker with this file
  blipmq doctor --json | jq '.summary'             output for programs

Exit status: 0 if nothing is FAIL, even with WARN or UNKNOWN; 1 if a check is FAIL, or the configuration
is invalid; 2 an invalid command line.";

/// Check this machine against the broker's needs and the tuning guide's advice.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The configuration file of the broker; without it, every setting has its default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object: the checks, each with name, status, found, wanted, why and fix; and
    /// counts.
    #[arg(long)]
    json: bool,
    /// Read proc/ and sys/ below this folder, for tests. Limits, rings and ports are still those of
    /// this machine.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

impl Doctor {
    pub fn run(self) -> Outcome {
        let settings = match &self.config {
            Some(file) => serve::read_settings(file)?,
            None => Settings::default(),
        };
        let mut report = run_checks(&Facts::read(&Tree(self.root), &settings), &settings);
        let folder = serve::folder_of(self.config.as_deref());
        report.0.extend(certificates::checks(&settings, folder, SystemTime::now()));
        let terminal = io::stdout().is_terminal();
        let mut out = io::stdout().lock();
        let written = match self.json {
            true => report.write_json(&mut out),
            false => {
                report.write_text(&mut out, has_colour(terminal, std::env::var_os("NO_COLOR")))
            }
        };
        match written.and_then(|()| out.flush()) {
            // The reader closed the pipe early, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written.map_err(|error| format!("cannot write to stdout: {error}"))?,
        }
        match report.count(Status::Fail) {
            0 => Ok(()),
            failed => Err(format!(
                "{failed} of {} checks failed: with this configuration the broker would not start \
                 here, or would fail later; apply the fixes above",
                report.0.len()
            )),
        }
    }
}

/// Runs all checks: first the needs, then the advice.
fn run_checks(facts: &Facts, settings: &Settings) -> Report {
    let mut checks = start::checks(facts, settings);
    checks.extend(sysctls::checks(facts, settings));
    checks.extend(cpu::checks(facts));
    checks.extend(memory::checks(facts, settings));
    Report(checks)
}

/// Whether to print colours: on a terminal, unless NO_COLOR is set.
fn has_colour(terminal: bool, no_color: Option<OsString>) -> bool {
    terminal && no_color.is_none_or(|value| value.is_empty())
}

/// Formats a number of bytes with the largest fitting unit.
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
    fn colours_are_printed_on_terminals_without_no_color() {
        assert!(has_colour(true, None));
        assert!(has_colour(true, Some("".into())));
        assert!(!has_colour(true, Some("1".into())));
        assert!(!has_colour(false, None));
    }

    #[test]
    fn bytes_are_printed_with_the_largest_fitting_unit() {
        assert_eq!(bytes(1_023), "1023 bytes");
        assert_eq!(bytes(512 << 10), "512 KiB");
        assert_eq!(bytes((2 << 30) + (1 << 29)), "2.5 GiB");
    }

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let settings = Settings::default();
        let report = run_checks(&Facts::good(), &settings);
        let mut names: Vec<_> = report.0.iter().map(|check| check.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), report.0.len());
    }

    #[test]
    fn a_good_machine_has_nothing_but_ok() {
        let settings = Settings::default();
        for check in run_checks(&Facts::good(), &settings).0 {
            assert_eq!(check.status, Status::Ok, "{check:?}");
            assert_eq!(check.fix, None, "{check:?}");
        }
    }

    /// An empty tree: most facts are unknown, which alone is no failure.
    #[test]
    fn an_unreadable_machine_has_neither_warnings_nor_failures() {
        let settings = Settings::default();
        let report = run_checks(&Facts::unreadable(), &settings);
        assert!(report.count(Status::Unknown) > 15);
        for check in report.0 {
            assert!(matches!(check.status, Status::Ok | Status::Unknown), "{check:?}");
        }
    }
}
