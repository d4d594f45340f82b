//! From the bytes of a NATS client to commands.
//!
//! Called by the session with all bytes that it has read and not consumed, and again with more bytes when
//! a command is incomplete. Next on the path of a published message:
//! [`message::append_frame`](super::message::append_frame).
//!
//! # Always true
//! - An offence in a prefix of the bytes is the same offence in all of them: it is reported as soon as it
//!   can be known.
//! - An incomplete command costs no more than reading its line again.
//!
//! # Unlike nats-server
//! - nats-server's bound of a control line does not count blanks before the first argument, nor the rest
//!   of the line of PING, PONG and `+OK`, which it discards. Here these bytes are buffered until the line
//!   ends, and bounded like all others.
//! - A line that ends before its first argument is malformed. In nats-server the line break becomes the
//!   first byte of the argument, unless a carriage return precedes it.
//! - A carriage return ends a line only before the line break; elsewhere it is part of an argument. In
//!   nats-server this depends on how reads split the line.

use super::error::Offence;

/// A command of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// `CONNECT`, with the JSON for [`connect::parse`](super::connect::parse).
    Connect(&'a [u8]),
    /// `INFO`, which is meaningful between servers only.
    Info,
    /// `PING`, which expects a PONG.
    Ping,
    /// `PONG`, the answer to a PING.
    Pong,
    /// `+OK`, ignored.
    Ok,
    /// `-ERR`: the connection closes silently, [`Offence::ErrorFromClient`].
    Err,
    /// `PUB` and `HPUB`.
    Publish(Publish<'a>),
    /// `SUB`.
    Subscribe {
        /// The subject, not validated.
        subject: &'a [u8],
        /// The queue group, if any.
        queue: Option<&'a [u8]>,
        /// The client's id of the subscription.
        sid: &'a [u8],
    },
    /// `UNSUB`.
    Unsubscribe {
        /// The client's id of the subscription.
        sid: &'a [u8],
        /// Messages, counted from SUB, after which the subscription ends; `None`: at once.
        /// As in nats-server, 0 and text that is not a number give `None`.
        max: Option<u64>,
    },
}

/// One message of a NATS publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// The subject, not validated.
    pub subject: &'a [u8],
    /// The reply subject.
    pub reply: Option<&'a [u8]>,
    /// The header block with its first and its last line; empty for `PUB`. Not validated: nats-server does
    /// not parse it either.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

/// The bounds of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a line behind its verb, also for CONNECT. The default of nats-server is 4,096.
    pub control_line_max: usize,
    /// Bytes of headers and payload together, announced in INFO.
    pub payload_max: u32,
}

/// Arguments that are stored; no command takes more.
const ARGUMENTS_MAX: usize = 4;
/// Digits a size may have, leading zeros included.
const SIZE_DIGITS_MAX: usize = 9;

/// Parses the command at the beginning of `bytes`. Returns the command and its length, `None` if it is
/// incomplete.
pub fn parse<'a>(bytes: &'a [u8], bounds: Bounds) -> Result<Option<(Command<'a>, usize)>, Offence> {
    // PUB first, compared as one number, letters in either case.
    if let Some(verb) = bytes.first_chunk::<4>()
        && (u32::from_le_bytes(*verb) & 0x00df_dfdf) == u32::from_le_bytes(*b"PUB\0")
        && matches!(verb[3], b' ' | b'\t')
    {
        return publish(bytes, 4, bounds);
    }
    let Some(first) = bytes.first() else { return Ok(None) };
    let verb: &[u8] = match (first.to_ascii_uppercase(), bytes.get(1).map(u8::to_ascii_uppercase)) {
        (b'P', None) => return Ok(None),
        (b'P', Some(b'U')) => b"PUB",
        (b'P', Some(b'I')) => b"PING",
        (b'P', Some(b'O')) => b"PONG",
        (b'H', _) => b"HPUB",
        (b'S', _) => b"SUB",
        (b'U', _) => b"UNSUB",
        (b'C', _) => b"CONNECT",
        (b'I', _) => b"INFO",
        (b'+', _) => b"+OK",
        (b'-', _) => b"-ERR",
        _ => return Err(Offence::UnknownProtocolOperation),
    };
    let len = verb.len().min(bytes.len());
    if !bytes[..len].eq_ignore_ascii_case(&verb[..len]) {
        return Err(Offence::UnknownProtocolOperation);
    }
    let needs_blank = matches!(verb, b"PUB" | b"HPUB" | b"SUB" | b"UNSUB" | b"-ERR");
    match bytes.get(verb.len()) {
        None => return Ok(None),
        Some(b' ' | b'\t') => {}
        Some(_) if needs_blank => return Err(Offence::UnknownProtocolOperation),
        Some(_) => {}
    }
    match verb {
        b"PUB" => publish(bytes, verb.len(), bounds),
        b"HPUB" => publish_with_headers(bytes, verb.len(), bounds),
        b"SUB" | b"UNSUB" => {
            let Some(line) = arguments(bytes, verb.len(), bounds)? else { return Ok(None) };
            let command = if verb == b"SUB" { subscribe(&line)? } else { unsubscribe(&line)? };
            Ok(Some((command, line.end)))
        }
        _ => {
            let Some((text, end)) = whole_line(bytes, verb.len(), bounds)? else {
                return Ok(None);
            };
            let command = match verb {
                b"CONNECT" => Command::Connect(text),
                b"INFO" => {
                    check_info(text)?;
                    Command::Info
                }
                b"PING" => Command::Ping,
                b"PONG" => Command::Pong,
                b"+OK" => Command::Ok,
                _ => Command::Err,
            };
            Ok(Some((command, end)))
        }
    }
}

