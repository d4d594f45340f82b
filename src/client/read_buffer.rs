//! Bytes from the socket to whole frames, without copying them.
//!
//! Called by `connect` for WELCOME and by `reader` for everything after it.
//!
//! # Always true
//! - A frame is a slice of the buffer that it was read into.
//! - If the end of a buffer cuts a frame, the first part of the frame is copied at most once.

use std::io::{self, Read};

use bytes::{Bytes, BytesMut};

use blipmq_protocol::Reject;
use blipmq_protocol::decode::next_frame;

/// Length of a buffer: with this many bytes the system call is a small part of a read.
const BUFFER_LEN: usize = 256 * 1_024;
/// Room that makes a read worthwhile, if no frame is begun.
const ROOM_MIN: usize = 32 * 1_024;

pub(crate) struct ReadBuffer {
    /// The first `filled` bytes were read and not taken; the others are room.
    buffer: BytesMut,
    filled: usize,
}

impl ReadBuffer {
    pub(crate) fn new() -> ReadBuffer {
        ReadBuffer { buffer: BytesMut::zeroed(BUFFER_LEN), filled: 0 }
    }

    /// Returns whether part of a frame was read.
    pub(crate) fn is_within_frame(&self) -> bool {
        self.filled > 0
    }

    /// Takes the next whole frame, if all of it was read.
    pub(crate) fn take_frame(&mut self, frame_len_max: u32) -> Result<Option<Bytes>, Reject> {
        let Some(frame) = next_frame(&self.buffer[..self.filled], frame_len_max)? else {
            return Ok(None);
        };
        let frame_len = frame.len();
        self.filled -= frame_len;
        Ok(Some(self.buffer.split_to(frame_len).freeze()))
    }

    /// Reads once; 0 is the end. To be called when `take_frame`, with the same bound, returned nothing.
    pub(crate) fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        self.make_room();
        loop {
            match source.read(&mut self.buffer[self.filled..]) {
                Ok(read) => {
                    self.filled += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn make_room(&mut self) {
        let begun = &self.buffer[..self.filled];
        // `take_frame` found the length within its bound, so the frame may be allocated.
        let frame_len = begun.first_chunk::<4>().map_or(4, |len| u32::from_le_bytes(*len) as usize);
        let enough = if begun.is_empty() { ROOM_MIN } else { frame_len };
        if self.buffer.len() < enough || self.buffer.len() == self.filled {
            let mut buffer = BytesMut::zeroed(BUFFER_LEN.max(frame_len));
            buffer[..self.filled].copy_from_slice(begun);
            self.buffer = buffer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blipmq_protocol::encode;

    /// A source that returns at most so many bytes with each read.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(buffer.len()).min(self.0.len());
            let (read, rest) = self.0.split_at(len);
            buffer[..len].copy_from_slice(read);
            self.0 = rest;
            Ok(len)
        }
    }

    /// Goal: frames do not depend on where reads split them, nor on where buffers end.
    /// Method: small frames around ones larger than a buffer, read in pieces of several sizes.
    #[test]
    fn frames_come_out_as_they_were_sent_however_reads_split_them() {
        let mut sent = Vec::new();
        let mut frames = Vec::new();
        for number in 0..2_000u32 {
            let mut frame = Vec::new();
            if number % 500 == 499 {
                frame.extend_from_slice(&(BUFFER_LEN as u32 + number).to_le_bytes());
                frame.resize(BUFFER_LEN + number as usize, number as u8);
            } else {
                encode::goodbye(&mut frame, &"x".repeat(number as usize));
            }
            sent.extend_from_slice(&frame);
            frames.push(frame);
        }
        for read_len in [1, 7, 4_096, usize::MAX] {
            let mut source = Slow(&sent, read_len);
            let mut buffer = ReadBuffer::new();
            for (number, expected) in frames.iter().enumerate() {
                let frame = loop {
                    if let Some(frame) = buffer.take_frame(u32::MAX).expect("legal") {
                        break frame;
                    }
                    assert_ne!(buffer.fill(&mut source).expect("no failure"), 0);
                };
                assert!(frame == expected, "frame {number}, reads of {read_len}");
            }
            assert!(!buffer.is_within_frame());
            assert_eq!(buffer.fill(&mut source).expect("no failure"), 0);
        }
    }
}
