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
use super::stream::{Reader, Stream};
use crate::server::tls::counters::Handshakes;

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
    handshakes: Arc<Handshakes>,
}

/// A connection that ends in time. Dropping the connection frees its place.
pub(super) struct Connection {
    stream: Stream,
    reader: Arc<Reader>,
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
    pub(super) fn new(
        listener: TcpListener,
        bounds: Bounds,
        (terms, handshakes): (Terms, Arc<Handshakes>),
    ) -> Bounded {
        let places = Places::new(bounds.connections_max);
        Bounded { listener, bounds, places, terms, handshakes }
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
        let reader = Arc::new(Reader::default());
        let stream = Stream::new(stream, (self.terms)(), (reader.clone(), self.handshakes.clone()));
        (Connection { stream, reader, began, lifetime, end, head, place }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connection {
    /// What the handshake says of the client, once it is over.
    pub(super) fn reader(&self) -> Arc<Reader> {
        self.reader.clone()
    }

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
mod tests;
