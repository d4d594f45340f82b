use std::io::Read;

use rustls::ClientConnection;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};

use super::*;
use crate::server::tls::certificates::provider;
use crate::server::tls::testing::Authority;

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
const RECORD_BYTES: usize = 16_384;

/// A server, and a client that trusts it.
struct World {
    server: Arc<ServerConfig>,
    client: Arc<rustls::ClientConfig>,
    authority: Authority,
}

impl World {
    fn new(version: &'static rustls::SupportedProtocolVersion, record_bytes: usize) -> World {
        let authority = Authority::new("authority");
        let pair = authority.server(&["localhost"]);
        let key = PrivateKeyDer::try_from(pair.key.serialize_der()).expect("a key");
        let mut server = ServerConfig::builder_with_provider(provider().into())
            .with_protocol_versions(&[&TLS12, &TLS13])
            .expect("both versions")
            .with_no_client_auth()
            .with_single_cert(vec![pair.der], key)
            .expect("they belong together");
        server.ignore_client_order = true;
        server.max_fragment_size = Some(record_bytes + 5);
        let client = authority.trusting(&[version], None).into();
        World { server: server.into(), client, authority }
    }

    fn client(&self) -> Client {
        let name = ServerName::try_from("localhost").expect("a name");
        Client { tls: ClientConnection::new(self.client.clone(), name).expect("a client") }
    }

    /// A layer and a client whose handshake is over.
    fn open(&self) -> (Server, Client) {
        let (mut server, mut client) = (Server::new(self, 4_096), self.client());
        for _ in 0..4 {
            server.feed(&client.bytes());
            client.read(&server.own());
        }
        assert_eq!(server.steps, [Step::Hello, Step::Established]);
        server.steps.clear();
        (server, client)
    }
}

/// The client's end.
struct Client {
    tls: ClientConnection,
}

impl Client {
    fn write(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).expect("there is room");
    }

    /// What it sends.
    fn bytes(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut out).expect("a vector takes everything");
        }
        out
    }

    /// The plaintext of what it is sent.
    fn read(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).expect("there is room");
            self.tls.process_new_packets().expect("correct records");
            // The end of the stream, or nothing for now.
            let _ = self.tls.reader().read_to_end(&mut plain);
        }
        plain
    }
}

/// The layer, what it has come to, and how bytes reach it.
struct Server {
    layer: Layer,
    config: Arc<ServerConfig>,
    record_bytes: usize,
    piece: usize,
    steps: Vec<Step>,
}

impl Server {
    fn new(world: &World, piece: usize) -> Server {
        let config = world.server.clone();
        let record_bytes = config.max_fragment_size.expect("it is set") - 5;
        Server { layer: Layer::new(), config, record_bytes, piece, steps: Vec::new() }
    }

    /// Feeds the layer in pieces, and answers hellos at once; returns the plaintext.
    fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        for mut piece in bytes.chunks(self.piece) {
            loop {
                match self.layer.advance(&mut piece) {
                    Step::Idle => break,
                    Step::Plaintext => self.layer.drain(|bytes| plain.extend_from_slice(bytes)),
                    step => {
                        let is_hello = step == Step::Hello;
                        let goes_on = !matches!(step, Step::NotTls);
                        self.steps.push(step);
                        if is_hello {
                            let answered =
                                self.layer.answer(self.config.clone(), self.record_bytes);
                            if answered != Step::Idle {
                                self.steps.push(answered);
                            }
                        }
                        if !goes_on {
                            break;
                        }
                    }
                }
            }
        }
        plain
    }

    fn own(&mut self) -> Vec<u8> {
        let mut out = BytesMut::new();
        self.layer.write_own(&mut out);
        assert!(!self.layer.wants_write());
        out.to_vec()
    }

    fn seal(&mut self, chunks: &[&[u8]], bytes_max: usize) -> Vec<Vec<u8>> {
        let mut chunks: Vec<Bytes> = chunks.iter().map(|c| Bytes::copy_from_slice(c)).collect();
        let mut sends = Vec::new();
        while !chunks.is_empty() {
            let mut out = BytesMut::new();
            self.layer.seal(&mut chunks, bytes_max, &mut out);
            sends.push(out.to_vec());
        }
        sends
    }
}

