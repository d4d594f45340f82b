//! Conflation: only the newest message of each topic stays queued, at the place of the first one, after
//! a gap that reports the others.

use super::{Queue, Queued};
use crate::broker::message::{Gap, Slice};
use crate::protocol::GapReason;

impl Queue {
    /// Queues the newest message of a topic in place of the queued one, and returns how many messages
    /// were conflated. `skipped` came between the two.
    pub fn push_newest(&mut self, slice: Slice, skipped: Option<Gap>) -> u64 {
        let topic = slice.topic.key();
        let mut conflated = skipped.as_ref().map_or(0, |gap| gap.messages);
        let place = self.newest.get_or_insert_default().get(&topic).copied();
        let index = place.map(|place| (place - self.taken) as usize);
        // A gap with another reason may have come after the older message; the order stays.
        let in_place = index.filter(|_| self.behind.is_empty());
        let mut gap: Option<Gap> = None;
        if let Some(index) = index {
            let older = std::mem::replace(
                &mut self.entries[index],
                Queued::Gap(slice.gap(GapReason::Conflated)),
            );
            let (before, older) = match older {
                Queued::Slice(older) => (None, older),
                Queued::Conflated(both) => (Some(both.0), both.1),
                Queued::Gap(_) => unreachable!("`newest` names slices"),
            };
            self.count_out(&older);
            conflated += u64::from(older.messages);
            let of_older = older.gap(GapReason::Conflated);
            gap = Some(match before {
                None => of_older,
                Some(mut before) => {
                    let joined = before.extend(&of_older);
                    assert!(joined, "a conflated gap ends where its message begins");
                    before
                }
            });
        }
        if let Some(index) = in_place
            && let Some(whole) = &mut gap
        {
            let continues = match &skipped {
                Some(skipped) => whole.extend(skipped),
                None => whole.first.plus(whole.messages) == slice.first,
            };
            if continues {
                self.count_in(&slice);
                let whole = gap.expect("the gap was just extended");
                self.entries[index] = Queued::Conflated(Box::new((whole, slice)));
                return conflated;
            }
        }
        if let (Some(index), Some(whole)) = (index, gap) {
            self.gap_entries += 1;
            self.entries[index] = Queued::Gap(whole);
        }
        self.seal();
        let place = self.taken + self.entries.len() as u64;
        self.newest.get_or_insert_default().insert(topic, place);
        self.count_in(&slice);
        self.entries.push_back(match skipped {
            Some(skipped) => Queued::Conflated(Box::new((skipped, slice))),
            None => Queued::Slice(slice),
        });
        conflated
    }

    pub(super) fn forget_newest(&mut self, slice: &Slice) {
        if let Some(newest) = &mut self.newest {
            newest.remove(&slice.topic.key());
        }
    }
}
