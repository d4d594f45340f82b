//! The admin pages over TLS: who is served, who is not, and with which certificate.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Output;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::on_one_and_two_cores;
use crate::support::authority::{Authority, Identity};
use crate::support::running::{Broker, TempFile, blipmq};
use crate::support::wire::PATIENCE;

on_one_and_two_cores! {
    pages_are_served_over_tls_and_the_token_with_them,
    a_client_in_plain_text_gets_no_answer,
    clients_that_are_silent_in_their_handshakes_keep_no_probe_waiting,
    a_reload_serves_the_new_certificate_to_the_next_connection,
    pages_become_secure_at_a_restart_and_not_at_a_reload,
    a_certificate_of_a_client_stands_for_the_token,
    where_certificates_are_required_nobody_without_one_gets_an_answer,
    handshakes_of_the_pages_are_counted_by_result,
}

/// The places for connections to the pages.
const PLACES: usize = 32;

/// A broker with TLS on its pages and nowhere else, and the files that it reads.
struct Secure {
    broker: Broker,
    authority: Authority,
    files: Identity,
    config: TempFile,
}

/// An answer, and the certificate of the broker.
struct Answer {
    head: String,
    body: String,
    certificate: CertificateDer<'static>,
}

impl Secure {
    fn start(cores: &str) -> Secure {
        Secure::start_with(cores, "")
    }

    /// Starts a broker whose clients show certificates of its authority: `asks` says whether, if at all.
    fn start_with(cores: &str, asks: &str) -> Secure {
        let authority = Authority::new("Test CA");
        let files = authority.server(&["127.0.0.1"]);
        restrict(&files.key);
        let mut text = text(&files, "tls = true");
        if !asks.is_empty() {
            let authorities = format!("[tls]\nclient_ca_file = \"{}\"\n", authority.file.path());
            text = text.replace("[tls]\n", &authorities) + &format!("client_certs = \"{asks}\"\n");
        }
        let config = TempFile::new("pages.toml", text.as_bytes());
        let mut command = blipmq(&["--bind", "127.0.0.1:0", "--nats-bind", "127.0.0.1:0"]);
        command.args(["--metrics-bind", "127.0.0.1:0", "--cores", cores]);
        command.args(["--config", config.path()]);
        Secure { broker: Broker::from_command(command), authority, files, config }
    }

    fn address(&self) -> SocketAddr {
        self.broker.metrics.expect("the pages are served")
    }

    /// Connects, without a word yet.
    fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        self.connect_as(None)
    }

    /// The same, for a client that may have a certificate.
    fn connect_as(&self, client: Option<&Identity>) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(&self.authority.file.0);
        roots.add(root.expect("a certificate")).expect("an authority");
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites")
            .with_root_certificates(roots);
        let config = match client {
            None => config.with_no_client_auth(),
            Some(client) => {
                let certificate = CertificateDer::from_pem_file(&client.certificate.0);
                let key = PrivateKeyDer::from_pem_file(&client.key.0).expect("a key");
                let chain = vec![certificate.expect("a certificate")];
                config.with_client_auth_cert(chain, key).expect("they belong together")
            }
        };
        let name = "127.0.0.1".try_into().expect("an address");
        let tls = ClientConnection::new(Arc::new(config), name).expect("a valid configuration");
        StreamOwned::new(tls, plain(self.address()))
    }

    fn get(&self, path: &str, headers: &str) -> Answer {
        self.get_over(self.connect(), path, headers)
    }

    fn get_over(
        &self,
        mut stream: StreamOwned<ClientConnection, TcpStream>,
        path: &str,
        headers: &str,
    ) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).expect("the broker reads");
        let mut answer = String::new();
        // An error unless the broker ends TLS before the connection.
        stream.read_to_string(&mut answer).expect("the broker answers whole");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let chain = stream.conn.peer_certificates().expect("the handshake is over");
        let certificate = chain[0].clone().into_owned();
        Answer { head: head.to_owned(), body: body.to_owned(), certificate }
    }

    /// Runs `blipmq reload` against the pages.
    fn reload(&self) -> Output {
        let url = format!("https://{}", self.address());
        let mut command = blipmq(&["reload", "--metrics", &url, "--token", "s3cret"]);
        command.args(["--tls-ca", self.authority.file.path()]).output().expect("blipmq starts")
    }
}

/// A configuration with these keys of the pages.
fn text(files: &Identity, pages: &str) -> String {
    let (certificate, key) = (files.certificate.path(), files.key.path());
    format!(
        "[tls]\ncert_file = \"{certificate}\"\nkey_file = \"{key}\"\nblip = \"off\"\nnats = \"off\"\n\
         [metrics]\ntoken = \"s3cret\"\n{pages}\n"
    )
}

/// Lets nobody else read a file: the broker refuses a key that others can read.
fn restrict(file: &TempFile) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&file.0, mode).expect("our own file");
}

fn plain(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the broker listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    stream
}

fn pages_are_served_over_tls_and_the_token_with_them(cores: &str) {
    let secure = Secure::start(cores);
    let url =
        format!("metrics on https://{0}/metrics, dashboard on https://{0}/", secure.address());
    assert!(secure.broker.ready.contains(&url), "{}", secure.broker.ready);
    let health = secure.get("/healthz", "");
    assert!(health.head.starts_with("HTTP/1.1 200 ") && health.body == "ok\n", "{}", health.head);
    let refused = secure.get("/metrics", "");
    assert!(refused.head.starts_with("HTTP/1.1 401 "), "{}", refused.head);
    let page = secure.get("/metrics", "Authorization: Bearer s3cret\r\n");
    assert!(page.head.starts_with("HTTP/1.1 200 "), "{}", page.head);
    assert!(page.body.contains("\nblipmq_ready 1\n"), "{}", page.body);
}

