//! Requests and replies.

use async_nats::jetstream::context::AccountErrorKind;
use async_nats::{HeaderMap, jetstream};
use futures_util::future::join_all;

use crate::server::start;
use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_gets_its_reply() {
    let server = start("none");
    let (asker, answerer) = (connect(&server).await, connect(&server).await);
    let service = subscribe(&answerer, "service").await;
    answer(answerer, service, |message| format!("re: {}", text(message)));
    let asked = numbers(100).into_iter().map(|number| ask(&asker, "service", number));
    let replies = within(join_all(asked)).await;
    let expected: Vec<_> = numbers(100).into_iter().map(|number| format!("re: {number}")).collect();
    assert_eq!(texts(&replies), expected);
    // With a separate subscription for the reply.
    let request = async_nats::Request::new().inbox(asker.new_inbox()).timeout(Some(PATIENCE));
    let reply = replied(asker.send_request("service", request).await);
    assert_eq!(text(&reply), "re: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_responders_fails_fast() {
    let server = start("none");
    let client = connect(&server).await;
    nobody_answers(&client, "nobody").await;
    let request = async_nats::Request::new().inbox(client.new_inbox());
    let error = client.send_request("nobody", request).await.expect_err("nobody answers");
    assert_eq!(error.kind(), RequestErrorKind::NoResponders);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_carries_headers_both_ways() {
    let server = start("none");
    let (asker, answerer) = (connect(&server).await, connect(&server).await);
    let mut service = subscribe(&answerer, "service").await;
    tokio::spawn(async move {
        while let Some(message) = service.next().await {
            let question = message.headers.expect("headers").get("Question").cloned();
            let mut headers = HeaderMap::new();
            headers.insert("Answer", question.expect("a question"));
            let to = message.reply.expect("it is a request");
            let published = answerer.publish_with_headers(to, headers, "reply".into());
            published.await.expect("the client takes it");
        }
    });
    let mut headers = HeaderMap::new();
    headers.insert("Question", "6 * 7");
    let request = async_nats::Request::new().headers(headers).timeout(Some(PATIENCE));
    let reply = replied(asker.send_request("service", request).await);
    assert_eq!(text(&reply), "reply");
    let answer = reply.headers.expect("headers");
    assert_eq!(answer.get("Answer").map(|value| value.as_str()), Some("6 * 7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jetstream_request_fails_fast() {
    let server = start("none");
    let client = connect(&server).await;
    nobody_answers(&client, "$JS.API.INFO").await;
    let mut context = jetstream::new(client);
    context.set_timeout(FAST);
    let error = context.query_account().await.expect_err("there is no JetStream");
    assert_eq!(error.kind(), AccountErrorKind::JetStreamUnavailable);
}
