//! HTTPS for the admin API: TLS between the HTTP client and its socket.
//!
//! Called by `admin`. The configuration is the one of the other commands, with the same errors.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

/// The protocol that HTTP clients of this kind offer.
pub const PROTOCOL: &[u8] = b"http/1.1";

/// Makes connections to `https` addresses secure, and leaves others as they are.
#[derive(Debug)]
pub struct Secure {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

impl<Socket: Transport> Connector<Socket> for Secure {
    type Out = Either<Socket, Secured>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        socket: Option<Socket>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(socket) = socket else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(socket)));
        }
        let failed = |error: rustls::Error| ureq::Error::Io(std::io::Error::other(error));
        let mut tls =
            ClientConnection::new(self.config.clone(), self.name.clone()).map_err(failed)?;
        let mut socket = TransportAdapter::new(socket.boxed(), details.current_time.clone());
        socket.set_timeout(details.timeout);
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(Secured { buffers, stream: StreamOwned::new(tls, socket) })))
    }
}

/// A connection over TLS.
pub struct Secured {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secured").finish_non_exhaustive()
    }
}

impl Transport for Secured {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        self.stream.write_all(&self.buffers.output()[..amount])?;
        Ok(self.stream.flush()?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
