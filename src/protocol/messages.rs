//! MESSAGES frames: reading their header, stamping it in place, walking records and frames.
//!
//! Called by `broker::session` when a publisher's frame arrives, by `broker::shard` to stamp it,
//! and by the client on both ends.
//!
//! # Always true
//! - Stamping touches offsets 8 to 36 only: `crc` covers what lies behind, and stays valid.

use super::frame::{FLAG_ACK, FLAG_CRC, FLAG_HEADERS, RECORD_HAS_HEADERS};
use super::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};
use super::reject::Reject;
use super::{Sequence, TopicId};

const KIND_AT: usize = 4;
const FLAGS_AT: usize = 5;
const COUNT_AT: usize = 6;
const TOPIC_AT: usize = 8;
const SUBSCRIPTION_AT: usize = 12;
const SEQUENCE_AT: usize = 16;
const TIMESTAMP_AT: usize = 24;
const TTL_AT: usize = 32;
const CRC_AT: usize = 36;

/// The first 40 bytes of a MESSAGES frame, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the whole frame.
    pub frame_len: u32,
    /// ACK, CRC, HEADERS.
    pub flags: u8,
    /// Messages in the frame.
    pub count: u16,
    /// Topic id, or a provisional one from a publisher.
    pub topic: u32,
    /// 0, or the one subscription meant.
    pub subscription: u32,
    /// Publish id from a publisher, sequence of the first message to a subscriber.
    pub sequence: u64,
    /// Nanoseconds since the Unix epoch when the broker accepted it.
    pub timestamp: u64,
    /// Milliseconds to live, 0 for ever.
    pub ttl_ms: u32,
    /// CRC-32C of everything behind the header, if the flag says so.
    pub crc: u32,
}

impl Header {
    /// Reads the header of a frame that is at least 40 bytes long.
    #[inline]
    pub fn read(frame: &[u8]) -> Header {
        Header {
            frame_len: u32_at(frame, 0),
            flags: frame[FLAGS_AT],
            count: u16_at(frame, COUNT_AT),
            topic: u32_at(frame, TOPIC_AT),
            subscription: u32_at(frame, SUBSCRIPTION_AT),
            sequence: u64_at(frame, SEQUENCE_AT),
            timestamp: u64_at(frame, TIMESTAMP_AT),
            ttl_ms: u32_at(frame, TTL_AT),
            crc: u32_at(frame, CRC_AT),
        }
    }

