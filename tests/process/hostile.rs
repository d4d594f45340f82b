//! A client that misbehaves costs only itself.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use blipmq::protocol::decode::ServerFrame;
use blipmq::protocol::{RequestId, encode};

use super::on_one_and_two_cores;
use crate::account::Account;
use crate::support::running::{Broker, Running, blipmq};
use crate::support::wire::{HELLO, Wire};
use crate::support::written::{encode_messages, encode_subscribe};

on_one_and_two_cores! {
    a_frame_may_be_split_at_any_byte,
    every_kind_of_bad_frame_gets_one_error_and_closes_only_its_connection,
    half_a_frame_delays_no_other_client_and_is_freed_with_its_connection,
    a_connection_over_the_limit_gets_an_error_and_a_free_place_is_used_again,
    a_client_without_hello_in_time_gets_an_error_and_is_closed,
    clients_killed_while_sending_disturb_no_other_client,
}

/// A publisher and a subscriber that no misbehaving client may disturb.
pub struct Witness {
    publisher: Wire,
    subscriber: Wire,
    topic: u32,
    account: Account,
    last: u64,
}

impl Witness {
    pub fn new(broker: &Broker) -> Witness {
        Witness::of(broker, "witness.a", "witness.*")
    }

    fn of(broker: &Broker, topic: &str, pattern: &str) -> Witness {
        let mut publisher = Wire::connect(broker.addr);
        let mut subscriber = Wire::connect(broker.addr);
        subscriber.subscribe(1, pattern);
        let (topic, next, _) = publisher.open(1, topic);
        assert_eq!(next, 1);
        Witness { publisher, subscriber, topic, account: Account::new(topic, 1), last: 0 }
    }

    #[track_caller]
    pub fn works(&mut self) {
        self.last += 1;
        self.publisher.publish(self.topic, &[&self.last.to_le_bytes()]);
        self.account.take_until(&mut self.subscriber, self.last, |sequence, payload| {
            assert_eq!(payload, sequence.to_le_bytes());
        });
        assert!(self.account.gaps.is_empty());
    }
}

/// Goal: the result does not depend on where reads split the bytes, on a real socket either.
/// Method: two writes at every byte; between them another connection of the same core is served, so the
/// broker has read the first part before the second is sent.
fn a_frame_may_be_split_at_any_byte(cores: &str) {
    let broker = Broker::start(cores);
    let mut wire = Wire::connect(broker.addr);
    let mut others: Vec<Wire> = (0..3).map(|_| Wire::connect(broker.addr)).collect();
    let same = others.iter().position(|other| other.core == wire.core);
    let mut neighbour = others.swap_remove(same.expect("connections are dealt evenly"));
    let (topic, ..) = wire.open(1, "split");
    wire.subscribe(1, "split");
    let mut account = Account::new(topic, 1);
    let mut bytes = Vec::new();
    encode::ping(&mut bytes, 7);
    encode_messages(&mut bytes, topic, 0, &[b"first", b"", b"third"]);
    encode::ping(&mut bytes, 8);
    for at in 1..bytes.len() {
        wire.write(&bytes[..at]);
        neighbour.ping();
        wire.write(&bytes[at..]);
        let (mut pongs, mut payloads) = (Vec::new(), Vec::new());
        while pongs.len() < 2 || payloads.len() < 3 {
            let frame = wire.expect();
            match frame.decoded() {
                ServerFrame::Pong { opaque } => pongs.push(opaque),
                _ => payloads.extend(account.take(&frame).iter().map(|(_, text)| text.to_vec())),
            }
        }
        assert_eq!((pongs, payloads.concat()), (vec![7, 8], b"firstthird".to_vec()), "at {at}");
    }
    // Each connection begins with HELLO, which may be split as well.
    let mut hello = Vec::new();
    encode::hello(&mut hello, &HELLO);
    for at in 1..hello.len() {
        let mut wire = Wire::silent(broker.addr);
        wire.write(&hello[..at]);
        neighbour.ping();
        others.iter_mut().for_each(Wire::ping);
        wire.write(&hello[at..]);
        assert!(matches!(wire.expect().decoded(), ServerFrame::Welcome(_)), "at {at}");
    }
    drop((wire, neighbour, others));
    broker.stop();
}

