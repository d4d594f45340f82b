//! Gaps that are still to be reported to a subscription: runs of sequences by topic.
//!
//! Used by `queue`, before and after what is queued.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::broker::message::{Gap, TopicKey};

/// Gaps in the order they arose. A gap that continues the last one of its topic extends that one.
#[derive(Debug, Default)]
pub struct Gaps {
    // Boxed, because most subscriptions never have gaps.
    runs: Option<Box<Runs>>,
}

impl Gaps {
    /// Whether there are no gaps.
    pub fn is_empty(&self) -> bool {
        self.runs.is_none()
    }

    /// Number of runs.
    pub fn len(&self) -> usize {
        self.runs.as_ref().map_or(0, |runs| runs.runs.len())
    }

    /// Adds a gap after the existing ones.
    pub fn add(&mut self, gap: Gap) {
        self.runs.get_or_insert_default().add(gap);
    }

    /// Removes and returns the oldest gap.
    pub fn take_first(&mut self) -> Option<Gap> {
        let runs = self.runs.as_mut()?;
        let first = runs.runs.pop_front();
        runs.taken += 1;
        if runs.runs.is_empty() {
            self.runs = None;
        }
        first
    }
}

#[derive(Debug, Default)]
struct Runs {
    runs: VecDeque<Gap>,
    /// Runs removed since the list was last empty.
    taken: usize,
    /// The place of each topic's last run, counted from the first run ever. Empty as long as there
    /// are few runs.
    last_of_topic: HashMap<TopicKey, usize>,
}

/// Up to this many runs are searched one by one; a subscriber of few topics stays below.
const LINEAR_SEARCH_MAX: usize = 8;

impl Runs {
    fn add(&mut self, gap: Gap) {
        let last = if self.last_of_topic.is_empty() {
            self.runs.iter().rposition(|run| run.topic.run_key() == gap.topic.run_key())
        } else {
            let place = self.last_of_topic.get(&gap.topic.run_key());
            place.and_then(|place| place.checked_sub(self.taken))
        };
        if let Some(last) = last
            && self.runs[last].extend(&gap)
        {
            return;
        }
        let key = gap.topic.run_key();
        self.runs.push_back(gap);
        let place = self.taken + self.runs.len() - 1;
        if !self.last_of_topic.is_empty() {
            self.last_of_topic.insert(key, place);
        } else if self.runs.len() > LINEAR_SEARCH_MAX {
            let places = self.runs.iter().zip(self.taken..);
            self.last_of_topic = places.map(|(run, place)| (run.topic.run_key(), place)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::message::tests::named;
    use crate::broker::message::{EPHEMERAL, TopicName};
    use crate::protocol::{CoreId, GapReason, Sequence};

    fn gap(topic: u32, first: u64, messages: u64) -> Gap {
        Gap {
            topic: named(topic),
            subscription: 0,
            first: Sequence(first),
            messages,
            reason: GapReason::Overflow,
        }
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
            let runs = std::iter::from_fn(|| gaps.take_first()).collect::<Vec<_>>();
            let expected: Vec<Gap> = (1..=topics).map(|topic| gap(topic, 1, 150)).collect();
            assert_eq!(runs, expected);
            assert!(gaps.is_empty());
        }
    }

    #[test]
    fn gaps_of_ephemeral_topics_are_one_run() {
        let ephemeral = |number: u64| Gap {
            topic: Arc::new(TopicName {
                id: EPHEMERAL,
                owner: CoreId(0),
                name: format!("_INBOX.{number}").into(),
            }),
            ..gap(1, 1, number)
        };
        let mut gaps = Gaps::default();
        for number in 1..=100 {
            gaps.add(ephemeral(number));
            gaps.add(gap(7, number, 1));
        }
        assert_eq!(gaps.len(), 2);
        let first = gaps.take_first().expect("the ephemeral gap was added first");
        assert_eq!((&*first.topic.name, first.messages), ("_INBOX.1", 5_050));
        assert_eq!(gaps.take_first(), Some(gap(7, 1, 100)));
    }

    #[test]
    fn another_reason_or_skipped_sequences_start_another_run() {
        let mut gaps = Gaps::default();
        gaps.add(gap(1, 1, 2));
        gaps.add(Gap { reason: GapReason::Expired, ..gap(1, 3, 1) });
        gaps.add(gap(1, 4, 1));
        gaps.add(gap(1, 9, 1));
        assert_eq!(gaps.len(), 4);
    }

    #[test]
    fn a_gap_is_still_extended_after_older_ones_are_taken() {
        let mut gaps = Gaps::default();
        for topic in 1..=20 {
            gaps.add(gap(topic, 1, 1));
        }
        for topic in 1..=19 {
            assert_eq!(gaps.take_first(), Some(gap(topic, 1, 1)));
        }
        gaps.add(gap(20, 2, 1));
        gaps.add(gap(1, 2, 1));
        assert_eq!(gaps.take_first(), Some(gap(20, 1, 2)));
        assert_eq!(gaps.take_first(), Some(gap(1, 2, 1)));
        assert_eq!(gaps.take_first(), None);
    }
}
