//! A scripted BLIP/1 server, for states of the client that a real broker seldom causes.
//!
//! Used by `client.rs` and `cli.rs`. The script runs in a thread with the connection; a panic of the
//! script fails the test when the server is joined.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod authority;
pub mod broker;
pub mod nats;
pub mod printer;
pub mod running;
pub mod tls_proxy;
pub mod wire;
pub mod written;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use blipmq::protocol::decode::{self, ClientFrame, Subscribe, Welcome};
use blipmq::protocol::messages::{self, Header};
use blipmq::protocol::{CoreId, Kind, RequestId, Sequence, SubscriptionId, TopicId, encode};

/// Longest payload and frame that the scripted server announces.
pub const MESSAGE_LEN_MAX: u32 = 64 << 20;
pub const FRAME_LEN_MAX: u32 = MESSAGE_LEN_MAX + 70_000;

/// A listening server and the thread of its script.
pub struct Server<T> {
    pub addr: String,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Server<T> {
    /// Accepts one connection and passes it to `script` before HELLO.
    pub fn raw(script: impl FnOnce(Connection) -> T + Send + 'static) -> Server<T> {
        Server::listening(|listener| script(listener.accept()))
    }

    /// Passes the listener to `script`, which accepts any number of connections.
    pub fn listening(script: impl FnOnce(Listener) -> T + Send + 'static) -> Server<T> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound listener").to_string();
        let thread = std::thread::spawn(move || script(Listener(listener)));
        Server { addr, thread }
    }

    /// Accepts one connection, answers HELLO, and passes the connection to `script`.
    pub fn start(script: impl FnOnce(Connection) -> T + Send + 'static) -> Server<T> {
        Server::raw(|mut connection| {
            connection.welcome();
            script(connection)
        })
    }

    /// The result of the script, once it has ended.
    pub fn join(self) -> T {
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// The listener of a script.
pub struct Listener(TcpListener);

impl Listener {
    /// Accepts the next connection, before HELLO.
    pub fn accept(&self) -> Connection {
        let (stream, _) = self.0.accept().expect("the client connects");
        stream.set_nodelay(true).expect("a socket option");
        Connection::over(stream)
    }
}

/// The WELCOME of a scripted server with this id.
pub fn welcome_of(server_id: u64) -> Welcome<'static> {
    Welcome {
        version: 1,
        core: CoreId(0),
        cores: 1,
        shards: 2,
        message_len_max: MESSAGE_LEN_MAX,
        frame_len_max: FRAME_LEN_MAX,
        server_id,
        server: "scripted/1",
    }
}

/// The server's end of a connection, over a socket or over TLS.
pub struct Connection<S = TcpStream> {
    pub stream: S,
    buffer: Vec<u8>,
}

/// A MESSAGES frame of the client.
#[derive(Debug, Clone)]
pub struct Published {
    pub header: Header,
    pub payloads: Vec<Vec<u8>>,
    pub frame: Vec<u8>,
}

impl Published {
    /// The value of a header that the first message must have.
    pub fn header_value(&self, name: &str) -> Vec<u8> {
        let mut headers = messages::records(&self.frame).next().expect("a message").headers;
        let found = headers.find(|(found, _)| *found == name.as_bytes());
        found.unwrap_or_else(|| panic!("no header {name}")).1.to_vec()
    }
}

impl<S: Read + Write> Connection<S> {
    pub fn over(stream: S) -> Connection<S> {
        Connection { stream, buffer: Vec::new() }
    }

    /// The next frame; `None` when the client has closed.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let found = decode::next_frame(&self.buffer, FRAME_LEN_MAX).expect("a legal length");
            if let Some(frame) = found {
                let frame = frame.to_vec();
                self.buffer.drain(..frame.len());
                return Some(frame);
            }
            let mut bytes = vec![0; 64 * 1_024];
            match self.stream.read(&mut bytes) {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.buffer.extend_from_slice(&bytes[..read]),
            }
        }
    }

    /// The next frame, which has to be of this kind.
    pub fn expect(&mut self, kind: Kind) -> Vec<u8> {
        let frame = self.next().unwrap_or_else(|| panic!("{kind:?} was due, the client closed"));
        assert_eq!(frame[4], kind as u8, "{kind:?} was due, got {frame:?}");
        decode::client_frame(&frame, MESSAGE_LEN_MAX).expect("a legal frame");
        frame
    }

    /// Reads HELLO and answers WELCOME.
    pub fn welcome(&mut self) {
        self.welcome_as(0xfeed);
    }

    /// Reads HELLO and answers WELCOME with this server id.
    pub fn welcome_as(&mut self, server_id: u64) {
        self.expect(Kind::Hello);
        self.send(|out| encode::welcome(out, &welcome_of(server_id)));
    }