    /// The 40 bytes of this header.
    pub fn to_bytes(&self) -> [u8; MESSAGES_HEADER_LEN] {
        let mut bytes = [0; MESSAGES_HEADER_LEN];
        bytes[..4].copy_from_slice(&self.frame_len.to_le_bytes());
        bytes[KIND_AT] = super::Kind::Messages as u8;
        bytes[FLAGS_AT] = self.flags;
        bytes[COUNT_AT..][..2].copy_from_slice(&self.count.to_le_bytes());
        bytes[TOPIC_AT..][..4].copy_from_slice(&self.topic.to_le_bytes());
        bytes[SUBSCRIPTION_AT..][..4].copy_from_slice(&self.subscription.to_le_bytes());
        bytes[SEQUENCE_AT..][..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[TIMESTAMP_AT..][..8].copy_from_slice(&self.timestamp.to_le_bytes());
        bytes[TTL_AT..][..4].copy_from_slice(&self.ttl_ms.to_le_bytes());
        bytes[CRC_AT..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }
}

/// What the broker writes into a frame it accepted.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// The topic's real id, also where the publisher wrote a provisional one.
    pub topic: TopicId,
    /// Sequence of the first message.
    pub sequence: Sequence,
    /// Nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// What the publisher asked for, or the server's default.
    pub ttl_ms: u32,
}

/// Stamps every frame of `frames`, which hold whole MESSAGES frames back to back; returns the
/// sequence after the last message.
pub fn stamp(frames: &mut [u8], stamp: Stamp) -> Sequence {
    let mut sequence = stamp.sequence;
    let mut rest = frames;
    while !rest.is_empty() {
        let frame_len = u32_at(rest, 0) as usize;
        let count = u16_at(rest, COUNT_AT);
        rest[TOPIC_AT..][..4].copy_from_slice(&stamp.topic.0.to_le_bytes());
        rest[SUBSCRIPTION_AT..][..4].copy_from_slice(&0u32.to_le_bytes());
        rest[SEQUENCE_AT..][..8].copy_from_slice(&sequence.0.to_le_bytes());
        rest[TIMESTAMP_AT..][..8].copy_from_slice(&stamp.timestamp.to_le_bytes());
        rest[TTL_AT..][..4].copy_from_slice(&stamp.ttl_ms.to_le_bytes());
        sequence = sequence.plus(u64::from(count));
        rest = &mut rest[frame_len..];
    }
    sequence
}

/// Marks every frame of `frames` as of a topic and meant for one subscription.
pub fn address(frames: &mut [u8], topic: TopicId, subscription: u32) {
    let mut rest = frames;
    while !rest.is_empty() {
        let frame_len = u32_at(rest, 0) as usize;
        rest[TOPIC_AT..][..4].copy_from_slice(&topic.0.to_le_bytes());
        rest[SUBSCRIPTION_AT..][..4].copy_from_slice(&subscription.to_le_bytes());
        rest = &mut rest[frame_len..];
    }
}

/// A stamped frame of the last `keep` messages of a stamped frame that has more of them. It has no
/// CRC: that of the whole frame says nothing of a part, and the broker makes none.
pub fn last_messages(frame: &[u8], keep: u16) -> Vec<u8> {
    let mut header = Header::read(frame);
    let left_out = header.count.checked_sub(keep).expect("a part is cut from a larger frame");
    header.sequence += u64::from(left_out);
    part(header, keep, &frame[end_of(frame, left_out)..])
}

/// A stamped frame of the first `keep` messages of a stamped frame that has more of them. It has no
/// CRC, as that of [`last_messages`].
pub fn first_messages(frame: &[u8], keep: u16) -> Vec<u8> {
    part(Header::read(frame), keep, &frame[MESSAGES_HEADER_LEN..end_of(frame, keep)])
}

/// Where the first `count` records of a frame end.
fn end_of(frame: &[u8], count: u16) -> usize {
    (0..count).fold(MESSAGES_HEADER_LEN, |at, _| {
        at + RECORD_HEADER_LEN + (u32_at(frame, at) & !RECORD_HAS_HEADERS) as usize
    })
}

fn part(mut header: Header, keep: u16, records: &[u8]) -> Vec<u8> {
    assert!((1..header.count).contains(&keep), "a part is cut from a larger frame");
    header.frame_len = (MESSAGES_HEADER_LEN + records.len()) as u32;
    header.count = keep;
    header.flags &= !FLAG_CRC;
    header.crc = 0;
    [&header.to_bytes()[..], records].concat()
}

/// The first of whole MESSAGES frames lying back to back: its length and how many messages it has.
pub fn first_frame(frames: &[u8]) -> (usize, u32) {
    (u32_at(frames, 0) as usize, u32::from(u16_at(frames, COUNT_AT)))
}

/// What may join a frame on its way through the broker, see [`run`].
#[derive(Debug, Clone, Copy)]
pub struct RunBounds {
    /// Of each frame.
    pub frame_len_max: u32,
    /// Of each message.
    pub message_len_max: u32,
    /// Of the whole run.
    pub messages_max: u32,
    /// Of the whole run.
    pub bytes_max: usize,
}

/// The run of frames at the start of `bytes` that differ from the first in nothing but their
/// messages, so that they can be handled as one: its length and how many messages it has. The
/// first, with the header `first`, was checked by the caller; the others are here, and one that is
/// wrong is left for the caller to find.
pub fn run(bytes: &[u8], first: &Header, bounds: RunBounds) -> (usize, u32) {
    let mut len = first.frame_len as usize;
    let mut messages = u32::from(first.count);
    if first.flags & FLAG_ACK != 0 {
        return (len, messages);
    }
    while let Some(rest) = bytes.get(len..)
        && rest.len() >= MESSAGES_HEADER_LEN
    {
        let frame_len = u32_at(rest, 0);
        let count = u32::from(u16_at(rest, COUNT_AT));
        let joins = rest[KIND_AT] == super::Kind::Messages as u8
            && rest[FLAGS_AT] & FLAG_ACK == 0
            && u32_at(rest, TOPIC_AT) == first.topic
            && u32_at(rest, TTL_AT) == first.ttl_ms
            && (MESSAGES_HEADER_LEN as u32..=bounds.frame_len_max).contains(&frame_len)
            && messages + count <= bounds.messages_max
            && len + frame_len as usize <= bounds.bytes_max;
        let Some(frame) = rest.get(..frame_len as usize) else { break };
        if !joins
            || count == 0
            || check_records(frame, rest[FLAGS_AT], count, bounds.message_len_max).is_err()
        {
            break;
        }
        len += frame.len();
        messages += count;
    }
    (len, messages)
}

/// Checks that the records of a whole MESSAGES frame are `count` and end where it ends, and that
/// no payload is longer than `message_len_max`. Called once per frame, when it arrives.
pub fn check(frame: &[u8], message_len_max: u32) -> Result<Header, Reject> {
    if frame.len() < MESSAGES_HEADER_LEN {
        return Err(Reject::BodyMismatch {
            kind: super::Kind::Messages as u8,
            frame_len: frame.len() as u32,
            detail: "a MESSAGES frame has a header of 40 bytes",
        });
    }
    let header = Header::read(frame);
    if header.count == 0 {
        return Err(Reject::NoMessages);
    }
    check_records(frame, header.flags, u32::from(header.count), message_len_max)?;
    Ok(header)
}

/// The part of [`check`] behind the header. For its numbers a frame has at least the header.
fn check_records(frame: &[u8], flags: u8, count: u32, message_len_max: u32) -> Result<(), Reject> {
    let headers_allowed = flags & FLAG_HEADERS != 0;
    let mut rest = &frame[MESSAGES_HEADER_LEN..];
    for index in 0..count {
        let bad = |detail| Reject::BadRecord { index, count: count as u16, detail };
        let Some((len, behind)) = rest.split_first_chunk::<RECORD_HEADER_LEN>() else {
            return Err(bad("the frame ends inside its length"));
        };
        let len = u32::from_le_bytes(*len);
        let record_len = len & !RECORD_HAS_HEADERS;
        if record_len as usize > behind.len() {
            return Err(bad("its length reaches beyond the frame"));
        }
        let (record, behind) = behind.split_at(record_len as usize);
        let payload_len = if len & RECORD_HAS_HEADERS == 0 {
            record_len
        } else if headers_allowed {
            split_headers(record).ok_or(bad("its header block does not end where it says"))?.1.len()
                as u32
        } else {
            return Err(bad("it carries headers, but flag bit 2 is not set"));
        };
        if payload_len > message_len_max {
            return Err(Reject::MessageTooLong { index, payload_len, message_len_max });
        }
        rest = behind;
    }
    if !rest.is_empty() {
        return Err(Reject::BadRecord {
            index: count,
            count: count as u16,
            detail: "bytes are left behind the last record",
        });
    }
    Ok(())
}

/// Splits a record with headers into the header block and the payload; `None` if malformed.
fn split_headers(record: &[u8]) -> Option<(&[u8], &[u8])> {
    let (headers_len, behind) = record.split_first_chunk::<2>()?;
    let (block, payload) = behind.split_at_checked(u16::from_le_bytes(*headers_len) as usize)?;
    let mut rest = Headers { block };
    while !rest.block.is_empty() {
        rest.take_one()?;
    }
    Some((block, payload))
}

/// One message of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The headers, in order.
    pub headers: Headers<'a>,
    /// The payload.
    pub payload: &'a [u8],
}

