//! A test of what needs several rooms and their private doors; `tests/broker` has the others.

use std::sync::Arc;

use super::turn;
use crate::broker::port::InMemory;
use crate::broker::{Broker, Cluster, ConnectionId, Now, Peer, Protocol, Slot};
use crate::config::Settings;
use crate::limits::MESH_OUTGOING_BYTES_MAX;
use crate::protocol::CoreId;

const NOW: Now = Now { monotonic_ns: 1, unix_ns: 1 };

#[test]
fn publishers_wait_until_the_last_core_has_room_again() {
    let cluster = Cluster::new(2, 1, Arc::new(Settings::default()));
    let name: Arc<str> = (0..)
        .map(|number| Arc::from(format!("topic{number}")))
        .find(|name| cluster.core_of(cluster.shard_of_name(name)) == CoreId(0))
        .expect("some topic is core 0's");
    let mut broker = Broker::new(CoreId(0), cluster, Arc::default());
    let (topic, _) =
        broker.topics.open(NOW, &mut broker.timers, &name).expect("there is room for one");
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

/// The protocol whose commands are lines of text.
fn text_protocol() -> Protocol {
    *Protocol::ALL.last().expect("there are several")
}

/// Goal: what clients ask of another core that takes nothing does not grow without bound.
/// Method: a port whose lanes are full, and a client that subscribes and unsubscribes for ever.
#[test]
fn a_client_that_subscribes_is_held_while_another_core_takes_no_requests() {
    let cluster = Cluster::new(2, 1, Arc::new(Settings::default()));
    let mut broker = Broker::new(CoreId(0), cluster, Arc::default());
    let mut port = InMemory::default();
    let connection = ConnectionId { slot: Slot(0), generation: 1 };
    let address = ([127, 0, 0, 1], 1).into();
    broker.connected(NOW, connection, Peer { protocol: text_protocol(), address }, true);
    broker.received(NOW, connection, b"CONNECT {\"verbose\":false}\r\n");
    let pairs: String = (0..500).map(|sid| format!("SUB * {sid}\r\nUNSUB {sid}\r\n")).collect();
    for _ in 0..200 {
        if port.paused.is_empty() {
            broker.received(NOW, connection, pairs.as_bytes());
        }
        while turn(&mut broker, NOW, &mut port) {}
        for (connection, _) in std::mem::take(&mut port.sends) {
            broker.sent(NOW, connection);
        }
    }
    assert_eq!(port.paused, [connection]);
    assert!(broker.mesh.is_full(CoreId(1)));
    let waiting = broker.mesh.request_bytes(CoreId(1));
    assert!(waiting < 2 * MESH_OUTGOING_BYTES_MAX, "{waiting}");
}

/// Goal: a read that ends within a frame costs a copy of that frame, and not of all that follows.
/// Method: long reads whose last command lacks a part of its payload.
#[test]
fn of_a_read_that_ends_within_a_frame_only_the_beginning_of_that_frame_is_kept() {
    const COMMAND: &str = "PUB a 5\r\nhello\r\n";
    let cluster = Cluster::new(1, 1, Arc::new(Settings::default()));
    let mut broker = Broker::new(CoreId(0), cluster, Arc::default());
    let mut port = InMemory::default();
    let connection = ConnectionId { slot: Slot(0), generation: 1 };
    let address = ([127, 0, 0, 1], 1).into();
    broker.connected(NOW, connection, Peer { protocol: text_protocol(), address }, true);
    broker.received(NOW, connection, b"CONNECT {\"verbose\":false}\r\n");
    let (first, rest) = COMMAND.split_at(12);
    let read = format!("{rest}{}{first}", COMMAND.repeat(199));
    broker.received(NOW, connection, first.as_bytes());
    for _ in 0..5 {
        broker.received(NOW, connection, read.as_bytes());
        while turn(&mut broker, NOW, &mut port) {}
        let unserved = broker.connections.get(connection.slot).unserved();
        assert_eq!(unserved.first(), first.as_bytes());
        assert!(unserved.held_bytes() < 1_024, "{}", unserved.held_bytes());
    }
    assert_eq!(broker.connections.at(connection.slot).traffic().published_messages, 1_000);
}
