//! A raw NATS connection to a broker under test: every line as it comes, nothing hidden.
//!
//! Used by `process`. A read that takes longer than [`PATIENCE`] fails the test.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::wire;

/// The CONNECT of most clients.
pub const CONNECT: &str = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1,"name":"a test","lang":"rust"}"#;

/// A line of the broker, with its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerLine {
    Info(Value),
    Message(Message),
    Ping,
    Pong,
    Ok,
    /// The text between the quotes of -ERR.
    Error(String),
}

/// MSG or HMSG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub subject: String,
    pub sid: String,
    pub reply: Option<String>,
    /// Empty for MSG.
    pub headers: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Message {
    /// Its payload as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("text was published")
    }

    /// The header block as text.
    pub fn headers_text(&self) -> &str {
        std::str::from_utf8(&self.headers).expect("text was published")
    }
}

/// One connection.
pub struct Nats {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were returned already.
    taken: usize,
    /// The first INFO.
    pub info: Value,
}

impl Nats {
    /// Connects and reads INFO, without CONNECT.
    pub fn silent(addr: SocketAddr) -> Nats {
        Nats::over(TcpStream::connect(addr).expect("the broker listens"))
    }

    /// Connects like `silent`, with a small receive buffer: soon full when the client does not read.
    pub fn narrow(addr: SocketAddr) -> Nats {
        Nats::over(wire::narrow(addr))
    }

    /// Reads INFO of a new connection.
    pub fn over(stream: TcpStream) -> Nats {
        let mut nats = Nats::bare(stream);
        match nats.expect() {
            ServerLine::Info(info) => nats.info = info,
            other => panic!("INFO was due, got {other:?}"),
        }
        nats
    }

    /// A connection before its first read.
    pub fn bare(stream: TcpStream) -> Nats {
        wire::be_patient(&stream);
        Nats { stream, buffer: Vec::new(), taken: 0, info: Value::Null }
    }

    /// Connects as most clients do.
    pub fn connect(addr: SocketAddr) -> Nats {
        Nats::connect_as(addr, CONNECT)
    }

    /// Connects with other options, and waits until CONNECT is accepted.
    pub fn connect_as(addr: SocketAddr, json: &str) -> Nats {
        Nats::silent(addr).logged_in(json)
    }

    /// Sends CONNECT and waits until it is accepted.
    pub fn logged_in(mut self, json: &str) -> Nats {
        self.send(&format!("CONNECT {json}\r\n"));
        self.ping();
        self
    }

    /// Frees the read buffer, for one of very many connections.
    pub fn free_buffer(&mut self) {
        assert_eq!(self.taken, self.buffer.len(), "everything was taken");
        (self.buffer, self.taken) = (Vec::new(), 0);
    }

    pub fn client_id(&self) -> u64 {
        self.info["client_id"].as_u64().expect("INFO has the client id")
    }

    pub fn send(&mut self, text: &str) {
        self.write(text.as_bytes());
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }

    /// The same connection, to write to from another thread.
    pub fn writer(&self) -> TcpStream {
        self.stream.try_clone().expect("a socket can be shared")
    }

    /// Subscribes, and waits until the subscription is active on all cores. No message may come.
    pub fn subscribe(&mut self, subject: &str, sid: &str) {
        self.send(&format!("SUB {subject} {sid}\r\n"));
        self.ping();
    }

    /// Subscribes in a queue group, like `subscribe`.
    pub fn join(&mut self, subject: &str, queue: &str, sid: &str) {
        self.send(&format!("SUB {subject} {queue} {sid}\r\n"));
        self.ping();
    }

    pub fn publish(&mut self, subject: &str, payload: &[u8]) {
        let mut out = Vec::new();
        put(&mut out, subject, payload);
        self.write(&out);
    }

    /// PUB with a reply subject, or HPUB.
    pub fn publish_with(&mut self, subject: &str, reply: &str, headers: &[u8], payload: &[u8]) {
        let mut out = match headers {
            [] => format!("PUB {subject} {reply} {}\r\n", payload.len()),
            _ => {
                let (len, all) = (headers.len(), headers.len() + payload.len());
                format!("HPUB {subject} {reply} {len} {all}\r\n")
            }
        }
        .into_bytes();
        for part in [headers, payload, b"\r\n"] {
            out.extend_from_slice(part);
        }
        self.write(&out);
    }

    /// The next line of the broker; `None` when the broker has closed.
    pub fn next(&mut self) -> Option<ServerLine> {
        self.try_next().expect("a line, or the end of the connection")
    }

