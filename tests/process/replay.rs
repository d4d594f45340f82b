//! Replay: the messages that topics retain, and how live messages follow them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use blipmq::protocol::GapReason;
use blipmq::protocol::decode::{ServerFrame, Subscribe};

use super::{on_one_and_two_cores, topic_on_each_core};
use crate::account::Account;
use crate::support::running::Broker;
use crate::support::wire::{Frame, PATIENCE, Wire};
use crate::support::written::{encode_messages, encode_with_ack, wanting};

on_one_and_two_cores! {
    the_last_messages_and_those_from_a_sequence_come_before_live_ones,
    a_topic_retains_no_more_bytes_than_configured,
    a_pattern_replays_every_topic_of_every_core,
    subscribers_that_join_a_busy_topic_see_no_gap_and_no_duplicate,
    a_client_that_reconnects_resumes_at_its_position,
    the_retained_messages_of_an_idle_topic_are_evicted,
}

const LAST: u8 = 1;
const SEQUENCE: u8 = 2;
/// Large bounds: no subscriber here is slow, and no message expires.
const WIDE: &str = "[queues]\nsubscriber_capacity = 1_000_000\ntopic_capacity = 1_000_000\n";

fn start(pattern: &str, start: u8, start_argument: u64) -> Subscribe<'_> {
    Subscribe { start, start_argument, ..wanting(7, pattern) }
}

/// The `subscription` field of a delivery.
fn addressed(frame: &Frame) -> u32 {
    match frame.decoded() {
        ServerFrame::Messages(header) => header.subscription,
        ServerFrame::Gap { subscription, .. } => subscription,
        other => panic!("a delivery was due, got {other:?}"),
    }
}

/// Publishes messages, each its sequence, a few at a time, and waits until the broker has assigned the
/// sequences: a PONG would only prove that the messages are on their way to the topic's core.
fn publish(publisher: &mut Wire, topic: u32, sequences: std::ops::RangeInclusive<u64>, len: usize) {
    let all: Vec<u64> = sequences.collect();
    for few in all.chunks(5) {
        publisher.send(|out| {
            for sequence in few {
                let mut payload = sequence.to_le_bytes().to_vec();
                payload.resize(len, 0);
                encode_with_ack(out, topic, *sequence, &[&payload]);
            }
        });
        for sequence in few {
            let frame = publisher.expect();
            let ServerFrame::Ack { sequence: given, .. } = frame.decoded() else {
                panic!("ACK was due, got {:?}", frame.decoded());
            };
            assert_eq!(given.0, *sequence);
        }
    }
}

/// The next delivery; a TOPIC frame may precede it.
fn delivery(wire: &mut Wire) -> Frame {
    loop {
        let frame = wire.expect();
        if !matches!(frame.decoded(), ServerFrame::Topic { request, .. } if request.0 == 0) {
            return frame;
        }
    }
}

/// Subscribes and reads up to `last`; checks order and address of the messages, and counts them:
/// (missing, delivered).
fn counted(broker: &Broker, wanted: &Subscribe<'_>, topic: u32, last: u64) -> (u64, u64) {
    let (_, missing, delivered) = replayed(broker, wanted, topic, last);
    (missing, delivered)
}

fn replayed(broker: &Broker, wanted: &Subscribe<'_>, topic: u32, last: u64) -> (Wire, u64, u64) {
    let mut wire = Wire::connect(broker.addr);
    wire.subscribe_to(wanted);
    let (mut missing, mut delivered, mut next) = (0, 0, None);
    loop {
        let frame = delivery(&mut wire);
        assert_eq!(addressed(&frame), 7, "what is replayed is for that subscription");
        let (first, count) = match frame.decoded() {
            ServerFrame::Gap { topic: of, first, messages, reason, .. } => {
                assert_eq!((of.0, reason), (topic, GapReason::NoLongerKept));
                missing += messages;
                (first.0, messages)
            }
            _ => {
                let (header, payloads) = frame.messages().expect("messages or a gap");
                for (sequence, payload) in (header.sequence..).zip(&payloads) {
                    assert_eq!(payload[..8], sequence.to_le_bytes());
                }
                delivered += payloads.len() as u64;
                (header.sequence, payloads.len() as u64)
            }
        };
        assert!(next.is_none_or(|next| next == first), "in order, without a hole");
        next = Some(first + count);
        if next == Some(last + 1) {
            wire.ping();
            return (wire, missing, delivered);
        }
    }
}

