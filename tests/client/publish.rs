//! The client against a scripted server: good paths, every failure, batching and bounds.
//!
//! Nothing here sleeps or looks at a clock: an order of things is made by frames that one side
//! sends only after it saw those of the other.

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::Duration;

use blipmq::protocol::decode::{ClientFrame, client_frame};
use blipmq::protocol::name::NameError;
use blipmq::protocol::{CoreId, GapReason, Kind, Reject, Sequence, TopicId, encode};
use blipmq_client::{
    Client, ClientError, ClientOptions, Event, Overflow, PublishOptions, PublishWindow,
    SubscribeOptions,
};
use support::{Connection, MESSAGE_LEN_MAX, Server, delivery, delivery_with_headers};

fn error<T: std::fmt::Debug>(result: Result<T, ClientError>) -> ClientError {
    result.expect_err("it must fail")
}

fn refusal(about: u32) -> Reject {
    Reject::SystemTopic { request: about, topic: "$SYS.a".to_owned() }
}

/// The payloads of the next event, which must be messages.
fn payloads(client: &Client) -> Vec<Vec<u8>> {
    match client.recv() {
        Ok(Event::Messages(messages)) => {
            messages.iter().map(|message| message.payload.to_vec()).collect()
        }
        other => panic!("messages were due, got {other:?}"),
    }
}

// --- connecting ---

#[test]
fn connect_returns_what_the_broker_said_of_itself() {
    let server = Server::start(Connection::until_close);
    let client = Client::connect(&server.addr).unwrap();
    let info = client.server_info();
    assert_eq!((info.server.as_str(), info.server_id, info.shards), ("scripted/1", 0xfeed, 2));
    assert_eq!(info.message_len_max, MESSAGE_LEN_MAX);
    drop(client);
    server.join();
}

#[test]
fn refused_connection_names_the_address_and_what_to_do() {
    // A port that was free a moment ago, with nobody listening.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = error(Client::connect(&addr));
    assert!(matches!(error, ClientError::CannotConnect { .. }), "{error}");
    assert!(error.to_string().contains(&addr) && error.to_string().contains("start one with"));
}

#[test]
fn address_that_is_none_is_refused_before_connecting() {
    assert!(matches!(error(Client::connect("no-port")), ClientError::BadAddress { .. }));
}

#[test]
fn fatal_error_instead_of_welcome_is_told_with_its_code() {
    let server = Server::raw(|mut connection| {
        connection.next();
        connection.send(|out| {
            encode::error(out, &Reject::TooManyConnections { connections_max: 3 });
        });
    });
    match error(Client::connect(&server.addr)) {
        ClientError::EndedByServer(error) => assert_eq!(error.code, 4291),
        other => panic!("{other:?}"),
    }
    server.join();
}

#[test]
fn server_of_another_protocol_is_a_clear_error() {
    let server = Server::raw(|mut connection| {
        connection.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        connection.next();
    });
    let error = error(Client::connect(&server.addr));
    assert!(error.to_string().starts_with("the server sent a frame that is not BLIP/1"), "{error}");
    server.join();
}

#[test]
fn server_that_never_says_welcome_is_given_up_on() {
    let (done, wait) = mpsc::channel::<()>();
    let server = Server::raw(move |_connection| wait.recv());
    let options = ClientOptions::new().connect_timeout(Duration::from_millis(20));
    assert!(matches!(error(options.connect(&server.addr)), ClientError::NoWelcome { .. }));
    drop(done);
    let _ = server.join();
}

// --- publishing ---

