//! `blipmq pub` and `blipmq sub` through a broker with the default configuration.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::sync::Arc;

use super::on_one_and_two_cores;
use crate::account::Window;
use crate::support::running::{Broker, Running, blipmq};

on_one_and_two_cores! {
    a_hundred_thousand_lines_arrive_at_three_subscribers_unchanged_and_in_order,
}

const LINES: usize = 100_000;
/// Lines written at a time, and lines that may be ahead of the slowest output: fewer than the default
/// queue holds, so that no line is lost however long a subscriber is off its CPU. (Without this bound 1
/// of about 200 runs on two busy CPUs lost some, as the overflow policy says.)
const LINES_AT_A_TIME: usize = 250;
const LINES_AHEAD_MAX: u64 = 1_750;

/// Lines of a text: empty ones, long ones, some not UTF-8.
fn text() -> Vec<u8> {
    let mut text = Vec::new();
    for number in 0..LINES {
        match number % 17 {
            0 => {}
            1 => text.extend_from_slice(b"\xff\x00 not UTF-8"),
            2 => text.extend_from_slice("long ".repeat(1 + number % 300).as_bytes()),
            _ => text.extend_from_slice(format!("line {number} of a text").as_bytes()),
        }
        text.push(b'\n');
    }
    text
}

/// Goal: the lines of a pipe come out of each of three other pipes, complete.
/// Method: subscribers by name, by pattern and to everything; each output is compared. The input
/// waits for the outputs.
fn a_hundred_thousand_lines_arrive_at_three_subscribers_unchanged_and_in_order(cores: &str) {
    let broker = Broker::start(cores);
    let server = broker.server();
    let text = text();
    let window = Arc::new(Window::new(3, LINES_AHEAD_MAX));
    let subscribers: Vec<_> = ["book.one", "book.*", ">"]
        .into_iter()
        .enumerate()
        .map(|(index, pattern)| {
            let count = LINES.to_string();
            let mut command = blipmq(&["sub", pattern, "--count", &count, "--server", &server]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut running = Running::start(command);
            let mut stderr = BufReader::new(running.child.stderr.take().expect("a piped stream"));
            let mut line = String::new();
            stderr.read_line(&mut line).expect("UTF-8 output");
            assert!(line.contains(&format!("subscribed to {pattern}")), "{line}");
            let mut stdout = running.child.stdout.take().expect("a piped stream");
            let window = window.clone();
            let output = std::thread::spawn(move || {
                let mut output = Vec::new();
                let mut bytes = vec![0; 64 * 1_024];
                loop {
                    let read = stdout.read(&mut bytes).expect("the process prints");
                    if read == 0 {
                        return output;
                    }
                    output.extend_from_slice(&bytes[..read]);
                    let lines = bytes[..read].iter().filter(|byte| **byte == b'\n').count();
                    window.received(index, lines as u64);
                }
            });
            let complaints = std::thread::spawn(move || {
                let mut complaints = String::new();
                stderr.read_to_string(&mut complaints).expect("UTF-8 output");
                complaints
            });
            (pattern, running, output, complaints)
        })
        .collect();
    let mut command = blipmq(&["pub", "book.one", "--server", &server]);
    command.stdin(Stdio::piped());
    let mut publisher = Running::start(command);
    let mut stdin = publisher.child.stdin.take().expect("a piped stream");
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    for lines in lines.chunks(LINES_AT_A_TIME) {
        window.publish(&[0, 1, 2], lines.len() as u64);
        stdin.write_all(&lines.concat()).expect("the peer reads");
    }
    drop(stdin);
    assert_eq!(publisher.wait().code(), Some(0));
    // A subscriber that missed lines would wait for ever: the metric shows losses before.
    let enqueued = 3 * LINES as u64;
    broker.wait_for_metric("blipmq_enqueued_messages_total", "", |found| found == enqueued);
    assert_eq!(broker.metric("blipmq_dropped_messages_total", ""), 0, "{}", broker.page());
    for (pattern, mut running, output, complaints) in subscribers {
        let output = output.join().expect("the thread succeeds");
        assert_eq!(running.wait().code(), Some(0), "{pattern}");
        assert_eq!(complaints.join().expect("the thread succeeds"), "", "{pattern}");
        assert_eq!(output.len(), text.len(), "{pattern}");
        assert!(output == text, "{pattern}: the lines are the same, in order");
    }
    broker.stop();
}
