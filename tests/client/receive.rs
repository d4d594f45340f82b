//! Subscriptions and received events.

use std::time::Duration;

use blipmq::protocol::decode::{ClientFrame, client_frame};
use blipmq::protocol::{self, Kind, Sequence, TopicId, encode};
use blipmq_client::{
    Client, ClientError, ClientOptions, Event, GapReason, Overflow, SubscribeOptions,
};

use crate::support::{Server, delivery_with_headers};
use crate::{error, payloads, refusal};

#[test]
fn subscribe_sends_its_options_and_unsubscribe_ends_the_subscription() {
    let server = Server::start(|mut connection| {
        let subscription = connection.expect_subscribe(|subscribe| {
            assert_eq!((subscribe.pattern, subscribe.group), ("orders.>", ""));
            assert_eq!((subscribe.overflow, subscribe.capacity), (2, 100));
            assert_eq!((subscribe.start, subscribe.start_argument), (0, 0));
        });
        connection.send(|out| encode::subscribed(out, subscription));
        assert_eq!(connection.expect_unsubscribe(), subscription);
        connection.send(|out| encode::unsubscribed(out, subscription));
        connection.until_close();
    });
    let client = Client::connect(&server.addr).unwrap();
    let options = SubscribeOptions::new().overflow(Overflow::DropNew).capacity(100);
    let subscription = client.subscribe("orders.>", options).unwrap();
    client.unsubscribe(&subscription).unwrap();
    assert!(matches!(error(client.unsubscribe(&subscription)), ClientError::NotSubscribed { .. }));
    client.close().unwrap();
    server.join();
}

#[test]
fn refused_subscription_fails_its_call_or_comes_as_an_event() {
    let server = Server::start(|mut connection| {
        for _ in 0..2 {
            let subscription = connection.expect_subscribe(|_| {});
            connection.send(|out| encode::error(out, &refusal(subscription.0)));
        }
        connection.accept_subscribe();
        connection.until_close();
    });
    let client = Client::connect(&server.addr).unwrap();
    assert!(matches!(
        error(client.subscribe("a.>", Default::default())),
        ClientError::PatternRefused { .. }
    ));
    client.begin_subscribe("b.>", Default::default()).unwrap();
    match client.recv() {
        Ok(Event::Error(ClientError::PatternRefused { pattern, .. })) => {
            assert_eq!(&*pattern, "b.>");
        }
        other => panic!("{other:?}"),
    }
    let asked = client.begin_subscribe("c.>", Default::default()).unwrap();
    assert!(matches!(client.recv(), Ok(Event::Subscribed(subscription)) if subscription == asked));
    client.close().unwrap();
    server.join();
}

#[test]
fn messages_carry_all_that_the_broker_sent_with_them() {
    let server = Server::start(|mut connection| {
        connection.accept_subscribe();
        connection.name_topic(7, "orders.eu");
        connection.deliver(7, 41, &[b"a", b"", b"c"]);
        let headers: [(&[u8], &[u8]); 2] = [(b"reply-to", b"answers.1"), (b"x", b"")];
        connection.send(|out| {
            out.extend_from_slice(&delivery_with_headers(7, 44, &headers, b"d"));
            encode::gap(out, TopicId(7), 0, Sequence(45), 3, protocol::GapReason::Overflow);
        });
        connection.until_close();
    });
    let client = Client::connect(&server.addr).unwrap();
    client.subscribe("orders.>", Default::default()).unwrap();

    let Event::Messages(messages) = client.recv().unwrap() else { panic!("messages") };
    assert_eq!((&**messages.topic(), messages.len()), ("orders.eu", 3));
    let seen: Vec<_> = messages.iter().map(|message| (message.sequence, message.payload)).collect();
    assert_eq!(seen, [(41, &b"a"[..]), (42, b""), (43, b"c")]);
    let first = messages.iter().next().unwrap();
    assert_eq!((first.topic, first.timestamp_ns), ("orders.eu", 1_700_000_000_000_000_000));
    assert_eq!(first.ttl, Some(Duration::from_millis(250)));
    assert_eq!(first.headers.count(), 0);
    assert_eq!(messages.payload_bytes(&first), "a");

    let Event::Messages(messages) = client.recv().unwrap() else { panic!("messages") };
    let message = messages.iter().next().unwrap();
    let headers: Vec<_> = message.headers.collect();
    assert_eq!(headers, [(&b"reply-to"[..], &b"answers.1"[..]), (b"x", b"")]);
    assert_eq!((message.sequence, message.payload), (44, &b"d"[..]));

    let Event::Gap(gap) = client.recv().unwrap() else { panic!("a gap") };
    assert_eq!((&*gap.topic, gap.first, gap.last(), gap.messages), ("orders.eu", 45, 47, 3));
    assert_eq!(gap.reason, GapReason::Overflow);
    assert!(client.try_recv().unwrap().is_none());
    client.close().unwrap();
    server.join();
}

