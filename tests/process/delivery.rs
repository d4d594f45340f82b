//! A subscriber that reads receives every message, once, in order, unchanged.

use std::collections::HashMap;

use blipmq::broker::pattern::Matcher;
use blipmq::protocol::decode::ServerFrame;

use super::on_one_and_two_cores;
use crate::account::{Account, Window};
use crate::support::running::Broker;
use crate::support::wire::Wire;
use crate::support::written::encode_subscribe;

on_one_and_two_cores! {
    two_publishers_and_many_subscribers_share_one_order_of_every_topic,
    a_topic_of_another_core_than_its_publisher_and_subscriber_is_delivered,
    a_thousand_connections_receive_one_message,
    messages_without_a_ttl_get_the_configured_one,
}

/// Frames of each publisher.
const FRAMES: usize = 600;
const TOPICS: [&str; 4] = ["orders.a", "orders.b", "orders.c", "orders.d"];
const PATTERNS: [&str; 10] = [
    "orders.a", "orders.b", "orders.c", "orders.d", "orders.*", "orders.>", ">", "*.a", "*.*",
    "orders.a",
];

/// Receives the messages of `subscriber`, by topic, and checks their order.
fn receive_all(
    wire: &mut Wire,
    subscriber: usize,
    messages: usize,
    window: &Window,
) -> HashMap<String, Vec<Vec<u8>>> {
    let mut accounts: HashMap<u32, (String, Account, Vec<Vec<u8>>)> = HashMap::new();
    let mut left = messages;
    while left > 0 {
        let frame = wire.expect();
        if let ServerFrame::Topic { topic, next_sequence, name, .. } = frame.decoded() {
            let account = Account::new(topic.0, next_sequence.0);
            let twin = accounts.insert(topic.0, (name.to_owned(), account, Vec::new()));
            assert!(twin.is_none(), "a topic is named once");
            continue;
        }
        let (header, payloads) = frame.messages().expect("with a window nothing is lost");
        let (_, account, kept) = accounts.get_mut(&header.topic).expect("TOPIC comes first");
        account.take(&frame);
        kept.extend(payloads.iter().map(|payload| payload.to_vec()));
        left -= payloads.len();
        window.received(subscriber, payloads.len() as u64);
    }
    wire.ping();
    accounts.into_values().map(|(name, _, kept)| (name, kept)).collect()
}

/// The subscribers that a topic reaches.
fn subscribers_of(topic: &str) -> Vec<usize> {
    let mut matcher = Matcher::default();
    for subscriber in 0..2 * PATTERNS.len() {
        matcher.insert(PATTERNS[subscriber / 2], subscriber as u32);
    }
    let mut found = Vec::new();
    matcher.matches(topic, &mut found);
    found.into_iter().map(|subscriber| subscriber as usize).collect()
}

/// The messages of one frame.
fn frame_of(publisher: usize, topic: usize, number: usize) -> Vec<Vec<u8>> {
    let filler = "x".repeat(number % 200);
    let messages = 0..1 + number % 9;
    messages
        .map(|index| format!("{publisher} {topic} {number} {index} {filler}").into_bytes())
        .collect()
}

/// The messages of a publisher to a topic, in order.
fn sent_by(publisher: usize, topic: usize) -> Vec<Vec<u8>> {
    let numbers = (0..FRAMES).filter(|number| number % TOPICS.len() == topic);
    numbers.flat_map(|number| frame_of(publisher, topic, number)).collect()
}

/// Goal: one order per topic, no message lost, duplicated or altered, whatever pattern a subscriber has.
/// Method: 2 publishers, 4 topics, 20 subscribers; publishers wait for subscribers.
fn two_publishers_and_many_subscribers_share_one_order_of_every_topic(cores: &str) {
    let reached: Vec<Vec<usize>> = TOPICS.iter().map(|topic| subscribers_of(topic)).collect();
    let messages_of = |subscriber: usize| -> usize {
        let topics = (0..TOPICS.len()).filter(|topic| reached[*topic].contains(&subscriber));
        topics.map(|topic| sent_by(0, topic).len() + sent_by(1, topic).len()).sum()
    };

    let broker = Broker::start(cores);
    let mut subscribers: Vec<Wire> = (0..2 * PATTERNS.len())
        .map(|subscriber| {
            let mut wire = Wire::connect(broker.addr);
            wire.subscribe(1, PATTERNS[subscriber / 2]);
            wire
        })
        .collect();
    let window = Window::new(subscribers.len(), 1_000);
    let received: Vec<HashMap<String, Vec<Vec<u8>>>> = std::thread::scope(|scope| {
        let readers: Vec<_> = subscribers
            .iter_mut()
            .enumerate()
            .map(|(subscriber, wire)| {
                let (messages, window) = (messages_of(subscriber), &window);
                scope.spawn(move || receive_all(wire, subscriber, messages, window))
            })
            .collect();
        for publisher in 0..2 {
            let (window, reached, addr) = (&window, &reached, broker.addr);
            scope.spawn(move || {
                let mut wire = Wire::connect(addr);
                let open = |request| wire.open(request as u32 + 1, TOPICS[request]).0;
                let ids: Vec<u32> = (0..TOPICS.len()).map(open).collect();
                for number in 0..FRAMES {
                    let topic = number % TOPICS.len();
                    let messages = frame_of(publisher, topic, number);
                    window.publish(&reached[topic], messages.len() as u64);
                    let payloads: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
                    wire.publish(ids[topic], &payloads);
                }
                wire.ping();
            });
        }
        readers.into_iter().map(|reader| reader.join().expect("the reader succeeds")).collect()
    });

    for (topic, name) in TOPICS.iter().enumerate() {
        let mut lists = reached[topic].iter().map(|subscriber| &received[*subscriber][*name]);
        let first = lists.next().expect("every topic reaches a subscriber");
        assert!(lists.all(|list| list == first), "all subscribers see {name} in one order");
        for publisher in 0..2 {
            let own = format!("{publisher} ").into_bytes();
            let of_one: Vec<_> = first.iter().filter(|payload| payload.starts_with(&own)).collect();
            assert!(of_one.into_iter().eq(&sent_by(publisher, topic)), "{name} of {publisher}");
        }
    }
    for (subscriber, topics) in received.iter().enumerate() {
        let reached_by = reached.iter().filter(|reached| reached.contains(&subscriber)).count();
        assert_eq!(topics.len(), reached_by, "{}", PATTERNS[subscriber / 2]);
    }
    assert_eq!(broker.metric("blipmq_dropped_messages_total", ""), 0);
    drop(subscribers);
    broker.stop();
}

