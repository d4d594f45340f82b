//! The broker-wide memory budget: the bytes that all cores hold together, and their limit.
//!
//! Every slice is counted while a queue, a log, a send under way or a mesh message refers to it.
//! Above seven eighths of `limits.memory_max` the oldest retained messages are evicted, then those who
//! hold more than their fair share lose what they hold; above the limit publishes wait for that, and
//! are refused if nothing can be reclaimed.
//!
//! # Always true
//! - A slice is counted once, however many queues share it, until the last reference is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::{Bytes, BytesMut};

use super::counter::Counter;
use crate::protocol::CoreId;

/// Estimated bytes of a slice beside its frames: its owner, its place in a log, allocator rounding.
const SLICE_LEN: i64 = 160;
/// The unit that the allocator takes large blocks in.
const PIECE_LEN: u64 = 64 << 10;
/// Estimated bytes of a topic beside its name: its places in three tables, and what its publisher's
/// connection remembers of it. Measured with a million topics.
const TOPIC_LEN: u64 = 700;
/// So many topics there may be, however small the budget: the smallest that can be configured has room
/// for more.
const TOPICS_MIN: u32 = 200;
/// Estimated bytes of an entry of a queue.
const ENTRY_LEN: i64 = 96;

/// The bytes that slices count for, without memory that their batches do not use.
pub(super) fn bytes_of(slices: u64, frame_bytes: u64) -> u64 {
    slices * SLICE_LEN as u64 + frame_bytes
}

/// The bytes that a topic with a name of this length counts for, without what it retains.
pub(super) fn bytes_of_topic(name_len: usize) -> u64 {
    TOPIC_LEN + name_len as u64
}

/// Classes of holders by bytes.
pub(super) const CLASSES: usize = 252;
/// Classes for each doubling: two bits behind the first.
const STEPS_LOG2: u32 = 2;

/// A range of bytes, a quarter to a fifth of them wide: holders are told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class(u8);

impl Class {
    /// The class of so many bytes.
    pub fn of(bytes: u64) -> Class {
        let bytes = bytes.max(1 << STEPS_LOG2);
        let shift = bytes.ilog2() - STEPS_LOG2;
        let step = (bytes >> shift) as u32 - (1 << STEPS_LOG2);
        Class((shift << STEPS_LOG2 | step) as u8)
    }

    /// The fewest bytes of this class.
    fn bytes_min(self) -> u64 {
        let (shift, step) = (self.0 >> STEPS_LOG2, self.0 & ((1 << STEPS_LOG2) - 1));
        u64::from((1 << STEPS_LOG2) + step) << shift
    }

    /// More than any of this class holds, by the least that is more.
    fn bytes_max(self) -> u64 {
        let (shift, step) = (self.0 >> STEPS_LOG2, self.0 & ((1 << STEPS_LOG2) - 1));
        u64::from((1 << STEPS_LOG2) + step + 1).saturating_mul(1 << shift)
    }

    /// Its place among all classes.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What one core holds that can be taken from its holders. Only this core writes here.
#[derive(Debug)]
#[repr(align(128))]
struct OfCore {
    /// Connections and groups by class.
    holders: [Counter; CLASSES],
    /// Retained slices.
    retained: Counter,
    /// 1 while subscriptions of connections that have gone are being freed.
    leaving: Counter,
}

/// The bytes that so many entries of queues hold at most, if nobody else holds their slices.
pub(super) fn bytes_of_entries(entries: usize, frame_bytes: u64) -> u64 {
    entries as u64 * (SLICE_LEN + ENTRY_LEN) as u64 + frame_bytes
}

/// The bytes of so many entries of queues, without the slices that they refer to.
pub(super) fn entry_bytes(entries: usize) -> u64 {
    entries as u64 * ENTRY_LEN as u64
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
    of_cores: Box<[OfCore]>,
}

/// Frames that are counted in the budget until they are dropped.
struct Counted {
    frames: BytesMut,
    /// What they count for.
    bytes: i64,
    budget: Arc<Budget>,
}

/// Bytes that are counted in the budget until this is dropped.
#[derive(Debug)]
pub struct Held {
    bytes: u64,
    budget: Arc<Budget>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes as i64, Ordering::Relaxed);
    }
}

/// Includes unused capacity, which is held as well.
fn counted_len(frames: &BytesMut) -> i64 {
    allocated(frames.capacity() as u64) as i64 + SLICE_LEN
}

