//! TLS: who is trusted, what a refusal says, and that everything works over TLS as it does without.
//!
//! The broker is the real one, behind a proxy that speaks TLS.

use std::io::Read;
use std::net::Shutdown;
use std::time::Duration;

use blipmq::protocol::encode;
use blipmq_client::{
    Client, ClientError, ClientOptions, Event, Overflow, ReconnectPolicy, SubscribeOptions,
    TlsError, TlsOptions,
};

use crate::error;
use crate::support::Server;
use crate::support::authority::{Authority, Dates, Identity, server_config};
use crate::support::broker::Broker;
use crate::support::running::TempFile;
use crate::support::tls_proxy::Proxy;

/// An authority, and a broker behind a proxy with a certificate of that authority.
struct Secured {
    authority: Authority,
    _broker: Broker,
    proxy: Proxy,
}

impl Secured {
    fn start() -> Secured {
        let authority = Authority::new("Test CA");
        let identity = authority.server(&["127.0.0.1", "broker.test"]);
        Secured::with(authority, &identity, None)
    }

    fn with(authority: Authority, identity: &Identity, clients: Option<&Authority>) -> Secured {
        let broker = Broker::start();
        let config = server_config(identity, clients, &[b"blip/1"]);
        let proxy = Proxy::start(config, &broker.addr);
        Secured { authority, _broker: broker, proxy }
    }

    fn url(&self) -> String {
        format!("blips://{}", self.proxy.addr)
    }

    fn tls(&self) -> TlsOptions {
        TlsOptions::new().ca(&self.authority.file.0)
    }

    fn connect(&self) -> Client {
        ClientOptions::new().tls(self.tls()).connect(&self.url()).expect("a trusted server")
    }
}

#[track_caller]
fn tls_error(result: Result<Client, ClientError>) -> TlsError {
    match error(result) {
        ClientError::Tls { fault, .. } => fault,
        other => panic!("TLS should fail: {other}"),
    }
}

// --- messages ---

/// Goal: both directions carry everything at once, in order, whatever its size.
/// Method: one thread publishes messages from nothing to beyond all buffers while another receives them.
#[test]
fn messages_of_all_sizes_pass_over_tls_in_both_directions_at_once() {
    const LENS: [usize; 7] = [0, 1, 100, 16_384, 65_536, 300_000, 1_000_000];
    const ROUNDS: usize = 6;
    let secured = Secured::start();
    let client = secured.connect();
    assert_eq!(secured.proxy.handshake().protocol.as_deref(), Some(&b"blip/1"[..]));
    let lossless = SubscribeOptions::new().overflow(Overflow::Block);
    client.subscribe("a.b", lossless).unwrap();
    let publisher = client.clone();
    let publishing = std::thread::spawn(move || {
        let topic = publisher.topic("a.b").unwrap();
        for len in LENS.iter().cycle().take(ROUNDS * LENS.len()) {
            topic.publish(vec![*len as u8; *len]).unwrap();
        }
        publisher.flush().unwrap();
    });
    let mut lens = LENS.iter().cycle();
    let mut seen = 0;
    while seen < ROUNDS * LENS.len() {
        let messages = crate::messages(&client);
        for message in messages.iter() {
            let len = *lens.next().expect("it cycles");
            assert!(message.payload == vec![len as u8; len], "message {seen} of {len} bytes");
            seen += 1;
        }
    }
    publishing.join().unwrap();
    client.close().unwrap();
    assert!(matches!(client.recv(), Err(ClientError::Closed)));
}

#[test]
fn client_with_async_functions_uses_the_same_tls() {
    let secured = Secured::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = ClientOptions::new().tls(secured.tls());
        let client =
            blipmq_client::tokio::Client::connect_with(options, &secured.url()).await.unwrap();
        client.subscribe("a", SubscribeOptions::new()).await.unwrap();
        client.topic("a").unwrap().publish("over TLS").await.unwrap();
        match client.recv().await.unwrap() {
            Event::Messages(messages) => {
                assert_eq!(messages.iter().next().unwrap().payload, b"over TLS");
            }
            other => panic!("{other:?}"),
        }
        client.close().await.unwrap();
    });
}

