//! What an operator may want to hear of as it happens, for the driver of the broker to log: the broker
//! itself writes nothing.
//!
//! # Always true
//! - Never single messages: those are counted.
//! - A bounded number per turn: what is beyond it shows in the counters alone.
//! - No secret is in a notice.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Protocol;
use crate::broker::auth::Failed;
use crate::config::OverflowPolicy;

/// Notices a turn has at most.
pub const NOTICES_MAX: usize = 64;

/// A client, and how it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// By the listener it came by.
    pub protocol: Protocol,
    /// Where the client is.
    pub address: SocketAddr,
}

/// Something that happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whose connection it is.
    pub peer: Peer,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The client did not authenticate, and its connection is closed.
    LoginRefused {
        /// What the client was told.
        why: String,
        /// Why that really was, which the client was not told.
        failed: Failed,
    },
    /// The client's user is gone or was changed by a reload, and its connection is closed.
    Revoked,
    /// The client reads too slowly, and its connection is closed.
    TooSlow {
        /// What is wrong with it.
        why: String,
    },
    /// The queue of one of its subscriptions was full for the first time.
    Overflow {
        /// What the subscription asks for.
        pattern: Arc<str>,
        /// What happens there.
        policy: OverflowPolicy,
    },
    /// Memory is short, and its queues lose messages, since they hold most.
    Reclaimed {
        /// Bytes that they hold.
        held: u64,
        /// Bytes that they may keep.
        share: u64,
    },
    /// The queues of all its subscriptions together were full for the first time.
    ConnectionFull {
        /// `queues.connection_bytes`
        connection_bytes: u64,
    },
}
