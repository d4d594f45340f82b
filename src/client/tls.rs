//! TLS of a connection: which servers are trusted, and the bytes between the frames and the socket.
//!
//! Called by `connect` for the handshake, and by `link` for all bytes behind it.
//!
//! | to learn | read |
//! |---|---|
//! | what a program can choose | `options` |
//! | how files become the configuration of rustls, and when they are read again | `config` |
//! | how two threads share one TLS connection | `session` |
//! | what can go wrong, and what to do then | `error` |
//!
//! # Always true
//! - A client that was asked to use TLS sends no byte of the protocol outside of TLS.
//! - Only TLS 1.3 is offered. Its keys are renewed by itself, so a connection has no last record.

mod config;
mod error;
mod options;
mod session;

pub(crate) use config::Connector;
pub use error::TlsError;
pub use options::TlsOptions;
pub(crate) use session::Session;
