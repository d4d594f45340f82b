//! The client against a scripted server, and against the real broker where the broker can play the part.
//!
//! | to learn | read |
//! |---|---|
//! | how a connection begins and ends, protocol errors | `connect` |
//! | batches, order, windows, refusals | `publish` |
//! | subscriptions, events, bounds of the event queue | `receive` |
//! | headers, checksums, ACKs, starts, groups | `options` |
//! | requests and replies | `requests` |
//! | what survives the end of a connection | `reconnect` |
//! | TLS: who is trusted, refusals | `tls` |
//! | TLS: its end, and what it does by itself | `tls_ends` |
//! | the client with `async` functions | `with_tokio` |
//!
//! No test sleeps or reads a clock: one side sends a frame only after it has seen that of the other, and
//! this makes the order of events.

#[path = "../support/mod.rs"]
mod support;

mod connect;
mod options;
mod publish;
mod receive;
mod reconnect;
mod requests;
mod tls;
mod tls_ends;
mod with_tokio;

use blipmq::protocol::Reject;
use blipmq_client::{Client, ClientError, Event, Messages};

use self::support::Server;

#[track_caller]
fn error<T: std::fmt::Debug>(result: Result<T, ClientError>) -> ClientError {
    result.expect_err("it must fail")
}

/// A refusal that does not close the connection.
fn refusal(about: u32) -> Reject {
    Reject::SystemTopic { request: about, topic: "$SYS.a".to_owned() }
}

/// Receives the next event, which must be messages.
#[track_caller]
fn messages(client: &Client) -> Messages {
    match client.recv() {
        Ok(Event::Messages(messages)) => messages,
        other => panic!("messages were due, got {other:?}"),
    }
}

/// Receives the payloads of the next event, which must be messages.
#[track_caller]
fn payloads(client: &Client) -> Vec<Vec<u8>> {
    messages(client).iter().map(|message| message.payload.to_vec()).collect()
}

/// Closes the connection behind the first messages, and returns what is published on the next one.
fn server_that_closes_after_the_first_messages() -> Server<Vec<(String, Vec<u8>)>> {
    Server::listening(|listener| {
        let mut connection = listener.accept();
        connection.welcome();
        connection.accept_open(7);
        connection.expect_messages();
        drop(connection);
        let mut connection = listener.accept();
        connection.welcome();
        connection.serve_publisher()
    })
}
