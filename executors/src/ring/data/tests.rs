//! What the ring keeps, and what it does when it is dropped.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// Bytes that know whether they are still there.
struct Tracked(Arc<Vec<u8>>);

impl AsRef<[u8]> for Tracked {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Sets the flag by which the kernel reports work that it has put off, over whatever work there is.
pub(crate) fn report_deferred(ring: &DataRing) {
    const TASKRUN: u32 = 1 << 2;
    // SAFETY: `Parameters` is a transparent `io_uring_params`, 30 numbers of 32 bits. The 15th is the
    // place of the flags among the ring's numbers, `sq_off.flags`.
    let place = unsafe { *std::ptr::from_ref(ring.ring.params()).cast::<u32>().add(14) } as usize;
    let (len, protection) = (place + size_of::<u32>(), libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a further mapping of the ring's numbers, at an address of the kernel's choice.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            protection,
            libc::MAP_SHARED,
            ring.ring.as_raw_fd(),
            0,
        )
    };
    assert!(start != libc::MAP_FAILED, "{}", io::Error::last_os_error());
    // SAFETY: the flags lie inside the mapping, which is unmapped after their last use. Kernel and crate
    // use them as an atomic number too.
    unsafe {
        AtomicU32::from_ptr(start.cast::<u8>().add(place).cast())
            .fetch_or(TASKRUN, Ordering::SeqCst);
        assert!(libc::munmap(start, len) == 0);
    }
}

fn ring() -> DataRing {
    DataRing::new(Arc::new(Waker::new().expect("an eventfd"))).expect("a ring")
}

/// Goal: a ring that is dropped in the middle of everything frees all of it, and the kernel has
/// none of it any more.
#[test]
fn a_ring_that_is_dropped_ends_what_is_in_flight() {
    let mut ring = ring();
    let (mut peer, socket) = UnixStream::pair().expect("a pair of sockets");
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let bytes = Arc::new(vec![7; 16 << 20]);
    ring.listen(0, listener);
    ring.accept(0);
    ring.open(3, socket.into());
    ring.receive(3);
    ring.send(3, &mut vec![Bytes::from_owner(Tracked(bytes.clone())); 2]);
    ring.timeout(u64::MAX / 2);
    ring.enter().expect("submitted");
    // Queued and not submitted.
    ring.cancel_receive(3);
    assert!(ring.is_busy(3) && Arc::strong_count(&bytes) == 2);
    drop(ring);
    assert_eq!(Arc::strong_count(&bytes), 1, "the bytes of the send are free");
    let mut received = Vec::new();
    peer.read_to_end(&mut received).expect("its socket is closed");
    assert!(received.iter().all(|byte| *byte == 7) && received.len() < 2 * bytes.len());
    std::net::TcpStream::connect(address).expect_err("its listener is closed");
}

#[test]
fn a_socket_is_closed_by_the_ring_alone_and_after_its_last_completion() {
    let mut ring = ring();
    let (mut peer, socket) = UnixStream::pair().expect("a pair of sockets");
    ring.open(0, socket.into());
    ring.receive(0);
    ring.enter().expect("submitted");
    ring.cancel_all(0);
    while ring.is_busy(0) {
        ring.enter().expect("submitted");
        (0..ring.ready()).for_each(|_| drop(ring.reap()));
    }
    peer.set_nonblocking(true).expect("it can be");
    assert_eq!(peer.read(&mut [0]).expect_err("it is open").kind(), io::ErrorKind::WouldBlock);
    ring.close(0);
    assert_eq!(peer.read(&mut [0]).expect("its end"), 0);
}

#[test]
#[should_panic(expected = "the kernel is done with a socket before it is closed")]
fn a_socket_is_not_closed_under_a_request() {
    let mut ring = ring();
    let (_peer, socket) = UnixStream::pair().expect("a pair of sockets");
    ring.open(0, socket.into());
    ring.receive(0);
    ring.close(0);
}

#[test]
#[should_panic(expected = "one send at a time")]
fn the_bytes_of_a_send_are_not_replaced_while_the_kernel_has_them() {
    let mut ring = ring();
    let (_peer, socket) = UnixStream::pair().expect("a pair of sockets");
    ring.open(0, socket.into());
    ring.send(0, &mut vec![Bytes::from_static(b"one")]);
    ring.send(0, &mut vec![Bytes::from_static(b"two")]);
}

#[test]
#[should_panic(expected = "a buffer is put back once")]
fn a_buffer_that_is_the_kernels_is_not_put_back() {
    ring().put_back(Filled { buffer: 0, len: 1, is_full: false });
}

/// Goal: a socket with more bytes than all buffers hold leaves most of them to the others, before
/// anybody can stop its receive.
#[test]
fn one_receive_fills_about_a_quarter_of_the_buffers() {
    let mut ring = ring();
    if !ring.receives_are_limited {
        eprintln!("SKIPPED: kernels before 6.17 do not limit a receive");
        return;
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let mut peer = std::net::TcpStream::connect(address).expect("it listens");
    ring.open(0, listener.accept().expect("a connection").0.into());
    ring.receive(0);
    ring.enter().expect("submitted");
    // More than 32 buffers, while the receive is under way and nobody lets the kernel go on with it.
    peer.set_nonblocking(true).expect("it can be");
    let chunk = vec![7; 64 << 10];
    while peer.write(&chunk).is_ok() {}
    let mut more = true;
    let mut received = 0;
    for _ in 0..100 {
        ring.enter().expect("nothing to submit");
        for _ in 0..ring.ready() {
            let Some(Completion::Received { result, more: goes_on, .. }) = ring.reap() else {
                continue;
            };
            received += result.expect("bytes").expect("not the end").len as usize;
            more = goes_on;
        }
        while more && peer.write(&chunk).is_ok() {}
    }
    assert!(!more, "the receive has ended by itself after {received} bytes");
    assert!((512 << 10..600 << 10).contains(&received), "{received} bytes");
}
