//! Queues of NATS subscriptions: groups, ephemeral subjects, short queues, expiry.

use super::on_one_and_two_cores;
use super::slow::{DROPPED, LAST, STEP, payload, sequence_of, start};
use crate::support::nats::{CONNECT, Message, Nats, put};
use crate::support::running::Broker;

on_one_and_two_cores! {
    messages_for_a_stalled_member_go_to_other_members_of_its_group,
    losses_of_ephemeral_subjects_are_reported_together,
    a_subscriber_that_reads_loses_nothing_however_short_its_queue,
    messages_that_expire_behind_a_slow_subscriber_are_reported_and_counted,
}

/// What a message on `$SYS.GAP.<client id>` says.
pub(super) fn report(message: &Message) -> serde_json::Value {
    serde_json::from_slice(&message.payload).expect("JSON")
}

/// Goal: no message is dropped while one member reads; messages dealt to the other wait in its queue.
fn messages_for_a_stalled_member_go_to_other_members_of_its_group(cores: &str) {
    let broker = start(cores, "drop_oldest", "");
    let addr = broker.nats.expect("NATS clients are served");
    let mut slow = Nats::narrow(addr).logged_in(CONNECT);
    slow.join("flood.*", "team", "1");
    let mut reads = Nats::connect(addr);
    reads.join("flood.*", "team", "1");
    let mut witness = Nats::connect(addr);
    witness.subscribe("flood.a", "1");
    let mut publisher = Nats::connect(addr);
    let mut got = Vec::new();
    for first in (1..=LAST).step_by(STEP as usize) {
        let mut out = Vec::new();
        (first..first + STEP).for_each(|sequence| put(&mut out, "flood.a", &payload(sequence)));
        publisher.write(&out);
        for _ in 0..STEP {
            witness.message();
        }
        got.extend(reads.messages().iter().map(|one| sequence_of(&one.payload)));
    }
    let reader_got = got.len() as u64;
    got.extend(slow.messages().iter().map(|one| sequence_of(&one.payload)));
    got.extend(reads.messages().iter().map(|one| sequence_of(&one.payload)));
    got.sort_unstable();
    assert!(got.into_iter().eq(1..=LAST), "each came to one of both");
    assert!(reader_got > LAST / 2 && reader_got < LAST, "{reader_got}");
    assert_eq!(broker.metric(DROPPED, ""), 0);
    drop((slow, reads, witness, publisher));
    broker.stop();
}

/// Goal: delivered and reported messages add up to the published ones, also for subjects without sequences.
/// Method: the subscriber misses more messages than a subscription may have runs of missed messages, each
/// on a subject of its own; it gets a few reports, and stays connected.
fn losses_of_ephemeral_subjects_are_reported_together(cores: &str) {
    const MESSAGES: u64 = 40_000;
    let broker = Broker::start_with(cores, "[nats]\nsubscriber_capacity = 1_000\n");
    let addr = broker.nats.expect("NATS clients are served");
    let mut slow = Nats::narrow(addr).logged_in(CONNECT);
    slow.subscribe("_INBOX.x.*", "slow");
    let mut monitor = Nats::connect(addr);
    monitor.subscribe("$SYS.GAP.*", "all");
    let mut publisher = Nats::connect(addr);
    for number in 0..MESSAGES {
        publisher.publish(&format!("_INBOX.x.{number}"), &payload(number));
    }
    publisher.ping();
    let got = slow.messages().len() as u64;
    let mut missed = 0;
    while got + missed < MESSAGES {
        let report = report(&monitor.message());
        assert_eq!((&report["subject"], &report["first"]), (&"_INBOX.x.*".into(), &0.into()));
        missed += report["messages"].as_u64().expect("a number");
    }
    assert_eq!(got + missed, MESSAGES);
    assert!(missed > 0);
    assert_eq!(broker.metric(DROPPED, "reason=\"overflow_oldest\""), missed);
    monitor.ping();
    drop((slow, monitor, publisher));
    broker.stop();
}

/// Method: many more messages than a queue holds, in as few writes as possible.
fn a_subscriber_that_reads_loses_nothing_however_short_its_queue(cores: &str) {
    let broker = start(cores, "drop_oldest", "");
    let addr = broker.nats.expect("NATS clients are served");
    let mut reads = Nats::connect(addr);
    reads.subscribe("burst.*", "1");
    let mut publisher = Nats::connect(addr);
    let mut out = Vec::new();
    for number in 0..LAST {
        put(&mut out, "burst.a", number.to_string().as_bytes());
    }
    publisher.write(&out);
    publisher.ping();
    for number in 0..LAST {
        assert_eq!(reads.message().text(), number.to_string());
    }
    assert_eq!(broker.metric(DROPPED, ""), 0);
    drop((reads, publisher));
    broker.stop();
}

/// Method: the queued messages of the slow subscriber expire before it reads.
fn messages_that_expire_behind_a_slow_subscriber_are_reported_and_counted(cores: &str) {
    const TTL_MS: u64 = 100;
    const MESSAGES: u64 = 800;
    let broker = Broker::start_with(cores, &format!("[delivery]\ndefault_ttl_ms = {TTL_MS}\n"));
    let addr = broker.nats.expect("NATS clients are served");
    let mut slow = Nats::narrow(addr).logged_in(CONNECT);
    slow.subscribe("short.lived", "slow");
    let mut monitor = Nats::connect(addr);
    monitor.subscribe(&format!("$SYS.GAP.{}", slow.client_id()), "gaps");
    let mut publisher = Nats::connect(addr);
    for sequence in 1..=MESSAGES {
        publisher.publish("short.lived", &payload(sequence));
    }
    publisher.ping();
    std::thread::sleep(std::time::Duration::from_millis(TTL_MS + 50));
    let got: Vec<u64> = slow.messages().iter().map(|one| sequence_of(&one.payload)).collect();
    let mut missing: Vec<u64> = Vec::new();
    while got.len() + missing.len() < MESSAGES as usize {
        let report = report(&monitor.message());
        assert_eq!((&report["reason"], &report["sid"]), (&"expired".into(), &"slow".into()));
        let number = |name: &str| report[name].as_u64().expect("a number");
        missing.extend(number("first")..number("first") + number("messages"));
    }
    let missed = missing.len() as u64;
    let mut all = [got, missing].concat();
    all.sort_unstable();
    assert!(missed > 0 && all.into_iter().eq(1..=MESSAGES), "each once");
    // On a busy machine some messages expire before they are queued.
    assert_eq!(broker.metric(DROPPED, "reason=\"expired_"), missed);
    monitor.ping();
    drop((slow, monitor, publisher));
    broker.stop();
}
