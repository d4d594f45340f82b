//! Why there is no TLS connection: one variant per cause, each text with a remedy.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

/// Why there is no TLS connection.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file of the options cannot be read.
    #[error("cannot read {}: {cause}; check the path and its permissions", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's error.
        cause: Arc<io::Error>,
    },
    /// A file of the options does not have what it should.
    #[error("{}: {reason}", file.display())]
    BadFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with its content.
        reason: String,
    },
    /// The system has no authorities.
    #[error(
        "this system trusts no authorities: install its package `ca-certificates`, or give the \
         authority of the server as `TlsOptions::ca` (--tls-ca)"
    )]
    NoSystemRoots,
    /// The name of the server is neither a host name nor an IP address.
    #[error(
        "`{name}` is neither a host name nor an IP address: give one as `TlsOptions::server_name` (--tls-name)"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// The authority that signed the certificate of the server is not trusted.
    #[error(
        "the certificate of the server is signed by an authority that this client does not trust: \
         give that authority's certificate as `TlsOptions::ca` (--tls-ca)"
    )]
    UnknownAuthority,
    /// The certificate of the server is for other names.
    #[error(
        "the certificate of the server is for {}, not for {expected}: connect to one of its names, or \
         give one as `TlsOptions::server_name` (--tls-name)",
        if presented.is_empty() { "other names".to_owned() } else { presented.join(", ") }
    )]
    WrongName {
        /// The name that the client looked for.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// The certificate of the server is no longer valid.
    #[error(
        "the certificate of the server has expired: renew the certificate, or correct the clock of \
         this machine"
    )]
    Expired,
    /// The certificate of the server is not valid yet.
    #[error(
        "the certificate of the server is not valid yet: correct the clock of this machine, or that of \
         the authority"
    )]
    NotValidYet,
    /// The certificate of the server is revoked, malformed, or made for something else.
    #[error("the certificate of the server cannot be used: {0}")]
    BadCertificate(String),
    /// The server answers, but not in TLS.
    #[error(
        "the server does not speak TLS on this port: set `[tls]` in its configuration, or connect \
         without TLS if the network is trusted"
    )]
    NotTls,
    /// The server did not answer.
    #[error(
        "no answer to the TLS handshake within {} ms: does the server speak TLS on this port?",
        waited.as_millis()
    )]
    NoAnswer {
        /// `ClientOptions::connect_timeout`
        waited: Duration,
    },
    /// The connection was lost within the handshake.
    #[error("the connection was lost within the TLS handshake: {0}")]
    Lost(Arc<io::Error>),
    /// The server accepts only clients with a certificate.
    #[error(
        "the server requires a certificate of the client: give one as `TlsOptions::certificate` \
         (--tls-cert and --tls-key)"
    )]
    CertificateRequired,
    /// The server does not accept the certificate of the client.
    #[error(
        "the server refuses the certificate of this client ({alert}): check its authority, its dates \
         and its purpose (clientAuth)"
    )]
    CertificateRefused {
        /// The alert of the server.
        alert: String,
    },
    /// The server does not offer TLS 1.3.
    #[error("the server does not offer TLS 1.3, which this client needs")]
    NoCommonVersion,
    /// The server is for another protocol.
    #[error("the server speaks another protocol on this port than this client")]
    OtherProtocol,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl TlsError {
    /// Says what an error of rustls means. Not part of the API, because the types of rustls change.
    #[doc(hidden)]
    pub fn of(error: &rustls::Error, has_certificate: bool) -> TlsError {
        use rustls::Error;
        match error {
            Error::InvalidCertificate(fault) => of_certificate(fault),
            Error::AlertReceived(alert) => of_alert(*alert, has_certificate),
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge,
            ) => TlsError::NotTls,
            Error::PeerIncompatible(
                PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::SupportedVersionsExtensionRequired,
            ) => TlsError::NoCommonVersion,
            Error::NoApplicationProtocol => TlsError::OtherProtocol,
            other => TlsError::Failed(other.to_string()),
        }
    }

    /// Returns whether another attempt may succeed although nobody changes anything.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, TlsError::NoAnswer { .. } | TlsError::Lost(_))
    }
}

fn of_certificate(fault: &CertificateError) -> TlsError {
    match fault {
        CertificateError::UnknownIssuer => TlsError::UnknownAuthority,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsError::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsError::NotValidYet
        }
        CertificateError::NotValidForName => {
            TlsError::WrongName { expected: "this host".to_owned(), presented: Vec::new() }
        }
        CertificateError::NotValidForNameContext { expected, presented } => TlsError::WrongName {
            expected: expected.to_str().into_owned(),
            presented: presented.clone(),
        },
        other => TlsError::BadCertificate(other.to_string()),
    }
}

fn of_alert(alert: AlertDescription, has_certificate: bool) -> TlsError {
    match alert {
        AlertDescription::CertificateRequired => TlsError::CertificateRequired,
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError
            if has_certificate =>
        {
            TlsError::CertificateRefused { alert: format!("{alert:?}") }
        }
        // What servers say to a client without a certificate that do not know the newer alert.
        AlertDescription::BadCertificate => TlsError::CertificateRequired,
        AlertDescription::ProtocolVersion => TlsError::NoCommonVersion,
        AlertDescription::NoApplicationProtocol => TlsError::OtherProtocol,
        other => TlsError::Failed(format!("the server ended the TLS connection: {other:?}")),
    }
}