/// Goal: a caller that receives late, from a queue of few events and bytes, misses nothing.
/// Method: the server sends far more than the bounds; the caller begins when all of that is on its
/// way, or the socket is full.
#[test]
fn bounded_event_queue_loses_nothing() {
    const FRAMES: u64 = 2_000;
    let server = Server::start(|mut connection| {
        connection.accept_subscribe();
        connection.name_topic(7, "a");
        for sequence in 1..=FRAMES {
            connection.deliver(7, sequence, &[&[sequence as u8; 10_000]]);
        }
        connection.until_close();
    });
    let options = ClientOptions::new().events_max(4).event_bytes_max(30_000);
    let client = options.connect(&server.addr).unwrap();
    client.subscribe("a", Default::default()).unwrap();
    for sequence in 1..=FRAMES {
        assert_eq!(payloads(&client), [vec![sequence as u8; 10_000]]);
    }
    client.close().unwrap();
    server.join();
}

/// Goal: a client whose caller receives nothing is there for the broker, and stuck for its caller.
/// Method: a flush waits behind more events than the bound, for longer than it takes the client to say
/// PONG.
#[test]
fn a_client_whose_event_queue_is_full_says_pong_and_its_calls_still_time_out() {
    let server = Server::start(|mut connection| {
        connection.accept_subscribe();
        connection.name_topic(7, "a");
        for sequence in 1..=10 {
            connection.deliver(7, sequence, &[b"x"]);
        }
        connection.expect_ping();
        let mut pongs = 0;
        while let Some(frame) = connection.next().filter(|frame| frame[4] != Kind::Close as u8) {
            assert_eq!(frame[4], Kind::Pong as u8);
            pongs += 1;
        }
        pongs
    });
    let options = ClientOptions::new().events_max(2).request_timeout(Duration::from_millis(2_500));
    let client = options.connect(&server.addr).unwrap();
    client.subscribe("a", Default::default()).unwrap();
    let failure = error(client.flush()).to_string();
    assert!(failure.contains("events wait for this client to receive them"), "{failure}");
    drop(client);
    assert!(server.join() > 0, "it was heard");
}

/// Goal: a flush behind a full event queue fails with a remedy instead of hanging.
/// Method: more events than the bound are sent before the PONG, and nobody receives.
#[test]
fn flush_behind_events_that_nobody_receives_names_the_cause() {
    let server = Server::start(|mut connection| {
        connection.accept_subscribe();
        connection.name_topic(7, "a");
        for sequence in 1..=10 {
            connection.deliver(7, sequence, &[b"x"]);
        }
        let ping = connection.expect_ping();
        connection.send(|out| encode::pong(out, ping));
        connection.until_close();
    });
    let client = ClientOptions::new().events_max(2).connect(&server.addr).unwrap();
    client.subscribe("a", Default::default()).unwrap();
    // Before the events have arrived, a short flush fails because the answer is missing.
    loop {
        let failure = error(client.flush_timeout(Duration::from_millis(10))).to_string();
        if failure.contains("events wait for this client to receive them") {
            break;
        }
    }
    for _ in 0..10 {
        assert_eq!(payloads(&client), [b"x"]);
    }
    client.close().unwrap();
    server.join();
}

#[test]
fn ping_of_the_server_is_answered() {
    let server = Server::start(|mut connection| {
        connection.send(|out| encode::ping(out, 77));
        let frame = connection.next().expect("PONG");
        assert_eq!(client_frame(&frame, 0), Ok(ClientFrame::Pong { opaque: 77 }));
        connection.send(|out| encode::goodbye(out, "answered"));
    });
    let client = Client::connect(&server.addr).unwrap();
    assert!(matches!(client.recv(), Ok(Event::Goodbye { .. })));
    server.join();
}
