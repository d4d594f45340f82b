//! A topic on the core that owns it: sequence, log and rate.

use std::sync::Arc;

use super::log::Log;
use crate::broker::cluster::CoreSet;
use crate::broker::memory::Held;
use crate::broker::message::TopicName;
use crate::broker::pattern::Seen;
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
    /// The other cores that want the topic, as of `wanted_as_seen`.
    pub wanted_by: CoreSet,
    /// What `wanted_by` was looked up in; a change of the topic's patterns makes it stale.
    pub wanted_as_seen: Seen,
    /// What it counts for in the memory budget.
    pub _held: Held,
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
            *self = Rate { since_ns: now_ns, messages: 0, before: self.ended_window(length_ns) };
        }
        self.messages = self.messages.saturating_add(messages);
    }

    /// Messages per second of the last whole window, or fewer if nothing came since: none after two
    /// seconds of silence.
    pub fn per_second(&self, now_ns: u64) -> f64 {
        // Read on another turn than written, but on the same core: time does not go back.
        let length_ns = now_ns.saturating_sub(self.since_ns);
        match length_ns >= RATE_WINDOW_NS {
            true => f64::from(self.ended_window(length_ns)),
            false => f64::from(self.before),
        }
    }

    /// Messages per second of the current window, once that has ended. Its messages came in its first
    /// second, so after two of them the topic has been silent for longer than a window.
    fn ended_window(&self, length_ns: u64) -> f32 {
        match length_ns < 2 * RATE_WINDOW_NS {
            true => (f64::from(self.messages) * 1e9 / length_ns as f64) as f32,
            false => 0.0,
        }
    }
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
        assert!((rate.per_second(begun + 5 * second / 2) - 50.0 / 1.5).abs() < 0.001);
        for silent in 3..1_000 {
            assert_eq!(rate.per_second(begun + silent * second), 0.0, "{silent}");
        }
    }
    #[test]
    fn messages_before_a_silence_are_in_no_later_rate() {
        let second = RATE_WINDOW_NS;
        let mut rate = Rate::default();
        rate.add(1_000 * second, 50_000);
        assert_eq!(rate.per_second(1_002 * second), 0.0);
        // One message much later: the burst is not spread over the silence.
        rate.add(1_010 * second, 1);
        assert_eq!(rate.per_second(1_010 * second), 0.0);
        assert_eq!(rate.per_second(1_011 * second), 1.0);
        assert_eq!(rate.per_second(1_012 * second), 0.0);
    }
}