// --- who is trusted ---

#[test]
fn server_of_an_authority_that_was_not_given_is_refused() {
    let secured = Secured::start();
    let other = Authority::new("Other CA");
    let options = ClientOptions::new().tls(TlsOptions::new().ca(&other.file.0));
    let fault = tls_error(options.connect(&secured.url()));
    assert!(matches!(fault, TlsError::UnknownAuthority), "{fault}");
    assert!(fault.to_string().contains("--tls-ca"), "{fault}");
}

#[test]
fn server_of_another_name_is_refused_unless_the_name_is_given() {
    let secured = Secured::start();
    let tls = secured.tls().server_name("elsewhere.test");
    let fault = tls_error(ClientOptions::new().tls(tls).connect(&secured.url()));
    let text = fault.to_string();
    assert!(matches!(fault, TlsError::WrongName { .. }), "{text}");
    assert!(text.contains("elsewhere.test") && text.contains("broker.test"), "{text}");
    let tls = secured.tls().server_name("broker.test");
    ClientOptions::new().tls(tls).connect(&secured.url()).unwrap();
    assert_eq!(secured.proxy.handshake().server_name.as_deref(), Some("broker.test"));
}

#[test]
fn certificates_outside_their_dates_are_refused_with_the_reason() {
    for (dates, expected) in [(Dates::Past, "expired"), (Dates::Future, "not valid yet")] {
        let authority = Authority::new("Test CA");
        let identity = authority.server_of(&["127.0.0.1"], dates);
        let secured = Secured::with(authority, &identity, None);
        let options = ClientOptions::new().tls(secured.tls());
        let fault = tls_error(options.connect(&secured.url()));
        assert!(fault.to_string().contains(expected), "{fault}");
    }
}

#[test]
fn server_that_requires_a_certificate_is_told_of_one_and_a_client_without_learns_why() {
    let authority = Authority::new("Test CA");
    let identity = authority.server(&["127.0.0.1"]);
    let (alice, stranger) = (authority.client("alice"), Authority::new("Other CA").client("eve"));
    let broker = Broker::start();
    let config = server_config(&identity, Some(&authority), &[b"blip/1"]);
    let proxy = Proxy::start(config, &broker.addr);
    let tls = TlsOptions::new().ca(&authority.file.0);
    let connect = |tls: TlsOptions| ClientOptions::new().tls(tls).connect(&proxy.addr);

    connect(tls.clone().certificate(&alice.certificate.0, &alice.key.0)).unwrap();
    assert!(proxy.handshake().has_certificate);
    let fault = tls_error(connect(tls.clone()));
    assert!(matches!(fault, TlsError::CertificateRequired), "{fault}");
    assert!(fault.to_string().contains("--tls-cert"), "{fault}");
    let fault = tls_error(connect(tls.certificate(&stranger.certificate.0, &stranger.key.0)));
    assert!(matches!(fault, TlsError::CertificateRefused { .. }), "{fault}");
}

#[test]
fn files_that_cannot_be_used_are_named_with_their_fault() {
    let authority = Authority::new("Test CA");
    let (alice, bob) = (authority.client("alice"), authority.client("bob"));
    let no_pem = TempFile::new("no.pem", b"no certificate\n");
    let encrypted =
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = TempFile::new("encrypted.key", encrypted);
    let with = |certificate: &TempFile, key: &TempFile| {
        TlsOptions::new().ca(&authority.file.0).certificate(&certificate.0, &key.0)
    };
    let missing = no_pem.0.with_extension("missing");
    for (tls, file, reason) in [
        (TlsOptions::new().ca(&missing), missing.as_path(), "cannot read"),
        (TlsOptions::new().ca(&no_pem.0), &no_pem.0, "there is no certificate"),
        (with(&no_pem, &alice.key), &no_pem.0, "there is no certificate"),
        (with(&alice.certificate, &no_pem), &no_pem.0, "there is no private key"),
        (with(&alice.certificate, &encrypted), &encrypted.0, "openssl pkey -in"),
        (with(&alice.certificate, &bob.key), &bob.key.0, "another certificate"),
    ] {
        let server = Server::raw(|_| ());
        let text = tls_error(ClientOptions::new().tls(tls).connect(&server.addr)).to_string();
        assert!(text.contains(&file.display().to_string()) && text.contains(reason), "{text}");
        server.join();
    }
}

