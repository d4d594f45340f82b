//! BlipMQ: a thread-per-core publish/subscribe broker for Linux on io_uring.
//!
//! | you want to | read or use |
//! |---|---|
//! | run a broker | the binary `blipmq`: `cargo run --release`, then `blipmq help`; [`manual::tuning`], [`manual::operations`] |
//! | publish and subscribe from Rust | the crate `blipmq-client`, and the programs in `examples/` |
//! | publish and subscribe from another language | a NATS client, see [`manual::nats`]; or [`manual::protocol`], to write a client |
//! | start a broker in a test of yours | `examples/broker_in_a_test.rs` |
//! | embed a broker of one core, without sockets or threads | [`broker`] over [`broker::port::InMemory`]; `examples/embed.rs` |
//! | read or write frames of BLIP/1 | the crate `blipmq-protocol`, which is [`protocol`] here |
//! | know how the broker works, and why | [`manual::architecture`], [`manual::decisions`] |
//!
//! # The crates
//!
//! | crate | folder | holds |
//! |---|---|---|
//! | `blipmq` | `src/` | this library, and the binary |
//! | `blipmq-client` | `src/client/` | the Rust client; the feature `tokio` adds `async` functions |
//! | `blipmq-protocol` | `src/protocol/` | the codec of BLIP/1 |
//! | `executors` | `executors/` | cores, sockets, rings, channels; the only crate with `unsafe` |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `server` | yes | what the binary needs: `executors`, the admin pages, the command line. Nothing of this library |
//! | `mimalloc` | yes | mimalloc as the allocator of the binary |
//! | `affinity` | yes | each executor is pinned to its core |
//!
//! # The library does no I/O
//!
//! Bytes, time and randomness come in as arguments, actions go out. The binary brings the library together
//! with `executors`. So the simulator, the fuzzer and the benchmarks run the same broker as the binary.

pub mod broker;
pub mod config;
pub mod distinguished_name;
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
