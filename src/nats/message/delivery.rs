//! From frames of BLIP to the MSG and HMSG of a NATS client.

use bytes::{BufMut, BytesMut};

use super::{FIRST_LINE, NATS_HEADERS, REPLY_TO, name_byte};
use crate::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};
use crate::protocol::messages::{self, Headers, Record};

/// Digits of a `u32`.
const DIGITS_MAX: usize = 10;
/// The length up to which a line is built without an allocation; most lines are shorter.
const LINE_LEN_USUAL: usize = 128;

/// The recipient of encoded messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant<'a> {
    /// The subject of the messages: the topic, not the pattern of the subscription.
    pub subject: &'a [u8],
    /// The client's id of the subscription.
    pub sid: &'a [u8],
    /// Whether the client understands headers. Other clients get messages without.
    pub headers: bool,
}

/// Appends every message of `frames` as `MSG` or `HMSG`. `frames` are whole MESSAGES frames back to back
/// that have passed [`messages::check`].
///
/// A message whose headers but `reply-to` are all `nats-headers` gets their joined values as its header
/// block; every other message gets a line for each header but the first `reply-to`.
pub fn encode(out: &mut BytesMut, frames: &[u8], variant: &Variant<'_>) {
    let mut line = LineStart::new(variant);
    // Room for plain messages and little more: a slow client may hold the buffer for long.
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
                out.extend_from_slice(line.for_payload(record.payload.len()));
                out.extend_from_slice(record.payload);
                out.extend_from_slice(b"\r\n");
            } else {
                put_with_headers(out, record, variant, line.prefix());
            }
        }
        rest = behind;
    }
}

/// The line of a plain message: a prefix `MSG subject sid `, and the length of the payload. Neighbours
/// often have equal lengths, and then share the whole line.
struct LineStart {
    /// The line, if it fits: an allocation costs as much as encoding two messages.
    short: [u8; LINE_LEN_USUAL],
    /// The line, if it does not fit.
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
    fn for_payload(&mut self, payload_len: usize) -> &[u8] {
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
pub(super) struct Decimal {
    bytes: [u8; DIGITS_MAX],
    from: usize,
}

impl Decimal {
    pub(super) fn new(number: usize) -> Decimal {
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

    pub(super) fn digits(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

/// Appends a message with BLIP headers.
fn put_with_headers(out: &mut BytesMut, record: Record<'_>, variant: &Variant<'_>, prefix: &[u8]) {
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

/// All headers but the first `reply-to`.
fn without_reply(headers: Headers<'_>) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut reply_seen = false;
    headers.filter(move |(name, _)| {
        let is_reply = !reply_seen && *name == REPLY_TO;
        reply_seen |= is_reply;
        !is_reply
    })
}

fn is_whole_block(headers: Headers<'_>) -> bool {
    without_reply(headers).all(|(name, _)| name == NATS_HEADERS)
}

/// Bytes that [`put_block`] appends; 0 if there are no headers but the reply subject.
fn block_len(headers: Headers<'_>) -> usize {
    if is_whole_block(headers) {
        return without_reply(headers).map(|(_, value)| value.len()).sum();
    }
    let lines = without_reply(headers).map(|(name, value)| name.len().max(1) + 2 + value.len() + 2);
    FIRST_LINE.len() + lines.sum::<usize>() + 2
}

fn put_block(out: &mut BytesMut, headers: Headers<'_>) {
    if is_whole_block(headers) {
        without_reply(headers).for_each(|(_, value)| out.put_slice(value));
        return;
    }
    out.put_slice(FIRST_LINE);
    for (name, value) in without_reply(headers) {
        put_replaced(out, if name.is_empty() { b"_" } else { name }, name_byte);
        out.put_slice(b": ");
        put_replaced(out, value, value_byte);
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
}

/// Appends bytes with replacements. Copied first, because most names and values need none.
fn put_replaced(out: &mut BytesMut, bytes: &[u8], replace: fn(u8) -> u8) {
    let start = out.len();
    out.put_slice(bytes);
    for byte in &mut out[start..] {
        *byte = replace(*byte);
    }
}

/// Replaces a byte that a header value of NATS cannot have.
fn value_byte(byte: u8) -> u8 {
    if byte == b'\r' || byte == b'\n' { b' ' } else { byte }
}
