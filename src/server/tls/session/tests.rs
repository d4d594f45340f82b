use std::io::Read;
use std::time::Duration;

use blipmq::broker::{Protocol, Slot};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig};

use super::*;
use crate::server::tls::certificates::provider;
use crate::server::tls::layer::Step;
use crate::server::tls::terms::HandshakeFirst;
use crate::server::tls::testing::Authority;

/// A session in its first stage, and a client.
fn pair(need: Need) -> (Session, ClientConnection) {
    let authority = Authority::new("authority");
    let pair = authority.server(&["localhost"]);
    let key = PrivateKeyDer::try_from(pair.key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(provider().into())
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_no_client_auth()
        .with_single_cert(vec![pair.der], key)
        .expect("they belong together");
    let terms = Terms {
        config: config.into(),
        need,
        first: HandshakeFirst::Auto(Duration::ZERO),
        client_certificates: ClientCertificates::None,
        handshake_timeout_ns: 1,
        record_bytes: 16_384,
    };
    let client = authority.trusting(&[&rustls::version::TLS13], None).into();
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(client, name).expect("a client");
    let id = ConnectionId { slot: Slot(0), generation: 0 };
    let address = ([127, 0, 0, 1], 1).into();
    let peer = Peer { protocol: Protocol::Nats, address };
    let stage = Stage::Sniffing { must: need == Need::Required, may_fall_back: false };
    (Session::new(id, peer, 0, terms.into(), stage), client)
}

fn memory() -> Memory {
    Memory::new(1 << 30)
}

/// Gives the session what the client sends; returns whether the handshake is over.
fn feed(session: &mut Session, client: &mut ClientConnection) -> bool {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).expect("a vector takes everything");
    }
    let mut bytes = bytes.as_slice();
    loop {
        match session.layer.advance(&mut bytes) {
            Step::Hello => {
                session.stage = Stage::Shaking;
                let config = session.terms.config.clone();
                assert_eq!(session.layer.answer(config, 16_384), Step::Idle);
            }
            Step::Established => session.stage = Stage::Open,
            Step::Idle => return session.stage == Stage::Open,
            other => panic!("{other:?}"),
        }
    }
}

/// What the client reads of a send.
fn read(client: &mut ClientConnection, chunks: &[Bytes]) -> Vec<u8> {
    let (bytes, mut plain) = (chunks.concat(), Vec::new());
    let mut bytes = bytes.as_slice();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).expect("there is room");
        client.process_new_packets().expect("correct records");
        let _ = client.reader().read_to_end(&mut plain);
    }
    plain
}

fn open() -> (Session, ClientConnection) {
    let (mut session, mut client) = pair(Need::Required);
    while !feed(&mut session, &mut client) {
        let (chunks, flight) = session.next_send(&memory()).expect("a flight");
        assert_eq!(flight, Flight::Own);
        assert!(session.next_send(&memory()).is_none(), "one send at a time");
        session.flight = None;
        read(&mut client, &chunks);
    }
    (session, client)
}

#[test]
fn a_large_send_goes_out_in_pieces_and_only_the_last_one_completes_it() {
    for (is_slow, piece_bytes) in [(false, 65_536), (true, 16_384)] {
        let (mut session, mut client) = open();
        session.is_slow = is_slow;
        session.pending = vec![Bytes::from(vec![1; 200_000]), Bytes::from(vec![2; 50_000])];
        let (mut plain, mut flights) = (Vec::new(), Vec::new());
        while let Some((chunks, flight)) = session.next_send(&memory()) {
            assert!(session.next_send(&memory()).is_none(), "one send at a time");
            let len: usize = chunks.iter().map(Bytes::len).sum();
            assert!(len < piece_bytes + 1_000, "{len}");
            plain.extend(read(&mut client, &chunks));
            flights.push(flight);
            session.flight = None;
        }
        assert!(plain == [vec![1; 200_000], vec![2; 50_000]].concat());
        assert_eq!(flights.pop(), Some(Flight::Last));
        assert_eq!(flights.len(), 250_000_usize.div_ceil(piece_bytes) - 1);
        assert!(flights.iter().all(|flight| *flight == Flight::Piece));
    }
}

