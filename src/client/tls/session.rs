//! One TLS connection that two threads use: one reads, the other writes.
//!
//! Called by `connect` for the handshake, then by `link`. Next on the path: the socket.
//!
//! # Always true
//! - Only one thread at a time puts records on the socket, in the order in which they were sealed: the
//!   writing thread, or the one that ends the connection. What reading gives rise to waits for them: the
//!   answer to a renewal of keys for the next data, an alert for the end.
//! - No thread holds the lock of the TLS state while it waits for the socket.
//! - At most [`SEALED_MAX`] bytes of records and [`INCOMING_LEN`] bytes of ciphertext are buffered.
//! - An end of the stream without close_notify is an error: anybody on the way can forge such an end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::TlsError;
use crate::link::write_all;

/// The most bytes that are sealed at once: their records stay in the cache until the socket takes them.
const SEALED_MAX: usize = 64 * 1_024;
/// How long the end of a connection waits for a thread that writes. A peer that reads lets that thread go on.
const CLOSE_WAIT: Duration = Duration::from_millis(50);
/// The most bytes that are read from the socket at once.
const INCOMING_LEN: usize = 64 * 1_024;

pub(crate) struct Session {
    tls: Mutex<ClientConnection>,
    incoming: Mutex<Incoming>,
    /// The buffer for records. Who has taken the buffer may write to the socket; the others wait.
    outgoing: Mutex<Option<Vec<u8>>>,
    returned: Condvar,
    has_certificate: bool,
}

/// Ciphertext between the socket and rustls.
struct Incoming {
    buffer: Box<[u8]>,
    taken: usize,
    filled: usize,
    /// An error to return when what came before it is read.
    failure: Option<rustls::Error>,
}

impl Session {
    pub(super) fn new(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        has_certificate: bool,
    ) -> Result<Session, TlsError> {
        let tls = ClientConnection::new(config, name)
            .map_err(|error| TlsError::of(&error, has_certificate))?;
        let buffer = vec![0; INCOMING_LEN].into_boxed_slice();
        Ok(Session {
            tls: Mutex::new(tls),
            incoming: Mutex::new(Incoming { buffer, taken: 0, filled: 0, failure: None }),
            outgoing: Mutex::new(Some(Vec::new())),
            returned: Condvar::new(),
            has_certificate,
        })
    }

