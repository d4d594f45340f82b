//! Tracks sequences: whether a subscriber received every message once and in order.
//!
//! Called by `worker` for each message that arrives. Next on the path: `round`, which adds up the
//! faults of all subscribers.
//!
//! # Always true
//! - A message counts as in order, missing, duplicate or out of order: never as two of these.
//! - A message in order costs one comparison and no allocation.

use std::collections::VecDeque;

/// The length of the header at the start of a payload: stream, sequence, time.
pub const HEADER_LEN: usize = 16;
/// The most gaps remembered per stream, to distinguish a late message from a duplicate.
const GAPS_MAX: usize = 1_024;

/// The header at the start of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The number of the stream: one publisher on one of its topics.
    pub stream: u32,
    /// The position in the stream, from 0, wrapping.
    pub sequence: u32,
    /// The publish time, in nanoseconds on the generator's clock.
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

/// Counts of messages that were not delivered once and in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    pub missing: u64,
    pub duplicates: u64,
    pub out_of_order: u64,
    /// Messages of another length, or of a stream that the connection did not subscribe to.
    pub strays: u64,
    /// Messages that the broker reported as dropped, in GAP frames.
    pub gap_messages: u64,
}

impl Faults {
    pub fn is_empty(&self) -> bool {
        *self == Faults::default()
    }

    pub fn add(&mut self, other: &Faults) {
        self.missing += other.missing;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.strays += other.strays;
        self.gap_messages += other.gap_messages;
    }

