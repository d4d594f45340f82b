//! Groups: each message goes to exactly one member, on any core, also when members leave.

use std::collections::HashSet;
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use blipmq::protocol::decode::{ServerFrame, Subscribe};
use blipmq::protocol::{SubscriptionId, encode};

use super::on_one_and_two_cores;
use crate::account::{Account, Window};
use crate::support::running::Broker;
use crate::support::wire::{PATIENCE, Wire, encode_messages, wanting};

on_one_and_two_cores! {
    each_message_goes_to_one_of_three_members_and_to_every_plain_subscriber,
    messages_queued_for_a_member_that_unsubscribes_go_to_another_member,
    a_member_whose_connection_dies_loses_only_what_its_socket_held,
}

fn member<'a>(pattern: &'a str, group: &'a str) -> Subscribe<'a> {
    Subscribe { group, ..wanting(9, pattern) }
}

/// The messages that any member received. None comes twice.
#[derive(Default)]
struct Got(Mutex<HashSet<u64>>);

impl Got {
    fn len(&self) -> usize {
        self.0.lock().expect("no other thread has failed").len()
    }

    fn wait_for(&self, messages: usize) {
        let start_time = Instant::now();
        while self.len() < messages {
            assert!(start_time.elapsed() < PATIENCE, "{} of {messages} came", self.len());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Accounts for a frame of messages of the member; returns how many there are.
    fn take(&self, frame: &crate::support::wire::Frame) -> u64 {
        let Some((header, payloads)) = frame.messages() else {
            let decoded = frame.decoded();
            assert!(matches!(decoded, ServerFrame::Topic { .. }), "nothing is lost: {decoded:?}");
            return 0;
        };
        assert_eq!(header.subscription, 9, "a group's message is for the member: {header:?}");
        let mut got = self.0.lock().expect("no other thread has failed");
        for (sequence, payload) in (header.sequence..).zip(&payloads) {
            assert_eq!(payload[..8], sequence.to_le_bytes());
            assert!(got.insert(sequence), "message {sequence} came twice");
        }
        payloads.len() as u64
    }
}

/// Publishes `first..=last`, each its sequence, in frames of one to `frame_max`.
fn publish(wire: &mut Wire, topic: u32, first: u64, last: u64, len: usize, frame_max: u64) {
    let mut next = first;
    wire.send(|out| {
        while next <= last {
            let count = (1 + next % frame_max).min(last + 1 - next);
            let payloads: Vec<Vec<u8>> = (next..next + count)
                .map(|sequence| {
                    let mut payload = sequence.to_le_bytes().to_vec();
                    payload.resize(len, 0);
                    payload
                })
                .collect();
            let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
            encode_messages(out, topic, 0, &payloads);
            next += count;
        }
    });
}

/// Method: 30,000 messages; three members by a pattern, a second group, a plain subscriber.
fn each_message_goes_to_one_of_three_members_and_to_every_plain_subscriber(cores: &str) {
    const MESSAGES: u64 = 30_000;
    const CHUNK: u64 = 50;
    let broker = Broker::start(cores);
    let mut plain = Wire::connect(broker.addr);
    plain.subscribe(1, "work.a");
    let mut members: Vec<Wire> = (0..3).map(|_| Wire::connect(broker.addr)).collect();
    for wire in &mut members {
        wire.subscribe_to(&member("work.*", "three"));
    }
    let ends: Vec<TcpStream> = members.iter().map(Wire::writer).collect();
    let mut alone = Wire::connect(broker.addr);
    alone.subscribe_to(&member("work.*", "alone"));
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "work.a");
    // 0 is the plain subscriber, 1 the group of three, 2 the other group.
    let window = Window::new(3, 1_000);
    let (three, one) = (Got::default(), Got::default());
    let shares: Vec<u64> = std::thread::scope(|scope| {
        let readers: Vec<_> = members
            .iter_mut()
            .map(|wire| {
                let (three, window) = (&three, &window);
                scope.spawn(move || {
                    let mut share = 0;
                    while let Ok(Some(frame)) = wire.try_next() {
                        let came = three.take(&frame);
                        window.received(1, came);
                        share += came;
                    }
                    share
                })
            })
            .collect();
        scope.spawn(|| {
            while one.len() < MESSAGES as usize {
                window.received(2, one.take(&alone.expect()));
            }
            alone.ping();
        });
        scope.spawn(|| {
            let mut account = Account::new(topic, 1);
            for last in (CHUNK..=MESSAGES).step_by(CHUNK as usize) {
                account.take_until(&mut plain, last, |_, _| {});
                window.received(0, CHUNK);
            }
            assert!(account.gaps.is_empty());
            plain.ping();
        });
        for first in (1..=MESSAGES).step_by(CHUNK as usize) {
            window.publish(&[0, 1, 2], CHUNK);
            publish(&mut publisher, topic, first, first + CHUNK - 1, 16, 3);
        }
        three.wait_for(MESSAGES as usize);
        // The plain subscriber, the other group, and the three together got all: no more may be sent.
        let all = 3 * MESSAGES;
        broker.wait_for_metric("blipmq_delivered_messages_total", "", |sent| sent == all);
        for member in &ends {
            member.shutdown(Shutdown::Both).expect("it is connected");
        }
        readers.into_iter().map(|reader| reader.join().expect("the thread succeeds")).collect()
    });
    assert_eq!(shares.iter().sum::<u64>(), MESSAGES);
    assert!(shares.iter().all(|share| *share > MESSAGES / 10), "all have a share: {shares:?}");
    assert_eq!(broker.metric("blipmq_dropped_messages_total", ""), 0);
    drop((members, ends, plain, alone, publisher));
    broker.stop();
}

const MESSAGES: u64 = 2_000;
const PAYLOAD_LEN: usize = 8 * 1_024;

/// A group of a member that reads and a stalled one. Returns once the reader has its share, with the
/// messages that the reader has received.
fn half_is_stuck(broker: &Broker) -> (Wire, Wire, Wire, u32, Got) {
    let mut stalled = Wire::narrow(broker.addr).welcomed();
    stalled.subscribe_to(&member("stuck", "two"));
    let mut reader = Wire::connect(broker.addr);
    reader.subscribe_to(&member("stuck", "two"));
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "stuck");
    let got = Got::default();
    let mut next = 1;
    while next <= MESSAGES {
        publish(&mut publisher, topic, next, next + 99, PAYLOAD_LEN, 1);
        next += 100;
        publisher.ping();
        // Members take turns, so the reader has nearly half of the messages.
        while got.len() as u64 + 60 < next / 2 {
            got.take(&reader.expect());
        }
    }
    (stalled, reader, publisher, topic, got)
}

