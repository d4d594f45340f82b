//! What the topics of this core retain for replay, and when they let go of it.
//!
//! # Always true
//! - Under memory pressure the oldest retained messages of a core go first, whatever their topic.
//! - A topic without messages for `queues.topic_idle_timeout_ms` retains none, and is removed if nobody
//!   subscribes to it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Log, Topics};
use crate::broker::clock::{Now, ms_to_ns};
use crate::broker::memory::bytes_of;
use crate::broker::message::TopicName;
use crate::broker::timers::Timers;
use crate::limits::EVICTED_PER_TURN_MAX;
use crate::protocol::{Sequence, ShardId, TopicId};

/// The retained slices of a core, oldest first; some of them may be gone already.
#[derive(Debug, Default)]
pub(super) struct Retained {
    oldest: VecDeque<(TopicId, Sequence)>,
    /// How many there really are, so that those that are gone never outnumber them by much.
    slices: usize,
}

impl Topics {
    /// Notes that a topic retains a slice, and how many slices it retained before and does now.
    pub(super) fn note_retained(
        &mut self,
        topic: TopicId,
        first: Sequence,
        before: usize,
        after: usize,
    ) {
        self.retained.slices = self.retained.slices + after - before;
        self.cluster.memory.note_retained(self.core, self.retained.slices);
        if after == 0 {
            return;
        }
        self.retained.oldest.push_back((topic, first));
        if self.retained.oldest.len() > self.retained.slices * 2 + 64 {
            let mut oldest = std::mem::take(&mut self.retained.oldest);
            oldest.retain(|(topic, first)| {
                let log = self.topic_mut(*topic).map(|topic| &topic.log);
                log.and_then(Log::first).is_some_and(|retained| retained <= *first)
            });
            self.retained.oldest = oldest;
        }
    }

    /// Watches topics that were made for idleness.
    pub(super) fn watch_made(&mut self, now: Now, timers: &mut Timers, shard: ShardId) {
        let at_ns = now.monotonic_ns + self.idle_timeout_ns();
        while let Some(topic) = self.shard_mut(shard).take_made() {
            timers.set_topic(at_ns, topic);
        }
    }

    /// Evicts the oldest retained messages of this core until the budget has air again, so many a turn.
    /// Returns whether more can be evicted.
    pub fn evict(&mut self) -> bool {
        for _ in 0..EVICTED_PER_TURN_MAX {
            if !self.cluster.memory.is_nearly_full() {
                break;
            }
            let Some((topic, first)) = self.retained.oldest.pop_front() else { break };
            let Some(topic) = self.topic_mut(topic) else { continue };
            if topic.log.first() == Some(first) {
                topic.log.evict_oldest();
                self.retained.slices -= 1;
                self.counters.evicted_slices.add(1);
            }
        }
        self.cluster.memory.note_retained(self.core, self.retained.slices);
        self.retained.slices > 0
    }

    /// Evicts what the next topic that was idle for too long retains. Returns the topic unless publishers
    /// wait for it: the topic is to be kept, or removed. `left` is how many topics may still be looked at, and
    /// slices evicted, beyond those of the last topic.
    pub fn next_idle(
        &mut self,
        now: Now,
        timers: &mut Timers,
        left: &mut usize,
    ) -> Option<Arc<TopicName>> {
        let timeout_ns = self.idle_timeout_ns();
        while *left > 0 {
            *left -= 1;
            let id = timers.take_due_topic(now)?;
            let is_blocked = self.is_blocked(id);
            let Some(topic) = self.topic_mut(id) else { continue };
            let idle_at_ns = topic.used_ns + timeout_ns;
            if idle_at_ns > now.monotonic_ns || is_blocked {
                // All wait equally long, so the end of the queue is where it belongs, nearly.
                timers.set_topic(idle_at_ns.max(now.monotonic_ns + 1), id);
                continue;
            }
            let slices = topic.log.slices();
            topic.log.evict_all();
            *left = left.saturating_sub(slices);
            let name = topic.name.clone();
            self.retained.slices -= slices;
            self.cluster.memory.note_retained(self.core, self.retained.slices);
            return Some(name);
        }
        None
    }

    /// Keeps an idle topic that somebody needs.
    pub fn keep(&self, now: Now, timers: &mut Timers, topic: &TopicName) {
        timers.set_topic(now.monotonic_ns + self.idle_timeout_ns(), topic.id);
    }

    /// Removes an idle topic. Its name may become another topic, under another id.
    pub fn remove(&mut self, topic: &TopicName) {
        let shard = self.cluster.shard_of_id(topic.id);
        self.shard_mut(shard).remove(topic.id);
    }

    /// How long a topic without messages retains what it has.
    pub fn idle_timeout_ns(&self) -> u64 {
        ms_to_ns(self.cluster.settings.queues.topic_idle_timeout_ms)
    }

    /// How many slices the logs of this core retain, and what those count for in the memory budget
    /// at least: room that a batch does not use counts there, too.
    pub fn retained(&self) -> (u64, u64) {
        let logs = || self.iter().map(|topic| &topic.log);
        let slices = logs().map(|log| log.slices() as u64).sum();
        (slices, bytes_of(slices, logs().map(|log| log.bytes()).sum()))
    }
}