    /// As `next`, for connections that the broker may cut off.
    pub fn try_next(&mut self) -> std::io::Result<Option<ServerLine>> {
        loop {
            if let Some((said, len)) = parse(&self.buffer[self.taken..]) {
                self.taken += len;
                return Ok(Some(said));
            }
            self.buffer.drain(..self.taken);
            self.taken = 0;
            let len = self.buffer.len();
            self.buffer.resize(len + 64 * 1_024, 0);
            let read = self.stream.read(&mut self.buffer[len..]);
            self.buffer.truncate(len + read.as_ref().copied().unwrap_or(0));
            match read {
                Ok(0) => {
                    let rest = self.buffer.escape_ascii().to_string();
                    assert!(rest.is_empty(), "the broker closed within: {rest}");
                    return Ok(None);
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    #[track_caller]
    pub fn expect(&mut self) -> ServerLine {
        self.next().expect("a line was due, the broker closed")
    }

    /// The next line, which must be a message.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        match self.expect() {
            ServerLine::Message(message) => message,
            other => panic!("a message was due, got {other:?}"),
        }
    }

    /// Asserts that the next line is -ERR with this text.
    #[track_caller]
    pub fn expect_error(&mut self, text: &str) {
        assert_eq!(self.expect(), ServerLine::Error(text.to_owned()));
    }

    /// Asserts that -ERR with this text comes, and then the end.
    #[track_caller]
    pub fn expect_last_error(&mut self, text: &str) {
        self.expect_error(text);
        assert_eq!(self.next(), None, "nothing follows {text}");
    }

    /// Returns when the broker has served everything sent before. No message may come.
    #[track_caller]
    pub fn ping(&mut self) {
        self.send("PING\r\n");
        assert_eq!(self.expect(), ServerLine::Pong);
    }

    /// Sends PING; returns the messages that come before its PONG.
    #[track_caller]
    pub fn messages(&mut self) -> Vec<Message> {
        self.send("PING\r\n");
        let mut messages = Vec::new();
        loop {
            match self.expect() {
                ServerLine::Message(message) => messages.push(message),
                ServerLine::Pong => return messages,
                other => panic!("messages and PONG were due, got {other:?}"),
            }
        }
    }
}

/// Appends a PUB.
pub fn put(out: &mut Vec<u8>, subject: &str, payload: &[u8]) {
    out.extend_from_slice(format!("PUB {subject} {}\r\n", payload.len()).as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// The line at the beginning of `bytes`, and its length; `None` if the line is incomplete.
fn parse(bytes: &[u8]) -> Option<(ServerLine, usize)> {
    let len = bytes.windows(2).position(|two| two == b"\r\n")?;
    let line = std::str::from_utf8(&bytes[..len]).expect("lines are text");
    let end = len + 2;
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let said = match verb {
        "INFO" => ServerLine::Info(serde_json::from_str(rest).expect("INFO is JSON")),
        "PING" => ServerLine::Ping,
        "PONG" => ServerLine::Pong,
        "+OK" => ServerLine::Ok,
        "-ERR" => {
            let text = rest.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
            ServerLine::Error(text.expect("a quoted text").to_owned())
        }
        "MSG" | "HMSG" => return message(verb == "HMSG", rest, &bytes[end..], end),
        other => panic!("no client knows {other:?}: {line}"),
    };
    Some((said, end))
}

fn message(
    has_headers: bool,
    line: &str,
    behind: &[u8],
    end: usize,
) -> Option<(ServerLine, usize)> {
    let words: Vec<&str> = line.split(' ').collect();
    let sizes = if has_headers { 2 } else { 1 };
    let (subject, sid, reply) = match words[..words.len() - sizes] {
        [subject, sid] => (subject, sid, None),
        [subject, sid, reply] => (subject, sid, Some(reply.to_owned())),
        _ => panic!("a message is not like this: {line}"),
    };
    let size = |back: usize| words[words.len() - back].parse::<usize>().expect("a size");
    let (headers_len, len) = if has_headers { (size(2), size(1)) } else { (0, size(1)) };
    let body = behind.get(..len + 2)?;
    assert!(body.ends_with(b"\r\n"), "a message ends where it says");
    let (headers, payload) = body[..len].split_at(headers_len);
    let message = Message {
        subject: subject.to_owned(),
        sid: sid.to_owned(),
        reply,
        headers: headers.to_vec(),
        payload: payload.to_vec(),
    };
    Some((ServerLine::Message(message), end + len + 2))
}
