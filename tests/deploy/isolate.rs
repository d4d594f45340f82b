//! CPUs reserved for the broker: `isolate-cores.sh` on a machine of 40 CPUs, because masks have groups of
//! 32 bits.

use std::fs;

use super::{Folder, Outcome, output, script};

const CPUS: &str = "4-7,36-39";
const OTHERS: &str = "0-3,8-35";
const OTHERS_MASK: &str = "f,ffffff0f";

fn tree(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("sys/devices/system/cpu/online", "0-39\n");
    folder.write("sys/devices/system/cpu/cpu4/cpufreq/scaling_governor", "powersave\n");
    folder.write("sys/devices/system/cpu/cpu5/cpufreq/scaling_governor", "performance\n");
    folder.write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
    folder.write("sys/devices/system/cpu/cpu4/topology/thread_siblings_list", "4,24\n");
    folder.write("sys/devices/system/cpu/cpu6/topology/thread_siblings_list", "6-7\n");
    folder.write("sys/devices/virtual/workqueue/cpumask", "ff,ffffffff\n");
    folder.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory\n");
    folder.write("sys/fs/cgroup/services/cpuset.cpus", "\n");
    folder.write("sys/fs/cgroup/batch/cpuset.cpus", "0-7\n");
    folder.write("sys/fs/cgroup/blipmq.slice/cpuset.cpus", "\n");
    folder.write("proc/irq/default_smp_affinity", "ff,ffffffff\n");
    folder.write("proc/irq/1/smp_affinity_list", "0-39\n");
    folder.write("proc/irq/2/smp_affinity_list", "4\n");
    folder.write("proc/irq/3/smp_affinity_list", "0,9\n");
    // The script must not find the daemons of this machine.
    folder.write_program("bin/pgrep", "#!/bin/bash\nexit 1\n");
    folder
}

/// Adds a systemd with two of the slices, which stores the allowed CPUs of each in a file.
fn with_systemd(folder: &Folder) {
    fs::create_dir_all(folder.0.join("run/systemd/system")).unwrap();
    folder.write("units/system.slice", "\n");
    folder.write("units/user.slice", "0-3 36-39\n");
    folder.write_program(
        "bin/systemctl",
        "#!/bin/bash\nunits=$(dirname \"$0\")/../units\ncase \"$1 $2\" in\n\
         'show --property=LoadState') [ -e \"$units/$4\" ] && echo loaded || echo not-found ;;\n\
         'show --property=AllowedCPUs') cat \"$units/$4\" ;;\n\
         'set-property --runtime') echo \"${4#AllowedCPUs=}\" >\"$units/$3\" ;;\n\
         *) exit 1 ;;\nesac\n",
    );
}

fn isolate(tree: &Folder, arguments: &[&str]) -> Outcome {
    let path = std::env::var("PATH").expect("the tests have a PATH");
    let mut command = script("isolate-cores.sh");
    command
        .args(arguments)
        .env("SYSFS", tree.0.join("sys"))
        .env("PROCFS", tree.0.join("proc"))
        .env("RUN", tree.0.join("run"))
        .env("STATE_DIR", tree.0.join("state"))
        .env("PATH", format!("{}:{path}", tree.0.join("bin").display()));
    output(&mut command)
}

