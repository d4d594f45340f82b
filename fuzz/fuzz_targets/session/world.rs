//! Cores, the mesh between them and connections, driven as `executors::driver` and `server::relay`
//! do.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use blipmq::broker::mesh::{LANES, Message};
use blipmq::broker::port::Port;
use blipmq::broker::turn::turn;
use blipmq::broker::{
    Broker, Cluster, ConnectionId, Notice, Now, PasswordCheck, Peer, Protocol, Slot,
};
use blipmq::config::{OverflowPolicy, Settings};
use blipmq::protocol::CoreId;
use blipmq::protocol::decode::Hello;
use blipmq::protocol::encode;

use bytes::Bytes;

use crate::reader::Reader;

/// The peer of every connection, which makes no difference here.
const PEER: Peer =
    Peer { protocol: Protocol::Blip, address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1) };

/// Turns after which a broker that still finds work is considered to spin.
const TURNS_MAX: u32 = 20_000;
/// Longer than every timeout of the settings below.
const TIMEOUT_NS: u64 = 20_000_000_000;

pub struct World {
    cores: Vec<Core>,
    /// By `(from * cores + to) * LANES + lane`.
    mesh: Vec<VecDeque<Message>>,
    mesh_messages_max: usize,
    connections: Vec<Connection>,
    monotonic_ns: u64,
    stops: bool,
}

struct Core {
    broker: Broker,
    stop_begun: bool,
}

struct Connection {
    core: usize,
    id: ConnectionId,
    reader: Reader,
    /// Sent by the client, and not handed to the broker yet.
    pending: VecDeque<Vec<u8>>,
    ends: bool,
    end_reported: bool,
    paused: bool,
    stalled: bool,
    in_flight: Option<Vec<u8>>,
    /// The broker has closed the connection, with these last bytes.
    closing: Option<Vec<u8>>,
    gone: bool,
}

impl World {
    /// A world with options of one bit each: 0 two cores, 1 two connections, 2 short queues, 3
    /// little memory and a TTL, 4 short messages and `block`, 5 a narrow mesh, 6 no HELLO, 7 no
    /// admission.
    pub fn new(options: u8) -> World {
        let is_set = |bit: u8| options >> bit & 1 == 1;
        let mut settings = Settings::default();
        if is_set(2) {
            settings.queues.subscriber_capacity = 4;
            settings.queues.subscriber_bytes = 1_000;
            settings.queues.topic_capacity = 5;
            settings.delivery.max_batch = 3;
            settings.limits.max_subscriptions_per_connection = 3;
            settings.limits.max_topics = 3;
        }
        if is_set(3) {
            settings.limits.memory_max = 4_000;
            settings.delivery.default_ttl_ms = 5;
        }
        if is_set(4) {
            settings.server.max_message_size_bytes = 100;
            settings.queues.overflow_policy = OverflowPolicy::Block;
            settings.queues.topic_idle_timeout_ms = 20;
        }
        let cores = 1 + u16::from(is_set(0));
        let cluster = Cluster::new(cores, 7, Arc::new(settings));
        let core = |core| Core {
            broker: Broker::new(CoreId(core), cluster.clone(), Arc::default()),
            stop_begun: false,
        };
        let mut world = World {
            cores: (0..cores).map(core).collect(),
            mesh: (0..usize::from(cores * cores) * LANES).map(|_| VecDeque::new()).collect(),
            mesh_messages_max: if is_set(5) { 1 } else { 16 },
            connections: Vec::new(),
            monotonic_ns: 1,
            stops: false,
        };
        for number in 0..1 + usize::from(is_set(1)) {
            let core = number % usize::from(cores);
            let id = ConnectionId { slot: Slot(number as u32), generation: 3 };
            let now = world.now();
            world.cores[core].broker.connected(now, id, PEER, !is_set(7));
            world.connections.push(Connection {
                core,
                id,
                reader: Reader::default(),
                pending: VecDeque::new(),
                ends: false,
                end_reported: false,
                paused: false,
                stalled: false,
                in_flight: None,
                closing: None,
                gone: false,
            });
            if !is_set(6) {
                let mut hello = Vec::new();
                let greets = Hello { auth_kind: 0, client_name: "", user: "", password: "" };
                encode::hello(&mut hello, &greets);
                world.send(number, &hello);
            }
        }
        world
    }

    fn now(&self) -> Now {
        let unix_ns = 1_700_000_000_000_000_000 + self.monotonic_ns;
        Now { monotonic_ns: self.monotonic_ns, unix_ns }
    }

    fn connection(&mut self, number: usize) -> &mut Connection {
        let count = self.connections.len();
        &mut self.connections[number % count]
    }

    /// Sends bytes from a client, which arrive in one read.
    pub fn send(&mut self, number: usize, bytes: &[u8]) {
        let connection = self.connection(number);
        if !connection.ends {
            connection.pending.push_back(bytes.to_vec());
        }
    }

    /// Ends the sending half of a client.
    pub fn end(&mut self, number: usize) {
        self.connection(number).ends = true;
    }

    /// Makes a client stop reading, or read again.
    pub fn stall(&mut self, number: usize) {
        let connection = self.connection(number);
        connection.stalled = !connection.stalled;
    }

    pub fn pass(&mut self, ns: u64) {
        self.monotonic_ns += ns;
    }

    pub fn stop(&mut self) {
        self.stops = true;
    }

    /// Lets every core take a turn; returns whether any found work.
    pub fn turn(&mut self) -> bool {
        let mut busy = false;
        for core in 0..self.cores.len() {
            busy |= self.turn_of(core);
        }
        busy
    }

    /// Lets one core take a turn while the other is late.
    pub fn turn_alone(&mut self, core: usize) {
        self.turn_of(core % self.cores.len());
    }

