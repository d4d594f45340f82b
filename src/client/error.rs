//! Why a call of the client failed: one variant per cause, each text with the numbers and a remedy.
//!
//! Made by every other module of the client. Cloneable, because the end of a connection is told to
//! every call that waits and to every later one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use blipmq_protocol::Reject;
use blipmq_protocol::name::NameError;

/// An ERROR frame of the broker: a number of PROTOCOL.md section 5 and a text for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error {code}: {text}")]
#[non_exhaustive]
pub struct ServerError {
    /// PROTOCOL.md section 5.
    pub code: u16,
    /// What happened, the numbers, what to do.
    pub text: String,
}

/// Why a call of the client failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is not one, or its name has no address.
    #[error("cannot find the address of `{addr}`: {cause}; give host:port, such as 127.0.0.1:7878")]
    BadAddress {
        /// As the caller gave it.
        addr: String,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// Nobody took the connection.
    #[error(
        "cannot connect to {addr}: {cause}; is a broker running there? start one with `blipmq`"
    )]
    CannotConnect {
        /// As the caller gave it.
        addr: String,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// Somebody took the connection and did not answer as a broker does.
    #[error(
        "{addr} took the connection but sent no WELCOME within {} ms: is it a BLIP/1 broker?",
        waited.as_millis()
    )]
    NoWelcome {
        /// As the caller gave it.
        addr: String,
        /// `ClientOptions::connect_timeout`
        waited: Duration,
    },
    /// The broker ended the connection and said why.
    #[error("the broker ended the connection: {0}")]
    EndedByServer(ServerError),
    /// The broker refused something without naming what, and the connection goes on.
    #[error("the broker refused a request: {0}")]
    RequestRefused(ServerError),
    /// The broker did not open the topic, so nothing published to it was taken.
    #[error("the broker refused topic `{topic}`: {error}")]
    TopicRefused {
        /// The topic.
        topic: Arc<str>,
        /// What the broker said.
        error: ServerError,
    },
    /// The broker answered that it did not take the message.
    #[error("the broker did not take a message to `{topic}`: publish it again")]
    NotTaken {
        /// The topic.
        topic: Arc<str>,
    },
    /// The connection was lost before the broker confirmed messages; it may have them.
    #[error(
        "{messages} messages were sent and not confirmed when the connection was lost: the broker \
         may or may not have them"
    )]
    PossiblyLost {
        /// At most so many.
        messages: u64,
    },
    /// Messages that waited for a connection are not sent.
    #[error("{messages} messages waited for a connection to the broker and are not sent")]
    Unsent {
        /// How many.
        messages: u64,
    },
    /// Nobody answered a request in time.
    #[error(
        "no reply to the request to `{topic}` within {} ms: check that a replier subscribes to it, \
         or wait longer",
        waited.as_millis()
    )]
    NoReply {
        /// The topic.
        topic: Arc<str>,
        /// The request's timeout.
        waited: Duration,
    },
    /// A message to reply to does not say where.
    #[error("the message of `{topic}` names no topic to reply to in its header `reply-to`")]
    NoReplyTopic {
        /// The message's own topic.
        topic: String,
    },
    /// The broker did not make, or did not end, the subscription.
    #[error("the broker refused pattern `{pattern}`: {error}")]
    PatternRefused {
        /// The pattern.
        pattern: Arc<str>,
        /// What the broker said.
        error: ServerError,
    },
    /// The subscription has ended, or is another client's.
    #[error("`{pattern}` is not a subscription of this client, or not any more: subscribe first")]
    NotSubscribed {
        /// Its pattern.
        pattern: Arc<str>,
    },
    /// What arrived is not BLIP/1. The connection is closed, because nothing behind it can be read.
    #[error("the server sent a frame that is not BLIP/1: {0}")]
    Malformed(String),
    /// What arrived is BLIP/1, but cannot come here. The connection is closed.
    #[error("the server broke the protocol: {0}")]
    Unexpected(String),
    /// The connection broke.
    #[error("the connection to the broker is lost: {0}; what was not flushed may not have arrived")]
    ConnectionLost(Arc<io::Error>),
    /// The broker closed the connection without an error.
    #[error(
        "the broker closed the connection{}",
        goodbye.as_ref().map(|reason| format!(" after saying goodbye: {reason}")).unwrap_or_default()
    )]
    ClosedByServer {
        /// The reason in its GOODBYE, if there was one.
        goodbye: Option<Arc<str>>,
    },
    /// This client closed the connection.
    #[error("this client is closed: connect again")]
    Closed,
    /// Nothing moved for `request_timeout`, or the caller's own timeout is over.
    #[error("{what}: no answer from the broker within {} ms; {remedy}", waited.as_millis())]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        waited: Duration,
        /// What to do.
        remedy: &'static str,
    },
    /// A topic that is not legal.
    #[error("bad topic `{topic}`: {error}")]
    BadTopic {
        /// As the caller gave it.
        topic: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// A pattern that is not legal.
    #[error("bad pattern `{pattern}`: {error}")]
    BadPattern {
        /// As the caller gave it.
        pattern: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// A payload exceeds what the broker takes.
    #[error(
        "message is {payload_len} bytes, the broker takes {message_len_max}: send a smaller one or \
         raise `server.max_message_size_bytes`"
    )]
    MessageTooLong {
        /// The payload.
        payload_len: usize,
        /// What WELCOME said.
        message_len_max: u32,
    },
    /// A time to live that does not fit the wire.
    #[error("time to live is {0:?}: choose from 1 ms to 4294967295 ms, or none")]
    BadTtl(Duration),
    /// A header that does not fit the wire.
    #[error("bad header: {0}")]
    BadHeader(#[from] HeaderError),
    /// A message does not fit a frame, which its headers count to.
    #[error(
        "message and headers make a frame of {frame_len} bytes, the broker takes {frame_len_max}: \
         send less or raise `server.max_message_size_bytes`"
    )]
    FrameTooLong {
        /// With this message alone.
        frame_len: usize,
        /// What WELCOME said.
        frame_len_max: u32,
    },
    /// A group name that is too long.
    #[error("the group's name is {len} bytes, the limit is {len_max}: shorten it")]
    GroupTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit.
        len_max: usize,
    },
    /// A client name that does not fit HELLO.
    #[error("the client's name is {len} bytes, the limit is {len_max}: shorten it")]
    NameTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit.
        len_max: usize,
    },
    /// The system gave no thread.
    #[error("cannot start the client's threads: {0}; raise the limit of tasks")]
    NoThread(Arc<io::Error>),
}

impl ClientError {
    pub(crate) fn malformed(reject: Reject) -> ClientError {
        ClientError::Malformed(reject.to_string())
    }
}

/// Why a header does not fit the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// More bytes than its length field can say.
    #[error("its name is {name_len} bytes, the limit is 255: shorten it")]
    NameTooLong {
        /// Its length in bytes.
        name_len: usize,
    },
    /// All headers of a message together are too long.
    #[error(
        "the message's headers are {block_len} bytes with it, the limit is 65535: send less in \
         headers and more in the payload"
    )]
    BlockTooLong {
        /// Names, values, and 3 bytes for each header.
        block_len: usize,
    },
}
