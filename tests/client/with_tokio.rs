//! The client with `async` functions behaves like the blocking one, and never blocks its thread.
//!
//! Every test has a runtime of one thread, on which a blocking call would stop all tasks.

use std::time::Duration;

use crate::server_that_closes_after_the_first_messages;
use crate::support::broker::Broker;
use crate::support::{Connection, Server};
use blipmq::protocol::{Sequence, TopicId, encode};
use blipmq_client::tokio::Client;
use blipmq_client::{
    ClientError, ClientOptions, Event, PublishOptions, ReconnectPolicy, SubscribeOptions,
};

const LONG: Duration = Duration::from_secs(60);

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// Goal: a publisher that waits for room and a subscriber share one thread.
/// Method: a buffer of a few messages, many of them, one task each.
#[test]
fn messages_pass_through_the_broker_and_back_on_one_thread() {
    const MESSAGES: u64 = 5_000;
    let broker = Broker::start();
    run(async {
        let options = ClientOptions::new().outgoing_bytes_max(1_000).events_max(2);
        let client = Client::connect_with(options, &broker.addr).await.unwrap();
        let patterns = SubscribeOptions::new().capacity(0);
        let subscription = client.subscribe("a.*", patterns).await.unwrap();
        let publisher = client.clone();
        let publishing = tokio::spawn(async move {
            let topic = publisher.topic("a.b").unwrap();
            for number in 0..MESSAGES {
                topic.publish(number.to_le_bytes()).await.unwrap();
            }
            publisher.flush().await.unwrap();
        });
        let mut seen = 0;
        while seen < MESSAGES {
            match client.recv().await.unwrap() {
                Event::Messages(messages) => seen += messages.len() as u64,
                Event::Gap(gap) => seen += gap.messages,
                other => panic!("{other:?}"),
            }
        }
        publishing.await.unwrap();
        client.unsubscribe(&subscription).await.unwrap();
        assert!(client.try_recv().unwrap().is_none());
        client.close().await.unwrap();
        assert!(matches!(client.recv().await, Err(ClientError::Closed)));
    });
}

#[test]
fn many_requests_at_once_get_their_replies_and_one_given_up_frees_its_slot() {
    let broker = Broker::start();
    run(async {
        let client = Client::connect(&broker.addr).await.unwrap();
        client.subscribe("upper", Default::default()).await.unwrap();
        let replier = client.clone();
        let replying = tokio::spawn(async move {
            loop {
                let Event::Messages(messages) = replier.recv().await.unwrap() else { continue };
                for message in messages.iter() {
                    let reply = message.payload.to_ascii_uppercase();
                    replier.reply(&message, reply).await.unwrap();
                }
            }
        });
        let short = Duration::from_millis(1);
        let nobody = client.request("nobody", "x", short).await.unwrap_err();
        assert!(matches!(nobody, ClientError::NoReply { .. } | ClientError::Timeout { .. }));
        let requests = (0..100).map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let reply = client.request("upper", format!("n{number}"), LONG).await.unwrap();
                assert_eq!(reply.payload, format!("N{number}"));
            })
        });
        for request in requests.collect::<Vec<_>>() {
            request.await.unwrap();
        }
        replying.abort();
    });
}

#[test]
fn acked_messages_get_their_sequences_and_share_frames() {
    let server = Server::start(|mut connection| {
        connection.accept_open(7);
        let mut sequence = 1;
        while sequence <= 10 {
            let frame = connection.expect_messages().header;
            let count = u32::from(frame.count);
            connection.send(|out| {
                encode::ack(out, TopicId(7), frame.sequence, Sequence(sequence), count);
            });
            sequence += u64::from(count);
        }
        connection.until_close();
    });
    run(async {
        let client = Client::connect(&server.addr).await.unwrap();
        let topic = client.topic("a").unwrap();
        let mut tickets = Vec::new();
        for _ in 0..10 {
            let ticket = topic.begin_publish_acked("x", PublishOptions::new());
            tickets.push(ticket.await.unwrap());
        }
        for (ticket, sequence) in tickets.iter().zip(1..) {
            assert_eq!(ticket.wait().await.unwrap().sequence, sequence);
        }
        client.close().await.unwrap();
    });
    server.join();
}

#[test]
fn wait_without_an_answer_times_out_and_a_dropped_subscribe_ends_its_subscription() {
    let server = Server::start(|mut connection| {
        connection.expect_ping();
        let dropped = connection.expect_subscribe(|_| {});
        assert_eq!(connection.expect_unsubscribe(), dropped);
        connection.until_close();
    });
    run(async {
        let options = ClientOptions::new().request_timeout(Duration::from_millis(20));
        let client = Client::connect_with(options, &server.addr).await.unwrap();
        assert!(matches!(client.flush().await, Err(ClientError::Timeout { .. })));
        let subscribing = client.subscribe("a", Default::default());
        assert!(tokio::time::timeout(Duration::ZERO, subscribing).await.is_err());
        client.begin_close();
    });
    server.join();
}

#[test]
fn tasks_that_wait_see_a_reconnect() {
    let server = server_that_closes_after_the_first_messages();
    run(async {
        let policy = ReconnectPolicy::new().first_delay(Duration::from_millis(1));
        let options = ClientOptions::new().reconnect(policy);
        let client = Client::connect_with(options, &server.addr).await.unwrap();
        let topic = client.topic("a").unwrap();
        topic.publish("lost?").await.unwrap();
        assert!(matches!(client.flush().await, Err(ClientError::PossiblyLost { messages: 1 })));
        topic.publish("arrives").await.unwrap();
        client.flush().await.unwrap();
        assert!(matches!(client.recv().await, Ok(Event::Disconnected { unconfirmed: 1, .. })));
        assert!(matches!(client.recv().await, Ok(Event::Reconnected { same_server: true })));
        client.close().await.unwrap();
    });
    assert_eq!(server.join(), [("a".to_owned(), b"arrives".to_vec())]);
}

#[test]
fn dropping_the_last_clone_sends_published_messages() {
    let server = Server::start(Connection::serve_publisher);
    run(async {
        let client = Client::connect(&server.addr).await.unwrap();
        client.topic("a").unwrap().publish("x").await.unwrap();
    });
    assert_eq!(server.join(), [("a".to_owned(), b"x".to_vec())]);
}
