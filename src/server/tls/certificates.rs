//! The certificates of the broker, and the authorities of its clients: read from files, and checked.
//!
//! Called at the start, by a reload, by `blipmq check-config` and by `blipmq doctor`. Next on the path:
//! `listeners`, which makes of them what a handshake needs.
//!
//! # Always true
//! - Every file is read and checked before anything is used, and all faults are reported at once.
//! - Nothing is read after that: a handshake touches no file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blipmq::config::{Choice, ClientCerts, Settings};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;
use x509_cert::{Certificate, Version};

use super::expiry::{Dated, Kind};
use super::fault::{Fault, WrongFile};
use super::pem::{PemFile, kind_of_key};
use super::sni::{Chooser, Named};

/// Everything that the files of `[tls]` contain.
pub struct Certificates {
    /// Chooses the certificate for a client.
    pub chooser: Arc<Chooser>,
    /// Checks the certificates of clients, if they are asked for one.
    pub clients: Option<Arc<dyn ClientCertVerifier>>,
    /// The same for clients of the admin pages.
    pub clients_of_pages: Option<Arc<dyn ClientCertVerifier>>,
    /// What a ticket must not outlive: authorities, revocation lists, and what clients have to show.
    pub policy: [u8; 32],
    /// A digest of the files, to tell whether a reload changed any.
    pub digest: [u8; 32],
    /// What ends on some day.
    pub dated: Vec<Dated>,
}

impl Certificates {
    /// Reads and checks all files. Relative paths begin at `folder`. `None` without TLS.
    pub fn read(
        settings: &Settings,
        folder: &Path,
    ) -> Result<Option<Certificates>, Vec<WrongFile>> {
        let Some(cert_file) = &settings.tls.cert_file else { return Ok(None) };
        let mut reader = Reader { folder, digest: Sha256::new(), dated: vec![], wrong: vec![] };
        let key_file = settings.tls.key_file.as_ref().unwrap_or(cert_file);
        let keys = [("[tls] cert_file", "[tls] key_file")].into_iter();
        let keys = keys.chain(std::iter::repeat((
            "[[tls.certificates]] cert_file",
            "[[tls.certificates]] key_file",
        )));
        let further = settings.tls.certificates.iter();
        let further = further.map(|files| (&files.cert_file, &files.key_file));
        let mut certificates = Vec::new();
        for (index, (keys, files)) in
            keys.zip([(cert_file, key_file)].into_iter().chain(further)).enumerate()
        {
            if let Some(named) = reader.read_pair(keys, files, index > 0) {
                certificates.push(named);
            }
        }
        let (authorities, policy) = reader.read_clients(settings);
        let [clients, clients_of_pages] =
            [settings.tls.client_certs, settings.metrics.client_certs].map(|asked| {
                let authorities = authorities.as_ref()?;
                reader.new_verifier(authorities, asked)
            });
        if !reader.wrong.is_empty() {
            return Err(reader.wrong);
        }
        Ok(Some(Certificates {
            chooser: Arc::new(Chooser::new(certificates)),
            clients,
            clients_of_pages,
            policy,
            digest: reader.digest.finalize().into(),
            dated: reader.dated,
        }))
    }
}

/// The cryptography of TLS, always named: another crate of the process may have set a default.
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        // In TLS 1.2 AES-GCM ends a connection after 2^24 records, and ChaCha20 does not.
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ],
        ..aws_lc_rs::default_provider()
    }
}

/// What certificates of clients are checked by, and the files that it was read from.
struct ClientAuthorities {
    ca_file: PemFile,
    crl_file: Option<PemFile>,
    roots: Arc<RootCertStore>,
    lists: Vec<CertificateRevocationListDer<'static>>,
}

/// Reads files, and gathers their faults.
struct Reader<'f> {
    folder: &'f Path,
    digest: Sha256,
    dated: Vec<Dated>,
    wrong: Vec<WrongFile>,
}