/// The lengths of the records in some bytes.
fn records(mut bytes: &[u8]) -> Vec<usize> {
    let mut lens = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = bytes {
        let len = usize::from(*high) << 8 | usize::from(*low);
        lens.push(len);
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty(), "whole records");
    lens
}

/// Goal: fragments of records and of handshake messages are no errors, and plaintext comes whole and once.
/// Method: every piece length has the handshake, 40,000 bytes behind it, 100 KiB back, and both ends.
#[test]
fn a_connection_is_served_however_its_bytes_are_split() {
    for version in VERSIONS {
        let world = World::new(version, RECORD_BYTES);
        for piece in [1, 2, 3, 5, 7, 100, 4_095, 4_096, 4_097, 70_000] {
            let (mut server, mut client) = (Server::new(&world, piece), world.client());
            client.write(&[5; 40_000]);
            let mut received = Vec::new();
            for _ in 0..4 {
                received.extend(server.feed(&client.bytes()));
                client.read(&server.own());
            }
            assert_eq!(received, [5; 40_000], "{version:?} {piece}");
            assert_eq!(server.steps, [Step::Hello, Step::Established], "{version:?} {piece}");
            let sends = server.seal(&[&[1; 30_000], &[2; 70_000], &[3; 2_400]], 65_536);
            assert_eq!(sends.len(), 2);
            let read = client.read(&sends.concat());
            let expected = [vec![1; 30_000], vec![2; 70_000], vec![3; 2_400]].concat();
            assert!(read == expected, "{version:?} {piece}");
            // Memory is given back in the middle of a record as well.
            client.write(&[6; 16_000]);
            let bytes = client.bytes();
            let mut plain = server.feed(&bytes[..9_000]);
            server.layer.shed();
            plain.extend(server.feed(&bytes[9_000..]));
            assert_eq!(plain, [6; 16_000]);
            server.steps.clear();
            client.tls.send_close_notify();
            assert_eq!(server.feed(&client.bytes()), b"");
            assert_eq!(server.steps, [Step::Ended], "{version:?} {piece}");
            // Data may still go out, then our end.
            let mut out = BytesMut::new();
            server.layer.seal(&mut vec![Bytes::from_static(b"bye")], 65_536, &mut out);
            server.layer.close(&mut out);
            assert_eq!(client.read(&out), b"bye");
            assert!(client.tls.process_new_packets().expect("correct").peer_has_closed());
        }
    }
}

#[test]
fn data_in_front_of_the_end_of_a_stream_comes_first() {
    let (mut server, mut client) = World::new(&TLS13, RECORD_BYTES).open();
    client.write(b"last");
    client.tls.send_close_notify();
    assert_eq!(server.feed(&client.bytes()), b"last");
    assert_eq!(server.steps, [Step::Ended]);
    assert_eq!(server.feed(b"more"), b"", "nothing follows the end");
    assert_eq!(server.steps, [Step::Ended]);
}

#[test]
fn plain_text_is_told_from_a_hello_by_three_bytes() {
    let world = World::new(&TLS13, RECORD_BYTES);
    for first in
        [&b"CONNECT {}\r\n"[..], b"\x16\x03\0\0\x01BLIP", b"\x16\x03\x05", b"\0\0\0\0", b"\x16a"]
    {
        let mut server = Server::new(&world, 1);
        server.feed(first);
        assert_eq!(server.steps.first(), Some(&Step::NotTls), "{first:?}");
        assert_eq!(server.layer.first_bytes(), first, "{first:?}");
        assert!(!server.layer.wants_write());
    }
    let mut server = Server::new(&world, 1);
    assert!(server.layer.is_untouched());
    server.feed(b"\x16\x03");
    assert!(server.steps.is_empty() && !server.layer.is_untouched());
}

#[test]
fn a_fault_is_answered_with_an_alert_and_what_came_whole_before_it_counts() {
    let (mut server, mut client) = World::new(&TLS13, RECORD_BYTES).open();
    client.write(b"whole");
    let mut bytes = client.bytes();
    client.write(b"broken");
    bytes.extend(client.bytes());
    *bytes.last_mut().expect("there are some") ^= 1;
    server.piece = 4_096;
    assert_eq!(server.feed(&bytes), b"whole");
    assert!(matches!(&server.steps[..], [Step::Failed(_)]), "{:?}", server.steps);
    let alert = server.own();
    assert_eq!((alert[0], alert.len()), (23, 24), "an alert, encrypted");
    assert_eq!(server.feed(b"more"), b"");
    assert!(server.own().is_empty(), "one alert");
}

