//! BlipMQ: a thread-per-core publish/subscribe broker for Linux on io_uring.
//!
//! This library half does no I/O: bytes, time and randomness come in as arguments, actions go out.
//! The binary brings it together with the `executors` crate, which owns cores and sockets.
//!
//! The [`manual`] says how it works and why, and how to run it.

pub mod broker;
pub mod config;
pub mod limits;
pub mod manual;
pub mod nats;
pub mod nkey;

/// The wire protocol BLIP/1, in a crate of its own: clients need it too.
pub use blipmq_protocol as protocol;

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
