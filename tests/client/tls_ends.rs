//! How TLS ends, and what it does by itself: scripts over rustls, for states that a proxy does not cause.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use blipmq::protocol::{Kind, encode};
use blipmq_client::{Client, ClientError, ClientOptions, Event, TlsOptions};
use rustls::{ServerConnection, StreamOwned};

use crate::error;
use crate::support::Connection;
use crate::support::authority::{Authority, server_config};

const LONG: Duration = Duration::from_secs(600);

type Peer = Connection<StreamOwned<ServerConnection, TcpStream>>;

/// A server that shakes hands and answers HELLO, then runs a script: its address, and the thread of the script.
fn start<T: Send + 'static>(
    authority: &Authority,
    script: impl FnOnce(Peer) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let config = server_config(&authority.server(&["127.0.0.1"]), None, &[b"blip/1"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let tls = ServerConnection::new(config).unwrap();
        let mut peer = Connection::over(StreamOwned::new(tls, stream));
        peer.welcome();
        script(peer)
    });
    (addr, thread)
}

fn connect_to(addr: &str, authority: &Authority) -> Client {
    let tls = TlsOptions::new().ca(&authority.file.0);
    ClientOptions::new().tls(tls).request_timeout(LONG).connect(addr).unwrap()
}

/// Goal: an end that anybody on the network can forge is not taken for the end that the broker meant.
/// Method: the connection ends behind CLOSE, once as TLS ends and once without that.
#[test]
fn end_without_the_end_of_tls_is_a_lost_connection_even_for_a_client_that_closes() {
    let authority = Authority::new("Test CA");
    for ends_tls in [true, false] {
        let (addr, thread) = start(&authority, move |mut peer| {
            while peer.next().expect("CLOSE comes")[4] != Kind::Close as u8 {}
            if ends_tls {
                peer.stream.conn.send_close_notify();
                peer.stream.flush().unwrap();
            }
            peer.stream.sock.shutdown(Shutdown::Write).unwrap();
            // The client answers the end, then closes.
            let mut rest = Vec::new();
            let end = peer.stream.read_to_end(&mut rest);
            (rest, end.map_err(|error| error.kind()))
        });
        let client = connect_to(&addr, &authority);
        match (client.close(), ends_tls) {
            (Ok(()), true) => {}
            (Err(ClientError::ConnectionLost(_)), false) => {}
            (other, _) => panic!("ends_tls {ends_tls}: {other:?}"),
        }
        drop(client);
        let (rest, end) = thread.join().unwrap();
        assert!(rest.is_empty());
        assert_eq!(end, Ok(0), "the client ends TLS too");
    }
}

/// Goal: a connection outlives its keys, in both directions and more than once.
/// Method: the server asks for new keys before each PING. Its rustls refuses data under the old keys.
#[test]
fn connection_goes_on_after_each_renewal_of_its_keys() {
    const RENEWALS: u64 = 40;
    let authority = Authority::new("Test CA");
    let (addr, thread) = start(&authority, |mut peer| {
        for number in 0..RENEWALS {
            peer.stream.conn.refresh_traffic_keys().unwrap();
            peer.stream.flush().unwrap();
            peer.send(|out| encode::ping(out, number));
            peer.expect(Kind::Pong);
        }
        peer.send(|out| encode::goodbye(out, "answered"));
        peer.stream.conn.send_close_notify();
        peer.stream.flush().unwrap();
    });
    let client = connect_to(&addr, &authority);
    match client.recv() {
        Ok(Event::Goodbye { reason }) => assert_eq!(&*reason, "answered"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(client.recv(), Err(ClientError::ClosedByServer { .. })));
    thread.join().unwrap();
}

/// Goal: bytes that are not TLS end the connection with an alert, whoever put them there.
#[test]
fn record_that_was_changed_on_the_way_ends_the_connection_with_an_alert() {
    let authority = Authority::new("Test CA");
    let (addr, thread) = start(&authority, |mut peer| {
        let mut forged = vec![0x17, 0x03, 0x03, 0x00, 0x20];
        forged.extend([0xab; 0x20]);
        peer.stream.sock.write_all(&forged).unwrap();
        let mut rest = Vec::new();
        peer.stream.read_to_end(&mut rest).map_err(|error| error.to_string())
    });
    let client = connect_to(&addr, &authority);
    let end = error(client.recv());
    assert!(matches!(end, ClientError::ConnectionLost(_)), "{end}");
    assert!(end.to_string().contains("decrypt"), "{end}");
    let alert = thread.join().unwrap().expect_err("an alert");
    assert!(alert.contains("BadRecordMac"), "{alert}");
}
