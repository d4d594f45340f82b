//! The Rust client of the BlipMQ broker: publish, subscribe and receive over one TCP connection.
//!
//! The client blocks, and needs no runtime: a connection is one socket and two threads, a reader and a
//! writer.
//!
//! ```no_run
//! use blipmq_client::{Client, Event};
//!
//! let client = Client::connect("127.0.0.1:7878")?;
//! client.subscribe("orders.>", Default::default())?;
//!
//! let orders = client.topic("orders.eu")?;
//! orders.publish(b"one espresso")?;
//! client.flush()?; // the broker has accepted the message
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
//! [`Topic::publish`] appends to a buffer and returns. Messages that are published while the previous
//! write is under way leave with the next one, and messages of one topic share frames: batches grow
//! with the load, without a timer. While the buffer is full, `publish` blocks. [`Client::flush`]
//! returns when the broker has accepted everything published before.
//!
//! [`Topic::publish_acked`] returns the sequence that a message got; [`Topic::begin_publish_acked`]
//! returns a ticket for it, so that many confirmations can be on the way at once.
//!
//! # Receiving
//! A connection receives a message once, however many of its subscriptions match. So a client has one
//! stream of [`Event`]s, in a bounded queue: while the queue is full the client does not read, and the
//! broker sees a slow subscriber. It tells the broker meanwhile that it is there, so that the broker does
//! not take it for one that hangs.
//!
//! **Answers of the broker come in the same stream.** While the queue is full and nobody receives, a
//! thread that calls `flush`, `subscribe` or `unsubscribe` waits for an answer behind events that
//! nobody takes, until `request_timeout` ends the call. A client that both receives much and flushes
//! therefore needs two threads (a client is cheap to clone), or [`Client::begin_subscribe`]. A client
//! without subscriptions has nothing to receive.
//!
//! # Request and reply
//! [`Client::request`] publishes a message that names a topic for its reply, and waits for the reply;
//! [`Client::reply`] sends one. Any number of programs can reply; the first reply counts.
//!
//! # Reconnecting
//! With [`ClientOptions::reconnect`] the client outlives its connections. What it keeps and reports:
//!
//! | of | after a reconnect |
//! |---|---|
//! | messages that were not sent yet | they are sent, in their order; `publish` blocks while their bound, `outgoing_bytes_max`, is reached |
//! | messages that were sent and not confirmed | they are never sent again; [`Event::Disconnected`] counts them, and the next [`Client::flush`] and each [`PublishTicket`] fails with [`ClientError::PossiblyLost`] |
//! | subscriptions | they are made again, with an [`Event::Resubscribed`] for each |
//! | a topic subscribed to with [`SubscribeOptions::resume`] | continues behind the last message received; an [`Event::Gap`] reports what is no longer retained |
//! | a pattern with wildcards, or a subscription without `resume` | begins with the next message; when the next message of a known topic arrives, an [`Event::Gap`] with [`GapReason::Disconnected`] reports what was missed of the topic |
//! | a group | continues with the next message: the other members received those in between |
//! | a broker that was restarted | [`Event::Reconnected`] reports that; sequences start over, and subscriptions that resume receive everything retained since |
//! | a request under way | its reply may be lost: the request ends with its timeout |
//!
//! So that few messages are unconfirmed, a client that reconnects asks for confirmation every 1,024
//! messages or 256 KiB, or as its [`PublishWindow`] says. Errors that another connection cannot mend,
//! such as a frame that is not BLIP/1, end the client.
//!
//! # `async`
//! With the feature `tokio`, the module `tokio` has the same client with `async` functions.
//!
//! # TLS
//! With the feature `tls`, `blips://host:port` connects over TLS 1.3, and `ClientOptions::tls` says
//! which authorities to trust and which certificate to present. A client that was asked to use TLS never
//! connects without it. When the connection is made again, so is the handshake, with what the files of
//! the options contain by then. The client with `async` functions is the same there too.
//!
//! # The code
//!
//! | to learn | read |
//! |---|---|
//! | how a connection begins | `endpoint`, `connect`, `link` |
//! | how messages become frames and share them | `outgoing`, `writer` |
//! | what was asked and answered | `client`, `topic`, `conversation` |
//! | how a request finds its reply | `request`, `conversation::requests` |
//! | how bytes become events | `read_buffer`, `reader`, `received`, `events` |
//! | what survives the end of a connection | `reconnect`, `conversation::renewal` |
//! | how threads wait for each other | `shared` |
//! | how TLS is between frames and socket | `tls` |
//!
//! # Always true
//! - Messages of one thread to one topic keep their order, also while other threads publish to the
//!   topic.
//! - Every call that waits when the client ends, and every later call, returns the reason of the end.
//! - Memory is bounded: twice `outgoing_bytes_max`, `event_bytes_max`, one message above each, and
//!   about 200 KiB of TLS.

mod client;
mod connect;
mod conversation;
mod endpoint;
mod error;
mod events;
mod link;
mod options;
mod outgoing;
mod read_buffer;
mod reader;
mod received;
mod reconnect;
mod request;
mod server_info;
mod shared;
mod subscription;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tokio")]
pub mod tokio;
mod topic;
mod writer;

pub use client::Client;
pub use error::{ClientError, HeaderError, ServerError};
pub use events::{Event, Gap, GapReason};
pub use options::{ClientOptions, PublishOptions, PublishWindow, SubscribeOptions};
pub use received::{Headers, Message, Messages, OwnedMessage};
pub use reconnect::ReconnectPolicy;
pub use server_info::ServerInfo;
pub use subscription::Subscription;
#[cfg(feature = "tls")]
pub use tls::{TlsError, TlsOptions};
pub use topic::{PublishTicket, Published, Topic};

// What the public types above mention of other crates.
pub use blipmq_protocol::name::NameError;
pub use blipmq_protocol::{Overflow, Start};
pub use bytes::Bytes;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("README.md")]
struct Readme;
