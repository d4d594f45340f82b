//! How fast a client may publish, and how long it may take nothing.

use std::sync::Arc;

use blipmq::broker::counters::Counters;
use blipmq::broker::port::InMemory;
use blipmq::broker::turn::turn;
use blipmq::broker::{Broker, Cluster, ConnectionId};
use blipmq::config::Settings;
use blipmq::protocol::CoreId;

use super::{MS, at, connect, id};

pub fn with_limits(config: &str) -> (Broker, InMemory, Arc<Counters>) {
    let settings = Settings::parse("blipmq.toml", config).expect(config);
    let counters = Arc::<Counters>::default();
    let cluster = Cluster::new(1, 1, Arc::new(settings));
    (Broker::new(CoreId(0), cluster, counters.clone()), InMemory::default(), counters)
}

#[test]
fn a_client_that_publishes_faster_than_it_may_is_not_read_until_it_may_and_loses_nothing() {
    for limit in ["max_publish_messages_per_second = 10", "max_publish_bytes_per_second = 150"] {
        let (mut broker, mut port, counters) = with_limits(&format!("[limits]\n{limit}\n"));
        connect(&mut broker, &mut port, 0, b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
        // 15 bytes each: what may be saved up, and two seconds more.
        broker.received(at(5_000), id(0), &b"PUB a 4\r\nhaha\r\n".repeat(30));
        broker.received(at(5_000), id(0), b"PUB b 4\r\nlast\r\n");
        turn(&mut broker, at(5_000), &mut port);
        assert_eq!((counters.published_messages.get(), port.paused.len()), (30, 1), "{limit}");
        let next_ns = broker.next_deadline_ns().expect("the core wakes for it");
        assert!(next_ns <= 7_000 * MS, "{next_ns}");
        turn(&mut broker, at(6_999), &mut port);
        assert_eq!(counters.published_messages.get(), 30, "{limit}");
        while turn(&mut broker, at(7_000), &mut port) {}
        assert_eq!((counters.published_messages.get(), port.paused.len()), (31, 1), "{limit}");
        while turn(&mut broker, at(7_100), &mut port) {}
        assert_eq!((port.paused.len(), counters.rate_limited.get()), (0, 2), "{limit}");
    }
}

#[test]
fn a_client_that_takes_nothing_for_write_timeout_ms_is_closed_and_one_that_takes_some_is_not() {
    let (mut broker, mut port, counters) = with_limits("[server]\nwrite_timeout_ms = 1000\n");
    for slot in 0..2 {
        connect(&mut broker, &mut port, slot, b"CONNECT {\"verbose\":false}\r\nSUB a 1\r\n");
    }
    port.sends.clear();
    // The first takes what greets it, and is sent a message.
    broker.sent(at(600), id(0));
    broker.received(at(600), id(1), b"PUB a 2\r\nhi\r\n");
    while turn(&mut broker, at(600), &mut port) {}
    assert!(matches!(&port.sends[..], [(to, _)] if *to == id(0)));
    turn(&mut broker, at(999), &mut port);
    assert_eq!(port.closes, []);
    turn(&mut broker, at(1_000), &mut port);
    let closed: Vec<ConnectionId> = port.closes.iter().map(|(connection, _)| *connection).collect();
    assert_eq!(closed, [id(1)], "it has not even read INFO");
    turn(&mut broker, at(1_599), &mut port);
    assert_eq!((port.closes.len(), counters.send_timeouts.get()), (1, 1));
    turn(&mut broker, at(1_600), &mut port);
    assert_eq!((port.closes.len(), counters.send_timeouts.get()), (2, 2));
    let (_, why) = broker.closed(id(1));
    assert!(why.contains("Slow Consumer"), "{why}");
}

#[test]
fn a_write_timeout_that_a_reload_sets_holds_for_connections_that_were_sent_to_before() {
    let (mut broker, mut port, counters) = with_limits("[server]\nwrite_timeout_ms = 0\n");
    connect(&mut broker, &mut port, 0, b"CONNECT {\"verbose\":false}\r\nSUB a 1\r\n");
    port.sends.clear();
    broker.sent(at(0), id(0));
    let text = "[server]\nwrite_timeout_ms = 1000\n";
    let settings = Settings::parse("blipmq.toml", text).expect(text);
    broker.reload(at(10), Arc::new(settings));
    broker.received(at(10), id(0), b"PUB a 2\r\nhi\r\n");
    while turn(&mut broker, at(10), &mut port) {}
    assert_eq!(port.sends.len(), 1);
    turn(&mut broker, at(1_009), &mut port);
    assert_eq!((port.closes.len(), counters.send_timeouts.get()), (0, 0));
    turn(&mut broker, at(1_010), &mut port);
    assert_eq!((port.closes.len(), counters.send_timeouts.get()), (1, 1));
}
