//! What a connection has sent and is not served yet: the beginning of a frame, or frames left for later.
//!
//! The bytes stay in the pieces that they came in, and only those of one frame are joined, once all of
//! them are there. So thousands of half messages need no more memory than what has come of them, and
//! all of their blocks have about the same size, which the allocator can use again for others.
//!
//! # Always true
//! - What is counted is what the allocator was asked for, however much of that is served.

use std::collections::VecDeque;

/// A piece that is shorter is joined with what comes next.
const SHORT: usize = 4 * 1_024;
/// A piece grows to this by what comes next, if that fits.
const PIECE: usize = 32 * 1_024;

/// Bytes that wait to be served.
#[derive(Debug, Default)]
pub struct Unserved {
    /// None of them empty.
    pieces: VecDeque<Vec<u8>>,
    /// Bytes at the start of the first piece that were served.
    served: usize,
    /// Bytes that wait.
    len: usize,
    /// Bytes of memory.
    held: usize,
    /// How many have to be there before it is worth looking at them again.
    wanted: usize,
}

impl Unserved {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory that it holds.
    pub fn held_bytes(&self) -> usize {
        self.held
    }

    /// The first bytes that wait.
    pub fn first(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| &piece[self.served..])
    }

    /// Whether so many bytes are there as the first frame has.
    pub fn may_be_whole(&self) -> bool {
        self.len >= self.wanted
    }

    /// How many bytes the first frame lacks, if it is known and not whole.
    pub fn lacks(&self) -> Option<usize> {
        self.wanted.checked_sub(self.len).filter(|lacks| *lacks > 0)
    }

    /// The first bytes are of a frame of this length, if it is known.
    pub fn want(&mut self, frame_len: Option<usize>) {
        self.wanted = frame_len.unwrap_or(0);
    }

    /// More has come.
    pub fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.len += bytes.len();
        if let Some(last) = self.pieces.back_mut()
            && (last.len() <= SHORT || last.len() + bytes.len() <= PIECE)
        {
            let before = last.capacity();
            last.extend_from_slice(bytes);
            self.held += last.capacity() - before;
        } else {
            self.push_back(bytes.to_vec());
        }
    }

    /// So many of the first bytes were served.
    pub fn serve(&mut self, len: usize) {
        if len == 0 {
            return;
        }
        self.served += len;
        self.len -= len;
        self.wanted = 0;
        if self.pieces.front().is_some_and(|piece| piece.len() == self.served) {
            self.pop_front();
        }
    }

    /// The first bytes are no whole frame; `frame_len` is the length of that, if it is known. Joins what
    /// belongs to it, and returns whether that was done: if not, more has to come.
    pub fn join(&mut self, frame_len: Option<usize>) -> bool {
        let first_len = self.first().len();
        self.want(frame_len);
        if self.len == first_len || !self.may_be_whole() {
            return false;
        }
        let wanted = self.wanted.max(first_len + 1);
        let (mut joined_len, mut pieces) = (first_len, 1);
        while joined_len < wanted {
            joined_len += self.pieces[pieces].len();
            pieces += 1;
        }
        let mut joined = Vec::with_capacity(joined_len);
        for _ in 0..pieces {
            joined.extend_from_slice(self.first());
            self.pop_front();
        }
        self.held += joined.capacity();
        self.pieces.push_front(joined);
        true
    }

    /// Drops what waits.
    pub fn clear(&mut self) {
        *self = Unserved::default();
    }

    fn push_back(&mut self, piece: Vec<u8>) {
        self.held += piece.capacity();
        self.pieces.push_back(piece);
    }

    fn pop_front(&mut self) {
        let piece = self.pieces.pop_front().expect("something waits");
        self.held -= piece.capacity();
        self.served = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_though_most_of_it_is_served() {
        let mut unserved = Unserved::default();
        unserved.append(&[7; 32_000]);
        unserved.serve(31_990);
        assert_eq!((unserved.len(), unserved.first()), (10, &[7; 10][..]));
        assert!(unserved.held_bytes() >= 32_000);
        unserved.serve(10);
        assert!(unserved.is_empty() && unserved.held_bytes() == 0);
    }

    #[test]
    fn half_a_message_holds_little_more_than_what_has_come_of_it() {
        let mut unserved = Unserved::default();
        unserved.append(b"PUB a 1048576\r\n");
        for _ in 0..31 {
            unserved.append(&[1; 32 << 10]);
            assert!(!unserved.join(Some(1 << 20)) && !unserved.may_be_whole());
            let held = unserved.held_bytes();
            assert!(held <= unserved.len() + 1_024, "{held} for {}", unserved.len());
        }
        unserved.append(&[1; 32 << 10]);
        assert!(unserved.may_be_whole() && unserved.join(Some(1 << 20)));
        assert!(unserved.first().len() >= 1 << 20);
    }

    #[test]
    fn bytes_that_come_one_by_one_make_few_pieces() {
        let mut unserved = Unserved::default();
        (0..100_000).for_each(|_| unserved.append(b"x"));
        assert_eq!(unserved.pieces.len(), 4);
        assert!(unserved.held_bytes() <= 4 * PIECE);
    }

    /// Goal: whatever comes in whatever pieces is served in its order, and all memory is counted.
    /// Method: frames of pseudo-random lengths that say their length, or not.
    #[test]
    fn frames_in_any_pieces_come_out_whole_and_in_order() {
        let mut random = 5_u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        let frames: Vec<Vec<u8>> = (0..400_usize)
            .map(|n| {
                let len = 4 + if n % 9 == 0 { next(200_000) } else { next(300) };
                let mut frame = (len as u32).to_le_bytes().to_vec();
                frame.resize(len, n as u8);
                frame
            })
            .collect();
        let stream = frames.concat();
        let (mut unserved, mut at, mut out) = (Unserved::default(), 0, Vec::new());
        while at < stream.len() || !unserved.is_empty() {
            let len = next(40_000).min(stream.len() - at);
            unserved.append(&stream[at..at + len]);
            at += len;
            loop {
                let first = unserved.first();
                let says = first.first_chunk::<4>().map(|len| u32::from_le_bytes(*len) as usize);
                match says.filter(|len| *len <= first.len()) {
                    Some(len) => {
                        out.push(first[..len].to_vec());
                        unserved.serve(len);
                    }
                    None if unserved.join(says.filter(|_| at % 2 == 0)) => {}
                    None => break,
                }
            }
            assert_eq!(unserved.held, unserved.pieces.iter().map(Vec::capacity).sum::<usize>());
            assert_eq!(unserved.len + out.concat().len(), at);
        }
        assert!(out == frames);
    }
}
