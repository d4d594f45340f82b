//! Frames that are cut, and runs of frames that the broker handles as one.

use super::records::check_records;
use super::{COUNT_AT, FLAGS_AT, Header, KIND_AT, TOPIC_AT, TTL_AT, u16_at, u32_at};
use crate::Kind;
use crate::frame::{FLAG_ACK, FLAG_CRC, FLAG_HEADERS, RECORD_HAS_HEADERS};
use crate::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};

/// Makes a frame of the last `keep` messages of a stamped frame that has more of them. The new frame
/// has no CRC: that of the whole frame does not fit a part, and the broker computes none.
pub fn last_messages(frame: &[u8], keep: u16) -> Vec<u8> {
    let mut header = Header::read(frame);
    let left_out = header.count.checked_sub(keep).expect("a part is cut from a larger frame");
    header.sequence += u64::from(left_out);
    part(header, keep, &frame[end_of(frame, left_out)..])
}

/// Makes a frame of the first `keep` messages of a stamped frame that has more of them. The new frame
/// has no CRC, as that of [`last_messages`].
pub fn first_messages(frame: &[u8], keep: u16) -> Vec<u8> {
    part(Header::read(frame), keep, &frame[MESSAGES_HEADER_LEN..end_of(frame, keep)])
}

/// Returns the offset at which the first `count` records of a frame end.
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

/// The bounds of a [`run`] of frames.
#[derive(Debug, Clone, Copy)]
pub struct RunBounds {
    /// Longest frame.
    pub frame_len_max: u32,
    /// Longest payload.
    pub message_len_max: u32,
    /// Most messages of the whole run.
    pub messages_max: u32,
    /// Most bytes of the whole run.
    pub bytes_max: usize,
}

/// Finds the run of frames at the start of `bytes` that differ in nothing but their messages, so that
/// they can be handled as one: either all say that they have headers, or none. Returns the length of the
/// run and its number of messages.
///
/// The caller has checked the first frame, with the header `first`. The others are checked here: the
/// run ends before a frame that is wrong, which the caller then finds.
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
            && rest[FLAGS_AT] & (FLAG_ACK | FLAG_HEADERS) == first.flags & FLAG_HEADERS
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