// --- servers without TLS ---

/// Goal: a client that was asked to use TLS sends nothing but TLS, also to a server that has none.
/// Method: the server notes what it receives, and answers as a broker without TLS does.
#[test]
fn server_without_tls_receives_no_byte_of_the_protocol() {
    let server = Server::raw(|mut connection| {
        let mut received = vec![0; 16 * 1_024];
        let len = connection.stream.read(&mut received).unwrap();
        connection.send(|out| encode::goodbye(out, "a frame without TLS"));
        let _ = connection.stream.shutdown(Shutdown::Write);
        received.truncate(len);
        let _ = connection.stream.read_to_end(&mut received);
        received
    });
    let options = ClientOptions::new().token("a secret").name("the name of the client");
    let fault = tls_error(options.connect(&format!("blips://{}", server.addr)));
    assert!(matches!(fault, TlsError::NotTls), "{fault}");
    let received = server.join();
    assert_eq!(received[..2], [0x16, 0x03], "the hello of TLS");
    for text in [&b"a secret"[..], b"the name of the client"] {
        assert!(!received.windows(text.len()).any(|window| window == text));
    }
}

#[test]
fn server_that_never_answers_the_handshake_is_given_up() {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let server = Server::raw(move |_connection| wait.recv());
    let options = ClientOptions::new().connect_timeout(Duration::from_millis(20));
    let fault = tls_error(options.tls(TlsOptions::new()).connect(&server.addr));
    assert!(matches!(fault, TlsError::NoAnswer { .. }), "{fault}");
    drop(done);
    let _ = server.join();
}

// --- reconnecting ---

#[test]
fn client_that_reconnects_resumes_its_tls_session_and_presents_renewed_files() {
    let authority = Authority::new("Test CA");
    let (identity, alice) = (authority.server(&["127.0.0.1"]), authority.client("alice"));
    let (file, key) = (TempFile::new("client.pem", b""), TempFile::new("client.key", b""));
    let renew = |identity: &Identity| {
        std::fs::copy(&identity.certificate.0, &file.0).unwrap();
        std::fs::copy(&identity.key.0, &key.0).unwrap();
    };
    renew(&alice);
    let broker = Broker::start();
    let config = server_config(&identity, Some(&authority), &[b"blip/1"]);
    let proxy = Proxy::start(config, &broker.addr);
    let policy = ReconnectPolicy::new().first_delay(Duration::from_millis(1));
    let tls = TlsOptions::new().ca(&authority.file.0).certificate(&file.0, &key.0);
    let client = ClientOptions::new().tls(tls).reconnect(policy).connect(&proxy.addr).unwrap();
    assert!(!proxy.handshake().is_resumed);

    let reconnect = || {
        // The tickets come behind the handshake; a round trip later they are here.
        client.flush().unwrap();
        proxy.cut();
        assert!(matches!(client.recv().unwrap(), Event::Disconnected { .. }));
        assert!(matches!(client.recv().unwrap(), Event::Reconnected { same_server: true }));
        proxy.handshake()
    };
    assert!(reconnect().is_resumed);
    renew(&authority.client("alice"));
    let shaken = reconnect();
    assert!(!shaken.is_resumed, "another certificate begins another session");
    assert!(shaken.has_certificate);
}
