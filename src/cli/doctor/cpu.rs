//! Checks of the broker's CPUs: NUMA nodes, isolation, quota, frequency, clocks.
//!
//! Called by `doctor`. None of this prevents a broker from starting, so no check here is FAIL.

use executors::placement;

use super::facts::{Facts, Node};
use super::report::{About, Check};

pub fn checks(facts: &Facts) -> Vec<Check> {
    vec![
        quota(facts),
        nodes(facts),
        isolation(facts),
        governor(facts),
        clocksource(facts),
        iowait(facts),
    ]
}

fn quota(facts: &Facts) -> Check {
    let about = About {
        name: "cpu-quota",
        wanted: format!("{} or more, or none", facts.cores),
        why: "a control group that has used up its quota is stopped until the next period, on all \
              its cores at once",
    };
    match &facts.group {
        Err(reason) => about.unknown(reason),
        Ok(group) => match group.cpus {
            None => about.ok("none"),
            Some(cpus) if cpus >= facts.cores as f64 => about.ok(format!("{cpus} CPUs")),
            Some(cpus) => about.warn(
                format!("{cpus} CPUs"),
                "list as many cores in server.cores, or assign cores instead of a quota: docker run \
                 --cpuset-cpus=LIST for --cpus, AllowedCPUs=LIST for CPUQuota=",
            ),
        },
    }
}

fn nodes(facts: &Facts) -> Check {
    let about = About {
        name: "numa-nodes",
        wanted: "one".to_owned(),
        why: "messages between cores of different nodes cross the slower link between the nodes",
    };
    let (cpus, nodes) = match (facts.cpus(), &facts.nodes) {
        (Ok(cpus), Ok(nodes)) => (cpus, nodes),
        (Err(reason), _) => return about.unknown(reason),
        (_, Err(reason)) => return about.unknown(reason),
    };
    let used: Vec<&Node> =
        nodes.iter().filter(|node| node.cpus.iter().any(|cpu| cpus.contains(cpu))).collect();
    match used[..] {
        [] => about.unknown(format!("no node contains the cores {}", placement::print(cpus))),
        [one] => about.ok(format!("node {}", one.id)),
        _ => {
            let ids: Vec<usize> = used.iter().map(|node| node.id).collect();
            // Distances are listed in the order of the nodes.
            let columns: Vec<usize> =
                (0..nodes.len()).filter(|&index| ids.contains(&nodes[index].id)).collect();
            let farthest = used
                .iter()
                .flat_map(|node| columns.iter().filter_map(|&column| node.distances.get(column)))
                .max()
                .copied()
                .unwrap_or(0);
            about.warn(
                format!("nodes {}, distance up to {farthest} (10 is none)", placement::print(&ids)),
                "one broker per node: deploy/numa-instances.sh start; or one node only: numactl \
                 --cpunodebind=0 --membind=0 blipmq",
            )
        }
    }
}

fn isolation(facts: &Facts) -> Check {
    let about = About {
        name: "isolated-cores",
        wanted: "the broker's cores, unless these are all".to_owned(),
        why: "any other program on a core delays the core's connections, which shows in the highest \
              percentiles",
    };
    let (cpus, online, isolated) = match (facts.cpus(), &facts.online, &facts.isolated) {
        (Ok(cpus), Ok(online), Ok(isolated)) => (cpus, online, isolated),
        (Err(reason), ..) => return about.unknown(reason),
        (_, Err(reason), _) | (_, _, Err(reason)) => return about.unknown(reason),
    };
    let all_in = |of: &[usize], set: &[usize]| of.iter().all(|cpu| set.contains(cpu));
    let isolate = format!("deploy/isolate-cores.sh {}", placement::print(cpus));
    let grouped = |other_cpus: &Vec<usize>| !other_cpus.iter().any(|cpu| cpus.contains(cpu));
    if all_in(cpus, isolated) || facts.other_cpus.as_ref().is_some_and(grouped) {
        let ticks = if all_in(cpus, &facts.nohz_full) { "without ticks" } else { "with ticks" };
        return about.ok(format!("{}, {ticks}", placement::print(cpus)));
    }
    if !isolated.is_empty() {
        let isolated = placement::print(isolated);
        return about.warn(
            format!("{isolated}, the broker would use {}", placement::print(cpus)),
            format!("taskset -c {isolated} blipmq, with server.cores = \"all\"; or {isolate}"),
        );
    }
    match all_in(online, cpus) {
        true => about.ok("none, the broker has all cores"),
        false => about.warn("none", isolate),
    }
}

