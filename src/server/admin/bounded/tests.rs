//! Places, ends and handshakes of connections to the pages.

use std::io::{Read, Write};
use std::net::TcpStream as Client;

use rustls::{ClientConnection, StreamOwned};

use super::*;
use crate::server::tls::listeners::Active;
use crate::server::tls::testing::{Authority, Folder, settings};

const LONG: Duration = Duration::from_secs(3_600);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

async fn bounded(
    connections_max: usize,
    head_timeout: Duration,
    lifetime: Duration,
) -> (Bounded, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let bounds = Bounds { connections_max, head_timeout, lifetime };
    let terms: Terms = Box::new(|| None);
    (Bounded::new(listener, bounds, (terms, Arc::default())), addr)
}

fn peer_of(connection: &Connection) -> SocketAddr {
    let Stream::Plain(stream) = &connection.stream else { panic!("it is in plain text") };
    stream.peer_addr().unwrap()
}

async fn read(connection: &mut Connection) -> io::Result<usize> {
    let mut bytes = [0; 64];
    let mut buffer = ReadBuf::new(&mut bytes);
    std::future::poll_fn(|context| Pin::new(&mut *connection).poll_read(context, &mut buffer))
        .await?;
    Ok(buffer.filled().len())
}

async fn write(connection: &mut Connection, bytes: &[u8]) -> io::Result<usize> {
    std::future::poll_fn(|context| Pin::new(&mut *connection).poll_write(context, bytes)).await
}

/// Accepts one connection, while `others` are served as axum serves them: each waits for bytes, and
/// is dropped at its end. Returns how many of the others have ended.
async fn accept_beside(bounded: &mut Bounded, others: &mut Vec<Connection>) -> Connection {
    let mut accept = Box::pin(bounded.accept());
    std::future::poll_fn(|context| {
        others.retain_mut(|other| {
            let mut bytes = [0; 64];
            let read = Pin::new(other).poll_read(context, &mut ReadBuf::new(&mut bytes));
            !matches!(read, Poll::Ready(Err(_)))
        });
        accept.as_mut().poll(context)
    })
    .await
    .0
}

#[test]
fn a_new_connection_takes_the_place_of_the_one_that_is_silent_longest() {
    run(async {
        let (mut bounded, addr) = bounded(3, LONG, LONG).await;
        let mut clients = Vec::new();
        let mut served = Vec::new();
        for _ in 0..3 {
            clients.push(Client::connect(addr).unwrap());
            served.push(bounded.accept().await.0);
        }
        // The first has sent its request: the second is the first silent one.
        clients[0].write_all(REQUEST).unwrap();
        read(&mut served[0]).await.unwrap();
        let _probe = Client::connect(addr).unwrap();
        let place = accept_beside(&mut bounded, &mut served).await;
        let left: Vec<_> = served.iter().map(peer_of).collect();
        let expected = [0, 2].map(|client: usize| clients[client].local_addr().unwrap());
        assert_eq!(left, expected);
        assert_eq!(clients[1].read(&mut [0]).unwrap(), 0, "it was closed");
        drop(place);
    });
}

#[test]
fn a_connection_whose_answer_makes_progress_keeps_its_place() {
    run(async {
        let (mut bounded, addr) = bounded(1, LONG, LONG).await;
        let mut asking = Client::connect(addr).unwrap();
        let (mut served, _) = bounded.accept().await;
        asking.write_all(REQUEST).unwrap();
        read(&mut served).await.unwrap();
        let waiting = Client::connect(addr).unwrap();
        let mut accept = Box::pin(bounded.accept());
        let now = std::future::poll_fn(|context| Poll::Ready(accept.as_mut().poll(context)));
        assert!(now.await.is_pending());
        write(&mut served, b"HTTP/1.1 200 OK\r\n").await.expect("it is not ended for another");
        drop(served);
        let (_second, peer) = accept.await;
        assert_eq!(peer, waiting.local_addr().unwrap());
    });
}