#[test]
fn sealed_bytes_are_counted_until_they_are_sent() {
    let (mut session, _) = open();
    let memory = memory();
    session.pending = vec![Bytes::from(vec![1; 60_000])];
    let send = session.next_send(&memory);
    assert!(memory.held() >= 60_000);
    drop(send);
    assert_eq!(memory.held(), 0);
}

/// Goal: what the broker says before or during the handshake waits for its end, and then comes in order.
#[test]
fn what_is_sent_during_a_handshake_waits_for_its_end() {
    let (mut session, mut client) = pair(Need::Required);
    session.greeting = Greeting::Owed;
    assert!(session.next_send(&memory()).is_none());
    session.pending.push(Bytes::from_static(b"INFO {}\r\n"));
    let (chunks, flight) = session.next_send(&memory()).expect("the greeting");
    assert_eq!((chunks.concat().as_slice(), flight), (&b"INFO {}\r\n"[..], Flight::Last));
    session.flight = None;
    session.pending.push(Bytes::from_static(b"PING\r\n"));
    assert!(session.next_send(&memory()).is_none(), "nothing else in plain text");
    while !feed(&mut session, &mut client) {
        let (chunks, flight) = session.next_send(&memory()).expect("a flight");
        assert_eq!(flight, Flight::Own);
        session.flight = None;
        assert_eq!(read(&mut client, &chunks), b"");
    }
    let (chunks, flight) = session.next_send(&memory()).expect("what waited");
    assert_eq!((read(&mut client, &chunks).as_slice(), flight), (&b"PING\r\n"[..], Flight::Last));
}

/// Goal: a client that is faster than its greeting gets that first, in plain text.
#[test]
fn a_greeting_comes_before_the_answer_to_an_early_hello() {
    let (mut session, mut client) = pair(Need::Required);
    session.greeting = Greeting::Owed;
    assert!(!feed(&mut session, &mut client));
    assert!(session.next_send(&memory()).is_none());
    session.pending.push(Bytes::from_static(b"INFO {}\r\n"));
    let (chunks, _) = session.next_send(&memory()).expect("the greeting");
    assert_eq!(chunks.concat(), b"INFO {}\r\n");
    session.flight = None;
    assert_eq!(session.next_send(&memory()).expect("the answer").1, Flight::Own);
}

#[test]
fn the_last_bytes_are_whatever_is_left_and_the_end_of_the_stream() {
    let (mut session, mut client) = open();
    session.pending = vec![Bytes::from(vec![1; 100_000])];
    session.next_send(&memory()).map(|(chunks, _)| read(&mut client, &chunks));
    let last = session.last_bytes(Bytes::from_static(b"bye"), &memory());
    let plain = read(&mut client, &[last]);
    assert_eq!((plain.len(), &plain[plain.len() - 3..]), (100_000 - 65_536 + 3, &b"bye"[..]));
    assert!(client.process_new_packets().expect("correct records").peer_has_closed());
    assert!(session.next_send(&memory()).is_none(), "nothing follows");
}

#[test]
fn the_last_bytes_of_a_connection_before_its_handshake_are_plain_text_only_where_that_is_allowed() {
    let bye = || Bytes::from_static(b"bye");
    assert_eq!(pair(Need::Required).0.last_bytes(bye(), &memory()), b""[..]);
    assert_eq!(pair(Need::Optional).0.last_bytes(bye(), &memory()), bye());
    for need in [Need::Required, Need::Optional] {
        let (mut session, mut client) = pair(need);
        feed(&mut session, &mut client);
        assert_eq!(session.last_bytes(bye(), &memory()), b""[..], "the handshake has begun");
    }
}
