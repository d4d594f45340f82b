//! `blipmq request` and `blipmq reply`, against a broker.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::broker::Broker;
use crate::support::running::blipmq;
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
