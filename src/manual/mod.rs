//! The manual: chapters that are built with the documentation, so that their links are checked.
//!
//! | chapter | answers |
//! |---|---|
//! | [`architecture`] | how does a message travel: rooms, effects, the turn, the executors, backpressure, memory |
//! | [`protocol`] | how do I write a client: the whole wire contract of BLIP/1 |
//! | [`protocol_session`] | what does a session look like, byte by byte |
//! | [`nats`] | what can NATS clients rely on, and what differs from nats-server |
//! | [`decisions`] | why is it like this |
//! | [`simulator`] | how are the promises tested, what is real and what is simulated, and how do I replay a seed |
//! | [`tuning`] | which profile, keys, cores and limits do I choose |
//! | [`operations`] | how do I start, reload and stop a broker; what does the log say |
//! | [`tls`] | who has to encrypt, and what is on the wire |
//! | [`certificates`] | which files does TLS need, who is a client, how do I renew and revoke |
//! | [`identity`] | who may connect, where are secrets kept, what happens at wrong logins |
//! | [`capacity`] | how much memory and how many cores does my load need |
//! | [`numa`] | which cores do I use, and how do I keep other work off them |
//! | [`metrics`] | what does each number mean |
//! | [`troubleshooting`] | what is wrong, and what do I do |
//! | [`profiling`] | where does the time of a core go |
//! | [`performance`] | what does a message cost, and how does the cost grow |
//! | [`fuzzing`] | how is the broker tested with generated input, and what did that find |
//!
//! `blipmq help TOPIC` prints a chapter in a terminal, except `simulator` and `fuzzing`. `tests/manual/`
//! runs every command of the chapters for operators; a mark behind the fence of a block says what the
//! block needs if it cannot run there. The same tests look for the files, keys, metrics and texts that
//! chapters name.
//!
//! Measured numbers are in `benches/records/`, each with its command, commit and machine.

pub mod architecture;
pub mod capacity;
pub mod certificates;
pub mod decisions;
pub mod fuzzing;
pub mod identity;
pub mod metrics;
pub mod nats;
pub mod numa;
pub mod operations;
pub mod performance;
pub mod profiling;
pub mod protocol;
pub mod protocol_session;
pub mod simulator;
pub mod tls;
pub mod troubleshooting;
pub mod tuning;