/// What the allocator takes for so many bytes: it has four sizes for each doubling, and whole pieces of
/// [`PIECE_LEN`] for what is larger than two of them.
fn allocated(bytes: u64) -> u64 {
    match bytes > 2 * PIECE_LEN {
        true => bytes.next_multiple_of(PIECE_LEN),
        false => bytes.next_multiple_of((bytes.next_power_of_two() / 8).max(8)),
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.frames
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Memory {
    /// A budget of `max` bytes for one core.
    pub fn new(max: u64) -> Memory {
        Memory::of_cores(max, 1)
    }

    /// A budget of `max` bytes for so many cores.
    pub fn of_cores(max: u64, cores: u16) -> Memory {
        let (held, max) = (AtomicI64::new(0), AtomicI64::new(max as i64));
        let of_core = |_| OfCore {
            holders: std::array::from_fn(|_| Counter::default()),
            retained: Counter::default(),
            leaving: Counter::default(),
        };
        let of_cores = (0..cores).map(of_core).collect();
        Memory { budget: Arc::new(Budget { held, max, of_cores }) }
    }

    /// A connection or group of a core holds more or less than before.
    pub fn move_holder(&self, core: CoreId, from: Option<Class>, to: Option<Class>) {
        let holders = &self.budget.of_cores[usize::from(core.0)].holders;
        if let Some(from) = from {
            holders[from.index()].sub(1);
        }
        if let Some(to) = to {
            holders[to.index()].add(1);
        }
    }

    /// Notes how many slices the topics of a core retain.
    pub fn note_retained(&self, core: CoreId, slices: usize) {
        self.budget.of_cores[usize::from(core.0)].retained.set(slices as u64);
    }

    /// Notes whether a core frees what subscriptions hold that are over.
    pub fn note_leaving(&self, core: CoreId, is_leaving: bool) {
        self.budget.of_cores[usize::from(core.0)].leaving.set(u64::from(is_leaving));
    }

    /// Whether some core frees what subscriptions hold that are over.
    fn is_leaving(&self) -> bool {
        self.budget.of_cores.iter().any(|of_core| of_core.leaving.get() > 0)
    }

    /// Whether some core has retained messages that can be evicted.
    pub fn has_retained(&self) -> bool {
        self.budget.of_cores.iter().any(|of_core| of_core.retained.get() > 0)
    }

    /// The bytes that every holder may hold, however short memory is: three quarters of the budget
    /// without what those hold that hold less, divided by the number of those that hold more, and one
    /// more that wants some. The last quarter is for everything that no holder can give back at once.
    pub fn fair_share(&self) -> u64 {
        self.fair_share_and_largest().0
    }

    /// Whether something can still be taken from those who hold it: retained messages, what a connection
    /// or group holds beyond its fair share, or what subscriptions hold that are over.
    pub fn can_reclaim(&self) -> bool {
        let (share, largest) = self.fair_share_and_largest();
        largest.is_some_and(|largest| largest.bytes_min() > share)
            || self.has_retained()
            || self.is_leaving()
    }

    fn fair_share_and_largest(&self) -> (u64, Option<Class>) {
        let of_class = |class: usize| -> u64 {
            self.budget.of_cores.iter().map(|of_core| of_core.holders[class].get()).sum()
        };
        let holders: [u64; CLASSES] = std::array::from_fn(of_class);
        let largest = holders.iter().rposition(|of_class| *of_class > 0);
        let largest = largest.map(|class| Class(class as u8));
        let mut shared = self.max() / 4 * 3;
        let mut sharing = holders.iter().sum::<u64>() + 1;
        for (class, of_class) in holders.into_iter().enumerate().filter(|(_, n)| *n > 0) {
            let holds_at_most = Class(class as u8).bytes_max();
            if holds_at_most > shared / sharing {
                break;
            }
            shared -= of_class * holds_at_most;
            sharing -= of_class;
        }
        (shared / sharing, largest)
    }

    /// Bytes held.
    pub fn held(&self) -> u64 {
        self.budget.held.load(Ordering::Relaxed).max(0) as u64
    }

    /// The most bytes that may be held.
    pub fn max(&self) -> u64 {
        self.budget.max.load(Ordering::Relaxed) as u64
    }

    /// How many topics there may be: those that fill half of the budget. They go when they are idle for long,
    /// not when memory is short, so messages need the other half.
    pub fn topics_max(&self) -> u32 {
        u32::try_from(self.max() / 2 / TOPIC_LEN).unwrap_or(u32::MAX).max(TOPICS_MIN)
    }

    /// Counts a topic with a name of this length until what is returned is dropped.
    pub fn count_topic(&self, name_len: usize) -> Held {
        let bytes = bytes_of_topic(name_len);
        self.budget.held.fetch_add(bytes as i64, Ordering::Relaxed);
        Held { bytes, budget: self.budget.clone() }
    }

    /// Changes the most bytes that may be held, for all cores.
    pub fn set_max(&self, max: u64) {
        self.budget.max.store(max as i64, Ordering::Relaxed);
    }

    /// Counts frames until the last reference to them is dropped.
    pub fn count(&self, frames: BytesMut) -> Bytes {
        let bytes = counted_len(&frames);
        self.budget.held.fetch_add(bytes, Ordering::Relaxed);
        Bytes::from_owner(Counted { frames, bytes, budget: self.budget.clone() })
    }

    /// Counts entries that queues have gained, and bytes that connections hold besides; negative numbers
    /// if they have lost some.
    pub fn count_entries(&self, entries: i64, bytes: i64) {
        self.budget.held.fetch_add(entries * ENTRY_LEN + bytes, Ordering::Relaxed);
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
    fn a_block_counts_for_what_the_allocator_takes() {
        assert_eq!((allocated(0), allocated(512), allocated(513)), (0, 512, 640));
        assert_eq!(allocated((32 << 10) + 52), 40 << 10);
        assert_eq!(allocated((128 << 10) + 1), 192 << 10);
    }

    #[test]
    fn classes_rise_with_bytes_and_are_at_most_a_quarter_wide() {
        let mut bytes: u64 = 1;
        while bytes < u64::MAX / 9 {
            let class = Class::of(bytes);
            assert!(class.bytes_min() <= bytes.max(4) && class.index() < CLASSES);
            let next = bytes + bytes / 8 + 1;
            assert!(Class::of(next) >= class);
            assert!(bytes < 4 || Class::of(bytes + bytes / 4 + 1) > class, "{bytes}");
            bytes = next;
        }
        assert!(Class::of(u64::MAX).index() < CLASSES);
    }

    /// Goal: a fair share is what those that hold more can be cut down to, so that all together hold
    /// three quarters.
    #[test]
    fn the_fair_share_is_divided_among_those_that_hold_more() {
        const MIB: u64 = 1 << 20;
        let of = |held: &[u64]| {
            let memory = Memory::of_cores(64 * MIB, 2);
            for (at, bytes) in held.iter().enumerate() {
                memory.move_holder(CoreId(at as u16 % 2), None, Some(Class::of(*bytes)));
            }
            (memory.fair_share(), memory.can_reclaim())
        };
        assert_eq!(of(&[]), (48 * MIB, false));
        assert_eq!(of(&[60 * MIB]), (24 * MIB, true));
        // Those of 2 MiB count as 2.5 MiB, which is what their class holds at most.
        assert_eq!(of(&[20 * MIB, 2 * MIB, 2 * MIB]), (43 * MIB / 2, false));
        assert_eq!(of(&[60 * MIB, 2 * MIB, 2 * MIB]), (43 * MIB / 2, true));
        assert_eq!(of(&[MIB; 95]), (MIB / 2, true));
        let mut many = [4 * MIB; 16];
        many[0] = 6 * MIB;
        assert_eq!(of(&many), (48 * MIB / 17, true), "one that holds a little more hides nobody");
        let memory = Memory::new(64 * MIB);
        memory.note_retained(CoreId(0), 1);
        assert!(memory.can_reclaim());
        memory.note_retained(CoreId(0), 0);
        assert!(!memory.can_reclaim());
        memory.note_leaving(CoreId(0), true);
        assert!(memory.can_reclaim());
    }

    #[test]
    fn frames_are_counted_until_the_last_reference_to_any_part_is_dropped() {
        let memory = Memory::new(1_000);
        let mut whole = memory.count(BytesMut::from(&[7; 500][..]));
        let part = whole.split_to(10);
        let copy = part.clone();
        assert_eq!(memory.held(), 512 + SLICE_LEN as u64);
        drop(whole);
        drop(part);
        assert_eq!(memory.held(), 512 + SLICE_LEN as u64);
        assert_eq!(copy[..], [7; 10]);
        let mut roomy = BytesMut::with_capacity(300);
        roomy.extend_from_slice(b"few");
        let roomy = memory.count(roomy);
        assert_eq!(memory.held(), 512 + 320 + 2 * SLICE_LEN as u64, "unused room counts");
        drop(roomy);
        drop(copy);
        assert_eq!(memory.held(), 0);
    }
}
