//! NATS consumers that do not read, under each policy: their losses, and the exact reports of them.
//!
//! Method: the slow subscriber has a small socket; publishers proceed in steps that all others have read,
//! so that these never fall behind, however slow the machine is.

use std::thread;

use super::on_one_and_two_cores;
use crate::account::Account;
use crate::support::nats::{CONNECT, Nats, ServerLine, put};
use crate::support::running::Broker;
use crate::support::wire::Wire;
use crate::support::written::encode_messages;

on_one_and_two_cores! {
    drop_oldest_drops_and_reports_the_oldest_messages_of_the_slow_subscriber,
    drop_new_drops_and_reports_the_newest_messages_of_the_slow_subscriber,
    latest_delivers_the_newest_message_of_each_subject_and_reports_the_others,
    disconnect_closes_only_the_slow_subscriber_with_an_error,
    block_holds_up_publishers_of_both_protocols_until_the_slow_subscriber_reads,
    block_ends_when_the_stalled_subscriber_is_disconnected,
}

const PAYLOAD_LEN: usize = 8 * 1_024;
/// Smaller than any queue here, so that a subscriber that reads loses nothing.
pub(super) const STEP: u64 = 10;
/// A step of one message, which also under the policy latest reaches every subscriber that reads.
const STEP_FOR_LATEST: u64 = 1;
/// Many more messages than sockets hold.
pub(super) const LAST: u64 = 1_000;
const CAPACITY: u64 = 64;
pub(super) const DROPPED: &str = "blipmq_dropped_messages_total";
const ERRORS: &str = "blipmq_errors_sent_total";

pub(super) fn start(cores: &str, policy: &str, more: &str) -> Broker {
    let config = format!(
        "[nats]\nsubscriber_capacity = {CAPACITY}\n[queues]\noverflow_policy = \"{policy}\"\n{more}"
    );
    Broker::start_with(cores, &config)
}

pub(super) fn payload(sequence: u64) -> Vec<u8> {
    let mut payload = sequence.to_le_bytes().to_vec();
    payload.resize(PAYLOAD_LEN, sequence as u8);
    payload
}

pub(super) fn sequence_of(found: &[u8]) -> u64 {
    let sequence = u64::from_le_bytes(found[..8].try_into().expect("eight bytes"));
    assert_eq!(found, payload(sequence), "message {sequence} is unchanged");
    sequence
}

/// A subscriber that does not read, one of each protocol that reads, and a publisher of each protocol.
struct Scene {
    broker: Broker,
    slow: Nats,
    monitor: Nats,
    fast: Nats,
    fast_blip: Wire,
    account: Account,
    publisher: Nats,
    publisher_blip: Wire,
    topic: u32,
    published: u64,
    step: u64,
}

impl Scene {
    fn new(broker: Broker, step: u64) -> Scene {
        let addr = broker.nats.expect("NATS clients are served");
        let mut slow = Nats::narrow(addr).logged_in(CONNECT);
        slow.subscribe("flood.*", "slow");
        let mut monitor = Nats::connect(addr);
        monitor.subscribe(&format!("$SYS.GAP.{}", slow.client_id()), "gaps");
        let mut fast = Nats::connect(addr);
        fast.subscribe("flood.>", "fast");
        let mut fast_blip = Wire::connect(broker.addr);
        fast_blip.subscribe(1, "flood.a");
        let mut publisher_blip = Wire::connect(broker.addr);
        let (topic, ..) = publisher_blip.open(1, "flood.a");
        let publisher = Nats::connect(addr);
        let account = Account::new(topic, 1);
        Scene {
            broker,
            slow,
            monitor,
            fast,
            fast_blip,
            account,
            publisher,
            publisher_blip,
            topic,
            published: 0,
            step,
        }
    }

    /// Publishes the next step, of either protocol in turn; returns when the reading subscribers have it.
    fn step(&mut self) {
        let (first, topic) = (self.published + 1, self.topic);
        self.published += self.step;
        let payloads = (first..=self.published).map(payload);
        if first % (2 * self.step) == 1 {
            let mut out = Vec::new();
            payloads.for_each(|payload| put(&mut out, "flood.a", &payload));
            self.publisher.write(&out);
        } else {
            self.publisher_blip.send(|out| {
                payloads.for_each(|payload| encode_messages(out, topic, 0, &[&payload]));
            });
        }
        for sequence in first..=self.published {
            assert_eq!(sequence_of(&self.fast.message().payload), sequence);
        }
        let check = |sequence, found: &[u8]| assert_eq!(sequence_of(found), sequence);
        self.account.take_until(&mut self.fast_blip, self.published, check);
    }

