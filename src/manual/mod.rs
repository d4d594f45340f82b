//! The manual: chapters that are built with the documentation, so that their links are checked.
//!
//! | chapter | for whoever |
//! |---|---|
//! | [`architecture`] | reads or changes the code: the path of one message, the turn, back-pressure, memory |
//! | [`protocol`] | writes a client: what PROTOCOL.md leaves open and how this broker decides it |
//! | [`nats`] | connects NATS clients, or comes from nats-server |
//! | [`decisions`] | asks why it is like this |
//! | [`simulator`] | asks how the promises are proven, or replays a seed |
//! | [`tuning`] | runs it: which file, which cores, which limits |
//! | [`operations`] | runs it: start, reload, stop, supervisors, the log |
//! | [`performance`] | asks what a message costs, and how that grows |
//! | [`fuzzing`] | asks how it is tested with generated input, and what that found |
//!
//! Numbers of what it does per second are in `benches/records/`, each with its command, commit and
//! machine.

pub mod architecture;
pub mod decisions;
pub mod fuzzing;
pub mod nats;
pub mod operations;
pub mod performance;
pub mod protocol;
pub mod simulator;
pub mod tuning;
