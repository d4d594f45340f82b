//! What a connection's TLS handshake has proven, and what its listener offers: the broker itself encrypts
//! nothing.
//!
//! The driver of the broker brings both with [`Broker::connected_with`](super::Broker::connected_with) and
//! [`Broker::secured`](super::Broker::secured). Next on the path: `auth`, which finds the user of a
//! certificate.

/// What a listener says about TLS to its clients.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TlsOffer {
    /// Clients must use TLS.
    pub required: bool,
    /// Clients may use TLS.
    pub available: bool,
    /// Clients must show a certificate.
    pub verify: bool,
}

/// How far the handshake of a new connection is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum Handshake {
    /// The connection is in plain text.
    #[default]
    None,
    /// The handshake follows the broker's greeting, or the client's first bytes show that there is none:
    /// [`Broker::secured`](super::Broker::secured) says which.
    ToCome,
    /// The handshake is over.
    Done(Box<Secured>),
}

/// The outcome of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    /// The version of TLS, such as `1.3`.
    pub version: &'static str,
    /// The cipher suite.
    pub suite: &'static str,
    /// Whether the session goes on from an earlier connection.
    pub resumed: bool,
    /// The names in the client's certificate, if the client has shown one.
    pub names: Option<CertifiedNames>,
}

/// The names in a client's certificate, which the handshake has checked.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CertifiedNames {
    /// Alternative names that are e-mail addresses, in their order.
    pub emails: Vec<String>,
    /// Alternative names that are DNS names, in their order.
    pub dns: Vec<String>,
    /// Alternative names that are URIs, in their order.
    pub uris: Vec<String>,
    /// The subject in the text of RFC 4514, such as `CN=bob,OU=eng,O=Acme,C=DE`; may be empty.
    pub subject: String,
    /// SHA-256 of the public key (SubjectPublicKeyInfo).
    pub public_key_sha256: [u8; 32],
}
