//! Publishing: batches, order, windows and refusals.

use std::sync::mpsc;
use std::time::Duration;

use blipmq::protocol::decode::{ClientFrame, client_frame};
use blipmq::protocol::{CoreId, Kind, Sequence, TopicId, encode};
use blipmq_client::{
    Client, ClientError, ClientOptions, Event, NameError, PublishOptions, PublishWindow,
};

use crate::support::{Connection, MESSAGE_LEN_MAX, Server};
use crate::{error, refusal};

#[test]
fn publish_does_not_wait_for_the_answer_to_open_and_uses_the_id_once_known() {
    let server = Server::start(|mut connection| {
        let (request, name) = connection.expect_open();
        assert_eq!(name, "orders.eu");
        let first = connection.expect_messages();
        assert_eq!(first.header.topic, 0x8000_0000 | request.0);
        assert_eq!((first.header.ttl_ms, first.header.flags), (0, 0));
        let ping = connection.expect_ping();
        connection.send(|out| {
            encode::topic(out, request, TopicId(12), Sequence(1), CoreId(0), "orders.eu");
            encode::pong(out, ping);
        });
        let second = connection.expect_messages();
        assert_eq!(second.header.topic, 12);
        assert_eq!(second.header.ttl_ms, 500);
        let ping = connection.expect_ping();
        connection.send(|out| encode::pong(out, ping));
        connection.until_close();
    });
    let client = Client::connect(&server.addr).unwrap();
    let topic = client.topic("orders.eu").unwrap();
    topic.publish(b"one").unwrap();
    client.flush().unwrap();
    let again = client.topic("orders.eu").unwrap();
    again.publish_with("two", PublishOptions::new().ttl(Duration::from_millis(500))).unwrap();
    client.flush().unwrap();
    client.close().unwrap();
    server.join();
}

/// Goal: messages that are published during a write share frames, and each topic keeps its order.
/// Method: a message larger than any socket buffer holds the writer until the server reads, and the
/// server reads when everything is published. So there are at most two batches.
#[test]
fn messages_published_during_a_write_share_frames() {
    let (published, all_published) = mpsc::channel();
    let server = Server::start(move |mut connection| {
        all_published.recv().unwrap();
        let mut frames = 0;
        let mut taken = vec![Vec::new(); 2];
        while let Some(frame) = connection.next() {
            match client_frame(&frame, MESSAGE_LEN_MAX).unwrap() {
                ClientFrame::Messages(header) if header.frame_len < 1 << 20 => {
                    frames += 1;
                    let numbers = blipmq::protocol::messages::records(&frame).map(|record| {
                        u32::from_le_bytes(record.payload.try_into().expect("a number"))
                    });
                    taken[(header.topic & 0xff) as usize - 1].extend(numbers);
                }
                ClientFrame::Close => break,
                _ => {}
            }
        }
        (frames, taken)
    });
    let client = Client::connect(&server.addr).unwrap();
    let topics = [client.topic("a").unwrap(), client.topic("b").unwrap()];
    topics[0].publish(vec![0; MESSAGE_LEN_MAX as usize]).unwrap();
    for number in 0..1_000u32 {
        for topic in &topics {
            topic.publish(number.to_le_bytes()).unwrap();
        }
    }
    published.send(()).unwrap();
    client.close().unwrap();
    let (frames, taken) = server.join();
    assert!(frames <= 4, "two topics and two batches at most, got {frames} frames");
    for numbers in taken {
        assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
    }
}

#[test]
fn order_of_each_thread_survives_publishing_from_several_threads() {
    let server = Server::start(Connection::serve_publisher);
    let client = ClientOptions::new().outgoing_bytes_max(4_096).connect(&server.addr).unwrap();
    let topic = client.topic("a").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let topic = topic.clone();
            scope.spawn(move || {
                for number in 0..5_000u32 {
                    topic.publish((thread << 16 | number).to_le_bytes()).unwrap();
                }
            });
        }
    });
    client.flush().unwrap();
    client.close().unwrap();
    let mut next = [0; 4];
    for (_, payload) in server.join() {
        let value = u32::from_le_bytes(payload.try_into().unwrap());
        assert_eq!(value & 0xffff, next[(value >> 16) as usize]);
        next[(value >> 16) as usize] += 1;
    }
    assert_eq!(next, [5_000; 4]);
}

