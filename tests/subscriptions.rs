//! What subscriptions cost: a broker of one core with a small budget, over a port in memory.

use std::sync::Arc;

use blipmq::broker::memory::Memory;
use blipmq::broker::port::InMemory;
use blipmq::broker::turn::turn;
use blipmq::broker::{Broker, Cluster, ConnectionId, Event, Now, Peer, Protocol, Slot};
use blipmq::config::Settings;
use blipmq::protocol::decode::{Hello, Subscribe};
use blipmq::protocol::{CoreId, SubscriptionId, encode};

const NOW: Now = Now { monotonic_ns: 1_000_000_000, unix_ns: 1 };

/// A broker of one core with a small budget, and what its clients are told.
struct Small {
    broker: Broker,
    memory: Memory,
    port: InMemory,
    connections: u32,
}

impl Small {
    const MEMORY_MAX: u64 = 1 << 20;

    fn new() -> Small {
        let mut settings = Settings::default();
        settings.limits.memory_max = Small::MEMORY_MAX;
        let cluster = Cluster::new(1, 1, Arc::new(settings));
        let memory = cluster.memory.clone();
        let broker = Broker::new(CoreId(0), cluster, Arc::default());
        Small { broker, memory, port: InMemory::default(), connections: 0 }
    }

    fn connect(&mut self, protocol: Protocol) -> ConnectionId {
        let connection = ConnectionId { slot: Slot(self.connections), generation: 1 };
        self.connections += 1;
        let address = ([127, 0, 0, 1], 1).into();
        self.broker.connected(NOW, connection, Peer { protocol, address }, true);
        let mut login = Vec::new();
        match protocol {
            Protocol::Nats => login.extend(b"CONNECT {\"verbose\":false}\r\n"),
            Protocol::Blip => {
                let hello = Hello { auth_kind: 0, client_name: "", user: "", password: "" };
                encode::hello(&mut login, &hello);
            }
        }
        self.say(connection, &login);
        connection
    }

    /// Sends bytes of a client, and returns what all clients are told.
    fn say(&mut self, connection: ConnectionId, bytes: &[u8]) -> String {
        self.broker.received(NOW, connection, bytes);
        let mut told = Vec::new();
        loop {
            while turn(&mut self.broker, NOW, &mut self.port) {}
            let sends = std::mem::take(&mut self.port.sends);
            let closes = std::mem::take(&mut self.port.closes);
            if sends.is_empty() && closes.is_empty() {
                return String::from_utf8_lossy(&told).into_owned();
            }
            for (connection, ranges) in sends {
                ranges.iter().for_each(|range| told.extend_from_slice(range));
                self.broker.sent(NOW, connection);
            }
            for (connection, last) in closes {
                told.extend_from_slice(&last);
                self.broker.closed(connection);
            }
        }
    }
}

/// Goal: memory that many small holders have used up for subscriptions is not exceeded, and is given back.
#[test]
fn a_subscription_is_refused_when_memory_is_full_and_nothing_can_be_reclaimed() {
    const REFUSED: &str = "maximum subscriptions exceeded";
    let mut small = Small::new();
    let refused = loop {
        let connection = small.connect(Protocol::Nats);
        let told = small.say(connection, b"SUB one.of.many 1\r\nSUB one.of.* 2\r\n");
        if told.contains(REFUSED) {
            break connection;
        }
        assert!(small.connections < 2_000, "{} bytes are held", small.memory.held());
    };
    assert!(small.port.closes.is_empty(), "nobody holds more than a fair share");
    assert!(small.memory.held() < Small::MEMORY_MAX / 10 * 11, "{}", small.memory.held());
    let reader = small.connect(Protocol::Blip);
    let mut subscribe = Vec::new();
    encode::subscribe(&mut subscribe, &Subscribe::live(SubscriptionId(1), "one"));
    let told = small.say(reader, &subscribe);
    assert!(told.contains("subscribe later, or raise `limits.memory_max`"), "{told}");
    for slot in 0..refused.slot.0 {
        small.broker.ended(NOW, ConnectionId { slot: Slot(slot), generation: 1 });
    }
    assert!(!small.say(refused, b"SUB one.of.many 3\r\n").contains(REFUSED));
    small.broker.ended(NOW, refused);
    small.say(reader, &subscribe);
    small.broker.ended(NOW, reader);
    while turn(&mut small.broker, NOW, &mut small.port) {}
    assert_eq!(small.memory.held(), 0);
}

/// Goal: who holds most of the memory for subscriptions is closed, and told why; who holds little stays.
#[test]
fn who_subscribes_to_most_is_closed_when_memory_is_short() {
    let mut small = Small::new();
    let modest = small.connect(Protocol::Nats);
    small.say(modest, b"SUB few 1\r\n");
    let greedy = small.connect(Protocol::Nats);
    let mut told = String::new();
    for sid in 0..10_000 {
        told += &small.say(greedy, format!("SUB many.{sid} {sid}\r\n").as_bytes());
        if !told.is_empty() {
            break;
        }
    }
    assert_eq!(told, "-ERR 'maximum subscriptions exceeded'\r\n");
    let named = small.port.notices.iter().any(|notice| {
        matches!(&notice.event, Event::TooSlow { why } if why.contains("subscriptions, more than"))
    });
    assert!(named, "{:?}", small.port.notices);
    assert!(small.port.given_back > 0, "what it held goes back to the operating system");
    assert!(small.memory.held() < 16 << 10, "{}", small.memory.held());
    assert_eq!(small.say(modest, b"PUB few 1\r\nx\r\n"), "MSG few 1 1\r\nx\r\n");
}
