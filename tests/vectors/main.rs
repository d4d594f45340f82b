//! The conformance vectors of BLIP/1: every row of `vectors/*.txt` against the broker without I/O,
//! with its bytes in one read and split at every byte, and against the real binary over TCP.
//!
//! The files are also meant for authors of other clients and brokers; the head of `protocol.txt` describes
//! the notation.

mod rows;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use blipmq::broker::port::InMemory;
use blipmq::broker::turn::turn;
use blipmq::broker::{Broker, Cluster, ConnectionId, Now, Peer, Slot};
use blipmq::config::Settings;
use blipmq::protocol::{CoreId, decode, encode};
use rows::{Expected, Row, Send};
use support::printer::Printer;
use support::running;
use support::wire::{Frame, Wire};

/// The rows do not depend on the peer.
const PEER: Peer = Peer {
    protocol: blipmq::broker::Protocol::Blip,
    address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
};

/// Rows with more bytes than this are not split at every byte.
const SPLIT_BYTES_MAX: usize = 512;

/// Rows, and the configuration of the broker for them.
struct Suite {
    config: String,
    rows: Vec<Row>,
}

fn suites() -> [Suite; 2] {
    let files =
        [include_str!("protocol.txt"), include_str!("malformed.txt"), include_str!("refused.txt")];
    // All macros are defined at the head of the first file.
    let rows = rows::parse(&files.concat());
    let auth = include_str!("auth.txt");
    let config = auth.lines().filter_map(|line| line.strip_prefix("#!"));
    let config = config.map(|line| format!("{line}\n")).collect();
    let of_auth = rows::parse(&[files[0], auth].concat());
    let of_auth = of_auth.into_iter().filter(|row| rows.iter().all(|other| other.name != row.name));
    let of_auth = of_auth.collect();
    [Suite { config: String::new(), rows }, Suite { config, rows: of_auth }]
}

/// Every row, each with the settings of its broker.
fn all_rows() -> impl Iterator<Item = (Arc<Settings>, Row)> {
    suites().into_iter().flat_map(|suite| {
        let settings = Settings::parse("auth.txt", &suite.config).expect("a valid configuration");
        let settings = Arc::new(settings);
        suite.rows.into_iter().map(move |row| (settings.clone(), row))
    })
}

/// The broker under test.
trait Server {
    fn send(&mut self, send: &Send);
    /// Ends the sending side of a connection.
    fn finish(&mut self, connection: u8);
    /// Returns at least `count` lines of a connection, and all lines if the end can be known.
    fn lines(&mut self, connection: u8, count: usize) -> Vec<String>;
    fn id_of(&self, topic: &str) -> u32;
}

/// Plays a row. `split` cuts the bytes of one read into several reads.
fn play(row: &Row, server: &mut impl Server, split: impl Fn(Vec<u8>) -> Vec<Vec<u8>>) {
    let mut open = BTreeMap::new();
    for (number, stage) in row.stages.iter().enumerate() {
        let place = format!("{}, stage {}", row.name, number + 1);
        for send in stage.sends(|topic| server.id_of(topic)) {
            let connection = send.connection;
            open.entry(connection).or_insert(true);
            for bytes in split(send.bytes) {
                server.send(&Send { connection, bytes });
            }
        }
        for (&connection, open) in &mut open {
            let is_own = |expected: &&Expected| expected.connection == connection;
            let mut expected: Vec<&str> =
                stage.expected.iter().filter(is_own).map(|line| line.line.as_str()).collect();
            if expected.last() == Some(&"waits") {
                expected.pop();
                compare(&place, &expected, &server.lines(connection, expected.len()));
                expected = vec!["close"];
                server.finish(connection);
            }
            if expected.last() == Some(&"close") {
                *open = false;
            }
            compare(&place, &expected, &server.lines(connection, expected.len()));
        }
    }
    for (connection, _) in open.into_iter().filter(|(_, open)| *open) {
        let mut bytes = Vec::new();
        encode::ping(&mut bytes, 4_711);
        server.send(&Send { connection, bytes });
        let place = format!("{}, the PING that every connection left open answers", row.name);
        compare(&place, &["PONG 4711"], &server.lines(connection, 1));
    }
}

/// Lines sorted by their order: deliveries, answers of the connection's own core, and answers that may
/// need other cores and so come in any order.
#[derive(Debug, PartialEq, Eq)]
struct Sorted {
    deliveries: Vec<String>,
    own_answers: Vec<String>,
    shared_answers: Vec<String>,
}

