//! A connection from nothing to where it may publish or has subscribed, and its reads after that.
//!
//! Called by `round` and `idle` before anything is measured; the reads by `worker`. Next on the
//! path: `codec`.
//!
//! # Always true
//! - When a connection is open its subscriptions are in force: the broker said so.
//! - Once open it never blocks.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use blipmq::protocol::decode::{Hello, Subscribe};
use blipmq::protocol::{RequestId, SubscriptionId, encode};

use super::codec::{Answer, Codec, Sink};
use super::target::{Login, Protocol, Target};
use super::{nats, redis};

/// Time a broker may take for each answer before the start.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests written before answers are read: neither side's buffers get full.
const REQUESTS_AT_ONCE: usize = 256;
/// Bytes of a mirror's greeting, which it sends back.
pub const RAW_GREETING_LEN: usize = 8;

/// What a connection is for.
#[derive(Debug, Clone, Copy)]
pub enum Role<'a> {
    Publish(&'a [String]),
    Subscribe(&'a [String]),
    Patterns(&'a [String]),
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    pub stream: TcpStream,
    codec: Codec,
    /// The begin of a unit whose end has not come.
    carry: Vec<u8>,
}

/// A role byte, three of nothing, and the topic's number.
pub fn raw_greeting(role: u8, topic: &str) -> [u8; RAW_GREETING_LEN] {
    // Topics have names here and numbers there; FNV-1a makes one of the other.
    let mix = |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let number = topic.bytes().fold(0x811c_9dc5, mix);
    let [a, b, c, d] = number.to_le_bytes();
    [role, 0, 0, 0, a, b, c, d]
}

/// The bytes the largest unit may have, and so the least a read buffer must hold.
pub fn buffer_len(unit_len: usize) -> usize {
    // Four, so that what is carried over is a small part of what is read.
    (4 * (unit_len + 512)).max(256 * 1_024)
}

impl Connection {
    /// Connects and does all its protocol wants; with the ids of the topics to publish to, which
    /// other protocols than BLIP/1 have none of.
    pub fn open(target: &Target, role: Role<'_>) -> Result<(Connection, Vec<u32>), String> {
        let stream = connect(target)?;
        let codec = Codec::new(target.protocol);
        let mut opening = Opening {
            target,
            connection: Connection { stream, codec, carry: Vec::new() },
            heard: Heard::default(),
        };
        match target.protocol {
            Protocol::Blip => opening.blip(role)?,
            Protocol::Nats => opening.nats(role)?,
            Protocol::Redis => opening.redis(role)?,
            Protocol::Raw => opening.raw(role)?,
        }
        let Opening { connection, heard, .. } = opening;
        let nonblocking = connection
            .stream
            .set_read_timeout(None)
            .and_then(|()| connection.stream.set_write_timeout(None))
            .and_then(|()| connection.stream.set_nonblocking(true));
        nonblocking.map_err(|error| format!("{target}: cannot set up a socket: {error}"))?;
        let topics = match role {
            Role::Publish(topics) => topics.len(),
            _ => 0,
        };
        let mut ids = vec![0; topics];
        for (request, id) in heard.topics {
            if let Some(slot) = ids.get_mut((request as usize).wrapping_sub(1)) {
                *slot = id;
            }
        }
        Ok((connection, ids))
    }

    /// Reads once, behind what was carried over; `None` if nothing is there.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, String> {
        let carried = self.carry.len();
        if carried >= buffer.len() {
            return Err(format!(
                "more than {carried} bytes came that are no message published here"
            ));
        }
        buffer[..carried].copy_from_slice(&self.carry);
        match self.stream.read(&mut buffer[carried..]) {
            Ok(0) => Err("the broker closed the connection".to_owned()),
            Ok(len) => Ok(Some(carried + len)),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(None)
            }
            Err(error) => Err(format!("the connection is lost: {error}")),
        }
    }

    /// Hands out what [`read`](Self::read) put into a buffer.
    pub fn take(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), String> {
        let consumed = self.codec.read(bytes, sink)?;
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
    let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in target.addr.to_socket_addrs().map_err(cannot)? {
        let connected = TcpStream::connect_timeout(&address, PATIENCE).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    if last.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
        return Err(format!("{target}: {last}; take fewer connections, or raise `ulimit -n`"));
    }
    Err(cannot(last))
}

/// A connection whose answers are awaited one after the other.
struct Opening<'a> {
    target: &'a Target,
    connection: Connection,
    heard: Heard,
}

/// Answers that came.
#[derive(Default)]
struct Heard {
    greetings: usize,
    logins: usize,
    pongs: usize,
    subscribed: usize,
    topics: Vec<(u32, u32)>,
    replies: Vec<u8>,
}