#[test]
fn a_connection_without_a_request_ends_early_and_one_with_it_at_its_lifetime() {
    run(async {
        for (head_timeout, lifetime, request) in [
            (Duration::ZERO, LONG, &b""[..]),
            (Duration::ZERO, LONG, &b"GET / HTTP/1.1\r\nHost: x\r\n"[..]),
            (LONG, Duration::ZERO, REQUEST),
        ] {
            let (mut bounded, addr) = bounded(1, head_timeout, lifetime).await;
            let mut client = Client::connect(addr).unwrap();
            client.write_all(request).unwrap();
            let (mut connection, _) = bounded.accept().await;
            let error = loop {
                if let Err(error) = read(&mut connection).await {
                    break error;
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        // A whole head moves the end to that of the lifetime.
        let (mut bounded, addr) = bounded(1, Duration::from_millis(1), LONG).await;
        let mut client = Client::connect(addr).unwrap();
        let (mut connection, _) = bounded.accept().await;
        connection.note_read(REQUEST);
        tokio::time::sleep(Duration::from_millis(2)).await;
        client.write_all(b"x").unwrap();
        assert_eq!(read(&mut connection).await.unwrap(), 1);
    });
}

/// A listener with TLS, and a client of it.
async fn secured(head_timeout: Duration) -> (Bounded, SocketAddr, ClientConnection) {
    let authority = Authority::new("root");
    let (folder, settings) = (Folder::new(), settings("[metrics]\ntls = true\n"));
    folder.write_pair("a", &authority.server(&["localhost"]));
    let active = Active::read(&settings, &folder.0, &[], None);
    let pages = active.unwrap_or_else(|wrong| panic!("{}", wrong[0])).pages;
    let (mut bounded, addr) = bounded(1, head_timeout, LONG).await;
    bounded.terms = Box::new(move || pages.clone());
    let config = Arc::new(authority.trusting(rustls::ALL_VERSIONS, None));
    let client = ClientConnection::new(config, "localhost".try_into().unwrap());
    (bounded, addr, client.unwrap())
}

#[test]
fn a_handshake_is_part_of_the_time_for_the_request() {
    run(async {
        let (mut bounded, addr, _) = secured(Duration::from_millis(1)).await;
        let _silent = Client::connect(addr).unwrap();
        let (mut connection, _) = bounded.accept().await;
        let error = read(&mut connection).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    });
}

#[test]
fn a_request_in_plain_text_is_refused_where_tls_is_spoken() {
    run(async {
        let (mut bounded, addr, _) = secured(LONG).await;
        Client::connect(addr).unwrap().write_all(REQUEST).unwrap();
        let (mut connection, _) = bounded.accept().await;
        let error = read(&mut connection).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = write(&mut connection, b"HTTP/1.1 200 OK\r\n").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected, "nothing leaves in plain text");
    });
}

#[test]
fn an_answer_in_tls_that_nobody_takes_ends_also_while_it_is_flushed_or_shut_down() {
    run(async {
        let (mut bounded, addr, tls) = secured(LONG).await;
        let asking = std::thread::spawn(move || {
            let mut client = StreamOwned::new(tls, Client::connect(addr).unwrap());
            client.write_all(REQUEST).unwrap();
            client
        });
        let (mut connection, _) = bounded.accept().await;
        assert_eq!(read(&mut connection).await.unwrap(), REQUEST.len());
        let _client = asking.join().unwrap();
        let is_full = |context: &mut Context<'_>, connection: &mut Connection| {
            Pin::new(connection).poll_write(context, &[b'x'; 65_536]).is_pending()
        };
        std::future::poll_fn(|context| {
            while !is_full(context, &mut connection) {}
            Poll::Ready(())
        })
        .await;
        let flush = |context: &mut Context<'_>| Pin::new(&mut connection).poll_flush(context);
        let flushed = tokio::time::timeout(Duration::ZERO, std::future::poll_fn(flush)).await;
        assert!(flushed.is_err(), "the client takes nothing");
        connection.end.as_mut().reset(Instant::now());
        let flush = |context: &mut Context<'_>| Pin::new(&mut connection).poll_flush(context);
        let error = std::future::poll_fn(flush).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        connection.end.as_mut().reset(Instant::now());
        let end = |context: &mut Context<'_>| Pin::new(&mut connection).poll_shutdown(context);
        let error = std::future::poll_fn(end).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    });
}
