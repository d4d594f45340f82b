//! Tests of what needs several rooms, over a broker without a port.

use std::sync::Arc;

use crate::broker::frontends::notice::NOTICES_MAX;
use crate::broker::{Broker, Cluster, ConnectionId, Event, Notice, Now, Peer, Protocol, Slot};
use crate::config::{OverflowPolicy, Settings};
use crate::protocol::CoreId;

const NOW: Now = Now { monotonic_ns: 1, unix_ns: 1 };

fn broker(config: &str) -> Broker {
    let settings = Settings::parse("blipmq.toml", config).expect(config);
    Broker::new(CoreId(0), Cluster::new(1, 1, Arc::new(settings)), Arc::default())
}

/// A NATS client that says this; what follows is served, and nothing is sent.
fn connect(broker: &mut Broker, slot: u32, says: &[u8]) -> Peer {
    let peer = Peer { protocol: Protocol::Nats, address: ([127, 0, 0, 1], slot as u16).into() };
    let connection = ConnectionId { slot: Slot(slot), generation: 1 };
    broker.connected(NOW, connection, peer, true);
    broker.received(NOW, connection, says);
    broker.take_in(NOW);
    peer
}

fn notices(broker: &mut Broker) -> Vec<Notice> {
    std::mem::take(&mut broker.notices)
}

#[test]
fn a_refused_login_is_noticed_once_and_without_its_secret() {
    let mut broker = broker("[auth]\ntoken = \"t0ken\"\n");
    let peer = connect(&mut broker, 0, b"CONNECT {\"auth_token\":\"wr0ng\"}\r\n");
    let found = notices(&mut broker);
    assert!(
        matches!(&found[..], [Notice { peer: of, event: Event::LoginRefused { why } }]
            if *of == peer && !why.contains("wr0ng")),
        "{found:?}"
    );
    assert_eq!(notices(&mut broker), []);
}

#[test]
fn a_storm_of_refused_logins_leaves_few_notices() {
    let mut broker = broker("[auth]\ntoken = \"t0ken\"\n");
    for slot in 0..1_000 {
        connect(&mut broker, slot, b"CONNECT {}\r\n");
    }
    assert_eq!(notices(&mut broker).len(), NOTICES_MAX);
}

#[test]
fn a_full_queue_is_noticed_the_first_time_only() {
    let mut broker = broker("[nats]\nsubscriber_capacity = 1\n");
    let peer = connect(&mut broker, 0, b"CONNECT {\"verbose\":false}\r\nSUB a.> 1\r\nPING\r\n");
    // Nothing is gathered for it, so its queue fills.
    let publish = b"CONNECT {\"verbose\":false}\r\nPUB a.b 1\r\nx\r\nPUB a.c 1\r\ny\r\n";
    for slot in 1..9 {
        connect(&mut broker, slot, publish);
    }
    let event = Event::Overflow { pattern: "a.>".into(), policy: OverflowPolicy::DropOldest };
    assert_eq!(notices(&mut broker), [Notice { peer, event }]);
}

#[test]
fn publishers_wait_until_the_last_core_has_room_again() {
    let cluster = Cluster::new(2, 1, Arc::new(Settings::default()));
    let name: Arc<str> = (0..)
        .map(|number| Arc::from(format!("topic{number}")))
        .find(|name| cluster.core_of(cluster.shard_of_name(name)) == CoreId(0))
        .expect("some topic is core 0's");
    let mut broker = Broker::new(CoreId(0), cluster, Arc::default());
    let (topic, _) = broker.topics.open(&name).expect("there is room for one");
    let block = |broker: &mut Broker, from, blocked| {
        let request = crate::broker::delivery::Request::Block { topic: topic.id, blocked };
        broker.serve_delivery_request(NOW, CoreId(from), request);
        broker.delivery.is_blocked(topic.id)
    };
    for (from, blocked) in [(0, true), (1, true), (0, false)] {
        assert!(block(&mut broker, from, blocked), "one core at least is full");
    }
    assert!(!block(&mut broker, 1, false));
}
