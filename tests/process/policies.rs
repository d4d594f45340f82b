//! One stalled subscriber among 48, under each policy: the other 47 receive everything, in order.

use std::sync::Mutex;

use blipmq::protocol::GapReason;
use blipmq::protocol::decode::ServerFrame;

use super::on_one_and_two_cores;
use crate::account::{Account, Window};
use crate::support::running::Broker;
use crate::support::wire::Wire;
use crate::support::written::encode_messages;

on_one_and_two_cores! {
    one_with_drop_oldest_stalls_among_48,
    one_with_drop_new_stalls_among_48,
    one_with_latest_stalls_among_48,
    one_with_disconnect_stalls_among_48,
    one_with_block_stalls_among_48_and_reads_on,
    one_with_block_that_stalls_for_ever_is_disconnected_and_the_publisher_continues,
}

const OTHERS: usize = 47;
const CHUNK: u64 = 25;
/// Many more messages than sockets hold.
const LAST: u64 = 1_500;
const PAYLOAD_LEN: usize = 4 * 1_024;
const CAPACITY: u32 = 64;
const DROPPED: &str = "blipmq_dropped_messages_total";
const ERRORS: &str = "blipmq_errors_sent_total";

fn payload(sequence: u64) -> Vec<u8> {
    let mut payload = sequence.to_le_bytes().to_vec();
    payload.resize(PAYLOAD_LEN, sequence as u8);
    payload
}

fn check(sequence: u64, found: &[u8]) {
    assert_eq!(found, payload(sequence), "message {sequence} is unchanged");
}

/// A broker with one subscriber that does not read, 47 that do, and a publisher.
struct Scene {
    broker: Broker,
    stalled: Wire,
    topic: u32,
}

impl Scene {
    fn new(cores: &str, config: &str, overflow: u8) -> (Scene, Vec<Wire>, Wire) {
        let broker = Broker::start_with(cores, config);
        let mut stalled = Wire::narrow(broker.addr).welcomed();
        stalled.subscribe_with(1, "scene.a", overflow, CAPACITY);
        let mut others: Vec<Wire> = (0..OTHERS).map(|_| Wire::connect(broker.addr)).collect();
        for (number, wire) in others.iter_mut().enumerate() {
            wire.subscribe(1, ["scene.a", "scene.*", "scene.>"][number % 3]);
        }
        let mut publisher = Wire::connect(broker.addr);
        let (topic, ..) = publisher.open(1, "scene.a");
        (Scene { broker, stalled, topic }, others, publisher)
    }

    /// Publishes everything while the others read everything. The publisher calls `chunk_is_out` now and
    /// then, and `meanwhile` runs at the same time.
    fn play(
        &mut self,
        others: Vec<Wire>,
        mut publisher: Wire,
        mut chunk_is_out: impl FnMut(&mut Scene) + Send,
        meanwhile: impl FnOnce(&mut Scene) + Send,
    ) {
        let window = Window::new(OTHERS, 500);
        let topic = self.topic;
        let scene = Mutex::new(self);
        std::thread::scope(|scope| {
            for (number, mut wire) in others.into_iter().enumerate() {
                let window = &window;
                scope.spawn(move || {
                    let mut account = Account::new(topic, 1);
                    for last in (CHUNK..=LAST).step_by(CHUNK as usize) {
                        account.take_until(&mut wire, last, check);
                        window.received(number, CHUNK);
                    }
                    assert!(
                        account.gaps.is_empty(),
                        "a subscriber that reads loses nothing: {account:?}"
                    );
                    wire.ping();
                });
            }
            let everybody: Vec<usize> = (0..OTHERS).collect();
            let (window, scene) = (&window, &scene);
            scope.spawn(move || {
                for first in (1..=LAST).step_by(CHUNK as usize) {
                    window.publish(&everybody, CHUNK);
                    publisher.send(|out| {
                        for sequence in first..first + CHUNK {
                            encode_messages(out, topic, 0, &[&payload(sequence)]);
                        }
                    });
                    if let Ok(mut scene) = scene.try_lock() {
                        chunk_is_out(&mut scene);
                    }
                }
                publisher.ping();
            });
            let mut scene = scene.lock().expect("no other thread has failed");
            meanwhile(&mut scene);
        });
    }

    /// Reads all messages and gaps of the stalled subscriber, up to the last message.
    fn stalled_reads_all(&mut self) -> Account {
        let mut account = Account::new(self.topic, 1);
        account.take_until(&mut self.stalled, LAST, check);
        self.stalled.ping();
        account
    }