fn governor(facts: &Facts) -> Check {
    let about = About {
        name: "cpu-governor",
        wanted: "performance".to_owned(),
        why: "after a sleep, a core is slow until its frequency has risen",
    };
    let mut slow = Vec::new();
    for (cpu, governor) in &facts.governors {
        match governor {
            Err(reason) => {
                return about.unknown(format!("{reason}, as in most virtual machines"));
            }
            // Some CPUs choose their frequency themselves, with a configured preference.
            Ok(governor)
                if governor.name == "performance"
                    || governor.preference.as_deref() == Some("performance") => {}
            Ok(governor) => slow.push((*cpu, governor.name.as_str())),
        }
    }
    match slow.first() {
        None if facts.governors.is_empty() => about.unknown("the cores are unknown"),
        None => about.ok("performance"),
        Some((_, name)) => {
            let cpus: Vec<usize> = slow.iter().map(|(cpu, _)| *cpu).collect();
            about.warn(
                format!("{name} on {}", placement::print(&cpus)),
                "cpupower frequency-set -g performance, after each boot",
            )
        }
    }
}

fn clocksource(facts: &Facts) -> Check {
    // Clock sources that are read without a system call.
    const FAST: [&str; 4] = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];
    let about = About {
        name: "clocksource",
        wanted: FAST.join(" or "),
        why: "the broker reads the clock several times per turn; with another source each read is a \
              system call",
    };
    match &facts.clocksource {
        Err(reason) => about.unknown(reason),
        Ok(found) if FAST.contains(&found.as_str()) => about.ok(found),
        Ok(found) => {
            let better = FAST.iter().find(|fast| facts.clocksources.iter().any(|has| has == *fast));
            about.warn(
                found,
                match better {
                    Some(better) => format!(
                        "echo {better} > \
                         /sys/devices/system/clocksource/clocksource0/current_clocksource, and \
                         clocksource={better} on the kernel's command line"
                    ),
                    None => "the kernel offers no better one: journalctl -k -g clocksource shows \
                             why; for a virtual machine choose another machine type"
                        .to_owned(),
                },
            )
        }
    }
}

/// Never a warning: the check explains a value that operators mistake for load.
fn iowait(facts: &Facts) -> Check {
    let about = About {
        name: "iowait",
        wanted: "iowait not to be mistaken for load".to_owned(),
        why: "recent kernels count a thread that sleeps in io_uring as waiting for I/O, although its \
              core is idle",
    };
    match &facts.release {
        Err(reason) => about.unknown(reason),
        Ok(release) => match parse_full(release) {
            None => about.unknown(format!("{release:?} is not a valid release")),
            Some(version) if shows_as_iowait(version) => about.ok("100 % while idle"),
            Some(_) => about.ok("0 % while idle"),
        },
    }
}

fn parse_full(release: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?, next().unwrap_or(0)))
}

