//! The broker-wide byte budget: how much all cores hold, and what gives way above it.
//!
//! Every portion is counted while anybody refers to it: queues, logs, sends under way, letters.
//! Above seven eighths of `limits.memory_max` the oldest kept messages go; above all of it publishes
//! are refused.
//!
//! # Always true
//! - A portion is counted once, however many queues share it, until its last reference is gone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::{Bytes, BytesMut};

use super::letter::Request;
use super::{Broker, Now};
use crate::protocol::{Sequence, TopicId};

/// What a portion costs beside its frames: its owner, its place in a log, allocator rounding.
const PORTION_LEN: i64 = 160;
/// What an entry of a queue costs.
const ENTRY_LEN: i64 = 96;
/// Other cores are asked to give memory up at most this often.
const ASK_EVERY_NS: u64 = 20_000_000;

/// What portions that nobody shares count.
pub(super) fn bytes_of(portions: u64, frame_bytes: u64) -> u64 {
    portions * PORTION_LEN as u64 + frame_bytes
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
    frames.capacity() as i64 + PORTION_LEN
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

    /// Whether more is held than may be.
    pub fn is_full(&self) -> bool {
        self.exceeds(self.budget.max.load(Ordering::Relaxed))
    }

    fn is_nearly_full(&self) -> bool {
        self.exceeds(self.budget.max.load(Ordering::Relaxed) / 8 * 7)
    }

    fn exceeds(&self, bytes: i64) -> bool {
        self.budget.held.load(Ordering::Relaxed) > bytes
    }
}

/// Kept portions of a core, oldest first; some of them may be gone already.
#[derive(Debug, Default)]
pub struct Kept {
    oldest: VecDeque<(TopicId, Sequence)>,
    /// How many there really are, so that those that are gone never outnumber them by much.
    portions: usize,
    /// Topics by when to look whether they are idle, soonest first.
    idle: VecDeque<(u64, TopicId)>,
    asked_others_ns: u64,
    entries_not_counted: i64,
}

impl Kept {
    /// When topics have to be looked at again.
    pub fn check_at_ns(&self) -> Option<u64> {
        self.idle.front().map(|(at, _)| *at)
    }

    /// `queues.topic_idle_timeout_ms` was one and is another. All wait equally long, so all wait as much
    /// longer or shorter, and stay in order.
    pub fn idle_timeout_changes(&mut self, old_ns: u64, new_ns: u64) {
        for (at, _) in &mut self.idle {
            *at = at.saturating_sub(old_ns) + new_ns;
        }
    }

    /// A queue has become longer or shorter.
    pub fn count_entries(&mut self, before: usize, after: usize) {
        self.entries_not_counted += after as i64 - before as i64;
    }
}

impl Broker {
    /// Notes that a topic of this core keeps a portion, and how many it kept before.
    pub(super) fn kept(&mut self, now: Now, topic: TopicId, first: Sequence, before: usize) {
        let shard = self.cluster.shard_of_id(topic);
        let topic_kept = self.shard_mut(shard).topic_mut(topic);
        let after = topic_kept.log.portions();
        topic_kept.last_message_ns = now.monotonic_ns;
        let watched = topic_kept.watched_for_idleness;
        topic_kept.watched_for_idleness |= after > 0;
        self.kept.portions = self.kept.portions + after - before;
        if after == 0 {
            return;
        }
        self.kept.oldest.push_back((topic, first));
        if !watched {
            self.kept.idle.push_back((now.monotonic_ns + self.idle_timeout_ns(), topic));
        }
        if self.kept.oldest.len() > self.kept.portions * 2 + 64 {
            let mut oldest = std::mem::take(&mut self.kept.oldest);
            oldest.retain(|(topic, first)| {
                let shard = self.cluster.shard_of_id(*topic);
                self.shard_mut(shard)
                    .topic_mut(*topic)
                    .log
                    .first()
                    .is_some_and(|kept| kept <= *first)
            });
            self.kept.oldest = oldest;
        }
    }

    /// Whether there is room for another message, after the oldest kept ones have given way.
    pub(super) fn has_memory(&mut self) -> bool {
        if self.cluster.memory.is_full() {
            self.give_up_kept();
        }
        !self.cluster.memory.is_full()
    }

    /// Keeps the budget, and gives up what idle topics keep. Once per turn.
    pub(super) fn tend_memory(&mut self, now: Now) {
        let entries = std::mem::take(&mut self.kept.entries_not_counted);
        if entries != 0 {
            self.cluster.memory.budget.held.fetch_add(entries * ENTRY_LEN, Ordering::Relaxed);
        }
        let is_unused = self.encodings.check_at_ns().is_some_and(|at| at <= now.monotonic_ns);
        if is_unused || self.cluster.memory.is_nearly_full() {
            self.encodings.clear();
        }
        if self.cluster.memory.is_nearly_full() {
            self.give_up_kept();
            let rested = now.monotonic_ns - self.kept.asked_others_ns >= ASK_EVERY_NS;
            if self.cluster.memory.is_nearly_full() && rested {
                self.kept.asked_others_ns = now.monotonic_ns;
                for core in self.others() {
                    self.outgoing[core].ask(Request::GiveUpKept);
                }
            }
        }
        while let Some(&(at, topic)) = self.kept.idle.front()
            && at <= now.monotonic_ns
        {
            self.kept.idle.pop_front();
            let timeout_ns = self.idle_timeout_ns();
            let shard = self.cluster.shard_of_id(topic);
            let idle = self.shard_mut(shard).topic_mut(topic);
            let idle_at = idle.last_message_ns + timeout_ns;
            if idle.log.portions() == 0 {
                idle.watched_for_idleness = false;
            } else if idle_at <= now.monotonic_ns {
                idle.watched_for_idleness = false;
                let portions = idle.log.portions();
                idle.log.give_up_all();
                self.kept.portions -= portions;
            } else {
                // All wait equally long, so the end of the list is where it belongs, nearly.
                self.kept.idle.push_back((idle_at, topic));
            }
        }
    }

    /// Gives up this core's oldest kept messages until the budget has air again, and if that is not
    /// enough, what NATS clients were sent lately.
    pub(super) fn give_up_kept(&mut self) {
        while self.cluster.memory.is_nearly_full()
            && let Some((topic, first)) = self.kept.oldest.pop_front()
        {
            let shard = self.cluster.shard_of_id(topic);
            let log = &mut self.shard_mut(shard).topic_mut(topic).log;
            if log.first() == Some(first) {
                log.give_up_oldest();
                self.kept.portions -= 1;
                self.counters.evicted_portions.add(1);
            }
        }
        // Behind kept messages, which cannot be made again.
        if self.cluster.memory.is_nearly_full() {
            self.encodings.clear();
        }
    }

    pub(super) fn idle_timeout_ns(&self) -> u64 {
        u64::from(self.cluster.settings.queues.topic_idle_timeout_ms) * 1_000_000
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
        assert_eq!(memory.held(), 500 + PORTION_LEN as u64);
        drop(whole);
        drop(part);
        assert_eq!(memory.held(), 500 + PORTION_LEN as u64);
        assert_eq!(copy[..], [7; 10]);
        let mut roomy = BytesMut::with_capacity(300);
        roomy.extend_from_slice(b"few");
        let roomy = memory.count(roomy);
        assert_eq!(memory.held(), 500 + 300 + 2 * PORTION_LEN as u64, "unused room counts");
        drop(roomy);
        drop(copy);
        assert_eq!(memory.held(), 0);
    }
}
