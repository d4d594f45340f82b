//! Options of messages and subscriptions: headers, checksums, ACKs, starts, groups.

use std::sync::mpsc;

use crate::messages;
use crate::support::broker::Broker;
use crate::support::{Connection, Server, delivery, delivery_to};
use blipmq::protocol::{Reject, Sequence, TopicId, encode};
use blipmq_client::{
    Client, ClientError, ClientOptions, Event, GapReason, Overflow, PublishOptions, Published,
    Start, SubscribeOptions,
};

// --- headers ---

#[test]
fn headers_pass_through_the_broker_unchanged() {
    let broker = Broker::start();
    let client = ClientOptions::new().crc(true).connect(&broker.addr).unwrap();
    client.subscribe("orders.*", Default::default()).unwrap();
    let topic = client.topic("orders.eu").unwrap();
    let options = PublishOptions::new().header("n", b"\xff\x00").header("n", "2").reply_to("back");
    topic.publish("plain").unwrap();
    topic.publish_with("x", &options).unwrap();
    topic.publish_with("", options).unwrap();

    let mut seen = Vec::new();
    while seen.len() < 3 {
        let messages = messages(&client);
        seen.extend(messages.iter().map(|message| messages.owned(&message)));
    }
    assert_eq!(seen[0].headers().count(), 0);
    assert_eq!(seen[0].as_message().reply_to(), None);
    let headers: [(&[u8], &[u8]); 3] = [(b"n", b"\xff\x00"), (b"n", b"2"), (b"reply-to", b"back")];
    for (message, payload) in seen[1..].iter().zip(["x", ""]) {
        assert_eq!(message.headers().collect::<Vec<_>>(), headers);
        assert_eq!(message.payload, payload);
        assert_eq!(message.as_message().reply_to(), Some("back"));
        assert_eq!(message.as_message().header("n"), Some(&b"\xff\x00"[..]));
    }
    client.close().unwrap();
}

#[test]
fn header_that_does_not_fit_is_refused_before_sending() {
    let server = Server::start(Connection::serve_publisher);
    let client = Client::connect(&server.addr).unwrap();
    let topic = client.topic("a").unwrap();
    let refused = topic.publish_with("x", PublishOptions::new().header("n".repeat(256), ""));
    let failure = refused.expect_err("it must fail").to_string();
    assert_eq!(failure, "bad header: its name has 256 bytes, the limit is 255: shorten it");
    client.close().unwrap();
    assert!(server.join().is_empty());
}

// --- checksums ---

#[test]
fn messages_with_a_wrong_checksum_become_a_gap_and_the_next_ones_arrive() {
    let server = Server::start(|mut connection| {
        connection.accept_subscribe();
        connection.name_topic(7, "a");
        let mut right = delivery(7, 1, &[b"x", b"y"]);
        right[5] = 2;
        let crc = crc32c::crc32c(&right[40..]);
        right[36..40].copy_from_slice(&crc.to_le_bytes());
        let mut wrong = right.clone();
        wrong[16] = 3;
        *wrong.last_mut().unwrap() ^= 1;
        connection.send(|out| out.extend_from_slice(&right));
        connection.send(|out| out.extend_from_slice(&wrong));
        connection.deliver(7, 5, &[b"z"]);
        connection.until_close();
    });
    let client = Client::connect(&server.addr).unwrap();
    client.subscribe("a", Default::default()).unwrap();
    assert_eq!(messages(&client).len(), 2);
    let Event::Gap(gap) = client.recv().unwrap() else { panic!("a gap") };
    assert_eq!((gap.first, gap.last(), gap.reason), (3, 4, GapReason::Corrupt));
    assert_eq!(messages(&client).iter().next().unwrap().payload, b"z");
    client.close().unwrap();
    server.join();
}

#[test]
fn checksum_covers_everything_behind_the_header() {
    let server = Server::start(|mut connection| {
        connection.accept_open(7);
        let published = connection.expect_messages();
        assert_eq!(published.header.flags, 2);
        assert_eq!(published.header.crc, crc32c::crc32c(&published.frame[40..]));
        connection.until_close();
    });
    let client = ClientOptions::new().crc(true).connect(&server.addr).unwrap();
    client.topic("a").unwrap().publish("x").unwrap();
    client.begin_close();
    server.join();
}

// --- ACK ---

/// Goal: messages that share a frame share its ACK, and each ticket gets its own sequence.
/// Method: a large message holds the writer until all are published; one of them wants no ACK.
#[test]
fn each_message_of_a_shared_frame_gets_its_sequence_from_one_ack() {
    let (published, all_published) = mpsc::channel();
    let server = Server::start(move |mut connection| {
        all_published.recv().unwrap();
        connection.accept_open(7);
        let large = connection.expect_messages();
        assert_eq!((large.header.flags, large.header.sequence), (0, 0));
        let mut sequence = 1;
        let mut frames = 0;
        while sequence <= 10 {
            let frame = connection.expect_messages();
            assert_eq!(frame.header.flags & 1, 1);
            let (id, count) = (frame.header.sequence, u32::from(frame.header.count));
            connection.send(|out| encode::ack(out, TopicId(7), id, Sequence(sequence), count));
            sequence += u64::from(count);
            frames += 1;
        }
        connection.until_close();
        frames
    });
    let client = Client::connect(&server.addr).unwrap();
    let topic = client.topic("a").unwrap();
    topic.publish(vec![0; crate::support::MESSAGE_LEN_MAX as usize]).unwrap();
    let mut tickets = Vec::new();
    for number in 1..=10u8 {
        match number {
            5 => topic.publish([number]).unwrap(),
            _ => tickets.push((
                number,
                topic.begin_publish_acked([number], PublishOptions::new()).unwrap(),
            )),
        }
    }
    published.send(()).unwrap();
    for (number, ticket) in tickets {
        assert_eq!(ticket.wait().unwrap(), Published { sequence: u64::from(number) });
        assert!(matches!(ticket.try_wait(), Some(Ok(_))));
    }
    client.close().unwrap();
    assert!(server.join() <= 2);
}

