//! The ring of a core: what the driver asks of a kernel, real or simulated.
//!
//! Called by `io`, which knows the connections, and by `driver`, which runs the turns. Requests are
//! only queued; [`Ring::enter`] submits all of them at once.
//!
//! | implementation | what it is |
//! |---|---|
//! | [`data`] | the *data ring*, a second io_uring beside glommio's |
//! | [`simulated`] | a kernel in memory, played by its caller |
//!
//! A further kind of operation (a file, an outgoing connection) is a method and a [`Completion`]
//! here, one request in each implementation, and one arm in `driver`. A further kind of kernel
//! interface (epoll) is one more implementation, and a loop like that of `executor`.
//!
//! # Always true
//! - The ring owns what is in flight: sockets and listeners, the bytes of sends, the buffers of
//!   receives. Each stays until the last completion that names it was reaped, whatever the caller
//!   does; a ring that is dropped first ends what is in flight.
//! - Completions of one socket are reaped in the order they were posted.

pub(crate) mod buffers;
pub(crate) mod data;
pub(crate) mod kernel;
mod send;
pub(crate) mod simulated;

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::clock::Now;

/// What a driver asks of a kernel. Services name it and call none of it: they have [`Io`](crate::Io).
pub trait Ring: Sized {
    /// An accepted socket that has no slot yet. Dropping it closes the connection.
    type Socket;
    /// A socket that listens.
    type Listener;

    /// The time.
    fn now(&self) -> Now;

    /// The address of the other end; none if the peer is gone already.
    fn peer(socket: &Self::Socket) -> Option<SocketAddr>;

    // --- Submitting and reaping ---

    /// Submits everything queued and lets the kernel post what completed. Never waits. False if
    /// memory is short for a moment: then something stays queued.
    fn enter(&mut self) -> io::Result<bool>;

    /// Whether requests are queued for the next [`enter`](Ring::enter).
    fn has_queued(&mut self) -> bool;

    /// Whether the kernel reports work that it put off until the next [`enter`](Ring::enter). The
    /// report may be stale: then there is no such work, and no enter takes the report back.
    fn has_deferred(&mut self) -> bool;

    /// Completions posted and not reaped.
    fn ready(&mut self) -> usize;

    /// Takes the next of the completions posted; none if it concerns the ring alone.
    fn reap(&mut self) -> Option<Completion<Self::Socket>>;

    /// What went to the kernel since the last time this was asked.
    fn take_tally(&mut self) -> Tally;

    // --- Listeners ---

    /// Takes a listener; the caller counts them from 0.
    fn listen(&mut self, listener: u32, socket: Self::Listener);

    /// Accepts connections until a completion says that no more follow.
    fn accept(&mut self, listener: u32);

    /// Stops accepting. The accept ends with a completion of its own.
    fn cancel_accept(&mut self, listener: u32);

    /// Closes a listener, once no completion is to come that names it.
    fn close_listener(&mut self, listener: u32);

    // --- Sockets ---

    /// Takes a socket under a slot that is free.
    fn open(&mut self, slot: u32, socket: Self::Socket);

    /// Whether completions of this slot are to come.
    fn is_busy(&self, slot: u32) -> bool;

    /// Closes the socket of a slot that is not busy; the slot is free again.
    fn close(&mut self, slot: u32);

    /// Receives until a completion says that no more follow.
    fn receive(&mut self, slot: u32);

    /// Receives into one buffer, which ends the receive.
    fn receive_once(&mut self, slot: u32);

    /// Stops a receive, which ends with a completion of its own.
    fn cancel_receive(&mut self, slot: u32);

    /// Asks for one completion at the end of the peer, without reading. One at a time may be under way.
    fn watch_end(&mut self, slot: u32);

    /// Stops everything the kernel does with a socket.
    fn cancel_all(&mut self, slot: u32);

    /// Takes the bytes out of `bytes` and sends them, unless a send of this slot is in flight,
    /// which is an error of the caller.
    fn send(&mut self, slot: u32, bytes: &mut Vec<Bytes>);

    /// Goes on with a send of which the kernel took only a part, or nothing for want of memory.
    fn send_rest(&mut self, slot: u32);

    /// Drops the rest of a send of which the kernel took only a part.
    fn drop_send(&mut self, slot: u32);

    /// Shuts the write side: the peer reads an end behind what was sent.
    fn shut_write(&mut self, slot: u32);

    /// Whether the kernel of the peer has everything that was sent, and the end behind it.
    fn is_delivered(&self, slot: u32) -> bool;

    // --- Receive buffers ---

    /// Buffers that receives would find.
    fn buffers_free(&self) -> usize;

    /// What a receive has filled.
    fn bytes(&self, filled: &Filled) -> &[u8];

    /// Lets receives fill the buffer again.
    fn put_back(&mut self, filled: Filled);

    // --- Time ---

    /// Asks for a completion at a time of the monotonic clock. One at a time may be under way.
    fn timeout(&mut self, at_ns: u64);

    /// Makes the timeout under way come sooner; if it has come already, nothing happens.
    fn move_timeout(&mut self, at_ns: u64);
}

/// A completion, for the driver.
#[derive(Debug)]
pub enum Completion<S> {
    /// A connection was accepted, or accepting failed.
    Accepted {
        /// The listener.
        listener: u32,
        /// The socket, or the error number.
        result: Result<S, i32>,
        /// The accept goes on.
        more: bool,
    },
    /// The cancel of an accept was carried out.
    AcceptCancelled {
        /// The listener.
        listener: u32,
    },
    /// Bytes came, or the peer's end (`None`), or an error number.
    Received {
        /// The slot of the socket.
        slot: u32,
        /// What came.
        result: Result<Option<Filled>, i32>,
        /// The receive goes on.
        more: bool,
    },
    /// The peer has ended or the connection broke, or an error ended the watch.
    Watched {
        /// The slot of the socket.
        slot: u32,
        /// The error number, if the end was not seen.
        result: Result<(), i32>,
    },
    /// The kernel took all of a send (`true`) or a part, or an error ended it.
    Sent {
        /// The slot of the socket.
        slot: u32,
        /// Whether nothing is left to send, or the error number.
        result: Result<bool, i32>,
    },
    /// A cancel was carried out. What it cancelled completes on its own, before or after.
    Cancelled {
        /// The slot of the socket.
        slot: u32,
    },
    /// The time of the timeout has come.
    Timeout,
}

/// Whether an error says that the kernel is short of something, and the same may succeed later.
pub(crate) fn is_shortage(error: i32) -> bool {
    matches!(error, libc::ENOMEM | libc::ENOBUFS | libc::EAGAIN)
}

/// A receive buffer that was filled, and is the driver's until it is put back.
#[derive(Debug)]
pub struct Filled {
    buffer: u16,
    len: u32,
    is_full: bool,
}

impl Filled {
    /// Whether the receive filled the whole buffer: the socket may well have more.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }
}

/// What went to the kernel.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// System calls.
    pub(crate) calls: u32,
    /// Sends they carried.
    pub(crate) sends: u32,
}
