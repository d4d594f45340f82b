//! `blipmq doctor`: its reports on this machine and on simulated ones.

mod support;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use support::running::{Broker, TempFile, blipmq, cores};

/// Addresses that are always free.
const FREE: &str = "[server]\nbind_addr = \"127.0.0.1:0\"\n[nats]\nbind_addr = \"127.0.0.1:0\"\n\
                    [metrics]\nbind_addr = \"127.0.0.1:0\"\n";

/// Creates a configuration file with [`FREE`] and further lines in `[server]`.
fn config(server: &str) -> TempFile {
    let text = FREE.replace("[server]\n", &format!("[server]\n{server}\n"));
    TempFile::new("doctor.toml", text.as_bytes())
}

fn doctor(config: &TempFile, words: &[&str]) -> Command {
    blipmq(&[&["doctor", "--config", config.path()], words].concat())
}

fn run(mut command: Command) -> Output {
    command.output().expect("blipmq starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Returns the name and the status of each check in a text report.
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

/// The files of a simulated machine, removed when dropped.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Tree {
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("doctor-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).expect("a folder can be made");
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
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
fn this_machine_has_no_failures_and_both_outputs_agree() {
    let config = config("max_connections = 100");
    let plain = run(doctor(&config, &[]));
    assert_eq!(plain.status.code(), Some(0), "{}", text(&plain.stdout));
    assert_eq!(text(&plain.stderr), "");
    let report_text = text(&plain.stdout);
    assert!(!report_text.contains('\x1b'), "colours are for terminals: {report_text:?}");

    let output = run(doctor(&config, &["--json"]));
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let report = json(&output);
    let checks = report["checks"].as_array().expect("a list");
    let from_json = checks.iter().map(|check| {
        let of = |key: &str| check[key].as_str().expect(key).to_owned();
        for key in ["found", "wanted", "why"] {
            assert!(!of(key).is_empty(), "{check}");
        }
        let line =
            report_text.lines().find(|line| line.split_whitespace().nth(1) == Some(&of("name")));
        assert!(line.expect("a line of the check").contains(&of("found")), "{check}");
        let fixed = check["fix"].as_str().map(|fix| report_text.contains(&format!("fix: {fix}\n")));
        match of("status").as_str() {
            "OK" | "UNKNOWN" => assert_eq!(fixed, None, "{check}"),
            _ => assert_eq!(fixed, Some(true), "{check}"),
        }
        (of("name"), of("status"))
    });
    assert_eq!(statuses(&report_text), from_json.collect::<Vec<_>>());
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
    let (report_text, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{report_text}");
    assert!(error.starts_with("blipmq: 2 of ") && error.lines().count() == 1, "{error}");
    let kernel = "FAIL     kernel                  5.15.0-91-generic         wanted 6.1 or later\n         \
                  why: ";
    assert!(report_text.starts_with(kernel), "{report_text}");
    assert!(report_text.contains("fix: sysctl -w kernel.io_uring_disabled=0\n"), "{report_text}");
    assert!(report_text.contains("WARN     net.core.somaxconn      128 "), "{report_text}");
    assert!(report_text.contains("UNKNOWN  net.core.rmem_max       cannot read "), "{report_text}");

    let output = run(doctor(&config, &["--root", tree.path(), "--json"]));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["summary"]["fail"], 2);
}

#[test]
fn warnings_and_unknown_facts_are_not_failures() {
    let tree = Tree::new(
        "slow",
        &[
            ("proc/sys/kernel/osrelease", "6.12.0\n"),
            ("proc/sys/net/ipv4/tcp_wmem", "4096 16384 4194304\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
        ],
    );
    let output = run(doctor(&config(""), &["--root", tree.path()]));
    let report_text = text(&output.stdout);
    assert_eq!(
        (output.status.code(), text(&output.stderr).as_str()),
        (Some(0), ""),
        "{report_text}"
    );
    assert!(report_text.contains("WARN     net.ipv4.tcp_wmem "), "{report_text}");
    assert!(report_text.contains("fix: deploy/hugepages.sh 0\n"), "{report_text}");
    assert!(
        report_text.ends_with(" UNKNOWN\n") && report_text.contains(", 2 WARN, 0 FAIL, "),
        "{report_text}"
    );
}

#[test]
fn more_connections_than_possible_files_are_a_failure_with_both_numbers() {
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

/// The kernel decides whether a process may exceed its limit: root may.
#[test]
fn doctor_and_a_start_agree_on_open_files() {
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
fn a_port_of_another_program_is_a_failure_and_one_of_a_broker_is_not() {
    let Some(cores) = cores(1) else { return };
    let broker = Broker::start(&cores);
    let nats = broker.nats.expect("a NATS address");
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let text = format!(
        "[server]\nbind_addr = \"{}\"\n[nats]\nbind_addr = \"{nats}\"\n[metrics]\n\
         bind_addr = \"{}\"\n",
        broker.addr,
        other.local_addr().expect("a listening socket"),
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
    let in_use = check(&report, "metrics.bind_addr");
    assert_eq!(in_use["status"], "FAIL");
    let found = in_use["found"].as_str().expect("a text");
    assert!(found.ends_with(&format!(", pid {}", std::process::id())), "{found}");
    broker.stop();
}

#[test]
fn an_invalid_configuration_is_reported_before_any_check() {
    let file = TempFile::new("doctor.toml", b"[server]\nmax_connections = 0\n");
    let output = run(doctor(&file, &[]));
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(text(&output.stderr).contains("max_connections"), "{}", text(&output.stderr));
}

#[test]
fn help_explains_the_exit_status_and_hides_the_option_for_tests() {
    let output = run(blipmq(&["doctor", "--help"]));
    let help = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(help.contains("Exit status: 0 if nothing is FAIL"), "{help}");
    assert!(help.contains("--json") && !help.contains("--root"), "{help}");
}