/// The length of the PUB or HPUB at the start of `bytes` with its payload, if its line is whole and
/// [`parse`] did not refuse it.
pub fn len_of_publish(bytes: &[u8]) -> Option<usize> {
    let publishes = matches!(bytes, [b'P' | b'p', b'U' | b'u', ..] | [b'H' | b'h', ..]);
    let line_len = bytes.iter().position(|byte| *byte == b'\n').filter(|_| publishes)?;
    let line = bytes[..line_len].trim_ascii_end();
    let size = line.rsplit(|byte| matches!(byte, b' ' | b'\t')).next()?;
    Some(line_len + 1 + parse_size(size)? as usize + 2)
}

/// Whether the bytes may be a CONNECT. nats-server checks no more than the first letter before it sends
/// [`Offence::AuthorizationViolation`] to a client that must log in first.
pub fn begins_connect(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(b'C' | b'c'))
}

/// Whether the bytes begin with HPUB and a blank. nats-server checks no more before it closes the
/// connection of a client without `headers` in its CONNECT.
pub fn begins_with_headers(bytes: &[u8]) -> bool {
    match bytes.split_at_checked(4) {
        Some((verb, behind)) => {
            verb.eq_ignore_ascii_case(b"HPUB") && matches!(behind.first(), Some(b' ' | b'\t'))
        }
        None => false,
    }
}

#[inline]
fn publish<'a>(
    bytes: &'a [u8],
    verb_len: usize,
    bounds: Bounds,
) -> Result<Option<(Command<'a>, usize)>, Offence> {
    let Some(line) = arguments(bytes, verb_len, bounds)? else { return Ok(None) };
    let (reply, size) = match line.count {
        2 => (None, line.arguments[1]),
        3 => (Some(line.arguments[1]), line.arguments[2]),
        _ => return Err(Offence::MalformedArguments),
    };
    let size = parse_size(size).ok_or(Offence::MalformedArguments)?;
    let Some((payload, end)) = body(bytes, line.end, size, bounds)? else { return Ok(None) };
    let publish = Publish { subject: line.arguments[0], reply, headers: &[], payload };
    Ok(Some((Command::Publish(publish), end)))
}

fn publish_with_headers<'a>(
    bytes: &'a [u8],
    verb_len: usize,
    bounds: Bounds,
) -> Result<Option<(Command<'a>, usize)>, Offence> {
    let Some(line) = arguments(bytes, verb_len, bounds)? else { return Ok(None) };
    let (reply, sizes) = match line.count {
        3 => (None, [line.arguments[1], line.arguments[2]]),
        4 => (Some(line.arguments[1]), [line.arguments[2], line.arguments[3]]),
        _ => return Err(Offence::MalformedArguments),
    };
    let headers_len = parse_size(sizes[0]).ok_or(Offence::MalformedArguments)?;
    let size = parse_size(sizes[1]).ok_or(Offence::MalformedArguments)?;
    if headers_len > size {
        return Err(Offence::MalformedArguments);
    }
    let Some((body, end)) = body(bytes, line.end, size, bounds)? else { return Ok(None) };
    let (headers, payload) = body.split_at(headers_len as usize);
    let publish = Publish { subject: line.arguments[0], reply, headers, payload };
    Ok(Some((Command::Publish(publish), end)))
}

fn subscribe<'a>(line: &Line<'a>) -> Result<Command<'a>, Offence> {
    let [subject, second, third, _] = line.arguments;
    match line.count {
        2 => Ok(Command::Subscribe { subject, queue: None, sid: second }),
        3 => Ok(Command::Subscribe { subject, queue: Some(second), sid: third }),
        _ => Err(Offence::MalformedArguments),
    }
}