impl Reader<'_> {
    fn read(&mut self, key: &'static str, path: &str) -> Option<PemFile> {
        let file = PemFile::read(key, path, self.folder);
        let file = self.keep(file)?;
        self.digest.update((file.bytes.len() as u64).to_le_bytes());
        self.digest.update(&file.bytes);
        Some(file)
    }

    fn keep<T>(&mut self, read: Result<T, WrongFile>) -> Option<T> {
        read.map_err(|wrong| self.wrong.push(wrong)).ok()
    }

    /// Reads a certificate and its private key.
    fn read_pair(
        &mut self,
        keys: (&'static str, &'static str),
        files: (&String, &String),
        needs_names: bool,
    ) -> Option<Named> {
        // Both, although one is wrong: an operator wants to know of all faults.
        let cert_file = self.read(keys.0, files.0);
        let key_file = self.read(keys.1, files.1);
        let key = key_file.as_ref().map(PemFile::private_key);
        let key = key.and_then(|key| self.keep(key));
        let cert_file = cert_file?;
        let chain = self.keep(cert_file.certificates())?;
        let parsed = self.keep(parsed(&cert_file, &chain))?;
        self.date(&cert_file, &parsed, Kind::Own);
        let names = super::identity::names_of_server(&parsed[0]);
        if !super::identity::has_names(&parsed[0]) {
            let at = self.dated.len() - parsed.len();
            self.dated[at] = self.dated[at].clone().without_names();
        }
        if needs_names && names.is_empty() {
            self.wrong.push(cert_file.wrong(Fault::NoNames));
        }
        let (key_file, key) = (key_file?, key?);
        let kind = kind_of_key(&key);
        let Ok(key) = provider().key_provider.load_private_key(key) else {
            self.wrong.push(key_file.wrong(Fault::UnusableKey { kind }));
            return None;
        };
        let certified = CertifiedKey::new(chain, key);
        if certified.keys_match().is_err() {
            let public = certified.key.public_key();
            let public = public.map(|public| public.to_vec()).unwrap_or_default();
            let fault = mismatch(&public, &parsed, cert_file.path);
            self.wrong.push(key_file.wrong(fault));
            return None;
        }
        Some(Named { names, certified: Arc::new(certified) })
    }

    fn date(&mut self, file: &PemFile, parsed: &[Certificate], kind: Kind) {
        let dated = parsed.iter().map(|certificate| Dated::of(file, certificate, kind));
        self.dated.extend(dated);
    }

    /// Reads what checks certificates of clients. Returns also the digest of it.
    fn read_clients(&mut self, settings: &Settings) -> (Option<ClientAuthorities>, [u8; 32]) {
        let tls = &settings.tls;
        let mut policy = Sha256::new();
        policy.update(tls.client_certs.name());
        let Some(ca_file) = &tls.client_ca_file else { return (None, policy.finalize().into()) };
        let ca_file = self.read("[tls] client_ca_file", ca_file);
        let has_lists = tls.crl_file.is_some();
        let crl_file = tls.crl_file.as_ref().and_then(|path| self.read("[tls] crl_file", path));
        let roots = ca_file.as_ref().and_then(|file| self.read_authorities(file));
        let lists = match (&crl_file, has_lists) {
            (Some(file), _) => self.read_lists(file),
            (None, true) => None,
            (None, false) => Some(vec![]),
        };
        for file in [&ca_file, &crl_file].into_iter().flatten() {
            policy.update((file.bytes.len() as u64).to_le_bytes());
            policy.update(&file.bytes);
        }
        let policy = policy.finalize().into();
        let authorities = match (ca_file, roots, lists) {
            (Some(ca_file), Some(roots), Some(lists)) => {
                Some(ClientAuthorities { ca_file, crl_file, roots: roots.into(), lists })
            }
            _ => None,
        };
        (authorities, policy)
    }

    /// What checks certificates of clients that are asked for one, or may have one.
    fn new_verifier(
        &mut self,
        authorities: &ClientAuthorities,
        asked: ClientCerts,
    ) -> Option<Arc<dyn ClientCertVerifier>> {
        let ClientAuthorities { ca_file, crl_file, roots, lists } = authorities;
        if asked == ClientCerts::None || !self.wrong.is_empty() {
            return None;
        }
        // A list speaks of what its authority signed. Roots sign rarely, so only the client's own
        // certificate is looked up.
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider().into())
                .with_crls(lists.clone())
                .only_check_end_entity_revocation()
                .enforce_revocation_expiration();
        if asked == ClientCerts::Optional {
            builder = builder.allow_unauthenticated();
        }
        let built = builder.build().map_err(|error| match (error, crl_file) {
            (VerifierBuilderError::InvalidCrl(error), Some(file)) => {
                file.wrong(Fault::Other(format!("a revocation list is refused: {error:?}")))
            }
            (error, _) => ca_file.wrong(Fault::Other(error.to_string())),
        });
        self.keep(built)
    }

    fn read_authorities(&mut self, file: &PemFile) -> Option<RootCertStore> {
        let certificates = self.keep(file.certificates())?;
        let mut roots = RootCertStore::empty();
        for (number, certificate) in (1..).zip(&certificates) {
            if roots.add(certificate.clone()).is_err() {
                self.wrong.push(file.wrong(Fault::BrokenCertificate { number }));
                return None;
            }
        }
        // Old roots may be of version 1, and still sign.
        let parsed: Vec<Certificate> =
            certificates.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
        self.date(file, &parsed, Kind::Authority);
        Some(roots)
    }

    fn read_lists(&mut self, file: &PemFile) -> Option<Vec<CertificateRevocationListDer<'static>>> {
        let lists = self.keep(file.revocation_lists())?;
        for (number, list) in (1..).zip(&lists) {
            let reason = match CertificateList::<x509_cert::certificate::Rfc5280>::from_der(list) {
                Ok(parsed) => match Dated::of_list(file, &parsed) {
                    Some(dated) => {
                        self.dated.push(dated);
                        continue;
                    }
                    None => "it has no date of its next update",
                },
                Err(_) => "it cannot be parsed, or is of version 1",
            };
            let fault = Fault::BrokenList { number, reason: reason.to_owned() };
            self.wrong.push(file.wrong(fault));
            return None;
        }
        Some(lists)
    }
}

/// Parses a chain whose first certificate is a server's.
fn parsed(
    file: &PemFile,
    chain: &[CertificateDer<'static>],
) -> Result<Vec<Certificate>, WrongFile> {
    let mut parsed = Vec::new();
    for (number, der) in (1..).zip(chain) {
        let certificate = Certificate::from_der(der)
            .map_err(|_| file.wrong(Fault::BrokenCertificate { number }))?;
        if number == 1 && certificate.tbs_certificate().version() == Version::V1 {
            return Err(file.wrong(Fault::OldCertificate { number }));
        }
        parsed.push(certificate);
    }
    Ok(parsed)
}

/// What is wrong with a key that is not that of the first certificate.
fn mismatch(public: &[u8], chain: &[Certificate], certificates: PathBuf) -> Fault {
    let is_its = |certificate: &Certificate| {
        let key = certificate.tbs_certificate().subject_public_key_info();
        x509_cert::der::Encode::to_der(key).is_ok_and(|key| key == public)
    };
    match chain.iter().position(is_its) {
        Some(at) => Fault::NotFirst { certificates, number: at + 1 },
        None => Fault::KeyMismatch { certificates },
    }
}

#[cfg(test)]
mod tests;
