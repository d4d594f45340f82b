//! Publishers that wait for subscribers with `block`, also for themselves and for each other.

use std::io::Write;

use super::{on_one_and_two_cores, topic_on_each_core};
use crate::account::Account;
use crate::support::running::Broker;
use crate::support::wire::Wire;
use crate::support::written::encode_messages;

on_one_and_two_cores! {
    a_connection_that_blocks_itself_receives_everything,
    two_connections_that_block_each_other_receive_everything,
    block_loses_nothing_between_publishers_and_subscribers_of_any_core,
}

const BLOCK: u8 = 3;
const PER_WRITE: u64 = 200;

/// Writes messages `1..=last` to a topic, each its number, as fast as the broker reads.
fn pour(mut stream: std::net::TcpStream, topic: u32, last: u64) {
    for first in (1..=last).step_by(PER_WRITE as usize) {
        let mut out = Vec::new();
        for number in first..(first + PER_WRITE).min(last + 1) {
            encode_messages(&mut out, topic, 0, &[&number.to_le_bytes()]);
        }
        stream.write_all(&out).expect("the broker reads again in time");
    }
}

fn drink(wire: &mut Wire, topic: u32, last: u64) {
    let mut account = Account::new(topic, 1);
    account.take_until(wire, last, |sequence, payload| {
        assert_eq!(payload, sequence.to_le_bytes());
    });
    assert!(account.gaps.is_empty(), "{account:?}");
    wire.ping();
}

/// Method: 200,000 messages through a queue of 256, to a topic of each core.
fn a_connection_that_blocks_itself_receives_everything(cores: &str) {
    const MESSAGES: u64 = 200_000;
    let broker = Broker::start(cores);
    let topics = topic_on_each_core(broker.addr, cores, "self");
    let messages = MESSAGES / topics.len() as u64;
    for topic in topics {
        let mut wire = Wire::connect(broker.addr);
        wire.subscribe_with(1, &topic, BLOCK, 256);
        let (topic, ..) = wire.open(1, &topic);
        let stream = wire.writer();
        std::thread::scope(|scope| {
            scope.spawn(move || pour(stream, topic, messages));
            drink(&mut wire, topic, messages);
        });
    }
    assert!(
        broker.metric("blipmq_publishers_blocked_total", "") > 0,
        "publishers must have waited"
    );
    assert_eq!(broker.metric("blipmq_dropped_messages_total", ""), 0);
    broker.stop();
}

fn two_connections_that_block_each_other_receive_everything(cores: &str) {
    const MESSAGES: u64 = 100_000;
    let broker = Broker::start(cores);
    let topics = match &topic_on_each_core(broker.addr, cores, "each")[..] {
        [one] => [one.clone(), "each.other".to_owned()],
        [one, other, ..] => [one.clone(), other.clone()],
        [] => unreachable!("there is a core"),
    };
    let mut wires = [Wire::connect(broker.addr), Wire::connect(broker.addr)];
    let mut ids = [0; 2];
    for (at, wire) in wires.iter_mut().enumerate() {
        wire.subscribe_with(1, &topics[at], BLOCK, 256);
        ids[1 - at] = wire.open(1, &topics[1 - at]).0;
    }
    std::thread::scope(|scope| {
        for (at, wire) in wires.iter_mut().enumerate() {
            let (stream, own, other) = (wire.writer(), ids[at], ids[1 - at]);
            scope.spawn(move || pour(stream, other, MESSAGES));
            scope.spawn(move || drink(wire, own, MESSAGES));
        }
    });
    assert!(
        broker.metric("blipmq_publishers_blocked_total", "") > 0,
        "publishers must have waited"
    );
    assert_eq!(broker.metric("blipmq_dropped_messages_total", ""), 0);
    drop(wires);
    broker.stop();
}

/// Goal: messages under way between cores when a queue fills up are not lost.
/// Method: a publisher and two subscribers per core and topic, queues of 64, patterns and names.
fn block_loses_nothing_between_publishers_and_subscribers_of_any_core(cores: &str) {
    const MESSAGES: u64 = 15_000;
    let broker = Broker::start(cores);
    let topics = topic_on_each_core(broker.addr, cores, "any");
    let mut publishers = Vec::new();
    for topic in &topics {
        let mut wire = Wire::connect(broker.addr);
        let (id, ..) = wire.open(1, topic);
        publishers.push((wire, id));
    }
    std::thread::scope(|scope| {
        for (topic, (_, id)) in topics.iter().zip(&publishers) {
            let (_, last) = topic.split_once('.').expect("a topic of two tokens");
            for pattern in [topic.clone(), topic.clone(), format!("*.{last}")] {
                let mut wire = Wire::connect(broker.addr);
                wire.subscribe_with(1, &pattern, BLOCK, 64);
                scope.spawn(move || drink(&mut wire, *id, MESSAGES));
            }
        }
        for (wire, id) in &publishers {
            let stream = wire.writer();
            scope.spawn(move || pour(stream, *id, MESSAGES));
        }
    });
    assert_eq!(broker.metric("blipmq_dropped_messages_total", ""), 0);
    drop(publishers);
    broker.stop();
}
