//! The keys of `[tls]` and `[[tls.certificates]]`.

use super::{Applies, Form, Key};
use crate::config::tls::CertificateFiles;
use crate::config::{Choice, ClientCerts, NatsHandshakeFirst, TlsMode, TlsVersion};
use crate::limits;

/// The path of a file; the name of the key is also the name of the field.
macro_rules! file {
    ($name:ident, $doc:expr) => {
        Key {
            table: "tls",
            name: stringify!($name),
            doc: $doc,
            applies: Applies::Live,
            form: Form::File {
                get: |settings| &settings.tls.$name,
                set: |settings, path| settings.tls.$name = path,
            },
        }
    };
}

pub(super) const CERT_FILE: Key = file!(
    cert_file,
    "The certificate of this broker in PEM, and behind it the authorities between it and a root.\n\
     Without this key there is no TLS. A relative path begins at the folder of this file. A reload\n\
     reads all files again; connections stay."
);

pub(super) const KEY_FILE: Key = file!(
    key_file,
    "The private key of that certificate, in PEM and not encrypted: ECDSA, Ed25519, or RSA of 2048\n\
     bits or more. Only the broker and its group may be able to read the file."
);

pub(super) const CLIENT_CA_FILE: Key =
    file!(client_ca_file, "The authorities that sign the certificates of clients, in PEM.");

pub(super) const CLIENT_CERTS: Key = choice!(
    tls.client_certs: ClientCerts,
    Live,
    "Whether clients are asked for a certificate: not (\"none\"), or they may have one (\"optional\"), or\n\
     they must (\"required\"). Users with the key `certificate` are known by it."
);

pub(super) const CRL_FILE: Key = file!(
    crl_file,
    "The certificates of clients that their authorities have revoked, one list of each authority, in\n\
     PEM. A list whose next update is due, or that is missing, refuses all clients of its authority."
);

pub(super) const MIN_VERSION: Key = choice!(
    tls.min_version: TlsVersion,
    Live,
    "The oldest version of TLS that is spoken: \"1.2\" or \"1.3\"."
);

pub(super) const BLIP: Key = choice!(
    tls.blip: TlsMode,
    Live,
    "Whether BLIP/1 clients use TLS: all have to (\"required\"), each chooses (\"optional\"), or none\n\
     does (\"off\"). Passwords of those who do not can be read on the network."
);

pub(super) const NATS: Key = choice!(
    tls.nats: TlsMode,
    Live,
    "Whether NATS clients use TLS, likewise. With \"optional\" some clients never do, although their\n\
     address begins with tls://."
);

pub(super) const NATS_HANDSHAKE_FIRST: Key = choice!(
    tls.nats_handshake_first: NatsHandshakeFirst,
    Live,
    "Whether NATS clients begin with the handshake: no, they wait for INFO in plain text (\"never\"), or\n\
     they do (\"always\"), or each chooses, and one that is silent for 50 ms gets INFO (\"auto\")."
);

pub(super) const HANDSHAKE_TIMEOUT_MS: Key = number!(
    tls.handshake_timeout_ms: u32,
    limits::TIMEOUT_MS_RANGE,
    Live,
    "Time a client has for the handshake, in milliseconds. server.auth_timeout_ms begins behind it."
);

pub(super) const RECORD_BYTES: Key = number!(
    tls.record_bytes: u32,
    limits::RECORD_BYTES_RANGE,
    Live,
    "Bytes that one TLS record may carry. Devices with little memory need fewer; each record costs\n\
     CPU time."
);

/// A key of `[[tls.certificates]]`.
#[derive(Debug)]
pub struct CertificateKey {
    /// The name of the key.
    pub name: &'static str,
    /// The meaning, in full sentences, wrapped for a comment.
    pub doc: &'static str,
    /// A value as a file may have it.
    pub example: &'static str,
    /// Reads the path.
    pub get: fn(&CertificateFiles) -> &String,
}

/// Every key of `[[tls.certificates]]`, in the order in which they are printed.
pub static CERTIFICATE_KEYS: [CertificateKey; 2] = [
    CertificateKey {
        name: "cert_file",
        doc: "The certificate and the authorities between it and a root.",
        example: "\"other.pem\"",
        get: |files| &files.cert_file,
    },
    CertificateKey {
        name: "key_file",
        doc: "Its private key.",
        example: "\"other.key\"",
        get: |files| &files.key_file,
    },
];
