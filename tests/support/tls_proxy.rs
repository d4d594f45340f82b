//! A server in front of another: TLS outside, plain bytes inside. So each server of the tests, the real
//! broker too, can be reached over TLS of an implementation that is not the broker's own.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{HandshakeKind, ServerConfig, ServerConnection};

use super::wire::PATIENCE;

/// What a proxy does before the handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The client speaks first, in TLS.
    Hello,
    /// The first line of the server behind is passed on in plain text, as NATS has it.
    PlainLine,
}

pub struct Proxy {
    pub addr: String,
    handshakes: Receiver<Handshake>,
    clients: Arc<Mutex<Vec<TcpStream>>>,
}

/// What a client did in its handshake.
#[derive(Debug, PartialEq, Eq)]
pub struct Handshake {
    pub is_resumed: bool,
    pub has_certificate: bool,
    pub protocol: Option<Vec<u8>>,
    pub server_name: Option<String>,
}

impl Proxy {
    /// Starts a proxy in front of the server at `behind`, a host:port.
    pub fn start(config: Arc<ServerConfig>, behind: &str) -> Proxy {
        Proxy::start_with(config, behind, Start::Hello)
    }

    pub fn start_with(config: Arc<ServerConfig>, behind: &str, start: Start) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound listener").to_string();
        let (sender, handshakes) = mpsc::channel();
        let clients = Arc::new(Mutex::new(Vec::new()));
        let (accepted, behind) = (clients.clone(), behind.to_owned());
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                accepted.lock().unwrap().push(client.try_clone().expect("a descriptor"));
                let (config, behind, sender) = (config.clone(), behind.clone(), sender.clone());
                thread::spawn(move || serve(config, client, &behind, start, &sender));
            }
        });
        Proxy { addr, handshakes, clients }
    }

    /// What the next client did.
    pub fn handshake(&self) -> Handshake {
        self.handshakes.recv_timeout(PATIENCE).expect("a client shakes hands")
    }

    /// Cuts all connections, as a broken network does: without the end of TLS.
    pub fn cut(&self) {
        for client in self.clients.lock().unwrap().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

/// One connection, and the two threads that pass its bytes on.
struct Relay {
    tls: Mutex<ServerConnection>,
    /// Who holds the lock may write to the client.
    records: Mutex<Vec<u8>>,
    client: TcpStream,
    behind: TcpStream,
}

fn serve(
    config: Arc<ServerConfig>,
    mut client: TcpStream,
    behind: &str,
    start: Start,
    handshakes: &Sender<Handshake>,
) {
    // The server behind may be gone; then so is the client.
    let Ok(mut behind) = TcpStream::connect(behind) else { return };
    client.set_nodelay(true).expect("a socket option");
    behind.set_nodelay(true).expect("a socket option");
    if start == Start::PlainLine {
        let line = first_line(&mut behind);
        // Says what a server says that has TLS.
        let line = line.replacen('{', "{\"tls_required\":true,", 1);
        client.write_all(line.as_bytes()).expect("the client reads");
    }
    let mut tls = ServerConnection::new(config).expect("a configuration");
    while tls.is_handshaking() {
        if tls.complete_io(&mut client).is_err() {
            // The alert is on its way.
            return;
        }
    }
    tls.set_buffer_limit(None);
    let _ = handshakes.send(Handshake {
        is_resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        has_certificate: tls.peer_certificates().is_some(),
        protocol: tls.alpn_protocol().map(<[u8]>::to_vec),
        server_name: tls.server_name().map(str::to_owned),
    });
    let relay = Relay { tls: Mutex::new(tls), records: Mutex::default(), client, behind };
    thread::scope(|scope| {
        scope.spawn(|| relay.pass_inwards());
        relay.pass_outwards();
    });
}

fn first_line(stream: &mut TcpStream) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while byte[0] != b'\n' {
        stream.read_exact(&mut byte).expect("the server speaks first");
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("a line of text")
}

impl Relay {
    fn pass_inwards(&self) {
        let mut bytes = vec![0; 64 * 1_024];
        loop {
            let (plain, is_over) = {
                let mut tls = self.tls.lock().unwrap();
                let mut plain = Vec::new();
                let result = tls.reader().read_to_end(&mut plain);
                (plain, !matches!(result, Err(error) if error.kind() == ErrorKind::WouldBlock))
            };
            if (&self.behind).write_all(&plain).is_err() || is_over {
                break;
            }
            let Ok(read @ 1..) = (&self.client).read(&mut bytes) else { break };
            let mut rest = &bytes[..read];
            while !rest.is_empty() {
                let mut tls = self.tls.lock().unwrap();
                tls.read_tls(&mut rest).expect("plaintext is taken out");
                if tls.process_new_packets().is_err() {
                    break;
                }
                let mut plain = Vec::new();
                let _ = tls.reader().read_to_end(&mut plain);
                drop(tls);
                if (&self.behind).write_all(&plain).is_err() {
                    break;
                }
            }
        }
        let _ = self.behind.shutdown(Shutdown::Write);
    }

    fn pass_outwards(&self) {
        let mut bytes = vec![0; 256 * 1_024];
        while let Ok(read @ 1..) = (&self.behind).read(&mut bytes) {
            if !self.send(|tls| tls.writer().write_all(&bytes[..read]).expect("no limit")) {
                break;
            }
        }
        self.send(|tls| tls.send_close_notify());
        let _ = self.client.shutdown(Shutdown::Write);
    }

    fn send(&self, change: impl FnOnce(&mut ServerConnection)) -> bool {
        let mut records = self.records.lock().unwrap();
        let mut tls = self.tls.lock().unwrap();
        change(&mut tls);
        while tls.wants_write() {
            tls.write_tls(&mut *records).expect("memory");
        }
        drop(tls);
        let sent = (&self.client).write_all(&records);
        records.clear();
        sent.is_ok()
    }
}
