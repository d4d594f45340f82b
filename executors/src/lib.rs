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
//! | how cores start and stop | [`launch`], [`control`] |
//! | what a service is called with, and may ask for | [`Service`], [`io`] |
//! | what a turn is | `driver` |
//! | how a core sleeps, and what wakes it | `executor`, `waker` |
//! | what is asked of the kernel, and by whom in-flight memory is kept | `ring`, `ring::data` |
//! | how connections come in | [`listener`], `accept` |
//! | how cores talk to each other | [`mesh`] |
//! | how memory goes back to the operating system | `allocator` |
//! | how to run all this without a kernel | [`simulated`] |
//!
//! This is the only crate of the workspace with `unsafe`, and the only one that names glommio,
//! io-uring or libc. No safe function of it can cause undefined behaviour: the data ring owns
//! whatever the kernel may read or write. Every `unsafe` that talks to the kernel is covered by the
//! tests in `tests/`, which run executors with real sockets under load and misuse: no tool checks
//! what a kernel does with memory, so those tests look for bytes that come back altered, a slot
//! freed too early (an assertion), and descriptors left open.

#[cfg(feature = "mimalloc")]
pub mod allocator;
pub mod clock;
pub mod control;
pub mod error;
pub mod io;
pub mod launch;
pub mod listener;
pub mod mesh;
pub mod placement;
pub mod preflight;
pub mod signals;
pub mod simulated;

mod accept;
mod connection;
mod driver;
mod executor;
mod place;
mod ring;
mod seat;
mod service;
mod socket;
mod waker;

pub use clock::Now;
pub use connection::ConnectionId;
pub use error::StartError;
pub use io::Io;
pub use ring::Ring;
pub use service::{Admission, Observed, Service, Shortage};
