//! What runs on a core: the seam between the driver and its user.

use std::net::SocketAddr;

use crate::clock::Now;
use crate::connection::ConnectionId;
use crate::io::Io;
use crate::ring::Ring;

/// What a core does besides calling its service, to be counted or logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// The core entered the kernel on its data ring: how often, and with how many sends in all.
    Entered {
        /// System calls; more than one when the queue of requests was full before the turn's end.
        calls: u32,
        /// Sends they carried.
        sends: u32,
    },
    /// The core goes to sleep, at this time of [`Now::monotonic_ns`].
    Sleeps {
        /// Nanoseconds.
        at_ns: u64,
    },
    /// The core woke.
    Woke {
        /// Nanoseconds.
        at_ns: u64,
    },
    /// The kernel was short of memory or descriptors. What failed is tried again after a rest.
    Short {
        /// What failed.
        what: Shortage,
    },
    /// A connection has more to read and no receive buffer is free; the connection waits for one.
    Starved,
    /// New connections come though there are as many as there may be. Observed at most once a
    /// second; the service refuses each of them, see [`Service::connected`].
    Full {
        /// How many there are.
        connections: u32,
    },
}

/// What the kernel could not do for want of memory or descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// To accept a connection.
    Accept,
    /// To receive.
    Receive,
    /// To send.
    Send,
    /// To take requests.
    Enter,
}

/// Whether there is a place for a new connection, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// There is one.
    Admitted,
    /// There are as many connections as there may be.
    Full,
    /// Its address has as many as an address may have.
    AddressFull,
    /// Its address has connected too often within a second.
    AddressTooFast,
}

/// What runs on a core: the driver calls it, never two calls at once, always on that core's thread.
///
/// The life of a connection: `connected`, any number of `received` and `sent`, at most one `ended`,
/// then, once the service has called [`Io::close`], one `closed`. After that its id is void.
pub trait Service {
    /// The mesh message: what cores send each other over the mesh.
    type Message: Send + 'static;

    /// Lanes per ordered pair of cores: messages of one lane stay in order, lanes fill on their own.
    const LANES: usize;

    /// A connection is this core's from now on. `listener` is the index of the listener it came by.
    /// One that is not admitted is refused: the service says so to the peer and closes.
    fn connected(
        &mut self,
        now: Now,
        connection: ConnectionId,
        peer: SocketAddr,
        listener: usize,
        admission: Admission,
    );

    /// Bytes arrived. Their buffer is reused after the call.
    fn received(&mut self, now: Now, connection: ConnectionId, bytes: &[u8]);

    /// The one send in flight on this connection is with the kernel; the next may come.
    fn sent(&mut self, now: Now, connection: ConnectionId);

    /// The send in flight failed: nothing more reaches the peer, and no `sent` comes. `ended`
    /// follows what arrived before.
    fn broken(&mut self, now: Now, connection: ConnectionId);

    /// The peer sends no more, or the connection broke.
    fn ended(&mut self, now: Now, connection: ConnectionId);

    /// The peer of a connection that the service has paused is gone: what it sent last, if anything, is
    /// not read any more. The service closes the connection.
    fn vanished(&mut self, _now: Now, _connection: ConnectionId) {}

    /// The connection is gone and its id void.
    fn closed(&mut self, connection: ConnectionId);

    /// Whether `received` may be called now. While it is false, arrivals wait in their buffers,
    /// and when those are used up the kernel makes the senders wait.
    fn wants_input(&self) -> bool;

    /// Arrivals are about to be handed on: serves what is left of earlier ones first, so that
    /// bytes of a connection stay in order without being copied behind it.
    fn go_on(&mut self, _now: Now) {}

    /// Everything that arrived has been handed on: read the mesh, work, send. Returns whether there
    /// is more to do at once; else the core may sleep until something comes.
    fn turn<R: Ring>(&mut self, now: Now, io: &mut Io<Self::Message, R>) -> bool;

    /// When `turn` must run even if nothing arrives, in [`Now::monotonic_ns`].
    fn next_deadline(&self) -> Option<u64>;

    /// The process stops: finish what was accepted.
    fn stop(&mut self, now: Now);

    /// Whether everything that was accepted is delivered and every connection closed.
    fn is_stopped(&self) -> bool;

    /// The core did something. The service may count or log it, and must not do more.
    fn observe(&mut self, _observed: Observed) {}
}
