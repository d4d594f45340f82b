//! The client against a scripted server, and against the real broker where that serves the case.
//!
//! | to learn | read |
//! |---|---|
//! | how a connection begins and ends, and what is a protocol error | `connect` |
//! | batches, order, windows, refusals | `publish` |
//! | subscriptions, events, bounds of the event queue | `receive` |
//! | headers, checksums, ACKs, starts, groups | `options` |
//! | requests and replies | `requests` |
//! | what survives the end of a connection | `reconnect` |
//! | the same with `async` functions | `with_tokio` |
//!
//! Nothing here sleeps or looks at a clock: frames that one side sends only after it saw those of
//! the other make the order of events.

#[path = "../support/mod.rs"]
mod support;

mod connect;
mod options;
mod publish;
mod receive;
mod reconnect;
mod requests;
mod with_tokio;

use blipmq::protocol::Reject;
use blipmq_client::{Client, ClientError, Event, Messages};

#[track_caller]
fn error<T: std::fmt::Debug>(result: Result<T, ClientError>) -> ClientError {
    result.expect_err("it must fail")
}

/// A refusal that does not close the connection.
fn refusal(about: u32) -> Reject {
    Reject::SystemTopic { request: about, topic: "$SYS.a".to_owned() }
}

/// The next event, which must be messages.
#[track_caller]
fn messages(client: &Client) -> Messages {
    match client.recv() {
        Ok(Event::Messages(messages)) => messages,
        other => panic!("messages were due, got {other:?}"),
    }
}

/// The payloads of the next event, which must be messages.
#[track_caller]
fn payloads(client: &Client) -> Vec<Vec<u8>> {
    messages(client).iter().map(|message| message.payload.to_vec()).collect()
}
