//! Certificates of tests: an authority, made anew at each run, and what it signs.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::running::TempFile;

/// An authority that signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The certificate of the authority.
    pub file: TempFile,
}

/// A certificate and its key.
pub struct Identity {
    pub certificate: TempFile,
    pub key: TempFile,
}

/// When a certificate is valid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    Now,
    Past,
    Future,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let file = TempFile::new("ca.pem", issuer.pem().as_bytes());
        Authority { issuer, file }
    }

    /// A certificate for servers of these names and IP addresses.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.server_of(names, Dates::Now)
    }

    pub fn server_of(&self, names: &[&str], dates: Dates) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("legal names");
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth, dates)
    }

    /// A certificate for a client of this name.
    pub fn client(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth, Dates::Now)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        purpose: ExtendedKeyUsagePurpose,
        dates: Dates,
    ) -> Identity {
        params.extended_key_usages = vec![purpose];
        match dates {
            Dates::Now => {}
            Dates::Past => {
                params.not_before = date_time_ymd(2001, 1, 1);
                params.not_after = date_time_ymd(2002, 1, 1);
            }
            Dates::Future => {
                params.not_before = date_time_ymd(2901, 1, 1);
                params.not_after = date_time_ymd(2902, 1, 1);
            }
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            certificate: TempFile::new("certificate.pem", certificate.pem().as_bytes()),
            key: TempFile::new("key.pem", key.serialize_pem().as_bytes()),
        }
    }
}

/// The configuration of a rustls server: no client certificates, or only those of `clients`.
pub fn server_config(
    identity: &Identity,
    clients: Option<&Authority>,
    protocols: &[&[u8]],
) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let file = CertificateDer::from_pem_file(&authority.file.0);
            roots.add(file.expect("a certificate")).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let chain = CertificateDer::pem_file_iter(&identity.certificate.0).expect("a file");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(&identity.key.0).expect("a key");
    let mut config = builder.with_single_cert(chain, key).expect("a pair");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}
