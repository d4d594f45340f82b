//! The manual: chapters that are built with the documentation, so that their links are checked.
//!
//! | chapter | for whoever |
//! |---|---|
//! | [`architecture`] | reads or changes the code: the path of one message, the turn, back-pressure, memory |
//! | [`protocol`] | writes a client: what PROTOCOL.md leaves open and how this broker decides it |
//! | [`nats`] | connects NATS clients, or comes from nats-server |
//! | [`decisions`] | asks why it is like this |
//! | [`simulator`] | asks how the promises are proven, or replays a seed |
//! | [`tuning`] | runs it: profiles, keys, cores, limits |
//! | [`operations`] | runs it: start, reload, stop, supervisors, the log |
//! | [`capacity`] | asks how much memory and how many cores it needs |
//! | [`numa`] | chooses cores, and keeps others off them |
//! | [`metrics`] | watches it |
//! | [`troubleshooting`] | sees something wrong |
//! | [`profiling`] | asks where a core's time goes |
//! | [`performance`] | asks what a message costs, and how that grows |
//! | [`fuzzing`] | asks how it is tested with generated input, and what that found |
//!
//! `blipmq help TOPIC` prints a chapter in a terminal. Every command of the chapters for operators is run
//! by `tests/manual.rs`, or marked behind its fence with what it needs.
//!
//! Numbers of what it does per second are in `benches/records/`, each with its command, commit and
//! machine.

pub mod architecture;
pub mod capacity;
pub mod decisions;
pub mod fuzzing;
pub mod metrics;
pub mod nats;
pub mod numa;
pub mod operations;
pub mod performance;
pub mod profiling;
pub mod protocol;
pub mod protocol_session;
pub mod simulator;
pub mod troubleshooting;
pub mod tuning;
