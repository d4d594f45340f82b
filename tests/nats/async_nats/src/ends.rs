//! Drains, and brokers that end.

use std::sync::atomic::Ordering;

use crate::server::start;
use crate::*;

/// Waits until messages have reached the client. Unlike other clients this one does not wait for the PONG
/// of the broker, so a drain may miss messages under way.
async fn arrived(client: &Client, count: u64) {
    let statistics = client.statistics();
    within(async {
        while statistics.in_messages.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_subscription_gets_what_was_sent_before() {
    let server = start("none");
    let (subscriber, publisher) = (connect(&server).await, connect(&server).await);
    let mut subscription = subscribe(&subscriber, "drained").await;
    let before = subscriber.statistics().in_messages.load(Ordering::Relaxed);
    for number in numbers(1000) {
        publish(&publisher, "drained", number).await;
    }
    arrived(&subscriber, before + 1000).await;
    subscription.drain().await.expect("the client takes it");
    assert_eq!(texts(&take_rest(&mut subscription).await), numbers(1000));
    settled(&subscriber).await;
    nobody_answers(&publisher, "drained").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_connection_gets_and_sends_what_was_under_way_and_closes() {
    let server = start("none");
    let (draining, mut events) = watched(&server, options()).await;
    let other = connect(&server).await;
    let mut answers = subscribe(&other, "answers").await;
    let mut questions = subscribe(&draining, "questions").await;
    let before = draining.statistics().in_messages.load(Ordering::Relaxed);
    for number in numbers(100) {
        publish(&other, "questions", number.clone()).await;
        publish(&draining, "answers", number).await;
    }
    arrived(&draining, before + 100).await;
    draining.drain().await.expect("the client takes it");
    events.is(Event::Draining).await;
    events.is(Event::Closed).await;
    assert_eq!(texts(&take_rest(&mut questions).await), numbers(100));
    assert_eq!(texts(&take(&mut answers, 100).await), numbers(100));
    // The broker removes the subscription some time later.
    within(async { while other.request("questions", "".into()).await.is_ok() {} }).await;
    nobody_answers(&other, "questions").await;
}

async fn renews(end: fn(&mut Server)) {
    let mut server = start("none");
    let (client, mut events) = watched(&server, options()).await;
    events.is(Event::Connected).await;
    let mut renewed = subscribe(&client, "renewed.*").await;
    let service = client.queue_subscribe("service", "workers".into()).await;
    answer(client.clone(), service.expect("the client takes it"), |_| "here".into());
    publish(&client, "renewed.before", "1").await;
    take_one(&mut renewed).await;
    end(&mut server);
    events.is(Event::Disconnected).await;
    server.start_again();
    events.is(Event::Connected).await;
    settled(&client).await;
    let other = connect(&server).await;
    publish(&other, "renewed.after", "2").await;
    let message = take_one(&mut renewed).await;
    assert_eq!((message.subject.as_str(), text(&message)), ("renewed.after", "2"));
    for asker in [other, client] {
        assert_eq!(text(&ask(&asker, "service", String::new()).await), "here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_subscriptions_are_renewed() {
    renews(Server::kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_subscriptions_are_renewed() {
    renews(Server::stop).await;
}
