//! The broker-wide byte budget: how much all cores hold, and what gives way above it.
//!
//! Every slice is counted while anybody refers to it: queues, logs, sends under way, mesh messages.
//! Above seven eighths of `limits.memory_max` the oldest retained messages go; above all of it publishes
//! are refused.
//!
//! # Always true
//! - A slice is counted once, however many queues share it, until its last reference is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::{Bytes, BytesMut};

/// What a slice costs beside its frames: its owner, its place in a log, allocator rounding.
const SLICE_LEN: i64 = 160;
/// What an entry of a queue costs.
const ENTRY_LEN: i64 = 96;

/// What slices that nobody shares count for.
pub(super) fn bytes_of(slices: u64, frame_bytes: u64) -> u64 {
    slices * SLICE_LEN as u64 + frame_bytes
}

/// How many bytes all cores hold, and may.
#[derive(Debug, Clone)]
pub struct Memory {
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Budget {
    held: AtomicI64,
    // Beside what every core changes all the time: whoever reads one wants the other.
    max: AtomicI64,
}

/// Frames, and their place in the budget.
struct Counted {
    frames: BytesMut,
    budget: Arc<Budget>,
}

/// With the room that is not used: it is held as well.
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

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.budget.held.load(Ordering::Relaxed).max(0) as u64
    }

    /// Bytes that may be held.
    pub fn max(&self) -> u64 {
        self.budget.max.load(Ordering::Relaxed) as u64
    }

    /// From now on so many may, on all cores.
    pub fn set_max(&self, max: u64) {
        self.budget.max.store(max as i64, Ordering::Relaxed);
    }

    /// Counts frames until the last reference to them is gone.
    pub fn count(&self, frames: BytesMut) -> Bytes {
        self.budget.held.fetch_add(counted_len(&frames), Ordering::Relaxed);
        Bytes::from_owner(Counted { frames, budget: self.budget.clone() })
    }

    /// Counts entries of queues, also fewer.
    pub fn count_entries(&self, entries: i64) {
        self.budget.held.fetch_add(entries * ENTRY_LEN, Ordering::Relaxed);
    }

    /// Whether more is held than may be.
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
    fn frames_are_counted_until_the_last_reference_to_any_part_is_gone() {
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
