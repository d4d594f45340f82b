//! Listeners that other machines can reach: a broker that starts only if somebody said why.
//!
//! The address is one for documentation, which no machine has: nothing is opened, even where a start goes
//! on to that point.

use crate::support::running::{TempFile, blipmq};

const ELSEWHERE: &str = "192.0.2.1:0";

/// The exit status and stderr of a broker that does not start.
fn refused(words: &[&str]) -> (Option<i32>, String) {
    let output = blipmq(words).output().expect("blipmq starts");
    assert!(output.stdout.is_empty(), "it is not ready");
    (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
}

#[test]
fn a_listener_for_other_machines_is_refused_without_a_login_encryption_or_a_reason() {
    let token = TempFile::new("token.toml", b"[auth]\ntoken = \"t\"\n");
    for (words, lacks) in [
        (
            vec!["--bind", ELSEWHERE],
            "without a login and without encryption; add [auth] and [tls], or",
        ),
        (
            vec!["--bind", ELSEWHERE, "--config", token.path()],
            "without encryption, so that secrets and messages can be read on the way; add [tls], or",
        ),
    ] {
        let (status, text) = refused(&words);
        assert_eq!(status, Some(1), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("blipmq: [server] bind_addr = \"192.0.2.1:0\" can be"), "{text}");
        assert!(text.contains(lacks) && text.contains("--insecure REASON"), "{text}");
    }
    let both = ["--bind", ELSEWHERE, "--nats-bind", ELSEWHERE];
    let (_, text) = refused(&both);
    assert!(text.lines().count() == 2 && text.contains("[nats] bind_addr"), "{text}");
}

#[test]
fn the_reason_is_logged_at_the_start_wherever_it_was_given() {
    let file = TempFile::new("reason.toml", b"[server]\ninsecure = \"a lab of one room\"\n");
    for words in [
        ["--bind", ELSEWHERE, "--insecure", "a lab of one room"],
        ["--bind", ELSEWHERE, "--config", file.path()],
    ] {
        let (status, text) = refused(&words);
        assert_eq!(status, Some(1), "no machine has this address: {text}");
        let line =
            text.lines().find(|line| line.contains("without a login and without encryption"));
        let line = line.expect("a line of the log");
        assert!(line.contains("WARN") && line.contains("a lab of one room"), "{line}");
    }
    let (status, text) = refused(&["--bind", ELSEWHERE, "--insecure", ""]);
    assert_eq!(status, Some(2), "no reason is no reason: {text}");
}

#[test]
fn check_config_refuses_what_a_start_refuses() {
    let check = |text: &str| {
        let file = TempFile::new("open.toml", text.as_bytes());
        let output = blipmq(&["check-config", file.path()]).output().expect("blipmq starts");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let open = "[nats]\nbind_addr = \"0.0.0.0:4222\"\n";
    let (status, text) = check(open);
    assert!(status == Some(1) && text.contains("[nats] bind_addr = \"0.0.0.0:4222\""), "{text}");
    assert_eq!(check(&format!("{open}[server]\ninsecure = \"a lab\"\n")), (Some(0), String::new()));
}

#[test]
fn a_token_that_others_can_read_on_the_way_is_warned_of_and_no_failure() {
    let text = format!("[metrics]\nbind_addr = \"{ELSEWHERE}\"\ntoken = \"s3cret\"\n");
    let file = TempFile::new("plain.toml", text.as_bytes());
    let output = blipmq(&["check-config", file.path()]).output().expect("blipmq starts");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("can be read on the way; add [metrics] tls = true"), "{said}");
    let (_, said) = refused(&["--bind", "127.0.0.1:0", "--config", file.path()]);
    let line = said.lines().find(|line| line.contains("can be read on the way"));
    assert!(line.is_some_and(|line| line.contains("WARN")), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}
