//! NATS clients: INFO in plain text or inside of TLS, and what becomes of those that speak plain text.

use std::io::{Read, Write};
use std::time::Duration;

use rustls::version::{TLS12, TLS13};

use crate::world::{Client, World, connect, line, records, rest};

const CONNECT: &[u8] = b"CONNECT {\"verbose\":false}\r\nPING\r\n";

#[test]
fn where_tls_is_required_a_client_upgrades_behind_info_and_nothing_else_is_in_plain_text() {
    let world = World::start("nats_handshake_first = \"never\"\n");
    for version in [&TLS12, &TLS13] {
        let mut stream = connect(world.nats());
        let info = line(&mut stream);
        assert!(info.contains(",\"tls_required\":true,\"max_payload\""), "{info}");
        let client = Client::shake(&world.client(&[version]), stream);
        let mut client = client.log_in();
        client.write(b"SUB a 1\r\nPUB a 300000\r\n");
        client.write(&[b'x'; 300_000]);
        client.write(b"\r\nPING\r\n");
        assert_eq!(client.line(), "MSG a 1 300000\r\n");
        assert_eq!(client.read(300_000), [b'x'; 300_000]);
        assert_eq!(client.line(), "\r\n");
        assert_eq!(client.line(), "PONG\r\n");
        client.write(b"FOO\r\n");
        let (_, last) = client.rest();
        assert_eq!(last, b"-ERR 'Unknown Protocol Operation'\r\n");
        let kinds = records(&client.wire);
        assert!(kinds.contains(&23), "{kinds:?}");
    }
}

#[test]
fn plain_text_where_tls_is_required_ends_the_connection_without_a_word() {
    let world = World::start("nats_handshake_first = \"never\"\n");
    let mut hello = Client::begin(&world.client(&[&TLS13]), connect(world.nats()));
    let mut injected = b"PUB a 1\r\nx\r\n".to_vec();
    while hello.tls.wants_write() {
        hello.tls.write_tls(&mut injected).expect("a vector takes everything");
    }
    for plain in [CONNECT, &injected, b"\x15\x03\x01\0\x02\x02\x46", b"P"] {
        let mut stream = connect(world.nats());
        line(&mut stream);
        stream.write_all(plain).expect("the broker reads");
        assert_eq!(rest(&mut stream), b"", "{plain:?}");
    }
    world.broker().wait_for_metric("blipmq_tls_handshakes_total", "result=\"failed\"", |n| n == 4);
    assert_eq!(world.broker().metric("blipmq_published_messages_total", ""), 0);
}

#[test]
fn a_client_that_says_nothing_is_closed_without_a_word() {
    let world = World::start("nats_handshake_first = \"never\"\nhandshake_timeout_ms = 100\n");
    let mut stream = connect(world.nats());
    line(&mut stream);
    assert_eq!(rest(&mut stream), b"");
    let mut stream = connect(world.nats());
    line(&mut stream);
    stream.write_all(b"\x16\x03").expect("the broker reads");
    assert_eq!(rest(&mut stream), b"");
    assert_eq!(world.broker().metric("blipmq_tls_handshakes_total", "result=\"timeout\""), 2);
}

#[test]
fn a_hello_of_tls_1_1_gets_the_alert_of_nats_server() {
    let world = World::start("nats_handshake_first = \"never\"\n");
    let mut hello = b"\x16\x03\x01\0\x31\x01\0\0\x2d\x03\x02".to_vec();
    hello.extend([0; 32]);
    hello.extend(b"\0\0\x06\xc0\x13\xc0\x09\0\x2f\x01\0");
    let mut stream = connect(world.nats());
    line(&mut stream);
    stream.write_all(&hello).expect("the broker reads");
    assert_eq!(rest(&mut stream), [0x15, 3, 1, 0, 2, 2, 0x46]);
}

