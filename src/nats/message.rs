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

mod delivery;
mod framing;
#[cfg(test)]
mod tests;

pub use delivery::{Variant, encode};
pub use framing::{append_frame, frame_len};

/// The BLIP header that carries the reply subject.
pub const REPLY_TO: &[u8] = b"reply-to";
/// The BLIP header that carries a header block of NATS as it is, or a part of it that fits.
pub const NATS_HEADERS: &[u8] = b"nats-headers";

const FIRST_LINE: &[u8] = b"NATS/1.0\r\n";

/// What stands for a byte of a name.
fn name_byte(byte: u8) -> u8 {
    if byte <= b' ' || byte == b':' || byte == 0x7f { b'_' } else { byte }
}
