//! Clients that are known by the certificates of their handshakes: at the login, and at a reload.

use std::sync::Arc;

use blipmq::broker::port::InMemory;
use blipmq::broker::security::{CertifiedNames, Handshake, Secured, TlsOffer};
use blipmq::broker::{Broker, Peer, Protocol};
use blipmq::config::Settings;
use blipmq::protocol::decode::Hello;
use blipmq::protocol::encode;

use super::{PEER, at, broker, exchange, id};

const TLS: &str = "[tls]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\nclient_ca_file = \"ca.pem\"\n\
                   client_certs = \"optional\"\n";

fn users(users: &str) -> String {
    format!("{TLS}{users}")
}

const ALICE: &str = "[[auth.users]]\ncertificate = \"alice@example.com\"\npublish = [\"a.>\"]\n";
const BOB: &str = "[[auth.users]]\nuser = \"bob\"\npassword = \"pw-bob\"\n";

fn names(email: &str) -> CertifiedNames {
    CertifiedNames {
        emails: vec![email.to_owned()],
        dns: vec![],
        uris: vec![],
        subject: "CN=x".to_owned(),
        public_key_sha256: [0; 32],
    }
}

/// What a client is sent that connects, perhaps with a certificate, and sends these bytes.
fn answer(
    broker: &mut Broker,
    slot: u32,
    protocol: Protocol,
    email: Option<&str>,
    bytes: &[u8],
) -> String {
    let mut port = InMemory::default();
    let offer = TlsOffer { required: true, ..TlsOffer::default() };
    let secured = Secured {
        version: "1.3",
        suite: "TLS13_AES_128_GCM_SHA256",
        resumed: false,
        names: email.map(names),
    };
    let security = (offer, Handshake::Done(Box::new(secured)));
    broker.connected_with(at(0), id(slot), Peer { protocol, ..PEER }, true, security);
    broker.received(at(0), id(slot), bytes);
    let mut texts = exchange(broker, &mut port, &[]);
    let last = port.closes.drain(..).map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned());
    format!("{}{}", texts.remove(&slot).unwrap_or_default(), last.collect::<String>())
}

fn hello(kind: u16, user: &str, password: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::hello(&mut bytes, &Hello { auth_kind: kind, client_name: "", user, password });
    bytes
}

#[test]
fn a_nats_client_is_the_user_of_its_certificate_or_nobody() {
    let mut broker = broker(&users(&format!("{ALICE}{BOB}")));
    let refused = "-ERR 'Authorization Violation'\r\n";
    for (slot, (email, connect, expected)) in [
        (Some("alice@example.com"), "{}", "+OK\r\n"),
        (Some("alice@example.com"), "{\"user\":\"bob\",\"pass\":\"pw-bob\"}", refused),
        (Some("carol@example.com"), "{}", refused),
        (Some("carol@example.com"), "{\"user\":\"bob\",\"pass\":\"pw-bob\"}", refused),
        (None, "{\"user\":\"bob\",\"pass\":\"pw-bob\"}", "+OK\r\n"),
        (None, "{}", refused),
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = format!("CONNECT {connect}\r\n");
        let told = answer(&mut broker, slot as u32, Protocol::Nats, email, bytes.as_bytes());
        let (info, rest) = told.split_once("\r\n").expect("INFO");
        assert!(info.contains("\"auth_required\":true"), "{info}");
        assert_eq!(rest, expected, "{email:?} {connect}");
    }
}

#[test]
fn a_nats_client_has_the_permissions_of_the_user_of_its_certificate() {
    let mut broker = broker(&users(ALICE));
    let bytes = b"CONNECT {\"verbose\":false}\r\nPUB a.b 0\r\n\r\nPUB b.c 0\r\n\r\n";
    let told = answer(&mut broker, 0, Protocol::Nats, Some("alice@example.com"), bytes);
    let (_, told) = told.split_once("\r\n").expect("INFO");
    assert_eq!(told, "-ERR 'Permissions Violation for Publish to \"b.c\"'\r\n");
}

#[test]
fn a_blip_client_is_the_user_of_its_certificate_or_nobody() {
    let mut broker = broker(&users(&format!("{ALICE}{BOB}")));
    let mut slot = 0;
    let mut told = |email, hello: Vec<u8>| {
        slot += 1;
        answer(&mut broker, slot, Protocol::Blip, email, &hello)
    };
    let alice = Some("alice@example.com");
    assert!(told(alice, hello(0, "", "")).contains("blipmq"), "WELCOME names the server");
    assert!(told(None, hello(2, "bob", "pw-bob")).contains("blipmq"));
    for (email, hello, claim) in [
        (Some("carol@example.com"), hello(0, "", ""), "auth kind 0 (a certificate)"),
        (Some("carol@example.com"), hello(2, "bob", "pw-bob"), "auth kind 2 (a certificate)"),
        (alice, hello(2, "bob", "pw-bob"), "auth kind 2 (a certificate)"),
        (None, hello(0, "", ""), "requires authentication"),
    ] {
        let told = told(email, hello);
        assert!(told.contains(claim) && !told.contains("blipmq/"), "{email:?}: {told}");
    }
}

/// Mosquitto (issue 1402) disconnected mapped clients at each reload.
#[test]
fn a_reload_disconnects_a_client_of_a_certificate_only_if_its_user_is_gone_or_changed() {
    let mut broker = broker(&users(ALICE));
    let connect = b"CONNECT {\"verbose\":false}\r\nPING\r\n";
    let told = answer(&mut broker, 0, Protocol::Nats, Some("alice@example.com"), connect);
    assert!(told.ends_with("PONG\r\n"), "{told}");
    let mut reload = |text: String| {
        let settings = Settings::parse("blipmq.toml", &text).expect("a valid file");
        broker.reload(at(0), Arc::new(settings));
        let mut port = InMemory::default();
        let told = exchange(&mut broker, &mut port, &[]).remove(&0).unwrap_or_default();
        let last =
            port.closes.drain(..).map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned());
        format!("{told}{}", last.collect::<String>())
    };
    assert_eq!(reload(users(&format!("{BOB}{ALICE}"))), "", "another user came");
    assert_eq!(reload(users(&format!("{ALICE}[delivery]\nmax_batch = 7\n"))), "");
    assert!(reload(users(BOB)).contains("User Authentication Revoked"));
}
