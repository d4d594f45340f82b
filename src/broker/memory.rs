//! The broker-wide memory budget: the bytes that all cores hold together, and their limit.
//!
//! Every slice is counted while a queue, a log, a send under way or a mesh message refers to it.
//! Above seven eighths of `limits.memory_max` the oldest retained messages are evicted; above the
//! limit publishes are refused.
//!
//! # Always true
//! - A slice is counted once, however many queues share it, until the last reference is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::{Bytes, BytesMut};

/// Estimated bytes of a slice beside its frames: its owner, its place in a log, allocator rounding.
const SLICE_LEN: i64 = 160;
/// Estimated bytes of an entry of a queue.
const ENTRY_LEN: i64 = 96;

/// The bytes that slices count for, without memory that their batches do not use.
pub(super) fn bytes_of(slices: u64, frame_bytes: u64) -> u64 {
    slices * SLICE_LEN as u64 + frame_bytes
}

/// The bytes that all cores hold, and the most they may hold. Clones share the budget.
#[derive(Debug, Clone)]
pub struct Memory {
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Budget {
    held: AtomicI64,
    // Beside `held`, which every core writes all the time: readers of one need the other too.
    max: AtomicI64,
}

/// Frames that are counted in the budget until they are dropped.
struct Counted {
    frames: BytesMut,
    budget: Arc<Budget>,
}

/// Includes unused capacity, which is held as well.
fn counted_len(frames: &BytesMut) -> i64 {
    frames.capacity() as i64 + SLICE_LEN
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.frames
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(counted_len(&self.frames), Ordering::Relaxed);
    }
}

impl Memory {
    /// A budget of `max` bytes.
    pub fn new(max: u64) -> Memory {
        let (held, max) = (AtomicI64::new(0), AtomicI64::new(max as i64));
        Memory { budget: Arc::new(Budget { held, max }) }
    }

    /// Bytes held.
    pub fn held(&self) -> u64 {
        self.budget.held.load(Ordering::Relaxed).max(0) as u64
    }

    /// The most bytes that may be held.
    pub fn max(&self) -> u64 {
        self.budget.max.load(Ordering::Relaxed) as u64
    }

    /// Changes the most bytes that may be held, for all cores.
    pub fn set_max(&self, max: u64) {
        self.budget.max.store(max as i64, Ordering::Relaxed);
    }

    /// Counts frames until the last reference to them is dropped.
    pub fn count(&self, frames: BytesMut) -> Bytes {
        self.budget.held.fetch_add(counted_len(&frames), Ordering::Relaxed);
        Bytes::from_owner(Counted { frames, budget: self.budget.clone() })
    }

    /// Counts entries that queues have gained, or lost if negative.
    pub fn count_entries(&self, entries: i64) {
        self.budget.held.fetch_add(entries * ENTRY_LEN, Ordering::Relaxed);
    }

    /// Whether more is held than allowed.
    pub fn is_full(&self) -> bool {
        self.exceeds(self.budget.max.load(Ordering::Relaxed))
    }

    /// Whether less than an eighth of the budget is left.
    pub fn is_nearly_full(&self) -> bool {
        self.exceeds(self.budget.max.load(Ordering::Relaxed) / 8 * 7)
    }

    fn exceeds(&self, bytes: i64) -> bool {
        self.budget.held.load(Ordering::Relaxed) > bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_until_the_last_reference_to_any_part_is_dropped() {
        let memory = Memory::new(1_000);
        let mut whole = memory.count(BytesMut::from(&[7; 500][..]));
        let part = whole.split_to(10);
        let copy = part.clone();
        assert_eq!(memory.held(), 500 + SLICE_LEN as u64);
        drop(whole);
        drop(part);
        assert_eq!(memory.held(), 500 + SLICE_LEN as u64);
        assert_eq!(copy[..], [7; 10]);
        let mut roomy = BytesMut::with_capacity(300);
        roomy.extend_from_slice(b"few");
        let roomy = memory.count(roomy);
        assert_eq!(memory.held(), 500 + 300 + 2 * SLICE_LEN as u64, "unused room counts");
        drop(roomy);
        drop(copy);
        assert_eq!(memory.held(), 0);
    }
}
