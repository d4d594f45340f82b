//! A broker inside a test, without sockets, threads or time: bytes in, bytes out.
//!
//! The broker of one core runs over a port that keeps what would be sent. Time is a number that the
//! test chooses, so timeouts and times to live can be tested in no time, and a failure repeats itself.
//! To test against the real process instead, see `broker_in_a_test.rs`.
//!
//! Run it: `cargo run --example embed`

use std::sync::Arc;

use blipmq::broker::port::InMemory;
use blipmq::broker::turn::turn;
use blipmq::broker::{Broker, Cluster, ConnectionId, Now, Peer, Protocol, Slot};
use blipmq::config::Settings;
use blipmq::protocol::CoreId;

/// A broker of one core, its clients' sockets, and its clock.
struct Embedded {
    broker: Broker,
    port: InMemory,
    now: Now,
}

impl Embedded {
    /// A broker with this configuration.
    fn new(config: &str) -> Embedded {
        let settings =
            Settings::parse("embedded.toml", config).expect("the configuration is right");
        let cluster = Cluster::new(1, 7, Arc::new(settings));
        let broker = Broker::new(CoreId(0), cluster, Arc::default());
        let now = Now { monotonic_ns: 1, unix_ns: 1_700_000_000_000_000_000 };
        Embedded { broker, port: InMemory::default(), now }
    }

    /// A client of NATS connects; it is the easiest to read in a test.
    fn connect(&mut self, slot: u32) -> ConnectionId {
        let connection = ConnectionId { slot: Slot(slot), generation: 0 };
        let peer = Peer { protocol: Protocol::Nats, address: ([127, 0, 0, 1], 1).into() };
        self.broker.connected(self.now, connection, peer, true);
        self.exchange(connection, "CONNECT {\"verbose\":false}\r\n");
        connection
    }

    /// Hands over what a client sends, and returns what that client is sent until all is quiet.
    fn exchange(&mut self, connection: ConnectionId, bytes: &str) -> String {
        self.broker.received(self.now, connection, bytes.as_bytes());
        let mut received = Vec::new();
        loop {
            let busy = turn(&mut self.broker, self.now, &mut self.port);
            let sends = std::mem::take(&mut self.port.sends);
            if !busy && sends.is_empty() {
                return String::from_utf8(received).expect("this conversation is text");
            }
            for (to, ranges) in sends {
                // The kernel would say so once it has taken the bytes.
                self.broker.sent(self.now, to);
                if to == connection {
                    received.extend(ranges.concat());
                }
            }
        }
    }
}

fn main() {
    let mut embedded = Embedded::new("[delivery]\ndefault_ttl_ms = 1000\n");
    let subscriber = embedded.connect(0);
    let publisher = embedded.connect(1);

    assert_eq!(embedded.exchange(subscriber, "SUB orders.> 1\r\nPING\r\n"), "PONG\r\n");
    embedded.broker.received(embedded.now, publisher, b"PUB orders.eu 8\r\nespresso\r\n");
    let seen = embedded.exchange(subscriber, "PING\r\n");
    assert_eq!(seen, "MSG orders.eu 1 8\r\nespresso\r\nPONG\r\n");
    print!("{seen}");

    // A client that says nothing wrong gets no deadline it could miss; time passes when the test says so.
    embedded.now.monotonic_ns += 3_600_000_000_000;
    assert_eq!(embedded.exchange(publisher, "PUB nobody.listens 2\r\nhi\r\nPING\r\n"), "PONG\r\n");
}
