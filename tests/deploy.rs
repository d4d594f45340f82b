//! The scripts and files in `deploy/`: they run dry without root, refuse clearly, and name things
//! that exist. Nothing here changes the machine: real runs get a system tree of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SCRIPTS: [&str; 2] = ["numa-instances.sh", "hugepages.sh"];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn script(name: &str) -> Command {
    let mut command = Command::new("bash");
    command.arg(deploy().join(name));
    command
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("bash is there");
    let text = |bytes| String::from_utf8(bytes).expect("scripts print UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("deploy-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn write_program(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap().trim().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PAGES: &str = "kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
const TRANSPARENT: &str = "kernel/mm/transparent_hugepage/enabled";

fn huge_page_tree(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write(PAGES, "3\n");
    folder.write(TRANSPARENT, "[always] madvise never\n");
    folder.write("meminfo", "MemTotal: 9000000 kB\nMemAvailable: 1048576 kB\n");
    folder
}

fn hugepages(tree: &Folder, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = script("hugepages.sh");
    command.args(arguments).env("SYSFS", &tree.0).env("MEMINFO", tree.0.join("meminfo"));
    output(&mut command)
}

/// Two nodes, a `numactl` that only becomes what it is given, and a broker that waits for SIGTERM or
/// for the end of its folder, so that a failed test leaves none behind.
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

fn numa(tree: &Folder, arguments: &[&str]) -> (Option<i32>, String, String) {
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
fn every_script_is_executable_strict_and_explains_itself() {
    for name in SCRIPTS {
        let mode = fs::metadata(deploy().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name} is not executable");
        let text = fs::read_to_string(deploy().join(name)).unwrap();
        assert!(text.contains("\nset -euo pipefail\n"), "{name}");
        let (status, help, errors) = output(script(name).arg("--help"));
        assert_eq!((status, errors.as_str()), (Some(0), ""), "{name}");
        assert!(help.starts_with(&format!("Usage: {name} ")), "{help}");
        assert!(help.contains("--dry-run"), "{help}");
        let (status, _, errors) = output(script(name).arg("--wrong"));
        assert_eq!(status, Some(2), "{name}");
        assert!(errors.contains("--wrong; see --help"), "{errors}");
    }
}

#[test]
fn hugepages_run_dry_names_what_it_would_write_and_writes_nothing() {
    let tree = huge_page_tree("pages-dry");
    let (status, said, errors) = hugepages(&tree, &["--dry-run", "100"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    assert!(said.contains("before: 3 huge pages reserved (6 MiB), transparent huge pages: always"));
    assert!(said.contains(&format!("would write 100 to {}", tree.0.join(PAGES).display())));
    assert!(
        said.contains(&format!("would write madvise to {}", tree.0.join(TRANSPARENT).display()))
    );
    assert_eq!(tree.read(PAGES), "3");
    assert_eq!(tree.read(TRANSPARENT), "[always] madvise never");
}

#[test]
fn hugepages_reserves_sets_madvise_and_shows_both_before_and_after() {
    let tree = huge_page_tree("pages");
    let (status, said, errors) = hugepages(&tree, &["100"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("before: 3 huge pages reserved (6 MiB)"), "{said}");
    assert!(said.contains("after: 100 huge pages reserved (200 MiB)"), "{said}");
    assert_eq!((tree.read(PAGES).as_str(), tree.read(TRANSPARENT).as_str()), ("100", "madvise"));
    // The kernel puts brackets around what was written.
    tree.write(TRANSPARENT, "always [madvise] never\n");
    let (status, said, _) = hugepages(&tree, &["100"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("reserved already: 100 pages"), "{said}");
    assert!(said.contains("at madvise already"), "{said}");
}

#[test]
fn hugepages_refuses_more_than_is_available_and_what_is_no_number() {
    let tree = huge_page_tree("pages-bad");
    let (status, _, errors) = hugepages(&tree, &["600"]);
    assert_eq!(status, Some(1));
    assert!(errors.contains("600 pages need 1194 MiB more, 1024 MiB are available"), "{errors}");
    for wrong in ["many", "1.5", "08"] {
        let (status, _, errors) = hugepages(&tree, &[wrong]);
        assert_eq!(status, Some(2), "{wrong}");
        assert!(errors.contains(&format!("\"{wrong}\" is not a number of pages")), "{errors}");
    }
    assert_eq!(tree.read(PAGES), "3");
}

#[test]
fn numa_instances_run_dry_prints_one_command_per_node() {
    let tree = numa_tree("numa-dry");
    let (status, said, errors) = numa(&tree, &["--dry-run", "start", "--binary", "blipmq"]);
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
    assert_eq!(said, expected);
    assert!(!tree.0.join("run").exists());
}

#[test]
fn numa_instances_run_dry_works_on_this_machine_as_it_is() {
    if !Path::new("/sys/devices/system/node/has_memory").exists() {
        eprintln!("skipped: this kernel has no /sys/devices/system/node");
        return;
    }
    let (status, said, errors) = output(script("numa-instances.sh").arg("--dry-run"));
    assert_eq!(status, Some(0), "{errors}");
    assert!(said.contains("would run: numactl --cpunodebind=0 --membind=0 "), "{said}");
}

#[test]
fn numa_instances_start_twice_status_and_stop_twice() {
    let tree = numa_tree("numa");
    let (status, said, _) = numa(&tree, &["status"]);
    assert_eq!((status, said.lines().count()), (Some(3), 2), "{said}");

    let (status, said, errors) = numa(&tree, &["start"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("node 0: started, pid ") && said.contains("node 1: started, pid "));
    let (status, said, _) = numa(&tree, &["start"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("node 0: runs already") && said.contains("node 1: runs already"));

    let (status, said, _) = numa(&tree, &["status"]);
    assert_eq!(status, Some(0), "{said}");
    let (status, said, _) = numa(&tree, &["stop", "--nodes", "1"]);
    assert_eq!((status, said.contains("node 1: stopped")), (Some(0), true), "{said}");
    let (status, said, _) = numa(&tree, &["status"]);
    assert_eq!(status, Some(3));
    assert!(said.contains("node 0: runs, pid") && said.contains("node 1: does not run"), "{said}");
    let (status, said, _) = numa(&tree, &["stop"]);
    assert_eq!((status, said.contains("node 0: stopped")), (Some(0), true), "{said}");
    let (status, said, _) = numa(&tree, &["stop"]);
    assert_eq!((status, said.contains("node 0: does not run")), (Some(0), true), "{said}");
}

#[test]
fn numa_instances_say_what_is_missing_and_start_nothing() {
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
fn numa_instances_repeat_what_a_broker_said_that_ended_at_once() {
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
    let (status, said, _) = numa(&tree, &["stop"]);
    assert_eq!(status, Some(0));
    assert!(said.contains("node 0: does not run"), "{said}");
    assert!(said.contains("node 1: does not run"), "{said}");
}

#[test]
fn every_sysctl_key_exists_and_has_a_reason_above_it() {
    let text = fs::read_to_string(deploy().join("sysctl.d/60-blipmq.conf")).unwrap();
    let mut keys = 0;
    for paragraph in text.split("\n\n").skip(1) {
        assert!(paragraph.trim_start().starts_with("# "), "no reason for: {paragraph}");
        for line in paragraph.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line.split_once(" = ").expect("key = value");
            assert!(value.split(' ').all(|number| number.parse::<u64>().is_ok()), "{line}");
            keys += 1;
            let path = Path::new("/proc/sys").join(key.replace('.', "/"));
            if !path.exists() && key.starts_with("net.") {
                // Kernels show some of these in the first network namespace only.
                eprintln!("skipped: {key} is not to be seen from in here");
                continue;
            }
            assert!(path.exists(), "{} is missing", path.display());
        }
    }
    assert_eq!(keys, 7);
}

#[test]
fn systemd_accepts_the_unit() {
    let unit = fs::read_to_string(deploy().join("blipmq.service")).unwrap();
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    }
    // `verify` wants a program that exists; on this machine the broker is not installed.
    let folder = Folder::new("unit");
    assert!(unit.contains("ExecStart=/usr/local/bin/blipmq "));
    folder.write(
        "blipmq.service",
        &unit.replace("/usr/local/bin/blipmq", env!("CARGO_BIN_EXE_blipmq")),
    );
    let (status, said, errors) =
        output(Command::new("systemd-analyze").arg("verify").arg(folder.0.join("blipmq.service")));
    // Other units of the machine may have complaints of their own.
    let ours: Vec<&str> =
        said.lines().chain(errors.lines()).filter(|line| line.contains("blipmq.service")).collect();
    assert!(ours.is_empty(), "{status:?}: {ours:#?}");
}