/// The headers of one message: an iterator of names and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    block: &'a [u8],
}

impl<'a> Headers<'a> {
    /// The headers of a block as [`encode::record_header`](super::encode::record_header) writes it.
    pub fn of(block: &'a [u8]) -> Headers<'a> {
        Headers { block }
    }

    /// The block of those not yet taken.
    pub fn block(&self) -> &'a [u8] {
        self.block
    }

    fn take_one(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (name_len, behind) = self.block.split_first()?;
        let (name, behind) = behind.split_at_checked(*name_len as usize)?;
        let (value_len, behind) = behind.split_first_chunk::<2>()?;
        let (value, behind) = behind.split_at_checked(u16::from_le_bytes(*value_len) as usize)?;
        self.block = behind;
        Some((name, value))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.take_one()
    }
}

/// The records of a frame that [`check`] found right.
pub fn records(frame: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = &frame[MESSAGES_HEADER_LEN..];
    std::iter::from_fn(move || {
        let (len, behind) = rest.split_first_chunk::<RECORD_HEADER_LEN>()?;
        let len = u32::from_le_bytes(*len);
        let (record, behind) = behind.split_at_checked((len & !RECORD_HAS_HEADERS) as usize)?;
        rest = behind;
        if len & RECORD_HAS_HEADERS == 0 {
            return Some(Record { headers: Headers::default(), payload: record });
        }
        let (block, payload) = split_headers(record)?;
        Some(Record { headers: Headers { block }, payload })
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(flags: u8, payloads: &[&[u8]]) -> Vec<u8> {
        let records: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| [&(payload.len() as u32).to_le_bytes()[..], payload].concat())
            .collect();
        let header = Header {
            frame_len: (MESSAGES_HEADER_LEN + records.len()) as u32,
            flags,
            count: payloads.len() as u16,
            topic: 7,
            subscription: 0,
            sequence: 11,
            timestamp: 5,
            ttl_ms: 9,
            crc: 0xfeed,
        };
        [&header.to_bytes()[..], &records].concat()
    }

    #[test]
    fn a_cut_frame_has_the_last_messages_their_sequence_and_no_crc() {
        let whole = frame(FLAG_CRC, &[b"a", b"", b"ccc"]);
        for (keep, sequence, payloads) in [(1, 13, vec![&b"ccc"[..]]), (2, 12, vec![b"", b"ccc"])] {
            let cut = last_messages(&whole, keep);
            let header = check(&cut, 100).expect("a right frame");
            assert_eq!((header.count, header.sequence, header.flags), (keep, sequence, 0));
            assert_eq!((header.topic, header.timestamp, header.ttl_ms), (7, 5, 9));
            assert_eq!(records(&cut).map(|record| record.payload).collect::<Vec<_>>(), payloads);
        }
    }

    #[test]
    fn a_run_ends_before_the_first_frame_that_differs_is_cut_or_is_wrong() {
        let first = frame(FLAG_CRC, &[b"a", b"b"]);
        let header = check(&first, 100).expect("a right frame");
        let bounds =
            RunBounds { frame_len_max: 91, message_len_max: 9, messages_max: 6, bytes_max: 300 };
        let with = |at: usize, byte: u8| {
            let mut changed = frame(0, &[b"c"]);
            changed[at] = byte;
            changed
        };
        let same = with(SEQUENCE_AT, 99);
        let alone = (first.len(), 2);
        let both = (first.len() + same.len(), 3);
        let run_of = |parts: &[&[u8]]| run(&parts.concat(), &header, bounds);
        assert_eq!(run_of(&[&first]), alone);
        assert_eq!(run_of(&[&first, &same]), both);
        assert_eq!(run_of(&[&first, &same, &same[..same.len() - 1]]), both, "cut");
        assert_eq!(run_of(&[&first, &same, &same[..39]]), both, "cut in its header");
        for (what, other) in [
            ("another kind", with(KIND_AT, 7)),
            ("wants an ACK", with(FLAGS_AT, FLAG_ACK)),
            ("another topic", with(TOPIC_AT, 8)),
            ("another TTL", with(TTL_AT, 1)),
            ("no length", with(0, 0)),
            ("a length that no frame may have", with(3, 0xff)),
            ("too long a frame", frame(0, &[b"012345678".as_slice(); 4])),
            ("no messages", with(COUNT_AT, 0)),
            ("a record beyond its end", with(MESSAGES_HEADER_LEN, 2)),
            ("too long a message", frame(0, &[b"0123456789"])),
            ("too many messages", frame(0, &[b"".as_slice(); 5])),
        ] {
            assert_eq!(run_of(&[&first, &other, &same]), alone, "{what}");
        }
        assert_eq!(run_of(&[&first, &frame(0, &[b"".as_slice(); 4])]).1, 6, "as many as may be");
        let bytes_max = both.0;
        assert_eq!(
            run(&[&first[..], &same, &same].concat(), &header, RunBounds { bytes_max, ..bounds }),
            both
        );
        let header = Header { flags: FLAG_ACK, ..header };
        assert_eq!(
            run(&[&first[..], &same].concat(), &header, bounds),
            alone,
            "each ACK is its own"
        );
    }

    #[test]
    fn every_frame_of_a_run_is_addressed() {
        let mut run = [frame(0, &[b"a"]), frame(0, &[b"b", b"c"])].concat();
        address(&mut run, TopicId(8), 42);
        let (first_len, _) = first_frame(&run);
        assert_eq!(Header::read(&run).subscription, 42);
        let second = Header::read(&run[first_len..]);
        assert_eq!((second.topic, second.subscription), (8, 42));
    }
}
