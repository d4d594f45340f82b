//! What each core counts of TLS.
//!
//! Filled by `sessions`; read by the admin pages.

use blipmq::broker::counters::Counter;
use blipmq::broker::histogram::Histogram;

/// The most listeners.
pub const LISTENERS_MAX: usize = 8;

/// How a handshake ended, an index of [`Counters::handshakes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a key exchange and certificates.
    Full,
    /// With a ticket of an earlier one.
    Resumed,
    /// With an error, or with a client that went away or spoke plain text.
    Failed,
    /// Not in time.
    TimedOut,
}

/// Names of the outcomes, as the label `result`, by number.
pub const OUTCOMES: [&str; 4] = ["full", "resumed", "failed", "timeout"];
/// Versions of TLS, as the label `version`.
pub const VERSIONS: [&str; 2] = ["1.2", "1.3"];

/// Handshakes of one listener, by outcome.
pub type Handshakes = [Counter; OUTCOMES.len()];

/// The handshakes and encrypted connections of one core. Aligned so that two cores never write one cache
/// line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    handshakes: [Handshakes; LISTENERS_MAX],
    connections: [Counter; 2],
    /// Clients whose hello or certificate waits for its turn.
    pub waiting: Counter,
    /// Microseconds from a whole hello to the end of the handshake.
    pub handshake_us: Histogram,
}

impl Counters {
    /// Handshakes of a listener that ended so.
    pub fn handshakes(&self, listener: usize, outcome: Outcome) -> &Counter {
        &self.handshakes[listener][outcome as usize]
    }

    /// Handshakes of a listener by the number of their outcome.
    pub fn handshakes_by(&self, listener: usize, outcome: usize) -> u64 {
        self.handshakes[listener][outcome].get()
    }

    /// Open connections with a version of TLS.
    pub fn connections(&self, version: &str) -> Option<&Counter> {
        let index = VERSIONS.iter().position(|name| *name == version)?;
        Some(&self.connections[index])
    }
}
