//! Queues of NATS subscriptions: groups, subjects that are not kept, short queues, expiry.

use super::on_one_and_two_cores;
use super::slow::{DROPPED, LAST, STEP, payload, sequence_of, start};
use crate::support::nats::{CONNECT, Message, Nats, put};
use crate::support::running::Broker;

on_one_and_two_cores! {
    a_member_that_does_not_read_leaves_the_rest_to_the_others_of_its_group,
    missed_subjects_that_are_not_kept_are_told_together,
    who_reads_loses_nothing_however_short_its_queue,
    what_expires_behind_a_slow_one_is_told_and_counted,
}

/// What a message on `$SYS.GAP.<client id>` says.
pub(super) fn told(message: &Message) -> serde_json::Value {
    serde_json::from_slice(&message.payload).expect("it is JSON")
}

/// Goal: nothing is dropped while one member reads; what the other was dealt waits for it.
fn a_member_that_does_not_read_leaves_the_rest_to_the_others_of_its_group(cores: &str) {
    let broker = start(cores, "drop_oldest", "");
    let addr = broker.nats.expect("NATS clients are served");
    let mut slow = Nats::narrow(addr).introduced(CONNECT);
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

/// Goal: also where subjects have no sequences, delivered and told are as many as published.
/// Method: more are missed than a subscription may have runs of missed messages, all on subjects of
/// their own; the subscriber is told a few times, and stays connected.
fn missed_subjects_that_are_not_kept_are_told_together(cores: &str) {
    const MESSAGES: u64 = 40_000;
    let broker = Broker::start_with(cores, "[nats]\nsubscriber_capacity = 1_000\n");
    let addr = broker.nats.expect("NATS clients are served");
    let mut slow = Nats::narrow(addr).introduced(CONNECT);
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
        let told = told(&monitor.message());
        assert_eq!((&told["subject"], &told["first"]), (&"_INBOX.x.*".into(), &0.into()));
        missed += told["messages"].as_u64().expect("a number");
    }
    assert_eq!(got + missed, MESSAGES);
    assert!(missed > 0);
    assert_eq!(broker.metric(DROPPED, "reason=\"overflow_oldest\""), missed);
    monitor.ping();
    drop((slow, monitor, publisher));
    broker.stop();
}

/// Method: far more messages than a queue holds, in as few writes as may be.
fn who_reads_loses_nothing_however_short_its_queue(cores: &str) {
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

/// Method: what waits for the slow one is older than it may be before that one reads.
fn what_expires_behind_a_slow_one_is_told_and_counted(cores: &str) {
    const TTL_MS: u64 = 100;
    const MESSAGES: u64 = 800;
    let broker = Broker::start_with(cores, &format!("[delivery]\ndefault_ttl_ms = {TTL_MS}\n"));
    let addr = broker.nats.expect("NATS clients are served");
    let mut slow = Nats::narrow(addr).introduced(CONNECT);
    slow.subscribe("short.lived", "slow");
    let mut monitor = Nats::connect(addr);
    monitor.subscribe(&format!("$SYS.GAP.{}", slow.client_id()), "told");
    let mut publisher = Nats::connect(addr);
    for sequence in 1..=MESSAGES {
        publisher.publish("short.lived", &payload(sequence));
    }
    publisher.ping();
    std::thread::sleep(std::time::Duration::from_millis(TTL_MS + 50));
    let got: Vec<u64> = slow.messages().iter().map(|one| sequence_of(&one.payload)).collect();
    let mut missing: Vec<u64> = Vec::new();
    while got.len() + missing.len() < MESSAGES as usize {
        let told = told(&monitor.message());
        assert_eq!((&told["reason"], &told["sid"]), (&"expired".into(), &"slow".into()));
        let number = |name: &str| told[name].as_u64().expect("a number");
        missing.extend(number("first")..number("first") + number("messages"));
    }
    let missed = missing.len() as u64;
    let mut all = [got, missing].concat();
    all.sort_unstable();
    assert!(missed > 0 && all.into_iter().eq(1..=MESSAGES), "each once");
    // On a busy machine some have expired before they were queued.
    assert_eq!(broker.metric(DROPPED, "reason=\"expired_"), missed);
    monitor.ping();
    drop((slow, monitor, publisher));
    broker.stop();
}