    /// Takes turns until no core finds work.
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            if !self.turn() {
                return;
            }
        }
        panic!("the broker never comes to rest");
    }

    fn turn_of(&mut self, core: usize) -> bool {
        self.monotonic_ns += 1_000;
        let mut busy = self.complete_sends(core);
        if self.stops && !self.cores[core].stop_begun {
            self.cores[core].stop_begun = true;
            let now = self.now();
            self.cores[core].broker.stop(now);
            busy = true;
        }
        busy |= self.hand_over(core);
        let now = self.now();
        let mut outside = Outside {
            core,
            cores: self.cores.len(),
            mesh: &mut self.mesh,
            mesh_messages_max: self.mesh_messages_max,
            connections: &mut self.connections,
            was_used: false,
        };
        busy |= turn(&mut self.cores[core].broker, now, &mut outside);
        busy |= outside.was_used;
        self.cores[core].broker.audit();
        busy
    }

    fn complete_sends(&mut self, core: usize) -> bool {
        let now = self.now();
        let mut busy = false;
        let of_core = |connection: &&mut Connection| connection.core == core;
        for connection in self.connections.iter_mut().filter(of_core) {
            if connection.stalled || connection.gone {
                continue;
            }
            if let Some(bytes) = connection.in_flight.take() {
                busy = true;
                connection.reader.read(&bytes);
                if connection.closing.is_none() {
                    self.cores[core].broker.sent(now, connection.id);
                    continue;
                }
            }
            if let Some(last) = connection.closing.take() {
                busy = true;
                connection.reader.read(&last);
                connection.gone = true;
                self.cores[core].broker.closed(connection.id);
            }
        }
        busy
    }

    fn hand_over(&mut self, core: usize) -> bool {
        let now = self.now();
        let mut busy = false;
        for connection in &mut self.connections {
            let broker = &mut self.cores[connection.core].broker;
            let is_open = connection.closing.is_none() && !connection.gone;
            if connection.core != core || !is_open || connection.paused {
                continue;
            }
            while broker.wants_input()
                && let Some(bytes) = connection.pending.pop_front()
            {
                busy = true;
                broker.received(now, connection.id, &bytes);
            }
            if broker.wants_input()
                && connection.pending.is_empty()
                && connection.ends
                && !std::mem::replace(&mut connection.end_reported, true)
            {
                busy = true;
                broker.ended(now, connection.id);
            }
        }
        busy
    }

    /// Lets every peer read and time pass until everything has drained; then stops the broker, if
    /// that has not happened yet, until all connections are closed.
    pub fn finish(&mut self) {
        for connection in &mut self.connections {
            connection.stalled = false;
        }
        self.settle();
        for _ in 0..4 {
            self.monotonic_ns += TIMEOUT_NS;
            self.settle();
        }
        for connection in &self.connections {
            let open = !connection.gone;
            assert!(!open || connection.pending.is_empty(), "input is read");
            assert!(!open || !connection.end_reported, "a connection that ended is closed");
            assert!(
                !open || !connection.paused,
                "no connection stays paused when everything is served"
            );
        }
        self.stops = true;
        self.settle();
        for core in &self.cores {
            assert!(core.broker.is_stopped(), "a stop ends");
        }
        // Connections are closed one after the other, spread over time.
        self.monotonic_ns += TIMEOUT_NS;
        self.settle();
        assert!(self.connections.iter().all(|connection| connection.gone), "all are closed");
    }
}

/// The outside world during a turn of one core.
struct Outside<'a> {
    core: usize,
    cores: usize,
    mesh: &'a mut [VecDeque<Message>],
    mesh_messages_max: usize,
    connections: &'a mut [Connection],
    was_used: bool,
}

impl Outside<'_> {
    fn connection(&mut self, id: ConnectionId) -> &mut Connection {
        self.was_used = true;
        let connection = &mut self.connections[id.slot.index()];
        assert!(connection.id == id && connection.core == self.core && !connection.gone);
        connection
    }

    fn lane(&mut self, from: usize, to: usize, lane: usize) -> &mut VecDeque<Message> {
        assert!(from != to, "a core does not write to itself");
        &mut self.mesh[(from * self.cores + to) * LANES + lane]
    }
}

impl Port for Outside<'_> {
    fn send(&mut self, id: ConnectionId, ranges: &mut Vec<Bytes>) {
        let connection = self.connection(id);
        assert!(connection.in_flight.is_none() && connection.closing.is_none());
        connection.in_flight = Some(ranges.drain(..).flatten().collect());
    }

    fn pause(&mut self, id: ConnectionId) {
        self.connection(id).paused = true;
    }

    fn resume(&mut self, id: ConnectionId) {
        self.connection(id).paused = false;
    }

    fn close(&mut self, id: ConnectionId, last: Bytes) {
        let connection = self.connection(id);
        assert!(connection.closing.is_none(), "a connection is closed once");
        connection.closing = Some(last.to_vec());
    }

    fn check_password(&mut self, check: PasswordCheck) -> Result<(), PasswordCheck> {
        panic!("no password of these settings is a hash: {check:?}");
    }

    fn try_send(&mut self, to: CoreId, lane: usize, message: Message) -> Result<(), Message> {
        let (core, mesh_messages_max) = (self.core, self.mesh_messages_max);
        let lane = self.lane(core, to.0.into(), lane);
        if lane.len() >= mesh_messages_max {
            return Err(message);
        }
        lane.push_back(message);
        self.was_used = true;
        Ok(())
    }

    fn try_recv(&mut self, from: CoreId, lane: usize) -> Option<Message> {
        let core = self.core;
        let message = self.lane(from.0.into(), core, lane).pop_front()?;
        self.was_used = true;
        Some(message)
    }

    fn notice(&mut self, _notice: Notice) {}
}
