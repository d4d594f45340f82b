//! Brokers without I/O, driven turn by turn as the server's relay drives them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use blipmq::broker::counters::{Counter, Counters};
use blipmq::broker::letter::{DELIVERIES, LANES, REQUESTS};
use blipmq::broker::{Broker, Cluster, ConnectionId, Now, Peer, Wire};
use blipmq::config::Settings;
use blipmq::protocol::decode::{Hello, Subscribe};
use blipmq::protocol::messages::Header;
use blipmq::protocol::{CoreId, RequestId, SubscriptionId, encode};
use bytes::{Bytes, BytesMut};
use criterion::Criterion;

/// Who it is changes nothing here.
const PEER: Peer =
    Peer { protocol: Wire::Blip, address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1) };

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
    gathered: Vec<Bytes>,
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
            gathered: Vec::new(),
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
        let connection = ConnectionId { slot: self.slots[core], generation: 0 };
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
        let subscribe = Subscribe {
            subscription: SubscriptionId(1),
            overflow: 0,
            start: 0,
            capacity: 0,
            start_argument: 0,
            pattern,
            group: "",
        };
        encode::subscribe(&mut bytes, &subscribe);
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

    /// One turn of every core, as the relay runs it; the kernel completes each send at once.
    /// Returns whether anything was done.
    pub fn turn(&mut self) -> bool {
        let mut busy = self.take_in();
        for core in 0..self.brokers.len() {
            while let Some(connection) = self.brokers[core].next_ready() {
                self.brokers[core].gather(self.now, connection, &mut self.gathered);
                if !self.gathered.is_empty() {
                    self.gathered.clear();
                    self.sending.push((core, connection));
                }
            }
            assert_eq!(self.brokers[core].take_actions().count(), 0, "nobody is slow here");
        }
        for (core, connection) in self.sending.drain(..) {
            busy = true;
            self.brokers[core].sent(self.now, connection);
        }
        busy
    }

    /// The first half of a turn: input is served and letters are exchanged.
    pub fn take_in(&mut self) -> bool {
        let mut busy = false;
        for core in 0..self.brokers.len() {
            busy |= self.brokers[core].take_in(self.now);
            for to in 0..self.brokers.len() {
                for lane in 0..LANES {
                    let to_id = CoreId(to as u16);
                    let Some(letter) = self.brokers[core].take_letter(to_id, lane) else {
                        continue;
                    };
                    self.brokers[core].letter_sent(to_id, lane);
                    assert!([REQUESTS, DELIVERIES].contains(&lane));
                    self.brokers[to].letter(CoreId(core as u16), letter);
                    busy = true;
                }
            }
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
