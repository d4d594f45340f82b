//! What each core's executor counts: turns, system calls, sleep, shortages of buffers.
//!
//! Filled by `desk` from what the executor reports; read by the admin pages.

use blipmq::broker::counters::Counter;
use blipmq::broker::histogram::Histogram;
use executors::Observed;

/// The turns of one core. Aligned so that two cores never write one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Turns {
    /// Turns of the core's loop.
    pub turns: Counter,
    /// System calls on the data ring.
    pub enters: Counter,
    /// Sends of each system call that handed over at least one.
    pub enter_sends: Histogram,
    /// Times a connection had more to read and no receive buffer was free.
    pub buffer_shortages: Counter,
    /// Times that the kernel was short of memory or descriptors, by [`Shortage`].
    pub shortages: [Counter; 4],
    /// Nanoseconds asleep until the core last woke.
    asleep_ns: Counter,
    /// The start of the current sleep; 0 while the core is awake.
    asleep_since_ns: Counter,
}

impl Turns {
    /// Counts what the executor reports, on the core's own thread.
    pub fn observe(&self, observed: Observed) {
        match observed {
            Observed::Entered { calls, sends } => {
                self.enters.add(u64::from(calls));
                if sends > 0 {
                    self.enter_sends.record(u64::from(sends), 1);
                }
            }
            Observed::Sleeps { at_ns } => self.asleep_since_ns.set(at_ns),
            Observed::Woke { at_ns } => {
                let since_ns = self.asleep_since_ns.get();
                if since_ns > 0 {
                    self.asleep_since_ns.set(0);
                    self.asleep_ns.add(at_ns - since_ns);
                }
            }
            Observed::Short { what } => self.shortages[what as usize].add(1),
            Observed::Starved => self.buffer_shortages.add(1),
            // Every refused connection is counted by its broker.
            Observed::Full { .. } => {}
        }
    }

    /// Nanoseconds asleep until now, in the time of `executors::Now::monotonic_ns`.
    pub fn asleep_ns(&self, now_ns: u64) -> u64 {
        // The core may wake between the two reads, and its two stores may be seen one without the
        // other: then the number is off by one sleep, and right at the next read.
        let since_ns = self.asleep_since_ns.get();
        let under_way = if since_ns > 0 { now_ns.saturating_sub(since_ns) } else { 0 };
        self.asleep_ns.get() + under_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_counted_once_and_while_it_lasts() {
        let turns = Turns::default();
        turns.observe(Observed::Woke { at_ns: 5 });
        turns.observe(Observed::Sleeps { at_ns: 10 });
        assert_eq!(turns.asleep_ns(30), 20);
        turns.observe(Observed::Woke { at_ns: 50 });
        assert_eq!(turns.asleep_ns(80), 40);
        turns.observe(Observed::Sleeps { at_ns: 100 });
        assert_eq!(turns.asleep_ns(101), 41);
    }

    #[test]
    fn a_system_call_without_sends_is_not_counted_as_a_batch() {
        let turns = Turns::default();
        turns.observe(Observed::Entered { calls: 1, sends: 0 });
        turns.observe(Observed::Entered { calls: 2, sends: 48 });
        assert_eq!((turns.enters.get(), turns.enter_sends.sum()), (3, 48));
        assert_eq!(turns.enter_sends.counts().iter().sum::<u64>(), 1);
    }
}
