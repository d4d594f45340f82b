//! `blipmq pub`: from the command line, a file and stdin.

use blipmq::protocol::{Reject, encode};

use crate::support::{Connection, Server};
use crate::{assert_fails, assert_status, run, run_with_stdin, stderr};

#[test]
fn message_of_the_command_line_is_published_before_the_exit() {
    let server = Server::start(Connection::serve_publisher);
    let words = ["pub", "orders.eu", "one espresso", "--server", &server.addr];
    assert_status(&run(&words), 0);
    assert_eq!(server.join(), [("orders.eu".to_owned(), b"one espresso".to_vec())]);
}

#[test]
fn every_line_of_stdin_is_an_unchanged_message() {
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
    std::fs::write(&file, b"two\nlines\n").expect("a writable folder");
    let server = Server::start(Connection::serve_publisher);
    assert_status(&run(&["pub", "a", "--file", &file, "--server", &server.addr]), 0);
    assert_eq!(server.join(), [("a".to_owned(), b"two\nlines\n".to_vec())]);
}

/// Goal: a long input arrives completely and in order through the window.
/// Method: many times the window, through a pipe.
#[test]
fn long_input_arrives_completely_and_in_order() {
    let server = Server::start(Connection::serve_publisher);
    let lines: Vec<String> = (0..50_000).map(|number| number.to_string()).collect();
    let stdin = lines.join("\n");
    let output = run_with_stdin(&["pub", "a", "--server", &server.addr], stdin.as_bytes());
    assert_status(&output, 0);
    assert_eq!(stderr(&output), "", "a progress bar needs a terminal");
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
fn topic_refused_by_the_broker_is_a_failure_with_the_reason() {
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
fn topic_with_a_wildcard_is_a_failure_with_its_position() {
    let server = Server::start(Connection::until_close);
    let output = run(&["pub", "a.*", "x", "--server", &server.addr]);
    assert_fails(&output, "token 2 is a wildcard");
    server.join();
}
