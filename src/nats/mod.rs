//! The client protocol of NATS: bytes to commands, and messages to the bytes of its clients, without
//! I/O.
//!
//! Called by the broker's sessions of NATS connections. What a publisher of NATS sends becomes
//! frames of BLIP/1 once, when it arrives, so that behind the session a message is a message,
//! whoever sent it; it becomes bytes of NATS again when it goes to a client of NATS.
//!
//! | to learn | read |
//! |---|---|
//! | how bytes become commands, and where a line ends | [`command`] |
//! | what is refused, in which words, and what closes | [`error`] |
//! | what a client says of itself | [`connect`] |
//! | what the server says of itself | [`info`] |
//! | how messages cross between BLIP and NATS | [`message`] |
//! | which subjects are legal | [`subject`] |
//!
//! # Always true
//! - What a client of nats-server 2.15 may send is understood as nats-server understands it, and
//!   refused in the same words; where not, the item says so under "Unlike nats-server".
//! - Where reads split the bytes changes nothing.
//! - Nothing that a client of one protocol sends breaks the framing of the other.

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
