//! The command line: its options, its output and its exit status.

mod hash_password;
mod publish;
mod request;
mod secrets;
mod subscribe;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::process::{Output, Stdio};

use support::running::blipmq;

fn run(words: &[&str]) -> Output {
    blipmq(words).output().expect("blipmq starts")
}

fn run_with_stdin(words: &[&str], stdin: &[u8]) -> Output {
    let mut command = blipmq(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("blipmq starts");
    child.stdin.take().expect("a pipe").write_all(stdin).expect("a reader");
    child.wait_with_output().expect("blipmq exits")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are UTF-8")
}

#[track_caller]
fn assert_status(output: &Output, status: i32) {
    assert_eq!(output.status.code(), Some(status), "{}", stderr(output));
}

/// Asserts that a failure is one line on stderr that contains `expected`, and that stdout is empty.
#[track_caller]
fn assert_fails(output: &Output, expected: &str) {
    assert_status(output, 1);
    let error = stderr(output);
    assert!(error.starts_with("blipmq: ") && error.lines().count() == 1, "{error}");
    assert!(error.contains(expected), "{error}");
    assert!(output.stdout.is_empty());
}

/// Returns an address without a listener.
fn unused_addr() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a listening socket").to_string()
}

#[test]
fn invalid_command_lines_have_status_2() {
    let rows: [&[&str]; 19] = [
        &["frobnicate"],
        &["--bind", "not-an-address"],
        &["--cores", "x"],
        &["--bind", "127.0.0.1:0", "sub", "a"],
        &["pub"],
        &["pub", "a", "message", "--file", "f"],
        &["pub", "a", "message", "--ttl", "0s"],
        &["pub", "a", "--typo"],
        &["sub"],
        &["sub", "a", "--count", "0"],
        &["sub", "a", "--format", "xml"],
        &["sub", "a", "--overflow", "wait"],
        &["sub", "a", "--last", "1", "--from", "2"],
        &["pub", "a", "x", "--header", "no-value"],
        &["request"],
        &["request", "a", "x", "--timeout", "soon"],
        &["reply", "a"],
        &["reply", "a", "--echo", "--text", "x"],
        &["check-config"],
    ];
    for words in rows {
        let output = run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn version_and_help_are_on_stdout_with_status_0() {
    let version = run(&["--version"]);
    assert_status(&version, 0);
    assert_eq!(version.stdout, format!("blipmq {}\n", env!("CARGO_PKG_VERSION")).into_bytes());
    for words in [&["--help"][..], &["pub", "--help"], &["sub", "--help"]] {
        let help = run(words);
        assert_status(&help, 0);
        assert!(String::from_utf8(help.stdout).expect("UTF-8").contains("Examples:"), "{words:?}");
    }
}

#[test]
fn a_missing_broker_is_reported_with_its_address_and_a_remedy() {
    let addr = unused_addr();
    for words in [&["pub", "a", "x", "--server", &addr][..], &["sub", "a", "--server", &addr]] {
        assert_fails(&run(words), &format!("cannot connect to {addr}"));
        assert!(stderr(&run(words)).contains("start one with `blipmq`"));
    }
}

#[test]
fn server_comes_from_the_environment() {
    let addr = unused_addr();
    let output = blipmq(&["pub", "a", "x"]).env("BLIPMQ_SERVER", &addr).output().expect("runs");
    assert_fails(&output, &format!("cannot connect to {addr}"));
}

#[test]
fn empty_environment_variables_are_not_set() {
    let addr = unused_addr();
    for words in [&["pub", "a", "x"][..], &["pub", "a", "x", "--user", "eu", "--password", "p"]] {
        let mut command = blipmq(words);
        for name in ["BLIPMQ_TOKEN", "BLIPMQ_USER", "BLIPMQ_PASSWORD"] {
            command.env(name, "");
        }
        let output = command.env("BLIPMQ_SERVER", &addr).output().expect("runs");
        assert_fails(&output, &format!("cannot connect to {addr}"));
    }
    let server = support::Server::raw(|mut connection| {
        let hello = connection.next().expect("HELLO comes first");
        match blipmq::protocol::decode::client_frame(&hello, support::MESSAGE_LEN_MAX) {
            Ok(blipmq::protocol::decode::ClientFrame::Hello(hello)) => hello.auth_kind,
            other => panic!("{other:?}"),
        }
    });
    let mut command = blipmq(&["pub", "a", "x", "--server", &server.addr]);
    assert_status(&command.env("BLIPMQ_TOKEN", "").output().expect("runs"), 1);
    assert_eq!(server.join(), 0, "no login");
}

#[test]
fn an_unreadable_configuration_is_a_failure_that_names_the_file() {
    for words in [
        &["check-config", "/nonexistent/blipmq.toml"][..],
        &["serve", "--config", "/nonexistent/blipmq.toml"],
        &["--config", "/nonexistent/blipmq.toml"],
    ] {
        assert_fails(&run(words), "cannot read configuration /nonexistent/blipmq.toml");
    }
}

#[test]
fn check_config_prints_every_setting() {
    let file = format!("{}/cli-check-config.toml", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&file, "").expect("a writable folder");
    let output = run(&["check-config", &file]);
    assert_status(&output, 0);
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(printed.starts_with(&format!("{file} is valid\n")), "{printed}");
    for line in ["[queues]", "bind_addr = \"127.0.0.1:7878\"", "overflow_policy = \"drop_oldest\""]
    {
        assert!(printed.lines().any(|printed| printed == line), "{line} in {printed}");
    }
}
