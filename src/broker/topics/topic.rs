//! A topic on the core that owns it: sequence, log and rate.

use std::sync::Arc;

use super::log::Log;
use crate::broker::cluster::CoreSet;
use crate::broker::message::TopicName;
use crate::protocol::Sequence;

/// A topic with its sequence and log.
#[derive(Debug)]
pub struct Topic {
    /// Shared with every slice and gap of the topic.
    pub name: Arc<TopicName>,
    /// The sequence that the next message gets.
    pub next_sequence: Sequence,
    /// The last messages.
    pub log: Log,
    /// When the last message was accepted, or the topic opened.
    pub used_ns: u64,
    /// Frame bytes of all messages ever.
    pub published_bytes: u64,
    /// Messages per second.
    pub rate: Rate,
    /// The other cores that want the topic, as of `wanted_at_version`.
    pub wanted_by: CoreSet,
    /// The version of `Interest` that `wanted_by` was looked up in; another version makes it stale.
    pub wanted_at_version: u64,
}

impl Topic {
    /// Number of messages ever.
    pub fn published_messages(&self) -> u64 {
        self.next_sequence.0 - 1
    }
}

/// The rate of messages per second, measured over the last second or two.
#[derive(Debug, Default, Clone, Copy)]
pub struct Rate {
    /// When the current window began.
    since_ns: u64,
    /// Messages of the current window.
    messages: u32,
    /// Messages per second of the previous window.
    before: f32,
}

/// The shortest window.
const RATE_WINDOW_NS: u64 = 1_000_000_000;

impl Rate {
    /// Counts messages that have arrived.
    pub fn add(&mut self, now_ns: u64, messages: u32) {
        let length_ns = now_ns - self.since_ns;
        if length_ns >= RATE_WINDOW_NS {
            self.before = per_second(self.messages, length_ns);
            *self = Rate { since_ns: now_ns, messages: 0, before: self.before };
        }
        self.messages = self.messages.saturating_add(messages);
    }

    /// Messages per second of the last whole window, or fewer if nothing came since.
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
    fn a_rate_is_that_of_the_last_second_and_falls_without_messages() {
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
