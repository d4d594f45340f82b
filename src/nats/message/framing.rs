//! From the PUB or HPUB of a NATS client to a frame of BLIP.

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

/// Appends a MESSAGES frame with this message, without sequence and timestamp.
///
/// A header block of BLIP has at most 65,535 bytes, the reply subject included. A message that needs more
/// is refused with [`Offence::MaximumPayloadViolation`], and nothing is appended.
///
/// Unlike nats-server, which bounds headers and payload together only.
pub fn append_frame(frames: &mut BytesMut, publish: &Publish<'_>) -> Result<(), Offence> {
    let start = frames.len();
    let plain = publish.reply.is_none() && publish.headers.is_empty();
    let payload_len = if plain { publish.payload.len() } else { 0 };
    let mut header = Header {
        frame_len: (MESSAGES_HEADER_LEN + RECORD_HEADER_LEN + payload_len) as u32,
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
        head[MESSAGES_HEADER_LEN..].copy_from_slice(&(payload_len as u32).to_le_bytes());
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

/// Bytes that [`append_frame`] appends at most; exactly so many for a message without reply subject and
/// headers.
pub fn frame_len(publish: &Publish<'_>) -> usize {
    let mut len = MESSAGES_HEADER_LEN + RECORD_HEADER_LEN + publish.payload.len();
    if publish.reply.is_some() || !publish.headers.is_empty() {
        len += 2;
    }
    if let Some(reply) = publish.reply {
        len += ENTRY_LEN + REPLY_TO.len() + reply.len();
    }
    if !publish.headers.is_empty() {
        // Headers line by line are shorter: an entry has three bytes beside name and value, a line four.
        let parts = publish.headers.len().div_ceil(VALUE_LEN_MAX);
        len += publish.headers.len() + parts * (ENTRY_LEN + NATS_HEADERS.len());
    }
    len
}

/// Appends one BLIP header. Returns `false` if the value is too long.
pub(super) fn put_entry(frames: &mut BytesMut, name: &[u8], value: &[u8]) -> bool {
    let Ok(value_len) = u16::try_from(value.len()) else { return false };
    frames.put_u8(name.len() as u8);
    frames.put_slice(name);
    frames.put_u16_le(value_len);
    frames.put_slice(value);
    true
}

/// Appends a header block of NATS: line by line if its lines give the same block again, else whole.
fn put_headers(frames: &mut BytesMut, block: &[u8]) -> bool {
    let start = frames.len();
    if put_lines(frames, block).is_some() {
        return true;
    }
    frames.truncate(start);
    block.chunks(VALUE_LEN_MAX).all(|part| put_entry(frames, NATS_HEADERS, part))
}

/// Appends a header for each line. Returns `None` if the lines would not give exactly this block when they
/// are delivered, or would be taken for the headers with a meaning of their own.
fn put_lines(frames: &mut BytesMut, block: &[u8]) -> Option<()> {
    let mut rest = block.strip_prefix(FIRST_LINE)?;
    let mut lines = 0;
    loop {
        let len = rest.iter().position(|byte| *byte == b'\r')?;
        let (line, behind) = rest.split_at(len);
        rest = behind.strip_prefix(b"\r\n")?;
        if line.is_empty() {
            // A block without lines needs a header, or it would be lost.
            return (rest.is_empty() && lines > 0).then_some(());
        }
        let name_len = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(name_len);
        let value = value.strip_prefix(b": ")?;
        let name_is_kept = (1..=usize::from(u8::MAX)).contains(&name.len())
            && name.iter().all(|byte| name_byte(*byte) == *byte)
            && name != REPLY_TO
            && name != NATS_HEADERS;
        if !name_is_kept || value.contains(&b'\n') || !put_entry(frames, name, value) {
            return None;
        }
        lines += 1;
    }
}
