//! What a payload says, and whether a subscriber got every message once and in order.
//!
//! Called by `worker` for each message that arrives. Next on the path: `round` adds the accounts up.
//!
//! # Always true
//! - A message is counted as in order, missing, doubled or out of order: never as two of them.
//! - What is right costs no allocation and one comparison.

use std::collections::VecDeque;

/// Bytes a payload needs: stream, sequence, time.
pub const HEADER_LEN: usize = 16;
/// Holes remembered for each stream, to tell a late message from a doubled one.
const HOLES_MAX: usize = 1_024;

/// The first bytes of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The publisher, on one of its topics.
    pub stream: u32,
    /// Of the stream, from 0, wrapping.
    pub sequence: u32,
    /// Nanoseconds on the generator's clock.
    pub time_ns: u64,
}

impl Header {
    pub fn read(payload: &[u8]) -> Option<Header> {
        let (stream, rest) = payload.split_first_chunk::<4>()?;
        let (sequence, rest) = rest.split_first_chunk::<4>()?;
        let (time_ns, _) = rest.split_first_chunk::<8>()?;
        Some(Header {
            stream: u32::from_le_bytes(*stream),
            sequence: u32::from_le_bytes(*sequence),
            time_ns: u64::from_le_bytes(*time_ns),
        })
    }

    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&self.stream.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..].copy_from_slice(&self.time_ns.to_le_bytes());
        bytes
    }
}

/// What went wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trouble {
    pub missing: u64,
    pub duplicates: u64,
    pub out_of_order: u64,
    /// Messages of another length, or of nobody this subscriber listens to.
    pub strangers: u64,
    /// Messages the broker said it dropped, in GAP frames.
    pub told_gaps: u64,
}

impl Trouble {
    pub fn is_none(&self) -> bool {
        *self == Trouble::default()
    }

    pub fn add(&mut self, other: &Trouble) {
        self.missing += other.missing;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.strangers += other.strangers;
        self.told_gaps += other.told_gaps;
    }

