//! The bytes of one connection to the admin pages: as they come, or in TLS.
//!
//! Called by `bounded`, which ends a connection in time. Each call may wait for the client, also those
//! that flush and shut down: TLS has bytes of its own to write.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// The bytes of a connection, in the stage of the connection.
pub(super) enum Stream {
    Plain(TcpStream),
    /// In its handshake. Boxed, because a session is large.
    Shaking(Box<Accept<TcpStream>>),
    /// In TLS.
    Open(Box<TlsStream<TcpStream>>),
    /// The handshake has failed.
    Failed,
}

impl Stream {
    /// A connection whose handshake has these terms, or one in plain text.
    pub(super) fn new(stream: TcpStream, config: Option<Arc<ServerConfig>>) -> Stream {
        match config {
            Some(config) => Stream::Shaking(Box::new(TlsAcceptor::from(config).accept(stream))),
            None => Stream::Plain(stream),
        }
    }

    /// Goes on with the handshake. Ready when there are bytes of the client to come, or when the handshake
    /// has failed.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(_) | Stream::Open(_) => Poll::Ready(Ok(())),
            Stream::Failed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Stream::Shaking(accept) => {
                let (stage, outcome) = match ready!(Pin::new(accept).poll(context)) {
                    Ok(open) => (Stream::Open(Box::new(open)), Ok(())),
                    Err(error) => {
                        tracing::debug!("TLS failed for a client of the admin pages: {error}");
                        (Stream::Failed, Err(error))
                    }
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
