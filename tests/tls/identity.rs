//! Certificates of clients, tickets, and a reload.

use std::sync::Arc;

use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use crate::blip::{frame, hello_and_ping};
use crate::world::{Client, World, connect, line, records};

const REQUIRED: &str = "client_ca_file = \"ca.pem\"\nclient_certs = \"required\"\n";

#[test]
fn where_certificates_are_required_a_client_without_one_is_refused_with_an_alert() {
    let keys = format!("{REQUIRED}nats_handshake_first = \"never\"\n");
    let world = World::start(&keys);
    for version in [&TLS12, &TLS13] {
        let mut stream = connect(world.nats());
        let info = line(&mut stream);
        assert!(info.contains("\"tls_required\":true,\"tls_verify\":true"), "{info}");
        let mut client = Client::begin(&world.client(&[version]), stream);
        // A client of TLS 1.3 believes that it is connected before the broker has seen what it shows.
        let why = client.finish_handshake().err().unwrap_or_else(|| client.rest().0);
        let alert = if *version == TLS12 { "HandshakeFailure" } else { "CertificateRequired" };
        assert!(why.contains(alert), "{why}");
        records(&client.wire);
    }
    world.broker().wait_for_metric("blipmq_tls_handshakes_total", "result=\"failed\"", |n| n == 2);
}

#[test]
fn a_certificate_is_the_identity_of_its_connection() {
    let world = World::start(REQUIRED);
    let config = world.certified_client("alice@example.com");
    let mut client = Client::shake(&config, connect(world.blip()));
    client.write(&hello_and_ping());
    assert_eq!(frame(&mut client), 0x81);
    let list = world.broker().json("/api/v1/connections");
    assert_eq!(list["rows"][0]["tls"]["identity"], "alice@example.com", "{list}");
    assert_eq!(list["rows"][0]["tls"]["resumed"], false);
}

fn kind_behind_info(config: &Arc<rustls::ClientConfig>, world: &World) -> HandshakeKind {
    let mut client = Client::shake(config, connect(world.nats()));
    client.line();
    client.log_in().tls.handshake_kind().expect("the handshake is over")
}

fn blip_kind(config: &Arc<rustls::ClientConfig>, world: &World) -> HandshakeKind {
    let mut client = Client::shake(config, connect(world.blip()));
    client.write(&hello_and_ping());
    frame(&mut client);
    client.tls.handshake_kind().expect("the handshake is over")
}

/// Goal: a ticket does not carry what one listener has checked to another.
#[test]
fn a_ticket_is_good_at_its_own_listener_alone() {
    let world = World::start("");
    for version in [&TLS12, &TLS13] {
        let config = world.client(&[version]);
        assert_eq!(kind_behind_info(&config, &world), HandshakeKind::Full);
        assert_eq!(kind_behind_info(&config, &world), HandshakeKind::Resumed);
        assert_eq!(blip_kind(&config, &world), HandshakeKind::Full);
    }
    world.broker().wait_for_metric("blipmq_tls_handshakes_total", "result=\"resumed\"", |n| n == 2);
}

#[test]
fn a_resumed_session_keeps_the_certificate_of_its_client() {
    let world = World::start(REQUIRED);
    let config = world.certified_client("alice@example.com");
    assert_eq!(blip_kind(&config, &world), HandshakeKind::Full);
    let mut client = Client::shake(&config, connect(world.blip()));
    client.write(&hello_and_ping());
    frame(&mut client);
    assert_eq!(client.tls.handshake_kind(), Some(HandshakeKind::Resumed));
    let list = world.broker().json("/api/v1/connections");
    let row = list["rows"].as_array().expect("rows");
    let resumed = row.iter().find(|row| row["tls"]["resumed"] == true).expect("it is resumed");
    assert_eq!(resumed["tls"]["identity"], "alice@example.com");
}

#[test]
fn a_reload_gives_new_connections_the_new_certificate_and_keeps_the_old_ones() {
    let world = World::start("");
    let mut old = Client::shake(&world.client(&[&TLS13]), connect(world.blip()));
    old.write(&hello_and_ping());
    assert_eq!(frame(&mut old), 0x81);
    let renewed = world.renew();
    world.broker().signal("HUP");
    world.broker().wait_for_metric("blipmq_config_reloads_total", "applied", |n| n == 1);
    let new = Client::shake(&world.client(&[&TLS13]), connect(world.blip()));
    assert_eq!(new.tls.peer_certificates().expect("a chain")[0], renewed);
    assert_eq!(frame(&mut old), 0x06, "the PONG of the old one");
}