#[test]
fn garbage_behind_a_record_header_fails() {
    for garbage in [&b"\x16\x03\x01\0\x04\x63\0\0\0"[..], b"\x16\x03\x01\xff\xff\0\0\0\0"] {
        let mut server = Server::new(&World::new(&TLS13, RECORD_BYTES), 3);
        server.feed(garbage);
        assert!(matches!(&server.steps[..], [Step::Failed(_)]), "{:?}", server.steps);
        assert_eq!(server.feed(garbage), b"");
        assert_eq!(server.steps.len(), 1, "it fails once");
    }
}

/// Goal: an old client reads what is wrong, as nats-server says it.
#[test]
fn a_hello_of_tls_1_1_gets_protocol_version() {
    let mut hello = b"\x16\x03\x01\0\x31\x01\0\0\x2d\x03\x02".to_vec();
    hello.extend([0; 32]);
    hello.extend(b"\0\0\x06\xc0\x13\xc0\x09\0\x2f\x01\0");
    let mut server = Server::new(&World::new(&TLS13, RECORD_BYTES), 4_096);
    server.feed(&hello);
    assert!(matches!(server.steps.last(), Some(Step::Failed(_))), "{:?}", server.steps);
    assert_eq!(server.own(), [0x15, 3, 1, 0, 2, 2, 0x46]);
}

#[test]
fn no_record_is_longer_than_configured() {
    let world = World::new(&TLS13, 1_024);
    let (mut server, mut client) = world.open();
    let sends = server.seal(&[&[1; 10_000]], 65_536);
    let lens = records(&sends[0]);
    assert_eq!(lens.len(), 10);
    assert!(lens.iter().all(|len| *len <= 1_024 + 17), "{lens:?}");
    assert_eq!(client.read(&sends[0]).len(), 10_000);
}

#[test]
fn records_of_tls_1_2_with_aes_are_counted_and_others_are_not() {
    let world = World::new(&TLS12, RECORD_BYTES);
    let mut aes = provider();
    aes.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).contains("AES_128_GCM"));
    let aes = world.authority.trusting_with(aes, &[&TLS12], None).into();
    let with_aes = World { client: aes, ..World::new(&TLS12, RECORD_BYTES) };
    let (server, _) = world.open();
    assert!(server.layer.records_left > 1 << 60, "ChaCha20 has no bound");
    let with_aes = World { server: world.server.clone(), ..with_aes };
    let (mut server, mut client) = with_aes.open();
    assert_eq!(server.layer.records_left, (1 << 24) - RECORDS_SPARED);
    server.layer.records_left = 3;
    let sends = server.seal(&[&[1; 40_000]], 65_536);
    assert!(server.layer.is_worn());
    assert_eq!(client.read(&sends[0]).len(), 40_000);
    // What is spared is for what was under way.
    let mut out = BytesMut::new();
    server.layer.seal(&mut vec![Bytes::from_static(b"rest")], 65_536, &mut out);
    server.layer.close(&mut out);
    assert_eq!(client.read(&out), b"rest");
}

#[test]
fn only_the_end_of_a_handshake_in_tls_1_3_without_certificates_is_cheap() {
    for (version, asks, is_costly) in
        [(&TLS12, false, true), (&TLS13, false, false), (&TLS13, true, true)]
    {
        let world = World::new(version, RECORD_BYTES);
        let (mut server, mut client) = (Server::new(&world, 4_096), world.client());
        server.feed(&client.bytes());
        assert_eq!(server.layer.is_flight_costly(asks), is_costly, "{version:?} {asks}");
    }
}

#[test]
fn an_answer_to_new_keys_comes_in_front_of_data() {
    let (mut server, mut client) = World::new(&TLS13, RECORD_BYTES).open();
    client.tls.refresh_traffic_keys().expect("TLS 1.3 can");
    client.write(b"with new keys");
    assert_eq!(server.feed(&client.bytes()), b"with new keys");
    let sends = server.seal(&[b"data"], 65_536);
    assert_eq!(client.read(&sends[0]), b"data");
}
