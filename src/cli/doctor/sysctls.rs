//! Checks of kernel settings. A test keeps them equal to `deploy/sysctl.d/60-blipmq.conf`.
//!
//! Called by `doctor`; `facts` reads the keys listed here.

use blipmq::config::Settings;
use executors::preflight;

use super::facts::Facts;
use super::report::{About, Check};

const INSTALL: &str = "deploy/sysctl.sh until the next boot; for every boot \
                       install -m 0644 deploy/sysctl.d/60-blipmq.conf /etc/sysctl.d/";

/// Advice about a key that does not depend on the configuration.
struct Advice {
    key: &'static str,
    /// The least value of each number.
    wanted: &'static [u64],
    why: &'static str,
}

const ADVICE: [Advice; 5] = [
    Advice {
        key: "net.core.rmem_max",
        wanted: &[16_777_216],
        why: "the limit of the receive buffers that programs request: with smaller buffers, large \
              messages arrive in more pieces",
    },
    Advice {
        key: "net.core.wmem_max",
        wanted: &[16_777_216],
        why: "the limit of the send buffers that programs request: with smaller buffers, large \
              messages leave in more pieces",
    },
    Advice {
        key: "net.ipv4.tcp_rmem",
        wanted: &[4_096, 131_072, 33_554_432],
        why: "minimum, default and maximum of a receive buffer: with less, a single connection cannot \
              fill a fast link with a long round trip",
    },
    Advice {
        key: "net.ipv4.tcp_wmem",
        wanted: &[4_096, 16_384, 33_554_432],
        why: "minimum, default and maximum of a send buffer: with less, a single connection cannot \
              fill a fast link with a long round trip",
    },
    Advice {
        key: "net.core.somaxconn",
        wanted: &[executors::listener::BACKLOG as u64],
        why: "when all clients reconnect at once, a client that finds this queue full waits a second \
              or more",
    },
];

const NR_OPEN: &str = "fs.nr_open";
const FILE_MAX: &str = "fs.file-max";
/// Read with the other keys, checked in `memory`.
pub const SWAPPINESS: &str = "vm.swappiness";

/// The keys to read.
pub fn keys() -> impl Iterator<Item = &'static str> {
    ADVICE.iter().map(|advice| advice.key).chain([NR_OPEN, FILE_MAX, SWAPPINESS])
}

pub fn checks(facts: &Facts, settings: &Settings) -> Vec<Check> {
    let mut checks = vec![nr_open(facts, settings), file_max(facts, settings)];
    checks.extend(ADVICE.iter().map(|advice| advised(facts, advice)));
    checks
}

fn advised(facts: &Facts, advice: &Advice) -> Check {
    let &Advice { key, wanted, why } = advice;
    let about = About { name: key, wanted: format!("{} or more", print(wanted)), why };
    match &facts.sysctls[key] {
        Err(reason) => about.unknown(reason),
        Ok(found) if found.len() != wanted.len() => {
            about.unknown(format!("{} is not a valid value of this setting", print(found)))
        }
        Ok(found) if found.iter().zip(wanted).all(|(found, wanted)| found >= wanted) => {
            about.ok(print(found))
        }
        Ok(found) => about.warn(print(found), INSTALL),
    }
}

fn nr_open(facts: &Facts, settings: &Settings) -> Check {
    let (needed, wanted) = files_wanted(facts, settings);
    let why = "the maximum of open files of a process, whatever its limit";
    let about = About { name: NR_OPEN, wanted, why };
    match &facts.sysctls[NR_OPEN] {
        Err(reason) => about.unknown(reason),
        Ok(found) if found[0] >= needed => about.ok(print(found)),
        Ok(found) => about.fail(print(found), INSTALL),
    }
}

fn file_max(facts: &Facts, settings: &Settings) -> Check {
    let (needed, wanted) = files_wanted(facts, settings);
    let why = "the maximum of open files of all processes together";
    let about = About { name: FILE_MAX, wanted, why };
    match &facts.sysctls[FILE_MAX] {
        Err(reason) => about.unknown(reason),
        Ok(found) if found[0] >= needed => about.ok(print(found)),
        Ok(found) => about.warn(print(found), INSTALL),
    }
}

