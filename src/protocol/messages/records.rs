//! The records of a MESSAGES frame: checked once, walked after that.

use super::Header;
use crate::frame::{FLAG_HEADERS, RECORD_HAS_HEADERS};
use crate::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};
use crate::{Kind, Reject};

/// Checks that a whole MESSAGES frame has `count` records, that the last one ends where the frame does,
/// and that no payload is longer than `message_len_max`. Called once per frame, on arrival.
pub fn check(frame: &[u8], message_len_max: u32) -> Result<Header, Reject> {
    if frame.len() < MESSAGES_HEADER_LEN {
        return Err(Reject::BodyMismatch {
            kind: Kind::Messages as u8,
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

/// Checks the part of a frame behind its header, which the caller has found to be there.
pub(super) fn check_records(
    frame: &[u8],
    flags: u8,
    count: u32,
    message_len_max: u32,
) -> Result<(), Reject> {
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

/// Splits a record with headers into header block and payload. `None` if the block is malformed.
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
    /// The headers, in the publisher's order.
    pub headers: Headers<'a>,
    /// The payload, which may be empty.
    pub payload: &'a [u8],
}

/// The headers of one message: an iterator over names and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    block: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Returns the headers of a block that [`encode::record_header`](crate::encode::record_header)
    /// wrote.
    pub fn of(block: &'a [u8]) -> Headers<'a> {
        Headers { block }
    }

    /// Returns the block of the headers that the iterator has not returned yet.
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

/// Returns the records of a frame that passed [`check`].
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
