//! The receive buffers of one core: a ring of them registered with the kernel, which picks one
//! whenever bytes arrive. Idle connections hold none.
//!
//! # Always true
//! - A buffer is either the kernel's (its entry lies between the kernel's head and our tail) or
//!   ours (its bit in `ours` is set). Only ours are read or put back.
//! - Memory is touched when it is first used: an idle core keeps none resident.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The one buffer group of a data ring.
pub(super) const BUFFER_GROUP: u16 = 0;
/// Buffers per core. A power of two, as the kernel wants. Together 2 MiB: fewer and
/// larger ones would starve many publishers, more would leave the second-level cache.
pub(crate) const BUFFERS: u16 = 32;
/// Bytes per buffer.
pub(super) const BUFFER_LEN: usize = 64 * 1024;

const _: () = assert!(BUFFERS.is_power_of_two() && BUFFERS as u32 <= u32::BITS);

pub(super) struct BufferRing {
    entries: Mapping,
    buffers: Mapping,
    tail: u16,
    /// One bit for each buffer that is ours.
    ours: u32,
}

impl BufferRing {
    /// Maps the memory, gives every buffer to the kernel, and registers the ring.
    ///
    /// # Safety
    ///
    /// The memory is unmapped when this is dropped: not before the kernel is done with every
    /// request of `ring` that may choose one of these buffers.
    pub(super) unsafe fn register(ring: &IoUring) -> io::Result<BufferRing> {
        let entries = Mapping::new(size_of::<BufRingEntry>() * usize::from(BUFFERS))?;
        let buffers = Mapping::new(BUFFER_LEN * usize::from(BUFFERS))?;
        let mut this = BufferRing { entries, buffers, tail: 0, ours: u32::MAX };
        // SAFETY: the entries are page-aligned, `BUFFERS` long, and stay mapped until the kernel is
        // done with them, as the caller promises.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                this.entries.start.as_ptr() as u64,
                BUFFERS,
                BUFFER_GROUP,
                0,
            )?;
        }
        for buffer in 0..BUFFERS {
            this.put_back(buffer);
        }
        Ok(this)
    }

    /// Notes that a completion gave a buffer to us.
    pub(super) fn taken(&mut self, buffer: u16) {
        assert!(!self.is_ours(buffer), "the kernel gives what it was given");
        self.ours |= 1 << buffer;
    }

    fn is_ours(&self, buffer: u16) -> bool {
        assert!(buffer < BUFFERS, "the kernel chooses among the buffers it was given");
        self.ours & 1 << buffer != 0
    }

    /// Buffers that receives would find.
    pub(super) fn free(&self) -> usize {
        self.ours.count_zeros() as usize
    }

    /// The first `len` bytes of a buffer that is ours.
    pub(super) fn bytes(&self, buffer: u16, len: usize) -> &[u8] {
        assert!(self.is_ours(buffer) && len <= BUFFER_LEN, "the kernel stays within a buffer");
        // SAFETY: the range lies inside the mapping; the kernel writes to a buffer only while it is
        // the kernel's, and this one is ours until `put_back`, which needs `&mut self`.
        unsafe {
            let start = self.buffers.start.as_ptr().add(usize::from(buffer) * BUFFER_LEN);
            std::slice::from_raw_parts(start, len)
        }
    }

    /// Gives a buffer to the kernel.
    pub(super) fn put_back(&mut self, buffer: u16) {
        assert!(self.is_ours(buffer), "a buffer is put back once");
        self.ours &= !(1 << buffer);
        let entry = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: `entry` and `buffer` are below `BUFFERS`, so the pointers stay inside both
        // mappings. The kernel reads an entry only once the tail below has passed it. The tail is
        // written through an atomic because the kernel reads it; it lies inside the first entry (the
        // kernel's layout) in bytes that `set_addr`, `set_len` and `set_bid` do not touch.
        unsafe {
            let entries = self.entries.start.as_ptr().cast::<BufRingEntry>();
            let slot = &mut *entries.add(entry);
            slot.set_addr(self.buffers.start.as_ptr().add(usize::from(buffer) * BUFFER_LEN) as u64);
            slot.set_len(BUFFER_LEN as u32);
            slot.set_bid(buffer);
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
        // SAFETY: exactly the range that was mapped; the kernel's use of it has ended, as the
        // caller of `register` promises.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
        assert!(result == 0, "the range was mapped by `new`");
    }
}
