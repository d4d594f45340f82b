//! `blipmq bench mirror`: what only the kernel's receiving and sending costs.
//!
//! Called by `mod`. A broker without a brain, one thread: what a publisher of a topic sends goes to
//! the topic's subscribers in the chunks it was received in. No frames, no queues, no drops.
//!
//! # Always true
//! - A send blocks: a subscriber that does not read holds everybody up, as nothing is kept for it.
//! - A subscriber that goes away is left out, and nobody else notices.
//! - When a publisher ends it is told how much was sent in how many sends: who compares a broker
//!   with the mirror needs to know that both sent the same bytes in the same chunks.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use clap::{Args, value_parser};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use super::super::Outcome;
use super::connect::RAW_GREETING_LEN;
use super::options::{Cpus, parse_cpus};
use super::setup::{pin, raise_open_files};

const EVENTS_MAX: usize = 256;
const LISTENER_TOKEN: u64 = u64::MAX;
const CHUNK_DEFAULT: &str = "65536";

/// Send what publishers send to subscribers, without looking at it.
#[derive(Debug, Args)]
pub struct Mirror {
    /// Where clients connect; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7900")]
    bind: SocketAddr,
    /// CPUs to run on, such as 0; without it nothing is pinned.
    #[arg(long, value_name = "LIST", value_parser = parse_cpus)]
    cpu: Option<Cpus>,
    /// Bytes received at most before they are sent on, 64 to 16777216.
    #[arg(long, value_name = "BYTES", default_value = CHUNK_DEFAULT, value_parser = value_parser!(u32).range(64..=16 << 20))]
    chunk: u32,
}

impl Mirror {
    /// Until it is killed.
    pub fn run(self) -> Outcome {
        pin(&self.cpu.map(|cpus| cpus.0).unwrap_or_default())?;
        raise_open_files();
        let cannot_listen = |error: std::io::Error| {
            format!("cannot listen on {}: {error}; is another running there?", self.bind)
        };
        let listener = TcpListener::bind(self.bind).map_err(cannot_listen)?;
        let addr = listener.local_addr().map_err(cannot_listen)?;
        super::print(&format!("blipmq bench mirror is ready on {addr}\n"))?;
        let failed = |error: std::io::Error| format!("the mirror cannot go on: {error}");
        let mut table = Table::new(listener, self.chunk as usize).map_err(failed)?;
        loop {
            table.turn().map_err(failed)?;
        }
    }
}

/// Who is connected.
struct Table {
    epoll: rustix::fd::OwnedFd,
    listener: TcpListener,
    connections: HashMap<u64, Connection>,
    next_token: u64,
    /// Tokens of its subscribers, by topic.
    subscribers: HashMap<u32, Vec<u64>>,
    events: Vec<epoll::Event>,
    chunk: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// Its first bytes.
    greeting: Vec<u8>,
    role: Role,
    traffic: Traffic,
}

/// What went through for a publisher.
#[derive(Debug, Clone, Copy, Default)]
struct Traffic {
    received_bytes: u64,
    reads: u64,
    sent_bytes: u64,
    sends: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Unknown,
    Publisher { topic: u32 },
    Subscriber { topic: u32 },
}

impl Role {
    fn of(greeting: &[u8]) -> Role {
        let &[role, 0, 0, 0, a, b, c, d] = greeting else { return Role::Unknown };
        let topic = u32::from_le_bytes([a, b, c, d]);
        match role {
            b'P' => Role::Publisher { topic },
            b'S' => Role::Subscriber { topic },
            _ => Role::Unknown,
        }
    }
}

