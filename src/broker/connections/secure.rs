//! How far the handshake of a connection is, and whom it has proven.

use super::connection::Connection;
use crate::broker::security::{CertifiedNames, Handshake, Secured, TlsOffer};

/// The security of a connection whose listener offers TLS.
pub(super) struct Security {
    offer: TlsOffer,
    handshake: Handshake,
}

impl Connection {
    /// Notes what the listener offers, and how far the handshake is.
    pub fn begin_security(&mut self, offer: TlsOffer, handshake: Handshake) {
        self.security = match (offer == TlsOffer::default(), &handshake) {
            (true, Handshake::None) => None,
            _ => Some(Box::new(Security { offer, handshake })),
        };
    }

    /// What the listener says about TLS.
    pub fn tls_offer(&self) -> TlsOffer {
        self.security.as_ref().map(|security| security.offer).unwrap_or_default()
    }

    /// Whether the handshake is to come.
    pub fn awaits_handshake(&self) -> bool {
        self.security.as_ref().is_some_and(|security| security.handshake == Handshake::ToCome)
    }

    /// The handshake is over; `None` if the client goes on in plain text.
    pub fn end_handshake(&mut self, secured: Option<Box<Secured>>) {
        let security = self.security.as_mut().expect("its listener offers TLS");
        assert!(security.handshake == Handshake::ToCome, "a handshake ends once");
        security.handshake = secured.map_or(Handshake::None, Handshake::Done);
    }

    /// The outcome of the handshake, on a connection that is encrypted.
    pub fn secured(&self) -> Option<&Secured> {
        match &self.security.as_ref()?.handshake {
            Handshake::Done(secured) => Some(secured),
            Handshake::None | Handshake::ToCome => None,
        }
    }

    /// The names in the certificate that the client has shown.
    pub fn certified(&self) -> Option<&CertifiedNames> {
        self.secured()?.names.as_ref()
    }
}