/// The bytes of every kind of frame, each with a mistake, and its error code.
fn bad_frames() -> Vec<(&'static str, Vec<u8>, u16)> {
    let frame = |write: &dyn Fn(&mut Vec<u8>), spoil: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut bytes);
        spoil(&mut bytes);
        bytes
    };
    let open = |out: &mut Vec<u8>| encode::open(out, RequestId(1), "bad.a");
    let subscribe = |out: &mut Vec<u8>| encode_subscribe(out, 1, "bad.a", 0, 0);
    let messages = |out: &mut Vec<u8>| encode_messages(out, 1, 0, &[b"abc", b"def"]);
    let ping = |out: &mut Vec<u8>| encode::ping(out, 1);
    vec![
        ("HELLO twice", frame(&|out| encode::hello(out, &HELLO), &|_| {}), 4000),
        ("OPEN with flags", frame(&open, &|bytes| bytes[5] = 1), 4000),
        ("OPEN not UTF-8", frame(&open, &|bytes| bytes[14] = 0xff), 4000),
        ("OPEN cut", frame(&open, &|bytes| bytes[0] -= 1), 4000),
        ("SUBSCRIBE with a count", frame(&subscribe, &|bytes| bytes[6] = 1), 4000),
        ("SUBSCRIBE 0", frame(&subscribe, &|bytes| bytes[8] = 0), 4000),
        ("UNSUBSCRIBE without a body", vec![8, 0, 0, 0, 4, 0, 0, 0], 4000),
        ("PING too short", frame(&ping, &|bytes| bytes[0] = 15), 4000),
        ("PONG of another flag", frame(&ping, &|bytes| bytes[4..6].copy_from_slice(&[6, 2])), 4000),
        ("CLOSE with a body", vec![9, 0, 0, 0, 7, 0, 0, 0, 0], 4000),
        ("MESSAGES without messages", frame(&messages, &|bytes| bytes[6] = 0), 4000),
        ("MESSAGES of more than there are", frame(&messages, &|bytes| bytes[6] = 3), 4000),
        ("MESSAGES of fewer than there are", frame(&messages, &|bytes| bytes[6] = 1), 4000),
        ("MESSAGES with a wild record", frame(&messages, &|bytes| bytes[42] = 1), 4000),
        ("MESSAGES with stray headers", frame(&messages, &|bytes| bytes[43] = 0x80), 4000),
        ("frame_len 7", vec![7, 0, 0, 0], 4000),
        ("frame_len of 4 GiB", vec![0xff; 4], 4130),
        ("a frame of the server", vec![12, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0], 4000),
        ("noise", (0..=255).cycle().skip(90).take(4_096).collect(), 4130),
    ]
}

fn every_kind_of_bad_frame_gets_one_error_and_closes_only_its_connection(cores: &str) {
    let broker = Broker::start(cores);
    let mut witnesses = [Witness::of(&broker, "a", "a"), Witness::of(&broker, "b.c", "b.>")];
    let frames = bad_frames();
    let errors = frames.len() as u64 * 2;
    for (name, bytes, code) in frames {
        // One on each core.
        for _ in 0..2 {
            let mut bad = Wire::connect(broker.addr);
            bad.subscribe(9, "bad.>");
            bad.write(&bytes);
            assert_eq!(bad.expect_fatal(), code, "{name}");
            witnesses.iter_mut().for_each(Witness::works);
        }
    }
    // Before HELLO, anything else is an offence.
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[8, 0, 0, 0, 7, 0, 0, 0]] {
        let mut bad = Wire::silent(broker.addr);
        bad.write(bytes);
        assert_eq!(bad.expect_fatal(), 4001);
        witnesses.iter_mut().for_each(Witness::works);
    }
    assert_eq!(broker.metric("blipmq_errors_sent_total", ""), errors + 3);
    broker.wait_for_metric("blipmq_connections", "", |open| open == 4);
    drop(witnesses);
    broker.stop();
}

