//! `blipmq bench mirror`: shows what receiving and sending alone cost in the kernel.
//!
//! Called by `mod`. A mirror is the minimum of a broker, on one thread: it sends each chunk of bytes
//! that it receives from a publisher to all subscribers of the topic. No frames, no queues, no drops.
//!
//! # Always true
//! - Sends block: nothing is queued, so a subscriber that does not read holds up all connections.
//! - A subscriber that disconnects affects no other connection.
//! - When a publisher disconnects, the mirror prints how many bytes it sent in how many sends, so that
//!   a comparison with a broker can check that both sent the same bytes in the same chunks.

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

/// Pass the bytes of publishers on to subscribers, unread.
#[derive(Debug, Args)]
pub struct Mirror {
    /// The address for clients; port 0 picks a free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7900")]
    bind: SocketAddr,
    /// CPUs to run on, such as 0; without this option, the mirror is not pinned.
    #[arg(long, value_name = "LIST", value_parser = parse_cpus)]
    cpu: Option<Cpus>,
    /// The most bytes received before they are sent on, 64 to 16777216.
    #[arg(long, value_name = "BYTES", default_value = CHUNK_DEFAULT, value_parser = value_parser!(u32).range(64..=16 << 20))]
    chunk: u32,
}

impl Mirror {
    /// Runs until the process is killed.
    pub fn run(self) -> Outcome {
        pin(&self.cpu.map(|cpus| cpus.0).unwrap_or_default())?;
        raise_open_files();
        let cannot_listen = |error: std::io::Error| {
            format!("cannot listen on {}: {error}; is another mirror running there?", self.bind)
        };
        let listener = TcpListener::bind(self.bind).map_err(cannot_listen)?;
        let addr = listener.local_addr().map_err(cannot_listen)?;
        super::print(&format!("blipmq bench mirror is ready on {addr}\n"))?;
        let failed = |error: std::io::Error| format!("the mirror failed: {error}");
        let mut relay = Relay::new(listener, self.chunk as usize).map_err(failed)?;
        loop {
            relay.turn().map_err(failed)?;
        }
    }
}

/// The connections of a mirror.
struct Relay {
    epoll: rustix::fd::OwnedFd,
    listener: TcpListener,
    connections: HashMap<u64, Connection>,
    next_token: u64,
    /// Tokens of the subscribers, by topic.
    subscribers: HashMap<u32, Vec<u64>>,
    events: Vec<epoll::Event>,
    chunk: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// The first bytes received: the greeting, until it is complete.
    greeting: Vec<u8>,
    role: Role,
    traffic: Traffic,
}

/// The traffic of one publisher.
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

impl Relay {
    fn new(listener: TcpListener, chunk_len: usize) -> std::io::Result<Relay> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(LISTENER_TOKEN);
        epoll::add(&epoll, &listener, data, epoll::EventFlags::IN)?;
        Ok(Relay {
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
            // The client disconnected before its connection was accepted.
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

    /// Reads once from a connection that epoll reported: this read does not block.
    fn receive(&mut self, token: u64) {
        // A send on behalf of a publisher may have closed the connection.
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let room = match connection.role {
            Role::Unknown => RAW_GREETING_LEN - connection.greeting.len(),
            Role::Publisher { .. } | Role::Subscriber { .. } => self.chunk.len(),
        };
        let len = match connection.stream.read(&mut self.chunk[..room]) {
            Ok(len) if len > 0 => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            Ok(_) | Err(_) => return self.close(token),
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
            // Bytes from subscribers are ignored.
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
        // The client waits for its greeting: from here on the connection is registered.
        let is_known = connection.role != Role::Unknown;
        if !is_known || connection.stream.write_all(&connection.greeting).is_err() {
            self.close(token);
        }
    }

    /// Sends the chunk to all subscribers of a topic and returns how many received it.
    fn send(&mut self, topic: u32, len: usize) -> u64 {
        let Some(subscribers) = self.subscribers.get(&topic) else { return 0 };
        let mut gone = Vec::new();
        for token in subscribers {
            let connection =
                self.connections.get_mut(token).expect("`close` removes it from both maps");
            if connection.stream.write_all(&self.chunk[..len]).is_err() {
                gone.push(*token);
            }
        }
        let sends = (subscribers.len() - gone.len()) as u64;
        for token in gone {
            self.close(token);
        }
        sends
    }

    fn close(&mut self, token: u64) {
        // Closing the descriptor removes it from epoll.
        let Some(connection) = self.connections.remove(&token) else { return };
        if let Role::Publisher { .. } = connection.role {
            let Traffic { received_bytes, reads, sent_bytes, sends } = connection.traffic;
            // Stdout may be closed by now.
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
    fn greetings_carry_role_and_topic() {
        let (publisher, subscriber) = (raw_greeting(b'P', "a"), raw_greeting(b'S', "a"));
        let Role::Publisher { topic } = Role::of(&publisher) else { panic!("{publisher:?}") };
        assert_eq!(Role::of(&subscriber), Role::Subscriber { topic });
        assert_ne!(Role::of(&raw_greeting(b'S', "b")), Role::Subscriber { topic });
        for bad in [&b"GET / HT"[..], b"P\x01\0\0aaaa", b"X\0\0\0aaaa", b"P\0\0\0aaa"] {
            assert_eq!(Role::of(bad), Role::Unknown);
        }
    }
}
