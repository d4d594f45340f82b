//! Lists of a broker that is driven by hand: every kind of row, in steps, merged over cores.

use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::broker::{Cluster, ConnectionId, Peer, Protocol, Slot};
use crate::config::Settings;
use crate::limits::COMMANDS_PER_TURN;
use crate::protocol::CoreId;

const PEER: Peer = Peer {
    protocol: Protocol::Nats,
    address: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5),
};

fn at(monotonic_ns: u64) -> Now {
    Now { monotonic_ns, unix_ns: monotonic_ns }
}

/// A broker of one core whose queues hold two messages.
struct Driven {
    broker: Broker,
    now: Now,
}

impl Driven {
    fn new(change: impl FnOnce(&mut Settings)) -> Driven {
        let mut settings = Settings::default();
        settings.nats.subscriber_capacity = 2;
        change(&mut settings);
        let cluster = Cluster::new(1, 1, Arc::new(settings));
        let broker = Broker::new(CoreId(0), cluster, Arc::default());
        Driven { broker, now: at(1) }
    }

    fn connect(&mut self, slot: u32) -> ConnectionId {
        let connection = ConnectionId { slot: Slot(slot), generation: 7 };
        self.broker.connected(self.now, connection, PEER, true);
        self.say(connection, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
        connection
    }

    fn say(&mut self, connection: ConnectionId, text: &str) {
        self.broker.received(self.now, connection, text.as_bytes());
        while self.broker.take_in(self.now) {}
    }

    /// Starts one send to every connection that has something queued; the sends stay under way.
    fn send(&mut self) -> Vec<ConnectionId> {
        let mut sent = Vec::new();
        while let Some(connection) = self.broker.connections.next_ready() {
            let mut out = Vec::new();
            let (frontends, mut doors) = self.broker.open_doors(self.now);
            frontends.gather(&mut doors, connection.slot, &mut out);
            self.broker.carry_out(self.now);
            if !out.is_empty() {
                sent.push(connection);
            }
        }
        sent
    }

    fn rows(&self, list: List, ascending: bool, rows_max: usize) -> Answer {
        let question = Question { list, ascending, rows_max };
        let mut inspection = Inspection::new(question);
        while !self.broker.inspect(self.now, &mut inspection) {}
        inspection.into_answer()
    }

    fn subscriptions(&self, by: SubscriptionsBy) -> Vec<SubscriptionRow> {
        let rows = self.rows(List::Subscriptions(by), false, 10).rows.into_iter();
        rows.map(|ranked| match ranked.row {
            Row::Subscription(row) => row,
            other => panic!("{other:?}"),
        })
        .collect()
    }
}

#[test]
fn the_row_of_a_stalled_subscriber_shows_queued_messages_their_lag_and_losses() {
    let mut driven = Driven::new(|_| {});
    let fast = driven.connect(0);
    let slow = driven.connect(1);
    driven.say(fast, "SUB a.* 1\r\n");
    driven.say(slow, "SUB a.> 9\r\n");
    driven.send();
    // The send of `slow` stays under way, so what comes now is queued for that connection.
    driven.broker.sent(driven.now, fast);
    driven.say(fast, "PUB a.b 2\r\nhi\r\n");
    driven.now = at(1_000);
    driven.say(fast, "PUB a.b 2\r\nhi\r\n");
    driven.now = at(2_000);
    driven.say(fast, "PUB a.b 2\r\nhi\r\n");
    assert_eq!(driven.send(), [fast]);
    driven.now = at(5_000);
    driven.broker.sent(driven.now, fast);

    let rows = driven.subscriptions(SubscriptionsBy::Lag);
    let lags: Vec<u64> = rows.iter().map(|row| row.queued.lag_ns).collect();
    assert_eq!(lags, [4_000, 0]);
    let row = &rows[0];
    assert_eq!((row.name.as_str(), &*row.pattern, row.queued.messages), ("9", "a.>", 2));
    assert_eq!(row.connection, Some((slow, PEER.address, Protocol::Nats)));
    assert_eq!((row.lost.overflow_oldest, row.lost.messages(), row.bounds.messages_max), (1, 1, 2));
    assert_eq!((row.delivered_messages, rows[1].delivered_messages), (0, 2));

    let answer = driven.rows(List::Connections(ConnectionsBy::QueuedMessages), false, 10);
    assert_eq!((answer.total, answer.rows.len()), (2, 2));
    let Row::Connection(row) = &answer.rows[0].row else { panic!("{answer:?}") };
    assert_eq!((row.connection, row.dropped_messages, row.queued.messages), (slow, 1, 2));
    assert_eq!((row.subscriptions, row.client_number, row.age_ns), (1, Some(2), 4_999));
    let Row::Connection(row) = &answer.rows[1].row else { panic!("{answer:?}") };
    assert_eq!((row.connection, row.traffic.published_messages), (fast, 3));
    assert!(row.traffic.published_bytes >= 6, "{row:?}");
    assert_eq!((row.traffic.delivered_messages, row.dropped_messages), (2, 1));
}

#[test]
fn the_queue_of_a_group_has_a_row_that_belongs_to_no_connection() {
    let mut driven = Driven::new(|settings| settings.queues.subscriber_capacity = 3);
    let member = driven.connect(0);
    driven.say(member, "SUB work g 1\r\n");
    driven.send();
    for _ in 0..9 {
        driven.say(member, "PUB work 2\r\nhi\r\n");
    }
    let rows = driven.subscriptions(SubscriptionsBy::Dropped);
    let shown: Vec<_> =
        rows.iter().map(|row| (row.connection.is_some(), row.lost.messages())).collect();
    // The member holds two, the group three; the rest was dropped.
    assert_eq!(shown, [(false, 4), (true, 0)]);
    assert!(rows.iter().all(|row| row.group.as_deref() == Some("g") && &*row.pattern == "work"));
    assert_eq!((rows[0].queued.messages, rows[1].queued.messages), (3, 2));
}

#[test]
fn topics_are_listed_with_what_was_published_and_what_is_retained() {
    let mut driven = Driven::new(|_| {});
    let publisher = driven.connect(0);
    driven.now = at(2_000_000_000);
    for (topic, times) in [("b", 2), ("a", 1), ("c", 3)] {
        for _ in 0..times {
            driven.say(publisher, &format!("PUB {topic} 2\r\nhi\r\n"));
        }
    }
    driven.now = at(3_000_000_000);
    let names = |by, ascending, rows_max| {
        let answer = driven.rows(List::Topics(by), ascending, rows_max);
        assert_eq!(answer.total, 3);
        let names = answer.rows.into_iter().map(|ranked| match ranked.row {
            Row::Topic(row) => row.topic.to_string(),
            other => panic!("{other:?}"),
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(TopicsBy::Name, true, 10), ["a", "b", "c"]);
    assert_eq!(names(TopicsBy::Published, false, 2), ["c", "b"]);
    assert_eq!(names(TopicsBy::RetainedBytes, true, 1), ["a"]);
    assert_eq!(names(TopicsBy::Rate, false, 10), ["c", "b", "a"]);
    let answer = driven.rows(List::Topics(TopicsBy::Published), false, 1);
    let Row::Topic(row) = &answer.rows[0].row else { panic!("{answer:?}") };
    assert_eq!((row.published_messages, row.retained_messages), (3, 3));
    assert_eq!((row.published_bytes, row.idle_ns), (row.retained_bytes, Some(1_000_000_000)));
    assert!((row.rate_per_second - 3.0).abs() < 1e-6);
}

/// Goal: steps and cuts never change the answer.
/// Method: more topics than fit into several steps, compared with a naive sort.
#[test]
fn the_first_rows_of_many_topics_are_those_of_a_naive_sort() {
    let mut driven = Driven::new(|_| {});
    let publisher = driven.connect(0);
    let mut counts = Vec::new();
    for topic in 0..3 * STEP_ITEMS + 5 {
        // Scattered, with many equal ones.
        let times = topic * 7_919 % 13;
        for _ in 0..times {
            driven.say(publisher, &format!("PUB t.{topic} 0\r\n\r\n"));
        }
        counts.extend((times > 0).then_some(times as u64));
    }
    counts.sort_unstable();
    for rows_max in [0, 1, STEP_ITEMS, counts.len()] {
        for ascending in [true, false] {
            let answer = driven.rows(List::Topics(TopicsBy::Published), ascending, rows_max);
            assert_eq!(answer.total, counts.len());
            let found: Vec<Key> = answer.rows.iter().map(|ranked| ranked.key.clone()).collect();
            let mut naive: Vec<Key> = counts.iter().map(|count| Key::Number(*count)).collect();
            if !ascending {
                naive.reverse();
            }
            naive.truncate(rows_max);
            assert_eq!(found, naive);
        }
    }
}

#[test]
fn a_connection_that_ends_before_its_row_is_written_is_left_out() {
    let mut driven = Driven::new(|_| {});
    let stays = driven.connect(0);
    let goes = driven.connect(1);
    let list = List::Connections(ConnectionsBy::Age);
    let mut inspection = Inspection::new(Question { list, ascending: false, rows_max: 10 });
    assert!(!driven.broker.inspect(driven.now, &mut inspection), "the first step writes no rows");
    driven.broker.ended(driven.now, goes);
    driven.broker.closed(goes);
    // Another connection in the same place is not mistaken for the first.
    driven.broker.connected(driven.now, ConnectionId { slot: Slot(1), generation: 8 }, PEER, true);
    while !driven.broker.inspect(driven.now, &mut inspection) {}
    let rows = inspection.into_answer().rows;
    assert_eq!(rows.len(), 1);
    assert!(matches!(&rows[0].row, Row::Connection(row) if row.connection == stays));
}

#[test]
fn answers_of_several_cores_are_merged_in_order() {
    let row = |number| {
        let mut driven = Driven::new(|_| {});
        driven.connect(0);
        let mut answer = driven.rows(List::Connections(ConnectionsBy::Age), false, 1);
        answer.rows[0].key = Key::Number(number);
        answer.rows.remove(0)
    };
    let one = Answer { total: 10, rows: vec![row(9), row(4)] };
    let other = Answer { total: 5, rows: vec![row(7), row(1)] };
    let question =
        Question { list: List::Connections(ConnectionsBy::Age), ascending: false, rows_max: 3 };
    let merged = merge(question, [one, other]);
    let keys: Vec<&Key> = merged.rows.iter().map(|ranked| &ranked.key).collect();
    assert_eq!(keys, [&Key::Number(9), &Key::Number(7), &Key::Number(4)]);
    assert_eq!(merged.total, 15);
}

#[test]
fn the_connection_whose_input_waits_for_its_share_of_a_turn_is_found_by_that() {
    let mut driven = Driven::new(|_| {});
    let quiet = driven.connect(0);
    let busy = driven.connect(1);
    driven.say(quiet, "UNSUB 7\r\n");
    driven.say(busy, &"UNSUB 7\r\n".repeat(COMMANDS_PER_TURN as usize + 1));
    let answer = driven.rows(List::Connections(ConnectionsBy::InputDeferred), false, 10);
    let deferred = answer.rows.iter().map(|found| match &found.row {
        Row::Connection(row) => (row.connection, row.input_deferred),
        other => panic!("{other:?}"),
    });
    assert_eq!(deferred.collect::<Vec<_>>(), [(busy, 1), (quiet, 0)]);
}
