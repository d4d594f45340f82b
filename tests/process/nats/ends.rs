//! Stops, restarts, and clients of other protocols.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;

use blipmq::protocol::encode;

use super::on_one_and_two_cores;
use crate::hostile::Witness;
use crate::support::nats::{CONNECT, Nats, ServerLine, put};
use crate::support::running::{Broker, blipmq};
use crate::support::wire::{HELLO, PATIENCE, Wire};

on_one_and_two_cores! {
    sigterm_delivers_confirmed_messages_and_notifies_clients,
    sigterm_delivers_queued_messages_to_a_subscriber_that_reads_late,
    a_killed_broker_can_start_again_at_the_same_port,
    bytes_that_are_not_nats_get_one_clear_error,
    a_nats_client_at_the_port_of_blip_gets_a_blip_error,
    clients_that_vanish_leave_no_state_behind,
}

fn nats_of(broker: &Broker) -> SocketAddr {
    broker.nats.expect("NATS clients are served")
}

#[track_caller]
fn assert_lame_duck(said: ServerLine) {
    let ServerLine::Info(info) = said else { panic!("INFO was due, got {said:?}") };
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
                Ok(Some(ServerLine::Pong)) => break,
                Ok(Some(said)) => assert_lame_duck(said),
                Ok(None) | Err(_) => return messages,
            }
        }
        messages += MESSAGES;
        let _ = confirmed.send(messages);
    }
}

/// Reads to the end; returns how many messages came, all in order.
fn read_to_the_end(mut nats: Nats) -> u64 {
    let (mut next, mut lame_ducks) = (0u64, 0);
    while let Some(said) = nats.next() {
        match said {
            ServerLine::Message(message) => {
                assert_eq!(message.payload[..8], next.to_le_bytes(), "none is missing");
                next += 1;
            }
            said => {
                assert_lame_duck(said);
                lame_ducks += 1;
            }
        }
    }
    assert_eq!(lame_ducks, 1, "exactly one INFO with ldm");
    next
}

fn sigterm_delivers_confirmed_messages_and_notifies_clients(cores: &str) {
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
        while confirmations.recv_timeout(PATIENCE).expect("the publisher continues") < 1_000 {}
        broker.signal("TERM");
        let confirmed = writer.join().expect("the publisher succeeds");
        let delivered = reader.join().expect("the subscriber succeeds");
        assert!(delivered >= confirmed, "{confirmed} were confirmed, {delivered} delivered");
    });
    for nats in [&mut idle, &mut unborn] {
        assert_lame_duck(nats.expect());
        assert_eq!(nats.next(), None);
    }
    drop((idle, unborn));
    let (status, stderr) = broker.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("everything accepted was delivered"), "{stderr}");
}

/// Method: many more messages than sockets hold are queued when the signal comes; only then they are read.
fn sigterm_delivers_queued_messages_to_a_subscriber_that_reads_late(cores: &str) {
    const MESSAGES: u64 = 800;
    let broker = Broker::start_with(cores, "[server]\ndrain_timeout_ms = 600_000\n");
    let addr = nats_of(&broker);
    let mut late = Nats::narrow(addr).logged_in(CONNECT);
    late.subscribe("late", "1");
    let mut publisher = Nats::connect(addr);
    for number in 0..MESSAGES {
        let mut payload = vec![0; 8 * 1_024];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        publisher.publish("late", &payload);
    }
    publisher.ping();
    broker.signal("TERM");
    assert_lame_duck(publisher.expect());
    assert_eq!(read_to_the_end(late), MESSAGES);
    assert_eq!(publisher.next(), None);
    drop(publisher);
    let (status, stderr) = broker.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("everything accepted was delivered"), "{stderr}");
}

fn a_killed_broker_can_start_again_at_the_same_port(cores: &str) {
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

fn bytes_that_are_not_nats_get_one_clear_error(cores: &str) {
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
        for (broker, error) in
            [(&open, "Unknown Protocol Operation"), (&closed, "Authorization Violation")]
        {
            // Like clients of protocols in which the client speaks first.
            let stream = TcpStream::connect(nats_of(broker)).expect("the broker listens");
            let mut nats = Nats::bare(stream);
            nats.write(stranger);
            assert!(matches!(nats.expect(), ServerLine::Info(_)));
            nats.expect_last_error(error);
        }
        witness.works();
    }
    assert_eq!(open.metric("blipmq_errors_sent_total", ""), strangers.len() as u64);
    drop(witness);
    open.stop();
    closed.stop();
}

/// A NATS client waits for INFO, which does not come: at `server.auth_timeout_ms` the client gets the
/// ERROR frame 4010. A client that speaks first gets 4001 at once. Both connections are closed.
fn a_nats_client_at_the_port_of_blip_gets_a_blip_error(cores: &str) {
    let broker = Broker::start_with(cores, "[server]\nauth_timeout_ms = 500\n");
    let mut speaks_first = Wire::silent(broker.addr);
    speaks_first.write(format!("CONNECT {CONNECT}\r\nPING\r\n").as_bytes());
    assert_eq!(speaks_first.expect_fatal(), 4001);
    assert_eq!(Wire::silent(broker.addr).expect_fatal(), 4010);
    drop(speaks_first);
    broker.stop();
}

/// Method: resets in the middle of a command, of a payload, of what is being delivered.
fn clients_that_vanish_leave_no_state_behind(cores: &str) {
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
        nats.send(part);
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
