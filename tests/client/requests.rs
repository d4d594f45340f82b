//! Requests and replies: through the real broker, and with a scripted server where the case is a matter
//! of timing.

use std::time::Duration;

use crate::support::broker::Broker;
use crate::support::{Connection, Server, delivery, delivery_with_headers};
use blipmq_client::{Client, ClientError, Event, PublishOptions};

const LONG: Duration = Duration::from_secs(60);

/// Replies to so many requests, with the payload of the request and `suffix`.
fn reply_to(client: &Client, mut requests: usize, suffix: &[u8]) {
    while requests > 0 {
        let Event::Messages(messages) = client.recv().unwrap() else { panic!("messages") };
        for message in messages.iter() {
            client.reply(&message, [message.payload, suffix].concat()).unwrap();
            requests -= 1;
        }
    }
    client.flush().unwrap();
}

#[test]
fn each_of_many_requests_at_once_gets_its_own_reply() {
    const THREADS: usize = 4;
    const EACH: usize = 100;
    let broker = Broker::start();
    let replier = Client::connect(&broker.addr).unwrap();
    replier.subscribe("upper.*", Default::default()).unwrap();
    let client = Client::connect(&broker.addr).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| reply_to(&replier, THREADS * EACH, b"!"));
        for thread in 0..THREADS {
            let client = client.clone();
            scope.spawn(move || {
                for number in 0..EACH {
                    let payload = format!("{thread}.{number}");
                    let topic = format!("upper.{thread}");
                    let reply = client.request(&topic, &payload, LONG).unwrap();
                    assert_eq!(reply.payload, format!("{payload}!"));
                }
            });
        }
    });
    assert!(client.try_recv().unwrap().is_none(), "replies are no events");
}

#[test]
fn one_connection_can_reply_to_its_own_requests() {
    let broker = Broker::start();
    let client = Client::connect(&broker.addr).unwrap();
    client.subscribe("a", Default::default()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| reply_to(&client, 2, b""));
        for payload in ["one", ""] {
            assert_eq!(client.request("a", payload, LONG).unwrap().payload, payload);
        }
    });
}

#[test]
fn request_without_a_reply_fails_with_its_timeout() {
    let broker = Broker::start();
    let client = Client::connect(&broker.addr).unwrap();
    let failure = client.request("nobody", "x", Duration::from_millis(20)).unwrap_err();
    assert!(matches!(failure, ClientError::NoReply { .. }), "{failure}");
    assert!(failure.to_string().starts_with("no reply to the request to `nobody` within 20 ms"));
    client.close().unwrap();
}

#[test]
fn reply_to_a_message_without_reply_topic_is_refused() {
    let broker = Broker::start();
    let client = Client::connect(&broker.addr).unwrap();
    client.subscribe("a", Default::default()).unwrap();
    let topic = client.topic("a").unwrap();
    topic.publish("x").unwrap();
    topic.publish_with("y", PublishOptions::new().reply_to("b.*")).unwrap();
    let mut refused = Vec::new();
    while refused.len() < 2 {
        let Event::Messages(messages) = client.recv().unwrap() else { panic!("messages") };
        refused.extend(messages.iter().map(|message| client.reply(&message, "").unwrap_err()));
    }
    assert!(matches!(refused[0], ClientError::NoReplyTopic { .. }));
    assert!(matches!(refused[1], ClientError::BadTopic { .. }));
}

/// Expects a request. Returns its reply topic and its number.
fn expect_request(connection: &mut Connection) -> (String, Vec<u8>) {
    let request = connection.expect_messages();
    let topic = String::from_utf8(request.header_value("reply-to")).unwrap();
    (topic, request.header_value("correlation-id"))
}

/// Goal: the reply to a request that was given up never answers a later one on the same topic.
/// Method: the server replies to the first request, which has timed out, after it has received the
/// second one; with and without the number that a replier repeats.
#[test]
fn late_reply_answers_no_later_request() {
    let server = Server::start(|mut connection| {
        let inbox = connection.accept_subscribe();
        assert_eq!(inbox.0, 1);
        connection.accept_open(3);
        let (topic, first) = expect_request(&mut connection);
        let (again, second) = expect_request(&mut connection);
        assert_eq!(topic, again, "the slot is used again");
        assert_ne!(first, second);
        connection.name_topic(7, &topic);
        connection.send(|out| {
            for (payload, number) in [(b"late", &first), (b"next", &second)] {
                out.extend_from_slice(&delivery(7, 1, &[b"whose?"]));
                let headers: [(&[u8], &[u8]); 1] = [(b"correlation-id", number)];
                out.extend_from_slice(&delivery_with_headers(7, 2, &headers, payload));
            }
        });
        connection.until_close();
    });
    let client = Client::connect(&server.addr).unwrap();
    // Before the inbox is active, a short request fails without being sent.
    while !matches!(
        client.request("a", "x", Duration::from_millis(20)),
        Err(ClientError::NoReply { .. })
    ) {}
    assert_eq!(client.request("a", "x", LONG).unwrap().payload, "next");
    client.close().unwrap();
    server.join();
}

#[test]
fn reply_of_a_program_that_knows_reply_to_alone_is_accepted() {
    let server = Server::start(|mut connection| {
        connection.accept_subscribe();
        connection.accept_open(3);
        let (topic, _) = expect_request(&mut connection);
        connection.name_topic(7, &topic);
        connection.deliver(7, 1, &[b"plain", b"second"]);
        connection.until_close();
    });
    let client = Client::connect(&server.addr).unwrap();
    assert_eq!(client.request("a", "x", LONG).unwrap().payload, "plain");
    client.close().unwrap();
    server.join();
}
