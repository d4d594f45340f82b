//! `blipmq bench mirror`: its traffic and the statistics it prints.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{ChildStdout, Stdio};

use crate::support::running::{Running, blipmq};
use crate::{assert_counts, bench, measured, number, stderr};

/// A running mirror, killed when dropped.
pub struct Mirror {
    pub url: String,
    stdout: BufReader<ChildStdout>,
    _running: Running,
}

impl Mirror {
    pub fn start() -> Mirror {
        let mut command = blipmq(&["bench", "mirror", "--bind", "127.0.0.1:0"]);
        command.stdout(Stdio::piped());
        let mut running = Running::start(command);
        let mut stdout = BufReader::new(running.child.stdout.take().expect("a pipe"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("a line of UTF-8");
        let (_, addr) = ready.trim().split_once(" is ready on ").expect("an address");
        Mirror { url: format!("raw://{addr}"), stdout, _running: running }
    }
}

#[test]
fn mirror_prints_the_bytes_and_sends_of_each_publisher() {
    let mut mirror = Mirror::start();
    let document = measured(&[&mirror.url, "--subs", "3"]);
    let mut line = String::new();
    mirror.stdout.read_line(&mut line).expect("a line of UTF-8");
    let numbers = line.split(|letter: char| !letter.is_ascii_digit());
    let numbers: Vec<u64> = numbers.filter_map(|digits| digits.parse().ok()).collect();
    let &[received, reads, sent, sends] = &numbers[..] else { panic!("{line}") };
    let messages = number(&document["targets"][0]["rounds"][0]["total_messages"]);
    assert!(received >= 64 * messages && reads > 0, "{line}");
    assert_eq!((sent, sends), (3 * received, 3 * reads));
}

#[test]
fn mirror_survives_subscribers_and_unknown_clients_that_disconnect() {
    let mirror = Mirror::start();
    for _ in 0..2 {
        let words = [&mirror.url, "--pubs", "2", "--topics", "2", "--subs", "4"];
        let document = measured(&words);
        assert_counts(&document["targets"][0]["rounds"][0], 2);
        let mut stranger =
            TcpStream::connect(&mirror.url["raw://".len()..]).expect("a listening socket");
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("a reader");
    }
    let output = bench(&[&mirror.url, "--pubs", "2"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("one publisher per topic"), "{}", stderr(&output));
}
