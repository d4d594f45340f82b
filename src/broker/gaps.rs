//! What a subscription has missed and was not told yet: runs of sequences by topic.
//!
//! Used by `queue`, in front of and behind what is queued.

use hashbrown::HashMap;

use crate::protocol::{GapReason, Sequence, TopicId};

/// Consecutive messages of one topic, missed for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The topic.
    pub topic: TopicId,
    /// First one missed.
    pub first: Sequence,
    /// How many.
    pub messages: u64,
    /// Why.
    pub reason: GapReason,
}

impl Gap {
    /// Joins `next` to this gap if it continues it; returns whether it did.
    pub fn extend(&mut self, next: Gap) -> bool {
        let continues = self.topic == next.topic
            && self.reason == next.reason
            && self.first.plus(self.messages) == next.first;
        if continues {
            self.messages += next.messages;
        }
        continues
    }
}

/// Gaps in the order they came up; a gap that continues the last of its topic extends it.
#[derive(Debug, Default)]
pub struct Gaps {
    runs: Vec<Gap>,
    /// The last run of each topic, kept once there are more runs than a glance takes.
    last_of_topic: HashMap<TopicId, usize>,
}

/// Up to this many runs are searched from the end; a subscriber of few topics stays below.
const GLANCE: usize = 8;

impl Gaps {
    /// No gaps.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many runs.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Adds a gap behind those there are.
    pub fn add(&mut self, gap: Gap) {
        let last = if self.runs.len() <= GLANCE {
            self.runs.iter().rposition(|run| run.topic == gap.topic)
        } else {
            self.last_of_topic.get(&gap.topic).copied()
        };
        if let Some(last) = last
            && self.runs[last].extend(gap)
        {
            return;
        }
        self.runs.push(gap);
        if self.runs.len() == GLANCE + 1 {
            self.last_of_topic =
                self.runs.iter().enumerate().map(|(i, run)| (run.topic, i)).collect();
        } else if self.runs.len() > GLANCE {
            self.last_of_topic.insert(gap.topic, self.runs.len() - 1);
        }
    }

    /// Takes all gaps out, in order.
    pub fn take_all(&mut self) -> Vec<Gap> {
        self.last_of_topic.clear();
        std::mem::take(&mut self.runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(topic: u32, first: u64, messages: u64) -> Gap {
        Gap { topic: TopicId(topic), first: Sequence(first), messages, reason: GapReason::Overflow }
    }

    #[test]
    fn gaps_of_interleaved_topics_stay_one_run_each() {
        for topics in [2, 100] {
            let mut gaps = Gaps::default();
            for round in 0..50 {
                for topic in 1..=topics {
                    gaps.add(gap(topic, 1 + round * 3, 3));
                }
            }
            let runs = gaps.take_all();
            let expected: Vec<Gap> = (1..=topics).map(|topic| gap(topic, 1, 150)).collect();
            assert_eq!(runs, expected);
            assert!(gaps.is_empty());
        }
    }

    #[test]
    fn another_reason_or_a_hole_starts_another_run() {
        let mut gaps = Gaps::default();
        gaps.add(gap(1, 1, 2));
        gaps.add(Gap { reason: GapReason::Expired, ..gap(1, 3, 1) });
        gaps.add(gap(1, 4, 1));
        gaps.add(gap(1, 9, 1));
        assert_eq!(gaps.len(), 4);
    }
}
