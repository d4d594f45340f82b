//! The bytes of one connection to the admin pages: as they come, or in TLS.
//!
//! Called by `bounded`, which ends a connection in time. Each call may wait for the client, also those
//! that flush and shut down: TLS has bytes of its own to write.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::server::tls::counters::{Handshakes, Outcome};

/// The bytes of a connection, in the stage of the connection.
pub(super) enum Stream {
    Plain(TcpStream),
    /// In its handshake.
    Shaking(Shaking),
    /// In TLS. Boxed, because a session is large.
    Open(Box<TlsStream<TcpStream>>),
    /// The handshake has failed.
    Failed,
}

/// A handshake that is not over. Dropped before that, it was not over in time.
pub(super) struct Shaking {
    /// Boxed as a session is.
    accept: Box<Accept<TcpStream>>,
    reader: Arc<Reader>,
    handshakes: Arc<Handshakes>,
    is_over: bool,
}

/// What the handshake of a connection says of its client.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The client has shown a certificate of the configured authorities.
    has_certificate: AtomicBool,
}

impl Reader {
    /// Whether the client has shown a certificate of the configured authorities.
    pub(super) fn has_certificate(&self) -> bool {
        self.has_certificate.load(Ordering::Relaxed)
    }
}

impl Shaking {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Box<TlsStream<TcpStream>>>> {
        let accepted = ready!(Pin::new(&mut *self.accept).poll(context));
        self.is_over = true;
        let outcome = match &accepted {
            Ok(open) => {
                let (_, session) = open.get_ref();
                let shown = session.peer_certificates().is_some();
                self.reader.has_certificate.store(shown, Ordering::Relaxed);
                match session.handshake_kind() {
                    Some(HandshakeKind::Resumed) => Outcome::Resumed,
                    _ => Outcome::Full,
                }
            }
            Err(error) => {
                tracing::debug!("TLS failed for a client of the admin pages: {error}");
                Outcome::Failed
            }
        };
        self.handshakes[outcome as usize].add(1);
        Poll::Ready(accepted.map(Box::new))
    }
}

impl Drop for Shaking {
    fn drop(&mut self) {
        if !self.is_over {
            self.handshakes[Outcome::TimedOut as usize].add(1);
        }
    }
}

impl Stream {
    /// A connection whose handshake has these terms, or one in plain text. `reader` will say what the
    /// handshake does.
    pub(super) fn new(
        stream: TcpStream,
        config: Option<Arc<ServerConfig>>,
        (reader, handshakes): (Arc<Reader>, Arc<Handshakes>),
    ) -> Stream {
        match config {
            Some(config) => {
                let accept = Box::new(TlsAcceptor::from(config).accept(stream));
                Stream::Shaking(Shaking { accept, reader, handshakes, is_over: false })
            }
            None => Stream::Plain(stream),
        }
    }

    /// Goes on with the handshake. Ready when there are bytes of the client to come, or when the handshake
    /// has failed.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(_) | Stream::Open(_) => Poll::Ready(Ok(())),
            Stream::Failed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Stream::Shaking(shaking) => {
                let (stage, outcome) = match ready!(shaking.poll(context)) {
                    Ok(open) => (Stream::Open(open), Ok(())),
                    Err(error) => (Stream::Failed, Err(error)),
                };
                *self = stage;
                Poll::Ready(outcome)
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(context))?;
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Open(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Shaking(_) | Stream::Failed => unreachable!("it is open"),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(context))?;
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Open(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Shaking(_) | Stream::Failed => unreachable!("it is open"),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Open(stream) => Pin::new(stream).poll_flush(context),
            // Nothing was written yet.
            Stream::Shaking(_) | Stream::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Open(stream) => Pin::new(stream).poll_shutdown(context),
            // Dropping the connection closes it.
            Stream::Shaking(_) | Stream::Failed => Poll::Ready(Ok(())),
        }
    }
}
