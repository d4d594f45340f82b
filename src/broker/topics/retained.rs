//! What the topics of this core retain for replay, and when they let go of it.
//!
//! # Always true
//! - Under memory pressure the oldest retained messages of a core go first, whatever their topic.
//! - A topic without messages for `queues.topic_idle_timeout_ms` retains none.

use std::collections::VecDeque;

use super::Topics;
use crate::broker::clock::{Now, ms_to_ns};
use crate::broker::memory::bytes_of;
use crate::broker::timers::Timers;
use crate::limits::EVICTED_PER_TURN_MAX;
use crate::protocol::{Sequence, TopicId};

/// The retained slices of a core, oldest first; some of them may be gone already.
#[derive(Debug, Default)]
pub(super) struct Retained {
    oldest: VecDeque<(TopicId, Sequence)>,
    /// How many there really are, so that those that are gone never outnumber them by much.
    slices: usize,
}

impl Topics {
    /// Notes that a topic retains a slice, and how many slices it retained before.
    pub(super) fn note_retained(
        &mut self,
        now: Now,
        timers: &mut Timers,
        topic: TopicId,
        first: Sequence,
        before: usize,
    ) {
        let idle_timeout_ns = self.idle_timeout_ns();
        let retaining = self.topic_mut(topic);
        let after = retaining.log.slices();
        retaining.last_message_ns = now.monotonic_ns;
        let is_watched = retaining.watched_for_idleness;
        retaining.watched_for_idleness |= after > 0;
        self.retained.slices = self.retained.slices + after - before;
        self.cluster.memory.note_retained(self.core, self.retained.slices);
        if after == 0 {
            return;
        }
        self.retained.oldest.push_back((topic, first));
        if !is_watched {
            timers.set_topic(now.monotonic_ns + idle_timeout_ns, topic);
        }
        if self.retained.oldest.len() > self.retained.slices * 2 + 64 {
            let mut oldest = std::mem::take(&mut self.retained.oldest);
            oldest.retain(|(topic, first)| {
                self.topic_mut(*topic).log.first().is_some_and(|retained| retained <= *first)
            });
            self.retained.oldest = oldest;
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
            let log = &mut self.topic_mut(topic).log;
            if log.first() == Some(first) {
                log.evict_oldest();
                self.retained.slices -= 1;
                self.counters.evicted_slices.add(1);
            }
        }
        self.cluster.memory.note_retained(self.core, self.retained.slices);
        self.retained.slices > 0
    }

    /// Evicts what idle topics retain.
    pub fn evict_idle(&mut self, now: Now, timers: &mut Timers) {
        let timeout_ns = self.idle_timeout_ns();
        while let Some(topic) = timers.take_due_topic(now) {
            let idle = self.topic_mut(topic);
            let idle_at_ns = idle.last_message_ns + timeout_ns;
            let slices = idle.log.slices();
            idle.watched_for_idleness = false;
            if slices == 0 {
                continue;
            }
            if idle_at_ns <= now.monotonic_ns {
                idle.log.evict_all();
                self.retained.slices -= slices;
                self.cluster.memory.note_retained(self.core, self.retained.slices);
            } else {
                idle.watched_for_idleness = true;
                // All wait equally long, so the end of the queue is where it belongs, nearly.
                timers.set_topic(idle_at_ns, topic);
            }
        }
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
