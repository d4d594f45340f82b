//! Frames cut into smaller ones, and frames handled as one: what the broker does between them.

use super::records::check_records;
use super::{COUNT_AT, FLAGS_AT, Header, KIND_AT, TOPIC_AT, TTL_AT, u16_at, u32_at};
use crate::Kind;
use crate::frame::{FLAG_ACK, FLAG_CRC, RECORD_HAS_HEADERS};
use crate::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};

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
        let joins = rest[KIND_AT] == Kind::Messages as u8
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
