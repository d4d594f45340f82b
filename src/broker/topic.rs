//! A topic, as its owner keeps it and as other cores know it.

use std::sync::Arc;

use super::interest::CoreSet;
use super::log::Log;
use crate::protocol::name::SYSTEM_PREFIX;
use crate::protocol::{CoreId, Sequence, TopicId};

/// What every core may know of a topic. It never changes.
#[derive(Debug, PartialEq, Eq)]
pub struct TopicName {
    /// Never used again while the server runs; [`PASSING`] for a topic that is not kept.
    pub id: TopicId,
    /// The core that orders it.
    pub owner: CoreId,
    /// The topic.
    pub name: Arc<str>,
}

/// The id of every topic that is not kept: its one batch of messages passes, and it is forgotten.
pub const PASSING: TopicId = TopicId(0);

impl TopicName {
    /// Whether the owner keeps it: it has an id of its own, sequences and a log.
    pub fn is_kept(&self) -> bool {
        self.id != PASSING
    }

    /// Tells topics apart, also those that are not kept, as long as somebody holds them.
    pub fn key(self: &Arc<TopicName>) -> TopicKey {
        match self.is_kept() {
            true => TopicKey(u64::from(self.id.0)),
            false => TopicKey(Arc::as_ptr(self) as u64 | 1 << 63),
        }
    }

    /// What gaps are joined by. Topics that are not kept are taken together: each had a batch of its
    /// own, so to tell them apart would take as many gaps as there were batches. The broker's own
    /// are apart from the others, because what is missed of them is not told to NATS clients.
    pub fn run_key(&self) -> TopicKey {
        match self.is_kept() {
            true => TopicKey(u64::from(self.id.0)),
            false if self.name.starts_with(SYSTEM_PREFIX) => TopicKey(u64::MAX),
            false => TopicKey(u64::MAX - 1),
        }
    }
}

/// What tells a topic from others, see [`TopicName::key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopicKey(u64);

/// What the owner keeps.
#[derive(Debug)]
pub struct Topic {
    /// Shared with whoever has to name it.
    pub name: Arc<TopicName>,
    /// The sequence the next message gets.
    pub next_sequence: Sequence,
    /// Its last messages.
    pub log: Log,
    /// When the last one was accepted.
    pub last_message_ns: u64,
    /// Frame bytes of all its messages.
    pub published_bytes: u64,
    /// How many come per second.
    pub rate: Rate,
    /// On the list of topics that may fall idle.
    pub watched_for_idleness: bool,
    /// How many cores have a subscription that holds publishers up.
    pub blocked_by: u16,
    /// The other cores that want it, as `Interest` was at the version below.
    pub wanted_by: CoreSet,
    /// When it differs from `Interest`'s own, `wanted_by` is to be found again.
    pub wanted_at_version: u64,
}

impl Topic {
    /// Messages it ever had.
    pub fn published_messages(&self) -> u64 {
        self.next_sequence.0 - 1
    }
}

/// How many messages come per second, as far as the last second or two tell.
#[derive(Debug, Default, Clone, Copy)]
pub struct Rate {
    /// When this window began.
    since_ns: u64,
    /// Messages of this window.
    messages: u32,
    /// Messages per second of the window before.
    before: f32,
}

/// A window is at least so long.
const RATE_WINDOW_NS: u64 = 1_000_000_000;

impl Rate {
    /// Messages have come.
    pub fn add(&mut self, now_ns: u64, messages: u32) {
        let length_ns = now_ns - self.since_ns;
        if length_ns >= RATE_WINDOW_NS {
            self.before = per_second(self.messages, length_ns);
            *self = Rate { since_ns: now_ns, messages: 0, before: self.before };
        }
        self.messages = self.messages.saturating_add(messages);
    }

    /// Messages per second: those of the last whole window, or fewer if it is long ago.
    pub fn per_second(&self, now_ns: u64) -> f64 {
        // Read on another turn than written, but on the same core: time does not go back.
        let length_ns = now_ns.saturating_sub(self.since_ns);
        match length_ns >= RATE_WINDOW_NS {
            true => f64::from(per_second(self.messages, length_ns)),
            false => f64::from(self.before),
        }
    }
}

fn per_second(messages: u32, length_ns: u64) -> f32 {
    (f64::from(messages) * 1e9 / length_ns as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_second_and_fades_when_nothing_comes() {
        let second = RATE_WINDOW_NS;
        let mut rate = Rate::default();
        let begun = 1_000 * second;
        assert_eq!(rate.per_second(begun), 0.0);
        for step in 0..20 {
            rate.add(begun + step * second / 10, 5);
        }
        assert_eq!(rate.per_second(begun + 2 * second - 1), 50.0);
        assert_eq!(rate.per_second(begun + 3 * second), 25.0);
        assert!(rate.per_second(begun + 1_000 * second) < 0.1);
    }
}
