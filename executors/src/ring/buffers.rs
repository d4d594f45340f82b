//! The receive buffers of one core: a ring of them registered with the kernel, which picks one
//! whenever bytes arrive. Idle connections hold none.
//!
//! # Always true
//! - A buffer is either the kernel's (its entry lies between the kernel's head and our tail) or
//!   ours (its id came in a completion and was not put back).
//! - Memory is touched when it is first used: an idle core keeps none resident.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// Number of a receive buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BufferId(pub(crate) u16);

/// The one buffer group of a data ring.
pub(crate) const BUFFER_GROUP: u16 = 0;
/// Buffers per core. A power of two, as the kernel wants. Together 2 MiB: fewer and
/// larger ones would starve many publishers, more would leave the second-level cache.
pub(crate) const BUFFERS: u16 = 32;
/// Bytes per buffer.
pub(crate) const BUFFER_LEN: usize = 64 * 1024;

const _: () = assert!(BUFFERS.is_power_of_two());

pub(crate) struct BufferRing {
    entries: Mapping,
    buffers: Mapping,
    tail: u16,
    /// Buffers that are ours.
    ours: u16,
}

impl BufferRing {
    /// Maps the memory, gives every buffer to the kernel, and registers the ring.
    pub(crate) fn register(ring: &IoUring) -> io::Result<BufferRing> {
        let entries = Mapping::new(size_of::<BufRingEntry>() * usize::from(BUFFERS))?;
        let buffers = Mapping::new(BUFFER_LEN * usize::from(BUFFERS))?;
        let mut this = BufferRing { entries, buffers, tail: 0, ours: BUFFERS };
        // SAFETY: the entries are page-aligned, `BUFFERS` long, and stay mapped until `Drop`,
        // which the owner runs after the ring itself is closed.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                this.entries.start.as_ptr() as u64,
                BUFFERS,
                BUFFER_GROUP,
                0,
            )?;
        }
        for id in 0..BUFFERS {
            this.put_back(BufferId(id));
        }
        Ok(this)
    }

    /// Notes that a completion gave a buffer to us.
    pub(crate) fn taken(&mut self, id: BufferId) {
        assert!(id.0 < BUFFERS && self.ours < BUFFERS, "the kernel gives what it was given");
        self.ours += 1;
    }

    /// Buffers that receives would find.
    pub(crate) fn kernel_has(&self) -> usize {
        usize::from(BUFFERS - self.ours)
    }

    /// The first `len` bytes of a buffer that a completion gave to us.
    pub(crate) fn bytes(&self, id: BufferId, len: usize) -> &[u8] {
        assert!(id.0 < BUFFERS && len <= BUFFER_LEN, "the kernel stays within a buffer");
        // SAFETY: the range lies inside the mapping; the kernel writes to a buffer only while it is
        // the kernel's, and this one is ours until `put_back`, which needs `&mut self`.
        unsafe {
            let start = self.buffers.start.as_ptr().add(usize::from(id.0) * BUFFER_LEN);
            std::slice::from_raw_parts(start, len)
        }
    }

    /// Gives a buffer to the kernel.
    pub(crate) fn put_back(&mut self, id: BufferId) {
        assert!(self.ours > 0, "a buffer is put back once");
        self.ours -= 1;
        let entry = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: `entry` is below `BUFFERS`, so the pointers stay inside both mappings. The kernel
        // reads an entry only once the tail below has passed it. The tail is written through an
        // atomic because the kernel reads it; it lies inside the first entry (the kernel's layout)
        // in bytes that `set_addr`, `set_len` and `set_bid` do not touch.
        unsafe {
            let entries = self.entries.start.as_ptr().cast::<BufRingEntry>();
            let slot = &mut *entries.add(entry);
            slot.set_addr(self.buffers.start.as_ptr().add(usize::from(id.0) * BUFFER_LEN) as u64);
            slot.set_len(BUFFER_LEN as u32);
            slot.set_bid(id.0);
            self.tail = self.tail.wrapping_add(1);
            let tail = AtomicU16::from_ptr(BufRingEntry::tail(entries).cast_mut());
            tail.store(self.tail, Ordering::Release);
        }
    }
}

/// Anonymous memory, page-aligned, zeroed, made resident page by page as it is used.
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Mapping> {
        // SAFETY: a new anonymous private mapping at an address of the kernel's choice touches no
        // memory that exists.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { start: NonNull::new(start.cast()).expect("mmap never gives null"), len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the range that was mapped; the kernel's use of it ended with its ring.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
        assert!(result == 0, "the range was mapped by `new`");
    }
}
