//! The memory of the process while subscribers stall.
//!
//! `BLIPMQ_STALLED_SUBSCRIBERS` sets how many stall; the default is 300.

use blipmq::protocol::decode::{ServerFrame, Subscribe};

use super::on_one_and_two_cores;
use crate::account::Account;
use crate::support::running::Broker;
use crate::support::wire::Wire;
use crate::support::written::{encode_with_ack, wanting};

on_one_and_two_cores! {
    stalled_subscribers_lose_messages_before_the_memory_budget_is_used_up,
    retained_messages_are_evicted_before_publishes_are_refused,
    stalled_subscribers_with_replays_stay_within_the_budget,
    the_budget_is_the_same_after_many_replays,
}

const MEMORY_MAX: u64 = 16 << 20;
/// Memory beside the budget: rounding of the allocator, lists that grow by doubling, and on two cores
/// blocks that the other core has freed.
const SLACK: u64 = 28 << 20;
const PAYLOAD_LEN: usize = 4 * 1_024;
const RECLAIMED: &str = "reason=\"reclaimed\"";
const DROPPED: &str = "blipmq_dropped_messages_total";

fn stalled_subscribers() -> usize {
    let asked = std::env::var("BLIPMQ_STALLED_SUBSCRIBERS");
    asked.map_or(300, |asked| asked.parse().expect("BLIPMQ_STALLED_SUBSCRIBERS is a number"))
}

fn start(cores: &str) -> Broker {
    let connections = stalled_subscribers() + 10;
    let config =
        format!("[limits]\nmemory_max = {MEMORY_MAX}\n[server]\nmax_connections = {connections}\n");
    Broker::start_with(cores, &config)
}

/// Subscribers that stop reading once they are subscribed.
fn stall(broker: &Broker, wanted: &Subscribe<'_>) -> Vec<Wire> {
    let stalled = (0..stalled_subscribers()).map(|_| {
        let mut wire = Wire::narrow(broker.addr).welcomed();
        wire.subscribe_to(wanted);
        wire
    });
    stalled.collect()
}

/// Publishes one frame and waits for the answer; returns the sequence if the frame was accepted.
fn publish(publisher: &mut Wire, topic: u32, publish_id: u64) -> Option<u64> {
    publish_of(PAYLOAD_LEN, publisher, topic, publish_id)
}

fn publish_of(
    payload_len: usize,
    publisher: &mut Wire,
    topic: u32,
    publish_id: u64,
) -> Option<u64> {
    let mut payload = publish_id.to_le_bytes().to_vec();
    payload.resize(payload_len, 0);
    publisher.send(|out| encode_with_ack(out, topic, publish_id, &[&payload]));
    let frame = publisher.expect();
    match frame.decoded() {
        ServerFrame::Ack { publish_id: acked, sequence, messages: 1, .. } => {
            assert_eq!(acked, publish_id);
            Some(sequence.0)
        }
        ServerFrame::Error { fatal: false, code: 4291, text, .. } => {
            assert!(text.contains("memory_max"), "{text}");
            None
        }
        other => panic!("ACK or a refusal were due, got {other:?}"),
    }
}