fn a_client_in_plain_text_gets_no_answer(cores: &str) {
    let secure = Secure::start(cores);
    let mut stream = plain(secure.address());
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("the broker listens");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    let is_alert = answer.is_empty() || answer[0] == 21;
    assert!(is_alert && answer.len() <= 7, "{answer:?}");
    assert_eq!(secure.get("/healthz", "").body, "ok\n");
}

fn clients_that_are_silent_in_their_handshakes_keep_no_probe_waiting(cores: &str) {
    let secure = Secure::start(cores);
    let mut silent = Vec::new();
    for number in 0..PLACES {
        let mut client = secure.connect();
        let mut hello = Vec::new();
        client.conn.write_tls(&mut hello).expect("a vector takes all");
        // Half of them after a part of their hello.
        let part = if number % 2 == 0 { 0 } else { hello.len() / 2 };
        client.sock.write_all(&hello[..part]).expect("the broker listens");
        silent.push(client);
    }
    assert_eq!(secure.get("/healthz", "").body, "ok\n");
}

fn a_reload_serves_the_new_certificate_to_the_next_connection(cores: &str) {
    let secure = Secure::start(cores);
    let certificate = |files: &Identity| {
        CertificateDer::from_pem_file(&files.certificate.0).expect("a certificate")
    };
    let mut before = secure.connect();
    before.conn.complete_io(&mut before.sock).expect("a handshake");
    assert_eq!(secure.get("/healthz", "").certificate, certificate(&secure.files));
    let renewed = secure.authority.server(&["127.0.0.1"]);
    for (from, to) in
        [(&renewed.certificate, &secure.files.certificate), (&renewed.key, &secure.files.key)]
    {
        std::fs::copy(&from.0, &to.0).expect("our own files");
    }
    restrict(&secure.files.key);
    let output = secure.reload();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("the files of tls"), "{output:?}");
    assert_eq!(secure.get("/healthz", "").certificate, certificate(&renewed));
    // A connection from before goes on.
    before.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("the broker reads");
    let mut answer = String::new();
    before.read_to_string(&mut answer).expect("the broker answers whole");
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
}

fn pages_become_secure_at_a_restart_and_not_at_a_reload(cores: &str) {
    let secure = Secure::start(cores);
    std::fs::write(&secure.config.0, text(&secure.files, "tls = false")).expect("our own file");
    let output = secure.reload();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("needs a restart: metrics.tls"), "{output:?}");
    assert_eq!(secure.get("/healthz", "").body, "ok\n");
    std::fs::write(&secure.config.0, "[metrics]\ntoken = \"s3cret\"\n").expect("our own file");
    let output = secure.reload();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(secure.get("/healthz", "").body, "ok\n", "the certificate is needed until then");
}

fn a_certificate_of_a_client_stands_for_the_token(cores: &str) {
    let secure = Secure::start_with(cores, "optional");
    let of_client = secure.authority.client("prometheus");
    let page = secure.get_over(secure.connect_as(Some(&of_client)), "/metrics", "");
    assert!(page.head.starts_with("HTTP/1.1 200 "), "{}", page.head);
    let refused = secure.get("/metrics", "");
    assert!(refused.head.starts_with("HTTP/1.1 401 "), "{}", refused.head);
    let page = secure.get("/metrics", "Authorization: Bearer s3cret\r\n");
    assert!(page.head.starts_with("HTTP/1.1 200 "), "{}", page.head);
    assert_eq!(secure.get("/healthz", "").body, "ok\n");
    // One that somebody else has signed does not.
    let stranger = Authority::new("Another CA").client("prometheus");
    assert!(is_refused(secure.connect_as(Some(&stranger))));
}

fn where_certificates_are_required_nobody_without_one_gets_an_answer(cores: &str) {
    let secure = Secure::start_with(cores, "required");
    assert!(is_refused(secure.connect()));
    let of_client = secure.authority.client("prometheus");
    for path in ["/healthz", "/metrics"] {
        let page = secure.get_over(secure.connect_as(Some(&of_client)), path, "");
        assert!(page.head.starts_with("HTTP/1.1 200 "), "{path}: {}", page.head);
    }
}

/// Whether a client gets no answer to a request.
fn is_refused(mut stream: StreamOwned<ClientConnection, TcpStream>) -> bool {
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    // In TLS 1.3 the broker's alert follows a handshake that the client takes for done.
    stream.write_all(request).is_err() || stream.read(&mut [0; 64]).is_err()
}

fn handshakes_of_the_pages_are_counted_by_result(cores: &str) {
    let secure = Secure::start(cores);
    secure.get("/healthz", "");
    let mut plain = plain(secure.address());
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("the broker listens");
    let _ = plain.read_to_end(&mut Vec::new());
    let page = secure.get("/metrics", "Authorization: Bearer s3cret\r\n").body;
    let count = |result: &str| {
        let sample =
            format!("blipmq_tls_handshakes_total{{listener=\"metrics\",result=\"{result}\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&sample));
        line.unwrap_or_else(|| panic!("{result} is missing")).to_owned()
    };
    // Its own one as well.
    assert_eq!([count("full"), count("resumed"), count("failed")], ["2", "0", "1"]);
}
