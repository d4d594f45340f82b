//! Bytes to frames: finds where a frame ends, checks the frame, and reads its fields.
//!
//! Used by the broker for the frames of clients and by the client for the frames of servers.
//! Nothing is copied: a decoded frame borrows from the bytes that it was found in.
//!
//! # Always true
//! - The result does not depend on where reads split the bytes.
//! - No input causes a panic, and none an allocation, except for the text of a [`Reject`].

use crate::Reject;
use crate::frame::{self, Kind};
use crate::limits::{FRAME_HEADER_LEN, HELLO_LEN_MAX};

mod client;
mod server;

pub use client::{ClientFrame, Hello, Subscribe, client_frame};
pub use server::{ServerFrame, Welcome, server_frame};

/// The length of the frame at the start of `bytes`, as the frame says it.
pub fn frame_len(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk::<4>().map(|len| u32::from_le_bytes(*len) as usize)
}

/// Returns the whole frame at the start of `bytes`, or `None` if its end has not arrived yet.
pub fn next_frame(bytes: &[u8], frame_len_max: u32) -> Result<Option<&[u8]>, Reject> {
    let Some(frame_len) = bytes.first_chunk::<4>() else { return Ok(None) };
    let frame_len = u32::from_le_bytes(*frame_len);
    if (frame_len as usize) < FRAME_HEADER_LEN {
        return Err(Reject::FrameTooShort { frame_len });
    }
    if frame_len > frame_len_max {
        return Err(Reject::FrameTooLong { frame_len, frame_len_max });
    }
    Ok(bytes.get(..frame_len as usize))
}

/// Returns the HELLO at the start of `bytes`, or `None` if its end has not arrived yet. A peer that
/// begins with anything else is not a BLIP/1 client; it is refused before many bytes are buffered.
pub fn next_hello(bytes: &[u8]) -> Result<Option<&[u8]>, Reject> {
    let looks_like_hello = |frame: &[u8]| {
        frame.get(4).is_none_or(|kind| *kind == Kind::Hello as u8)
            && frame
                .iter()
                .skip(FRAME_HEADER_LEN)
                .zip(frame::MAGIC)
                .all(|(byte, magic)| *byte == magic)
    };
    match next_frame(bytes, HELLO_LEN_MAX) {
        // A whole frame may end before the magic. The bytes behind it are not evidence then.
        Ok(found) if looks_like_hello(found.unwrap_or(bytes)) => Ok(found),
        Ok(_) | Err(_) => {
            let found = bytes[..bytes.len().min(12)].escape_ascii().to_string();
            Err(Reject::NotBlip { found: format!("\"{found}\"") })
        }
    }
}

/// Checks the eight bytes every frame starts with.
fn kind_of(frame: &[u8]) -> Result<Kind, Reject> {
    assert!(frame.len() >= FRAME_HEADER_LEN, "`next_frame` gives whole frames");
    let (byte, flags) = (frame[4], frame[5]);
    let kind = Kind::from_byte(byte).ok_or(Reject::UnknownKind { kind: byte })?;
    if flags & !kind.flags_allowed() != 0 {
        return Err(Reject::UnknownFlags { kind: byte, flags });
    }
    let count = u16::from_le_bytes([frame[6], frame[7]]);
    if count != 0 && kind != Kind::Messages {
        return Err(Reject::UnexpectedCount { kind: byte, count });
    }
    Ok(kind)
}

/// The part of a frame's body that is still unread.
struct Body<'a> {
    kind: u8,
    frame_len: u32,
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    fn of(frame: &'a [u8]) -> Body<'a> {
        Body { kind: frame[4], frame_len: frame.len() as u32, rest: &frame[FRAME_HEADER_LEN..] }
    }

    fn mismatch(&self, detail: &'static str) -> Reject {
        Reject::BodyMismatch { kind: self.kind, frame_len: self.frame_len, detail }
    }

    fn take<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Reject> {
        let (taken, rest) =
            self.rest.split_first_chunk::<N>().ok_or_else(|| self.mismatch(field))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, Reject> {
        self.take::<1>(field).map(|[byte]| byte)
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, Reject> {
        self.take(field).map(u16::from_le_bytes)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, Reject> {
        self.take(field).map(u32::from_le_bytes)
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, Reject> {
        self.take(field).map(u64::from_le_bytes)
    }

    fn string16(&mut self, field: &'static str) -> Result<&'a str, Reject> {
        let len = self.u16(field)?;
        let (text, rest) =
            self.rest.split_at_checked(len as usize).ok_or_else(|| self.mismatch(field))?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| Reject::NotUtf8 { field })
    }

    fn finish(self) -> Result<(), Reject> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.mismatch("bytes are left over")) }
    }
}