impl Sorted {
    fn new(lines: &[String]) -> Sorted {
        let begins = |line: &str, kinds: &[&str]| kinds.iter().any(|kind| line.starts_with(kind));
        let (deliveries, answers): (Vec<_>, Vec<_>) = lines
            .iter()
            .cloned()
            .partition(|line| begins(line, &["MESSAGES ", "GAP ", "TOPIC request=0 "]));
        let (mut shared_answers, own_answers): (Vec<_>, Vec<_>) = answers
            .into_iter()
            .partition(|line| begins(line, &["TOPIC ", "SUBSCRIBED ", "UNSUBSCRIBED "]));
        shared_answers.sort();
        Sorted { deliveries, own_answers, shared_answers }
    }
}

#[track_caller]
fn compare(place: &str, expected: &[&str], got: &[String]) {
    // A row may name WELCOME without its fields.
    let shortened = |line: &String| match line.starts_with("WELCOME ") {
        true if expected.contains(&"WELCOME") => "WELCOME".to_owned(),
        _ => line.clone(),
    };
    let got: Vec<String> = got.iter().map(shortened).collect();
    let expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(Sorted::new(&expected), Sorted::new(&got), "{place}: expected and got");
    let welcome = got.iter().position(|line| line.starts_with("WELCOME"));
    assert!(welcome.is_none_or(|at| at == 0), "{place}: WELCOME is the first frame");
    let close = got.iter().position(|line| line == "close");
    assert!(close.is_none_or(|at| at + 1 == got.len()), "{place}: nothing follows close");
    let message = got.iter().position(|line| line.starts_with("MESSAGES"));
    let subscribed = got.iter().position(|line| line.starts_with("SUBSCRIBED"));
    if let (Some(message), Some(subscribed)) = (message, subscribed) {
        assert!(subscribed < message, "{place}: SUBSCRIBED comes before its messages");
    }
}

// --- the broker without I/O ---

/// A broker of one core without sockets, whose time is a counter.
struct Solo {
    broker: Broker,
    turns: u64,
    connections: HashMap<u8, Output>,
    /// Topic ids, which are the same for all connections.
    topics: HashMap<String, u32>,
}

#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    printer: Printer,
    closed: bool,
    close_reported: bool,
}

impl Solo {
    fn new(settings: &Arc<Settings>) -> Solo {
        let cluster = Cluster::new(1, 7, settings.clone());
        Solo {
            broker: Broker::new(CoreId(0), cluster, Arc::default()),
            turns: 0,
            connections: HashMap::new(),
            topics: HashMap::new(),
        }
    }

    fn now(&self) -> Now {
        let unix_ns = 1_700_000_000_000_000_000 + self.turns;
        Now { monotonic_ns: self.turns, unix_ns }
    }

    fn id(connection: u8) -> ConnectionId {
        ConnectionId { slot: Slot(u32::from(connection)), generation: 0 }
    }

    fn connect(&mut self, connection: u8) {
        let now = self.now();
        self.connections.entry(connection).or_insert_with(|| {
            self.broker.connected(now, Solo::id(connection), PEER, true);
            Output::default()
        });
    }

    fn output(&mut self, connection: ConnectionId) -> &mut Output {
        self.connections.get_mut(&(connection.slot.0 as u8)).expect("a connected connection")
    }

    /// Runs turns until there is nothing left to do.
    fn run(&mut self) {
        loop {
            self.turns += 1;
            let now = self.now();
            let mut port = InMemory::default();
            let mut busy = turn(&mut self.broker, now, &mut port);
            for (connection, ranges) in port.sends {
                busy = true;
                self.output(connection).bytes.extend(ranges.concat());
                self.broker.sent(now, connection);
            }
            for (connection, last) in port.closes {
                busy = true;
                let output = self.output(connection);
                output.bytes.extend_from_slice(&last);
                output.closed = true;
                self.broker.closed(connection);
            }
            if !busy {
                return;
            }
        }
    }
}

impl Server for Solo {
    fn send(&mut self, send: &Send) {
        self.connect(send.connection);
        let connection = Solo::id(send.connection);
        if !self.output(connection).closed {
            assert!(self.broker.wants_input(), "all earlier bytes were read");
            self.broker.received(self.now(), connection, &send.bytes);
            self.run();
        }
    }

    fn finish(&mut self, connection: u8) {
        self.broker.ended(self.now(), Solo::id(connection));
        self.run();
    }