impl Sink for Heard {
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

impl Opening<'_> {
    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = self.connection.stream.write_all(bytes);
        sent.map_err(|error| format!("{}: the connection is lost: {error}", self.target))
    }

    /// Reads until it is so.
    fn wait(&mut self, what: &str, done: impl Fn(&Heard) -> bool) -> Result<(), String> {
        let mut buffer = vec![0; buffer_len(0)];
        let begun = Instant::now();
        while !done(&self.heard) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let target = self.target;
            let in_vain = || {
                let scheme = target.protocol.scheme();
                format!("{target}: no {what} came within 5 s; is it {scheme} that is spoken there?")
            };
            if left.is_zero() {
                return Err(in_vain());
            }
            let named = |error| format!("{target}: {error}; it came while {what} was awaited");
            let timeout = self.connection.stream.set_read_timeout(Some(left));
            timeout.map_err(|error| format!("{target}: cannot set up a socket: {error}"))?;
            if let Some(len) = self.connection.read(&mut buffer).map_err(named)? {
                self.connection.take(&buffer[..len], &mut self.heard).map_err(named)?;
            }
            let replies = std::mem::take(&mut self.heard.replies);
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
        self.wait("WELCOME", |heard| heard.greetings > 0)?;
        let (names, publish) = match role {
            Role::Publish(names) => (names, true),
            Role::Subscribe(names) | Role::Patterns(names) => (names, false),
        };
        for (group, names) in names.chunks(REQUESTS_AT_ONCE).enumerate() {
            out.clear();
            let first = group * REQUESTS_AT_ONCE + 1;
            for (number, name) in (first as u32..).zip(names) {
                if publish {
                    encode::open(&mut out, RequestId(number), name);
                } else {
                    let subscribe = Subscribe {
                        subscription: SubscriptionId(number),
                        overflow: 0,
                        start: 0,
                        capacity: 0,
                        start_argument: 0,
                        pattern: name,
                        group: "",
                    };
                    encode::subscribe(&mut out, &subscribe);
                }
            }
            self.send(&out)?;
            let wanted = first - 1 + names.len();
            if publish {
                self.wait("TOPIC", |heard| heard.topics.len() >= wanted)?;
            } else {
                self.wait("SUBSCRIBED", |heard| heard.subscribed >= wanted)?;
            }
        }
        Ok(())
    }

    fn nats(&mut self, role: Role<'_>) -> Result<(), String> {
        self.wait("INFO", |heard| heard.greetings > 0)?;
        let connect = nats::connect(self.target.login.as_ref());
        self.send(format!("{connect}PING\r\n").as_bytes())?;
        self.wait("PONG", |heard| heard.pongs > 0)?;
        let (Role::Subscribe(names) | Role::Patterns(names)) = role else { return Ok(()) };
        for (group, names) in names.chunks(REQUESTS_AT_ONCE).enumerate() {
            let first = group * REQUESTS_AT_ONCE + 1;
            let lines = (first..).zip(names).map(|(id, name)| format!("SUB {name} {id}\r\n"));
            self.send(format!("{}PING\r\n", lines.collect::<String>()).as_bytes())?;
            self.wait("PONG", |heard| heard.pongs > 1 + group)?;
        }
        Ok(())
    }

    fn redis(&mut self, role: Role<'_>) -> Result<(), String> {
        if let Some(login) = &self.target.login {
            self.send(redis::auth(login).as_bytes())?;
            self.wait("OK to AUTH", |heard| heard.logins > 0)?;
        }
        self.send(redis::command(&["PING"]).as_bytes())?;
        self.wait("PONG", |heard| heard.pongs > 0)?;
        let (word, names) = match role {
            Role::Publish(_) => return Ok(()),
            Role::Subscribe(names) => ("SUBSCRIBE", names),
            Role::Patterns(names) => ("PSUBSCRIBE", names),
        };
        for (group, names) in names.chunks(REQUESTS_AT_ONCE).enumerate() {
            let words: Vec<&str> =
                std::iter::once(word).chain(names.iter().map(String::as_str)).collect();
            self.send(redis::command(&words).as_bytes())?;
            let wanted = group * REQUESTS_AT_ONCE + names.len();
            self.wait("answer to SUBSCRIBE", |heard| heard.subscribed >= wanted)?;
        }
        Ok(())
    }

    /// A mirror sends the greeting back when it counts.
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
        let timeout = self.connection.stream.set_read_timeout(Some(PATIENCE));
        timeout.and_then(|()| self.connection.stream.read_exact(&mut answer)).map_err(failed)?;
        if answer != greeting {
            return Err(failed(std::io::Error::other(format!("{}", answer.escape_ascii()))));
        }
        Ok(())
    }
}