#[test]
fn refused_or_rejected_message_fails_the_call_that_waits_for_its_ack() {
    let server = Server::start(|mut connection| {
        let (request, topic) = connection.expect_open();
        connection.expect_messages();
        connection.send(|out| {
            encode::error(out, &Reject::SystemTopic { request: request.0, topic });
        });
        connection.accept_open(7);
        let id = connection.expect_messages().header.sequence;
        connection.send(|out| encode::ack(out, TopicId(7), id, Sequence(0), 0));
        // The topic may be gone, so the client opens it again.
        connection.accept_open(8);
        connection.expect_messages();
        connection.send(|out| encode::error(out, &Reject::NoMessages));
    });
    let client = Client::connect(&server.addr).unwrap();
    let publish = |topic: &str| {
        client.topic(topic).unwrap().publish_acked("x", PublishOptions::new()).unwrap_err()
    };
    assert!(matches!(publish("$SYS.a"), ClientError::TopicRefused { .. }));
    assert!(matches!(publish("a"), ClientError::NotTaken { .. }));
    assert!(matches!(publish("a"), ClientError::EndedByServer(_)));
    server.join();
}

// --- subscriptions ---

#[test]
fn every_option_of_a_subscription_reaches_the_broker() {
    let rows = [
        (SubscribeOptions::new().overflow(Overflow::Block), (3, 0, 0, "")),
        (SubscribeOptions::new().overflow(Overflow::Disconnect), (4, 0, 0, "")),
        (SubscribeOptions::new().overflow(Overflow::Latest).start(Start::Last(5)), (5, 1, 5, "")),
        (SubscribeOptions::new().start(Start::Sequence(41)), (0, 2, 41, "")),
        (SubscribeOptions::new().group("billing"), (0, 0, 0, "billing")),
        (SubscribeOptions::new().group(""), (0, 0, 0, "")),
    ];
    let expected = rows.clone();
    let server = Server::start(move |mut connection| {
        for (_, expected) in expected {
            let subscription = connection.expect_subscribe(|asked| {
                let asked = (asked.overflow, asked.start, asked.start_argument, asked.group);
                assert_eq!(asked, expected);
            });
            connection.send(|out| encode::subscribed(out, subscription));
        }
        connection.until_close();
    });
    let client = Client::connect(&server.addr).unwrap();
    for (options, _) in rows {
        client.subscribe("a.>", options).unwrap();
    }
    let too_long = SubscribeOptions::new().group("g".repeat(1_025));
    assert!(matches!(
        client.subscribe("a.>", too_long),
        Err(ClientError::GroupTooLong { len: 1_025, len_max: 1_024 })
    ));
    client.close().unwrap();
    server.join();
}

#[test]
fn messages_for_one_subscription_name_it_and_those_for_an_ended_one_are_dropped() {
    let server = Server::start(|mut connection| {
        let replaying = connection.accept_subscribe();
        let ended = connection.accept_subscribe();
        connection.expect_unsubscribe();
        connection.send(|out| encode::unsubscribed(out, ended));
        connection.name_topic(7, "a");
        connection.send(|out| {
            encode::gap(
                out,
                TopicId(7),
                replaying.0,
                Sequence(1),
                3,
                blipmq::protocol::GapReason::NoLongerKept,
            );
            out.extend_from_slice(&delivery_to(replaying, delivery(7, 4, &[b"retained"])));
            out.extend_from_slice(&delivery_to(ended, delivery(7, 4, &[b"late"])));
            out.extend_from_slice(&delivery(7, 5, &[b"live"]));
            out.extend_from_slice(&delivery_to(
                blipmq::protocol::SubscriptionId(99),
                delivery(7, 6, &[b"?"]),
            ));
        });
        connection.until_close();
    });
    let client = Client::connect(&server.addr).unwrap();
    let start = SubscribeOptions::new().start(Start::Sequence(1));
    let replaying = client.subscribe("a", start).unwrap();
    let ended = client.subscribe("a", SubscribeOptions::new().group("g")).unwrap();
    client.unsubscribe(&ended).unwrap();

    let Event::Gap(gap) = client.recv().unwrap() else { panic!("a gap") };
    assert_eq!((gap.subscription.as_ref(), gap.last()), (Some(&replaying), 3));
    let retained = messages(&client);
    assert_eq!(
        (retained.subscription(), retained.iter().next().unwrap().sequence),
        (Some(&replaying), 4)
    );
    let live = messages(&client);
    assert_eq!((live.subscription(), live.iter().next().unwrap().sequence), (None, 5));
    let end = client.recv().expect_err("it must fail").to_string();
    assert!(end.contains("subscription 99, which was not asked for"), "{end}");
    server.join();
}
