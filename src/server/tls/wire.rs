//! What rustls writes to and reads from, and alerts as nats-server sends them.
//!
//! Called by `layer`.

use std::io::{self, IoSlice, Read, Write};

use bytes::BytesMut;
use rustls::server::AcceptedAlert;
use rustls::{Error, PeerIncompatible};

/// The alert that a version of TLS is not spoken, in a record of TLS 1.0.
const PROTOCOL_VERSION: [u8; 7] = [0x15, 3, 1, 0, 2, 2, 70];
/// The alert that a certificate is missing, in plain text: so TLS 1.3 never sends it.
const CERTIFICATE_REQUIRED: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 116];
const HANDSHAKE_FAILURE: u8 = 40;

/// A reader that has nothing now.
pub struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// A writer that takes everything.
pub struct Append<'a>(pub &'a mut BytesMut);

impl Write for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, all: &[IoSlice<'_>]) -> io::Result<usize> {
        all.iter().for_each(|bytes| self.0.extend_from_slice(bytes));
        Ok(all.iter().map(|bytes| bytes.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The alert for a client that cannot be answered. A client of a version before 1.2 may not understand a
/// record of 1.2, and before it comes to versions rustls misses what such clients do not know.
pub fn alert_of(error: &Error, mut alert: AcceptedAlert) -> Vec<u8> {
    use PeerIncompatible::{
        SignatureAlgorithmsExtensionRequired, Tls12NotOffered, Tls12NotOfferedOrEnabled,
    };
    match error {
        Error::PeerIncompatible(
            SignatureAlgorithmsExtensionRequired | Tls12NotOffered | Tls12NotOfferedOrEnabled,
        ) => PROTOCOL_VERSION.to_vec(),
        _ => {
            let mut out = Vec::new();
            alert.write_all(&mut out).expect("a vector takes everything");
            out
        }
    }
}

/// Replaces an alert that the version of its client does not have.
pub fn translate(alert: &mut BytesMut) {
    if alert[..] == CERTIFICATE_REQUIRED {
        alert[6] = HANDSHAKE_FAILURE;
    }
}
