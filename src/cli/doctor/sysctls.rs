//! Kernel settings, as `deploy/sysctl.d/60-blipmq.conf` has them: a test holds both together.
//!
//! Called by `doctor`; `facts` reads the keys that are named here.

use blipmq::config::Settings;
use executors::preflight;

use super::facts::Facts;
use super::report::{About, Check};

const INSTALL: &str = "deploy/sysctl.sh until the next boot; for every boot \
                       install -m 0644 deploy/sysctl.d/60-blipmq.conf /etc/sysctl.d/";

/// A key that wants the same whatever the configuration is.
struct Advice {
    key: &'static str,
    /// At least these, number by number.
    wanted: &'static [u64],
    why: &'static str,
}

const ADVICE: [Advice; 5] = [
    Advice {
        key: "net.core.rmem_max",
        wanted: &[16_777_216],
        why: "a program that asks for a larger receive buffer gets this one, and large messages \
              come in more pieces",
    },
    Advice {
        key: "net.core.wmem_max",
        wanted: &[16_777_216],
        why: "a program that asks for a larger send buffer gets this one, and large messages leave \
              in more pieces",
    },
    Advice {
        key: "net.ipv4.tcp_rmem",
        wanted: &[4_096, 131_072, 33_554_432],
        why: "smallest, first and largest receive buffer: one connection with a smaller one cannot \
              fill a fast path that is long",
    },
    Advice {
        key: "net.ipv4.tcp_wmem",
        wanted: &[4_096, 16_384, 33_554_432],
        why: "smallest, first and largest send buffer: one connection with a smaller one cannot \
              fill a fast path that is long",
    },
    Advice {
        key: "net.core.somaxconn",
        wanted: &[executors::listener::BACKLOG as u64],
        why: "when all clients connect again at once, those that find this queue full wait a \
              second or more",
    },
];

const NR_OPEN: &str = "fs.nr_open";
const FILE_MAX: &str = "fs.file-max";
/// Read with the others, judged by `memory`.
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
            about.unknown(format!("{} is not how this setting is written", print(found)))
        }
        Ok(found) if found.iter().zip(wanted).all(|(found, wanted)| found >= wanted) => {
            about.ok(print(found))
        }
        Ok(found) => about.warn(print(found), INSTALL),
    }
}

fn nr_open(facts: &Facts, settings: &Settings) -> Check {
    let (needed, wanted) = files_wanted(facts, settings);
    let why = "no process can have more open files, whatever its limit is";
    let about = About { name: NR_OPEN, wanted, why };
    match &facts.sysctls[NR_OPEN] {
        Err(reason) => about.unknown(reason),
        Ok(found) if found[0] >= needed => about.ok(print(found)),
        Ok(found) => about.fail(print(found), INSTALL),
    }
}

fn file_max(facts: &Facts, settings: &Settings) -> Check {
    let (needed, wanted) = files_wanted(facts, settings);
    let why = "all processes of the machine together can have no more open files";
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

    /// The file that the fix installs.
    fn installed() -> BTreeMap<String, Vec<u64>> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/sysctl.d/60-blipmq.conf");
        let text = std::fs::read_to_string(path).expect("it is there");
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
    fn what_is_advised_is_what_the_file_in_deploy_sets() {
        let mut installed = installed();
        for advice in &ADVICE {
            let set = installed.remove(advice.key);
            assert_eq!(set.as_deref(), Some(advice.wanted), "{}", advice.key);
        }
        // What is wanted of these depends on the configuration: the largest has to fit.
        let connections = *limits::CONNECTIONS_RANGE.end() as u32;
        let most = preflight::files_needed(placement::CORES_MAX, connections);
        for key in [NR_OPEN, FILE_MAX] {
            assert!(installed.remove(key).expect(key)[0] >= most, "{key}");
        }
        assert!(installed.is_empty(), "nobody checks {installed:?}");
    }

    #[test]
    fn a_machine_with_the_file_in_deploy_has_nothing_to_change() {
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
    fn any_number_below_what_is_wanted_is_a_warning_with_both() {
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
    fn too_few_files_for_the_connections_fail_the_process_and_warn_of_the_machine() {
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
    fn a_setting_that_is_written_otherwise_is_unknown() {
        let mut facts = Facts::good();
        facts.sysctls.insert("net.ipv4.tcp_rmem", Ok(vec![1, 2]));
        assert_eq!(advised(&facts, &ADVICE[2]).status, Status::Unknown);
        facts.sysctls.insert("net.ipv4.tcp_rmem", Err("hidden".to_owned()));
        assert_eq!(advised(&facts, &ADVICE[2]).found, "hidden");
    }
}
