//! A send: the bytes, and how much of them the kernel has taken.

use bytes::Bytes;

/// Ranges the kernel takes in one vectored send (UIO_MAXIOV); with more it refuses the request.
const RANGES_MAX: usize = 1_024;

/// Sends kept for their room: more than can be useful within one turn's cache.
const SPARE_SENDS_MAX: usize = 256;

/// One vectored send: the ranges, what they point into, and the header the kernel reads.
///
/// # Always true
/// - While the kernel has it, nothing of it changes: the methods that change it say so by panicking.
///   Its owner keeps it boxed, so that it does not move either.
#[derive(Debug)]
pub(super) struct SendOperation {
    header: libc::msghdr,
    ranges: Vec<libc::iovec>,
    /// Keeps alive what `ranges` point into.
    bytes: Vec<Bytes>,
    /// Ranges that are sent completely.
    ranges_sent: usize,
    with_kernel: bool,
}

impl SendOperation {
    fn new() -> Box<SendOperation> {
        // SAFETY: a msghdr of zeroes is valid: null pointers with length 0.
        let header = unsafe { std::mem::zeroed() };
        Box::new(SendOperation {
            header,
            ranges: Vec::new(),
            bytes: Vec::new(),
            ranges_sent: 0,
            with_kernel: false,
        })
    }

    /// Takes the bytes to send out of `bytes`.
    fn fill(&mut self, bytes: &mut Vec<Bytes>) {
        assert!(self.bytes.is_empty() && !self.with_kernel, "a spare send keeps nothing alive");
        std::mem::swap(&mut self.bytes, bytes);
        self.ranges.clear();
        self.ranges.extend(self.bytes.iter().map(|bytes| libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        }));
        self.ranges_sent = 0;
    }

    /// Hands what is left to the kernel, or as much as it takes at once: a header for it, which
    /// points at the ranges.
    pub(super) fn submit(&mut self) -> (*const libc::msghdr, &[libc::iovec]) {
        assert!(!self.with_kernel, "the kernel has this send already");
        self.with_kernel = true;
        let end = self.ranges.len().min(self.ranges_sent + RANGES_MAX);
        let left = &mut self.ranges[self.ranges_sent..end];
        self.header.msg_iov = left.as_mut_ptr();
        self.header.msg_iovlen = left.len() as _;
        (&self.header, left)
    }

    /// The kernel is done with it, and took `sent` bytes; returns whether none is left.
    pub(super) fn completed(&mut self, mut sent: usize) -> bool {
        assert!(self.with_kernel, "a send completes once");
        self.with_kernel = false;
        while let Some(range) = self.ranges.get_mut(self.ranges_sent) {
            if sent < range.iov_len {
                range.iov_base = range.iov_base.cast::<u8>().wrapping_add(sent).cast();
                range.iov_len -= sent;
                return false;
            }
            sent -= range.iov_len;
            self.ranges_sent += 1;
        }
        assert!(sent == 0, "the kernel sends no more than it was given");
        true
    }

    /// What the kernel was given and is to send, piece by piece.
    pub(super) fn submitted(&self) -> impl Iterator<Item = &[u8]> {
        let ranges = self.ranges.iter().zip(&self.bytes);
        let ranges = ranges.skip(self.ranges_sent).take(RANGES_MAX);
        // Only the first one may be sent in part, and its end is where it was.
        ranges.map(|(range, bytes)| &bytes[bytes.len() - range.iov_len..])
    }
}

/// Sends without bytes, for the next ones.
#[derive(Debug, Default)]
pub(super) struct SpareSends {
    // Boxed because the kernel points into them: they move between here and slots, their insides
    // must not.
    #[allow(clippy::vec_box)]
    sends: Vec<Box<SendOperation>>,
}

impl SpareSends {
    /// A send of `bytes`, which is left empty.
    pub(super) fn fill(&mut self, bytes: &mut Vec<Bytes>) -> Box<SendOperation> {
        let mut send = self.sends.pop().unwrap_or_else(SendOperation::new);
        send.fill(bytes);
        send
    }

    /// Drops the bytes of a send and keeps the rest of it.
    pub(super) fn recycle(&mut self, mut send: Box<SendOperation>) {
        assert!(!send.with_kernel, "what the kernel reads stays where it is");
        send.bytes.clear();
        if self.sends.len() < SPARE_SENDS_MAX {
            self.sends.push(send);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(parts: &[&'static [u8]]) -> Box<SendOperation> {
        let mut bytes = parts.iter().map(|part| Bytes::from_static(part)).collect();
        SpareSends::default().fill(&mut bytes)
    }

    /// What is left, as the kernel sees it.
    fn submit(operation: &mut SendOperation) -> Vec<u8> {
        let expected = operation.submitted().flatten().copied().collect::<Vec<u8>>();
        let (header, ranges) = operation.submit();
        // SAFETY: the ranges point into `operation.bytes`, which is alive.
        let bytes = |range: &libc::iovec| unsafe {
            std::slice::from_raw_parts(range.iov_base.cast::<u8>(), range.iov_len).to_vec()
        };
        // SAFETY: `submit` made the header point at the ranges.
        assert_eq!(unsafe { (*header).msg_iovlen }, ranges.len());
        let left: Vec<u8> = ranges.iter().flat_map(bytes).collect();
        assert_eq!(left, expected);
        left
    }

    #[test]
    fn a_short_send_goes_on_at_the_byte_where_it_stopped() {
        for sent in 0..=9 {
            let mut operation = operation(&[b"abc", b"", b"defg", b"hi"]);
            submit(&mut operation);
            assert_eq!(operation.completed(sent), sent == 9, "after {sent} bytes");
            assert_eq!(submit(&mut operation), b"abcdefghi"[sent..], "after {sent} bytes");
        }
    }

    #[test]
    fn more_ranges_than_the_kernel_takes_go_out_in_several_sends() {
        let mut operation = operation(&vec![b"x".as_slice(); RANGES_MAX + 1]);
        assert_eq!(submit(&mut operation).len(), RANGES_MAX);
        assert!(!operation.completed(RANGES_MAX), "one is left");
        assert_eq!(submit(&mut operation), b"x");
        assert!(operation.completed(1));
    }

    #[test]
    #[should_panic(expected = "the kernel has this send already")]
    fn what_the_kernel_reads_is_not_changed() {
        let mut operation = operation(&[b"abc"]);
        submit(&mut operation);
        submit(&mut operation);
    }
}
