//! Messages between NATS and BLIP: from a published message to a frame, and from frames to deliveries.
//!
//! The session calls [`append_frame`] for every `PUB`, and [`encode`] whenever frames go to a
//! subscription of a NATS client. Both are on the path of every message.
//!
//! | NATS | BLIP |
//! |---|---|
//! | the reply subject | the first header `reply-to` |
//! | a header block of lines `Name: value` | one header for each line |
//! | any other header block | the unchanged block, in headers `nats-headers` |
//!
//! # Always true
//! - A message from one NATS client reaches another as nats-server would deliver it, byte for byte in
//!   headers and payload. Two exceptions: leading zeros of a size are dropped, and so is a reply subject
//!   with control characters.
//! - Headers of a BLIP client cannot break the lines of NATS: in a name, white space, control characters
//!   and colons become `_`, as does an empty name; in a value, CR and LF become blanks.

mod delivery;
mod framing;
#[cfg(test)]
mod tests;

pub use delivery::{Variant, encode};
pub use framing::{append_frame, frame_len};

/// The BLIP header that carries the reply subject.
pub const REPLY_TO: &[u8] = b"reply-to";
/// The BLIP header that carries an unchanged header block of NATS, or a part of it if it is long.
pub const NATS_HEADERS: &[u8] = b"nats-headers";

const FIRST_LINE: &[u8] = b"NATS/1.0\r\n";

/// Replaces a byte that a header name of NATS cannot have.
fn name_byte(byte: u8) -> u8 {
    if byte <= b' ' || byte == b':' || byte == 0x7f { b'_' } else { byte }
}
