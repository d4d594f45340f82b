//! One broker per NUMA node: started, watched and stopped by `numa-instances.sh`.

use std::fs;
use std::path::Path;

use super::{Folder, Outcome, output, script};

/// Two nodes, a `numactl` that only runs its command, and a broker that waits for SIGTERM or for the end
/// of its folder, so that a failed test leaves no process behind.
fn numa_tree(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("sys/devices/system/node/has_cpu", "0-1\n");
    folder.write("sys/devices/system/node/has_memory", "0-1\n");
    folder.write_program("bin/numactl", "#!/bin/bash\nshift 2\nexec \"$@\"\n");
    folder.write_program(
        "bin/blipmq",
        "#!/bin/bash\n[ \"$1\" = check-config ] && { grep -q valid \"$2\"; exit; }\n\
         grep -q short \"$2\" && { echo the port is taken; exit 1; }\n\
         trap 'exit 0' TERM\nwhile [ -e \"$0\" ]; do sleep 0.05; done\n",
    );
    folder.write("config/node0.toml", "valid\n");
    folder.write("config/node1.toml", "valid\n");
    folder
}

fn numa(tree: &Folder, arguments: &[&str]) -> Outcome {
    let path = format!(
        "{}:{}",
        tree.0.join("bin").display(),
        std::env::var("PATH").expect("the tests have a PATH")
    );
    let mut command = script("numa-instances.sh");
    command
        .args(arguments)
        .arg("--config-dir")
        .arg(tree.0.join("config"))
        .arg("--run-dir")
        .arg(tree.0.join("run"))
        .env("SYSFS", tree.0.join("sys"))
        .env("PATH", path);
    output(&mut command)
}

#[test]
fn a_dry_run_of_numa_instances_prints_one_command_per_node() {
    let tree = numa_tree("numa-dry");
    let (status, stdout, errors) = numa(&tree, &["--dry-run", "start", "--binary", "blipmq"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    let config = fs::canonicalize(tree.0.join("config")).unwrap();
    let expected: String = [0, 1]
        .map(|node| {
            format!(
                "would run: numactl --cpunodebind={node} --membind={node} blipmq --config \
                 {}/node{node}.toml\n",
                config.display()
            )
        })
        .concat();
    assert_eq!(stdout, expected);
    assert!(!tree.0.join("run").exists());
}

#[test]
fn a_dry_run_of_numa_instances_works_on_this_machine() {
    if !Path::new("/sys/devices/system/node/has_memory").exists() {
        eprintln!("skipped: this kernel has no /sys/devices/system/node");
        return;
    }
    let (status, stdout, errors) = output(script("numa-instances.sh").arg("--dry-run"));
    assert_eq!(status, Some(0), "{errors}");
    assert!(stdout.contains("would run: numactl --cpunodebind=0 --membind=0 "), "{stdout}");
}

#[test]
fn numa_instances_start_twice_status_and_stop_twice() {
    let tree = numa_tree("numa");
    let (status, stdout, _) = numa(&tree, &["status"]);
    assert_eq!((status, stdout.lines().count()), (Some(3), 2), "{stdout}");

    let (status, stdout, errors) = numa(&tree, &["start"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("node 0: started, pid ") && stdout.contains("node 1: started, pid "));
    let (status, stdout, _) = numa(&tree, &["start"]);
    assert_eq!(status, Some(0), "{stdout}");
    assert!(stdout.contains("node 0: runs already") && stdout.contains("node 1: runs already"));

    let (status, stdout, _) = numa(&tree, &["status"]);
    assert_eq!(status, Some(0), "{stdout}");
    let (status, stdout, _) = numa(&tree, &["stop", "--nodes", "1"]);
    assert_eq!((status, stdout.contains("node 1: stopped")), (Some(0), true), "{stdout}");
    let (status, stdout, _) = numa(&tree, &["status"]);
    assert_eq!(status, Some(3));
    assert!(
        stdout.contains("node 0: runs, pid") && stdout.contains("node 1: does not run"),
        "{stdout}"
    );
    let (status, stdout, _) = numa(&tree, &["--dry-run", "--undo"]);
    assert_eq!(
        (status, stdout.contains("would send SIGTERM to pid ")),
        (Some(0), true),
        "{stdout}"
    );
    let (status, stdout, _) = numa(&tree, &["--undo"]);
    assert_eq!((status, stdout.contains("node 0: stopped")), (Some(0), true), "{stdout}");
    let (status, stdout, _) = numa(&tree, &["stop"]);
    assert_eq!((status, stdout.contains("node 0: does not run")), (Some(0), true), "{stdout}");
}

#[test]
fn numa_instances_report_what_is_missing_and_start_nothing() {
    let tree = numa_tree("numa-missing");
    fs::remove_file(tree.0.join("config/node1.toml")).unwrap();
    let (status, _, errors) = numa(&tree, &["start"]);
    assert_eq!(status, Some(1));
    assert!(errors.contains("node 1 has no configuration: "), "{errors}");
    assert!(errors.contains("--nodes"), "{errors}");

    tree.write("config/node1.toml", "wrong\n");
    let (status, _, errors) = numa(&tree, &["start"]);
    assert_eq!(status, Some(1));
    assert!(errors.contains("nothing was started"), "{errors}");

    let (status, _, errors) = numa(&tree, &["start", "--nodes", "0,7"]);
    assert_eq!(status, Some(1));
    assert!(errors.contains("no node 7 with cores and memory, but these: 0 1"), "{errors}");

    // A PATH with all the script needs but numactl.
    let tools = Folder::new("numa-tools");
    for tool in ["bash", "dirname", "id", "cat", "seq"] {
        let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
        let found = found.iter().find(|path| path.exists()).expect(tool);
        std::os::unix::fs::symlink(found, tools.0.join(tool)).unwrap();
    }
    let (status, _, errors) = output(
        script("numa-instances.sh")
            .arg("start")
            .arg("--config-dir")
            .arg(tree.0.join("config"))
            .env("SYSFS", tree.0.join("sys"))
            .env("PATH", &tools.0),
    );
    assert_eq!(status, Some(1));
    assert!(errors.contains("numactl is not installed; install it"), "{errors}");
    assert!(!tree.0.join("run").exists());
}

#[test]
fn numa_instances_print_the_log_of_a_broker_that_ended_at_once() {
    let tree = numa_tree("numa-short");
    tree.write("config/node0.toml", "valid but short\n");
    let (status, _, errors) = numa(&tree, &["start", "--nodes", "0", "--watch", "60"]);
    assert_eq!(status, Some(1));
    assert!(errors.contains("the port is taken"), "{errors}");
    assert!(errors.contains("node 0: the broker ended at once"), "{errors}");
    assert!(!tree.0.join("run/node0.pid").exists());
}

#[test]
fn a_pid_file_left_behind_is_not_taken_for_a_broker() {
    let tree = numa_tree("numa-stale");
    tree.write("run/node0.pid", &std::process::id().to_string());
    tree.write("run/node1.pid", "no number");
    let (status, stdout, _) = numa(&tree, &["stop"]);
    assert_eq!(status, Some(0));
    assert!(stdout.contains("node 0: does not run"), "{stdout}");
    assert!(stdout.contains("node 1: does not run"), "{stdout}");
}
