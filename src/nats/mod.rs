//! The client protocol of NATS: bytes to commands, and messages to the bytes of its clients, without
//! I/O.
//!
//! Called by the broker's sessions of NATS connections. A message of a NATS publisher becomes a frame of
//! BLIP/1 once, when it arrives, so that behind the session all messages are alike; it becomes bytes of
//! NATS again on its way to a NATS client.
//!
//! | to learn | read |
//! |---|---|
//! | how bytes become commands, and where a line ends | [`command`] |
//! | which offences there are, their texts, and which close the connection | [`error`] |
//! | which options a client sends | [`connect`] |
//! | how the server introduces itself | [`info`] |
//! | how messages cross between BLIP and NATS | [`message`] |
//! | which subjects are legal | [`subject`] |
//!
//! # Always true
//! - The bytes of a client are understood as nats-server 2.15 understands them, and refused in the same
//!   words. Each exception stands under "Unlike nats-server".
//! - The result does not depend on where reads split the bytes.
//! - No bytes of a client of one protocol break the framing of the other.

pub mod command;
pub mod connect;
pub mod error;
pub mod info;
pub mod message;
pub mod subject;
#[cfg(test)]
mod vectors;

pub use command::{Bounds, Command, Publish};
pub use connect::Connect;
pub use error::Offence;
pub use info::Info;