fn unsubscribe<'a>(line: &Line<'a>) -> Result<Command<'a>, Offence> {
    let [sid, max, ..] = line.arguments;
    match line.count {
        1 => Ok(Command::Unsubscribe { sid, max: None }),
        2 => {
            let max = parse_size(max).filter(|max| *max > 0).map(u64::from);
            Ok(Command::Unsubscribe { sid, max })
        }
        _ => Err(Offence::MalformedArguments),
    }
}

/// Refuses an INFO that is not a JSON object, as nats-server does.
fn check_info(text: &[u8]) -> Result<(), Offence> {
    let is_object = matches!(text.trim_ascii_start().first(), Some(b'{' | b'n'));
    match serde_json::from_slice::<serde::de::IgnoredAny>(text) {
        Ok(_) if is_object => Ok(()),
        _ => Err(Offence::MalformedArguments),
    }
}

/// A control line, split at its blanks.
struct Line<'a> {
    arguments: [&'a [u8]; ARGUMENTS_MAX],
    /// Arguments in the line; may be more than are stored.
    count: usize,
    /// The index of the first byte behind the line.
    end: usize,
}

// Inlined so that the line is not copied from function to function.
#[inline(always)]
fn arguments(bytes: &[u8], start: usize, bounds: Bounds) -> Result<Option<Line<'_>>, Offence> {
    let first = skip_blanks(bytes, start);
    if first - start > bounds.control_line_max {
        return Err(Offence::MaximumControlLineExceeded);
    }
    let mut line = Line { arguments: [&[]; ARGUMENTS_MAX], count: 0, end: 0 };
    let mut at = first;
    loop {
        let from = at;
        // Every byte that can end an argument is at most a blank, so most bytes take one comparison.
        let ends_line = loop {
            match bytes.get(at) {
                Some(byte) if *byte > b' ' => {}
                Some(b' ' | b'\t') => break false,
                Some(b'\n') => break true,
                Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => break true,
                Some(_) => {}
                None => return incomplete(&bytes[first..], bounds),
            }
            at += 1;
        };
        if at > from {
            if let Some(argument) = line.arguments.get_mut(line.count) {
                *argument = &bytes[from..at];
            }
            line.count += 1;
        }
        if ends_line {
            break;
        }
        at = skip_blanks(bytes, at);
    }
    if at - first > bounds.control_line_max {
        return Err(Offence::MaximumControlLineExceeded);
    }
    line.end = at + if bytes[at] == b'\r' { 2 } else { 1 };
    Ok(Some(line))
}

#[inline]
fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Refuses an incomplete line that is too long already. A carriage return at its end may belong to the
/// line break.
#[cold]
fn incomplete<T>(line: &[u8], bounds: Bounds) -> Result<Option<T>, Offence> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > bounds.control_line_max {
        return Err(Offence::MaximumControlLineExceeded);
    }
    Ok(None)
}

/// The text behind the blanks at `start`, up to the end of the line, and the index behind the line.
fn whole_line(
    bytes: &[u8],
    start: usize,
    bounds: Bounds,
) -> Result<Option<(&[u8], usize)>, Offence> {
    let first = skip_blanks(bytes, start);
    if first - start > bounds.control_line_max {
        return Err(Offence::MaximumControlLineExceeded);
    }
    let Some(len) = bytes[first..].iter().position(|byte| *byte == b'\n') else {
        return incomplete(&bytes[first..], bounds);
    };
    let text = &bytes[first..first + len];
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.len() > bounds.control_line_max {
        return Err(Offence::MaximumControlLineExceeded);
    }
    Ok(Some((text, first + len + 1)))
}

/// The `size` bytes at `start`, and the index behind the line break that follows them.
#[inline(always)]
fn body(
    bytes: &[u8],
    start: usize,
    size: u32,
    bounds: Bounds,
) -> Result<Option<(&[u8], usize)>, Offence> {
    if size > bounds.payload_max {
        return Err(Offence::MaximumPayloadViolation);
    }
    let Some((payload, behind)) = bytes[start..].split_at_checked(size as usize) else {
        return Ok(None);
    };
    match behind {
        [b'\r', b'\n', ..] => Ok(Some((payload, start + payload.len() + 2))),
        [] | [b'\r'] => Ok(None),
        _ => Err(Offence::UnknownProtocolOperation),
    }
}

#[inline]
fn parse_size(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX {
        return None;
    }
    let mut size = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        size = size * 10 + u32::from(digit);
    }
    Some(size)
}