fn files_wanted(facts: &Facts, settings: &Settings) -> (u64, String) {
    let connections = settings.server.max_connections;
    let needed = preflight::files_needed(facts.cores, connections);
    (needed, format!("{needed} or more (server.max_connections = {connections})"))
}

fn print(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use blipmq::limits;
    use executors::placement;

    use super::super::report::Status;
    use super::*;

    /// Reads the file that the fix installs.
    fn installed() -> BTreeMap<String, Vec<u64>> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/sysctl.d/60-blipmq.conf");
        let text = std::fs::read_to_string(path).expect("the file of the fix");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|line| {
                let (key, values) = line.split_once(" = ").expect("key = value");
                let values = values.split(' ').map(|value| value.parse().expect("a number"));
                (key.to_owned(), values.collect())
            })
            .collect()
    }

    #[test]
    fn advice_equals_the_file_in_deploy() {
        let mut installed = installed();
        for advice in &ADVICE {
            let set = installed.remove(advice.key);
            assert_eq!(set.as_deref(), Some(advice.wanted), "{}", advice.key);
        }
        // The need depends on the configuration: the largest one must fit.
        let connections = *limits::CONNECTIONS_RANGE.end() as u32;
        let most = preflight::files_needed(placement::CORES_MAX, connections);
        for key in [NR_OPEN, FILE_MAX] {
            assert!(installed.remove(key).expect(key)[0] >= most, "{key}");
        }
        assert!(installed.is_empty(), "no check covers {installed:?}");
    }

    #[test]
    fn a_machine_with_the_file_in_deploy_is_ok() {
        let mut settings = Settings::default();
        settings.server.max_connections = *limits::CONNECTIONS_RANGE.end() as u32;
        let mut facts = Facts::good();
        let installed = installed();
        for (key, fact) in &mut facts.sysctls {
            if let Some(values) = installed.get(*key) {
                *fact = Ok(values.clone());
            }
        }
        for check in checks(&facts, &settings) {
            assert_eq!(check.status, Status::Ok, "{check:?}");
        }
    }

    #[test]
    fn any_number_below_the_advice_is_a_warning_with_both_values() {
        let mut facts = Facts::good();
        let settings = Settings::default();
        for advice in &ADVICE {
            let good = facts.sysctls[advice.key].clone();
            for place in 0..advice.wanted.len() {
                let mut low = advice.wanted.to_vec();
                low[place] -= 1;
                facts.sysctls.insert(advice.key, Ok(low.clone()));
                let warned: Vec<Check> = checks(&facts, &settings)
                    .into_iter()
                    .filter(|check| check.status != Status::Ok)
                    .collect();
                assert_eq!(warned.len(), 1, "{warned:?}");
                assert_eq!((warned[0].name, warned[0].status), (advice.key, Status::Warn));
                assert_eq!(warned[0].found, print(&low));
                assert_eq!(warned[0].wanted, format!("{} or more", print(advice.wanted)));
                assert_eq!(warned[0].fix.as_deref(), Some(INSTALL));
            }
            facts.sysctls.insert(advice.key, good);
        }
    }

    #[test]
    fn too_few_files_fail_for_the_process_and_warn_for_the_machine() {
        let settings = Settings::default();
        let mut facts = Facts::good();
        let needed = preflight::files_needed(2, settings.server.max_connections);
        for (key, status) in [(NR_OPEN, Status::Fail), (FILE_MAX, Status::Warn)] {
            let of = |facts: &Facts| {
                checks(facts, &settings).into_iter().find(|check| check.name == key).expect(key)
            };
            facts.sysctls.insert(key, Ok(vec![needed]));
            assert_eq!(of(&facts).status, Status::Ok);
            facts.sysctls.insert(key, Ok(vec![needed - 1]));
            assert_eq!(of(&facts).status, status);
            facts.sysctls.insert(key, Err("hidden".to_owned()));
            assert_eq!(of(&facts).status, Status::Unknown);
        }
    }

    #[test]
    fn a_setting_of_another_form_is_unknown() {
        let mut facts = Facts::good();
        facts.sysctls.insert("net.ipv4.tcp_rmem", Ok(vec![1, 2]));
        assert_eq!(advised(&facts, &ADVICE[2]).status, Status::Unknown);
        facts.sysctls.insert("net.ipv4.tcp_rmem", Err("hidden".to_owned()));
        assert_eq!(advised(&facts, &ADVICE[2]).found, "hidden");
    }
}
