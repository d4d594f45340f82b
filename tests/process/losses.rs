//! What a subscriber misses is told to it exactly, and counted exactly.

use std::time::Duration;

use blipmq::protocol::GapReason;

use super::on_one_and_two_cores;
use crate::account::Account;
use crate::support::running::Broker;
use crate::support::wire::{Wire, encode_messages};

on_one_and_two_cores! {
    drop_oldest_tells_a_stalled_subscriber_what_it_missed_and_costs_nobody_else,
    drop_new_tells_a_stalled_subscriber_what_it_missed_and_costs_nobody_else,
    the_configured_policy_holds_for_who_chooses_none,
    messages_that_expire_behind_a_stalled_subscriber_are_told_and_counted,
}

const DROPPED: &str = "blipmq_dropped_messages_total";
const PAYLOAD_LEN: usize = 8 * 1_024;

/// Begins with its number, so that a mix-up is seen.
fn payload(sequence: u64) -> Vec<u8> {
    let mut payload = sequence.to_le_bytes().to_vec();
    payload.resize(PAYLOAD_LEN, sequence as u8);
    payload
}

fn check(sequence: u64, found: &[u8]) {
    assert_eq!(found, payload(sequence), "message {sequence} is unchanged");
}

/// Publishes far more than sockets can hold; whoever is `fast` reads it as it comes. Returns the
/// last sequence.
fn flood(publisher: &mut Wire, topic: u32, ttl_ms: u32, fast: &mut Wire) -> u64 {
    const CHUNKS: u64 = 150;
    let mut account = Account::new(topic, 1);
    let mut last = 0;
    for _ in 0..CHUNKS {
        publisher.send(|out| {
            // Frames of several messages as well: they are dropped whole.
            for count in [1, 3, 1, 5] {
                let payloads: Vec<_> = (last + 1..=last + count).map(payload).collect();
                let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
                encode_messages(out, topic, ttl_ms, &payloads);
                last += count;
            }
        });
        account.take_until(fast, last, check);
    }
    assert!(account.gaps.is_empty(), "who reads loses nothing: {:?}", account.gaps);
    last
}

/// Goal: every sequence comes once, or in exactly one gap, which stands where it is missing; the
/// metrics count the same.
/// Method: one subscriber reads nothing while 12 MiB are published, then reads all.
fn stalled_subscriber_is_told(broker: Broker, overflow: u8, reason: &str) {
    let mut fast = Wire::connect(broker.addr);
    fast.subscribe(1, "flood");
    let mut stalled = Wire::narrow(broker.addr).welcomed();
    stalled.subscribe_with(1, "flood", overflow, 64);
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "flood");
    let last = flood(&mut publisher, topic, 0, &mut fast);

    let mut account = Account::new(topic, 1);
    account.take_until(&mut stalled, last, check);
    stalled.ping();
    let missed = account.missed(GapReason::Overflow);
    assert_eq!(account.delivered + missed, last, "{:?}", account.gaps);
    assert!(missed > 0 && account.gaps.iter().all(|(_, _, reason)| *reason == GapReason::Overflow));
    if reason == "overflow_oldest" {
        assert!(
            account.gaps.iter().all(|(first, count, _)| first + count <= last),
            "the newest stay"
        );
    }
    let label = format!("reason=\"{reason}\"");
    assert_eq!(broker.metric(DROPPED, &label), missed, "{:?}", account.gaps);
    assert_eq!(broker.metric(DROPPED, ""), missed, "nothing for another reason");
    assert!(broker.metric("blipmq_queue_overflows_total", "") > 0);
    drop((fast, stalled, publisher));
    broker.stop();
}

fn drop_oldest_tells_a_stalled_subscriber_what_it_missed_and_costs_nobody_else(cores: &str) {
    stalled_subscriber_is_told(Broker::start(cores), 1, "overflow_oldest");
}

fn drop_new_tells_a_stalled_subscriber_what_it_missed_and_costs_nobody_else(cores: &str) {
    stalled_subscriber_is_told(Broker::start(cores), 2, "overflow_new");
}

fn the_configured_policy_holds_for_who_chooses_none(cores: &str) {
    let config = "[queues]\noverflow_policy = \"drop_new\"\n";
    stalled_subscriber_is_told(Broker::start_with(cores, config), 0, "overflow_new");
}

/// Goal: a message that is too old is not delivered; the gap says so in its place.
/// Method: the queue behind a full socket is left alone for longer than the TTL, then read.
fn messages_that_expire_behind_a_stalled_subscriber_are_told_and_counted(cores: &str) {
    const TTL_MS: u32 = 500;
    let broker = Broker::start(cores);
    let mut stalled = Wire::narrow(broker.addr).welcomed();
    stalled.subscribe(1, "quotes");
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "quotes");
    let last = 1_500;
    for sequence in 1..=last {
        publisher.send(|out| encode_messages(out, topic, TTL_MS, &[&payload(sequence)]));
    }
    publisher.ping();
    broker.wait_for_metric("blipmq_published_messages_total", "", |messages| messages == last);
    // Time that must have passed: what is queued now is expired then.
    std::thread::sleep(Duration::from_millis(u64::from(TTL_MS) + 100));
    // One more that lives for ever comes behind what has expired.
    publisher.publish(topic, &[&payload(last + 1)]);

    let mut account = Account::new(topic, 1);
    account.take_until(&mut stalled, last + 1, check);
    let expired = account.missed(GapReason::Expired);
    assert!(expired > 0, "12 MiB do not fit into sockets");
    assert_eq!(account.delivered + expired, last + 1, "{:?}", account.gaps);
    assert!(account.gaps.iter().all(|(first, count, _)| first + count <= last + 1));
    // A message that is too old before it is queued is counted by every core that sees it.
    let counted = broker.metric("blipmq_ttl_drops_total", "");
    assert!(counted >= expired, "{counted} counted, {expired} told");
    let before = broker.metric(DROPPED, "reason=\"expired_before_enqueue\"");
    assert!(broker.metric(DROPPED, "reason=\"expired_in_queue\"") + before >= expired);
    if before == 0 {
        assert_eq!(counted, expired);
    }
    drop((stalled, publisher));
    broker.stop();
}
