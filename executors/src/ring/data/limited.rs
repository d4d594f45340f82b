//! Receives that end by themselves after some bytes, where the kernel can do that (Linux 6.17).
//!
//! A multishot receive whose socket has more fills up to 32 buffers at once, all that a core has, before
//! the driver can stop it. Older kernels are asked without the limit: there one burst may take all
//! buffers, and only then the driver's own bound on one connection holds.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use io_uring::types::Fd;
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::ring::buffers::{BUFFER_GROUP, BUFFER_LEN, BUFFERS, BufferRing};

/// Bytes after which a receive ends: those of a quarter of the buffers.
const RECEIVE_LEN_MAX: u32 = (BUFFERS as usize / 4 * BUFFER_LEN) as u32;

/// A receive until a completion says that no more follow.
pub(super) fn receive(socket: Fd, is_limited: bool) -> squeue::Entry {
    let mut entry = opcode::RecvMulti::new(socket, BUFFER_GROUP).build();
    if is_limited {
        // SAFETY: an entry is a transparent `io_uring_sqe`, 64 bytes. Its twelfth number of 32 bits is
        // `optlen`, which the crate does not name.
        unsafe { (&raw mut entry).cast::<u32>().add(11).write(RECEIVE_LEN_MAX) };
    }
    entry
}

/// A receive into one buffer.
pub(super) fn receive_once(socket: Fd) -> squeue::Entry {
    opcode::Recv::new(socket, std::ptr::null_mut(), BUFFER_LEN as u32)
        .buf_group(BUFFER_GROUP)
        .build()
        .flags(squeue::Flags::BUFFER_SELECT)
}

/// Whether the kernel takes the limit. To be asked of a ring with nothing under way.
pub(super) fn is_supported(ring: &mut IoUring, buffers: &mut BufferRing) -> io::Result<bool> {
    // The other end is closed at once, so the receive ends at once.
    let (socket, _) = UnixStream::pair()?;
    let entry = receive(Fd(socket.as_raw_fd()), true);
    // SAFETY: the socket outlives the request, whose completion is waited for; the buffers are mapped.
    unsafe { ring.submission().push(&entry) }.expect("a new ring has room");
    ring.submit_and_wait(1)?;
    let completion = ring.completion().next().expect("it was waited for");
    if let Some(buffer) = cqueue::buffer_select(completion.flags()) {
        buffers.taken(buffer);
        buffers.put_back(buffer);
    }
    Ok(completion.result() >= 0)
}
