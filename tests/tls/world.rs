//! A broker with certificates of its own, and clients that see every byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::support::running::{Broker, allowed_cores, blipmq};

/// How long a client waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A broker, its authority, and the folder of its files, which is removed at the end.
pub struct World {
    pub broker: Option<Broker>,
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl World {
    /// Starts a broker with these keys of `[tls]` on one core, and other tables behind them.
    pub fn start(keys: &str) -> World {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tls-{}-{number}", std::process::id());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("valid parameters");
        let mut world = World { broker: None, authority, folder };
        world.write("ca.pem", &world.authority.pem());
        world.renew();
        let text = format!("[tls]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\n{keys}");
        world.write("blipmq.toml", &text);
        let cores = allowed_cores()[0].to_string();
        let config = world.folder.join("blipmq.toml");
        let config = config.to_str().expect("a plain path");
        let mut command = blipmq(&["--bind", "127.0.0.1:0", "--nats-bind", "127.0.0.1:0"]);
        command.args(["--metrics-bind", "127.0.0.1:0", "--cores", &cores, "--config", config]);
        world.broker = Some(Broker::from_command(command));
        world
    }

    /// Writes another certificate for the broker.
    pub fn renew(&self) -> CertificateDer<'static> {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.authority).expect("valid parameters");
        self.write("a.pem", &certificate.pem());
        self.write("a.key", &key.serialize_pem());
        certificate.der().clone()
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.folder.join(name);
        std::fs::write(&path, content).expect("our own file");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, mode).expect("our own file");
    }

    pub fn broker(&self) -> &Broker {
        self.broker.as_ref().expect("it runs")
    }

    pub fn blip(&self) -> SocketAddr {
        self.broker().addr
    }

    pub fn nats(&self) -> SocketAddr {
        self.broker().nats.expect("NATS is served")
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).expect("an authority");
        roots
    }

    /// A client that speaks these versions.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into());
        let builder = builder.with_protocol_versions(versions).expect("known versions");
        let mut config = builder.with_root_certificates(self.roots()).with_no_client_auth();
        config.alpn_protocols = vec![b"blip/1".to_vec()];
        config.into()
    }

    /// A client with a certificate that has this e-mail address.
    pub fn certified_client(&self, email: &str) -> Arc<ClientConfig> {
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.subject_alt_names =
            vec![SanType::Rfc822Name(email.try_into().expect("an address of ASCII"))];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.authority).expect("valid parameters");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into());
        let builder = builder.with_safe_default_protocol_versions().expect("known versions");
        let config = builder.with_root_certificates(self.roots());
        let config = config.with_client_auth_cert(vec![certificate.der().clone()], key);
        config.expect("they belong together").into()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.broker.take());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A socket that waits long for what has to come.
pub fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the broker listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    stream
}

/// Everything until the end of the stream.
pub fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(error) => panic!("no end behind {bytes:?}: {error}"),
    }
}

/// One line in plain text.
pub fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).expect("a line comes");
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("text")
}

/// A client's end of TLS.
pub struct Client {
    pub tls: ClientConnection,
    pub stream: TcpStream,
    /// Every byte that came.
    pub wire: Vec<u8>,
    plain: Vec<u8>,
    has_ended: bool,
}

impl Client {
    /// Begins TLS on a connection.
    pub fn begin(config: &Arc<ClientConfig>, stream: TcpStream) -> Client {
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(config.clone(), name).expect("a client");
        Client { tls, stream, wire: Vec::new(), plain: Vec::new(), has_ended: false }
    }

    /// Does the whole handshake on a connection.
    pub fn shake(config: &Arc<ClientConfig>, stream: TcpStream) -> Client {
        let mut client = Client::begin(config, stream);
        client.finish_handshake().expect("the broker agrees");
        client
    }

    pub fn finish_handshake(&mut self) -> Result<(), String> {
        while self.tls.is_handshaking() {
            self.flush();
            if self.tls.is_handshaking() {
                self.read_some()?;
            }
        }
        self.flush();
        Ok(())
    }

    pub fn flush(&mut self) {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.stream).expect("the broker reads");
        }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(16_384) {
            self.tls.writer().write_all(piece).expect("there is room");
            self.flush();
        }
    }

    /// Reads what comes next; the error says why nothing more comes.
    pub fn read_some(&mut self) -> Result<(), String> {
        let mut bytes = [0; 8_192];
        let len = self.stream.read(&mut bytes).map_err(|error| error.to_string())?;
        if len == 0 {
            self.has_ended = true;
            return Err("the end".to_owned());
        }
        self.wire.extend_from_slice(&bytes[..len]);
        let mut bytes = &bytes[..len];
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).map_err(|error| error.to_string())?;
            self.tls.process_new_packets().map_err(|error| error.to_string())?;
            // Nothing for now, or the end of TLS.
            let _ = self.tls.reader().read_to_end(&mut self.plain);
        }
        Ok(())
    }

    /// Reads so many bytes.
    pub fn read(&mut self, len: usize) -> Vec<u8> {
        while self.plain.len() < len {
            self.read_some().expect("more has to come");
        }
        self.plain.drain(..len).collect()
    }

    /// Reads a line.
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.plain.windows(2).position(|end| end == b"\r\n") {
                return String::from_utf8(self.read(end + 2)).expect("text");
            }
            self.read_some().expect("a line has to come");
        }
    }

    /// Reads until nothing more comes; returns why, and what came.
    pub fn rest(&mut self) -> (String, Vec<u8>) {
        loop {
            if let Err(why) = self.read_some() {
                return (why, std::mem::take(&mut self.plain));
            }
        }
    }

    /// Logs in as a NATS client, behind INFO.
    pub fn log_in(mut self) -> Client {
        self.write(b"CONNECT {\"verbose\":false}\r\nPING\r\n");
        assert_eq!(self.line(), "PONG\r\n");
        self
    }
}

/// Asserts that bytes are whole records of TLS, and returns their types.
pub fn records(mut wire: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [kind, 3, _, high, low, rest @ ..] = wire {
        let len = usize::from(*high) << 8 | usize::from(*low);
        assert!((20..=23).contains(kind) && len <= rest.len(), "no record: {wire:?}");
        kinds.push(*kind);
        wire = &rest[len..];
    }
    assert!(wire.is_empty(), "no record: {wire:?}");
    kinds
}
