//! What the broker refuses, whatever the protocol.

use std::fmt;

use crate::broker::delivery::Slowness;
use crate::limits::BEFORE_LOGIN_MS;
use crate::protocol::{Reject, SubscriptionId};

/// Whether there is a place for a new connection, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// There is one.
    Admitted,
    /// There are too many connections.
    Full,
    /// Its address has too many.
    AddressFull,
    /// Its address connects too often.
    AddressTooFast,
}

impl From<bool> for Admission {
    /// Whether there is a place among all.
    fn from(admitted: bool) -> Admission {
        if admitted { Admission::Admitted } else { Admission::Full }
    }
}

/// Why a subscription is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// Its connection has as many as it may.
    Connection {
        /// `limits.max_subscriptions_per_connection`
        subscriptions_max: u32,
    },
    /// All connections together have as many as they may.
    Broker {
        /// `limits.max_subscriptions`
        subscriptions_max: u32,
    },
    /// There is no memory for it.
    Memory {
        /// `limits.memory_max`
        memory_max: u64,
    },
}

impl NoPlace {
    /// What exists, how much of that may, and what to do.
    pub fn limit(self) -> (&'static str, u64, &'static str) {
        match self {
            NoPlace::Connection { subscriptions_max } => (
                "subscriptions of this connection",
                subscriptions_max.into(),
                "use patterns, or raise `limits.max_subscriptions_per_connection`",
            ),
            NoPlace::Broker { subscriptions_max } => (
                "subscriptions, over all connections,",
                subscriptions_max.into(),
                "subscribe later, or raise `limits.max_subscriptions`",
            ),
            NoPlace::Memory { memory_max } => (
                "bytes of messages and subscriptions, over all connections,",
                memory_max,
                "subscribe later, or raise `limits.memory_max`",
            ),
        }
    }
}

/// Why a client is refused. Each frontend says it in the words of its protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There are too many connections.
    TooManyConnections {
        /// `server.max_connections`
        connections_max: u32,
    },
    /// There are too many connections of the client's address.
    TooManyOfAddress {
        /// `limits.max_connections_per_address`
        connections_max: u32,
    },
    /// There are too many connections of the client's user.
    TooManyOfUser {
        /// `max_connections` of the user.
        connections_max: u32,
    },
    /// The client's address connects too often.
    TooFastOfAddress {
        /// `limits.max_new_connections_per_address`
        per_second_max: u32,
    },
    /// The client did not log in, and others wait for its place.
    LoginTooLate {
        /// Connections of this core before their login.
        waiting: u64,
    },
    /// The client did not authenticate in time.
    LoginTimeout {
        /// `server.auth_timeout_ms`
        auth_timeout_ms: u32,
    },
    /// A subscriber is too slow.
    TooSlow {
        /// The subscription at fault.
        subscription: SubscriptionId,
        /// What is wrong with it.
        why: Slowness,
    },
    /// The client's user is gone or was changed by a reload.
    Revoked,
    /// The broker stops.
    Stopping,
}

impl fmt::Display for Refusal {
    /// As an operator reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_reject().fmt(f)
    }
}

impl Refusal {
    /// The refusal with code and text, as BLIP/1 and logs have it.
    pub fn to_reject(&self) -> Reject {
        match *self {
            Refusal::TooManyConnections { connections_max } => {
                Reject::TooManyConnections { connections_max }
            }
            Refusal::TooManyOfAddress { connections_max } => {
                Reject::TooManyOfAddress { connections_max }
            }
            Refusal::TooManyOfUser { connections_max } => Reject::TooManyOfUser { connections_max },
            Refusal::TooFastOfAddress { per_second_max } => {
                Reject::TooFastOfAddress { per_second_max }
            }
            Refusal::LoginTooLate { waiting } => {
                Reject::AuthTooLate { within_ms: BEFORE_LOGIN_MS, waiting }
            }
            Refusal::LoginTimeout { auth_timeout_ms } => Reject::AuthTimeout { auth_timeout_ms },
            Refusal::TooSlow { subscription, why } => {
                Reject::SlowSubscriber { subscription: subscription.0, detail: why.to_string() }
            }
            Refusal::Revoked => Reject::AuthRevoked,
            Refusal::Stopping => Reject::Stopping,
        }
    }
}
