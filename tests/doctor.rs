//! `blipmq doctor`: what it says of this machine, and of machines that are made for it.

mod support;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use support::running::{Broker, TempFile, blipmq, cores};

/// Ports that are always free.
const FREE: &str = "[server]\nbind_addr = \"127.0.0.1:0\"\n[nats]\nbind_addr = \"127.0.0.1:0\"\n\
                    [metrics]\nbind_addr = \"127.0.0.1:0\"\n";

/// A file with [`FREE`] and these lines in `[server]`.
fn config(server: &str) -> TempFile {
    let text = FREE.replace("[server]\n", &format!("[server]\n{server}\n"));
    TempFile::new("doctor.toml", text.as_bytes())
}

fn doctor(config: &TempFile, words: &[&str]) -> Command {
    blipmq(&[&["doctor", "--config", config.path()], words].concat())
}

fn run(mut command: Command) -> Output {
    command.output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is UTF-8")
}

/// Name and status of each line that is a check.
fn statuses(report: &str) -> Vec<(String, String)> {
    let checks = report.lines().filter(|line| !line.starts_with(' ') && line.contains("  "));
    checks
        .map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let status = words.next().expect("a status");
            (words.next().expect("a name"), status)
        })
        .collect()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON value")
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("a list");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

/// A machine below a folder, gone when dropped.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Tree {
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("doctor-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).expect("a folder can be made");
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
            std::fs::write(path, text).expect("a file can be written");
        }
        Tree(root)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn this_machine_which_runs_brokers_has_no_failures_and_both_outputs_say_the_same() {
    let config = config("max_connections = 100");
    let plain = run(doctor(&config, &[]));
    assert_eq!(plain.status.code(), Some(0), "{}", text(&plain.stdout));
    assert_eq!(text(&plain.stderr), "");
    let said = text(&plain.stdout);
    assert!(!said.contains('\x1b'), "colours are for terminals: {said:?}");

    let output = run(doctor(&config, &["--json"]));
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let report = json(&output);
    let checks = report["checks"].as_array().expect("a list");
    let same = checks.iter().map(|check| {
        let of = |key: &str| check[key].as_str().expect(key).to_owned();
        for key in ["found", "wanted", "why"] {
            assert!(!of(key).is_empty(), "{check}");
        }
        let line = said.lines().find(|line| line.split_whitespace().nth(1) == Some(&of("name")));
        assert!(line.expect("it is there").contains(&of("found")), "{check}");
        let fixed = check["fix"].as_str().map(|fix| said.contains(&format!("fix: {fix}\n")));
        match of("status").as_str() {
            "OK" | "UNKNOWN" => assert_eq!(fixed, None, "{check}"),
            _ => assert_eq!(fixed, Some(true), "{check}"),
        }
        (of("name"), of("status"))
    });
    assert_eq!(statuses(&said), same.collect::<Vec<_>>());
    let counted = |status: &str| checks.iter().filter(|check| check["status"] == status).count();
    for (key, status) in [("ok", "OK"), ("warn", "WARN"), ("fail", "FAIL"), ("unknown", "UNKNOWN")]
    {
        assert_eq!(report["summary"][key], counted(status), "{key}");
    }
    for needed in ["kernel", "io-uring", "cores", "locked-memory", "open-files"] {
        assert_eq!(check(&report, needed)["status"], "OK", "{needed}");
    }
}

#[test]
fn a_machine_with_a_failure_has_status_1_and_one_line_on_stderr() {
    let tree = Tree::new(
        "old",
        &[
            ("proc/sys/kernel/osrelease", "5.15.0-91-generic\n"),
            ("proc/sys/kernel/io_uring_disabled", "2\n"),
            ("proc/sys/net/core/somaxconn", "128\n"),
        ],
    );
    let config = config("");
    let output = run(doctor(&config, &["--root", tree.path()]));
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(told.starts_with("blipmq: 2 of ") && told.lines().count() == 1, "{told}");
    let kernel = "FAIL     kernel                  5.15.0-91-generic         wanted 6.1 or later\n         \
                  why: ";
    assert!(said.starts_with(kernel), "{said}");
    assert!(said.contains("fix: sysctl -w kernel.io_uring_disabled=0\n"), "{said}");
    assert!(said.contains("WARN     net.core.somaxconn      128 "), "{said}");
    assert!(said.contains("UNKNOWN  net.core.rmem_max       cannot read "), "{said}");

    let output = run(doctor(&config, &["--root", tree.path(), "--json"]));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["summary"]["fail"], 2);
}