impl Table {
    fn new(listener: TcpListener, chunk_len: usize) -> std::io::Result<Table> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(LISTENER_TOKEN);
        epoll::add(&epoll, &listener, data, epoll::EventFlags::IN)?;
        Ok(Table {
            epoll,
            listener,
            connections: HashMap::new(),
            next_token: 0,
            subscribers: HashMap::new(),
            events: Vec::with_capacity(EVENTS_MAX),
            chunk: vec![0; chunk_len],
        })
    }

    fn turn(&mut self) -> std::io::Result<()> {
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER_TOKEN => self.accept()?,
                token => self.receive(token),
            }
        }
        self.events = events;
        Ok(())
    }

    fn accept(&mut self) -> std::io::Result<()> {
        let stream = match self.listener.accept() {
            // The listener does not block; its connections do.
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // One that ended before it was accepted is nobody's loss.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let token = self.next_token;
        self.next_token += 1;
        let data = epoll::EventData::new_u64(token);
        epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
        let (greeting, traffic) = (Vec::new(), Traffic::default());
        let connection = Connection { stream, greeting, role: Role::Unknown, traffic };
        self.connections.insert(token, connection);
        Ok(())
    }

    /// Reads once from a connection that was readable or ended: that does not block.
    fn receive(&mut self, token: u64) {
        // A publisher's turn may have ended it.
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let room = match connection.role {
            Role::Unknown => RAW_GREETING_LEN - connection.greeting.len(),
            Role::Publisher { .. } | Role::Subscriber { .. } => self.chunk.len(),
        };
        let len = match connection.stream.read(&mut self.chunk[..room]) {
            Ok(len) if len > 0 => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            Ok(_) | Err(_) => return self.end(token),
        };
        match connection.role {
            Role::Publisher { topic } => {
                let sends = self.send(topic, len);
                if let Some(publisher) = self.connections.get_mut(&token) {
                    publisher.traffic.received_bytes += len as u64;
                    publisher.traffic.reads += 1;
                    publisher.traffic.sent_bytes += sends * len as u64;
                    publisher.traffic.sends += sends;
                }
            }
            // What a subscriber says is nobody's business.
            Role::Subscriber { .. } => {}
            Role::Unknown => self.greet(token, len),
        }
    }

    fn greet(&mut self, token: u64, len: usize) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        connection.greeting.extend_from_slice(&self.chunk[..len]);
        if connection.greeting.len() < RAW_GREETING_LEN {
            return;
        }
        connection.role = Role::of(&connection.greeting);
        if let Role::Subscriber { topic } = connection.role {
            self.subscribers.entry(topic).or_default().push(token);
        }
        // The greeting back says that it counts from here on.
        let is_known = connection.role != Role::Unknown;
        if !is_known || connection.stream.write_all(&connection.greeting).is_err() {
            self.end(token);
        }
    }

    /// To all subscribers of a topic; how many got it.
    fn send(&mut self, topic: u32, len: usize) -> u64 {
        let Some(subscribers) = self.subscribers.get(&topic) else { return 0 };
        let mut gone = Vec::new();
        for token in subscribers {
            let connection = self.connections.get_mut(token).expect("`end` takes it from both");
            if connection.stream.write_all(&self.chunk[..len]).is_err() {
                gone.push(*token);
            }
        }
        let sends = (subscribers.len() - gone.len()) as u64;
        for token in gone {
            self.end(token);
        }
        sends
    }

    fn end(&mut self, token: u64) {
        // Its descriptor leaves epoll as it closes.
        let Some(connection) = self.connections.remove(&token) else { return };
        if let Role::Publisher { .. } = connection.role {
            let Traffic { received_bytes, reads, sent_bytes, sends } = connection.traffic;
            // Who started it may not listen any more.
            let _ = super::print(&format!(
                "a publisher ended: {received_bytes} bytes in {reads} reads, \
                 {sent_bytes} bytes in {sends} sends\n"
            ));
        }
        let Role::Subscriber { topic } = connection.role else { return };
        if let Some(subscribers) = self.subscribers.get_mut(&topic) {
            subscribers.retain(|other| *other != token);
            if subscribers.is_empty() {
                self.subscribers.remove(&topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::connect::raw_greeting;
    use super::*;

    #[test]
    fn greetings_say_role_and_topic() {
        let (publisher, subscriber) = (raw_greeting(b'P', "a"), raw_greeting(b'S', "a"));
        let Role::Publisher { topic } = Role::of(&publisher) else { panic!("{publisher:?}") };
        assert_eq!(Role::of(&subscriber), Role::Subscriber { topic });
        assert_ne!(Role::of(&raw_greeting(b'S', "b")), Role::Subscriber { topic });
        for bad in [&b"GET / HT"[..], b"P\x01\0\0aaaa", b"X\0\0\0aaaa", b"P\0\0\0aaa"] {
            assert_eq!(Role::of(bad), Role::Unknown);
        }
    }
}