    /// Describes the faults, as in `12 messages missing, 1 message duplicated`.
    pub fn describe(&self) -> String {
        let parts = [
            (self.missing, "missing"),
            (self.duplicates, "duplicated"),
            (self.out_of_order, "out of order"),
            (self.strays, "unexpected"),
            (self.gap_messages, "reported as dropped"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| {
            let messages = if *count == 1 { "message" } else { "messages" };
            format!("{count} {messages} {what}")
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// A subscriber's state of one stream.
#[derive(Debug)]
struct StreamState {
    cell: u32,
    expected: u32,
    faults: Option<Box<StreamFaults>>,
}

#[derive(Debug, Default)]
struct StreamFaults {
    counts: Faults,
    /// Ranges of missing sequences, without their ends.
    gaps: VecDeque<(u32, u32)>,
}

/// The position of a subscriber in a stream, after a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub cell: u32,
    /// The next sequence this subscriber waits for.
    pub expected: u32,
    /// Messages whose delivery is decided by this one: in order, or missing.
    pub settled: u32,
}

/// Tracks the sequences of one subscriber, over all its streams.
#[derive(Debug)]
pub struct SequenceTracker {
    payload_len: usize,
    /// By number of a stream: its index in `streams`, or `NO_STREAM`.
    index_of: Vec<u32>,
    streams: Vec<StreamState>,
    strays: u64,
    pub gap_messages: u64,
}

const NO_STREAM: u32 = u32::MAX;

impl SequenceTracker {
    /// Creates a tracker for the given streams and cells, out of `streams_count` streams in total.
    pub fn new(
        payload_len: usize,
        streams_count: usize,
        cells: &[(usize, usize)],
    ) -> SequenceTracker {
        let mut index_of = vec![NO_STREAM; streams_count];
        for (index, (stream, _)) in cells.iter().enumerate() {
            index_of[*stream] = index as u32;
        }
        let streams = cells.iter();
        let streams =
            streams.map(|(_, cell)| StreamState { cell: *cell as u32, expected: 0, faults: None });
        SequenceTracker {
            payload_len,
            index_of,
            streams: streams.collect(),
            strays: 0,
            gap_messages: 0,
        }
    }

    /// Records a message. Returns `None` for a stray.
    pub fn record(&mut self, payload: &[u8]) -> Option<(Header, Position)> {
        let header = Header::read(payload).filter(|_| payload.len() == self.payload_len);
        let stream = header
            .and_then(|header| self.index_of.get(header.stream as usize))
            .and_then(|index| self.streams.get_mut(*index as usize));
        let (Some(header), Some(stream)) = (header, stream) else {
            self.strays += 1;
            return None;
        };
        let before = stream.expected;
        if header.sequence == before {
            stream.expected = before.wrapping_add(1);
        } else {
            stream.record_unexpected(header.sequence);
        }
        let settled = stream.expected.wrapping_sub(before);
        Some((header, Position { cell: stream.cell, expected: stream.expected, settled }))
    }

    /// Returns the faults by cell, then those of no cell. `sent` gives the number of messages that
    /// were sent for a cell.
    pub fn finish(&self, sent: impl Fn(u32) -> u32) -> (Vec<(u32, Faults)>, Faults) {
        let mut found = Vec::new();
        for stream in &self.streams {
            let mut faults = stream.faults.as_ref().map(|faults| faults.counts).unwrap_or_default();
            // If the broker invented sequences, more are expected than were sent, and none is missing.
            let unsent = sent(stream.cell).wrapping_sub(stream.expected);
            faults.missing += u64::from(if unsent > u32::MAX / 2 { 0 } else { unsent });
            if !faults.is_empty() {
                found.push((stream.cell, faults));
            }
        }
        let (strays, gap_messages) = (self.strays, self.gap_messages);
        (found, Faults { strays, gap_messages, ..Faults::default() })
    }
}

impl StreamState {
    #[cold]
    fn record_unexpected(&mut self, sequence: u32) {
        let faults = self.faults.get_or_insert_default();
        let ahead = sequence.wrapping_sub(self.expected);
        if ahead <= u32::MAX / 2 {
            faults.counts.missing += u64::from(ahead);
            faults.gaps.push_back((self.expected, sequence));
            if faults.gaps.len() > GAPS_MAX {
                faults.gaps.pop_front();
            }
            self.expected = sequence.wrapping_add(1);
            return;
        }
        let in_gap =
            |(from, to): &(u32, u32)| sequence.wrapping_sub(*from) < to.wrapping_sub(*from);
        match faults.gaps.iter().position(in_gap) {
            None => faults.counts.duplicates += 1,
            Some(at) => {
                faults.counts.out_of_order += 1;
                faults.counts.missing -= 1;
                let (from, to) = faults.gaps.remove(at).expect("the position is valid");
                let parts = [(from, sequence), (sequence.wrapping_add(1), to)];
                faults.gaps.extend(parts.iter().filter(|(from, to)| from != to));
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
    fn tracker() -> SequenceTracker {
        SequenceTracker::new(20, 3, &[(1, 5)])
    }

    fn after(sequences: &[u32], sent: u32) -> Faults {
        let mut tracker = tracker();
        for sequence in sequences {
            tracker.record(&payload(1, *sequence)).expect("a message of stream 1");
        }
        let (found, rest) = tracker.finish(|cell| if cell == 5 { sent } else { panic!("{cell}") });
        assert!(rest.is_empty());
        found.first().map(|(_, faults)| *faults).unwrap_or_default()
    }

    #[test]
    fn messages_once_and_in_order_are_no_fault() {
        assert!(after(&[0, 1, 2], 3).is_empty());
    }

    #[test]
    fn missing_messages_are_found_in_the_middle_and_at_the_end() {
        assert_eq!(after(&[0, 3], 4), Faults { missing: 2, ..Default::default() });
        assert_eq!(after(&[0, 1], 4), Faults { missing: 2, ..Default::default() });
        assert_eq!(after(&[], 1), Faults { missing: 1, ..Default::default() });
    }

    #[test]
    fn duplicates_are_found_at_once_and_later() {
        assert_eq!(after(&[0, 0, 1], 2), Faults { duplicates: 1, ..Default::default() });
        assert_eq!(after(&[0, 1, 2, 0], 3), Faults { duplicates: 1, ..Default::default() });
        // The first late arrival is out of order, the second a duplicate.
        let expected = Faults { out_of_order: 1, duplicates: 1, ..Default::default() };
        assert_eq!(after(&[0, 2, 1, 1], 3), expected);
    }

    #[test]
    fn swapped_messages_are_out_of_order_and_not_missing() {
        assert_eq!(after(&[0, 2, 1, 3], 4), Faults { out_of_order: 1, ..Default::default() });
        let expected = Faults { missing: 2, out_of_order: 1, ..Default::default() };
        assert_eq!(after(&[4, 2, 5, 3, 0], 6), Faults { missing: 1, out_of_order: 3, ..expected });
    }

    #[test]
    fn tracking_survives_the_wrap_of_sequences() {
        let mut tracker = tracker();
        tracker.streams[0].expected = u32::MAX;
        let (_, position) = tracker.record(&payload(1, u32::MAX)).expect("a message of stream 1");
        assert_eq!(position, Position { cell: 5, expected: 0, settled: 1 });
        let (_, position) = tracker.record(&payload(1, 2)).expect("a message of stream 1");
        assert_eq!((position.expected, position.settled), (3, 3));
        let (found, _) = tracker.finish(|_| 3);
        assert_eq!(found, [(5, Faults { missing: 2, ..Default::default() })]);
    }

    #[test]
    fn messages_of_other_streams_or_lengths_are_strays() {
        let mut tracker = tracker();
        for bad in [&payload(0, 0)[..], &payload(9, 0), &payload(1, 0)[..19], b"", &[0; 21]] {
            assert_eq!(tracker.record(bad), None);
        }
        let (found, rest) = tracker.finish(|_| 0);
        assert!(found.is_empty());
        assert_eq!(rest.strays, 5);
        assert_eq!(rest.describe(), "5 messages unexpected");
    }
}
