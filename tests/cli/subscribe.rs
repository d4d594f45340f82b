//! `blipmq sub`: lines on stdout, everything else on stderr.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use blipmq::protocol::{GapReason, Reject, Sequence, TopicId, encode};

use crate::support::running::blipmq;
use crate::support::{self, Connection, Server, delivery_with_headers};
use crate::{assert_fails, assert_status, run, stderr};

/// Starts a scripted broker for one subscriber: accepts its patterns, names topic 7, and runs `send`.
fn broker_for_one(
    patterns: usize,
    send: impl FnOnce(&mut Connection) + Send + 'static,
) -> Server<()> {
    Server::start(move |mut connection| {
        for _ in 0..patterns {
            connection.accept_subscribe();
        }
        connection.name_topic(7, "orders.eu");
        send(&mut connection);
    })
}

#[test]
fn payloads_are_lines_and_count_exits_with_status_0() {
    let server = broker_for_one(1, |connection| {
        connection.deliver(7, 1, &[b"one", b"\xff", b"three", b"four"]);
        while connection.next().is_some() {}
    });
    let output = run(&["sub", "orders.>", "--count", "3", "--server", &server.addr]);
    assert_status(&output, 0);
    assert_eq!(output.stdout, b"one\n\xff\nthree\n");
    assert_eq!(stderr(&output), "subscribed to orders.>\n");
    server.join();
}

#[test]
fn each_of_several_patterns_is_reported_unless_quiet() {
    for (quiet, expected) in [(false, "subscribed to a\nsubscribed to b.*\n"), (true, "")] {
        let server = broker_for_one(2, |connection| {
            connection.deliver(7, 1, &[b"x"]);
            while connection.next().is_some() {}
        });
        let mut words = vec!["sub", "a", "b.*", "--count", "1", "--server", &server.addr];
        if quiet {
            words.push("--quiet");
        }
        let output = run(&words);
        assert_status(&output, 0);
        assert_eq!(stderr(&output), expected);
        server.join();
    }
}

#[test]
fn json_and_hex_show_topic_and_sequence() {
    let header: [(&[u8], &[u8]); 1] = [(b"reply-to", b"\xff")];
    let rows = [
        (
            "json",
            "{\"topic\":\"orders.eu\",\"sequence\":41,\"timestamp\":1700000000000000000,\
             \"ttl_ms\":250,\"headers\":[{\"name\":\"reply-to\",\"value_base64\":\"/w==\"}],\
             \"payload\":\"x\"}\n",
        ),
        ("hex", "orders.eu 41 78\n"),
    ];
    for (format, expected) in rows {
        let server = broker_for_one(1, move |connection| {
            connection.send(|out| {
                out.extend_from_slice(&delivery_with_headers(7, 41, &header, b"x"));
            });
            while connection.next().is_some() {}
        });
        let words = ["sub", "a", "--count", "1", "--format", format, "--server", &server.addr];
        let output = run(&words);
        assert_status(&output, 0);
        assert_eq!(String::from_utf8(output.stdout).expect("UTF-8"), expected);
        server.join();
    }
}

#[test]
fn options_reach_the_broker() {
    let rows: [(&[&str], &str); 7] = [
        (
            &["--overflow", "drop_new", "--capacity", "9"],
            "overflow 2, capacity 9, start 0 0, group ``",
        ),
        (&["--overflow", "drop_oldest"], "overflow 1, capacity 0, start 0 0, group ``"),
        (&["--overflow", "block"], "overflow 3, capacity 0, start 0 0, group ``"),
        (&["--overflow", "disconnect"], "overflow 4, capacity 0, start 0 0, group ``"),
        (&["--overflow", "latest", "--last", "1"], "overflow 5, capacity 0, start 1 1, group ``"),
        (&["--from", "1200"], "overflow 0, capacity 0, start 2 1200, group ``"),
        (&["--group", "billing"], "overflow 0, capacity 0, start 0 0, group `billing`"),
    ];
    for (words, expected) in rows {
        let server = Server::start(move |mut connection| {
            connection.expect_subscribe(|subscribe| {
                let subscribe = format!(
                    "overflow {}, capacity {}, start {} {}, group `{}`",
                    subscribe.overflow,
                    subscribe.capacity,
                    subscribe.start,
                    subscribe.start_argument,
                    subscribe.group
                );
                assert_eq!(subscribe, expected);
            });
        });
        assert_status(&run(&[&["sub", "a", "--server", &server.addr], words].concat()), 1);
        server.join();
    }
}

#[test]
fn gaps_and_goodbye_are_on_stderr_and_a_closed_connection_is_a_failure() {
    let server = broker_for_one(1, |connection| {
        connection.deliver(7, 1, &[b"x"]);
        connection.send(|out| {
            encode::gap(out, TopicId(7), 0, Sequence(2), 3, GapReason::Overflow);
            encode::goodbye(out, "draining");
        });
    });
    let output = run(&["sub", "a", "--quiet", "--server", &server.addr]);
    assert_status(&output, 1);
    assert_eq!(output.stdout, b"x\n");
    assert_eq!(
        stderr(&output),
        "missed 3 messages of orders.eu, 2 to 4: queue overflow\n\
         the broker sent GOODBYE: draining\n\
         blipmq: the broker closed the connection after saying goodbye: draining\n"
    );
    server.join();
}

#[test]
fn pattern_refused_by_the_broker_is_a_failure() {
    let server = Server::start(|mut connection| {
        let subscription = connection.expect_subscribe(|_| {}).0;
        let (what, remedy) = ("subscriptions", "end some");
        let reject = Reject::LimitReached { about: subscription, what, count_max: 5, remedy };
        connection.send(|out| encode::error(out, &reject));
        while connection.next().is_some() {}
    });
    let output = run(&["sub", "a", "--server", &server.addr]);
    assert_fails(&output, "refused pattern `a`: error 4291: 5 subscriptions exist");
    server.join();
}

/// Goal: `blipmq sub ... | head` exits quietly.
/// Method: stdout is a closed pipe; the server sends until the client disconnects.
#[test]
fn closed_output_exits_with_status_0() {
    let server = broker_for_one(1, |connection| {
        let frame = support::delivery(7, 1, &[b"x"]);
        while connection.stream.write_all(&frame).is_ok() {}
    });
    let mut command = blipmq(&["sub", "a", "--quiet", "--server", &server.addr]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("blipmq starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    stdout.read_line(&mut String::new()).expect("UTF-8 output");
    drop(stdout);
    let output = child.wait_with_output().expect("blipmq exits");
    assert_status(&output, 0);
    assert_eq!(stderr(&output), "");
    server.join();
}

/// Goal: `blipmq sub ... | head` ends when `head` does, also on a topic where nothing happens.
/// Method: stdout is closed; the server sends nothing, and waits until the client disconnects.
#[test]
fn closed_output_ends_a_quiet_subscription() {
    let server = broker_for_one(1, |connection| while connection.next().is_some() {});
    let mut command = blipmq(&["sub", "a", "--server", &server.addr]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("blipmq starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("UTF-8 output");
    assert_eq!(line, "subscribed to a\n");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("blipmq exits").code(), Some(0));
    server.join();
}
