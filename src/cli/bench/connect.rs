//! Opens a connection, up to its login and subscriptions, and reads from it.
//!
//! Called by `connections` and `idle` before the measurement; `worker` reads. Next on the path:
//! `codec`.
//!
//! # Always true
//! - The subscriptions of an open connection are active: the broker has confirmed them.
//! - Reads and writes on an open connection never block.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use blipmq::protocol::decode::{Hello, Subscribe};
use blipmq::protocol::{RequestId, SubscriptionId, encode};

use super::codec::{Answer, Codec, Sink};
use super::target::{Login, Protocol, Security, Target};
use super::wire::Wire;
use super::{nats, redis};

/// The time limit for each answer while a connection is opened.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests sent before their answers are read: few enough that no socket buffer fills up.
const REQUEST_BATCH: usize = 256;
/// The length of a mirror's greeting, which the mirror sends back.
pub const RAW_GREETING_LEN: usize = 8;

/// The purpose of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Role<'a> {
    Publish(&'a [String]),
    Subscribe(&'a [String]),
    Patterns(&'a [String]),
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    pub wire: Wire,
    codec: Codec,
    /// The start of a unit whose end has not been received yet.
    carry: Vec<u8>,
}

/// Encodes a mirror's greeting: the role, three zero bytes, and the number of the topic.
pub fn raw_greeting(role: u8, topic: &str) -> [u8; RAW_GREETING_LEN] {
    // A mirror knows topics by number: the FNV-1a hash of the name.
    let mix = |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let number = topic.bytes().fold(0x811c_9dc5, mix);
    let [a, b, c, d] = number.to_le_bytes();
    [role, 0, 0, 0, a, b, c, d]
}

/// Returns the size of a read buffer for units of up to `unit_len` bytes.
pub fn buffer_len(unit_len: usize) -> usize {
    // Room for four units, so that the carried-over bytes are a small part of each read.
    (4 * (unit_len + 512)).max(256 * 1_024)
}

impl Connection {
    /// Connects, logs in and subscribes. Returns the connection and the ids of the topics to publish
    /// to; the ids are 0 in protocols without topic ids.
    pub fn open(target: &Target, role: Role<'_>) -> Result<(Connection, Vec<u32>), String> {
        let wire = Wire::new(connect(target)?);
        let codec = Codec::new(target.protocol);
        let mut handshake = Handshake {
            target,
            connection: Connection { wire, codec, carry: Vec::new() },
            answers: Answers::default(),
        };
        if target.security == Security::First {
            handshake.secure()?;
        }
        match target.protocol {
            Protocol::Blip => handshake.blip(role)?,
            Protocol::Nats => handshake.nats(role)?,
            Protocol::Redis => handshake.redis(role)?,
            Protocol::Raw => handshake.raw(role)?,
        }
        let Handshake { connection, answers, .. } = handshake;
        let nonblocking = connection
            .wire
            .socket
            .set_read_timeout(None)
            .and_then(|()| connection.wire.socket.set_write_timeout(None))
            .and_then(|()| connection.wire.socket.set_nonblocking(true));
        nonblocking.map_err(|error| format!("{target}: cannot set up a socket: {error}"))?;
        let topics = match role {
            Role::Publish(topics) => topics.len(),
            _ => 0,
        };
        let mut ids = vec![0; topics];
        for (request, id) in answers.topics {
            if let Some(slot) = ids.get_mut((request as usize).wrapping_sub(1)) {
                *slot = id;
            }
        }
        Ok((connection, ids))
    }

    /// Reads once into `buffer`, behind the carried-over bytes. Returns the number of bytes in
    /// `buffer`, or `None` if nothing was received.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, String> {
        let carried = self.carry.len();
        if carried >= buffer.len() {
            return Err(format!("received more than {carried} bytes that do not form a message"));
        }
        buffer[..carried].copy_from_slice(&self.carry);
        match self.wire.read(&mut buffer[carried..]) {
            Ok(0) => Err("the broker closed the connection".to_owned()),
            Ok(len) => Ok(Some(carried + len)),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.wire.describe(&error)),
        }
    }

    /// Decodes the bytes that [`read`](Self::read) put into a buffer.
    pub fn decode(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), String> {
        let consumed = self.codec.decode(bytes, sink)?;
        self.carry.clear();
        self.carry.extend_from_slice(&bytes[consumed..]);
        Ok(())
    }
}

