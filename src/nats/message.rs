//! Messages between BLIP and NATS: what is published becomes a frame, frames become what a client
//! of NATS reads.
//!
//! [`append_frame`] is called by the session for every `PUB`, [`encode`] whenever frames go to a
//! subscription of a NATS client. Both are on the way of every message.
//!
//! | NATS | BLIP |
//! |---|---|
//! | the reply subject | the first header `reply-to` |
//! | a header block of lines `Name: value` | one header for each line |
//! | any other header block | the block as it is, in headers `nats-headers` |
//!
//! # Always true
//! - A message that comes from a client of NATS goes to another as nats-server would deliver it,
//!   byte for byte in its headers and payload. Two exceptions: leading zeros of a size are not kept,
//!   and a reply subject with control characters is not passed on.
//! - Headers that come from a client of BLIP cannot break the lines of NATS: in a name, white space,
//!   control characters and colons become `_`, as does an empty name; in a value, CR and LF become
//!   blanks.

use bytes::{BufMut, BytesMut};

use super::command::Publish;
use super::error::Offence;
use crate::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};
use crate::protocol::frame::{FLAG_HEADERS, RECORD_HAS_HEADERS};
use crate::protocol::messages::{self, Header, Headers, Record};

/// The BLIP header that carries the reply subject.
pub const REPLY_TO: &[u8] = b"reply-to";
/// The BLIP header that carries a header block of NATS as it is, or a part of it that fits.
pub const NATS_HEADERS: &[u8] = b"nats-headers";

const FIRST_LINE: &[u8] = b"NATS/1.0\r\n";
/// Bytes of a BLIP header beside its name and value.
const ENTRY_LEN: usize = 1 + 2;
const VALUE_LEN_MAX: usize = u16::MAX as usize;
/// Digits of a `u32`.
const DIGITS_MAX: usize = 10;
/// Bytes that most lines before a payload have at most.
const LINE_LEN_USUAL: usize = 128;

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
fn put_entry(frames: &mut BytesMut, name: &[u8], value: &[u8]) -> bool {
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

/// What stands for a byte of a name.
fn name_byte(byte: u8) -> u8 {
    if byte <= b' ' || byte == b':' || byte == 0x7f { b'_' } else { byte }
}

/// What stands for a byte of a value.
fn value_byte(byte: u8) -> u8 {
    if byte == b'\r' || byte == b'\n' { b' ' } else { byte }
}

/// For whom messages are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant<'a> {
    /// The subject of the messages: the topic, not what was subscribed to.
    pub subject: &'a [u8],
    /// What the client calls the subscription.
    pub sid: &'a [u8],
    /// The client understands headers. To others messages go without.
    pub headers: bool,
}

/// Appends every message of `frames` as `MSG` or `HMSG`. `frames` are whole MESSAGES frames lying
/// back to back, found right by [`messages::check`].
///
/// A message of which every header but `reply-to` is a `nats-headers` gets these, joined, as its
/// header block; another gets a line for each header but the first `reply-to`.
pub fn encode(out: &mut BytesMut, frames: &[u8], variant: &Variant<'_>) {
    let mut line = LineStart::new(variant);
    // What plain messages need, and little more: it may be held for long.
    let mut text_len = 0;
    let mut rest = frames;
    while !rest.is_empty() {
        let (frame_len, count) = messages::first_frame(rest);
        text_len += frame_len - MESSAGES_HEADER_LEN;
        text_len += count as usize * (line.prefix_len + DIGITS_MAX + 4 - RECORD_HEADER_LEN);
        rest = &rest[frame_len..];
    }
    out.reserve(text_len);
    rest = frames;
    while !rest.is_empty() {
        let (frame, behind) = rest.split_at(messages::first_frame(rest).0);
        for record in messages::records(frame) {
            if record.headers.block().is_empty() {
                out.extend_from_slice(line.of_plain(record.payload.len()));
                out.extend_from_slice(record.payload);
                out.extend_from_slice(b"\r\n");
            } else {
                with_headers(out, record, variant, line.prefix());
            }
        }
        rest = behind;
    }
}

/// `MSG subject sid ` and what comes behind it for a plain message; neighbours often have equal
/// lengths, and then the whole line.
struct LineStart {
    /// Most lines fit: to allocate costs as much as to encode two messages.
    short: [u8; LINE_LEN_USUAL],
    /// The line instead, if it does not fit.
    long: Vec<u8>,
    prefix_len: usize,
    line_len: usize,
    payload_len: Option<usize>,
}

