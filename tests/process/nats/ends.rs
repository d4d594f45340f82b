//! Stops, restarts, and clients that speak another language.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;

use blipmq::protocol::encode;

use super::on_one_and_two_cores;
use crate::hostile::Witness;
use crate::support::nats::{CONNECT, Nats, Said, put};
use crate::support::running::{Broker, blipmq};
use crate::support::wire::{HELLO, PATIENCE, Wire};

on_one_and_two_cores! {
    sigterm_delivers_what_was_confirmed_and_tells_clients_to_go,
    sigterm_delivers_what_waits_for_one_that_reads_late,
    a_broker_that_was_killed_is_there_again_at_the_same_port,
    what_is_not_nats_gets_one_clear_word,
    a_nats_client_at_the_port_of_blip_is_told_so_in_blip,
    clients_that_vanish_leave_nothing_behind,
}

fn nats_of(broker: &Broker) -> SocketAddr {
    broker.nats.expect("NATS clients are served")
}

#[track_caller]
fn assert_tells_to_go(said: Said) {
    let Said::Info(info) = said else { panic!("INFO was due, got {said:?}") };
    assert_eq!(info["ldm"], true, "{info}");
}

/// Publishes until the broker ends the connection; returns how many messages PONGs have confirmed.
fn publish_until_cut_off(mut nats: Nats, confirmed: &mpsc::Sender<u64>) -> u64 {
    const MESSAGES: u64 = 20;
    let mut messages = 0;
    loop {
        let mut out = Vec::new();
        for number in messages..messages + MESSAGES {
            let mut payload = vec![0; 1_024];
            payload[..8].copy_from_slice(&number.to_le_bytes());
            put(&mut out, "busy", &payload);
        }
        out.extend_from_slice(b"PING\r\n");
        if std::io::Write::write_all(&mut nats.stream, &out).is_err() {
            return messages;
        }
        loop {
            match nats.try_next() {
                Ok(Some(Said::Pong)) => break,
                Ok(Some(said)) => assert_tells_to_go(said),
                Ok(None) | Err(_) => return messages,
            }
        }
        messages += MESSAGES;
        let _ = confirmed.send(messages);
    }
}

/// Reads to the end; returns how many messages came, all in order.
fn read_to_the_end(mut nats: Nats) -> u64 {
    let (mut next, mut told) = (0u64, 0);
    while let Some(said) = nats.next() {
        match said {
            Said::Message(message) => {
                assert_eq!(message.payload[..8], next.to_le_bytes(), "none is missing");
                next += 1;
            }
            said => {
                assert_tells_to_go(said);
                told += 1;
            }
        }
    }
    assert_eq!(told, 1, "it is told to go, once");
    next
}

fn sigterm_delivers_what_was_confirmed_and_tells_clients_to_go(cores: &str) {
    let broker = Broker::start(cores);
    let addr = nats_of(&broker);
    let mut subscriber = Nats::connect(addr);
    subscriber.subscribe("busy", "1");
    let mut idle = Nats::connect(addr);
    let mut unborn = Nats::silent(addr);
    let publisher = Nats::connect(addr);
    let (sender, confirmations) = mpsc::channel();
    thread::scope(|scope| {
        let reader = scope.spawn(move || read_to_the_end(subscriber));
        let writer = scope.spawn(move || publish_until_cut_off(publisher, &sender));
        while confirmations.recv_timeout(PATIENCE).expect("it goes on") < 1_000 {}
        broker.signal("TERM");
        let confirmed = writer.join().expect("the publisher is content");
        let delivered = reader.join().expect("the subscriber is content");
        assert!(delivered >= confirmed, "{confirmed} were confirmed, {delivered} delivered");
    });
    for nats in [&mut idle, &mut unborn] {
        assert_tells_to_go(nats.expect());
        assert_eq!(nats.next(), None);
    }
    drop((idle, unborn));
    let (status, stderr) = broker.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("everything accepted was delivered"), "{stderr}");
}

/// Method: far more than sockets hold waits when the signal comes; only then it is read.
fn sigterm_delivers_what_waits_for_one_that_reads_late(cores: &str) {
    const MESSAGES: u64 = 800;
    let broker = Broker::start_with(cores, "[server]\ndrain_timeout_ms = 600_000\n");
    let addr = nats_of(&broker);
    let mut late = Nats::narrow(addr).introduced(CONNECT);
    late.subscribe("late", "1");
    let mut publisher = Nats::connect(addr);
    for number in 0..MESSAGES {
        let mut payload = vec![0; 8 * 1_024];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        publisher.publish("late", &payload);
    }
    publisher.ping();
    broker.signal("TERM");
    assert_tells_to_go(publisher.expect());
    assert_eq!(read_to_the_end(late), MESSAGES);
    assert_eq!(publisher.next(), None);
    drop(publisher);
    let (status, stderr) = broker.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("everything accepted was delivered"), "{stderr}");
}

