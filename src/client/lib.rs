//! The blocking Rust client: publish, subscribe, receive, over one TCP connection.
//!
//! For programs that use a broker, and for the `blipmq` command line. It has no runtime and no
//! `async`: a connection is one socket and two threads, a reader and a writer.
//!
//! ```no_run
//! use blipmq_client::{Client, Event};
//!
//! let client = Client::connect("127.0.0.1:7878")?;
//! client.subscribe("orders.>", Default::default())?;
//!
//! let orders = client.topic("orders.eu")?;
//! orders.publish(b"one espresso")?;
//! client.flush()?; // the broker has it
//!
//! match client.recv()? {
//!     Event::Messages(messages) => {
//!         for message in messages.iter() {
//!             println!("{}: {:?}", message.topic, message.payload);
//!         }
//!     }
//!     Event::Gap(gap) => println!("missed {} of {}", gap.messages, gap.topic),
//!     _ => {}
//! }
//! # Ok::<(), blipmq_client::ClientError>(())
//! ```
//!
//! # Publishing
//! [`Topic::publish`] appends to a buffer and returns. What is published while the previous write
//! is under way leaves with the next one, and messages of one topic share frames: the more load,
//! the larger the batches, without a timer. When the buffer is full, `publish` blocks.
//! [`Client::flush`] returns when the broker has taken everything published before it.
//!
//! [`Topic::publish_acked`] tells the sequence a message got; [`Topic::begin_publish_acked`] tells
//! it later, and messages that ask share frames and ACKs as all do.
//!
//! # Receiving
//! A connection gets a message once, however many of its subscriptions match, so a client has one
//! stream of [`Event`]s, whose queue is bounded: while it is full the client does not read, and
//! the broker sees a slow subscriber. **Answers come in the same stream.** A thread that calls
//! `flush`, `subscribe` or `unsubscribe` while the queue is full, and nobody receives, waits for an
//! answer behind what it does not take, until `request_timeout` says so. So a client that
//! both receives much and flushes does so from two threads (it is cheap to clone), or asks with
//! [`Client::begin_subscribe`]. A client that never subscribes has nothing to receive.
//!
//! # Request and reply
//! [`Client::request`] publishes a message that says where to answer, and waits for the answer;
//! [`Client::reply`] gives it. Any number of programs can answer; the first reply counts.
//!
//! # Reconnecting
//! With [`ClientOptions::reconnect`] the end of a connection is not the end of the client. What it
//! keeps, and what it tells:
//!
//! | of | after a reconnect |
//! |---|---|
//! | messages that were not sent yet | they are sent, in their order; `publish` blocks while their bound, `outgoing_bytes_max`, is reached |
//! | messages sent and not confirmed | never sent again; [`Event::Disconnected`] counts them, and the next [`Client::flush`] and every [`PublishTicket`] of theirs fails with [`ClientError::PossiblyLost`] |
//! | subscriptions | asked for again; [`Event::Resubscribed`] for each |
//! | a topic subscribed to with [`SubscribeOptions::resume`] | goes on behind the last message received, or an [`Event::Gap`] tells what is no longer kept |
//! | a pattern with wildcards, or without `resume` | begins with the next message; when a topic known before has one, an [`Event::Gap`] with [`GapReason::Disconnected`] tells what was missed of it |
//! | a group | goes on with the next message: the other members had what came meanwhile |
//! | a broker that was started anew | [`Event::Reconnected`] says so; sequences start over, and subscriptions that resume get all that it has kept since |
//! | a request under way | its reply may be lost: it ends with its timeout |
//!
//! So that little is unconfirmed, a client that reconnects asks for confirmation every 1,024
//! messages or 256 KiB, or as its window says. Errors that another connection cannot mend, such as
//! a frame that is not BLIP/1, end the client as ever.
//!
//! # Without threads that wait
//! The feature `tokio` has the same client with `async` functions, in the module `tokio`.
//!
//! # Where to read on
//!
//! | to learn | read |
//! |---|---|
//! | how a connection begins | `connect` |
//! | how messages become frames and share them | `outgoing`, `writer` |
//! | what was asked and answered | `topic`, `conversation` |
//! | how a request finds its reply | `request`, `conversation::requests` |
//! | how bytes become events | `read_buffer`, `reader`, `received`, `events` |
//! | what survives the end of a connection | `reconnect`, `conversation::renewal` |
//! | how threads wait for each other | `shared` |
//!
//! # Always true
//! - Messages of one thread to one topic keep their order, also when other threads publish to it.
//! - The end of a client is told, with its reason, to every call that waits and every later one.
//! - Memory is bounded: `outgoing_bytes_max` twice, `event_bytes_max`, one message above each.

mod client;
mod connect;
mod conversation;
mod error;
mod events;
mod options;
mod outgoing;
mod read_buffer;
mod reader;
mod received;
mod reconnect;
mod request;
mod shared;
#[cfg(feature = "tokio")]
pub mod tokio;
mod topic;
mod writer;

pub use client::{Client, ServerInfo, Subscription};
pub use error::{ClientError, HeaderError, ServerError};
pub use events::{Event, Gap, GapReason};
pub use options::{ClientOptions, PublishOptions, PublishWindow, SubscribeOptions};
pub use received::{Headers, Message, Messages, OwnedMessage};
pub use reconnect::ReconnectPolicy;
pub use topic::{PublishTicket, Published, Topic};

// What the public types above mention of other crates.
pub use blipmq_protocol::name::NameError;
pub use blipmq_protocol::{Overflow, Start};
pub use bytes::Bytes;

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("README.md")]
struct Readme;