#[test]
fn isolate_cores_moves_interrupts_work_queues_and_control_groups_elsewhere() {
    let tree = tree("isolate");
    let (status, stdout, errors) = isolate(&tree, &["36-39,7,4-6"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
    assert!(
        stdout.starts_with(&format!("CPUs {CPUS} for the broker, {OTHERS} for everything else\n"))
    );
    assert!(
        stdout.contains("interrupts: 2 moved, 1 elsewhere already, 0 that the kernel"),
        "{stdout}"
    );
    assert_eq!(tree.read("proc/irq/1/smp_affinity_list"), OTHERS);
    assert_eq!(tree.read("proc/irq/2/smp_affinity_list"), OTHERS, "its only CPU is isolated");
    assert_eq!(tree.read("proc/irq/3/smp_affinity_list"), "0,9");
    assert_eq!(tree.read("proc/irq/default_smp_affinity"), OTHERS_MASK);
    assert_eq!(tree.read("sys/devices/virtual/workqueue/cpumask"), OTHERS_MASK);
    assert_eq!(tree.read("sys/fs/cgroup/services/cpuset.cpus"), OTHERS);
    assert_eq!(tree.read("sys/fs/cgroup/batch/cpuset.cpus"), "0-3");
    assert_eq!(tree.read("sys/fs/cgroup/blipmq.slice/cpuset.cpus"), "");
    let governor = "cpufreq/scaling_governor";
    assert_eq!(tree.read(&format!("sys/devices/system/cpu/cpu4/{governor}")), "performance");
    assert_eq!(tree.read(&format!("sys/devices/system/cpu/cpu0/{governor}")), "powersave");
    assert!(stdout.contains("CPU 4 shares its core with CPU 24, which keeps its work"), "{stdout}");
    assert!(!stdout.contains("CPU 6 shares"), "its other half is isolated too: {stdout}");
    let line = format!(
        "isolcpus=managed_irq,domain,{CPUS} nohz_full={CPUS} rcu_nocbs={CPUS} irqaffinity={OTHERS}\n"
    );
    assert!(stdout.contains(&line), "{stdout}");
}

#[test]
fn a_dry_run_of_isolate_cores_prints_every_change_and_makes_none() {
    let tree = tree("isolate-dry");
    with_systemd(&tree);
    let before = tree.files();
    let (status, stdout, errors) = isolate(&tree, &["--dry-run", CPUS]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    let wanted = [
        format!(
            "would write {OTHERS} to {}",
            tree.0.join("proc/irq/2/smp_affinity_list").display()
        ),
        format!(
            "would write {OTHERS_MASK} to {}",
            tree.0.join("sys/devices/virtual/workqueue/cpumask").display()
        ),
        format!("would run: systemctl set-property --runtime system.slice AllowedCPUs={OTHERS}"),
        "would run: systemctl set-property --runtime user.slice AllowedCPUs=0-3".to_owned(),
    ];
    for line in wanted {
        assert!(stdout.contains(&format!("{line}\n")), "{line}: {stdout}");
    }
    assert!(!stdout.contains("init.scope"), "this systemd has none: {stdout}");
    assert_eq!(tree.files(), before);
}

#[test]
fn a_second_run_of_isolate_cores_changes_nothing_and_undo_restores_everything() {
    for systemd in [false, true] {
        let tree = tree(if systemd { "isolate-undo-systemd" } else { "isolate-undo" });
        if systemd {
            with_systemd(&tree);
        }
        let before = tree.files();
        let (status, stdout, errors) = isolate(&tree, &[CPUS]);
        assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
        if systemd {
            assert_eq!(tree.read("units/system.slice"), OTHERS);
            assert_eq!(tree.read("units/user.slice"), "0-3");
            assert_eq!(
                tree.read("sys/fs/cgroup/services/cpuset.cpus"),
                "",
                "systemd changes this file"
            );
        }
        let once = tree.files();
        assert_ne!(once, before);
        let (status, stdout, errors) = isolate(&tree, &[CPUS]);
        assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
        assert!(stdout.contains("interrupts: 0 moved, 3 elsewhere already"), "{stdout}");
        assert_eq!(tree.files(), once);

        let (status, stdout, errors) = isolate(&tree, &["--dry-run", "--undo"]);
        assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
        assert_eq!(tree.files(), once);
        let (status, stdout, errors) = isolate(&tree, &["--undo"]);
        assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
        assert_eq!(tree.files(), before);
        let (status, stdout, _) = isolate(&tree, &["--undo"]);
        assert_eq!((status, stdout.contains("nothing to undo")), (Some(0), true), "{stdout}");
    }
}

#[test]
fn a_later_interrupt_is_moved_by_the_next_run_and_a_removed_one_is_left_alone() {
    let tree = tree("isolate-later");
    assert_eq!(isolate(&tree, &[CPUS]).0, Some(0));
    tree.write("proc/irq/44/smp_affinity_list", "36\n");
    assert_eq!(isolate(&tree, &[CPUS]).0, Some(0));
    assert_eq!(tree.read("proc/irq/44/smp_affinity_list"), OTHERS);
    fs::remove_dir_all(tree.0.join("proc/irq/1")).unwrap();
    let (status, stdout, errors) = isolate(&tree, &["--undo"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("irq/1/smp_affinity_list is gone, left alone"), "{stdout}");
    assert_eq!(tree.read("proc/irq/44/smp_affinity_list"), "36");
    assert_eq!(tree.read("proc/irq/2/smp_affinity_list"), "4");
}

#[test]
fn an_interrupt_that_the_kernel_does_not_move_is_counted_and_not_restored() {
    // A file that not even root can write stands for the interrupt; its number is the CPU.
    let last = "/proc/sys/kernel/cap_last_cap";
    let cpu = fs::read_to_string(last).unwrap().trim().to_owned();
    let tree = tree("isolate-bound");
    tree.write("sys/devices/system/cpu/online", &format!("0-{cpu}\n"));
    fs::create_dir_all(tree.0.join("proc/irq/5")).unwrap();
    std::os::unix::fs::symlink(last, tree.0.join("proc/irq/5/smp_affinity_list")).unwrap();
    let (status, stdout, errors) = isolate(&tree, &[&cpu]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("1 that the kernel keeps where they are"), "{stdout}");
    let (status, stdout, errors) = isolate(&tree, &["--undo"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
    assert!(!stdout.contains("irq/5"), "{stdout}");
}

#[test]
fn isolate_cores_refuses_bad_lists_all_cpus_and_other_cpus_than_before() {
    let tree = tree("isolate-bad");
    let before = tree.files();
    for (arguments, status, text) in [
        (vec![], 2, "give a list of CPUs, like 2-7"),
        (vec!["4-"], 2, "\"4-\" is not a list of CPUs"),
        (vec!["7-4"], 2, "\"7-4\" is not a list of CPUs"),
        (vec!["4,x"], 2, "\"4,x\" is not a list of CPUs"),
        (vec!["4 5"], 2, "\"4 5\" is not a list of CPUs"),
        (vec!["4", "5"], 2, "more than one list of CPUs: 4 and 5"),
        (vec!["--undo", "4"], 2, "--undo takes no list of CPUs"),
        (vec!["38-40"], 1, "CPU 40 is not online, the online CPUs are 0-39"),
        (vec!["0-39"], 1, "CPUs 0-39 are all CPUs"),
    ] {
        let (found, _, errors) = isolate(&tree, &arguments);
        assert_eq!(found, Some(status), "{arguments:?}: {errors}");
        assert!(errors.contains(text), "{arguments:?}: {errors}");
    }
    assert_eq!(tree.files(), before);
    assert_eq!(isolate(&tree, &[CPUS]).0, Some(0));
    let (status, _, errors) = isolate(&tree, &["8"]);
    assert_eq!(status, Some(1));
    assert!(
        errors.contains(&format!("CPUs {CPUS} are isolated already; run --undo first")),
        "{errors}"
    );
}

#[test]
fn isolate_cores_reports_irqbalance_and_missing_control_groups() {
    let tree = tree("isolate-against");
    tree.write_program("bin/pgrep", "#!/bin/bash\n[ \"$2\" = irqbalance ]\n");
    tree.write("sys/fs/cgroup/cgroup.controllers", "cpu io memory\n");
    let (status, stdout, _) = isolate(&tree, &[CPUS]);
    assert_eq!(status, Some(0), "{stdout}");
    assert!(stdout.contains(&format!("IRQBALANCE_BANNED_CPULIST={CPUS}")), "{stdout}");
    assert!(stdout.contains("cgroup.controllers has no cpuset"), "{stdout}");
    assert_eq!(tree.read("sys/fs/cgroup/batch/cpuset.cpus"), "0-7");
}
