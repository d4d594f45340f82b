//! The listener of the admin pages: few connections at a time, and none for long.
//!
//! Called by `axum::serve`. Every open connection is a file of the broker's process: an HTTP client
//! that opens many connections or never closes them must not use up the files meant for subscribers.
//!
//! # Always true
//! - At most `connections_max` connections are open; further ones wait in the kernel until one ends.
//! - A connection ends after `lifetime`, whatever its client does.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// A listener that bounds the number and the lifetime of its connections.
pub(super) struct Bounded {
    listener: TcpListener,
    lifetime: Duration,
    places: Arc<Semaphore>,
}

/// A connection that ends in time. Dropping the connection frees its place.
pub(super) struct Connection {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Bounded {
    pub(super) fn new(
        listener: TcpListener,
        connections_max: usize,
        lifetime: Duration,
    ) -> Bounded {
        Bounded { listener, lifetime, places: Arc::new(Semaphore::new(connections_max)) }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("nobody closes the semaphore");
        // axum's own accept, which waits a moment when the process is out of files.
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let end = Box::pin(tokio::time::sleep(self.lifetime));
        (Connection { stream, end, _place: place }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connection {
    fn check_end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
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
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_end(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    async fn bounded(connections_max: usize, lifetime: Duration) -> (Bounded, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        (Bounded::new(listener, connections_max, lifetime), addr)
    }

    #[test]
    fn a_connection_beyond_the_bound_waits_until_another_ends() {
        run(async {
            let (mut bounded, addr) = bounded(1, LONG).await;
            let _first_client = TcpStream::connect(addr).await.unwrap();
            let second_client = TcpStream::connect(addr).await.unwrap();
            let (first, _) = bounded.accept().await;
            // Both are in the kernel's queue already, so an accept that has a place succeeds now.
            let mut accept = Box::pin(bounded.accept());
            let now = std::future::poll_fn(|context| Poll::Ready(accept.as_mut().poll(context)));
            assert!(now.await.is_pending());
            drop(first);
            let (_second, peer) = accept.await;
            assert_eq!(peer, second_client.local_addr().unwrap());
        });
    }

    #[test]
    fn a_silent_connection_ends_with_its_lifetime() {
        run(async {
            let (mut bounded, addr) = bounded(1, Duration::ZERO).await;
            let _client = TcpStream::connect(addr).await.unwrap();
            let (mut connection, _) = bounded.accept().await;
            let mut bytes = [0];
            let mut buffer = ReadBuf::new(&mut bytes);
            let error = std::future::poll_fn(|context| {
                Pin::new(&mut connection).poll_read(context, &mut buffer)
            });
            let error = error.await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }
}
