//! A publisher that asks for an ACK gets the sequences of its messages.

use std::collections::HashMap;

use blipmq::protocol::decode::ServerFrame;
use blipmq::protocol::{RequestId, encode};

use super::{on_one_and_two_cores, topic_on_each_core};
use crate::support::running::Broker;
use crate::support::wire::Wire;
use crate::support::written::{encode_messages, encode_with_ack};

on_one_and_two_cores! {
    acks_have_the_sequences_that_subscribers_see,
    a_frame_under_a_provisional_id_is_acknowledged_under_the_real_one,
}

const FRAMES: u64 = 600;

fn messages_of(publish_id: u64) -> u64 {
    1 + publish_id % 4
}

/// Publishes frames, every third without asking for an ACK; returns the ACKs by publish id.
fn publish(mut wire: Wire, topic: &str, publisher: u64) -> HashMap<u64, (u64, u64)> {
    let (topic, ..) = wire.open(1, topic);
    let mut acks = HashMap::new();
    let ids: Vec<u64> = (0..FRAMES).map(|number| publisher << 32 | number).collect();
    let asks = |id: &&u64| !id.is_multiple_of(3);
    for ids in ids.chunks(20) {
        wire.send(|out| {
            for id in ids {
                let payload = id.to_le_bytes();
                let payloads = vec![&payload[..]; messages_of(*id) as usize];
                match asks(&id) {
                    true => encode_with_ack(out, topic, *id, &payloads),
                    false => encode_messages(out, topic, 0, &payloads),
                }
            }
        });
        for id in ids.iter().filter(asks) {
            let frame = wire.expect();
            let ServerFrame::Ack { topic: of, publish_id, sequence, messages } = frame.decoded()
            else {
                panic!("ACK was due, got {:?}", frame.decoded());
            };
            assert_eq!((of.0, publish_id), (topic, *id), "in the order of the frames");
            acks.insert(publish_id, (sequence.0, u64::from(messages)));
        }
    }
    wire.ping();
    acks
}

/// Goal: the sequence and count of an ACK are those of the delivered messages.
/// Method: two publishers at once to one topic, which this or that core owns; a subscriber shows
/// where each frame's messages came.
fn acks_have_the_sequences_that_subscribers_see(cores: &str) {
    let broker = Broker::start_with(cores, "[queues]\nsubscriber_capacity = 100_000\n");
    for topic in topic_on_each_core(broker.addr, cores, "acks") {
        let mut subscriber = Wire::connect(broker.addr);
        subscriber.subscribe(1, &topic);
        let (addr, topic) = (broker.addr, &topic);
        let acks: Vec<HashMap<_, _>> = std::thread::scope(|scope| {
            let publishers: Vec<_> = (0..2)
                .map(|publisher| {
                    scope.spawn(move || publish(Wire::connect(addr), topic, publisher))
                })
                .collect();
            publishers.into_iter().map(|one| one.join().expect("the thread succeeds")).collect()
        });
        // The sequence of the first message of each frame, and how many followed.
        let mut seen: HashMap<u64, (u64, u64)> = HashMap::new();
        let mut left: u64 = (0..FRAMES).map(messages_of).sum::<u64>() * 2;
        while left > 0 {
            let frame = subscriber.expect();
            let Some((header, payloads)) = frame.messages() else {
                assert!(matches!(frame.decoded(), ServerFrame::Topic { .. }));
                continue;
            };
            for (sequence, payload) in (header.sequence..).zip(payloads) {
                let id = u64::from_le_bytes(payload.try_into().expect("eight bytes"));
                seen.entry(id).or_insert((sequence, 0)).1 += 1;
                left -= 1;
            }
        }
        let asked = acks.iter().flatten();
        assert_eq!(asked.clone().count(), 2 * FRAMES as usize * 2 / 3);
        for (id, ack) in asked {
            assert_eq!(ack, &seen[id], "frame {id:x}");
        }
    }
    broker.stop();
}

fn a_frame_under_a_provisional_id_is_acknowledged_under_the_real_one(cores: &str) {
    let broker = Broker::start(cores);
    for (number, name) in (1..).zip(topic_on_each_core(broker.addr, cores, "early")) {
        let mut wire = Wire::connect(broker.addr);
        wire.send(|out| {
            encode::open(out, RequestId(number), &name);
            encode_with_ack(out, 0x8000_0000 | number, 77, &[b"a", b"b"]);
            encode_with_ack(out, 0x8000_0000 | number, 77, &[b"c"]);
        });
        let opened = wire.expect();
        let ServerFrame::Topic { topic, .. } = opened.decoded() else { panic!("TOPIC was due") };
        for (first, count) in [(1, 2), (3, 1)] {
            let frame = wire.expect();
            let ServerFrame::Ack { topic: of, publish_id, sequence, messages } = frame.decoded()
            else {
                panic!("ACK was due, got {:?}", frame.decoded());
            };
            assert_eq!((of, publish_id, sequence.0, messages), (topic, 77, first, count));
        }
        wire.ping();
    }
    broker.stop();
}
