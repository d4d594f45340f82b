//! How long messages take from their arrival to the end of the turn in which they are sent.

use crate::broker::clock::Now;
use crate::broker::counters::Counters;

/// When the messages sent since the last turn had arrived, and how many they are.
#[derive(Default)]
pub struct Latencies(Vec<(u64, u64)>);

impl Latencies {
    /// Notes when messages that are sent had arrived. Subscribers are sent the same few slices, so a
    /// look at the last ones keeps the list short.
    pub fn note_sent(&mut self, received_ns: u64, messages: u32) {
        let messages = u64::from(messages);
        let mut last_ones = self.0.iter_mut().rev().take(4);
        match last_ones.find(|(of, _)| *of == received_ns) {
            Some((_, sent)) => *sent += messages,
            None => self.0.push((received_ns, messages)),
        }
    }

    /// Counts how long ago the messages of the last turn's sends had arrived. Now and not then, because
    /// the kernel copies them at the end of the turn.
    pub fn count(&mut self, now: Now, counters: &Counters) {
        for (received_ns, messages) in self.0.drain(..) {
            let microseconds = now.monotonic_ns.saturating_sub(received_ns).div_ceil(1_000);
            counters.accept_to_send_us.record(microseconds, messages);
        }
    }
}
