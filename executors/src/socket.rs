//! The sockets of one core: what the kernel is doing with each, and the memory it does it with.
//!
//! Used by `io`. A slot is used again only when the kernel is done with its socket.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use bytes::Bytes;

use crate::ConnectionId;

/// Ranges the kernel takes in one vectored send (UIO_MAXIOV); with more it refuses the request.
const RANGES_MAX: usize = 1_024;

/// Whether the kernel receives on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receive {
    /// No request is under way.
    Idle,
    /// A multishot receive is under way.
    Armed,
    /// It was asked to stop; its last completion is still to come.
    Stopping,
}

/// How far a connection is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The service has it.
    Open,
    /// The service closed it: the send in flight and the last bytes go out, then the write side is
    /// shut; what still arrives is thrown away until the peer closes too.
    Closing,
    /// Everything under way was cancelled; the last completions are still to come.
    Releasing,
    /// The last completion has come; the socket is closed at the end of the turn.
    Released,
}

pub(crate) struct Socket {
    pub(crate) fd: OwnedFd,
    pub(crate) phase: Phase,
    pub(crate) receive: Receive,
    /// The service wants no bytes at the moment.
    pub(crate) paused: bool,
    /// The peer has ended, or the connection broke.
    pub(crate) ended: bool,
    /// Sends fail: nothing more can reach the peer.
    pub(crate) broken: bool,
    pub(crate) write_shut: bool,
    pub(crate) in_flight: Option<Box<SendOperation>>,
    /// What goes out after the send in flight, when closing.
    pub(crate) last_bytes: Bytes,
    /// Completions to come, and arrivals not handed on yet.
    pub(crate) references: u32,
}

impl Socket {
    pub(crate) fn new(fd: OwnedFd) -> Socket {
        Socket {
            fd,
            phase: Phase::Open,
            receive: Receive::Idle,
            paused: false,
            ended: false,
            broken: false,
            write_shut: false,
            in_flight: None,
            last_bytes: Bytes::new(),
            references: 0,
        }
    }

