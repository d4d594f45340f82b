//! BLIP/1 clients: one port, told apart by the first bytes.

use std::io::{Read, Write};
use std::net::TcpStream;

use blipmq::protocol::decode::{self, ServerFrame};
use blipmq::protocol::{Kind, encode};
use rustls::version::{TLS12, TLS13};

use crate::support::wire::{HELLO, Wire};
use crate::world::{Client, World, connect, records, rest};

/// A HELLO without credentials, and a PING.
pub fn hello_and_ping() -> Vec<u8> {
    let mut out = Vec::new();
    encode::hello(&mut out, &HELLO);
    encode::ping(&mut out, 7);
    out
}

/// The kind of the next frame.
pub fn frame(client: &mut Client) -> u8 {
    let head = client.read(8);
    let len = u32::from_le_bytes(head[..4].try_into().expect("four bytes"));
    client.read(len as usize - 8);
    head[4]
}

/// The code of a refusal that is all a client gets.
fn refusal(stream: &mut TcpStream) -> u16 {
    let bytes = rest(stream);
    match decode::server_frame(&bytes).expect("one frame") {
        ServerFrame::Error { code, .. } => code,
        other => panic!("ERROR was due, got {other:?}"),
    }
}

#[test]
fn a_client_begins_with_the_hello_of_tls() {
    let world = World::start("");
    for version in [&TLS12, &TLS13] {
        let mut client = Client::shake(&world.client(&[version]), connect(world.blip()));
        assert_eq!(client.tls.alpn_protocol(), Some(&b"blip/1"[..]));
        client.write(&hello_and_ping());
        assert_eq!(frame(&mut client), Kind::Welcome as u8);
        assert_eq!(frame(&mut client), 0x06);
        records(&client.wire);
        let name = if *version == TLS12 { "1.2" } else { "1.3" };
        let list = world.broker().json("/api/v1/connections");
        let rows = list["rows"].as_array().expect("rows");
        assert!(rows.iter().any(|row| row["tls"]["version"] == name), "{list}");
        let label = format!("version=\"{name}\"");
        assert_eq!(world.broker().metric("blipmq_tls_connections", &label), 1);
        drop(client);
        world.broker().wait_for_metric("blipmq_tls_connections", &label, |open| open == 0);
    }
}

#[test]
fn a_client_in_plain_text_is_told_that_tls_is_required() {
    let world = World::start("");
    let mut stream = connect(world.blip());
    stream.write_all(&hello_and_ping()).expect("the broker reads");
    assert_eq!(refusal(&mut stream), 4260);
    world.broker().wait_for_metric("blipmq_tls_handshakes_total", "result=\"failed\"", |n| n == 1);
}

#[test]
fn where_tls_is_optional_both_are_served() {
    let world = World::start("blip = \"optional\"\n");
    let mut plain = Wire::connect(world.blip());
    plain.subscribe(1, "a");
    let mut client = Client::shake(&world.client(&[&TLS13]), connect(world.blip()));
    client.write(&hello_and_ping());
    assert_eq!(frame(&mut client), Kind::Welcome as u8);
    assert_eq!(frame(&mut client), 0x06);
    plain.ping();
}

/// Goal: bytes of a client that is slow to send are served as if they came at once.
#[test]
fn a_hello_that_comes_byte_by_byte_is_served() {
    let world = World::start("");
    let mut client = Client::begin(&world.client(&[&TLS13]), connect(world.blip()));
    let mut hello = Vec::new();
    client.tls.write_tls(&mut hello).expect("a vector takes everything");
    client.stream.set_nodelay(true).expect("a socket option");
    for byte in hello {
        client.stream.write_all(&[byte]).expect("the broker reads");
    }
    client.finish_handshake().expect("the broker agrees");
    client.write(&hello_and_ping());
    assert_eq!(frame(&mut client), Kind::Welcome as u8);
}

#[test]
fn the_end_of_tls_ends_the_connection_and_is_answered() {
    let world = World::start("");
    let mut client = Client::shake(&world.client(&[&TLS13]), connect(world.blip()));
    client.write(&hello_and_ping());
    assert_eq!(frame(&mut client), Kind::Welcome as u8);
    client.tls.send_close_notify();
    client.flush();
    let (why, _) = client.rest();
    assert_eq!(why, "the end");
    let state = client.tls.process_new_packets().expect("correct records");
    assert!(state.peer_has_closed(), "close_notify comes in front of the end");
}

#[test]
fn garbage_inside_of_a_handshake_ends_it_with_an_alert_at_most() {
    let world = World::start("");
    for garbage in [&b"\x16\x03\x01\0\x04\x63\0\0\0"[..], b"\x16\x03\x01\xff\xff\0\0\0\0\0"] {
        let mut stream = connect(world.blip());
        stream.write_all(garbage).expect("the broker reads");
        let answer = rest(&mut stream);
        assert!(records(&answer).iter().all(|kind| *kind == 21), "{answer:?}");
    }
    // A record that cannot be decrypted.
    let mut client = Client::shake(&world.client(&[&TLS13]), connect(world.blip()));
    client.stream.write_all(b"\x17\x03\x03\0\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").expect("read");
    let (why, plain) = client.rest();
    assert!(why.contains("alert") && plain.is_empty(), "{why}");
    let _ = client.stream.read(&mut [0]);
}
