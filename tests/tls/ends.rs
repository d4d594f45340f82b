//! Half-open handshakes, the stop, the drain, and bounds.

use std::io::Write;
use std::net::TcpStream;

use rustls::version::TLS13;

use crate::blip::{frame, hello_and_ping};
use crate::support::wire;
use crate::world::{Client, World, connect, line, records, rest};

/// Sends half of a hello.
fn half_open(world: &World, mut stream: TcpStream) -> TcpStream {
    let mut client = Client::begin(&world.client(&[&TLS13]), connect(world.blip()));
    let mut hello = Vec::new();
    client.tls.write_tls(&mut hello).expect("a vector takes everything");
    stream.write_all(&hello[..hello.len() / 2]).expect("the broker reads");
    stream
}

#[test]
fn a_stop_does_not_wait_for_handshakes_and_says_nothing_in_plain_text() {
    let mut world = World::start("nats_handshake_first = \"never\"\n");
    let mut nats = connect(world.nats());
    line(&mut nats);
    let mut halves = [
        half_open(&world, connect(world.blip())),
        half_open(&world, nats),
        connect(world.blip()),
        connect(world.nats()),
    ];
    line(&mut halves[3]);
    let mut open = Client::shake(&world.client(&[&TLS13]), connect(world.blip()));
    open.write(&hello_and_ping());
    assert_eq!((frame(&mut open), frame(&mut open)), (0x81, 0x06));
    world.broker.take().expect("it runs").stop();
    for half in &mut halves {
        assert_eq!(rest(half), b"");
    }
    assert_eq!(frame(&mut open), 0x8f, "GOODBYE inside of TLS");
    assert_eq!(open.rest().0, "the end");
    assert!(open.tls.process_new_packets().expect("correct records").peer_has_closed());
    records(&open.wire);
}

#[test]
fn a_client_beyond_the_bound_gets_nothing_in_plain_text() {
    let world = World::start("nats_handshake_first = \"never\"\n[server]\nmax_connections = 1\n");
    let mut open = Client::shake(&world.client(&[&TLS13]), connect(world.blip()));
    open.write(&hello_and_ping());
    assert_eq!(frame(&mut open), 0x81);
    for addr in [world.blip(), world.nats()] {
        assert_eq!(rest(&mut connect(addr)), b"");
    }
    assert_eq!(world.broker().metric("blipmq_connections_refused_total", "limit"), 2);
}

/// A subscriber to `a` over a narrow socket.
fn slow_subscriber(world: &World) -> Client {
    let mut slow = nats(world, wire::narrow(world.nats()));
    slow.write(b"SUB a 1\r\nPING\r\n");
    assert_eq!(slow.line(), "PONG\r\n");
    slow
}

/// A NATS client behind INFO in plain text, the handshake and its login.
fn nats(world: &World, mut stream: TcpStream) -> Client {
    line(&mut stream);
    Client::shake(&world.client(&[&TLS13]), stream).log_in()
}

/// Goal: a peer that reads nothing does not keep a broker from stopping.
#[test]
fn a_subscriber_that_does_not_read_does_not_hold_up_the_stop() {
    let mut world =
        World::start("nats_handshake_first = \"never\"\n[server]\ndrain_timeout_ms = 500\n");
    let _slow = slow_subscriber(&world);
    let mut publisher = nats(&world, connect(world.nats()));
    for _ in 0..64 {
        publisher.write(b"PUB a 100000\r\n");
        publisher.write(&[b'x'; 100_000]);
        publisher.write(b"\r\n");
    }
    publisher.write(b"PING\r\n");
    assert_eq!(publisher.line(), "PONG\r\n");
    world.broker.take().expect("it runs").stop();
}

/// Goal: what a slow subscriber is sent in many pieces comes whole, in order, and before the end.
#[test]
fn a_subscriber_that_reads_late_gets_everything_and_then_the_end() {
    let mut world = World::start("nats_handshake_first = \"never\"\n");
    let mut late = slow_subscriber(&world);
    let mut publisher = nats(&world, connect(world.nats()));
    for number in 0..20 {
        publisher.write(b"PUB a 100000\r\n");
        publisher.write(&[b'a' + number; 100_000]);
        publisher.write(b"\r\n");
    }
    publisher.write(b"PING\r\n");
    assert_eq!(publisher.line(), "PONG\r\n");
    world.broker().signal("TERM");
    for number in 0..20 {
        // The word that the broker stops may come between two sends.
        let mut head = late.line();
        while head.starts_with("INFO ") {
            head = late.line();
        }
        assert_eq!(head, "MSG a 1 100000\r\n");
        assert!(late.read(100_000) == [b'a' + number; 100_000], "message {number}");
        assert_eq!(late.line(), "\r\n");
    }
    let (why, last) = late.rest();
    assert_eq!(why, "the end", "{last:?}");
    let (status, _) = world.broker.take().expect("it runs").wait();
    assert_eq!(status.code(), Some(0));
}

/// Goal: a client that begins a handshake and says no more costs nothing while it is waited for.
#[test]
fn a_half_open_connection_lets_the_core_sleep() {
    let world = World::start("handshake_timeout_ms = 60000\n");
    let _half = half_open(&world, connect(world.blip()));
    let mut open = Client::shake(&world.client(&[&TLS13]), connect(world.blip()));
    open.write(&hello_and_ping());
    assert_eq!((frame(&mut open), frame(&mut open)), (0x81, 0x06));
    let turns = || world.broker().metric("blipmq_turns_total", "");
    // Each page asks the core, which has a few turns for that; a core that is awake has thousands.
    let (before, pages) = (turns(), 20);
    let after = (0..pages).fold(before, |_, _| turns());
    assert!(after - before < 200 * pages, "{before} to {after}: the core does not sleep");
}
