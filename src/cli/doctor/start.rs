//! Checks of what the broker needs to start: kernel, rings, limits, cores, ports.
//!
//! Called by `doctor`. The same code as in a start, `executors::preflight`, provides the facts and the
//! numbers; this file provides the texts.

use std::io;

use blipmq::config::{Exposure, Settings};
use executors::preflight::{self, KERNEL_MIN, Limit};
use executors::{StartError, listener, placement};

use super::bytes;
use super::facts::{Facts, Port};
use super::report::{About, Check};

pub fn checks(facts: &Facts, settings: &Settings) -> Vec<Check> {
    let mut checks = vec![
        kernel(facts),
        io_uring(facts),
        cores(facts, settings),
        locked_memory(facts),
        open_files(facts, settings),
    ];
    checks.extend(facts.ports.iter().map(port));
    checks.push(exposure(settings));
    checks
}

fn kernel(facts: &Facts) -> Check {
    let about = About {
        name: "kernel",
        wanted: format!("{}.{} or later", KERNEL_MIN.0, KERNEL_MIN.1),
        why: "older kernels have no multishot receive into ring buffers, and the broker refuses to \
              start",
    };
    match &facts.release {
        Err(reason) => about.unknown(reason),
        Ok(release) if preflight::parse_release(release).is_none() => {
            about.unknown(format!("{release:?} is not a valid release"))
        }
        Ok(release) => match preflight::kernel(release) {
            Ok(()) => about.ok(release),
            Err(_) => about.fail(release, "upgrade the kernel, or the distribution"),
        },
    }
}

fn io_uring(facts: &Facts) -> Check {
    let about = About {
        name: "io-uring",
        wanted: "a ring can be created".to_owned(),
        why: "the broker does all socket I/O through io_uring",
    };
    match &facts.rings {
        Ok(()) => about.ok("a ring was created"),
        Err(StartError::Disabled { setting: 1 }) => about.fail(
            "off for this user (kernel.io_uring_disabled = 1)",
            "sysctl -w kernel.io_uring_disabled=0, or add the user to the group in \
             kernel.io_uring_group",
        ),
        Err(StartError::Disabled { setting }) => about.fail(
            format!("off (kernel.io_uring_disabled = {setting})"),
            "sysctl -w kernel.io_uring_disabled=0",
        ),
        Err(StartError::Forbidden { source }) => about.fail(
            format!("forbidden: {source}"),
            "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile of \
             the container, such as by docker run --security-opt seccomp=FILE",
        ),
        Err(other) => about.fail(other.to_string(), "see what was found"),
    }
}

fn cores(facts: &Facts, settings: &Settings) -> Check {
    let wanted = match &settings.server.cores {
        Some(cores) => format!("{} (server.cores)", placement::print(cores)),
        None => "1 or more".to_owned(),
    };
    let about = About {
        name: "cores",
        wanted,
        why: "the broker pins one thread to each core, so this process must be allowed to use them all",
    };
    match &facts.cpus {
        Ok(cpus) => about.ok(placement::print(cpus)),
        Err(StartError::CoreNotAllowed { allowed, .. }) => about.fail(
            format!("{allowed} are allowed"),
            "change server.cores, or start the broker under another taskset or cpuset, such as \
             taskset -c LIST blipmq",
        ),
        Err(StartError::TooManyCores { found, cores_max }) => about.fail(
            format!("{found}, the maximum is {cores_max}"),
            "list fewer in server.cores, or run one broker per node: deploy/numa-instances.sh start",
        ),
        Err(other) => about.unknown(other.to_string()),
    }
}

fn locked_memory(facts: &Facts) -> Check {
    let cores = facts.cores;
    let needed = preflight::memlock_needed(cores);
    let per_core = bytes(preflight::MEMLOCK_PER_CORE);
    let about = About {
        name: "locked-memory",
        wanted: format!("{} or more ({per_core} for each of {cores} cores)", bytes(needed)),
        why: "rings are locked memory; with less the broker refuses to start",
    };
    let found = format_hard_limit(facts.locked_memory, bytes);
    match facts.locked_memory.enough {
        true => about.ok(found),
        false => about.fail(
            found,
            format!(
                "ulimit -l {} in a root shell, LimitMEMLOCK=infinity in the unit \
                 (deploy/blipmq.service has it), or memlock in /etc/security/limits.conf",
                needed / 1_024
            ),
        ),
    }
}