#[test]
fn publish_needs_no_answer_to_open_and_uses_the_id_once_known() {
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

/// Goal: what is published during a write shares frames, and each topic keeps its order.
/// Method: a message larger than any socket buffer holds the writer until the server reads, which
/// it does when everything is published. So there are two batches at most.
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
fn order_of_each_thread_survives_publishing_from_several() {
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

/// Goal: no more than the window is ever unacknowledged.
/// Method: the server answers a PING only when no more can come, and counts.
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
    let told = error(client.flush()).to_string();
    assert!(told.starts_with("the broker refused topic `$SYS.a`: error 4030: "), "{told}");
    assert!(matches!(error(topic.publish(b"x")), ClientError::TopicRefused { .. }));
    assert!(matches!(client.recv(), Ok(Event::Error(ClientError::TopicRefused { .. }))));
    client.flush().expect("nothing new was refused");
    client.close().unwrap();
    server.join();
}

#[test]
fn what_the_broker_would_refuse_for_sure_is_refused_before_sending() {
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

// --- subscribing and receiving ---

#[test]
fn subscription_is_asked_for_with_its_options_and_ended() {
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
fn refused_subscription_is_told_to_its_caller_or_comes_as_an_event() {
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
fn messages_come_with_everything_the_broker_says_of_them() {
    let server = Server::start(|mut connection| {
        connection.accept_subscribe();
        connection.name_topic(7, "orders.eu");
        connection.deliver(7, 41, &[b"a", b"", b"c"]);
        let headers: [(&[u8], &[u8]); 2] = [(b"reply-to", b"answers.1"), (b"x", b"")];
        connection.send(|out| {
            out.extend_from_slice(&delivery_with_headers(7, 44, &headers, b"d"));
            encode::gap(out, TopicId(7), 0, Sequence(45), 3, GapReason::Overflow);
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
    assert_eq!(gap.reason, blipmq_client::GapReason::Overflow);
    assert!(client.try_recv().unwrap().is_none());
    client.close().unwrap();
    server.join();
}

/// Goal: a caller that comes late, behind a queue of few events and bytes, misses nothing.
/// Method: the server sends far more than the bounds; the caller begins when all of it is on its
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

/// Goal: a flush behind a full event queue tells the caller what to do instead of hanging.
/// Method: more events than the bound are sent before the PONG, and nobody receives.
#[test]
fn flush_behind_events_that_nobody_receives_says_so() {
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
    // Until the events have arrived, a short flush fails for want of an answer alone.
    loop {
        let told = error(client.flush_timeout(Duration::from_millis(10))).to_string();
        if told.contains("events wait for this client to receive them") {
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

// --- the end of a connection ---

#[test]
fn close_gives_what_was_queued_to_who_keeps_receiving() {
    let server = Server::start(|mut connection| {
        connection.accept_subscribe();
        let frame = connection.next().expect("CLOSE");
        assert_eq!(frame[4], Kind::Close as u8);
        connection.name_topic(7, "a");
        connection.deliver(7, 1, &[b"last"]);
    });
    let client = Client::connect(&server.addr).unwrap();
    client.subscribe("a", Default::default()).unwrap();
    client.begin_close();
    assert_eq!(payloads(&client), [b"last"]);
    assert!(matches!(error(client.recv()), ClientError::Closed));
    assert!(matches!(error(client.topic("b")), ClientError::Closed));
    server.join();
}

#[test]
fn dropping_a_client_sends_what_was_published_and_close() {
    let server = Server::start(Connection::serve_publisher);
    let client = Client::connect(&server.addr).unwrap();
    let topic = client.topic("a").unwrap();
    topic.publish(b"x").unwrap();
    drop(client);
    assert!(matches!(error(topic.publish(b"y")), ClientError::Closed));
    assert_eq!(server.join(), [("a".to_owned(), b"x".to_vec())]);
}

#[test]
fn goodbye_is_an_event_and_the_reason_of_the_end() {
    let server = Server::start(|mut connection| {
        connection.accept_subscribe();
        connection.name_topic(7, "a");
        connection.send(|out| encode::goodbye(out, "draining"));
        connection.deliver(7, 1, &[b"last"]);
    });
    let client = Client::connect(&server.addr).unwrap();
    client.subscribe("a", Default::default()).unwrap();
    assert!(matches!(client.recv(), Ok(Event::Goodbye { reason }) if &*reason == "draining"));
    assert_eq!(payloads(&client), [b"last"]);
    let end = error(client.recv());
    assert_eq!(end.to_string(), "the broker closed the connection after saying goodbye: draining");
    assert!(matches!(error(client.recv()), ClientError::ClosedByServer { .. }));
    server.join();
}

#[test]
fn connection_lost_is_told_to_a_flush_and_a_subscribe_that_wait_and_to_later_calls() {
    let server = Server::start(|mut connection| {
        // PING and SUBSCRIBE come from two threads, in either order.
        connection.next();
        connection.next();
        // Part of a frame: the end is not one that a broker makes.
        connection.stream.write_all(&[9, 0, 0]).unwrap();
        connection.stream.shutdown(Shutdown::Both).unwrap();
    });
    let client = Client::connect(&server.addr).unwrap();
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| client.flush());
        let subscribe = scope.spawn(|| client.subscribe("a", Default::default()));
        assert!(matches!(error(flush.join().unwrap()), ClientError::ConnectionLost(_)));
        assert!(matches!(error(subscribe.join().unwrap()), ClientError::ConnectionLost(_)));
    });
    assert!(matches!(error(client.recv()), ClientError::ConnectionLost(_)));
    assert!(matches!(error(client.topic("a")), ClientError::ConnectionLost(_)));
    assert!(matches!(error(client.close()), ClientError::ConnectionLost(_)));
    server.join();
}

/// Goal: a publisher that the broker ended learns why, not that its write failed.
/// Method: the broker says ERROR, then closes with published bytes unread, so writes fail.
#[test]
fn fatal_error_is_what_a_publisher_is_told_although_its_writes_fail() {
    let server = Server::start(|mut connection| {
        connection.expect_open();
        connection.send(|out| encode::error(out, &Reject::NoMessages));
    });
    let client = ClientOptions::new().outgoing_bytes_max(4_096).connect(&server.addr).unwrap();
    let topic = client.topic("a").unwrap();
    let end = loop {
        if let Err(end) = topic.publish([0; 1_000]) {
            break end;
        }
    };
    match end {
        ClientError::EndedByServer(error) => assert_eq!(error.code, 4000),
        other => panic!("{other:?}"),
    }
    server.join();
}

#[test]
fn every_frame_that_is_wrong_or_out_of_place_ends_the_connection_with_its_reason() {
    let mut bad_flags = Vec::new();
    encode::pong(&mut bad_flags, 1);
    bad_flags[5] = 1;
    let mut bad_record = delivery(7, 1, &[b"abc"]);
    bad_record[40] = 200;
    let mut unasked_pong = Vec::new();
    encode::pong(&mut unasked_pong, 5);
    let mut unasked_ack = Vec::new();
    encode::ack(&mut unasked_ack, TopicId(7), 3, Sequence(1), 1);
    let mut unasked_topic = Vec::new();
    let request = blipmq::protocol::RequestId(9);
    encode::topic(&mut unasked_topic, request, TopicId(7), Sequence(1), CoreId(0), "a");
    let mut gap_of_no_topic = Vec::new();
    encode::gap(&mut gap_of_no_topic, TopicId(8), 0, Sequence(1), 1, GapReason::Expired);
    let rows: [(&str, Vec<u8>, &str); 9] = [
        ("too short", vec![7, 0, 0, 0], "frame_len is 7"),
        ("too long", u32::MAX.to_le_bytes().to_vec(), "frame is 4294967295 bytes"),
        ("unknown kind", vec![8, 0, 0, 0, 0x7f, 0, 0, 0], "0x7f"),
        ("flags", bad_flags, "flags 0x01"),
        ("record beyond the frame", bad_record, "record 0 of 1"),
        ("PONG", unasked_pong, "PONG 5 came without a PING"),
        ("ACK", unasked_ack, "ACK for publish 3"),
        ("TOPIC", unasked_topic, "answers request 9"),
        ("GAP", gap_of_no_topic, "topic id 8, which no TOPIC named"),
    ];
    for (name, bytes, expected) in rows {
        let server = Server::start(move |mut connection| {
            connection.name_topic(7, "a");
            connection.deliver(7, 1, &[b"before"]);
            connection.stream.write_all(&bytes).unwrap();
            connection.until_close();
        });
        let client = Client::connect(&server.addr).unwrap();
        assert_eq!(payloads(&client), [b"before"], "{name}");
        let end = error(client.recv());
        assert!(
            matches!(end, ClientError::Malformed(_) | ClientError::Unexpected(_)),
            "{name}: {end}"
        );
        assert!(end.to_string().contains(expected), "{name}: {end}");
        server.join();
    }
}
