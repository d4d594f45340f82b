//! How a connection begins and ends.

use std::io::Write;
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::Duration;

use blipmq::protocol::{CoreId, GapReason, Kind, Reject, RequestId, Sequence, TopicId, encode};
use blipmq_client::{Client, ClientError, ClientOptions, Event};

use crate::support::{Connection, MESSAGE_LEN_MAX, Server, delivery};
use crate::{error, payloads};

// --- connecting ---

#[test]
fn connect_returns_what_the_broker_announced() {
    let server = Server::start(Connection::until_close);
    let client = Client::connect(&server.addr).unwrap();
    let info = client.server_info();
    assert_eq!((info.server.as_str(), info.server_id, info.shards), ("scripted/1", 0xfeed, 2));
    assert_eq!(info.message_len_max, MESSAGE_LEN_MAX);
    drop(client);
    server.join();
}

#[test]
fn error_of_a_refused_connection_names_the_address_and_a_remedy() {
    // A port that was free a moment ago, on which nothing listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = error(Client::connect(&addr));
    assert!(matches!(error, ClientError::CannotConnect { .. }), "{error}");
    assert!(error.to_string().contains(&addr) && error.to_string().contains("start one with"));
}

#[test]
fn malformed_address_is_refused_before_connecting() {
    assert!(matches!(error(Client::connect("no-port")), ClientError::BadAddress { .. }));
}

#[test]
fn fatal_error_instead_of_welcome_is_reported_with_its_code() {
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
fn connect_gives_up_on_a_server_that_never_sends_welcome() {
    let (done, wait) = mpsc::channel::<()>();
    let server = Server::raw(move |_connection| wait.recv());
    let options = ClientOptions::new().connect_timeout(Duration::from_millis(20));
    assert!(matches!(error(options.connect(&server.addr)), ClientError::NoWelcome { .. }));
    drop(done);
    let _ = server.join();
}

// --- the end of a connection ---

#[test]
fn close_delivers_queued_messages_to_a_client_that_keeps_receiving() {
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
fn dropping_a_client_sends_published_messages_and_close() {
    let server = Server::start(Connection::serve_publisher);
    let client = Client::connect(&server.addr).unwrap();
    let topic = client.topic("a").unwrap();
    topic.publish(b"x").unwrap();
    drop(client);
    assert!(matches!(error(topic.publish(b"y")), ClientError::Closed));
    assert_eq!(server.join(), [("a".to_owned(), b"x".to_vec())]);
}

#[test]
fn goodbye_is_an_event_and_the_reason_for_the_end() {
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
fn lost_connection_fails_a_waiting_flush_a_waiting_subscribe_and_later_calls() {
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

/// Goal: a publisher whose connection the broker ended gets the reason, not a failed write.
/// Method: the broker sends ERROR, then closes with published bytes unread, so that writes fail.
#[test]
fn publisher_whose_writes_fail_gets_the_fatal_error_of_the_broker() {
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
fn every_malformed_or_unexpected_frame_ends_the_connection_with_its_reason() {
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
    let request = RequestId(9);
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
