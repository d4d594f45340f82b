//! Credentials and permissions.

use async_nats::{ConnectErrorKind, ServerError};

use crate::server::start;
use crate::*;

const SEED: &str = "SUAN6NLTGSMFYTYS62FSOKZVWZCET63XCWH27DQWU25EKGOJUTWIB27F74";
const OTHER_SEED: &str = "SUAPOOTJWC5T5DCRGTO7Q6SWQK47WQOEM57BYHWW4PEWGJYFFD2JZLDCG4";

fn alice() -> ConnectOptions {
    options().user_and_password("alice".into(), "wonderland".into())
}

fn bob() -> ConnectOptions {
    options().user_and_password("bob".into(), "builder".into())
}

async fn refused(server: &Server, options: ConnectOptions) {
    let error = within(options.connect(server.url())).await.expect_err("it is refused");
    assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation, "{error:?}");
}

async fn accepted(server: &Server, options: ConnectOptions) {
    settled(&connect_with(server, options).await).await;
}

/// The next error that the broker sent.
async fn told(events: &mut Events) -> String {
    let error = |event| match event {
        Event::ServerError(ServerError::Other(error)) => Some(error),
        _ => None,
    };
    events.next(error).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_token_is_accepted() {
    accepted(&start("token"), options().token("t0k".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_refused() {
    let server = start("token");
    refused(&server, options().token("t0ken".into())).await;
    refused(&server, options()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_password_is_accepted() {
    accepted(&start("users"), alice()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused() {
    let server = start("users");
    refused(&server, options().user_and_password("alice".into(), "builder".into())).await;
    refused(&server, options().user_and_password("carol".into(), "wonderland".into())).await;
    refused(&server, options()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_nkey_is_accepted() {
    accepted(&start("nkey"), options().nkey(SEED.into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_nkey_is_refused() {
    let server = start("nkey");
    refused(&server, options().nkey(OTHER_SEED.into())).await;
    refused(&server, options()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_publish_is_reported_and_the_connection_stays() {
    let server = start("users");
    let (bob, mut events) = watched(&server, bob()).await;
    let alice = connect_with(&server, alice()).await;
    let mut everything = alice.subscribe(">").await.expect("the client takes it");
    // The client is subscribed when its own message comes back.
    publish(&alice, "own", "").await;
    take_one(&mut everything).await;
    for subject in ["closed", "open.secret"] {
        publish(&bob, subject, "no").await;
        let expected = format!("Permissions Violation for Publish to \"{subject}\"");
        assert_eq!(told(&mut events).await, expected);
    }
    publish(&bob, "open.door", "yes").await;
    let message = take_one(&mut everything).await;
    assert_eq!((message.subject.as_str(), text(&message)), ("open.door", "yes"));
    assert_eq!(bob.statistics().connects.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_subscribe_is_reported_and_the_connection_stays() {
    let server = start("users");
    let (bob, mut events) = watched(&server, bob()).await;
    let alice = connect_with(&server, alice()).await;
    for subject in ["closed", "open.secret", ">"] {
        let _subscription = bob.subscribe(subject).await.expect("the client takes it");
        let expected = format!("Permissions Violation for Subscription to \"{subject}\"");
        assert_eq!(told(&mut events).await, expected);
    }
    let subscribed = bob.queue_subscribe("closed", "group".into()).await;
    let _subscription = subscribed.expect("the client takes it");
    assert_eq!(
        told(&mut events).await,
        "Permissions Violation for Subscription to \"closed\" using queue \"group\""
    );
    let mut allowed = subscribe(&bob, "open.*").await;
    for subject in ["closed", "open.secret", "open.door"] {
        publish(&alice, subject, "").await;
    }
    assert_eq!(take_one(&mut allowed).await.subject.as_str(), "open.door");
    assert_eq!(bob.statistics().connects.load(std::sync::atomic::Ordering::Relaxed), 1);
}
