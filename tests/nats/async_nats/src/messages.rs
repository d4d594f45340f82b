//! Publishing and subscribing.

use std::sync::atomic::Ordering;

use async_nats::HeaderMap;
use async_nats::client::PublishErrorKind;
use futures_util::future::join_all;

use crate::server::start;
use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn connects_and_learns_about_the_broker() {
    let server = start("none");
    let client = connect_with(&server, options().name("me")).await;
    let info = client.server_info();
    assert_eq!(client.max_payload(), 1024 * 1024);
    assert_eq!(info.max_payload, 1024 * 1024);
    assert!(info.headers);
    assert_eq!(info.proto, 1);
    assert!(!info.server_id.is_empty());
    assert_eq!(info.version.split('.').count(), 3, "{}", info.version);
    assert_eq!(client.connection_state(), async_nats::connection::State::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_as_published() {
    let server = start("none");
    let (subscriber, publisher) = (connect(&server).await, connect(&server).await);
    let mut subscription = subscribe(&subscriber, "orders.eu").await;
    let payload: Vec<u8> = (0..=255).chain(*b"\r\nPING\r\n").collect();
    let published =
        publisher.publish_with_reply("orders.eu", "answers.here", payload.clone().into());
    published.await.expect("the client takes it");
    let message = take_one(&mut subscription).await;
    assert_eq!(message.subject.as_str(), "orders.eu");
    assert_eq!(message.reply.as_deref(), Some("answers.here"));
    assert_eq!(message.payload, payload);
    assert_eq!(message.headers, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_payload_arrives() {
    let server = start("none");
    let client = connect(&server).await;
    let mut subscription = subscribe(&client, "empty").await;
    let mut headers = HeaderMap::new();
    headers.insert("Key", "value");
    publish(&client, "empty", "").await;
    let published = client.publish_with_headers("empty", headers.clone(), "".into());
    published.await.expect("the client takes it");
    let got = take(&mut subscription, 2).await;
    assert_eq!(texts(&got), ["", ""]);
    assert_eq!(got[1].headers, Some(headers));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_stands_for_one_token() {
    let server = start("none");
    let client = connect(&server).await;
    let mut subscription = subscribe(&client, "a.*.c").await;
    for subject in ["a.c", "a.b.c.d", "a.b.b.c", "a.1.c", "b.1.c", "a.2.c"] {
        publish(&client, subject, "").await;
    }
    assert_eq!(subjects(&take(&mut subscription, 2).await), ["a.1.c", "a.2.c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greater_than_stands_for_one_token_or_more() {
    let server = start("none");
    let client = connect(&server).await;
    let mut subscription = subscribe(&client, "a.>").await;
    for subject in ["a", "b.a.c", "a.b", "ab.c", "a.b.c.d"] {
        publish(&client, subject, "").await;
    }
    assert_eq!(subjects(&take(&mut subscription, 2).await), ["a.b", "a.b.c.d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_goes_to_one_member_of_a_queue_group() {
    const TOTAL: usize = 1000;
    let server = start("none");
    let (sender, mut receiver) = mpsc::unbounded_channel();
    for member in 0..2 {
        let (client, sender) = (connect(&server).await, sender.clone());
        let subscribed = client.queue_subscribe("jobs", "workers".into()).await;
        let mut subscription = subscribed.expect("the client takes it");
        settled(&client).await;
        tokio::spawn(async move {
            while let Some(message) = subscription.next().await {
                let _ = sender.send((member, text(&message).parse::<usize>().expect("a number")));
            }
        });
    }
    let beside = connect(&server).await;
    let mut beside = subscribe(&beside, "jobs").await;
    let publisher = connect(&server).await;
    for job in numbers(TOTAL) {
        publish(&publisher, "jobs", job).await;
    }
    let (mut jobs, mut by_member) = (Vec::new(), [0, 0]);
    while jobs.len() < TOTAL {
        let (member, job) = within(receiver.recv()).await.expect("members go on");
        by_member[member] += 1;
        jobs.push(job);
    }
    jobs.sort();
    assert_eq!(jobs, (0..TOTAL).collect::<Vec<_>>());
    assert!(by_member[0] > 0 && by_member[1] > 0, "{by_member:?}");
    assert_eq!(texts(&take(&mut beside, TOTAL).await), numbers(TOTAL));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_echo_keeps_own_messages_away() {
    let server = start("none");
    let quiet = connect_with(&server, options().no_echo()).await;
    let other = connect(&server).await;
    let mut subscription = subscribe(&quiet, "echo").await;
    publish(&quiet, "echo", "own").await;
    settled(&quiet).await;
    publish(&other, "echo", "of another").await;
    assert_eq!(text(&take_one(&mut subscription).await), "of another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_returns_when_everything_before_was_done() {
    let server = start("none");
    let (subscriber, publisher) = (connect(&server).await, connect(&server).await);
    for (turn, subject) in ["flushed.0", "flushed.1", "flushed.2"].into_iter().enumerate() {
        // The flush of this client waits for the system, not for the broker: see `settled`.
        let mut subscription = subscribe(&subscriber, subject).await;
        publish(&publisher, subject, turn.to_string()).await;
        within(publisher.flush()).await.expect("it is connected");
        assert_eq!(text(&take_one(&mut subscription).await), turn.to_string());
    }
    for flushed in within(join_all((0..100).map(|_| subscriber.flush()))).await {
        flushed.expect("it is connected");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_ends_after_its_maximum() {
    let server = start("none");
    let client = connect(&server).await;
    let mut limited = client.subscribe("limited").await.expect("the client takes it");
    limited.unsubscribe_after(3).await.expect("the client takes it");
    let mut beside = subscribe(&client, "limited").await;
    for number in numbers(6) {
        publish(&client, "limited", number).await;
    }
    take(&mut beside, 6).await;
    assert_eq!(texts(&take_rest(&mut limited).await), ["0", "1", "2"]);
    // The broker has removed it as well: without the other subscription none is left.
    beside.unsubscribe().await.expect("the client takes it");
    nobody_answers(&client, "limited").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_under_load_lose_nothing_and_keep_their_order() {
    const EACH: usize = 5000;
    let server = start("none");
    for (pattern, subjects) in [("one", ["one", "one"]), ("two.*", ["two.0", "two.1"])] {
        let subscriber = connect(&server).await;
        let mut subscription = subscribe(&subscriber, pattern).await;
        // The handles stay to the end: the flush of this client may return before everything is written,
        // and dropping the last handle would lose the rest.
        let publishers = [connect(&server).await, connect(&server).await];
        for (number, subject) in subjects.into_iter().enumerate() {
            let publisher = publishers[number].clone();
            tokio::spawn(async move {
                for count in 0..EACH {
                    let filler = "x".repeat(100);
                    publish(&publisher, subject, format!("{number} {count} {filler}")).await;
                }
                publisher.flush().await.expect("it is connected");
            });
        }
        let mut got = [Vec::new(), Vec::new()];
        for message in take(&mut subscription, 2 * EACH).await {
            let mut words = text(&message).split(' ').map(str::to_owned);
            let number: usize = words.next().expect("a number").parse().expect("a number");
            got[number].push(words.next().expect("a count"));
        }
        assert!(got[0] == numbers(EACH) && got[1] == numbers(EACH), "{got:?}");
        assert_eq!(subscriber.statistics().connects.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_arrive_as_published() {
    let server = start("none");
    let client = connect(&server).await;
    let mut subscription = subscribe(&client, "headers").await;
    let mut headers = HeaderMap::new();
    headers.append("Key", "value");
    headers.append("Key", "another value");
    headers.append("key", "Another case");
    headers.append("Empty", "");
    headers.append("Url", "http://[::1]:4222/?a=b");
    let published = client.publish_with_reply_and_headers(
        "headers",
        "answers.here",
        headers.clone(),
        "payload".into(),
    );
    published.await.expect("the client takes it");
    let message = take_one(&mut subscription).await;
    assert_eq!(message.headers, Some(headers));
    assert_eq!(text(&message), "payload");
    assert_eq!(message.reply.as_deref(), Some("answers.here"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_of_the_limit_arrives() {
    let server = start("none");
    let client = connect(&server).await;
    let mut subscription = subscribe(&client, "large").await;
    let payload: Vec<u8> = (0..client.max_payload()).map(|at| (at * 31 + at / 256) as u8).collect();
    client.publish("large", payload.clone().into()).await.expect("the client takes it");
    assert!(take_one(&mut subscription).await.payload == payload);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_refuses_a_longer_payload() {
    let server = start("none");
    let client = connect(&server).await;
    let payload = vec![0; client.max_payload() + 1];
    let error = client.publish("large", payload.into()).await.expect_err("it is too long");
    assert_eq!(error.kind(), PublishErrorKind::MaxPayloadExceeded);
    settled(&client).await;
}
