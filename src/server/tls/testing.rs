//! Authorities, certificates and handshakes for tests, made anew at each run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use blipmq::config::Settings;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SanType, SerialNumber, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use super::certificates::provider;

/// A folder of one test, which removes itself.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("blipmq-tls-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder of our own");
        Folder(path)
    }

    /// Writes a file that only its owner can read.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), content).expect("it is ours");
        self.set_mode(name, 0o600);
    }

    pub fn set_mode(&self, name: &str, mode: u32) {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(self.0.join(name), mode).expect("it is ours");
    }

    /// Writes the certificates and the key of a pair as `NAME.pem` and `NAME.key`.
    pub fn write_pair(&self, name: &str, pair: &Pair) {
        self.write(&format!("{name}.pem"), &pair.pem);
        self.write(&format!("{name}.key"), pair.key.serialize_pem());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Settings with the files `a.pem` and `a.key`, and these keys of `[tls]` too.
pub fn settings(keys: &str) -> Settings {
    let text = format!("[tls]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\n{keys}");
    Settings::parse("blipmq.toml", &text).expect(&text)
}

/// A certificate and its key.
pub struct Pair {
    pub pem: String,
    pub der: CertificateDer<'static>,
    pub key: KeyPair,
    pub serial: SerialNumber,
}

/// An authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    issued: AtomicU32,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("valid parameters");
        Authority { issuer, issued: AtomicU32::new(1) }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate of a server with these DNS names.
    pub fn server(&self, names: &[&str]) -> Pair {
        self.issue(params("server", names), KeyPair::generate().expect("a key"))
    }

    /// A certificate of a client with these alternative names.
    pub fn client(&self, common_name: &str, names: Vec<SanType>) -> Pair {
        let mut params = params(common_name, &[]);
        params.subject_alt_names = names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, KeyPair::generate().expect("a key"))
    }

    pub fn issue(&self, mut params: CertificateParams, key: KeyPair) -> Pair {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let serial = SerialNumber::from(u64::from(number));
        params.serial_number = Some(serial.clone());
        let certificate = params.signed_by(&key, &self.issuer).expect("valid parameters");
        Pair { pem: certificate.pem(), der: certificate.der().clone(), key, serial }
    }

    /// A list that revokes these certificates, with the next one due at the start of a year.
    pub fn list(&self, revoked: &[&Pair], next_year: i32) -> String {
        let revoked = revoked.iter().map(|pair| RevokedCertParams {
            serial_number: pair.serial.clone(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2019, 1, 1),
            next_update: date_time_ymd(next_year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("valid parameters").pem().expect("it is PEM")
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("an authority");
        roots
    }

    /// The configuration of a client that trusts this authority.
    pub fn trusting(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        own: Option<&Pair>,
    ) -> ClientConfig {
        self.trusting_with(provider(), versions, own)
    }

    /// The same, with other cryptography.
    pub fn trusting_with(
        &self,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
        own: Option<&Pair>,
    ) -> ClientConfig {
        let config = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(versions)
            .expect("the provider has suites of both")
            .with_root_certificates(self.roots());
        match own {
            None => config.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::try_from(pair.key.serialize_der()).expect("a key");
                let chain = vec![pair.der.clone()];
                config.with_client_auth_cert(chain, key).expect("they belong together")
            }
        }
    }
}

/// Parameters of a certificate that is valid for centuries.
pub fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("valid names");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// Both ends of a connection, after their handshake. `Err` has the reason of the side that failed.
pub fn shake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<(ServerConnection, ClientConnection), rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).expect("a valid name");
    let mut server = ServerConnection::new(server.clone())?;
    let mut client = ClientConnection::new(client.clone(), name)?;
    loop {
        let mut moved = 0;
        let mut bytes = Vec::new();
        while client.wants_write() {
            moved += client.write_tls(&mut bytes).expect("a vector takes all");
        }
        feed(&mut bytes.as_slice(), |read| server.read_tls(read).map(drop));
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        while server.wants_write() {
            moved += server.write_tls(&mut bytes).expect("a vector takes all");
        }
        feed(&mut bytes.as_slice(), |read| client.read_tls(read).map(drop));
        client.process_new_packets()?;
        if moved == 0 {
            return Ok((server, client));
        }
    }
}

fn feed(bytes: &mut &[u8], mut read: impl FnMut(&mut dyn std::io::Read) -> std::io::Result<()>) {
    while !bytes.is_empty() {
        read(bytes).expect("there is room");
    }
}