fn connect(target: &Target) -> Result<TcpStream, String> {
    let start = match target.protocol {
        Protocol::Blip => "start one with `blipmq`, or check the address",
        Protocol::Raw => "start one with `blipmq bench mirror`, or check the address",
        Protocol::Nats | Protocol::Redis => "start the broker, or check the address",
    };
    let cannot = |error| format!("cannot connect to {target}: {error}; {start}");
    let mut last = std::io::Error::new(ErrorKind::NotFound, "the host name has no address");
    for address in target.addr.to_socket_addrs().map_err(cannot)? {
        let connected = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    if last.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
        return Err(format!("{target}: {last}; use fewer connections, or raise `ulimit -n`"));
    }
    Err(cannot(last))
}

/// A connection being opened.
struct Handshake<'a> {
    target: &'a Target,
    connection: Connection,
    answers: Answers,
}

/// The answers received so far.
#[derive(Default)]
struct Answers {
    greetings: usize,
    logins: usize,
    pongs: usize,
    subscribed: usize,
    topics: Vec<(u32, u32)>,
    replies: Vec<u8>,
}

impl Sink for Answers {
    fn message(&mut self, _: &[u8]) {}
    fn gap(&mut self, _: u64) {}
    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Greeting => self.greetings += 1,
            Answer::LoggedIn => self.logins += 1,
            Answer::Pong => self.pongs += 1,
            Answer::Subscribed => self.subscribed += 1,
            Answer::Topic { request, id } => self.topics.push((request, id)),
            Answer::Published => {}
        }
    }
    fn reply(&mut self, bytes: &[u8]) {
        self.replies.extend_from_slice(bytes);
    }
}