/// Goal: the unconfirmed messages never exceed the window.
/// Method: the server counts messages, and answers a PING only when no more can come.
#[test]
fn publisher_never_gets_further_ahead_than_its_window() {
    const WINDOW: u64 = 8;
    let server = Server::start(|mut connection| {
        let (mut taken, mut acknowledged) = (0, 0);
        let mut pings = std::collections::VecDeque::new();
        while let Some(frame) = connection.next() {
            match client_frame(&frame, MESSAGE_LEN_MAX).unwrap() {
                ClientFrame::Messages(header) => taken += u64::from(header.count),
                ClientFrame::Ping { opaque } => pings.push_back((opaque, taken)),
                ClientFrame::Close => break,
                _ => {}
            }
            assert!(taken - acknowledged <= WINDOW, "{taken} taken, {acknowledged} acknowledged");
            let nothing_more_can_come = taken - acknowledged == WINDOW || taken == 1_000;
            if nothing_more_can_come && let Some((opaque, before)) = pings.pop_front() {
                acknowledged = before;
                connection.send(|out| encode::pong(out, opaque));
            }
        }
        while let Some((opaque, _)) = pings.pop_front() {
            connection.send(|out| encode::pong(out, opaque));
        }
        taken
    });
    let window = PublishWindow { messages: WINDOW, bytes: 1 << 20 };
    let client = ClientOptions::new().publish_window(window).connect(&server.addr).unwrap();
    let topic = client.topic("a").unwrap();
    for _ in 0..1_000 {
        topic.publish(b"x").unwrap();
    }
    client.close().unwrap();
    assert_eq!(server.join(), 1_000);
}

#[test]
fn refused_topic_fails_flush_and_later_publishes_with_the_brokers_text() {
    let server = Server::start(|mut connection| {
        let (request, _) = connection.expect_open();
        connection.expect_messages();
        let ping = connection.expect_ping();
        connection.send(|out| {
            encode::error(out, &refusal(request.0));
            encode::pong(out, ping);
        });
        let ping = connection.expect_ping();
        connection.send(|out| encode::pong(out, ping));
        connection.until_close();
    });
    let client = Client::connect(&server.addr).unwrap();
    let topic = client.topic("$SYS.a").unwrap();
    topic.publish(b"x").unwrap();
    let failure = error(client.flush()).to_string();
    assert!(failure.starts_with("the broker refused topic `$SYS.a`: error 4030: "), "{failure}");
    assert!(matches!(error(topic.publish(b"x")), ClientError::TopicRefused { .. }));
    assert!(matches!(client.recv(), Ok(Event::Error(ClientError::TopicRefused { .. }))));
    client.flush().expect("nothing new was refused");
    client.close().unwrap();
    server.join();
}

#[test]
fn what_every_broker_would_refuse_is_refused_before_sending() {
    let server = Server::start(|mut connection| {
        connection.expect_open();
        assert_eq!(connection.next().expect("CLOSE")[4], Kind::Close as u8);
    });
    let client = Client::connect(&server.addr).unwrap();
    assert!(matches!(
        error(client.topic("a.*")),
        ClientError::BadTopic { error: NameError::Wildcard { token: 2 }, .. }
    ));
    assert!(matches!(
        error(client.subscribe("a.>.b", Default::default())),
        ClientError::BadPattern { error: NameError::RestNotLast { token: 2 }, .. }
    ));
    let topic = client.topic("a").unwrap();
    let too_long = vec![0; MESSAGE_LEN_MAX as usize + 1];
    assert!(matches!(error(topic.publish(too_long)), ClientError::MessageTooLong { .. }));
    client.close().unwrap();
    server.join();
}
