//! What survives the end of a connection, and how the rest is reported.
//!
//! The policies have short delays to make the tests fast; no order of events depends on them.

use std::time::Duration;

use crate::support::broker::Broker;
use crate::support::{Connection, Server, delivery, delivery_to};
use crate::{messages, server_that_closes_after_the_first_messages};
use blipmq::protocol::{Reject, encode};
use blipmq_client::{
    Client, ClientError, ClientOptions, Event, GapReason, PublishOptions, ReconnectPolicy,
    SubscribeOptions, Subscription,
};

const LONG: Duration = Duration::from_secs(600);

fn connect(addr: &str) -> Client {
    let policy = ReconnectPolicy::new()
        .first_delay(Duration::from_millis(1))
        .delay_max(Duration::from_millis(20));
    ClientOptions::new().reconnect(policy).connect(addr).unwrap()
}

/// Receives the events of a reconnect. Returns the messages that `Disconnected` counted, and whether the
/// server is the same.
#[track_caller]
fn reconnected(client: &Client) -> (u64, bool) {
    let unconfirmed = match client.recv() {
        Ok(Event::Disconnected { unconfirmed, .. }) => unconfirmed,
        other => panic!("the end was due, got {other:?}"),
    };
    match client.recv() {
        Ok(Event::Reconnected { same_server }) => (unconfirmed, same_server),
        other => panic!("a new connection was due, got {other:?}"),
    }
}

#[track_caller]
fn resubscribed(client: &Client) -> (Subscription, bool) {
    match client.recv() {
        Ok(Event::Resubscribed { subscription, resumed }) => (subscription, resumed),
        other => panic!("a subscription was due, got {other:?}"),
    }
}

// --- subscriptions ---

/// Goal: a lost connection neither loses nor repeats a message.
/// Method: the next connection replays the messages published meanwhile, under another topic id.
#[test]
fn subscription_that_resumes_continues_behind_the_last_message() {
    let server = Server::listening(|listener| {
        let mut connection = listener.accept();
        connection.welcome();
        let first = connection.accept_subscribe();
        connection.name_topic(7, "a");
        connection.deliver(7, 1, &[b"1", b"2"]);
        drop(connection);
        let mut connection = listener.accept();
        connection.welcome();
        let again = connection.expect_subscribe(|asked| {
            assert_eq!((asked.pattern, asked.start, asked.start_argument), ("a", 2, 3));
        });
        assert_eq!(first, again);
        connection.send(|out| encode::subscribed(out, again));
        connection.name_topic(9, "a");
        connection.send(|out| out.extend_from_slice(&delivery_to(again, delivery(9, 3, &[b"3"]))));
        connection.deliver(9, 4, &[b"4"]);
        connection.until_close();
    });
    let client = connect(&server.addr);
    let options = SubscribeOptions::new().resume(true);
    let subscription = client.subscribe("a", options).unwrap();
    assert_eq!(messages(&client).len(), 2);
    assert_eq!(reconnected(&client), (0, true));
    assert_eq!(resubscribed(&client), (subscription.clone(), true));
    let retained = messages(&client);
    assert_eq!(retained.subscription(), Some(&subscription));
    assert_eq!(retained.iter().next().unwrap().sequence, 3);
    assert_eq!(messages(&client).iter().next().unwrap().sequence, 4);
    client.close().unwrap();
    server.join();
}

#[test]
fn messages_that_a_pattern_missed_are_reported_with_the_next_message_of_each_known_topic() {
    let server = Server::listening(|listener| {
        let mut connection = listener.accept();
        connection.welcome();
        connection.accept_subscribe();
        connection.name_topic(7, "a.x");
        connection.deliver(7, 1, &[b"1", b"2"]);
        for begin in [5, 7] {
            drop(connection);
            connection = listener.accept();
            connection.welcome();
            let again = connection.expect_subscribe(|asked| assert_eq!(asked.start, 0));
            connection.send(|out| encode::subscribed(out, again));
            connection.name_topic(8, "a.new");
            connection.deliver(8, 40, &[b"40"]);
            connection.name_topic(7, "a.x");
            connection.deliver(7, begin, &[b"x", b"y"]);
        }
        connection.until_close();
    });
    let client = connect(&server.addr);
    client.subscribe("a.*", SubscribeOptions::new().resume(true)).unwrap();
    assert_eq!(messages(&client).len(), 2);

    assert_eq!(reconnected(&client), (0, true));
    assert!(!resubscribed(&client).1);
    assert_eq!(&**messages(&client).topic(), "a.new");
    let Event::Gap(gap) = client.recv().unwrap() else { panic!("a gap") };
    assert_eq!((&*gap.topic, gap.first, gap.last()), ("a.x", 3, 4));
    assert_eq!(gap.reason, GapReason::Disconnected);
    assert_eq!(messages(&client).iter().next().unwrap().sequence, 5);

    // The second time no message of `a.x` is missed, and the server repeats the one of `a.new`.
    assert_eq!(reconnected(&client), (0, true));
    assert!(!resubscribed(&client).1);
    assert_eq!(messages(&client).len(), 1);
    assert_eq!(messages(&client).iter().next().unwrap().sequence, 7);
    client.close().unwrap();
    server.join();
}

