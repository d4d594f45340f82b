//! Losses of a subscriber are reported to it exactly, and counted exactly.

use std::time::Duration;

use blipmq::protocol::GapReason;

use super::on_one_and_two_cores;
use crate::account::Account;
use crate::support::running::Broker;
use crate::support::wire::Wire;
use crate::support::written::encode_messages;

on_one_and_two_cores! {
    drop_oldest_reports_the_losses_of_a_stalled_subscriber_and_costs_no_other,
    drop_new_reports_the_losses_of_a_stalled_subscriber_and_costs_no_other,
    the_configured_policy_applies_to_subscribers_that_choose_none,
    messages_that_expire_behind_a_stalled_subscriber_are_reported_and_counted,
}

const DROPPED: &str = "blipmq_dropped_messages_total";
const PAYLOAD_LEN: usize = 8 * 1_024;

/// A payload that begins with its sequence, so that a mix-up is detected.
fn payload(sequence: u64) -> Vec<u8> {
    let mut payload = sequence.to_le_bytes().to_vec();
    payload.resize(PAYLOAD_LEN, sequence as u8);
    payload
}

fn check(sequence: u64, found: &[u8]) {
    assert_eq!(found, payload(sequence), "message {sequence} is unchanged");
}

/// Publishes many more messages than sockets can hold; `fast` reads them as they come. Returns the last
/// sequence.
fn flood(publisher: &mut Wire, topic: u32, ttl_ms: u32, fast: &mut Wire) -> u64 {
    const CHUNKS: u64 = 150;
    let mut account = Account::new(topic, 1);
    let mut last = 0;
    for _ in 0..CHUNKS {
        publisher.send(|out| {
            // Also frames of several messages, which are dropped whole.
            for count in [1, 3, 1, 5] {
                let payloads: Vec<_> = (last + 1..=last + count).map(payload).collect();
                let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
                encode_messages(out, topic, ttl_ms, &payloads);
                last += count;
            }
        });
        account.take_until(fast, last, check);
    }
    assert!(account.gaps.is_empty(), "a subscriber that reads loses nothing: {:?}", account.gaps);
    last
}

/// Goal: every sequence is delivered once, or is in exactly one gap, in its place; the metrics count the
/// same.
/// Method: one subscriber reads nothing while 12 MiB are published, then reads all.
fn check_that_a_stalled_subscriber_is_sent_gaps(broker: Broker, overflow: u8, reason: &str) {
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
    assert_eq!(broker.metric(DROPPED, ""), missed, "no drops for another reason");
    assert!(broker.metric("blipmq_queue_overflows_total", "") > 0);
    drop((fast, stalled, publisher));
    broker.stop();
}

fn drop_oldest_reports_the_losses_of_a_stalled_subscriber_and_costs_no_other(cores: &str) {
    check_that_a_stalled_subscriber_is_sent_gaps(Broker::start(cores), 1, "overflow_oldest");
}

fn drop_new_reports_the_losses_of_a_stalled_subscriber_and_costs_no_other(cores: &str) {
    check_that_a_stalled_subscriber_is_sent_gaps(Broker::start(cores), 2, "overflow_new");
}

fn the_configured_policy_applies_to_subscribers_that_choose_none(cores: &str) {
    let config = "[queues]\noverflow_policy = \"drop_new\"\n";
    check_that_a_stalled_subscriber_is_sent_gaps(
        Broker::start_with(cores, config),
        0,
        "overflow_new",
    );
}

/// Goal: an expired message is not delivered; a gap stands in its place.
/// Method: the queue behind a full socket stays unread for longer than the TTL, then is read.
fn messages_that_expire_behind_a_stalled_subscriber_are_reported_and_counted(cores: &str) {
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
    // This much time must pass, so that the queued messages expire.
    std::thread::sleep(Duration::from_millis(u64::from(TTL_MS) + 100));
    // One more message, without a TTL, follows the expired ones.
    publisher.publish(topic, &[&payload(last + 1)]);

    let mut account = Account::new(topic, 1);
    account.take_until(&mut stalled, last + 1, check);
    let expired = account.missed(GapReason::Expired);
    assert!(expired > 0, "12 MiB do not fit into sockets");
    assert_eq!(account.delivered + expired, last + 1, "{:?}", account.gaps);
    assert!(account.gaps.iter().all(|(first, count, _)| first + count <= last + 1));
    // Every core counts a message that has expired before it is queued there.
    let counted = broker.metric("blipmq_ttl_drops_total", "");
    assert!(counted >= expired, "{counted} counted, {expired} reported");
    let before = broker.metric(DROPPED, "reason=\"expired_before_enqueue\"");
    assert!(broker.metric(DROPPED, "reason=\"expired_in_queue\"") + before >= expired);
    if before == 0 {
        assert_eq!(counted, expired);
    }
    drop((stalled, publisher));
    broker.stop();
}
