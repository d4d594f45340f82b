//! async-nats, unmodified, against a broker. Run by ../run.py, or alone:
//!
//! ```sh
//! SERVER=nats-server NATS_SERVER=... cargo test --manifest-path tests/nats/async_nats/Cargo.toml
//! ```
//!
//! Each test is a claim; tests of the same name are in ../clients.
#![cfg(test)]

mod auth;
mod ends;
mod messages;
mod requests;
mod secure;
mod server;

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use async_nats::client::{Client, RequestErrorKind};
use async_nats::{ConnectOptions, Event, Message, Subscriber};
use futures_util::StreamExt;
use server::Server;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(30);
/// A 503 comes at once; a request that waits in vain fails after this time.
const FAST: Duration = Duration::from_secs(5);

/// Waits for a future, with a timeout.
async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// Options of all tests: a busy machine may be slow to connect, and a request must fail fast.
fn options() -> ConnectOptions {
    ConnectOptions::new().connection_timeout(PATIENCE).request_timeout(Some(FAST))
}

async fn connect(server: &Server) -> Client {
    connect_with(server, options()).await
}

async fn connect_with(server: &Server, options: ConnectOptions) -> Client {
    within(options.connect(server.url())).await.expect("the broker accepts the client")
}

/// A client, and the events of its callback.
async fn watched(server: &Server, options: ConnectOptions) -> (Client, Events) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let options = options.event_callback(move |event| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(event);
        }
    });
    (connect_with(server, options).await, Events(receiver))
}

struct Events(mpsc::UnboundedReceiver<Event>);

impl Events {
    /// The next event that `wanted` accepts; others are skipped.
    async fn next<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        loop {
            let event = within(self.0.recv()).await.expect("the client goes on");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }

    async fn is(&mut self, wanted: Event) {
        self.next(|event| (event == wanted).then_some(())).await;
    }
}

/// Waits until the broker has served everything that the client sent. The client's `flush` only hands bytes
/// to the system; the broker itself answers a request without responders, in order.
async fn settled(client: &Client) {
    nobody_answers(client, "open.nobody.here").await;
}

/// A subscription that the broker has.
async fn subscribe(client: &Client, subject: &'static str) -> Subscriber {
    let subscriber = client.subscribe(subject).await.expect("the client takes it");
    settled(client).await;
    subscriber
}

async fn publish(client: &Client, subject: &'static str, payload: impl Into<String>) {
    let payload = payload.into().into();
    client.publish(subject, payload).await.expect("the client takes it");
}

async fn take(subscriber: &mut Subscriber, count: usize) -> Vec<Message> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let message = tokio::time::timeout(PATIENCE, subscriber.next()).await;
        let Ok(Some(message)) = message else {
            panic!("{} of {count} messages came, then {message:?}", taken.len());
        };
        taken.push(message);
    }
    taken
}

async fn take_one(subscriber: &mut Subscriber) -> Message {
    take(subscriber, 1).await.remove(0)
}

/// All messages up to the end of the subscription.
async fn take_rest(subscriber: &mut Subscriber) -> Vec<Message> {
    within(subscriber.collect()).await
}

fn text(message: &Message) -> &str {
    str::from_utf8(&message.payload).expect("it was published as text")
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(text).collect()
}

fn subjects(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.subject.as_str()).collect()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// Asserts that a request without responders fails at once.
async fn nobody_answers(client: &Client, subject: &'static str) {
    let error = client.request(subject, "".into()).await.expect_err("nobody answers");
    assert_eq!(error.kind(), RequestErrorKind::NoResponders, "{error:?}");
}

/// Answers each message of a subscription with the result of `reply`, until the subscription ends.
fn answer(client: Client, mut subscriber: Subscriber, reply: fn(&Message) -> String) {
    tokio::spawn(async move {
        while let Some(message) = subscriber.next().await {
            let to = message.reply.clone().expect("it is a request");
            client.publish(to, reply(&message).into()).await.expect("the client takes it");
        }
    });
}

/// Requests with the timeout of tests; returns the reply.
async fn ask(client: &Client, subject: &'static str, payload: String) -> Message {
    let request = async_nats::Request::new().payload(payload.into()).timeout(Some(PATIENCE));
    replied(client.send_request(subject, request).await)
}

fn replied<E: Debug>(reply: Result<Message, E>) -> Message {
    reply.expect("there is a reply")
}