    fn flood(&mut self) {
        while self.published < LAST {
            self.step();
        }
        assert!(self.account.gaps.is_empty(), "a subscriber that reads loses nothing");
        self.fast.ping();
    }

    /// Reads all messages and reports of the slow subscriber: each sequence is in exactly one of both.
    /// Returns the runs of sequences that were reported missing.
    fn slow_reads_all(&mut self, reason: &str) -> (Vec<u64>, Vec<(u64, u64)>) {
        let got: Vec<u64> =
            self.slow.messages().iter().map(|one| sequence_of(&one.payload)).collect();
        assert!(got.is_sorted_by(|a, b| a < b), "in order: {got:?}");
        let mut gaps = Vec::new();
        let mut missed = 0;
        while got.len() as u64 + missed < self.published {
            let report = super::queues::report(&self.monitor.message());
            assert_eq!(report["client_id"], self.slow.client_id());
            assert_eq!((&report["sid"], &report["subject"]), (&"slow".into(), &"flood.a".into()));
            assert_eq!(report["reason"], reason);
            let number = |name: &str| report[name].as_u64().expect("a number");
            gaps.push((number("first"), number("messages")));
            missed += number("messages");
        }
        self.monitor.ping();
        let missing = gaps.iter().flat_map(|(first, count)| *first..first + count);
        let mut all: Vec<u64> = missing.chain(got.iter().copied()).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(1..=self.published), "each once: {got:?} {gaps:?}");
        assert!(missed > 0);
        (got, gaps)
    }

    fn stop(self) {
        let Scene { broker, slow, monitor, fast, fast_blip, publisher, publisher_blip, .. } = self;
        drop((slow, monitor, fast, fast_blip, publisher, publisher_blip));
        broker.stop();
    }
}

/// Goal: every message that the slow subscriber misses is reported and counted under one reason.
fn misses(cores: &str, policy: &str, reason: &str, label: &str) -> (Vec<u64>, Vec<(u64, u64)>) {
    let step = if policy == "latest" { STEP_FOR_LATEST } else { STEP };
    let mut scene = Scene::new(start(cores, policy, ""), step);
    scene.flood();
    let (got, gaps) = scene.slow_reads_all(reason);
    let missed: u64 = gaps.iter().map(|(_, count)| count).sum();
    assert_eq!(scene.broker.metric(DROPPED, &format!("reason=\"{label}\"")), missed);
    assert_eq!(scene.broker.metric(DROPPED, ""), missed, "nothing for another reason");
    assert_eq!(scene.broker.metric(ERRORS, ""), 0);
    // The slow subscriber reads now, and loses no more.
    scene.step();
    for sequence in LAST + 1..=LAST + step {
        assert_eq!(sequence_of(&scene.slow.message().payload), sequence);
    }
    scene.stop();
    (got, gaps)
}

fn drop_oldest_drops_and_reports_the_oldest_messages_of_the_slow_subscriber(cores: &str) {
    let (got, gaps) = misses(cores, "drop_oldest", "overflow", "overflow_oldest");
    assert!(got.ends_with(&(LAST - CAPACITY + 1..=LAST).collect::<Vec<_>>()), "{got:?}");
    assert_eq!(gaps.len(), 1, "what went is one run: {gaps:?}");
}

fn drop_new_drops_and_reports_the_newest_messages_of_the_slow_subscriber(cores: &str) {
    let (got, gaps) = misses(cores, "drop_new", "overflow", "overflow_new");
    assert!(got.iter().copied().eq(1..=got.len() as u64), "the first of all: {got:?}");
    assert_eq!(gaps, [(got.len() as u64 + 1, LAST - got.len() as u64)]);
}

fn latest_delivers_the_newest_message_of_each_subject_and_reports_the_others(cores: &str) {
    let (got, gaps) = misses(cores, "latest", "conflated", "conflated");
    assert_eq!(got.last(), Some(&LAST));
    assert_eq!(gaps.len(), 1, "{gaps:?}");
}

/// Reads messages, then the error and the end; returns the number of messages.
fn reads_its_end(slow: &mut Nats) -> u64 {
    let mut got = 0;
    loop {
        match slow.expect() {
            ServerLine::Message(message) => {
                got += 1;
                assert_eq!(sequence_of(&message.payload), got, "without a hole");
            }
            ServerLine::Error(text) => {
                assert_eq!(text, "Slow Consumer");
                assert_eq!(slow.next(), None, "nothing follows");
                return got;
            }
            other => panic!("messages or an error were due, got {other:?}"),
        }
    }
}