fn half_a_frame_delays_no_other_client_and_is_freed_with_its_connection(cores: &str) {
    let broker = Broker::start(cores);
    let mut witness = Witness::new(&broker);
    let mut message = Vec::new();
    encode_messages(&mut message, 0x8000_0001, 0, &[&[b'h'; 100_000]]);
    let mut halves: Vec<Wire> = (0..4)
        .map(|_| {
            let mut half = Wire::connect(broker.addr);
            half.open(1, "witness.half");
            half.write(&message[..message.len() / 2]);
            half
        })
        .collect();
    witness.works();
    // One ends its side, one vanishes, the others continue.
    halves[0].finish_writing();
    assert_eq!(halves[0].next(), None);
    drop(halves.drain(..2));
    witness.works();
    for half in &mut halves {
        half.write(&message[message.len() / 2..]);
        half.ping();
    }
    let mut account = None;
    for expected in 1..=2 {
        let frame = loop {
            let frame = witness.subscriber.expect();
            match frame.decoded() {
                ServerFrame::Topic { topic, .. } => account = Some(Account::new(topic.0, 1)),
                _ => break frame,
            }
        };
        let account = account.as_mut().expect("TOPIC comes first");
        assert_eq!(account.take(&frame), [(expected, &[b'h'; 100_000][..])]);
    }
    drop((halves, witness));
    broker.stop();
}

fn a_connection_over_the_limit_gets_an_error_and_a_free_place_is_used_again(cores: &str) {
    let broker = Broker::start_with(cores, "[server]\nmax_connections = 3\n");
    let mut places: Vec<Wire> = (0..3).map(|_| Wire::connect(broker.addr)).collect();
    for _ in 0..5 {
        assert_eq!(Wire::silent(broker.addr).expect_fatal(), 4291);
    }
    places.iter_mut().for_each(Wire::ping);
    for _ in 0..3 {
        let mut leaving = places.remove(0);
        leaving.send(encode::close);
        assert_eq!(leaving.next(), None);
        drop(leaving);
        broker.wait_for_metric("blipmq_connections", "", |open| open == 2);
        let mut arriving = Wire::connect(broker.addr);
        arriving.ping();
        places.push(arriving);
        assert_eq!(Wire::silent(broker.addr).expect_fatal(), 4291);
    }
    drop(places);
    broker.stop();
}

fn a_client_without_hello_in_time_gets_an_error_and_is_closed(cores: &str) {
    let broker = Broker::start_with(cores, "[server]\nauth_timeout_ms = 300\n");
    let mut in_time = Wire::connect(broker.addr);
    let mut silent = Wire::silent(broker.addr);
    let mut slow = Wire::silent(broker.addr);
    slow.write(&[22, 0, 0, 0, 1, 0, 0, 0, b'B']);
    assert_eq!(silent.expect_fatal(), 4010);
    assert_eq!(slow.expect_fatal(), 4010);
    in_time.ping();
    drop((in_time, silent, slow));
    broker.stop();
}

/// Goal: a client that is gone without a word, by SIGKILL, leaves nothing behind.
/// Method: `blipmq sub` and `blipmq pub` processes, killed while messages are under way.
fn clients_killed_while_sending_disturb_no_other_client(cores: &str) {
    let broker = Broker::start(cores);
    let mut witness = Witness::new(&broker);
    for _ in 0..4 {
        let mut command = blipmq(&["sub", ">", "--server", &broker.server()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut subscriber = Running::start(command);
        let mut line = String::new();
        let stderr = subscriber.child.stderr.take().expect("a piped stream");
        BufReader::new(stderr).read_line(&mut line).expect("UTF-8 output");
        assert!(line.contains("subscribed to >"), "{line}");

        let mut command = blipmq(&["pub", "killed", "--server", &broker.server()]);
        command.stdin(Stdio::piped()).stderr(Stdio::null());
        let mut publisher = Running::start(command);
        let stdin = publisher.child.stdin.as_mut().expect("a piped stream");
        stdin.write_all("a line\n".repeat(100).as_bytes()).expect("the peer reads");
        stdin.write_all(b"half a li").expect("the peer reads");
        // What the subscriber prints, it got: it is in the middle.
        let stdout = subscriber.child.stdout.take().expect("a piped stream");
        let mut line = String::new();
        witness.works();
        BufReader::new(stdout).read_line(&mut line).expect("UTF-8 output");
        for _ in 0..20 {
            witness.works();
        }
        drop(subscriber);
        witness.works();
        drop(publisher);
        witness.works();
    }
    broker.wait_for_metric("blipmq_connections", "", |open| open == 2);
    broker.wait_for_metric("blipmq_subscriptions", "", |left| left == 1);
    drop(witness);
    broker.stop();
}