    fn lines(&mut self, connection: u8, _count: usize) -> Vec<String> {
        self.connect(connection);
        // Long enough for the refusal of a wrong login, which is held back for a while.
        self.turns += 200_000_000;
        self.run();
        let output = self.output(Solo::id(connection));
        let mut lines = Vec::new();
        let bytes = std::mem::take(&mut output.bytes);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let frame = decode::next_frame(rest, u32::MAX).expect("a legal length");
            let frame = frame.expect("the broker sends whole frames");
            let frame_len = frame.len();
            lines.push(output.printer.print(&Frame(frame.to_vec())));
            rest = &rest[frame_len..];
        }
        if output.closed && !output.close_reported {
            output.close_reported = true;
            lines.push("close".to_owned());
        }
        self.learn_topics();
        lines
    }

    fn id_of(&self, topic: &str) -> u32 {
        *self.topics.get(topic).unwrap_or_else(|| panic!("no TOPIC has named {topic}"))
    }
}

impl Solo {
    fn learn_topics(&mut self) {
        for output in self.connections.values() {
            self.topics.extend(output.printer.topics().map(|(id, name)| (name.to_owned(), id)));
        }
    }
}

#[test]
fn the_broker_without_io_answers_every_row() {
    for (settings, row) in all_rows() {
        play(&row, &mut Solo::new(&settings), |bytes| vec![bytes]);
    }
}

/// Goal: the answers do not depend on where reads split the bytes.
/// Method: every short row, cut in two at every byte, and into single bytes.
#[test]
fn the_broker_without_io_answers_every_row_wherever_reads_split_it() {
    let mut rows_split = 0;
    for (settings, row) in all_rows() {
        let stages = row.stages.iter().map(|stage| stage.sends(|_| 0));
        let longest = stages.flatten().map(|send| send.bytes.len()).max().unwrap_or(0);
        if longest > SPLIT_BYTES_MAX {
            continue;
        }
        rows_split += 1;
        for at in 1..longest {
            play(&row, &mut Solo::new(&settings), |bytes| {
                let (left, right) = bytes.split_at(at.min(bytes.len()));
                [left, right].iter().map(|part| part.to_vec()).collect()
            });
        }
        play(&row, &mut Solo::new(&settings), |bytes| {
            bytes.iter().map(|byte| vec![*byte]).collect()
        });
    }
    assert!(rows_split > 100, "most rows are short: {rows_split}");
}

// --- the real binary ---

/// The connections of one row to a running broker.
struct Tcp<'a> {
    broker: &'a running::Broker,
    connections: HashMap<u8, (Wire, Printer)>,
}

impl Server for Tcp<'_> {
    fn send(&mut self, send: &Send) {
        let (wire, _) = self
            .connections
            .entry(send.connection)
            .or_insert_with(|| (Wire::silent(self.broker.addr), Printer::default()));
        // A broker may close at the first fatal byte, while the rest is still on its way.
        let _ = std::io::Write::write_all(&mut wire.stream, &send.bytes);
    }

    fn finish(&mut self, connection: u8) {
        self.connections.get_mut(&connection).expect("an open connection").0.finish_writing();
    }

    fn lines(&mut self, connection: u8, count: usize) -> Vec<String> {
        let (wire, printer) = self.connections.get_mut(&connection).expect("an open connection");
        let mut lines = Vec::new();
        while lines.len() < count {
            match wire.next() {
                Some(frame) => lines.push(printer.print(&frame)),
                None => {
                    lines.push("close".to_owned());
                    break;
                }
            }
        }
        lines
    }

    fn id_of(&self, topic: &str) -> u32 {
        let mut printers = self.connections.values().map(|(_, printer)| printer);
        let id = printers.find_map(|printer| printer.id_of(topic));
        id.unwrap_or_else(|| panic!("no TOPIC has named {topic}"))
    }
}

fn assert_answers_every_row(count: usize) {
    let Some(cores) = running::cores(count) else { return };
    for suite in suites() {
        let broker = running::Broker::start_with(&cores, &suite.config);
        for row in suite.rows {
            if count > 1 && row.name.ends_with("_on_one_core") {
                continue;
            }
            let mut server = Tcp { broker: &broker, connections: HashMap::new() };
            play(&row, &mut server, |bytes| vec![bytes]);
        }
        broker.stop();
    }
}

#[test]
fn the_real_broker_answers_every_row_on_one_core() {
    assert_answers_every_row(1);
}

#[test]
fn the_real_broker_answers_every_row_on_two_cores() {
    assert_answers_every_row(2);
}