#[test]
fn warnings_and_what_is_unknown_fail_nothing() {
    let tree = Tree::new(
        "slow",
        &[
            ("proc/sys/kernel/osrelease", "6.12.0\n"),
            ("proc/sys/net/ipv4/tcp_wmem", "4096 16384 4194304\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
        ],
    );
    let output = run(doctor(&config(""), &["--root", tree.path()]));
    let said = text(&output.stdout);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("WARN     net.ipv4.tcp_wmem "), "{said}");
    assert!(said.contains("fix: deploy/hugepages.sh 0\n"), "{said}");
    assert!(said.ends_with(" UNKNOWN\n") && said.contains(", 2 WARN, 0 FAIL, "), "{said}");
}

#[test]
fn more_connections_than_a_process_can_have_files_are_a_failure_with_both_numbers() {
    let tree = Tree::new("files", &[("proc/sys/fs/nr_open", "65536\n")]);
    let output =
        run(doctor(&config("max_connections = 100000"), &["--root", tree.path(), "--json"]));
    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    let files = check(&report, "fs.nr_open");
    assert_eq!((files["status"].as_str(), files["found"].as_str()), (Some("FAIL"), Some("65536")));
    let wanted = files["wanted"].as_str().expect("a text");
    assert!(wanted.contains("server.max_connections = 100000"), "{wanted}");
}

/// Whether a process may have more files than its limit is for the kernel to say: root may.
#[test]
fn doctor_and_the_start_agree_about_open_files() {
    let file = config("max_connections = 1000000");
    let limited = |command: &str| {
        let mut limited = Command::new("sh");
        let line = format!("ulimit -n 256; exec \"$0\" {command} --config \"$1\"");
        limited.args(["-c", &line, env!("CARGO_BIN_EXE_blipmq"), file.path()]);
        limited
    };
    let output = run(limited("doctor --json"));
    let files = check(&json(&output), "open-files").clone();
    assert_eq!(files["found"], "256");
    let wanted = files["wanted"].as_str().expect("a text");
    assert!(wanted.contains("server.max_connections = 1000000"), "{wanted}");
    if files["status"] == "FAIL" {
        assert_eq!(output.status.code(), Some(1));
        let refused = run(limited("serve"));
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("open-file limit is 256"), "{refused:?}");
    } else {
        assert_eq!(files["status"], "OK");
        Broker::from_command(limited("serve")).stop();
    }
}

#[test]
fn a_core_that_is_not_allowed_is_a_failure() {
    let output = run(doctor(&config("cores = \"1023\""), &["--json"]));
    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    assert_eq!(check(&report, "cores")["status"], "FAIL");
    assert_eq!(check(&report, "cores")["wanted"], "1023 (server.cores)");
}

#[test]
fn a_port_that_another_program_has_is_a_failure_and_one_a_broker_serves_is_not() {
    let Some(cores) = cores(1) else { return };
    let broker = Broker::start(&cores);
    let nats = broker.nats.expect("it serves NATS too");
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let text = format!(
        "[server]\nbind_addr = \"{}\"\n[nats]\nbind_addr = \"{nats}\"\n[metrics]\n\
         bind_addr = \"{}\"\n",
        broker.addr,
        other.local_addr().expect("it listens"),
    );
    let file = TempFile::new("doctor.toml", text.as_bytes());
    let output = run(doctor(&file, &["--json"]));
    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    for key in ["server.bind_addr", "nats.bind_addr"] {
        let served = format!("served by blipmq, pid {}", broker.pid());
        assert_eq!(check(&report, key)["found"], served, "{report}");
        assert_eq!(check(&report, key)["status"], "OK");
    }
    let taken = check(&report, "metrics.bind_addr");
    assert_eq!(taken["status"], "FAIL");
    let found = taken["found"].as_str().expect("a text");
    assert!(found.ends_with(&format!(", pid {}", std::process::id())), "{found}");
    broker.stop();
}

#[test]
fn a_configuration_that_is_wrong_is_told_before_anything_is_checked() {
    let file = TempFile::new("doctor.toml", b"[server]\nmax_connections = 0\n");
    let output = run(doctor(&file, &[]));
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(text(&output.stderr).contains("max_connections"), "{}", text(&output.stderr));
}

#[test]
fn help_tells_the_exit_status_and_hides_what_is_for_tests() {
    let output = run(blipmq(&["doctor", "--help"]));
    let help = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(help.contains("Exit status: 0 if nothing is FAIL"), "{help}");
    assert!(help.contains("--json") && !help.contains("--root"), "{help}");
}