fn the_last_messages_and_those_from_a_sequence_come_before_live_ones(cores: &str) {
    let broker = Broker::start_with(cores, "[queues]\ntopic_capacity = 100\n");
    for name in topic_on_each_core(broker.addr, cores, "kept") {
        let mut publisher = Wire::connect(broker.addr);
        let (topic, ..) = publisher.open(1, &name);
        publish(&mut publisher, topic, 1..=250, 8);
        let count = |how, argument| counted(&broker, &start(&name, how, argument), topic, 250);
        assert_eq!(count(LAST, 50), (0, 50));
        assert_eq!(count(LAST, 1), (0, 1));
        assert_eq!(count(SEQUENCE, 230), (0, 21));
        let (missing, kept) = count(SEQUENCE, 1);
        assert_eq!(missing + kept, 250);
        // Batches are evicted whole, so a few more than the bound may be retained.
        assert!((100..=104).contains(&kept), "{kept} are kept");
        assert_eq!(count(LAST, 10_000), (0, kept), "fewer than asked for is no loss");
        assert_eq!(count(SEQUENCE, 3), (missing - 2, kept));

        // Then live ones, addressed to no particular subscription.
        let (mut one, ..) = replayed(&broker, &start(&name, LAST, 3), topic, 250);
        let mut beyond = Wire::connect(broker.addr);
        beyond.subscribe_to(&start(&name, SEQUENCE, 1_000));
        let mut nothing = Wire::connect(broker.addr);
        nothing.subscribe_to(&start(&name, LAST, 0));
        publish(&mut publisher, topic, 251..=251, 8);
        for wire in [&mut one, &mut beyond, &mut nothing] {
            let frame = delivery(wire);
            assert_eq!(addressed(&frame), 0);
            assert_eq!(Account::new(topic, 251).take(&frame).len(), 1);
            wire.ping();
        }
        publish(&mut publisher, topic, 252..=300, 8);
    }
    broker.stop();
}

fn a_topic_retains_no_more_bytes_than_configured(cores: &str) {
    let broker = Broker::start_with(cores, "[queues]\ntopic_bytes = 65_536\n");
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "bytes");
    publish(&mut publisher, topic, 1..=200, 1_024);
    let (missing, kept) = counted(&broker, &start("bytes", SEQUENCE, 1), topic, 200);
    assert_eq!(missing + kept, 200);
    // 61 frames of 1,068 bytes fit; batches of up to five are evicted whole.
    assert!((57..=61).contains(&kept), "{kept} are kept");
    drop(publisher);
    broker.stop();
}

fn a_pattern_replays_every_topic_of_every_core(cores: &str) {
    const TOPICS: u32 = 60;
    let broker = Broker::start(cores);
    let mut publisher = Wire::connect(broker.addr);
    let mut topics = HashMap::new();
    for request in 1..=TOPICS {
        let (topic, _, owner) = publisher.open(request, &format!("many{request}.t"));
        topics.insert(topic, owner);
        publish(&mut publisher, topic, 1..=20, 8);
    }
    let owners = (0..).take_while(|core| topics.values().any(|owner| owner == core)).count();
    assert_eq!(owners, cores.split(',').count(), "every core owns some");
    for (how, argument) in [(LAST, 5), (SEQUENCE, 16)] {
        let mut wire = Wire::connect(broker.addr);
        wire.subscribe_to(&start("*.t", how, argument));
        let mut accounts: HashMap<u32, Account> = HashMap::new();
        let mut delivered = 0;
        while delivered < 5 * u64::from(TOPICS) {
            let frame = wire.expect();
            if let ServerFrame::Topic { topic, .. } = frame.decoded() {
                accounts.insert(topic.0, Account::new(topic.0, 16));
                continue;
            }
            assert_eq!(addressed(&frame), 7);
            let (header, _) = frame.messages().expect("nothing is missing");
            let account = accounts.get_mut(&header.topic).expect("TOPIC comes before");
            delivered += account.take(&frame).len() as u64;
        }
        assert!(accounts.len() == topics.len() && accounts.values().all(|one| one.delivered == 5));
        wire.ping();
    }
    drop(publisher);
    broker.stop();
}

/// Stops the publishers when dropped, also by a test that fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Publishes one topic per core without pause until stopped.
fn publish_until(mut wire: Wire, names: &[String], stop: &AtomicBool) {
    let ids: Vec<u32> =
        (1..).zip(names).map(|(request, name)| wire.open(request, name).0).collect();
    while !stop.load(Ordering::Relaxed) {
        wire.send(|out| {
            for id in &ids {
                // Frames of several messages: a replay may start in the middle of one.
                for count in [1, 3] {
                    let payloads = vec![&b"on and on"[..]; count];
                    encode_messages(out, *id, 0, &payloads);
                }
            }
        });
        // Never far ahead, so that topics stay small and subscribers keep up.
        wire.ping();
    }
}