impl LineStart {
    #[inline]
    fn new(variant: &Variant<'_>) -> LineStart {
        let parts: [&[u8]; 5] = [b"MSG ", variant.subject, b" ", variant.sid, b" "];
        let prefix_len = 4 + variant.subject.len() + 1 + variant.sid.len() + 1;
        let mut line = LineStart {
            short: [0; LINE_LEN_USUAL],
            long: Vec::new(),
            prefix_len,
            line_len: prefix_len,
            payload_len: None,
        };
        if prefix_len + DIGITS_MAX + 2 > LINE_LEN_USUAL {
            line.long.resize(prefix_len + DIGITS_MAX + 2, 0);
        }
        let mut rest = line.bytes_mut();
        for part in parts {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        }
        line
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        if self.long.is_empty() { &mut self.short } else { &mut self.long }
    }

    #[inline]
    fn first(&self, len: usize) -> &[u8] {
        if self.long.is_empty() { &self.short[..len] } else { &self.long[..len] }
    }

    fn prefix(&self) -> &[u8] {
        self.first(self.prefix_len)
    }

    #[inline]
    fn of_plain(&mut self, payload_len: usize) -> &[u8] {
        if self.payload_len != Some(payload_len) {
            self.payload_len = Some(payload_len);
            let length = Decimal::new(payload_len);
            let digits = length.digits();
            let prefix_len = self.prefix_len;
            let behind = &mut self.bytes_mut()[prefix_len..];
            behind[..digits.len()].copy_from_slice(digits);
            behind[digits.len()..][..2].copy_from_slice(b"\r\n");
            self.line_len = prefix_len + digits.len() + 2;
        }
        self.first(self.line_len)
    }
}

/// A number in decimal.
struct Decimal {
    bytes: [u8; DIGITS_MAX],
    from: usize,
}

impl Decimal {
    fn new(number: usize) -> Decimal {
        let mut decimal = Decimal { bytes: [b'0'; DIGITS_MAX], from: DIGITS_MAX };
        let mut rest = number;
        loop {
            decimal.from -= 1;
            decimal.bytes[decimal.from] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return decimal;
            }
        }
    }

    fn digits(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

/// Appends a message that has headers of BLIP.
fn with_headers(out: &mut BytesMut, record: Record<'_>, variant: &Variant<'_>, prefix: &[u8]) {
    let block_len = if variant.headers { block_len(record.headers) } else { 0 };
    if block_len > 0 {
        out.put_u8(b'H');
    }
    out.put_slice(prefix);
    let reply = record.headers.into_iter().find(|(name, _)| *name == REPLY_TO);
    if let Some((_, reply)) = reply
        && !reply.is_empty()
        && reply.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
    {
        out.put_slice(reply);
        out.put_u8(b' ');
    }
    if block_len > 0 {
        out.put_slice(Decimal::new(block_len).digits());
        out.put_u8(b' ');
    }
    out.put_slice(Decimal::new(block_len + record.payload.len()).digits());
    out.put_slice(b"\r\n");
    if block_len > 0 {
        put_block(out, record.headers);
    }
    out.put_slice(record.payload);
    out.put_slice(b"\r\n");
}

/// The headers beside the first `reply-to`.
fn beside_reply(headers: Headers<'_>) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut reply_seen = false;
    headers.filter(move |(name, _)| {
        let is_reply = !reply_seen && *name == REPLY_TO;
        reply_seen |= is_reply;
        !is_reply
    })
}

fn is_whole_block(headers: Headers<'_>) -> bool {
    beside_reply(headers).all(|(name, _)| name == NATS_HEADERS)
}

/// Bytes that [`put_block`] appends; 0 if there are no headers beside the reply subject.
fn block_len(headers: Headers<'_>) -> usize {
    if is_whole_block(headers) {
        return beside_reply(headers).map(|(_, value)| value.len()).sum();
    }
    let lines = beside_reply(headers).map(|(name, value)| name.len().max(1) + 2 + value.len() + 2);
    FIRST_LINE.len() + lines.sum::<usize>() + 2
}

fn put_block(out: &mut BytesMut, headers: Headers<'_>) {
    if is_whole_block(headers) {
        beside_reply(headers).for_each(|(_, value)| out.put_slice(value));
        return;
    }
    out.put_slice(FIRST_LINE);
    for (name, value) in beside_reply(headers) {
        put_changed(out, if name.is_empty() { b"_" } else { name }, name_byte);
        out.put_slice(b": ");
        put_changed(out, value, value_byte);
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
}

/// Most names and values need no change and are copied at once.
fn put_changed(out: &mut BytesMut, bytes: &[u8], stands_for: fn(u8) -> u8) {
    let start = out.len();
    out.put_slice(bytes);
    for byte in &mut out[start..] {
        *byte = stands_for(*byte);
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
