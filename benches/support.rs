//! Brokers without I/O, driven by the turn that the server runs.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use blipmq::broker::counters::{Counter, Counters};
use blipmq::broker::mesh::{LANES, Message};
use blipmq::broker::port::Port;
use blipmq::broker::turn::turn;
use blipmq::broker::{
    Broker, Cluster, ConnectionId, Notice, Now, PasswordCheck, Peer, Protocol, Slot,
};
use blipmq::config::Settings;
use blipmq::protocol::decode::{Hello, Subscribe};
use blipmq::protocol::messages::Header;
use blipmq::protocol::{CoreId, RequestId, SubscriptionId, encode};
use bytes::{Bytes, BytesMut};
use criterion::Criterion;

/// Who it is changes nothing here.
const PEER: Peer =
    Peer { protocol: Protocol::Blip, address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1) };

/// Payload of every message: small, as most are.
pub const PAYLOAD_LEN: usize = 64;

/// Honours `BLIPMQ_QUICK_BENCH`.
pub fn criterion() -> Criterion {
    let criterion = Criterion::default().configure_from_args();
    if std::env::var_os("BLIPMQ_QUICK_BENCH").is_none() {
        return criterion;
    }
    criterion
        .sample_size(10)
        .nresamples(1_001)
        .warm_up_time(Duration::from_millis(20))
        .measurement_time(Duration::from_millis(100))
        .without_plots()
}

/// A MESSAGES frame of `messages` messages, as a publisher sends it.
pub fn frame(topic: u32, messages: u16, ttl_ms: u32) -> Vec<u8> {
    let mut records = Vec::new();
    for message in 0..messages {
        records.extend_from_slice(&(PAYLOAD_LEN as u32).to_le_bytes());
        records.extend_from_slice(&[message as u8; PAYLOAD_LEN]);
    }
    let header = Header {
        frame_len: (40 + records.len()) as u32,
        flags: 0,
        count: messages,
        topic,
        subscription: 0,
        sequence: 0,
        timestamp: 0,
        ttl_ms,
        crc: 0,
    };
    [&header.to_bytes()[..], &records].concat()
}

/// The brokers of some cores, and the sockets and channels between them and their clients.
pub struct World {
    pub cluster: Cluster,
    pub now: Now,
    brokers: Vec<Broker>,
    counters: Vec<Arc<Counters>>,
    slots: Vec<u32>,
    /// By `(from * cores + to) * LANES + lane`.
    lanes: Vec<VecDeque<Message>>,
    sending: Vec<(usize, ConnectionId)>,
}

impl World {
    pub fn new(cores: u16) -> World {
        let cluster = Cluster::new(cores, 1, Arc::new(Settings::default()));
        let counters: Vec<Arc<Counters>> = (0..cores).map(|_| Arc::default()).collect();
        let broker = |core: u16| {
            Broker::new(CoreId(core), cluster.clone(), counters[usize::from(core)].clone())
        };
        World {
            now: Now { monotonic_ns: 1, unix_ns: 1 },
            brokers: (0..cores).map(broker).collect(),
            counters,
            slots: vec![0; usize::from(cores)],
            lanes: (0..usize::from(cores * cores) * LANES).map(|_| VecDeque::new()).collect(),
            sending: Vec::new(),
            cluster,
        }
    }

    /// The broker of a core.
    pub fn broker(&self, core: usize) -> &Broker {
        &self.brokers[core]
    }

    /// A connection that has said HELLO.
    pub fn connect(&mut self, core: usize) -> ConnectionId {
        let connection = ConnectionId { slot: Slot(self.slots[core]), generation: 0 };
        self.slots[core] += 1;
        self.brokers[core].connected(self.now, connection, PEER, true);
        let mut bytes = BytesMut::new();
        let hello = Hello { auth_kind: 0, client_name: "", user: "", password: "" };
        encode::hello(&mut bytes, &hello);
        self.receive(core, connection, &bytes);
        self.run();
        connection
    }

    pub fn subscribe(&mut self, core: usize, connection: ConnectionId, pattern: &str) {
        let mut bytes = BytesMut::new();
        encode::subscribe(&mut bytes, &Subscribe::live(SubscriptionId(1), pattern));
        self.receive(core, connection, &bytes);
        self.run();
    }