impl Handshake<'_> {
    fn secure(&mut self) -> Result<(), String> {
        let target = self.target;
        let secure = target.secure.as_ref().expect("targets over TLS are secured");
        let wire = &mut self.connection.wire;
        let timeout = wire.socket.set_read_timeout(Some(ANSWER_TIMEOUT));
        timeout.map_err(|error| format!("{target}: cannot set up a socket: {error}"))?;
        wire.shake_hands(secure).map_err(|error| format!("{target}: {error}"))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let wire = &mut self.connection.wire;
        let sent = wire.write_all(bytes).and_then(|()| wire.flush());
        let Err(error) = sent else { return Ok(()) };
        // A server that has refused the client takes no bytes; its reason is still to be read.
        let reason = match self.connection.read(&mut vec![0; buffer_len(0)]) {
            Err(reason) => reason,
            Ok(_) => format!("the connection is lost: {error}"),
        };
        Err(format!("{}: {reason}", self.target))
    }

    /// Reads until `done` holds for the answers. `what` names the awaited answer in errors.
    fn wait_for(&mut self, what: &str, done: impl Fn(&Answers) -> bool) -> Result<(), String> {
        let mut buffer = vec![0; buffer_len(0)];
        let begun = Instant::now();
        while !done(&self.answers) {
            let left = ANSWER_TIMEOUT.saturating_sub(begun.elapsed());
            let target = self.target;
            if left.is_zero() {
                let (seconds, scheme) = (ANSWER_TIMEOUT.as_secs(), target.scheme());
                return Err(format!(
                    "{target}: no {what} within {seconds} s; does the server speak {scheme}?"
                ));
            }
            let describe_error = |error| format!("{target}: {error}, while waiting for {what}");
            let timeout = self.connection.wire.socket.set_read_timeout(Some(left));
            timeout.map_err(|error| format!("{target}: cannot set up a socket: {error}"))?;
            if let Some(len) = self.connection.read(&mut buffer).map_err(describe_error)? {
                self.connection
                    .decode(&buffer[..len], &mut self.answers)
                    .map_err(describe_error)?;
            }
            let replies = std::mem::take(&mut self.answers.replies);
            self.send(&replies)?;
        }
        Ok(())
    }

    fn blip(&mut self, role: Role<'_>) -> Result<(), String> {
        let mut out = Vec::new();
        let (auth_kind, user, password) = match &self.target.login {
            None => (0, "", ""),
            Some(Login::Token(token)) => (1, token.as_str(), ""),
            Some(Login::User { name, password }) => (2, name.as_str(), password.as_str()),
        };
        let hello = Hello { auth_kind, client_name: "blipmq bench", user, password };
        encode::hello(&mut out, &hello);
        self.send(&out)?;
        self.wait_for("WELCOME", |answers| answers.greetings > 0)?;
        let (names, publish) = match role {
            Role::Publish(names) => (names, true),
            Role::Subscribe(names) | Role::Patterns(names) => (names, false),
        };
        for (group, names) in names.chunks(REQUEST_BATCH).enumerate() {
            out.clear();
            let first = group * REQUEST_BATCH + 1;
            for (number, name) in (first as u32..).zip(names) {
                if publish {
                    encode::open(&mut out, RequestId(number), name);
                } else {
                    encode::subscribe(&mut out, &Subscribe::live(SubscriptionId(number), name));
                }
            }
            self.send(&out)?;
            let wanted = first - 1 + names.len();
            if publish {
                self.wait_for("TOPIC", |answers| answers.topics.len() >= wanted)?;
            } else {
                self.wait_for("SUBSCRIBED", |answers| answers.subscribed >= wanted)?;
            }
        }
        Ok(())
    }

    fn nats(&mut self, role: Role<'_>) -> Result<(), String> {
        self.wait_for("INFO", |answers| answers.greetings > 0)?;
        if self.target.security == Security::AfterInfo {
            if !self.connection.carry.is_empty() {
                let target = self.target;
                return Err(format!("{target}: the server sent bytes behind INFO, before TLS"));
            }
            self.secure()?;
        }
        let connect = nats::connect(self.target.login.as_ref());
        self.send(format!("{connect}PING\r\n").as_bytes())?;
        self.wait_for("PONG", |answers| answers.pongs > 0)?;
        let (Role::Subscribe(names) | Role::Patterns(names)) = role else { return Ok(()) };
        for (group, names) in names.chunks(REQUEST_BATCH).enumerate() {
            let first = group * REQUEST_BATCH + 1;
            let lines = (first..).zip(names).map(|(id, name)| format!("SUB {name} {id}\r\n"));
            self.send(format!("{}PING\r\n", lines.collect::<String>()).as_bytes())?;
            self.wait_for("PONG", |answers| answers.pongs > 1 + group)?;
        }
        Ok(())
    }

    fn redis(&mut self, role: Role<'_>) -> Result<(), String> {
        if let Some(login) = &self.target.login {
            self.send(redis::auth(login).as_bytes())?;
            self.wait_for("OK to AUTH", |answers| answers.logins > 0)?;
        }
        self.send(redis::command(&["PING"]).as_bytes())?;
        self.wait_for("PONG", |answers| answers.pongs > 0)?;
        let (word, names) = match role {
            Role::Publish(_) => return Ok(()),
            Role::Subscribe(names) => ("SUBSCRIBE", names),
            Role::Patterns(names) => ("PSUBSCRIBE", names),
        };
        for (group, names) in names.chunks(REQUEST_BATCH).enumerate() {
            let words: Vec<&str> =
                std::iter::once(word).chain(names.iter().map(String::as_str)).collect();
            self.send(redis::command(&words).as_bytes())?;
            let wanted = group * REQUEST_BATCH + names.len();
            self.wait_for("answer to SUBSCRIBE", |answers| answers.subscribed >= wanted)?;
        }
        Ok(())
    }

    /// Greets a mirror. The mirror sends the greeting back once it has registered the connection.
    fn raw(&mut self, role: Role<'_>) -> Result<(), String> {
        let greeting = match role {
            Role::Publish([topic]) => raw_greeting(b'P', topic),
            Role::Subscribe([topic]) => raw_greeting(b'S', topic),
            _ => return Err(format!("{}: a mirror has one topic per connection", self.target)),
        };
        self.send(&greeting)?;
        let target = self.target;
        let failed = |error: std::io::Error| {
            format!("{target}: the greeting did not come back: {error}; is it a mirror?")
        };
        let mut answer = [0; RAW_GREETING_LEN];
        let wire = &mut self.connection.wire;
        let timeout = wire.socket.set_read_timeout(Some(ANSWER_TIMEOUT));
        timeout.and_then(|()| wire.read_exact(&mut answer)).map_err(failed)?;
        if answer != greeting {
            return Err(failed(std::io::Error::other(format!("{}", answer.escape_ascii()))));
        }
        Ok(())
    }
}
