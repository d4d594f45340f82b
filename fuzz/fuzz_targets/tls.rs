//! Any bytes at any moment of a connection with TLS, in any pieces: nothing panics, nothing is read for
//! ever, and what a correct client sent before comes out whole. The first byte says how far the handshake
//! is, the second how long the pieces are.
#![no_main]

#[path = "../../src/server/tls/layer.rs"]
#[allow(dead_code, reason = "the broker uses the rest")]
mod layer;
#[path = "../../src/server/tls/wire.rs"]
mod wire;

use std::io::Read;
use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use layer::{Layer, Step};
use libfuzzer_sys::fuzz_target;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

static CONFIGS: LazyLock<(Arc<ServerConfig>, Arc<ClientConfig>)> = LazyLock::new(|| {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("valid parameters");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let server = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into());
    let server = server.with_safe_default_protocol_versions().expect("known versions");
    let server = server.with_no_client_auth();
    let server = server.with_single_cert(vec![certificate.der().clone()], key);
    let client = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into());
    let client = client.with_safe_default_protocol_versions().expect("known versions");
    let client = client.with_root_certificates(roots).with_no_client_auth();
    (server.expect("they belong together").into(), client.into())
});

fuzz_target!(|data: &[u8]| {
    let [flights, piece, bytes @ ..] = data else { return };
    let (server, client) = &*CONFIGS;
    let mut layer = Layer::new();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(client.clone(), name).expect("a client");
    let mut plain = Vec::new();
    for _ in 0..flights % 4 {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).expect("a vector takes everything");
        }
        assert!(feed(&mut layer, server, &flight, 4_096, &mut plain), "a correct client is served");
        let mut own = BytesMut::new();
        layer.write_own(&mut own);
        let mut own = &own[..];
        while !own.is_empty() {
            client.read_tls(&mut own).expect("there is room");
            client.process_new_packets().expect("the layer is correct");
        }
    }
    assert!(plain.is_empty(), "nothing was sent");
    feed(&mut layer, server, bytes, usize::from(*piece).max(1), &mut plain);
    let mut out = BytesMut::new();
    layer.write_own(&mut out);
    if !layer.version().is_empty() && flights % 4 == 3 {
        let mut chunks = vec![Bytes::from_static(b"data"), Bytes::copy_from_slice(bytes)];
        while !chunks.is_empty() {
            layer.seal(&mut chunks, 65_536, &mut out);
        }
    }
    layer.close(&mut out);
    layer.shed();
    let _ = client.reader().read(&mut [0]);
});

/// Feeds the layer in pieces; returns false if it failed.
fn feed(
    layer: &mut Layer,
    config: &Arc<ServerConfig>,
    bytes: &[u8],
    piece: usize,
    plain: &mut Vec<u8>,
) -> bool {
    for mut rest in bytes.chunks(piece) {
        loop {
            match layer.advance(&mut rest) {
                Step::Idle => break,
                Step::NotTls => return true,
                Step::Hello => {
                    if let Step::Failed(_) = layer.answer(config.clone(), 16_384) {
                        return false;
                    }
                }
                Step::Established | Step::Ended => {}
                Step::Plaintext => layer.drain(|bytes| plain.extend_from_slice(bytes)),
                Step::Failed(_) => return false,
            }
        }
    }
    true
}