fn disconnect_closes_only_the_slow_subscriber_with_an_error(cores: &str) {
    let mut scene = Scene::new(start(cores, "disconnect", ""), STEP);
    let addr = scene.broker.nats.expect("NATS clients are served");
    // The slow subscriber never reads, so it cannot see a report.
    let mut deaf = Nats::narrow(addr).logged_in(CONNECT);
    deaf.subscribe("flood.a", "deaf");
    while scene.broker.metric(ERRORS, "") < 2 {
        assert!(scene.published < LAST * 10, "nobody was disconnected");
        scene.step();
    }
    let got = reads_its_end(&mut scene.slow);
    assert!(got < scene.published);
    // The subscriber that never read is closed as well.
    scene.broker.wait_for_metric("blipmq_nats_connections", "", |open| open == 3);
    let lost = scene.broker.metric(DROPPED, "reason=\"disconnected\"");
    assert!(lost > 0 && lost == scene.broker.metric(DROPPED, ""), "{lost}");
    scene.flood_on(200);
    assert_eq!(scene.broker.metric(ERRORS, ""), 2, "nobody else");
    scene.monitor.ping();
    drop(deaf);
    scene.stop();
}

impl Scene {
    fn flood_on(&mut self, messages: u64) {
        let last = self.published + messages;
        while self.published < last {
            self.step();
        }
    }
}

/// Goal: publishers of both protocols wait; another subject continues; afterwards no message is missing.
fn block_holds_up_publishers_of_both_protocols_until_the_slow_subscriber_reads(cores: &str) {
    let mut scene = Scene::new(start(cores, "block", "block_timeout_ms = 600_000\n"), STEP);
    let addr = scene.broker.nats.expect("NATS clients are served");
    let Scene { slow, fast, fast_blip, publisher, publisher_blip, topic, broker, account, .. } =
        &mut scene;
    let topic = *topic;
    let mut got = [0; 3];
    thread::scope(|scope| {
        // Half of the messages come over each protocol.
        scope.spawn(move || {
            for number in 1..=LAST / 2 {
                publisher.publish("flood.a", &payload(2 * number));
            }
            publisher.ping();
        });
        scope.spawn(move || {
            for number in 1..=LAST / 2 {
                publisher_blip.publish(topic, &[&payload(2 * number - 1)]);
            }
            publisher_blip.ping();
        });
        let fast = scope.spawn(|| (0..LAST).map(|_| sequence_of(&fast.message().payload)).sum());
        let fast_blip = scope.spawn(|| {
            let mut sum = 0;
            account.take_until(fast_blip, LAST, |_, found| sum += sequence_of(found));
            sum
        });
        broker.wait_for_metric("blipmq_publishers_blocked_total", "", |times| times > 0);
        let mut neighbour = Nats::connect(addr);
        neighbour.subscribe("next.door", "1");
        for _ in 0..100 {
            neighbour.publish("next.door", b"not held up");
            assert_eq!(neighbour.message().text(), "not held up");
        }
        let published = broker.metric("blipmq_published_messages_total", "");
        assert!(published < LAST + 100, "publishers are held up: {published}");
        let slow: u64 = (0..LAST).map(|_| sequence_of(&slow.message().payload)).sum();
        got = [
            slow,
            fast.join().expect("the thread succeeds"),
            fast_blip.join().expect("the thread succeeds"),
        ];
    });
    assert_eq!(got, [LAST * (LAST + 1) / 2; 3], "each has all");
    assert_eq!(scene.broker.metric(DROPPED, ""), 0);
    scene.slow.ping();
    scene.monitor.ping();
    scene.stop();
}

fn block_ends_when_the_stalled_subscriber_is_disconnected(cores: &str) {
    let mut scene = Scene::new(start(cores, "block", "block_timeout_ms = 400\n"), STEP);
    let Scene { slow, fast, publisher, broker, account, fast_blip, .. } = &mut scene;
    thread::scope(|scope| {
        scope.spawn(move || {
            for sequence in 1..=LAST {
                publisher.publish("flood.a", &payload(sequence));
            }
            publisher.ping();
        });
        scope.spawn(move || {
            for sequence in 1..=LAST {
                assert_eq!(sequence_of(&fast.message().payload), sequence);
            }
        });
        scope.spawn(|| {
            // This subscriber would block the publishers as well.
            account.take_until(fast_blip, LAST, |_, _| {});
        });
        broker.wait_for_metric(ERRORS, "", |errors| errors == 1);
        assert!(reads_its_end(slow) < LAST);
    });
    scene.stop();
}