    /// In words, such as `12 messages missing, 1 message doubled`.
    pub fn words(&self) -> String {
        let parts = [
            (self.missing, "missing"),
            (self.duplicates, "doubled"),
            (self.out_of_order, "out of order"),
            (self.strangers, "that belong elsewhere"),
            (self.told_gaps, "the broker says it dropped"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| {
            let messages = if *count == 1 { "message" } else { "messages" };
            format!("{count} {messages} {what}")
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// What a subscriber has of one stream.
#[derive(Debug)]
struct Slot {
    cell: u32,
    expected: u32,
    trouble: Option<Box<SlotTrouble>>,
}

#[derive(Debug, Default)]
struct SlotTrouble {
    counts: Trouble,
    /// Ranges of missing sequences, the end not included.
    holes: VecDeque<(u32, u32)>,
}

/// Where a message stands in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    pub cell: u32,
    /// The next sequence this subscriber waits for.
    pub expected: u32,
    /// Messages that need not be waited for any more.
    pub settled: u32,
}

/// The books of one subscriber.
#[derive(Debug)]
pub struct Account {
    payload_len: usize,
    /// By stream: a slot, or none.
    slot_of: Vec<u32>,
    slots: Vec<Slot>,
    strangers: u64,
    pub told_gaps: u64,
}

const NO_SLOT: u32 = u32::MAX;

impl Account {
    /// For the streams and cells of one subscriber, out of so many streams.
    pub fn new(payload_len: usize, streams: usize, cells: &[(usize, usize)]) -> Account {
        let mut slot_of = vec![NO_SLOT; streams];
        for (slot, (stream, _)) in cells.iter().enumerate() {
            slot_of[*stream] = slot as u32;
        }
        let slots = cells.iter();
        let slots = slots.map(|(_, cell)| Slot { cell: *cell as u32, expected: 0, trouble: None });
        Account { payload_len, slot_of, slots: slots.collect(), strangers: 0, told_gaps: 0 }
    }

    /// Takes a message; `None` if it is not one of ours.
    pub fn take(&mut self, payload: &[u8]) -> Option<(Header, Taken)> {
        let header = Header::read(payload).filter(|_| payload.len() == self.payload_len);
        let slot = header
            .and_then(|header| self.slot_of.get(header.stream as usize))
            .and_then(|slot| self.slots.get_mut(*slot as usize));
        let (Some(header), Some(slot)) = (header, slot) else {
            self.strangers += 1;
            return None;
        };
        let before = slot.expected;
        if header.sequence == before {
            slot.expected = before.wrapping_add(1);
        } else {
            slot.unexpected(header.sequence);
        }
        let settled = slot.expected.wrapping_sub(before);
        Some((header, Taken { cell: slot.cell, expected: slot.expected, settled }))
    }

    /// What went wrong, when so many messages of each cell were sent: by cell, and then the
    /// messages that belong to none.
    pub fn close(&self, sent: impl Fn(u32) -> u32) -> (Vec<(u32, Trouble)>, Trouble) {
        let mut found = Vec::new();
        for slot in &self.slots {
            let mut trouble =
                slot.trouble.as_ref().map(|trouble| trouble.counts).unwrap_or_default();
            // More than was sent cannot be missing: a broker that invents sequences is no less wrong.
            let unsent = sent(slot.cell).wrapping_sub(slot.expected);
            trouble.missing += u64::from(if unsent > u32::MAX / 2 { 0 } else { unsent });
            if !trouble.is_none() {
                found.push((slot.cell, trouble));
            }
        }
        let (strangers, told_gaps) = (self.strangers, self.told_gaps);
        (found, Trouble { strangers, told_gaps, ..Trouble::default() })
    }
}

impl Slot {
    #[cold]
    fn unexpected(&mut self, sequence: u32) {
        let trouble = self.trouble.get_or_insert_default();
        let ahead = sequence.wrapping_sub(self.expected);
        if ahead <= u32::MAX / 2 {
            trouble.counts.missing += u64::from(ahead);
            trouble.holes.push_back((self.expected, sequence));
            if trouble.holes.len() > HOLES_MAX {
                trouble.holes.pop_front();
            }
            self.expected = sequence.wrapping_add(1);
            return;
        }
        let in_hole =
            |(from, to): &(u32, u32)| sequence.wrapping_sub(*from) < to.wrapping_sub(*from);
        match trouble.holes.iter().position(in_hole) {
            None => trouble.counts.duplicates += 1,
            Some(at) => {
                trouble.counts.out_of_order += 1;
                trouble.counts.missing -= 1;
                let (from, to) = trouble.holes.remove(at).expect("it was found there");
                let parts = [(from, sequence), (sequence.wrapping_add(1), to)];
                trouble.holes.extend(parts.iter().filter(|(from, to)| from != to));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(stream: u32, sequence: u32) -> Vec<u8> {
        let mut payload = Header { stream, sequence, time_ns: 7 }.to_bytes().to_vec();
        payload.resize(20, b'x');
        payload
    }

    /// Stream 1 of three, in cell 5.
    fn account() -> Account {
        Account::new(20, 3, &[(1, 5)])
    }

    fn after(sequences: &[u32], sent: u32) -> Trouble {
        let mut account = account();
        for sequence in sequences {
            account.take(&payload(1, *sequence)).expect("it is ours");
        }
        let (found, rest) = account.close(|cell| if cell == 5 { sent } else { panic!("{cell}") });
        assert!(rest.is_none());
        found.first().map(|(_, trouble)| *trouble).unwrap_or_default()
    }

    #[test]
    fn all_once_in_order_is_no_trouble() {
        assert!(after(&[0, 1, 2], 3).is_none());
    }

    #[test]
    fn missing_in_the_middle_and_at_the_end_is_found() {
        assert_eq!(after(&[0, 3], 4), Trouble { missing: 2, ..Default::default() });
        assert_eq!(after(&[0, 1], 4), Trouble { missing: 2, ..Default::default() });
        assert_eq!(after(&[], 1), Trouble { missing: 1, ..Default::default() });
    }

    #[test]
    fn doubled_is_found_at_once_and_later() {
        assert_eq!(after(&[0, 0, 1], 2), Trouble { duplicates: 1, ..Default::default() });
        assert_eq!(after(&[0, 1, 2, 0], 3), Trouble { duplicates: 1, ..Default::default() });
        // Late once is out of order, late twice is doubled.
        let expected = Trouble { out_of_order: 1, duplicates: 1, ..Default::default() };
        assert_eq!(after(&[0, 2, 1, 1], 3), expected);
    }

    #[test]
    fn swapped_is_out_of_order_and_not_missing() {
        assert_eq!(after(&[0, 2, 1, 3], 4), Trouble { out_of_order: 1, ..Default::default() });
        let expected = Trouble { missing: 2, out_of_order: 1, ..Default::default() };
        assert_eq!(after(&[4, 2, 5, 3, 0], 6), Trouble { missing: 1, out_of_order: 3, ..expected });
    }

    #[test]
    fn sequences_wrap() {
        let mut account = account();
        account.slots[0].expected = u32::MAX;
        let (_, taken) = account.take(&payload(1, u32::MAX)).expect("it is ours");
        assert_eq!(taken, Taken { cell: 5, expected: 0, settled: 1 });
        let (_, taken) = account.take(&payload(1, 2)).expect("it is ours");
        assert_eq!((taken.expected, taken.settled), (3, 3));
        let (found, _) = account.close(|_| 3);
        assert_eq!(found, [(5, Trouble { missing: 2, ..Default::default() })]);
    }

    #[test]
    fn what_belongs_elsewhere_is_a_stranger() {
        let mut account = account();
        for bad in [&payload(0, 0)[..], &payload(9, 0), &payload(1, 0)[..19], b"", &[0; 21]] {
            assert_eq!(account.take(bad), None);
        }
        let (found, rest) = account.close(|_| 0);
        assert!(found.is_empty());
        assert_eq!(rest.strangers, 5);
        assert_eq!(rest.words(), "5 messages that belong elsewhere");
    }
}
