//! `[tls]`: certificates, and which clients have to use them.
//!
//! Read by `parse`, where `[[tls.certificates]]` has a file of its own; used by `server::tls`, which
//! also reads the files. Without `cert_file` there is no TLS.

use super::Choice;
use crate::limits;

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate and the authorities between it and a root; absent: no TLS.
    pub cert_file: Option<String>,
    /// The private key of that certificate.
    pub key_file: Option<String>,
    /// The authorities that sign certificates of clients.
    pub client_ca_file: Option<String>,
    /// Whether clients show certificates.
    pub client_certs: ClientCerts,
    /// The certificates that these authorities have revoked.
    pub crl_file: Option<String>,
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
    /// Whether BLIP/1 clients use TLS.
    pub blip: TlsMode,
    /// Whether NATS clients use TLS.
    pub nats: TlsMode,
    /// Whether the handshake of NATS clients comes before INFO.
    pub nats_handshake_first: NatsHandshakeFirst,
    /// Time from connecting, or from INFO, to the end of the handshake.
    pub handshake_timeout_ms: u32,
    /// Plaintext bytes in one record.
    pub record_bytes: u32,
    /// `[[tls.certificates]]`
    pub certificates: Vec<CertificateFiles>,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            cert_file: None,
            key_file: None,
            client_ca_file: None,
            client_certs: ClientCerts::None,
            crl_file: None,
            min_version: TlsVersion::V1_2,
            blip: TlsMode::Required,
            nats: TlsMode::Required,
            nats_handshake_first: NatsHandshakeFirst::Auto,
            handshake_timeout_ms: limits::HANDSHAKE_TIMEOUT_MS_DEFAULT,
            record_bytes: limits::RECORD_BYTES_DEFAULT,
            certificates: Vec::new(),
        }
    }
}

impl Tls {
    /// Whether there is a certificate, without which no client can use TLS.
    pub fn is_configured(&self) -> bool {
        self.cert_file.is_some()
    }

    /// What BLIP/1 clients have to do, with the certificates there are.
    pub fn blip_mode(&self) -> TlsMode {
        if self.is_configured() { self.blip } else { TlsMode::Off }
    }

    /// What NATS clients have to do, with the certificates there are.
    pub fn nats_mode(&self) -> TlsMode {
        if self.is_configured() { self.nats } else { TlsMode::Off }
    }
}

/// One table `[[tls.certificates]]`: a further certificate, for the names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and the authorities between it and a root.
    pub cert_file: String,
    /// The private key of that certificate.
    pub key_file: String,
}

/// Whether the clients of a listener use TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Every client does.
    Required,
    /// Each client chooses.
    Optional,
    /// None does.
    Off,
}

impl Choice for TlsMode {
    const NAMES: &'static [(&'static str, TlsMode)] =
        &[("required", TlsMode::Required), ("optional", TlsMode::Optional), ("off", TlsMode::Off)];
}

/// Whether clients show certificates of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCerts {
    /// Clients are not asked.
    None,
    /// A client may; the certificate has to be valid.
    Optional,
    /// Every client has to.
    Required,
}

impl Choice for ClientCerts {
    const NAMES: &'static [(&'static str, ClientCerts)] = &[
        ("none", ClientCerts::None),
        ("optional", ClientCerts::Optional),
        ("required", ClientCerts::Required),
    ];
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl Choice for TlsVersion {
    const NAMES: &'static [(&'static str, TlsVersion)] =
        &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
}

/// Whether a NATS client begins with the handshake, or waits for INFO in plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatsHandshakeFirst {
    /// INFO comes first.
    Never,
    /// Either: INFO goes out to clients that are silent for a moment.
    Auto,
    /// The handshake comes first.
    Always,
}

impl Choice for NatsHandshakeFirst {
    const NAMES: &'static [(&'static str, NatsHandshakeFirst)] = &[
        ("never", NatsHandshakeFirst::Never),
        ("auto", NatsHandshakeFirst::Auto),
        ("always", NatsHandshakeFirst::Always),
    ];
}
