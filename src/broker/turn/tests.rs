//! A test of what needs several rooms and their private doors; `tests/broker` has the others.

use std::sync::Arc;

use super::turn;
use crate::broker::port::InMemory;
use crate::broker::{Broker, Cluster, ConnectionId, Now, Peer, Protocol, Slot};
use crate::config::Settings;
use crate::limits::{MESH_OUTGOING_BYTES_MAX, TOPICS_TENDED_PER_TURN};
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
    let connection = greet(&mut broker);
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
    let (mut broker, mut port) = (of_one_core(), InMemory::default());
    let connection = greet(&mut broker);
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

fn of_one_core() -> Broker {
    Broker::new(CoreId(0), Cluster::new(1, 1, Arc::new(Settings::default())), Arc::default())
}

/// Connects a client of the text protocol.
fn greet(broker: &mut Broker) -> ConnectionId {
    let connection = ConnectionId { slot: Slot(0), generation: 1 };
    let address = ([127, 0, 0, 1], 1).into();
    broker.connected(NOW, connection, Peer { protocol: text_protocol(), address }, true);
    broker.received(NOW, connection, b"CONNECT {\"verbose\":false}\r\n");
    connection
}

/// Goal: a turn looks at a bounded number of idle topics, whatever becomes of each.
/// Method: topics whose first deadline has come, and which were used since.
#[test]
fn a_turn_looks_at_so_many_idle_topics_also_if_none_of_them_is_idle_any_more() {
    let mut broker = of_one_core();
    let due = Now { monotonic_ns: NOW.monotonic_ns + broker.topics.idle_timeout_ns(), ..NOW };
    for now in [NOW, due] {
        for number in 0..3 * TOPICS_TENDED_PER_TURN {
            let name = format!("topic{number}").into();
            broker.topics.open(now, &mut broker.timers, &name).expect("there is room");
        }
    }
    broker.tend_topics(due);
    let left = std::iter::from_fn(|| broker.timers.take_due_topic(due)).count();
    assert_eq!(left, 2 * TOPICS_TENDED_PER_TURN);
}

#[test]
fn a_turn_evicts_so_many_slices_of_idle_topics_and_the_next_turn_goes_on() {
    let (mut broker, mut port) = (of_one_core(), InMemory::default());
    let connection = greet(&mut broker);
    for _ in 0..TOPICS_TENDED_PER_TURN {
        broker.received(NOW, connection, b"PUB a 0\r\n\r\nPUB b 0\r\n\r\n");
        while turn(&mut broker, NOW, &mut port) {}
    }
    let each = TOPICS_TENDED_PER_TURN as u64;
    let due = Now { monotonic_ns: NOW.monotonic_ns + broker.topics.idle_timeout_ns(), ..NOW };
    for left in [2 * each, each, 0] {
        assert_eq!(broker.topics.retained().0, left);
        broker.tend_topics(due);
    }
}
