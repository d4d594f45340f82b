//! A number that one core writes and any thread may read.
//!
//! # Always true
//! - One writer per counter, so a bump is a load and a store, not a locked instruction.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one core writes and any thread may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds, on the core that owns this counter.
    pub fn add(&self, amount: u64) {
        // Relaxed load and store, not `fetch_add`: there is no second writer to lose.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Takes away, on the core that owns this counter; for gauges.
    pub fn sub(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(amount), Ordering::Relaxed);
    }

    /// Says a new number, on the core that owns this counter; for points in time.
    pub fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    /// The number now, from any thread.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_returns_to_where_it_was() {
        let counter = Counter::default();
        counter.add(3);
        counter.sub(2);
        counter.add(1);
        counter.sub(2);
        assert_eq!(counter.get(), 0);
    }
}
