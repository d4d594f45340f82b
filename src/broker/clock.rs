//! The time of a turn.
//!
//! The driver of a core reads the clock and hands the time in; the broker never reads one, so a simulator
//! decides what time it is.

/// The time, as the caller read it for this turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since some fixed point; the same on all cores, never set back.
    pub monotonic_ns: u64,
    /// Nanoseconds since the Unix epoch.
    pub unix_ns: u64,
}

/// Nanoseconds of so many milliseconds.
pub fn ms_to_ns(ms: u32) -> u64 {
    u64::from(ms) * 1_000_000
}
