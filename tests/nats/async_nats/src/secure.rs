//! TLS: behind INFO and before, and certificates of clients.

use std::path::PathBuf;

use crate::server::{certificates, start};
use crate::*;

fn file(name: &str) -> PathBuf {
    PathBuf::from(certificates()).join(name)
}

/// Options of a client that trusts the broker, and may have the certificate of a user.
fn secure(user: Option<&str>) -> ConnectOptions {
    let options = options().require_tls(true).add_root_certificates(file("ca.pem"));
    match user {
        None => options,
        Some(user) => {
            let [certificate, key] = ["pem", "key"].map(|end| file(&format!("{user}.{end}")));
            options.add_client_certificate(certificate, key)
        }
    }
}

async fn refused(server: &Server, options: ConnectOptions) -> async_nats::ConnectError {
    within(options.connect(server.url())).await.expect_err("it is refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_over_tls() {
    let server = start("tls");
    let client = connect_with(&server, secure(None)).await;
    let mut subscriber = subscribe(&client, "large.*").await;
    publish(&client, "large.one", "x".repeat(300_000)).await;
    let message = take_one(&mut subscriber).await;
    assert_eq!((message.subject.as_str(), message.payload.len()), ("large.one", 300_000));
    assert!(client.server_info().tls_required);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_authority_is_refused() {
    let server = start("tls");
    refused(&server, options().require_tls(true).add_root_certificates(file("bob.pem"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_over_tls_that_begins_before_info() {
    let server = start("tls_first");
    let client = connect_with(&server, secure(None).tls_first()).await;
    let mut subscriber = subscribe(&client, "a.b").await;
    publish(&client, "a.b", "x").await;
    let message = take_one(&mut subscriber).await;
    assert_eq!((message.subject.as_str(), text(&message)), ("a.b", "x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_a_user() {
    let server = start("tls_users");
    let (alice, mut events) = watched(&server, secure(Some("alice@example.com"))).await;
    let mut everything = alice.subscribe(">").await.expect("the client takes it");
    publish(&alice, "closed", "no").await;
    let is_error = |event| matches!(event, Event::ServerError(_)).then_some(());
    events.next(is_error).await;
    publish(&alice, "open.door", "yes").await;
    let message = take_one(&mut everything).await;
    assert_eq!((message.subject.as_str(), text(&message)), ("open.door", "yes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_nobody_is_refused() {
    let server = start("tls_users");
    let error = refused(&server, secure(Some("bob"))).await;
    assert_eq!(error.kind(), async_nats::ConnectErrorKind::AuthorizationViolation, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_is_refused() {
    let server = start("tls_users");
    refused(&server, secure(None)).await;
}
