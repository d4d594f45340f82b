//! The bytes of one connection of the generator: a socket, with TLS or without.
//!
//! Called by `connect`, `publisher` and `worker`. Next on the path: the socket.
//!
//! # Always true
//! - Everything that is received over TLS is decrypted: subscribers check the same messages as without.
//! - A connection keeps no ciphertext between two reads but the part of a record, so that thousands of
//!   connections need little memory.
//! - Once a socket does not block, neither does a read, a write or a flush.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use blipmq_client::TlsError;
use rustls::ClientConnection;

use super::target::Secure;

/// The most bytes that are sealed at once: their records stay in the cache until the socket takes them.
const SEALED_MAX: usize = 64 * 1_024;
/// The most ciphertext read at once.
const CIPHERTEXT_MAX: usize = 128 * 1_024;

thread_local! {
    /// Ciphertext between the socket and rustls.
    static CIPHERTEXT: RefCell<Vec<u8>> = RefCell::new(vec![0; CIPHERTEXT_MAX]);
}

/// A socket, and TLS if the target has any.
#[derive(Debug)]
pub struct Wire {
    pub socket: TcpStream,
    tls: Option<Box<Tls>>,
}

#[derive(Debug)]
struct Tls {
    connection: ClientConnection,
    has_certificate: bool,
    /// Records that the socket has not taken yet.
    records: Vec<u8>,
    written: usize,
}

impl Wire {
    pub fn new(socket: TcpStream) -> Wire {
        Wire { socket, tls: None }
    }

    /// Shakes hands. The socket must block, with timeouts.
    pub fn shake_hands(&mut self, secure: &Secure) -> Result<(), String> {
        let has_certificate = secure.has_certificate;
        let explain = |error: &rustls::Error| TlsError::of(error, has_certificate).to_string();
        let mut connection = ClientConnection::new(secure.config.clone(), secure.name.clone())
            .map_err(|error| explain(&error))?;
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut self.socket) {
                let cause = error.get_ref().and_then(|inner| inner.downcast_ref());
                return Err(match (cause, error.kind()) {
                    (Some(cause), _) => explain(cause),
                    (None, ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        "no answer to the TLS handshake; does the server speak TLS?".to_owned()
                    }
                    (None, _) => format!("the connection is lost: {error}"),
                });
            }
        }
        connection.set_buffer_limit(None);
        let (records, written) = (Vec::new(), 0);
        self.tls = Some(Box::new(Tls { connection, has_certificate, records, written }));
        Ok(())
    }

    /// Describes an error of reading. Servers refuse certificates after the handshake.
    pub fn describe(&self, error: &io::Error) -> String {
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref());
        match (cause, &self.tls) {
            (Some(cause), Some(tls)) => TlsError::of(cause, tls.has_certificate).to_string(),
            _ => format!("the connection is lost: {error}"),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.read(buffer),
            Some(tls) => tls.read(&mut self.socket, buffer),
        }
    }
}

impl Write for Wire {
    /// Takes bytes only if none wait for the socket. Over TLS what was taken may wait: see `flush`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.write(bytes) };
        tls.flush(&mut self.socket)?;
        let piece = &bytes[..bytes.len().min(SEALED_MAX)];
        tls.connection.writer().write_all(piece)?;
        while tls.connection.wants_write() {
            tls.connection.write_tls(&mut tls.records)?;
        }
        match tls.flush(&mut self.socket) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(piece.len()),
        }
    }

    /// Writes what waits for the socket.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => tls.flush(&mut self.socket),
        }
    }
}

impl Tls {
    fn flush(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        while self.written < self.records.len() {
            match socket.write(&self.records[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.records.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads plaintext. An end of the stream without close_notify is an end too.
    fn read(&mut self, socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // What the handshake has read behind itself, and where a socket blocks, a whole record.
            let mut opened = 0;
            if let Some(end) = self.take_plaintext(buffer, &mut opened)? {
                return Ok(end);
            }
            if opened > 0 {
                return Ok(opened);
            }
            let received = CIPHERTEXT.with_borrow_mut(|ciphertext| {
                // The plaintext must fit, together with that of a record whose first part is here.
                let len = ciphertext.len().min(buffer.len() / 2);
                let received = socket.read(&mut ciphertext[..len])?;
                let mut rest = &ciphertext[..received];
                while !rest.is_empty() {
                    if self.connection.read_tls(&mut rest)? == 0 {
                        break;
                    }
                    let processed = self.connection.process_new_packets();
                    processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
                    self.take_plaintext(buffer, &mut opened)?;
                }
                Ok::<usize, io::Error>(received)
            })?;
            if received == 0 || opened > 0 {
                return Ok(opened);
            }
        }
    }

    /// Appends plaintext to `buffer`. Returns 0 if TLS has ended and there is none.
    fn take_plaintext(
        &mut self,
        buffer: &mut [u8],
        opened: &mut usize,
    ) -> io::Result<Option<usize>> {
        while *opened < buffer.len() {
            match self.connection.reader().read(&mut buffer[*opened..]) {
                Ok(0) if *opened == 0 => return Ok(Some(0)),
                Ok(0) => break,
                Ok(read) => *opened += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