    /// Opens a topic, the first of its shard; returns its id.
    pub fn open(&mut self, core: usize, connection: ConnectionId, topic: &str) -> u32 {
        let mut bytes = BytesMut::new();
        encode::open(&mut bytes, RequestId(1), topic);
        self.receive(core, connection, &bytes);
        self.run();
        u32::from(self.cluster.shard_of_name(topic).0) + 1
    }

    pub fn receive(&mut self, core: usize, connection: ConnectionId, bytes: &[u8]) {
        assert!(self.brokers[core].wants_input());
        self.brokers[core].received(self.now, connection, bytes);
    }

    /// One turn of every core; the kernel completes each send at once. Returns whether anything was
    /// done.
    pub fn turn(&mut self) -> bool {
        let busy = self.turn_without_completions();
        self.complete_sends() | busy
    }

    /// One turn of every core whose sends stay under way. Returns whether anything was done.
    pub fn turn_without_completions(&mut self) -> bool {
        let mut busy = false;
        let cores = self.brokers.len();
        for (core, broker) in self.brokers.iter_mut().enumerate() {
            let (lanes, sending) = (&mut self.lanes, &mut self.sending);
            busy |= turn(broker, self.now, &mut Outside { core, cores, lanes, sending });
        }
        busy | self.lanes.iter().any(|lane| !lane.is_empty())
    }

    /// The kernel has taken what is under way; returns whether anything was.
    pub fn complete_sends(&mut self) -> bool {
        let busy = !self.sending.is_empty();
        for (core, connection) in self.sending.drain(..) {
            self.brokers[core].sent(self.now, connection);
        }
        busy
    }

    /// Runs turns until nothing is left to do.
    pub fn run(&mut self) {
        while self.turn() {}
    }

    /// A counter, over all cores.
    pub fn count(&self, counter: fn(&Counters) -> &Counter) -> u64 {
        self.counters.iter().map(|counters| counter(counters).get()).sum()
    }

    /// Fails if a message was lost on the way.
    pub fn assert_nothing_lost(&self) {
        let overflows = self.counters.iter().flat_map(|counters| &counters.queue_overflows);
        assert_eq!(overflows.map(Counter::get).sum::<u64>(), 0);
        assert_eq!(self.count(|counters| &counters.expired_in_queue_messages), 0);
        assert_eq!(self.count(|counters| &counters.expired_before_enqueue_messages), 0);
        assert_eq!(self.count(|counters| &counters.errors_sent), 0);
    }
}

/// What one core's turn has for an outside: a mesh, and sends that are noted.
struct Outside<'a> {
    core: usize,
    cores: usize,
    lanes: &'a mut [VecDeque<Message>],
    sending: &'a mut Vec<(usize, ConnectionId)>,
}

impl Port for Outside<'_> {
    fn send(&mut self, connection: ConnectionId, ranges: &mut Vec<Bytes>) {
        ranges.clear();
        self.sending.push((self.core, connection));
    }

    fn pause(&mut self, _: ConnectionId) {
        panic!("nobody is slow here");
    }

    fn resume(&mut self, _: ConnectionId) {
        panic!("nobody is slow here");
    }

    fn close(&mut self, _: ConnectionId, _: Bytes) {
        panic!("nobody leaves here");
    }

    fn try_send(&mut self, to: CoreId, lane: usize, message: Message) -> Result<(), Message> {
        self.lanes[(self.core * self.cores + usize::from(to.0)) * LANES + lane].push_back(message);
        Ok(())
    }

    fn try_recv(&mut self, from: CoreId, lane: usize) -> Option<Message> {
        self.lanes[(usize::from(from.0) * self.cores + self.core) * LANES + lane].pop_front()
    }

    fn check_password(&mut self, _: PasswordCheck) -> Result<(), PasswordCheck> {
        panic!("nobody has a password here");
    }

    fn notice(&mut self, notice: Notice) {
        panic!("nothing happens here that an operator wants to hear of: {notice:?}");
    }
}
