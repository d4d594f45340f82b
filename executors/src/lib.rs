//! Cores, sockets, rings, buffers, channels, clock. Knows nothing of topics.
//!
//! One pinned glommio executor per core runs one driver task. The driver owns the core's *data
//! ring*, a second io_uring for all its sockets, and calls a [`Service`] with what arrived; the
//! service answers through [`Io`]. All sends of a turn go to the kernel with one system call.
//!
//! | to learn | read |
//! |---|---|
//! | what must be true of the machine | [`preflight`] |
//! | which cores are used | [`placement`] |
//! | how cores start and stop | [`launch`] |
//! | what a turn is, and how a core sleeps | `driver` |
//! | what a service may ask for | [`io`] |
//! | how the kernel is talked to | `ring`, `buffer`, `socket` |
//! | how connections come in | [`listener`] |
//! | how cores talk to each other | [`mesh`] |
//!
//! This is the only crate of the workspace with `unsafe`, and the only one that names glommio,
//! io-uring or libc. Every `unsafe` that talks to the kernel is covered by the tests in `tests/`,
//! which run executors with real sockets under load and misuse: no tool checks what a kernel does
//! with memory, so bytes that come back altered, a slot freed too early (an assertion), or a
//! descriptor left open are what tells.

pub mod clock;
pub mod error;
pub mod io;
pub mod launch;
pub mod listener;
pub mod mesh;
pub mod placement;
pub mod preflight;
pub mod signals;

mod driver;
mod ring;
mod socket;

use std::net::SocketAddr;

pub use clock::Now;
pub use error::StartError;
pub use io::Io;

/// One connection of one core. The slot is small and used again; the generation tells who had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// Index among the core's connections: below the most it ever had at once.
    pub slot: u32,
    /// How often the slot was used before.
    pub generation: u32,
}

/// What a core does besides calling its service, for whoever counts it.
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
    /// A connection has more to read and no receive buffer is free; it waits for one.
    Starved,
}

/// What runs on a core: the driver calls it, never two calls at once, always on that core's thread.
///
/// The life of a connection: `connected`, any number of `received` and `sent`, at most one `ended`,
/// then, once the service has called [`Io::close`], one `closed`. After that its id is void.
pub trait Service {
    /// What cores send each other over the mesh.
    type Letter: Send + 'static;

    /// Lanes per ordered pair of cores: letters of one lane stay in order, lanes fill on their own.
    const LANES: usize;

    /// A connection is this core's from now on. `listener` is the index of the one it came by.
    /// `admitted` is false when there are too many: the service says so to the client and closes.
    fn connected(
        &mut self,
        now: Now,
        connection: ConnectionId,
        peer: SocketAddr,
        listener: usize,
        admitted: bool,
    );

    /// Bytes arrived. They are gone after the call.
    fn received(&mut self, now: Now, connection: ConnectionId, bytes: &[u8]);

    /// The one send in flight on this connection is with the kernel; the next may come.
    fn sent(&mut self, now: Now, connection: ConnectionId);

    /// The send in flight failed: nothing more reaches the peer, and no `sent` comes. `ended`
    /// follows what arrived before.
    fn broken(&mut self, now: Now, connection: ConnectionId);

    /// The peer sends no more, or the connection broke.
    fn ended(&mut self, now: Now, connection: ConnectionId);

    /// The connection is gone and its id void.
    fn closed(&mut self, connection: ConnectionId);

    /// Whether `received` may be called now. While it is false, arrivals wait in their buffers,
    /// and when those are used up the kernel makes the senders wait.
    fn wants_input(&self) -> bool;

    /// Everything that arrived has been told: read the mesh, fan out, send. Returns whether there
    /// is more to do at once; else the core may sleep until something comes.
    fn turn(&mut self, now: Now, io: &mut Io<Self::Letter>) -> bool;

    /// When `turn` must run even if nothing arrives, in [`Now::monotonic_ns`].
    fn next_deadline(&self) -> Option<u64>;

    /// The process stops: finish what was accepted.
    fn stop(&mut self, now: Now);

    /// Whether everything that was accepted is delivered and every connection closed.
    fn is_stopped(&self) -> bool;

    /// Told of what the core does meanwhile. It may count, and must not do more.
    fn observe(&mut self, _observed: Observed) {}
}