fn a_broker_that_was_killed_is_there_again_at_the_same_port(cores: &str) {
    let broker = Broker::start(cores);
    let (addr, blip, nats) = (nats_of(&broker), broker.addr, nats_of(&broker).to_string());
    let mut subscriber = Nats::connect(addr);
    subscriber.subscribe("a", "1");
    let server_id = subscriber.info["server_id"].clone();
    assert_eq!(subscriber.info["port"], addr.port());
    broker.signal("KILL");
    broker.wait();
    assert!(matches!(subscriber.try_next(), Ok(None) | Err(_)), "its end is seen");
    let blip = blip.to_string();
    let words = ["--bind", &blip, "--nats-bind", &nats, "--metrics-bind", "127.0.0.1:0"];
    let mut command = blipmq(&words);
    command.args(["--cores", cores]);
    let broker = Broker::from_command(command);
    assert_eq!(nats_of(&broker), addr);
    let mut again = Nats::connect(addr);
    assert_ne!(again.info["server_id"], server_id, "clients can tell");
    again.subscribe("a", "1");
    again.publish("a", b"x");
    assert_eq!(again.message().text(), "x");
    drop((again, subscriber));
    broker.stop();
}

fn what_is_not_nats_gets_one_clear_word(cores: &str) {
    let mut hello = Vec::new();
    encode::hello(&mut hello, &HELLO);
    let noise: Vec<u8> = (0..=255).cycle().skip(90).take(4_096).collect();
    let strangers: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: nats\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
        &hello,
        &[0; 64],
        &noise,
    ];
    let open = Broker::start(cores);
    let closed = Broker::start_with(cores, "[auth]\ntoken = \"t0ken\"\n");
    let mut witness = Witness::new(&open);
    for stranger in strangers {
        for (broker, told) in
            [(&open, "Unknown Protocol Operation"), (&closed, "Authorization Violation")]
        {
            // As those do that speak first.
            let stream = TcpStream::connect(nats_of(broker)).expect("it listens");
            let mut nats = Nats::bare(stream);
            nats.write(stranger);
            assert!(matches!(nats.expect(), Said::Info(_)));
            nats.expect_last_error(told);
        }
        witness.works();
    }
    assert_eq!(open.metric("blipmq_errors_sent_total", ""), strangers.len() as u64);
    drop(witness);
    open.stop();
    closed.stop();
}

/// A client of NATS waits for INFO, which does not come: at `server.auth_timeout_ms` it gets the
/// ERROR frame 4010. One that speaks first gets 4001 at once. Either is no INFO, and the end.
fn a_nats_client_at_the_port_of_blip_is_told_so_in_blip(cores: &str) {
    let broker = Broker::start_with(cores, "[server]\nauth_timeout_ms = 500\n");
    let mut speaks_first = Wire::silent(broker.addr);
    speaks_first.write(format!("CONNECT {CONNECT}\r\nPING\r\n").as_bytes());
    assert_eq!(speaks_first.expect_fatal(), 4001);
    assert_eq!(Wire::silent(broker.addr).expect_fatal(), 4010);
    drop(speaks_first);
    broker.stop();
}

/// Method: resets in the middle of a command, of a payload, of what is being delivered.
fn clients_that_vanish_leave_nothing_behind(cores: &str) {
    let broker = Broker::start(cores);
    let addr = nats_of(&broker);
    let mut witness = Nats::connect(addr);
    witness.subscribe("stay", "1");
    let parts =
        ["SUB gone", "PUB stay 10\r\nhalf", "PUB stay 1\r\n", "SUB stay q 1\r\nPING\r\n", ""];
    for part in parts.iter().cycle().take(20) {
        let mut nats = Nats::connect(addr);
        nats.subscribe("stay", "1");
        nats.join("stay", "q", "2");
        nats.say(part);
        witness.publish("stay", &[b'x'; 10_000]);
        let socket = socket2::SockRef::from(&nats.stream);
        socket.set_linger(Some(std::time::Duration::ZERO)).expect("a socket option");
        drop(nats);
        assert_eq!(witness.message().payload.len(), 10_000);
    }
    broker.wait_for_metric("blipmq_nats_connections", "", |open| open == 1);
    broker.wait_for_metric("blipmq_subscriptions", "", |left| left == 1);
    witness.publish("stay", b"still here");
    assert_eq!(witness.message().text(), "still here");
    drop(witness);
    broker.stop();
}