/// Goal: the process stays within its budget; every message is accepted and reaches subscribers that
/// read; the stalled ones lose what the budget has no room for.
fn stalled_subscribers_lose_messages_before_the_memory_budget_is_used_up(cores: &str) {
    const PUBLISHES: u64 = 8_000;
    let broker = start(cores);
    let stalled = stall(&broker, &wanting(1, "flood.>"));
    let mut reader = Wire::connect(broker.addr);
    reader.subscribe(1, "flood.a");
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "flood.a");
    let before = broker.resident_bytes();
    let mut account = Account::new(topic, 1);
    let mut most = 0;
    for publish_id in 1..=PUBLISHES {
        let sequence = publish(&mut publisher, topic, publish_id).expect("the stalled ones pay");
        assert_eq!(sequence, publish_id);
        account.take_until(&mut reader, sequence, |_, payload| {
            assert_eq!(payload[..8], publish_id.to_le_bytes());
        });
        if publish_id % 100 == 0 {
            most = most.max(broker.resident_bytes());
        }
    }
    reader.ping();
    assert!(account.gaps.is_empty());
    assert!(broker.metric(DROPPED, RECLAIMED) > 0, "{PUBLISHES} are more than the budget");
    let grown = most.saturating_sub(before);
    eprintln!("{before} bytes before, {grown} more at most");
    assert!(grown < MEMORY_MAX + SLACK, "{grown} bytes more than the {before} before");

    drop(stalled);
    broker.wait_for_metric("blipmq_connections", "", |open| open == 2);
    drop((reader, publisher));
    broker.stop();
}

/// Publishes much more than the budget to 16 topics, which retain as much as they may.
fn publish_for_retention(publisher: &mut Wire) {
    const PUBLISHES: u64 = 12_000;
    let topics: Vec<u32> =
        (11..=26).map(|request| publisher.open(request, &format!("kept.{request}")).0).collect();
    for publish_id in 1..=PUBLISHES {
        let topic = topics[publish_id as usize % topics.len()];
        publish(publisher, topic, publish_id).expect("older messages are evicted");
    }
}

#[track_caller]
fn assert_grown_within_the_budget(broker: &Broker, before: u64) {
    let grown = broker.resident_bytes().saturating_sub(before);
    eprintln!("{before} bytes before, {grown} more");
    assert!(grown < MEMORY_MAX + SLACK, "{grown} bytes more than the {before} before");
}

fn retained_messages_are_evicted_before_publishes_are_refused(cores: &str) {
    let broker = start(cores);
    let mut publisher = Wire::connect(broker.addr);
    let before = broker.resident_bytes();
    publish_for_retention(&mut publisher);
    assert_grown_within_the_budget(&broker, before);
    assert!(broker.metric("blipmq_kept_evictions_total", "") > 0);
    assert_eq!(broker.metric(DROPPED, ""), 0);
    drop(publisher);
    broker.stop();
}

/// Goal: replayed frames, which are copies for one subscriber, count as memory too.
/// Method: large frames, so that a replay under way is large beside the queue.
fn stalled_subscribers_with_replays_stay_within_the_budget(cores: &str) {
    let broker = start(cores);
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "asked.for");
    for publish_id in 1..=32 {
        publish_of(256 * 1_024, &mut publisher, topic, publish_id).expect("8 MiB are in budget");
    }
    let before = broker.resident_bytes();
    let asks = Subscribe { start: 1, start_argument: 32, ..wanting(1, "asked.for") };
    let stalled = stall(&broker, &asks);
    assert_grown_within_the_budget(&broker, before);
    drop((stalled, publisher));
    broker.stop();
}

/// Goal: memory counted for replays is released, no less and no more.
/// Method: many whole replays of many small frames; then the budget is as before.
fn the_budget_is_the_same_after_many_replays(cores: &str) {
    const MESSAGES: u64 = 2_000;
    let broker = start(cores);
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "asked.for");
    for publish_id in 1..=MESSAGES {
        publish_of(8, &mut publisher, topic, publish_id).expect("within the budget");
    }
    let before = broker.resident_bytes();
    for _ in 0..250 {
        let mut wire = Wire::connect(broker.addr);
        let asks = Subscribe { start: 1, start_argument: MESSAGES, ..wanting(1, "asked.for") };
        wire.subscribe_to(&asks);
        Account::new(topic, 1).take_until(&mut wire, MESSAGES, |_, _| {});
    }
    publish_for_retention(&mut publisher);
    assert_grown_within_the_budget(&broker, before);
    assert!(broker.metric("blipmq_kept_evictions_total", "") > 0);
    drop(publisher);
    broker.stop();
}
