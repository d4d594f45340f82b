//! The listener of the admin pages: few connections at a time, none for long, and always a place for a
//! probe.
//!
//! Called by `axum::serve`. Every open connection is a file of the broker's process: an HTTP client
//! that opens many connections or never closes them must not use up the files meant for subscribers,
//! nor keep a supervisor's health check waiting. `places` decides which connection ends for another.
//!
//! # Always true
//! - At most `connections_max` connections are open, and one that waits until another has ended.
//! - A connection that has not sent a whole request head by `head_timeout` ends, and every other one
//!   after `lifetime`, whatever its client does. With TLS the handshake is part of that time.
//! - A handshake is driven by the task that reads its connection: a client that is silent in the midst of
//!   one keeps nobody waiting.
//! - A new connection takes the place of the one that has been silent longest, if there is one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::time::{Instant, Sleep};

use super::places::{Place, Places};
use super::stream::Stream;

/// How often a connection without a place looks for one that may end for it by now.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// What connections may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Connections at once.
    pub connections_max: usize,
    /// Time for the head of the request.
    pub head_timeout: Duration,
    /// Time for the request and its answer.
    pub lifetime: Duration,
}

/// Returns the terms of a handshake that begins now; `None` for a connection in plain text.
pub(super) type Terms = Box<dyn Fn() -> Option<Arc<ServerConfig>> + Send>;

/// A listener that bounds the number and the lifetime of its connections.
pub(super) struct Bounded {
    listener: TcpListener,
    bounds: Bounds,
    places: Places,
    terms: Terms,
}

/// A connection that ends in time. Dropping the connection frees its place.
pub(super) struct Connection {
    stream: Stream,
    began: Instant,
    lifetime: Duration,
    end: Pin<Box<Sleep>>,
    head: Head,
    place: Place,
}

/// Finds the end of a request's head: the first empty line behind another.
#[derive(Debug, Default)]
struct Head {
    is_whole: bool,
    line_is_empty: bool,
}

impl Head {
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    self.is_whole |= self.line_is_empty;
                    self.line_is_empty = true;
                }
                b'\r' => {}
                _ => self.line_is_empty = false,
            }
        }
    }
}

impl Bounded {
    pub(super) fn new(listener: TcpListener, bounds: Bounds, terms: Terms) -> Bounded {
        Bounded { listener, bounds, places: Places::new(bounds.connections_max), terms }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // axum's own accept, which waits a moment when the process is out of files.
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let place = loop {
            if let Some(place) = self.places.take() {
                break place;
            }
            self.places.end_one();
            // Either one has ended, or another may have become idle meanwhile.
            let _ = tokio::time::timeout(RETRY_INTERVAL, self.places.freed()).await;
        };
        let Bounds { head_timeout, lifetime, .. } = self.bounds;
        let end = Box::pin(tokio::time::sleep(head_timeout.min(lifetime)));
        let (began, head) = (Instant::now(), Head::default());
        // Looked up for each connection: a reload may have brought another certificate.
        let stream = Stream::new(stream, (self.terms)());
        (Connection { stream, began, lifetime, end, head, place }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connection {
    fn check_end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.place.is_to_end(context) || self.end.as_mut().poll(context).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    fn note_read(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let was_whole = self.head.is_whole;
        self.head.read(bytes);
        self.place.progressed(self.head.is_whole);
        if self.head.is_whole && !was_whole {
            self.end.as_mut().reset(self.began + self.lifetime);
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_end(context)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.note_read(&buffer.filled()[before..]);
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_end(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if matches!(written, Poll::Ready(Ok(_))) {
            self.place.progressed(true);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_end(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_end(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
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
        (Bounded::new(listener, bounds, Box::new(|| None)), addr)
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
}
