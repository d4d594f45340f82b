//! The names of a client in a certificate that was checked in the handshake.
//!
//! Made outside of the broker, which knows no certificates. Next on the path: `auth`, which finds the user.

/// Who a client is, as its certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedNames {
    /// The email addresses among the alternative names.
    pub emails: Vec<String>,
    /// The DNS names among them.
    pub dns: Vec<String>,
    /// The URIs among them.
    pub uris: Vec<String>,
    /// The subject, as RFC 4514 writes it.
    pub subject: String,
    /// The digest of the public key.
    pub public_key_sha256: [u8; 32],
}
