//! Why a call of the client failed: one variant per cause, each text with the numbers and a remedy.
//!
//! Made by every other module of the client. Errors can be cloned, because the end of a connection is
//! reported to every call that waits and to every later one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use blipmq_protocol::Reject;
use blipmq_protocol::name::NameError;

/// An ERROR frame of the broker: a code for programs and a text for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error {code}: {text}")]
#[non_exhaustive]
pub struct ServerError {
    /// One of the codes that `blipmq help protocol` lists, such as 4030 for a missing permission.
    pub code: u16,
    /// What happened, with the numbers, and what to do.
    pub text: String,
}

/// Why a call of the client failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is malformed, or its host name cannot be resolved.
    #[error("cannot find the address of `{addr}`: {cause}; give host:port, such as 127.0.0.1:7878")]
    BadAddress {
        /// The address as the caller gave it.
        addr: String,
        /// The system's error.
        cause: Arc<io::Error>,
    },
    /// No connection to the address was possible.
    #[error(
        "cannot connect to {addr}: {cause}; is a broker running there? start one with `blipmq`"
    )]
    CannotConnect {
        /// The address as the caller gave it.
        addr: String,
        /// The system's error.
        cause: Arc<io::Error>,
    },
    /// The server accepted the connection and sent no WELCOME.
    #[error(
        "{addr} accepted the connection but sent no WELCOME within {} ms: is it a BLIP/1 broker?",
        waited.as_millis()
    )]
    NoWelcome {
        /// The address as the caller gave it.
        addr: String,
        /// `ClientOptions::connect_timeout`
        waited: Duration,
    },
    /// No TLS connection to the address was possible.
    #[cfg(feature = "tls")]
    #[error("no TLS connection to {addr}: {fault}")]
    Tls {
        /// The address as the caller gave it.
        addr: String,
        /// What is wrong, and what to do.
        fault: crate::TlsError,
    },
    /// The broker ended the connection with an ERROR.
    #[error("the broker ended the connection: {0}")]
    EndedByServer(ServerError),
    /// The broker refused something that its ERROR does not name. The connection continues.
    #[error("the broker refused a request: {0}")]
    RequestRefused(ServerError),
    /// The broker refused the topic, and with it everything published to it.
    #[error("the broker refused topic `{topic}`: {error}")]
    TopicRefused {
        /// The topic of the messages.
        topic: Arc<str>,
        /// The broker's ERROR.
        error: ServerError,
    },
    /// The broker did not accept the message.
    #[error("the broker did not accept a message to `{topic}`: publish the message again")]
    NotTaken {
        /// The topic of the messages.
        topic: Arc<str>,
    },
    /// The connection was lost before the broker confirmed messages, which it may or may not have.
    #[error(
        "{messages} messages were sent and not confirmed when the connection was lost: the broker \
         may or may not have them"
    )]
    PossiblyLost {
        /// The number of messages; fewer may be lost.
        messages: u64,
    },
    /// Messages that waited for a connection were not sent.
    #[error("{messages} messages waited for a connection to the broker and were not sent")]
    Unsent {
        /// The number of messages.
        messages: u64,
    },
    /// No reply to a request arrived in time.
    #[error(
        "no reply to the request to `{topic}` within {} ms: check that a replier subscribes to \
         the topic, or wait longer",
        waited.as_millis()
    )]
    NoReply {
        /// The topic of the request.
        topic: Arc<str>,
        /// The timeout of the request.
        waited: Duration,
    },
    /// The message to reply to names no topic for the reply.
    #[error("the message of `{topic}` names no topic to reply to in its header `reply-to`")]
    NoReplyTopic {
        /// The topic of the message itself.
        topic: String,
    },
    /// The broker refused to make or to end the subscription.
    #[error("the broker refused pattern `{pattern}`: {error}")]
    PatternRefused {
        /// The pattern of the subscription.
        pattern: Arc<str>,
        /// The broker's ERROR.
        error: ServerError,
    },
    /// The subscription has ended, or belongs to another client.
    #[error("`{pattern}` is not an active subscription of this client: subscribe first")]
    NotSubscribed {
        /// The pattern of the subscription.
        pattern: Arc<str>,
    },
    /// A frame is not BLIP/1. The connection is closed, because nothing behind the frame can be read.
    #[error("the server sent a frame that is not BLIP/1: {0}")]
    Malformed(String),
    /// A frame is BLIP/1, but out of place. The connection is closed.
    #[error("the server broke the protocol: {0}")]
    Unexpected(String),
    /// The connection was lost.
    #[error(
        "the connection to the broker is lost: {0}; messages that were not flushed may not have arrived"
    )]
    ConnectionLost(Arc<io::Error>),
    /// The broker closed the connection without an error.
    #[error(
        "the broker closed the connection{}",
        goodbye.as_ref().map(|reason| format!(" after saying goodbye: {reason}")).unwrap_or_default()
    )]
    ClosedByServer {
        /// The reason in the broker's GOODBYE, if one came.
        goodbye: Option<Arc<str>>,
    },
    /// This client closed the connection.
    #[error("this client is closed: connect again")]
    Closed,
    /// No byte moved for `request_timeout`, or the caller's own timeout is over.
    #[error("{what}: no answer from the broker within {} ms; {remedy}", waited.as_millis())]
    Timeout {
        /// The call that waited.
        what: &'static str,
        /// How long the call waited.
        waited: Duration,
        /// What to do.
        remedy: &'static str,
    },
    /// The topic is not legal.
    #[error("bad topic `{topic}`: {error}")]
    BadTopic {
        /// The topic as the caller gave it.
        topic: String,
        /// What is wrong with the name.
        error: NameError,
    },
    /// The pattern is not legal.
    #[error("bad pattern `{pattern}`: {error}")]
    BadPattern {
        /// The pattern as the caller gave it.
        pattern: String,
        /// What is wrong with the name.
        error: NameError,
    },
    /// The payload is longer than the broker accepts.
    #[error(
        "the message has {payload_len} bytes, the broker accepts {message_len_max}: send a smaller \
         one or raise `server.max_message_size_bytes`"
    )]
    MessageTooLong {
        /// The length of the payload.
        payload_len: usize,
        /// The limit that the broker announced.
        message_len_max: u32,
    },
    /// The time to live does not fit the wire.
    #[error("the time to live is {0:?}: choose from 1 ms to 4294967295 ms, or none")]
    BadTtl(Duration),
    /// A header does not fit the wire.
    #[error("bad header: {0}")]
    BadHeader(#[from] HeaderError),
    /// The message with its headers does not fit a frame.
    #[error(
        "message and headers make a frame of {frame_len} bytes, the broker accepts \
         {frame_len_max}: send less or raise `server.max_message_size_bytes`"
    )]
    FrameTooLong {
        /// The length of a frame with this message alone.
        frame_len: usize,
        /// The limit that the broker announced.
        frame_len_max: u32,
    },
    /// The name of the group is too long.
    #[error("the group's name has {len} bytes, the limit is {len_max}: shorten it")]
    GroupTooLong {
        /// The length of the name in bytes.
        len: usize,
        /// The limit.
        len_max: usize,
    },
    /// The name of the client does not fit HELLO.
    #[error("the client's name has {len} bytes, the limit is {len_max}: shorten it")]
    NameTooLong {
        /// The length of the name in bytes.
        len: usize,
        /// The limit.
        len_max: usize,
    },
    /// The system refused a thread.
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
    /// The name of the header is too long.
    #[error("its name has {name_len} bytes, the limit is 255: shorten it")]
    NameTooLong {
        /// The length of the name in bytes.
        name_len: usize,
    },
    /// All headers of a message together are too long.
    #[error(
        "the message's headers have {block_len} bytes with it, the limit is 65535: send less in \
         headers and more in the payload"
    )]
    BlockTooLong {
        /// The length of all names and values, and 3 bytes for each header.
        block_len: usize,
    },
}