fn open_files(facts: &Facts, settings: &Settings) -> Check {
    let cores = facts.cores;
    let connections = settings.server.max_connections;
    let needed = preflight::files_needed(cores, connections);
    let about = About {
        name: "open-files",
        wanted: format!("{needed} or more (server.max_connections = {connections})"),
        why: "each connection is an open file; with fewer the broker refuses to start",
    };
    let found = format_hard_limit(facts.open_files, |files| files.to_string());
    match facts.open_files.enough {
        true => about.ok(found),
        false => {
            let fitting = preflight::connections_fitting(cores, facts.open_files.hard);
            about.fail(
                found,
                format!(
                    "ulimit -n {needed} in a root shell, LimitNOFILE={needed} in the unit \
                     (deploy/blipmq.service has 1048576), or server.max_connections = {fitting}"
                ),
            )
        }
    }
}

/// Formats the hard limit, because the broker raises its soft limit up to that.
fn format_hard_limit(limit: Limit, print: impl Fn(u64) -> String) -> String {
    match limit.hard {
        Limit::UNLIMITED => "unlimited".to_owned(),
        hard => print(hard),
    }
}

fn port(port: &Port) -> Check {
    let about = About {
        name: port.key,
        wanted: format!("{} to be free", port.address),
        why: "the broker refuses to start if it cannot listen on a configured address",
    };
    match port.bound {
        Ok(()) if port.address.port() == 0 => about.ok("any port"),
        Ok(()) => about.ok("free"),
        Err(kind) => {
            let names: Vec<String> = port
                .holders
                .iter()
                .map(|holder| format!("{}, pid {}", holder.name, holder.pid))
                .collect();
            // The port of a running broker is no fault: the user checks that broker.
            if !names.is_empty() && port.holders.iter().all(|holder| holder.is_blipmq()) {
                return about.ok(format!("served by {}", names.join(" and ")));
            }
            let found = match kind {
                io::ErrorKind::AddrInUse if names.is_empty() => "in use".to_owned(),
                io::ErrorKind::AddrInUse => format!("in use by {}", names.join(" and ")),
                other => other.to_string(),
            };
            about.fail(found, format!("{} with {}", listener::listen_fix(kind), port.key))
        }
    }
}