    /// Sends what `write` appends.
    pub fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        self.stream.write_all(&out).expect("the client reads");
    }

    pub fn expect_open(&mut self) -> (RequestId, String) {
        let frame = self.expect(Kind::Open);
        match decode::client_frame(&frame, MESSAGE_LEN_MAX) {
            Ok(ClientFrame::Open { request, topic }) => (request, topic.to_owned()),
            other => panic!("{other:?}"),
        }
    }

    /// Reads an OPEN and answers TOPIC.
    pub fn accept_open(&mut self, id: u32) -> String {
        let (request, name) = self.expect_open();
        self.send(|out| {
            encode::topic(out, request, TopicId(id), Sequence(1), CoreId(0), &name);
        });
        name
    }

    /// Reads a PING and answers PONG.
    pub fn accept_ping(&mut self) {
        let opaque = self.expect_ping();
        self.send(|out| encode::pong(out, opaque));
    }

    pub fn expect_messages(&mut self) -> Published {
        published(&self.expect(Kind::Messages))
    }

    pub fn expect_ping(&mut self) -> u64 {
        let frame = self.expect(Kind::Ping);
        match decode::client_frame(&frame, MESSAGE_LEN_MAX) {
            Ok(ClientFrame::Ping { opaque }) => opaque,
            other => panic!("{other:?}"),
        }
    }

    /// Reads a SUBSCRIBE and passes it to `check`.
    pub fn expect_subscribe(&mut self, check: impl FnOnce(&Subscribe<'_>)) -> SubscriptionId {
        let frame = self.expect(Kind::Subscribe);
        match decode::client_frame(&frame, MESSAGE_LEN_MAX) {
            Ok(ClientFrame::Subscribe(subscribe)) => {
                check(&subscribe);
                subscribe.subscription
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn expect_unsubscribe(&mut self) -> SubscriptionId {
        let frame = self.expect(Kind::Unsubscribe);
        match decode::client_frame(&frame, MESSAGE_LEN_MAX) {
            Ok(ClientFrame::Unsubscribe { subscription }) => subscription,
            other => panic!("{other:?}"),
        }
    }

    /// Reads a SUBSCRIBE and answers SUBSCRIBED.
    pub fn accept_subscribe(&mut self) -> SubscriptionId {
        let subscription = self.expect_subscribe(|_| {});
        self.send(|out| encode::subscribed(out, subscription));
        subscription
    }

    /// Sends TOPIC for a topic that the client did not open.
    pub fn name_topic(&mut self, id: u32, name: &str) {
        self.send(|out| {
            encode::topic(out, RequestId(0), TopicId(id), Sequence(1), CoreId(0), name);
        });
    }

    /// Sends one MESSAGES frame.
    pub fn deliver(&mut self, topic: u32, sequence: u64, payloads: &[&[u8]]) {
        self.send(|out| out.extend_from_slice(&delivery(topic, sequence, payloads)));
    }

    /// Reads until the client closes or sends CLOSE.
    pub fn until_close(mut self) {
        while let Some(frame) = self.next() {
            if frame[4] == Kind::Close as u8 {
                return;
            }
        }
    }

    /// Serves a publisher like a broker until CLOSE; returns topics and payloads in order.
    pub fn serve_publisher(mut self) -> Vec<(String, Vec<u8>)> {
        let mut taken = Vec::new();
        let mut names = HashMap::new();
        while let Some(frame) = self.next() {
            match decode::client_frame(&frame, MESSAGE_LEN_MAX).expect("a legal frame") {
                ClientFrame::Open { request: RequestId(request), topic } => {
                    names.insert(request | 0x8000_0000, topic.to_owned());
                    names.insert(request + 1_000, topic.to_owned());
                    let (request, id) = (RequestId(request), TopicId(request + 1_000));
                    let name = topic;
                    self.send(|out| encode::topic(out, request, id, Sequence(1), CoreId(0), name));
                }
                ClientFrame::Messages(header) => {
                    let name = names.get(&header.topic).expect("an opened topic");
                    let payloads = published(&frame).payloads.into_iter();
                    taken.extend(payloads.map(|payload| (name.clone(), payload)));
                }
                ClientFrame::Ping { opaque } => self.send(|out| encode::pong(out, opaque)),
                ClientFrame::Close => break,
                other => panic!("{other:?}"),
            }
        }
        taken
    }
}

fn published(frame: &[u8]) -> Published {
    let payloads = messages::records(frame).map(|record| record.payload.to_vec()).collect();
    Published { header: Header::read(frame), payloads, frame: frame.to_vec() }
}

/// A MESSAGES frame as a broker sends it.
pub fn delivery(topic: u32, sequence: u64, payloads: &[&[u8]]) -> Vec<u8> {
    let mut records = Vec::new();
    for payload in payloads {
        records.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        records.extend_from_slice(payload);
    }
    frame_of(topic, sequence, payloads.len() as u16, 0, &records)
}

/// Addresses a MESSAGES frame to one subscription.
pub fn delivery_to(subscription: SubscriptionId, mut frame: Vec<u8>) -> Vec<u8> {
    frame[12..16].copy_from_slice(&subscription.0.to_le_bytes());
    frame
}

/// A MESSAGES frame with one message that has headers.
pub fn delivery_with_headers(
    topic: u32,
    sequence: u64,
    headers: &[(&[u8], &[u8])],
    payload: &[u8],
) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(name.len() as u8);
        block.extend_from_slice(name);
        block.extend_from_slice(&(value.len() as u16).to_le_bytes());
        block.extend_from_slice(value);
    }
    let record_len = (2 + block.len() + payload.len()) as u32;
    let mut record = (record_len | 0x8000_0000).to_le_bytes().to_vec();
    record.extend_from_slice(&(block.len() as u16).to_le_bytes());
    record.extend_from_slice(&block);
    record.extend_from_slice(payload);
    frame_of(topic, sequence, 1, 1 << 2, &record)
}

fn frame_of(topic: u32, sequence: u64, count: u16, flags: u8, records: &[u8]) -> Vec<u8> {
    let header = Header {
        frame_len: (40 + records.len()) as u32,
        flags,
        count,
        topic,
        subscription: 0,
        sequence,
        timestamp: 1_700_000_000_000_000_000,
        ttl_ms: 250,
        crc: 0,
    };
    let mut frame = header.to_bytes().to_vec();
    frame.extend_from_slice(records);
    frame
}