    /// Whether nothing more is asked of the kernel for it.
    pub(crate) fn is_released(&self) -> bool {
        matches!(self.phase, Phase::Releasing | Phase::Released)
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// One vectored send: the ranges, what they point into, and the header the kernel reads.
///
/// # Always true
/// - While the kernel has it, it is boxed and in its socket's `in_flight`, so nothing moves.
#[derive(Debug)]
pub(crate) struct SendOperation {
    header: libc::msghdr,
    ranges: Vec<libc::iovec>,
    /// Keeps alive what `ranges` point into.
    pub(crate) bytes: Vec<Bytes>,
    /// Ranges that are sent completely.
    ranges_sent: usize,
}

impl SendOperation {
    pub(crate) fn new() -> Box<SendOperation> {
        // SAFETY: a msghdr of zeroes is valid: null pointers with length 0.
        let header = unsafe { std::mem::zeroed() };
        Box::new(SendOperation { header, ranges: Vec::new(), bytes: Vec::new(), ranges_sent: 0 })
    }

    /// Takes the bytes to send out of `bytes`.
    pub(crate) fn fill(&mut self, bytes: &mut Vec<Bytes>) {
        assert!(self.bytes.is_empty(), "a spare operation keeps nothing alive");
        std::mem::swap(&mut self.bytes, bytes);
        self.ranges.clear();
        self.ranges.extend(self.bytes.iter().map(|bytes| libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        }));
        self.ranges_sent = 0;
    }

    /// The header for a vectored send of what is left, or of as much as the kernel takes at once.
    pub(crate) fn prepare(&mut self) -> (*const libc::msghdr, &[libc::iovec]) {
        let end = self.ranges.len().min(self.ranges_sent + RANGES_MAX);
        let left = &mut self.ranges[self.ranges_sent..end];
        self.header.msg_iov = left.as_mut_ptr();
        self.header.msg_iovlen = left.len() as _;
        (&self.header, left)
    }

    /// Notes that `sent` bytes are out; returns whether all are.
    pub(crate) fn advance(&mut self, mut sent: usize) -> bool {
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
}

/// The sockets of a core by slot.
#[derive(Default)]
pub(crate) struct Sockets {
    slots: Vec<Slot>,
    free: Vec<u32>,
    open: usize,
}

struct Slot {
    generation: u32,
    // Boxed: a slot that is free, or that few use, costs little.
    socket: Option<Box<Socket>>,
}

impl Sockets {
    pub(crate) fn insert(&mut self, socket: Socket) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, socket: None });
            (self.slots.len() - 1) as u32
        });
        self.open += 1;
        let place = &mut self.slots[slot as usize];
        place.socket = Some(Box::new(socket));
        ConnectionId { slot, generation: place.generation }
    }

    pub(crate) fn remove(&mut self, connection: ConnectionId) -> Socket {
        let place = &mut self.slots[connection.slot as usize];
        assert!(place.generation == connection.generation, "an id is removed once");
        place.generation = place.generation.wrapping_add(1);
        self.free.push(connection.slot);
        self.open -= 1;
        *place.socket.take().expect("an id that was inserted has a socket")
    }

    /// The socket of a completion: its slot cannot have been used again before it came.
    pub(crate) fn at(&mut self, slot: u32) -> (ConnectionId, &mut Socket) {
        self.find(slot).expect("a slot with completions to come has a socket")
    }

    /// The socket of a slot that may be free.
    pub(crate) fn find(&mut self, slot: u32) -> Option<(ConnectionId, &mut Socket)> {
        let place = &mut self.slots[slot as usize];
        let socket = place.socket.as_mut()?;
        Some((ConnectionId { slot, generation: place.generation }, socket))
    }

    /// The socket of a service's id.
    pub(crate) fn get(&mut self, connection: ConnectionId) -> &mut Socket {
        let (found, socket) = self.at(connection.slot);
        assert!(found == connection, "the service was told that this id is void");
        socket
    }

    pub(crate) fn len(&self) -> usize {
        self.open
    }

    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        let used = self.slots.iter().enumerate().filter(|(_, slot)| slot.socket.is_some());
        used.map(|(index, slot)| ConnectionId { slot: index as u32, generation: slot.generation })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(parts: &[&'static [u8]]) -> Box<SendOperation> {
        let mut operation = SendOperation::new();
        operation.fill(&mut parts.iter().map(|part| Bytes::from_static(part)).collect());
        operation
    }

    fn left(operation: &mut SendOperation) -> Vec<u8> {
        let (header, ranges) = operation.prepare();
        // SAFETY: the ranges point into `operation.bytes`, which is alive.
        let bytes = |range: &libc::iovec| unsafe {
            std::slice::from_raw_parts(range.iov_base.cast::<u8>(), range.iov_len).to_vec()
        };
        // SAFETY: `prepare` made the header point at the ranges.
        assert_eq!(unsafe { (*header).msg_iovlen }, ranges.len());
        ranges.iter().flat_map(bytes).collect()
    }

    #[test]
    fn a_short_send_goes_on_at_the_byte_where_it_stopped() {
        for sent in 0..=9 {
            let mut operation = operation(&[b"abc", b"", b"defg", b"hi"]);
            assert_eq!(operation.advance(sent), sent == 9, "after {sent} bytes");
            assert_eq!(left(&mut operation), b"abcdefghi"[sent..], "after {sent} bytes");
        }
    }

    #[test]
    fn more_ranges_than_the_kernel_takes_go_out_in_several_sends() {
        let mut operation = operation(&vec![b"x".as_slice(); RANGES_MAX + 1]);
        assert_eq!(left(&mut operation).len(), RANGES_MAX);
        assert!(!operation.advance(RANGES_MAX), "one is left");
        assert_eq!(left(&mut operation), b"x");
        assert!(operation.advance(1));
    }

    #[test]
    fn a_slot_is_used_again_under_another_generation() {
        let socket = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            Socket::new(listener.into())
        };
        let mut sockets = Sockets::default();
        let first = sockets.insert(socket());
        sockets.remove(first);
        let second = sockets.insert(socket());
        assert_eq!(first.slot, second.slot);
        assert_ne!(first.generation, second.generation);
        assert_eq!(sockets.ids(), [second]);
    }
}