fn exposure(settings: &Settings) -> Check {
    let about = About {
        name: "exposure",
        wanted: "a login and encryption for other machines".to_owned(),
        why: "whoever reaches a listener may do what its clients may, and without encryption others read \
              along; without a reason the broker refuses to start",
    };
    let exposures = settings.exposures();
    let what: Vec<String> = exposures.iter().map(Exposure::what).collect();
    match (exposures.first(), &settings.server.insecure) {
        (None, _) if let Some(plain) = settings.plain_pages() => {
            about.warn(plain, "serve the pages over TLS, or on 127.0.0.1")
        }
        (None, _) => about.ok("both, or only this machine reaches the listeners"),
        (Some(_), Some(reason)) => about
            .warn(format!("{}; the reason is: {reason}", what.join("; ")), "add [auth] and [tls]"),
        (Some(first), None) => about.fail(what.join("; "), first.refusal()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::holders::Holder;
    use super::super::report::Status;
    use super::*;

    #[test]
    fn kernels_before_6_1_fail_and_unreadable_ones_are_unknown() {
        let mut facts = Facts::good();
        for (release, expected) in [
            (Ok("6.1.0-13-amd64"), Status::Ok),
            (Ok("7.0.1"), Status::Ok),
            (Ok("6.0.19"), Status::Fail),
            (Ok("5.15.0-91-generic"), Status::Fail),
            (Ok("custom"), Status::Unknown),
            (Err("cannot read it"), Status::Unknown),
        ] {
            facts.release = release.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(kernel(&facts).status, expected, "{release:?}");
        }
    }

    #[test]
    fn rings_that_cannot_be_created_fail_with_the_cause() {
        let mut facts = Facts::good();
        assert_eq!(io_uring(&facts).status, Status::Ok);
        for (setting, fix) in [(1, "kernel.io_uring_group"), (2, "io_uring_disabled=0")] {
            facts.rings = Err(StartError::Disabled { setting });
            let check = io_uring(&facts);
            assert_eq!(check.status, Status::Fail);
            assert!(check.found.contains(&format!("= {setting})")), "{check:?}");
            assert!(check.fix.clone().expect("a fix").contains(fix), "{check:?}");
        }
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        facts.rings = Err(StartError::Forbidden { source });
        let check = io_uring(&facts);
        assert_eq!(check.status, Status::Fail);
        assert!(check.fix.clone().expect("a fix").contains("seccomp"), "{check:?}");
    }

    #[test]
    fn cores_that_are_not_allowed_fail_with_the_allowed_ones() {
        let mut settings = Settings::default();
        let mut facts = Facts::good();
        assert_eq!((cores(&facts, &settings).found.as_str()), "2-3");
        settings.server.cores = Some(vec![2, 9]);
        facts.cpus = Err(StartError::CoreNotAllowed { cpu: 9, allowed: "0-3".to_owned() });
        let check = cores(&facts, &settings);
        assert_eq!(check.status, Status::Fail);
        assert_eq!(check.found, "0-3 are allowed");
        assert_eq!(check.wanted, "2,9 (server.cores)");
        facts.cpus = Err(StartError::TooManyCores { found: 300, cores_max: 256 });
        assert_eq!(cores(&facts, &settings).status, Status::Fail);
        facts.cpus = Err(StartError::CoresUnknown);
        assert_eq!(cores(&facts, &settings).status, Status::Unknown);
    }

    #[test]
    fn locked_memory_below_the_need_of_all_cores_fails_with_the_number_to_set() {
        let mut facts = Facts::good();
        facts.locked_memory = Limit { soft: 1 << 20, hard: Limit::UNLIMITED, enough: true };
        assert_eq!(locked_memory(&facts).found, "unlimited");
        facts.locked_memory = Limit { soft: 64 << 10, hard: 64 << 10, enough: false };
        let check = locked_memory(&facts);
        assert_eq!((check.status, check.found.as_str()), (Status::Fail, "64 KiB"));
        assert_eq!(check.wanted, "1 MiB or more (512 KiB for each of 2 cores)");
        assert!(check.fix.expect("a fix").starts_with("ulimit -l 1024 "));
    }

    #[test]
    fn too_few_open_files_for_all_connections_fail_with_the_number_that_fits() {
        let mut settings = Settings::default();
        let mut facts = Facts::good();
        assert_eq!(open_files(&facts, &settings).status, Status::Ok);
        settings.server.max_connections = 1_000_000;
        facts.open_files = Limit { soft: 1_024, hard: 4_096, enough: false };
        let check = open_files(&facts, &settings);
        assert_eq!((check.status, check.found.as_str()), (Status::Fail, "4096"));
        let needed = preflight::files_needed(2, 1_000_000);
        assert!(check.wanted.starts_with(&format!("{needed} or more")), "{check:?}");
        let fitting = preflight::connections_fitting(2, 4_096);
        let fix = check.fix.expect("a fix");
        assert!(fix.contains(&format!("LimitNOFILE={needed} ")), "{fix}");
        assert!(fix.ends_with(&format!("server.max_connections = {fitting}")), "{fix}");
    }

    #[test]
    fn a_listener_that_is_open_without_a_reason_fails_and_with_one_is_a_warning() {
        let mut settings = Settings::default();
        assert_eq!(exposure(&settings).status, Status::Ok);
        settings.server.bind_addr = ([0, 0, 0, 0], 7878).into();
        let check = exposure(&settings);
        assert_eq!(check.status, Status::Fail);
        assert!(check.fix.expect("a fix").contains("--insecure REASON"));
        settings.server.insecure = Some("a lab".to_owned());
        let check = exposure(&settings);
        assert_eq!(check.status, Status::Warn);
        assert!(check.found.ends_with("the reason is: a lab"), "{}", check.found);
    }

    #[test]
    fn ports_in_use_fail_unless_a_broker_serves_them() {
        let holder = |pid, name: &str| Holder { pid, name: name.to_owned() };
        let of = |bound, holders| Port {
            key: "server.bind_addr",
            address: ([127, 0, 0, 1], 7878).into(),
            bound,
            holders,
        };
        assert_eq!(port(&of(Ok(()), vec![])).found, "free");
        let taken = Err(io::ErrorKind::AddrInUse);
        for (holders, status, found) in [
            (vec![], Status::Fail, "in use"),
            (vec![holder(7, "nginx")], Status::Fail, "in use by nginx, pid 7"),
            (vec![holder(8, "blipmq")], Status::Ok, "served by blipmq, pid 8"),
            (
                vec![holder(7, "nginx"), holder(8, "blipmq")],
                Status::Fail,
                "in use by nginx, pid 7 and blipmq, pid 8",
            ),
        ] {
            let check = port(&of(taken, holders));
            assert_eq!((check.status, check.found.as_str()), (status, found));
        }
        let check = port(&of(Err(io::ErrorKind::PermissionDenied), vec![]));
        assert_eq!(check.status, Status::Fail);
        assert!(check.fix.expect("a fix").contains("CAP_NET_BIND_SERVICE"));
    }
}