#[test]
fn where_tls_is_optional_the_first_byte_decides() {
    let world = World::start("nats = \"optional\"\nnats_handshake_first = \"never\"\n");
    let mut plain = connect(world.nats());
    let info = line(&mut plain);
    assert!(info.contains("\"tls_available\":true") && !info.contains("tls_required"), "{info}");
    plain.write_all(CONNECT).expect("the broker reads");
    assert_eq!(line(&mut plain), "PONG\r\n");
    let mut stream = connect(world.nats());
    line(&mut stream);
    let mut client = Client::shake(&world.client(&[&TLS13]), stream).log_in();
    client.write(b"SUB a 1\r\nPING\r\n");
    assert_eq!(client.line(), "PONG\r\n");
    plain.write_all(b"PUB a 2\r\nhi\r\n").expect("the broker reads");
    assert_eq!(client.line(), "MSG a 1 2\r\n");
    records(&client.wire);
}

#[test]
fn where_tls_is_optional_a_client_that_says_nothing_is_kept_and_may_speak_plain_text_later() {
    let keys =
        "nats = \"optional\"\nnats_handshake_first = \"never\"\nhandshake_timeout_ms = 100\n";
    let world = World::start(keys);
    let mut plain = connect(world.nats());
    line(&mut plain);
    plain.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket option");
    plain.read(&mut [0]).expect_err("nothing comes");
    plain.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket option");
    plain.write_all(CONNECT).expect("the broker reads");
    assert_eq!(line(&mut plain), "PONG\r\n");
}

#[test]
fn where_the_handshake_comes_first_info_is_inside_of_it() {
    let world = World::start("nats_handshake_first = \"always\"\nhandshake_timeout_ms = 300\n");
    let mut silent = connect(world.nats());
    assert_eq!(rest(&mut silent), b"", "no byte before the hello");
    let mut client = Client::shake(&world.client(&[&TLS13]), connect(world.nats()));
    let info = client.line();
    assert!(info.starts_with("INFO {") && info.contains("\"tls_required\":true"), "{info}");
    let client = client.log_in();
    records(&client.wire);
    let mut plain = connect(world.nats());
    plain.write_all(CONNECT).expect("the broker reads");
    assert_eq!(rest(&mut plain), b"");
}

#[test]
fn with_auto_a_hello_may_come_first_and_a_silent_client_gets_info() {
    let world = World::start("");
    let mut client = Client::shake(&world.client(&[&TLS13]), connect(world.nats()));
    assert!(client.line().starts_with("INFO {"));
    client.log_in();
    let mut stream = connect(world.nats());
    let info = line(&mut stream);
    assert!(info.contains("\"tls_required\":true"), "{info}");
    Client::shake(&world.client(&[&TLS13]), stream).log_in();
    let mut plain = connect(world.nats());
    line(&mut plain);
    plain.write_all(CONNECT).expect("the broker reads");
    assert_eq!(rest(&mut plain), b"");
}

#[test]
fn with_auto_where_tls_is_optional_a_client_may_speak_plain_text_before_info() {
    let world = World::start("nats = \"optional\"\n");
    let mut plain = connect(world.nats());
    plain.write_all(CONNECT).expect("the broker reads");
    let info = line(&mut plain);
    assert!(info.contains("\"tls_available\":true") && !info.contains("tls_required"), "{info}");
    assert_eq!(line(&mut plain), "PONG\r\n");
    let mut client = Client::shake(&world.client(&[&TLS13]), connect(world.nats()));
    assert!(client.line().starts_with("INFO {"));
    client.log_in();
}

/// Goal: the time to log in begins behind the handshake, and is told inside of it.
#[test]
fn a_login_that_is_too_late_is_refused_inside_of_tls() {
    let world = World::start(
        "nats_handshake_first = \"never\"\n[server]\nauth_timeout_ms = 100\n[auth]\ntoken = \"t\"\n",
    );
    let mut stream = connect(world.nats());
    line(&mut stream);
    let mut client = Client::shake(&world.client(&[&TLS13]), stream);
    let (_, last) = client.rest();
    assert_eq!(last, b"-ERR 'Authentication Timeout'\r\n");
    records(&client.wire);
}