    /// Shakes hands within `timeout`. The socket has no timeouts afterwards.
    pub(crate) fn shake_hands(
        &self,
        stream: &TcpStream,
        timeout: Duration,
    ) -> Result<(), TlsError> {
        let started = Instant::now();
        let lost = |error: io::Error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => TlsError::NoAnswer { waited: timeout },
            _ => TlsError::Lost(Arc::new(error)),
        };
        loop {
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(TlsError::NoAnswer { waited: timeout });
            }
            stream.set_write_timeout(Some(left)).map_err(lost)?;
            stream.set_read_timeout(Some(left)).map_err(lost)?;
            self.send(stream, b"", &mut || ()).map_err(lost)?;
            if !self.lock().is_handshaking() {
                break;
            }
            let mut incoming = self.incoming();
            if incoming.is_used_up() && incoming.fill(stream).map_err(lost)? == 0 {
                return Err(lost(ErrorKind::UnexpectedEof.into()));
            }
            let fed = incoming.feed_handshake(&mut self.lock());
            drop(incoming);
            if let Err(error) = fed {
                // The alert; the peer may be gone.
                let _ = self.send(stream, b"", &mut || ());
                return Err(TlsError::of(&error, self.has_certificate));
            }
        }
        // The default is less than a batch, and what is above would silently be missing.
        self.lock().set_buffer_limit(None);
        stream.set_write_timeout(None).map_err(lost)?;
        stream.set_read_timeout(None).map_err(lost)
    }

    /// Seals and sends all bytes, and what TLS has to send of its own.
    pub(crate) fn send(
        &self,
        stream: &TcpStream,
        bytes: &[u8],
        moved: &mut dyn FnMut(),
    ) -> io::Result<()> {
        let mut records = self.take_buffer(Duration::MAX).expect("waits for ever");
        let sent = self.send_with(&mut records, stream, bytes, moved);
        self.give_back(records);
        sent
    }

    fn send_with(
        &self,
        records: &mut Vec<u8>,
        stream: &TcpStream,
        mut bytes: &[u8],
        moved: &mut dyn FnMut(),
    ) -> io::Result<()> {
        loop {
            let (piece, rest) = bytes.split_at(bytes.len().min(SEALED_MAX));
            let mut tls = self.lock();
            tls.writer().write_all(piece)?;
            take_records(&mut tls, records)?;
            drop(tls);
            let sent = write_all(stream, records, moved);
            records.clear();
            sent?;
            bytes = rest;
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// Reads plaintext; 0 is the end. To be called by one thread.
    pub(crate) fn read(&self, stream: &TcpStream, plain: &mut [u8]) -> io::Result<usize> {
        let mut incoming = self.incoming();
        loop {
            let mut tls = self.lock();
            let opened = incoming.open(&mut tls, plain);
            if let Some(read) = opened? {
                return Ok(read);
            }
            // While nothing waits, a read gives back the memory of a long record.
            let _ = tls.read_tls(&mut Nothing);
            drop(tls);
            if incoming.fill(stream)? == 0 {
                let cut = "it was cut off: TLS was not ended before the connection";
                return Err(io::Error::new(ErrorKind::UnexpectedEof, cut));
            }
        }
    }

    /// Sends close_notify, or an alert that is due, as far as the socket takes them at once. Nothing can
    /// be sent afterwards.
    pub(crate) fn close(&self, mut stream: &TcpStream) {
        // A thread that writes may be in the middle of a record; nothing else is readable then.
        let Some(mut records) = self.take_buffer(CLOSE_WAIT) else { return };
        let mut tls = self.lock();
        tls.send_close_notify();
        if take_records(&mut tls, &mut records).is_ok() && stream.set_nonblocking(true).is_ok() {
            let _ = stream.write(&records);
        }
        drop(tls);
        records.clear();
        self.give_back(records);
    }

    fn lock(&self) -> MutexGuard<'_, ClientConnection> {
        self.tls.lock().expect("nothing panics while it holds the TLS state")
    }

    fn incoming(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().expect("nothing panics while it holds the ciphertext")
    }

    fn take_buffer(&self, wait: Duration) -> Option<Vec<u8>> {
        let outgoing = self.outgoing.lock().expect("nothing panics while it holds the buffer");
        let taken = self.returned.wait_timeout_while(outgoing, wait, |buffer| buffer.is_none());
        taken.expect("nothing panics while it holds the buffer").0.take()
    }

    fn give_back(&self, buffer: Vec<u8>) {
        *self.outgoing.lock().expect("nothing panics while it holds the buffer") = Some(buffer);
        self.returned.notify_one();
    }
}

fn take_records(tls: &mut ClientConnection, records: &mut Vec<u8>) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(records)?;
    }
    Ok(())
}

impl Incoming {
    fn is_used_up(&self) -> bool {
        self.taken == self.filled
    }

    /// Reads once from the socket; 0 is the end.
    fn fill(&mut self, mut stream: &TcpStream) -> io::Result<usize> {
        loop {
            match stream.read(&mut self.buffer) {
                Ok(read) => {
                    (self.taken, self.filled) = (0, read);
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Passes some ciphertext to rustls, which takes 4 KiB at most.
    fn feed(&mut self, tls: &mut ClientConnection) -> Result<(), rustls::Error> {
        let mut bytes = &self.buffer[self.taken..self.filled];
        let read = tls.read_tls(&mut bytes);
        let read = read.map_err(|error| rustls::Error::General(error.to_string()))?;
        self.taken += read;
        tls.process_new_packets().map(|_| ())
    }

    /// Passes ciphertext until there is no more, or the handshake is over: data may follow.
    fn feed_handshake(&mut self, tls: &mut ClientConnection) -> Result<(), rustls::Error> {
        while !self.is_used_up() && tls.is_handshaking() {
            self.feed(tls)?;
        }
        Ok(())
    }

    /// Decrypts into `plain` as much as fits and is there. `None` if that is nothing, 0 at the end.
    fn open(&mut self, tls: &mut ClientConnection, plain: &mut [u8]) -> io::Result<Option<usize>> {
        let mut opened = 0;
        loop {
            // rustls holds little plaintext, so it is taken out before more ciphertext goes in.
            match tls.reader().read(&mut plain[opened..]) {
                Ok(read) => {
                    opened += read;
                    if read == 0 || opened == plain.len() {
                        return Ok(Some(opened));
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if self.failure.is_none() && !self.is_used_up() {
                self.failure = self.feed(tls).err();
                // An error may have data before it.
                continue;
            }
            return match (opened, self.failure.clone()) {
                (0, Some(failure)) => Err(io::Error::new(ErrorKind::InvalidData, failure)),
                (0, None) => Ok(None),
                (opened, _) => Ok(Some(opened)),
            };
        }
    }
}

/// A socket on which nothing has arrived.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}
