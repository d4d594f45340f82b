//! How long publishes on this core have found no memory: they wait while some is being reclaimed, but not
//! for ever.
//!
//! # Always true
//! - A publish waits at most [`RECLAIM_WAIT_MS`] since there was last any memory, then it is refused.

use super::clock::{Now, ms_to_ns};
use super::memory::Memory;
use super::timers::{Single, Timers};
use crate::limits::RECLAIM_WAIT_MS;

/// How often a core looks whether others have reclaimed memory.
const LOOK_EVERY_NS: u64 = 1_000_000;

/// A shortage of memory, as one core sees it.
#[derive(Debug, Default)]
pub struct Shortage {
    /// When a publish first found no memory; nothing once there was some again.
    since_ns: Option<u64>,
    /// When other cores were last asked to reclaim.
    asked_ns: u64,
}

impl Shortage {
    /// Whether a publish that finds no memory waits: some may be reclaimed, here or on another core, and
    /// that has not taken too long. The core looks again soon, whatever else happens.
    pub fn lets_wait(&mut self, now: Now, timers: &mut Timers, memory: &Memory) -> bool {
        let since_ns = *self.since_ns.get_or_insert(now.monotonic_ns);
        let waits = now.monotonic_ns.saturating_sub(since_ns) < ms_to_ns(RECLAIM_WAIT_MS)
            && memory.can_reclaim();
        if waits {
            timers.set_single(Single::Memory, Some(now.monotonic_ns + LOOK_EVERY_NS));
        }
        waits
    }

    /// Looks at the budget, once per turn.
    pub fn look(&mut self, now: Now, timers: &mut Timers, memory: &Memory) {
        if !memory.is_full() {
            self.since_ns = None;
        }
        if timers.is_due(now, Single::Memory) {
            timers.set_single(Single::Memory, None);
        }
    }

    /// Whether other cores are to be asked to reclaim now, rather than later.
    pub fn asks(&mut self, now: Now) -> bool {
        let asks = now.monotonic_ns - self.asked_ns >= LOOK_EVERY_NS;
        if asks {
            self.asked_ns = now.monotonic_ns;
        }
        asks
    }
}
