//! `blipmq request` and `blipmq reply`, against a broker.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::broker::Broker;
use crate::support::running::{self, blipmq, cores};
use crate::{assert_fails, assert_status, run, run_with_stdin};

/// Starts a replier and waits until its subscription is active, which it reports on stderr.
fn replier(words: &[&str]) -> std::process::Child {
    let mut command = blipmq(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("blipmq starts");
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    stderr.read_line(&mut line).expect("a line on stderr");
    assert!(line.starts_with("replying to "), "{line}");
    child
}

#[test]
fn reply_answers_with_a_text_the_request_or_the_output_of_a_command() {
    let broker = Broker::start();
    let rows: [(&[&str], &str); 3] = [
        (&["--text", "3.20"], "3.20\n"),
        (&["--echo"], "espresso\n"),
        (&["--exec", "tr a-z A-Z; printf $BLIPMQ_TOPIC"], "ESPRESSOjobs.a\n"),
    ];
    for (answer, expected) in rows {
        let words = ["reply", "jobs.*", "--count", "2", "--server", &broker.addr];
        let mut replier = replier(&[&words[..], answer].concat());
        let words = ["request", "jobs.a", "--timeout", "60s", "--server", &broker.addr];
        for output in
            [run(&[&words[..], &["espresso"]].concat()), run_with_stdin(&words, b"espresso")]
        {
            assert_status(&output, 0);
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        }
        assert!(replier.wait().expect("blipmq exits").success());
    }
}

#[test]
fn a_failing_command_and_a_missing_replier_are_failures_of_the_request() {
    let broker = Broker::start();
    let words = ["request", "jobs.a", "x", "--timeout", "3s", "--server", &broker.addr];
    assert_fails(&run(&words), "no reply to the request to `jobs.a` within 3000 ms");
    let words = ["reply", "jobs.a", "--exec", "exit 3", "--count", "1", "--server", &broker.addr];
    let mut replier = replier(&words);
    let words = ["request", "jobs.a", "x", "--timeout", "60s", "--server", &broker.addr];
    assert_fails(&run(&words), "the replier failed: `exit 3` ended with exit status: 3");
    assert!(replier.wait().expect("blipmq exits").success());
}

#[test]
fn an_answer_that_is_too_long_is_reported_to_the_requester() {
    let Some(cores) = cores(1) else { return };
    let broker = running::Broker::start_with(&cores, "[server]\nmax_message_size_bytes = 64\n");
    let server = broker.server();
    let text = "x".repeat(65);
    for (answer, expected) in [
        (["--text", &text], "the replier failed: the message has 65 bytes, the broker accepts 64"),
        (
            ["--exec", "head -c 65 /dev/zero"],
            "wrote more than the 64 bytes that a message may have",
        ),
    ] {
        let words = ["reply", "jobs.a", "--count", "1", "--server", &server];
        let mut replier = replier(&[&words[..], &answer[..]].concat());
        let words = ["request", "jobs.a", "x", "--timeout", "60s", "--server", &server];
        let output = run(&words);
        assert_status(&output, 1);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(expected), "{error}");
        assert!(replier.wait().expect("blipmq exits").success());
    }
}
