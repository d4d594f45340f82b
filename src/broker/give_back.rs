//! When a core gives memory that nobody holds any more back to the operating system.
//!
//! Asked by `turn` once per turn; the port does it.
//!
//! # Always true
//! - While what is held rises and falls with the load, nothing is given back: only what was not needed for
//!   [`CALM_NS`] is, or what is missing while memory is short.

use super::clock::Now;
use super::memory::Memory;
use super::timers::{Single, Timers};

/// Bytes that are worth the look at the whole heap, and the page faults of the next rise.
const WORTH_BYTES: u64 = 8 << 20;
/// How long memory was not needed that is given back.
const CALM_NS: u64 = 10_000_000_000;
/// The same while memory is short, and how often it is then given back.
const SHORT_NS: u64 = 250_000_000;

/// How the memory held has risen and fallen, as one core sees it.
#[derive(Debug, Default)]
pub struct GiveBack {
    /// The most bytes held since some were last given back.
    most: u64,
    /// The most bytes held since the last look.
    recent: u64,
    /// Memory was short since some was last given back.
    was_short: bool,
    /// When some was last given back.
    given_ns: u64,
}

impl GiveBack {
    /// Whether this core gives memory back now. Beside what counts in the budget it holds so many bytes.
    pub fn is_due(&mut self, now: Now, timers: &mut Timers, memory: &Memory, beside: u64) -> bool {
        let held = memory.held() + beside;
        self.recent = self.recent.max(held);
        self.was_short |= memory.is_nearly_full();
        let has_waited = now.monotonic_ns.saturating_sub(self.given_ns) >= SHORT_NS;
        let mut gives = memory.is_nearly_full() && has_waited;
        if timers.is_due(now, Single::GiveBack) {
            timers.set_single(Single::GiveBack, None);
            gives |= self.was_short || self.most >= self.recent + WORTH_BYTES;
        }
        self.most = self.most.max(self.recent);
        if gives {
            self.given(now, memory);
        }
        // While memory was short some holders may have gone and others have taken as much.
        let is_worth_it = self.was_short || self.most >= held + WORTH_BYTES;
        if timers.single(Single::GiveBack).is_none() && is_worth_it {
            let wait_ns = if self.was_short { SHORT_NS } else { CALM_NS };
            timers.set_single(Single::GiveBack, Some(now.monotonic_ns + wait_ns));
            self.recent = held;
        }
        gives
    }

    /// Memory is given back now.
    pub fn given(&mut self, now: Now, memory: &Memory) {
        self.most = memory.held();
        self.was_short = memory.is_nearly_full();
        self.given_ns = now.monotonic_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: i64 = 1 << 20;

    struct Core {
        give_back: GiveBack,
        timers: Timers,
        memory: Memory,
    }

    impl Core {
        fn new() -> Core {
            let (give_back, timers) = Default::default();
            Core { give_back, timers, memory: Memory::new(100 * MIB as u64) }
        }

        /// Holds so much more, and says whether memory is given back at this time.
        fn gives(&mut self, ms: u64, more_mib: i64) -> bool {
            self.memory.count_entries(0, more_mib * MIB);
            let now = Now { monotonic_ns: ms * 1_000_000, unix_ns: 0 };
            self.give_back.is_due(now, &mut self.timers, &self.memory, 0)
        }
    }

    #[test]
    fn what_was_not_needed_for_a_while_is_given_back_once() {
        let mut core = Core::new();
        assert!(!core.gives(1_000, 50));
        assert!(!core.gives(2_000, -45));
        assert_eq!(core.timers.next_ns(), Some(2_000_000_000 + CALM_NS));
        assert!(!core.gives(11_000, 0));
        assert!(core.gives(12_000, 0));
        assert_eq!(core.timers.next_ns(), None);
        assert!(!core.gives(30_000, 0));
    }

    #[test]
    fn what_cores_have_for_each_other_counts_as_well() {
        let mut core = Core::new();
        for (ms, beside, gives) in [(0, 20 << 20, false), (10, 0, false), (11_000, 0, true)] {
            let now = Now { monotonic_ns: ms * 1_000_000, unix_ns: 0 };
            let Core { give_back, timers, memory } = &mut core;
            assert_eq!(give_back.is_due(now, timers, memory, beside), gives, "{ms}");
        }
    }

    #[test]
    fn memory_that_rises_and_falls_with_the_load_is_kept() {
        let mut core = Core::new();
        for second in 1..60 {
            assert!(!core.gives(second * 1_000, 50));
            assert!(!core.gives(second * 1_000 + 500, -50));
        }
    }

    #[test]
    fn memory_is_given_back_soon_and_again_while_memory_is_short() {
        let mut core = Core::new();
        assert!(core.gives(1_000, 95));
        assert!(!core.gives(1_100, 0));
        assert!(core.gives(1_250, 0));
        assert!(!core.gives(1_300, -60));
        assert!(core.gives(1_550, 0), "and when that is over, soon");
        assert_eq!(core.timers.next_ns(), None);
    }
}
