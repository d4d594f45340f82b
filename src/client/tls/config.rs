//! Files to the configuration of rustls.
//!
//! Called by `connect`, once for each connection. Next on the path: `session`.
//!
//! # Always true
//! - The provider of cryptography is named here, never the default of the process.
//! - While the files stay the same, connections share one configuration, and with it the sessions to
//!   resume.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::client::Resumption as Sessions;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, KeyLogFile, RootCertStore, version};

use super::options::Resumption;
use super::session::Session;
use super::{TlsError, TlsOptions};
use crate::ClientError;

/// The protocol that the client offers in its hello, so that a listener of another one can refuse it.
const PROTOCOL: &[u8] = b"blip/1";

/// What each connection of a client needs.
pub(crate) struct Connector {
    options: TlsOptions,
    name: ServerName<'static>,
    last: Mutex<Option<(Files, Arc<ClientConfig>)>>,
}

impl Connector {
    /// `addr` is the host:port to connect to.
    pub(crate) fn new(options: TlsOptions, addr: &str) -> Result<Connector, TlsError> {
        let name = options.name_of(addr)?;
        Ok(Connector { options, name, last: Mutex::default() })
    }

    /// Begins a connection, whose handshake is still to come.
    pub(crate) fn begin(&self) -> Result<Session, TlsError> {
        Session::new(self.config()?, self.name.clone(), self.options.has_certificate())
    }

    fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let files = Files::read(&self.options)?;
        let mut last = self.last.lock().expect("nothing panics while it holds the configuration");
        if let Some((same, config)) = &*last
            && *same == files
        {
            return Ok(config.clone());
        }
        let config = files.config(&self.options, &[PROTOCOL])?;
        *last = Some((files, config.clone()));
        Ok(config)
    }

    /// Says what an error is that came before WELCOME, if TLS is the reason.
    pub(crate) fn explain(&self, addr: &str, error: ClientError) -> ClientError {
        let ClientError::ConnectionLost(lost) = &error else { return error };
        let cause = lost.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match cause {
            Some(cause) => {
                let fault = TlsError::of(cause, self.options.has_certificate());
                ClientError::Tls { addr: addr.to_owned(), fault }
            }
            None => error,
        }
    }
}

/// The bytes of the files that the options name.
#[derive(PartialEq, Eq)]
pub(super) struct Files {
    ca: Option<Vec<u8>>,
    certificate: Option<(Vec<u8>, Vec<u8>)>,
}

impl Files {
    pub(super) fn read(options: &TlsOptions) -> Result<Files, TlsError> {
        let ca = options.ca.as_deref().map(read).transpose()?;
        let certificate = match &options.certificate {
            Some((file, key)) => Some((read(file)?, read(key)?)),
            None => None,
        };
        Ok(Files { ca, certificate })
    }

    pub(super) fn config(
        &self,
        options: &TlsOptions,
        protocols: &[&[u8]],
    ) -> Result<Arc<ClientConfig>, TlsError> {
        let failed = |error: rustls::Error| TlsError::Failed(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(failed)?
            .with_root_certificates(self.roots(options)?);
        let mut config = match (&self.certificate, &options.certificate) {
            (Some((chain, key)), Some((file, key_file))) => {
                let (chain, key) = (certificates(file, chain)?, private_key(key_file, key)?);
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| bad_pair(key_file, error))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        if options.key_log {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        if options.resumption == Resumption::Off {
            config.resumption = Sessions::disabled();
        }
        Ok(Arc::new(config))
    }

    fn roots(&self, options: &TlsOptions) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        if let (Some(ca), Some(file)) = (&self.ca, &options.ca) {
            for certificate in certificates(file, ca)? {
                roots.add(certificate).map_err(|error| bad(file, format!("{error}")))?;
            }
            return Ok(roots);
        }
        let found = rustls_native_certs::load_native_certs();
        // Systems have a few certificates that no client can use; all others count.
        roots.add_parsable_certificates(found.certs);
        match roots.is_empty() {
            true => Err(TlsError::NoSystemRoots),
            false => Ok(roots),
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file)
        .map_err(|cause| TlsError::Unreadable { file: file.to_owned(), cause: Arc::new(cause) })
}

fn bad(file: &Path, reason: String) -> TlsError {
    TlsError::BadFile { file: file.to_owned(), reason }
}

fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let parsed: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates =
        parsed.map_err(|error| bad(file, format!("the PEM is malformed: {error}")))?;
    if certificates.is_empty() {
        let reason = "there is no certificate: a PEM file has `-----BEGIN CERTIFICATE-----`";
        return Err(bad(file, reason.to_owned()));
    }
    Ok(certificates)
}

fn private_key(file: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let has = |text: &[u8]| pem.windows(text.len()).any(|window| window == text);
    if has(b"ENCRYPTED") {
        let file_name = file.display();
        let reason = format!(
            "the key is encrypted, and there is nobody to ask for its passphrase: decrypt the key with \
             `openssl pkey -in {file_name} -out plain.key`"
        );
        return Err(bad(file, reason));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        PemError::NoItemsFound => bad(
            file,
            "there is no private key: a PEM file has `-----BEGIN PRIVATE KEY-----`".into(),
        ),
        error => bad(file, format!("the PEM is malformed: {error}")),
    })
}

fn bad_pair(key_file: &Path, error: rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            bad(key_file, "this key belongs to another certificate".to_owned())
        }
        error => bad(key_file, format!("the key cannot be used: {error}; use ECDSA P-256 or RSA")),
    }
}