/// Goal: delivery does not depend on the core that owns a topic, also before the topic id is known.
/// Method: publisher and subscriber on one core, and names until another core owns the topic.
fn a_topic_of_another_core_than_its_publisher_and_subscriber_is_delivered(cores: &str) {
    let broker = Broker::start(cores);
    let several = cores.contains(',');
    let mut publisher = Wire::connect(broker.addr);
    let mut others: Vec<Wire> = (0..3).map(|_| Wire::connect(broker.addr)).collect();
    let same = others.iter().position(|other| other.core == publisher.core);
    let mut subscriber = others.swap_remove(same.expect("connections are dealt evenly"));
    let mut request = 0;
    let (name, topic) = loop {
        request += 1;
        let name = format!("far{request}.t");
        let (topic, next, owner) = publisher.open(request, &name);
        assert_eq!(next, 1);
        if !several || owner != publisher.core {
            break (name, topic);
        }
        assert!(request < 1_000, "shards are dealt to all cores");
    };
    subscriber.subscribe(1, &name);
    let mut account = Account::new(topic, 1);
    for number in 0..200u64 {
        let payload = number.to_le_bytes();
        // By the topic id, and by the provisional id.
        let id = if number % 2 == 0 { topic } else { 0x8000_0000 | request };
        publisher.publish(id, &[&payload]);
        if number % 50 == 49 {
            account.take_until(&mut subscriber, number + 1, |sequence, payload| {
                assert_eq!(payload, (sequence - 1).to_le_bytes());
            });
        }
    }
    // A topic whose id the publisher does not know yet.
    for number in 0..20 {
        let name = format!("unknown.{number}");
        let mut fresh = Wire::connect(broker.addr);
        fresh.subscribe(1, &name);
        publisher.open_and_publish(5_000 + number, &name, &[b"at once"]);
        let named = fresh.expect();
        let ServerFrame::Topic { topic, .. } = named.decoded() else { panic!("TOPIC was due") };
        Account::new(topic.0, 1)
            .take_until(&mut fresh, 1, |_, payload| assert_eq!(payload, b"at once"));
    }
    drop((publisher, subscriber, others));
    broker.stop();
}

/// Soft limit on open files of this process.
fn open_files_max() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("/proc is mounted");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft =
        line.expect("every Linux has this line").split_whitespace().next().expect("a number");
    soft.parse().unwrap_or(u64::MAX)
}

fn a_thousand_connections_receive_one_message(cores: &str) {
    if open_files_max() < 2_100 {
        eprintln!("SKIPPED: it needs 2,100 open files, the limit is {}", open_files_max());
        return;
    }
    let broker = Broker::start_with(cores, "[server]\nmax_connections = 1_100\n");
    let mut connections: Vec<Wire> = (0..1_000).map(|_| Wire::connect(broker.addr)).collect();
    for (number, wire) in connections.iter_mut().enumerate() {
        // Half of them by name, half by pattern; answers are taken later.
        let pattern = if number % 2 == 0 { "all.hands" } else { "all.*" };
        wire.send(|out| encode_subscribe(out, 1, pattern, 0, 0));
    }
    for wire in &mut connections {
        assert!(matches!(wire.expect().decoded(), ServerFrame::Subscribed { .. }));
    }
    assert_eq!(broker.metric("blipmq_connections", ""), 1_000);
    assert_eq!(broker.metric("blipmq_subscriptions", ""), 1_000);
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "all.hands");
    publisher.publish(topic, &[b"lunch"]);
    for wire in &mut connections {
        let mut account = Account::new(topic, 1);
        account.take_until(wire, 1, |_, payload| assert_eq!(payload, b"lunch"));
        wire.ping();
    }
    drop(connections);
    broker.wait_for_metric("blipmq_connections", "", |open| open == 1);
    broker.wait_for_metric("blipmq_subscriptions", "", |left| left == 0);
    drop(publisher);
    broker.stop();
}

fn messages_without_a_ttl_get_the_configured_one(cores: &str) {
    let broker = Broker::start_with(cores, "[delivery]\ndefault_ttl_ms = 3_600_000\n");
    let mut wire = Wire::connect(broker.addr);
    wire.subscribe(1, "a");
    let (topic, ..) = wire.open(1, "a");
    for (ttl_ms, stamped) in [(0, 3_600_000), (7_200_000, 7_200_000)] {
        wire.send(|out| crate::support::written::encode_messages(out, topic, ttl_ms, &[b"x"]));
        let frame = wire.expect();
        let (header, _) = frame.messages().expect("a message");
        assert_eq!(header.ttl_ms, stamped);
    }
    drop(wire);
    broker.stop();
}
