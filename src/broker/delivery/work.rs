//! What delivery did in a turn, in steps that cost about the same however many subscriptions there
//! are. The simulator and tests compare it with bounds.

/// Steps since the turn before.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct WorkDone {
    /// Subscriptions that were swept, see `retire`.
    pub ends: usize,
    /// Times that a connection was given a slice once more, for another of its subscriptions: of each
    /// slice, for the connection with the most.
    pub repeats: usize,
}
