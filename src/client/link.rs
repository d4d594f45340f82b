//! What is below the frames of a connection: a socket, and TLS if there is any.
//!
//! Created by `connect`. The reading thread reads and the writing thread writes, both at the same time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

#[cfg(feature = "tls")]
use crate::tls::Session;

pub(crate) struct Link {
    stream: TcpStream,
    #[cfg(feature = "tls")]
    session: Option<Session>,
}

impl Link {
    pub(crate) fn plain(stream: TcpStream) -> Link {
        Link {
            stream,
            #[cfg(feature = "tls")]
            session: None,
        }
    }

    /// The handshake of the session is over.
    #[cfg(feature = "tls")]
    pub(crate) fn secured(stream: TcpStream, session: Session) -> Link {
        Link { stream, session: Some(session) }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends all bytes, and calls `moved` whenever the socket has taken some.
    pub(crate) fn send(&self, bytes: &[u8], moved: &mut dyn FnMut()) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(session) = &self.session {
            return session.send(&self.stream, bytes, moved);
        }
        write_all(&self.stream, bytes, moved)
    }

    /// Ends both directions.
    pub(crate) fn shut_down(&self) {
        #[cfg(feature = "tls")]
        if let Some(session) = &self.session {
            session.close(&self.stream);
        }
        // An error here means that the peer has closed first.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Ends reading: the reading thread finds what has arrived, then the end.
    pub(crate) fn shut_down_reading(&self) {
        let _ = self.stream.shutdown(Shutdown::Read);
    }
}

impl Read for &Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(session) = &self.session {
            return session.read(&self.stream, buffer);
        }
        (&self.stream).read(buffer)
    }
}

/// Writes all bytes to a socket, and calls `moved` whenever the socket has taken some.
pub(crate) fn write_all(
    mut stream: &TcpStream,
    mut bytes: &[u8],
    moved: &mut dyn FnMut(),
) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                moved();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