/// Whether waiting on a ring counts as iowait: since 6.5, and in the stable kernels of that time.
fn shows_as_iowait(version: (u32, u32, u32)) -> bool {
    match version {
        (6, 1, patch) => patch >= 39,
        (6, 4, patch) => patch >= 4,
        (major, minor, _) => (major, minor) >= (6, 5),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Fact, Governor, Group};
    use super::super::report::Status;
    use super::*;

    #[test]
    fn a_quota_below_the_number_of_cores_is_a_warning() {
        let mut facts = Facts::good();
        for (cpus, status) in
            [(None, Status::Ok), (Some(2.0), Status::Ok), (Some(1.5), Status::Warn)]
        {
            facts.group = Ok(Group { cpus, memory: None });
            assert_eq!(quota(&facts).status, status, "{cpus:?}");
        }
        assert_eq!(quota(&facts).found, "1.5 CPUs");
        facts.group = Err("hidden".to_owned());
        assert_eq!(quota(&facts).status, Status::Unknown);
    }

    #[test]
    fn cores_on_several_nodes_are_a_warning_with_their_distance() {
        let mut facts = Facts::good();
        let node = |id, cpus: &[usize], distances: &[u64]| Node {
            id,
            cpus: cpus.to_vec(),
            distances: distances.to_vec(),
        };
        assert_eq!(nodes(&facts).found, "node 0");
        // The broker has cores 2 and 3. There is no node 1, so node 4 is the third.
        facts.nodes = Ok(vec![
            node(0, &[0, 1], &[10, 21, 40]),
            node(2, &[2], &[21, 10, 31]),
            node(4, &[3], &[40, 31, 10]),
        ]);
        let check = nodes(&facts);
        assert_eq!(check.status, Status::Warn);
        assert_eq!(check.found, "nodes 2,4, distance up to 31 (10 is none)");
        assert!(check.fix.expect("a fix").contains("deploy/numa-instances.sh start"));
        facts.nodes = Ok(vec![node(0, &[0, 1], &[10])]);
        assert_eq!(nodes(&facts).status, Status::Unknown);
        facts.nodes = Err("this kernel knows none".to_owned());
        assert_eq!(nodes(&facts).found, "this kernel knows none");
    }

    #[test]
    fn isolation_is_wanted_unless_the_broker_has_every_core() {
        let mut facts = Facts::good();
        let mut with = |online: &[usize], isolated: &[usize], other_cpus: Option<&[usize]>| {
            facts.online = Ok(online.to_vec());
            facts.isolated = Ok(isolated.to_vec());
            facts.other_cpus = other_cpus.map(<[usize]>::to_vec);
            isolation(&facts)
        };
        // The broker has cores 2 and 3.
        let machine = &[0, 1, 2, 3];
        assert_eq!(with(machine, &[2, 3], None).found, "2-3, without ticks");
        assert_eq!(with(machine, &[], Some(&[0, 1])).status, Status::Ok);
        assert_eq!(with(&[2, 3], &[], Some(&[2, 3])).status, Status::Ok);
        for (isolated, other_cpus, fix) in [
            (&[][..], None, "deploy/isolate-cores.sh 2-3"),
            (&[], Some(&[0, 1, 2][..]), "deploy/isolate-cores.sh 2-3"),
            (&[0, 1], None, "taskset -c 0-1 blipmq"),
            (&[2], Some(machine), "taskset -c 2 blipmq"),
        ] {
            let check = with(machine, isolated, other_cpus);
            assert_eq!(check.status, Status::Warn, "{check:?}");
            assert!(check.fix.clone().expect("a fix").starts_with(fix), "{check:?}");
        }
        facts.other_cpus = Some(vec![0, 1]);
        facts.nohz_full = vec![2];
        assert_eq!(isolation(&facts).found, "2-3, with ticks");
        facts.isolated = Err("hidden".to_owned());
        assert_eq!(isolation(&facts).status, Status::Unknown);
    }

    #[test]
    fn governors_other_than_performance_are_a_warning_with_their_cores() {
        let mut facts = Facts::good();
        let governor_of = |name: &str, preference: Option<&str>| -> Fact<Governor> {
            Ok(Governor { name: name.to_owned(), preference: preference.map(str::to_owned) })
        };
        for (second, status) in [
            (governor_of("performance", None), Status::Ok),
            (governor_of("powersave", Some("performance")), Status::Ok),
            (governor_of("powersave", Some("balance_power")), Status::Warn),
            (governor_of("schedutil", None), Status::Warn),
            (Err("cannot read it".to_owned()), Status::Unknown),
        ] {
            facts.governors = vec![(2, governor_of("performance", None)), (3, second)];
            assert_eq!(governor(&facts).status, status, "{:?}", facts.governors);
        }
        facts.governors =
            vec![(2, governor_of("ondemand", None)), (3, governor_of("ondemand", None))];
        assert_eq!(governor(&facts).found, "ondemand on 2-3");
    }

    #[test]
    fn clocks_that_need_a_system_call_are_a_warning_with_a_better_one_if_available() {
        let mut facts = Facts::good();
        for fast in ["tsc", "kvm-clock", "arch_sys_counter"] {
            facts.clocksource = Ok(fast.to_owned());
            assert_eq!(clocksource(&facts).status, Status::Ok, "{fast}");
        }
        facts.clocksource = Ok("hpet".to_owned());
        facts.clocksources = vec!["tsc".to_owned(), "hpet".to_owned()];
        let check = clocksource(&facts);
        assert_eq!(check.status, Status::Warn);
        assert!(check.fix.expect("a fix").starts_with("echo tsc > "));
        facts.clocksources = vec!["hpet".to_owned()];
        assert!(clocksource(&facts).fix.expect("a fix").contains("no better one"));
        facts.clocksource = Err("hidden".to_owned());
        assert_eq!(clocksource(&facts).status, Status::Unknown);
    }

    #[test]
    fn iowait_is_explained_for_the_kernels_that_count_it_and_never_a_warning() {
        let mut facts = Facts::good();
        for (release, shows) in [
            ("6.1.38", false),
            ("6.1.39-generic", true),
            ("6.2.16", false),
            ("6.4.4", true),
            ("6.5", true),
            ("6.18.44-fc", true),
            ("7.0.0-rc1", true),
        ] {
            facts.release = Ok(release.to_owned());
            let check = iowait(&facts);
            assert_eq!(
                (check.status, check.found.starts_with("100 %")),
                (Status::Ok, shows),
                "{release}"
            );
        }
        facts.release = Ok("custom".to_owned());
        assert_eq!(iowait(&facts).status, Status::Unknown);
    }
}