fn messages_queued_for_a_member_that_unsubscribes_go_to_another_member(cores: &str) {
    let broker = Broker::start(cores);
    let (mut stalled, mut reader, publisher, _, got) = half_is_stuck(&broker);
    stalled.send(|out| encode::unsubscribe(out, SubscriptionId(9)));
    let mut had = 0;
    loop {
        let frame = stalled.expect();
        if let ServerFrame::Unsubscribed { subscription } = frame.decoded() {
            assert_eq!(subscription, SubscriptionId(9));
            break;
        }
        had += got.take(&frame);
    }
    stalled.ping();
    while (got.len() as u64) < MESSAGES {
        got.take(&reader.expect());
    }
    reader.ping();
    assert!(had < MESSAGES / 2, "sockets do not hold 8 MiB, so something was handed on");
    assert_eq!(broker.metric("blipmq_dropped_messages_total", ""), 0);
    drop((stalled, reader, publisher));
    broker.stop();
}

/// Method: messages in the socket of the dead member, and its last send, may be lost; no others.
fn a_member_whose_connection_dies_loses_only_what_its_socket_held(cores: &str) {
    let broker = Broker::start(cores);
    let (stalled, mut reader, mut publisher, topic, got) = half_is_stuck(&broker);
    stalled.reset();
    // Each message is in a socket of a member, or lost with the last send: none is left in a queue.
    let start_time = Instant::now();
    while broker.metric("blipmq_delivered_messages_total", "")
        + broker.metric("blipmq_dropped_messages_total", "reason=\"disconnected\"")
        < MESSAGES
    {
        let before = got.len();
        while got.len() == before && got.len() < MESSAGES as usize * 3 / 4 {
            got.take(&reader.expect());
        }
        assert!(start_time.elapsed() < PATIENCE, "{} came", got.len());
        std::thread::sleep(Duration::from_millis(2));
    }
    // The group continues without this member.
    publish(&mut publisher, topic, MESSAGES + 1, MESSAGES + 30, 16, 1);
    while !got.0.lock().expect("one thread").contains(&(MESSAGES + 30)) {
        got.take(&reader.expect());
    }
    reader.ping();
    let lost = MESSAGES as usize + 30 - got.len();
    assert!(lost * PAYLOAD_LEN < 5 << 20, "{lost} messages were in the socket of the dead one?");
    reader.stream.shutdown(Shutdown::Both).expect("it is connected");
    drop((reader, publisher));
    broker.stop();
}
