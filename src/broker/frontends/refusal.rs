//! What the broker refuses, whatever the protocol.

use std::fmt;

use crate::broker::delivery::Slowness;
use crate::protocol::{Reject, SubscriptionId};

/// Why a client is refused. Each frontend says it in the words of its protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There are too many connections.
    TooManyConnections {
        /// `server.max_connections`
        connections_max: u32,
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
            Refusal::LoginTimeout { auth_timeout_ms } => Reject::AuthTimeout { auth_timeout_ms },
            Refusal::TooSlow { subscription, why } => {
                Reject::SlowSubscriber { subscription: subscription.0, detail: why.to_string() }
            }
            Refusal::Revoked => Reject::AuthRevoked,
            Refusal::Stopping => Reject::Stopping,
        }
    }
}