/// Goal: between retained and live messages there is no gap and no duplicate, at any moment.
/// Method: new subscribers, again and again, by name and by pattern, to busy topics of all cores; each
/// reads until it has received live messages of each topic.
fn subscribers_that_join_a_busy_topic_see_no_gap_and_no_duplicate(cores: &str) {
    const JOINS: u64 = 300;
    let broker = Broker::start_with(cores, WIDE);
    let names = topic_on_each_core(broker.addr, cores, "busy");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let publisher = Wire::connect(broker.addr);
        scope.spawn(|| publish_until(publisher, &names, &stop));
        let _stop = Stop(&stop);
        let opened = names.len() as u64;
        broker.wait_for_metric("blipmq_published_messages_total", "", |all| all > 400 * opened);
        for join in 0..JOINS {
            let mut wire = Wire::connect(broker.addr);
            let by_name = join % 3 == 0;
            let pattern = match by_name {
                true => names[join as usize % names.len()].as_str(),
                false => "*.*",
            };
            let nexts = (1..).zip(&names).map(|(request, name)| wire.open(request, name).1);
            let next = nexts.min().expect("there is a core");
            let (how, argument) = match join % 2 {
                0 => (LAST, 30 + join),
                _ => (SEQUENCE, next - 30 - join),
            };
            wire.subscribe_to(&start(pattern, how, argument));
            // The next sequence of each topic, and its number of live messages.
            let mut topics: HashMap<u32, (u64, u64, u64)> = HashMap::new();
            let wanted = if by_name { 1 } else { names.len() };
            while topics.values().filter(|(_, _, live)| *live >= 20).count() < wanted {
                let frame = delivery(&mut wire);
                let Some((header, payloads)) = frame.messages() else {
                    panic!("join {join}: nothing is missing: {:?}", frame.decoded());
                };
                let came = payloads.len() as u64;
                let first = header.sequence;
                let (next, kept, live) = topics.entry(header.topic).or_insert((first, 0, 0));
                assert_eq!(first, *next, "join {join}: {header:?}, {kept} kept, {live} live");
                *next += came;
                match header.subscription {
                    0 => *live += came,
                    7 => {
                        assert_eq!(*live, 0, "join {join}: kept ones come first: {header:?}");
                        if *kept == 0 && how == SEQUENCE {
                            assert_eq!(first, argument);
                        }
                        *kept += came;
                    }
                    other => panic!("{other} is no subscription"),
                }
            }
            if how == LAST {
                let exact = topics.values().all(|(_, kept, _)| *kept == argument);
                assert!(exact, "join {join}: {topics:?}");
            }
        }
    });
    broker.stop();
}

/// Goal: a client receives every message once, although its connections end.
/// Method: after some messages the connection is dropped or reset; the next resumes at its position.
fn a_client_that_reconnects_resumes_at_its_position(cores: &str) {
    const CONNECTIONS: u64 = 60;
    let broker = Broker::start_with(cores, WIDE);
    let names = topic_on_each_core(broker.addr, cores, "resumed");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let publisher = Wire::connect(broker.addr);
        scope.spawn(|| publish_until(publisher, &names, &stop));
        let _stop = Stop(&stop);
        let mut account: Option<Account> = None;
        let mut next = 1;
        for number in 0..CONNECTIONS {
            let mut wire = Wire::connect(broker.addr);
            wire.subscribe_to(&start(&names[0], SEQUENCE, next));
            for _ in 0..20 + number {
                let frame = delivery(&mut wire);
                let (header, _) = frame.messages().expect("nothing is missing");
                let account = account.get_or_insert_with(|| Account::new(header.topic, 1));
                next += account.take(&frame).len() as u64;
            }
            match number % 2 {
                0 => drop(wire),
                _ => wire.reset(),
            }
        }
        assert_eq!(account.expect("some came").delivered, next - 1);
    });
    broker.stop();
}

/// Method: new subscribers ask for everything until the messages are gone.
fn the_retained_messages_of_an_idle_topic_are_evicted(cores: &str) {
    let broker = Broker::start_with(cores, "[queues]\ntopic_idle_timeout_ms = 50\n");
    for name in topic_on_each_core(broker.addr, cores, "idle") {
        // Without a subscriber the topic itself would go.
        let mut keeper = Wire::connect(broker.addr);
        keeper.subscribe(1, &name);
        let mut publisher = Wire::connect(broker.addr);
        let (topic, ..) = publisher.open(1, &name);
        publish(&mut publisher, topic, 1..=10, 8);
        let start_time = Instant::now();
        loop {
            let (missing, kept) = counted(&broker, &start(&name, SEQUENCE, 1), topic, 10);
            assert_eq!(missing + kept, 10);
            if kept == 0 {
                break;
            }
            assert!(start_time.elapsed() < PATIENCE, "{kept} are retained for ever");
        }
        // The topic still exists, and retains new messages.
        assert_eq!(publisher.open(2, &name), (topic, 11, publisher.open(3, &name).2));
        publish(&mut publisher, topic, 11..=11, 8);
        let mut wire = Wire::connect(broker.addr);
        wire.subscribe_to(&start(&name, SEQUENCE, 1));
        publish(&mut publisher, topic, 12..=12, 8);
        let mut account = Account::new(topic, 1);
        account.take_until(&mut wire, 12, |_, _| {});
        assert!(account.missed(GapReason::NoLongerKept) >= 10);
    }
    broker.stop();
}