    /// Messages in order, without a gap, then the fatal 4290.
    fn stalled_reads_its_end(&mut self) {
        let mut account = Account::new(self.topic, 1);
        loop {
            let frame = self.stalled.expect();
            match frame.decoded() {
                ServerFrame::Topic { .. } => {}
                ServerFrame::Error { fatal, code, about, text } => {
                    assert!(fatal && code == 4290 && about == 1 && !text.is_empty(), "{text}");
                    assert_eq!(self.stalled.next(), None, "nothing follows");
                    assert!(account.gaps.is_empty() && account.delivered < LAST);
                    return;
                }
                _ => account.take(&frame).into_iter().for_each(|(at, text)| check(at, text)),
            }
        }
    }

    fn stop(self) {
        drop(self.stalled);
        self.broker.stop();
    }
}

/// Goal: the losses of the stalled subscriber are reported exactly, with the right reason, and counted.
fn stalls_and_is_sent_gaps(cores: &str, overflow: u8, reason: GapReason, label: &str) {
    let (mut scene, others, publisher) = Scene::new(cores, "", overflow);
    scene.play(others, publisher, |_| {}, |_| {});
    let account = scene.stalled_reads_all();
    let missed = account.missed(reason);
    assert!(missed > 0 && account.delivered + missed == LAST, "{account:?}");
    let label = format!("reason=\"{label}\"");
    assert_eq!(scene.broker.metric(DROPPED, &label), missed);
    assert_eq!(scene.broker.metric(DROPPED, ""), missed, "nothing for another reason");
    if overflow != 2 {
        let newest_stays = |(first, count, _): &(u64, u64, GapReason)| first + count <= LAST;
        assert!(account.gaps.iter().all(newest_stays), "{account:?}");
    }
    scene.stop();
}

fn one_with_drop_oldest_stalls_among_48(cores: &str) {
    stalls_and_is_sent_gaps(cores, 1, GapReason::Overflow, "overflow_oldest");
}

fn one_with_drop_new_stalls_among_48(cores: &str) {
    stalls_and_is_sent_gaps(cores, 2, GapReason::Overflow, "overflow_new");
}

fn one_with_latest_stalls_among_48(cores: &str) {
    stalls_and_is_sent_gaps(cores, 5, GapReason::Conflated, "conflated");
}

/// Method: the subscriber reads as soon as the ERROR is sent, because a closed connection lingers only shortly.
fn one_with_disconnect_stalls_among_48(cores: &str) {
    let (mut scene, others, publisher) = Scene::new(cores, "", 4);
    let mut has_read = false;
    let read_once_closed = |scene: &mut Scene| {
        if !has_read && scene.broker.metric(ERRORS, "") > 0 {
            has_read = true;
            scene.stalled_reads_its_end();
        }
    };
    scene.play(others, publisher, read_once_closed, |_| {});
    assert!(has_read, "it was disconnected");
    assert_eq!(scene.broker.metric(ERRORS, ""), 1);
    scene.stop();
}

/// Goal: the publisher waits for the stalled one, others do not; then nobody has lost anything.
/// Method: while it is blocked, another publisher on another topic goes on.
fn one_with_block_stalls_among_48_and_reads_on(cores: &str) {
    let config = "[queues]\nblock_timeout_ms = 600_000\n";
    let (mut scene, others, publisher) = Scene::new(cores, config, 3);
    scene.play(
        others,
        publisher,
        |_| {},
        |scene| {
            let blocked = "blipmq_publishers_blocked_total";
            scene.broker.wait_for_metric(blocked, "", |times| times > 0);
            let mut neighbour = Wire::connect(scene.broker.addr);
            neighbour.subscribe(1, "next.door");
            let (next_door, ..) = neighbour.open(1, "next.door");
            let mut account = Account::new(next_door, 1);
            for sequence in 1..=200 {
                neighbour.publish(next_door, &[b"not held up"]);
                account.take_until(&mut neighbour, sequence, |_, _| {});
            }
            let published = scene.broker.metric("blipmq_published_messages_total", "");
            assert!(published < LAST + 200, "the publisher is held up: {published}");
            let account = scene.stalled_reads_all();
            assert!(account.gaps.is_empty() && account.delivered == LAST, "{account:?}");
        },
    );
    assert_eq!(scene.broker.metric(DROPPED, ""), 0);
    scene.stop();
}

fn one_with_block_that_stalls_for_ever_is_disconnected_and_the_publisher_continues(cores: &str) {
    let config = "[queues]\nblock_timeout_ms = 100\n";
    let (mut scene, others, publisher) = Scene::new(cores, config, 3);
    scene.play(
        others,
        publisher,
        |_| {},
        |scene| {
            scene.broker.wait_for_metric(ERRORS, "", |errors| errors == 1);
            scene.stalled_reads_its_end();
        },
    );
    scene.stop();
}
