//! What delivery did in a turn, in steps that cost about the same however many subscriptions there
//! are. The simulator and tests compare it with bounds.

/// Steps since the turn before.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct WorkDone {
    /// Subscriptions that were swept, see `retire`.
    pub ends: usize,
}
