//! A number that one core writes and any thread may read.
//!
//! # Always true
//! - One writer per counter, so an increment is a load and a store, not a locked instruction.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one core writes and any thread may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds an amount; only on the core that owns this counter.
    pub fn add(&self, amount: u64) {
        // Relaxed load and store, not `fetch_add`: there is no second writer.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Subtracts an amount, for gauges; only on the core that owns this counter.
    pub fn sub(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(amount), Ordering::Relaxed);
    }

    /// Sets the number, for points in time; only on the core that owns this counter.
    pub fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    /// The current number; on any thread.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_and_equal_subtractions_leave_a_gauge_at_zero() {
        let counter = Counter::default();
        counter.add(3);
        counter.sub(2);
        counter.add(1);
        counter.sub(2);
        assert_eq!(counter.get(), 0);
    }
}
