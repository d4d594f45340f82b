//! The command line: what it understands, what it prints, and its exit status.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Output, Stdio};

use blipmq::protocol::{GapReason, Reject, Sequence, TopicId, encode};
use support::broker::Broker;
use support::running::blipmq;
use support::{Connection, Server, delivery_with_headers};

fn run(words: &[&str]) -> Output {
    blipmq(words).output().expect("it starts")
}

fn run_with_stdin(words: &[&str], stdin: &[u8]) -> Output {
    let mut command = blipmq(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    child.stdin.take().expect("it is piped").write_all(stdin).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are UTF-8")
}

#[track_caller]
fn assert_status(output: &Output, status: i32) {
    assert_eq!(output.status.code(), Some(status), "{}", stderr(output));
}

/// A failure is one line on stderr, that says `expected`, and nothing on stdout.
#[track_caller]
fn assert_fails(output: &Output, expected: &str) {
    assert_status(output, 1);
    let told = stderr(output);
    assert!(told.starts_with("blipmq: ") && told.lines().count() == 1, "{told}");
    assert!(told.contains(expected), "{told}");
    assert!(output.stdout.is_empty());
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it listens").to_string()
}

// --- usage ---

#[test]
fn command_lines_that_cannot_be_understood_have_status_2() {
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
fn no_broker_is_told_with_the_address_and_what_to_do() {
    let addr = nobody();
    for words in [&["pub", "a", "x", "--server", &addr][..], &["sub", "a", "--server", &addr]] {
        assert_fails(&run(words), &format!("cannot connect to {addr}"));
        assert!(stderr(&run(words)).contains("start one with `blipmq`"));
    }
}

#[test]
fn server_is_taken_from_the_environment() {
    let addr = nobody();
    let output = blipmq(&["pub", "a", "x"]).env("BLIPMQ_SERVER", &addr).output().expect("runs");
    assert_fails(&output, &format!("cannot connect to {addr}"));
}

#[test]
fn configuration_that_cannot_be_read_is_a_failure_that_names_the_file() {
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
    std::fs::write(&file, "").expect("the folder is for tests");
    let output = run(&["check-config", &file]);
    assert_status(&output, 0);
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(printed.starts_with(&format!("{file} is valid\n")), "{printed}");
    for line in ["[queues]", "bind_addr = \"127.0.0.1:7878\"", "overflow_policy = \"drop_oldest\""]
    {
        assert!(printed.lines().any(|printed| printed == line), "{line} in {printed}");
    }
}

// --- pub ---

#[test]
fn message_of_the_command_line_is_taken_before_it_ends_with_status_0() {
    let server = Server::start(Connection::serve_publisher);
    let words = ["pub", "orders.eu", "one espresso", "--server", &server.addr];
    assert_status(&run(&words), 0);
    assert_eq!(server.join(), [("orders.eu".to_owned(), b"one espresso".to_vec())]);
}

#[test]
fn every_line_of_stdin_is_a_message_byte_for_byte() {
    let server = Server::start(Connection::serve_publisher);
    let stdin = b"plain\n\n\xff\x00binary\r\nlast without newline";
    assert_status(&run_with_stdin(&["pub", "a", "--server", &server.addr], stdin), 0);
    let taken: Vec<Vec<u8>> = server.join().into_iter().map(|(_, payload)| payload).collect();
    let expected: [&[u8]; 4] = [b"plain", b"", b"\xff\x00binary\r", b"last without newline"];
    assert_eq!(taken, expected);
}

#[test]
fn empty_stdin_publishes_nothing_and_succeeds() {
    let server = Server::start(Connection::serve_publisher);
    assert_status(&run(&["pub", "a", "--server", &server.addr]), 0);
    assert!(server.join().is_empty());
}

#[test]
fn file_is_one_message_with_its_newlines() {
    let file = format!("{}/cli-file.bin", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&file, b"two\nlines\n").expect("the folder is for tests");
    let server = Server::start(Connection::serve_publisher);
    assert_status(&run(&["pub", "a", "--file", &file, "--server", &server.addr]), 0);
    assert_eq!(server.join(), [("a".to_owned(), b"two\nlines\n".to_vec())]);
}

/// Goal: a long file arrives whole, in order, through the window.
/// Method: many times the window, through the pipe.
#[test]
fn long_input_arrives_whole_and_in_order() {
    let server = Server::start(Connection::serve_publisher);
    let lines: Vec<String> = (0..50_000).map(|number| number.to_string()).collect();
    let stdin = lines.join("\n");
    let output = run_with_stdin(&["pub", "a", "--server", &server.addr], stdin.as_bytes());
    assert_status(&output, 0);
    assert_eq!(stderr(&output), "", "no progress bar where nobody looks");
    let taken = server.join();
    assert_eq!(taken.len(), lines.len());
    assert!(taken.iter().zip(&lines).all(|((_, payload), line)| payload == line.as_bytes()));
}

#[test]
fn headers_and_checksums_of_the_command_line_are_published() {
    let server = Server::start(|mut connection| {
        connection.accept_open(7);
        let published = connection.expect_messages();
        connection.accept_ping();
        connection.until_close();
        published
    });
    let words = ["pub", "a", "x", "--header", "trace=4=2", "--reply-to", "b", "--crc", "--server"];
    assert_status(&run(&[&words[..], &[&server.addr]].concat()), 0);
    let published = server.join();
    assert_eq!(published.header.flags, 6);
    assert_eq!(published.header_value("trace"), b"4=2");
    assert_eq!(published.header_value("reply-to"), b"b");
}

#[test]
fn topic_that_the_broker_refuses_is_a_failure_with_its_text() {
    let server = Server::start(|mut connection| {
        let (request, topic) = connection.expect_open();
        connection.expect_messages();
        let ping = connection.expect_ping();
        connection.send(|out| {
            encode::error(out, &Reject::SystemTopic { request: request.0, topic });
            encode::pong(out, ping);
        });
        connection.until_close();
    });
    let output = run(&["pub", "$SYS.a", "x", "--server", &server.addr]);
    assert_fails(&output, "refused topic `$SYS.a`: error 4030");
    server.join();
}

#[test]
fn topic_with_a_wildcard_is_a_failure_that_says_where() {
    let server = Server::start(Connection::until_close);
    let output = run(&["pub", "a.*", "x", "--server", &server.addr]);
    assert_fails(&output, "token 2 is a wildcard");
    server.join();
}

// --- sub ---

/// A broker for one subscriber: `send` says what comes once topic 7 is named.
fn publisher_to_one(
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
fn payloads_are_lines_and_count_ends_with_status_0() {
    let server = publisher_to_one(1, |connection| {
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
fn several_patterns_are_each_told_unless_quiet() {
    for (quiet, expected) in [(false, "subscribed to a\nsubscribed to b.*\n"), (true, "")] {
        let server = publisher_to_one(2, |connection| {
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
fn json_and_hex_show_where_a_message_stands() {
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
        let server = publisher_to_one(1, move |connection| {
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
            connection.expect_subscribe(|asked| {
                let asked = format!(
                    "overflow {}, capacity {}, start {} {}, group `{}`",
                    asked.overflow, asked.capacity, asked.start, asked.start_argument, asked.group
                );
                assert_eq!(asked, expected);
            });
        });
        assert_status(&run(&[&["sub", "a", "--server", &server.addr], words].concat()), 1);
        server.join();
    }
}

#[test]
fn gaps_and_the_brokers_goodbye_are_on_stderr_and_the_end_is_a_failure() {
    let server = publisher_to_one(1, |connection| {
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
         the broker says goodbye: draining\n\
         blipmq: the broker closed the connection after saying goodbye: draining\n"
    );
    server.join();
}

#[test]
fn pattern_that_the_broker_refuses_is_a_failure() {
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

/// Goal: `blipmq sub ... | head` ends quietly.
/// Method: nobody reads its stdout; the server sends until the client is gone.
#[test]
fn output_that_nobody_reads_ends_it_with_status_0() {
    let server = publisher_to_one(1, |connection| {
        let frame = support::delivery(7, 1, &[b"x"]);
        while connection.stream.write_all(&frame).is_ok() {}
    });
    let mut command = blipmq(&["sub", "a", "--quiet", "--server", &server.addr]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_status(&output, 0);
    assert_eq!(stderr(&output), "");
    server.join();
}

// --- request and reply ---

/// A replier that is there before anyone asks: it says on stderr when it is.
fn replier(words: &[&str]) -> std::process::Child {
    let mut command = blipmq(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    stderr.read_line(&mut line).expect("it says that it replies");
    assert!(line.starts_with("replying to "), "{line}");
    child
}

#[test]
fn reply_answers_with_a_text_the_request_or_what_a_command_prints() {
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
        assert!(replier.wait().expect("it ends").success());
    }
}

#[test]
fn command_that_fails_and_no_replier_at_all_are_failures_of_the_request() {
    let broker = Broker::start();
    let words = ["request", "jobs.a", "x", "--timeout", "3s", "--server", &broker.addr];
    assert_fails(&run(&words), "no reply to the request to `jobs.a` within 3000 ms");
    let words = ["reply", "jobs.a", "--exec", "exit 3", "--count", "1", "--server", &broker.addr];
    let mut replier = replier(&words);
    let words = ["request", "jobs.a", "x", "--timeout", "60s", "--server", &broker.addr];
    assert_fails(&run(&words), "the replier failed: `exit 3` ended with exit status: 3");
    assert!(replier.wait().expect("it ends").success());
}
