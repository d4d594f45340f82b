//! TLS: between the sockets and the broker, which learns only who its clients are.
//!
//! | to learn | read |
//! |---|---|
//! | which files, and what of them a handshake needs | `certificates`, `listeners`, `terms` |
//! | bytes of the wire to bytes of the protocol, and back | `layer`, `wire` |
//! | what one connection sends next | `session` |
//! | all connections of a core | `sessions`, and before their handshake is over `shaking` |
//! | how many handshakes a turn serves | `handshakes` |
//! | who a client is | `identity` |

pub mod certificates;
pub mod counters;
pub mod expiry;
pub mod fault;
pub mod handshakes;
mod identity;
mod layer;
pub mod listeners;
mod pem;
mod session;
pub mod sessions;
mod shaking;
mod sni;
pub mod terms;
#[cfg(test)]
pub mod testing;
mod wire;