#[test]
fn restarted_broker_is_reported_and_serves_the_subscriptions_and_topics_of_before() {
    let broker = Broker::start();
    let client = connect(&broker.addr);
    let server_id = client.server_info().server_id;
    client.subscribe("a.>", SubscribeOptions::new().resume(true)).unwrap();
    let topic = client.topic("a.b").unwrap();
    topic.publish("before").unwrap();
    assert_eq!(messages(&client).iter().next().unwrap().sequence, 1);
    client.flush().unwrap();

    let broker = broker.restart();
    assert_eq!(reconnected(&client), (0, false));
    assert_ne!(client.server_info().server_id, server_id);
    resubscribed(&client);
    topic.publish("after").unwrap();
    let messages = messages(&client);
    let message = messages.iter().next().unwrap();
    assert_eq!((message.sequence, message.payload), (1, &b"after"[..]));

    client.close().unwrap();
    drop(broker);
}

// --- publishing ---

/// Goal: unconfirmed messages are reported once and not sent again; messages published meanwhile
/// arrive.
#[test]
fn unconfirmed_messages_are_reported_and_later_ones_arrive() {
    let server = server_that_closes_after_the_first_messages();
    let client = connect(&server.addr);
    let topic = client.topic("a").unwrap();
    let ticket = topic.begin_publish_acked("lost?", PublishOptions::new()).unwrap();
    let failure = client.flush().unwrap_err();
    assert!(matches!(failure, ClientError::PossiblyLost { messages: 1 }), "{failure}");
    assert!(matches!(ticket.wait(), Err(ClientError::PossiblyLost { messages: 1 })));
    topic.publish("arrives").unwrap();
    client.flush().expect("the loss is reported already");
    assert_eq!(reconnected(&client), (1, true));
    client.close().unwrap();
    assert_eq!(server.join(), [("a".to_owned(), b"arrives".to_vec())]);
}

#[test]
fn closing_without_a_connection_reports_the_messages_that_were_not_sent() {
    let server = Server::start(drop);
    let policy = ReconnectPolicy::new().first_delay(LONG).delay_max(LONG);
    let client = ClientOptions::new().reconnect(policy).connect(&server.addr).unwrap();
    assert!(matches!(client.recv(), Ok(Event::Disconnected { unconfirmed: 0, .. })));
    client.topic("a").unwrap().publish("x").unwrap();
    assert!(matches!(client.close(), Err(ClientError::Unsent { messages: 1 })));
    assert!(matches!(client.recv(), Err(ClientError::Closed)));
    server.join();
}

// --- the end ---

#[test]
fn client_ends_with_the_last_failure_after_its_last_attempt() {
    let server = Server::start(drop);
    let policy = ReconnectPolicy::new().first_delay(Duration::from_millis(1)).attempts_max(3);
    let options = ClientOptions::new().reconnect(policy);
    let client = options.connect(&server.addr).unwrap();
    // The listener ends with the script, so that the next connection is refused.
    assert!(matches!(client.recv(), Ok(Event::Disconnected { .. })));
    assert!(matches!(
        client.recv(),
        Err(ClientError::CannotConnect { .. } | ClientError::ConnectionLost(_))
    ));
    server.join();
}

#[test]
fn permanent_refusal_ends_the_client_and_a_temporary_one_does_not() {
    let server = Server::listening(|listener| {
        let mut connection = listener.accept();
        connection.welcome();
        drop(connection);
        for reject in [Reject::TooManyConnections { connections_max: 3 }, Reject::AuthRequired] {
            let mut connection = listener.accept();
            connection.next();
            connection.send(|out| encode::error(out, &reject));
        }
    });
    let client = connect(&server.addr);
    assert!(matches!(client.recv(), Ok(Event::Disconnected { .. })));
    match client.recv() {
        Err(ClientError::EndedByServer(error)) => assert_eq!(error.code, 4010),
        other => panic!("{other:?}"),
    }
    server.join();
}

#[test]
fn without_a_policy_the_end_of_the_connection_is_the_end_of_the_client() {
    let server = Server::start(|connection: Connection| drop(connection));
    let client = Client::connect(&server.addr).unwrap();
    assert!(matches!(client.recv(), Err(ClientError::ClosedByServer { .. })));
    server.join();
}
