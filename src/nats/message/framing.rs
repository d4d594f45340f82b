//! From what a client of NATS publishes to a frame of BLIP.

use bytes::{BufMut, BytesMut};

use super::{FIRST_LINE, NATS_HEADERS, REPLY_TO, name_byte};
use crate::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};
use crate::nats::command::Publish;
use crate::nats::error::Offence;
use crate::protocol::frame::{FLAG_HEADERS, RECORD_HAS_HEADERS};
use crate::protocol::messages::Header;

/// Bytes of a BLIP header beside its name and value.
const ENTRY_LEN: usize = 1 + 2;
const VALUE_LEN_MAX: usize = u16::MAX as usize;

/// Appends one MESSAGES frame with this message, not stamped.
///
/// A header block of BLIP has at most 65,535 bytes, the reply subject included; a message that
/// needs more is refused with [`Offence::MaximumPayloadViolation`], and nothing is appended. That
/// is unlike nats-server, which has no bound but that of the payload.
pub fn append_frame(frames: &mut BytesMut, publish: &Publish<'_>) -> Result<(), Offence> {
    let start = frames.len();
    let plain = publish.reply.is_none() && publish.headers.is_empty();
    let behind_len = if plain { publish.payload.len() } else { 0 };
    let mut header = Header {
        frame_len: (MESSAGES_HEADER_LEN + RECORD_HEADER_LEN + behind_len) as u32,
        flags: if plain { 0 } else { FLAG_HEADERS },
        count: 1,
        topic: 0,
        subscription: 0,
        sequence: 0,
        timestamp: 0,
        ttl_ms: 0,
        crc: 0,
    };
    if plain {
        let mut head = [0; MESSAGES_HEADER_LEN + RECORD_HEADER_LEN];
        head[..MESSAGES_HEADER_LEN].copy_from_slice(&header.to_bytes());
        head[MESSAGES_HEADER_LEN..].copy_from_slice(&(behind_len as u32).to_le_bytes());
        frames.extend_from_slice(&head);
        frames.extend_from_slice(publish.payload);
        return Ok(());
    }
    frames.reserve(frame_len(publish));
    frames.put_bytes(0, MESSAGES_HEADER_LEN + RECORD_HEADER_LEN + 2);
    let block_at = frames.len();
    let fits = publish.reply.is_none_or(|reply| put_entry(frames, REPLY_TO, reply))
        && put_headers(frames, publish.headers)
        && frames.len() - block_at <= usize::from(u16::MAX);
    if !fits {
        frames.truncate(start);
        return Err(Offence::MaximumPayloadViolation);
    }
    let block_len = (frames.len() - block_at) as u16;
    frames.extend_from_slice(publish.payload);
    let record_len = (2 + usize::from(block_len) + publish.payload.len()) as u32;
    header.frame_len = (frames.len() - start) as u32;
    let head = &mut frames[start..block_at];
    head[..MESSAGES_HEADER_LEN].copy_from_slice(&header.to_bytes());
    head[MESSAGES_HEADER_LEN..][..RECORD_HEADER_LEN]
        .copy_from_slice(&(record_len | RECORD_HAS_HEADERS).to_le_bytes());
    head[MESSAGES_HEADER_LEN + RECORD_HEADER_LEN..].copy_from_slice(&block_len.to_le_bytes());
    Ok(())
}

/// At most so many bytes are appended for a message; exactly so many if it has neither reply
/// subject nor headers.
pub fn frame_len(publish: &Publish<'_>) -> usize {
    let mut len = MESSAGES_HEADER_LEN + RECORD_HEADER_LEN + publish.payload.len();
    if publish.reply.is_some() || !publish.headers.is_empty() {
        len += 2;
    }
    if let Some(reply) = publish.reply {
        len += ENTRY_LEN + REPLY_TO.len() + reply.len();
    }
    if !publish.headers.is_empty() {
        // As lines they are shorter: an entry has three bytes beside name and value, a line four.
        let parts = publish.headers.len().div_ceil(VALUE_LEN_MAX);
        len += publish.headers.len() + parts * (ENTRY_LEN + NATS_HEADERS.len());
    }
    len
}

/// Appends one BLIP header; `false` if the value does not fit one.
pub(super) fn put_entry(frames: &mut BytesMut, name: &[u8], value: &[u8]) -> bool {
    let Ok(value_len) = u16::try_from(value.len()) else { return false };
    frames.put_u8(name.len() as u8);
    frames.put_slice(name);
    frames.put_u16_le(value_len);
    frames.put_slice(value);
    true
}

/// Appends a header block of NATS: line by line if that gives the same block again, else whole.
fn put_headers(frames: &mut BytesMut, block: &[u8]) -> bool {
    let start = frames.len();
    if put_lines(frames, block).is_some() {
        return true;
    }
    frames.truncate(start);
    block.chunks(VALUE_LEN_MAX).all(|part| put_entry(frames, NATS_HEADERS, part))
}

/// `None` if the block is not exactly what [`put_block`] makes of its lines, or would be
/// mistaken for something else.
fn put_lines(frames: &mut BytesMut, block: &[u8]) -> Option<()> {
    let mut rest = block.strip_prefix(FIRST_LINE)?;
    let mut lines = 0;
    loop {
        let len = rest.iter().position(|byte| *byte == b'\r')?;
        let (line, behind) = rest.split_at(len);
        rest = behind.strip_prefix(b"\r\n")?;
        if line.is_empty() {
            // Without any line it would be no header at all.
            return (rest.is_empty() && lines > 0).then_some(());
        }
        let name_len = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(name_len);
        let value = value.strip_prefix(b": ")?;
        let name_stays = (1..=usize::from(u8::MAX)).contains(&name.len())
            && name.iter().all(|byte| name_byte(*byte) == *byte)
            && name != REPLY_TO
            && name != NATS_HEADERS;
        if !name_stays || value.contains(&b'\n') || !put_entry(frames, name, value) {
            return None;
        }
        lines += 1;
    }
}
