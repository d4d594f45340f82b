//! What the outside does for a turn: sending, pausing, closing, and carrying mesh messages.
//!
//! Implemented by `server::relay` over an executor, and by the simulator, the fuzzer and the benches
//! over whatever they play with. Called by [`turn`](super::turn::turn) alone.
//!
//! # Always true
//! - A connection has at most one send under way: the next follows `Broker::sent`.
//! - Nothing here fails: what goes wrong comes back as an event (`broken`, `ended`), or as the mesh
//!   message itself where a lane is full.

use bytes::Bytes;

use super::frontends::notice::Notice;
use super::ids::ConnectionId;
use super::logins::PasswordCheck;
use super::mesh::Message;
use crate::limits::PASSWORD_CHECKS_MAX;
use crate::protocol::CoreId;

/// The outside of one core, as its turn needs it.
pub trait Port {
    /// Sends these ranges, in order, and leaves the vector empty.
    fn send(&mut self, connection: ConnectionId, ranges: &mut Vec<Bytes>);

    /// Stops reading a connection.
    fn pause(&mut self, connection: ConnectionId);

    /// Reads a connection again.
    fn resume(&mut self, connection: ConnectionId);

    /// Completes the send under way, sends these bytes, then closes.
    fn close(&mut self, connection: ConnectionId, last: Bytes);

    /// Gives up what a closed connection still sends: its peer takes nothing, and the memory is needed. A
    /// port that sends at once has something to do only in `close`.
    fn abort(&mut self, _connection: ConnectionId) {}

    /// Hands a message to a lane to another core, or returns it if the lane is full.
    fn try_send(&mut self, to: CoreId, lane: usize, message: Message) -> Result<(), Message>;

    /// Takes the next message of a lane from another core.
    fn try_recv(&mut self, from: CoreId, lane: usize) -> Option<Message>;

    /// Logs what an operator may want to hear of.
    fn notice(&mut self, notice: Notice);

    /// Compares a password with its hash, at leisure: `Broker::password_checked` brings the answer, in a
    /// later turn. Returns the check if there are too many.
    fn check_password(&mut self, check: PasswordCheck) -> Result<(), PasswordCheck>;

    /// Gives memory that nobody holds any more back to the operating system. Only a port that runs on an
    /// allocator which keeps such memory has something to do.
    fn give_back(&mut self) {}
}

/// A port without an outside: it keeps what a broker of one core hands out, for tests and for programs
/// that embed such a broker.
#[derive(Debug)]
pub struct InMemory {
    /// Sends in their order; `Broker::sent` completes each.
    pub sends: Vec<(ConnectionId, Vec<Bytes>)>,
    /// Connections that were closed, with their last bytes; `Broker::closed` completes each.
    pub closes: Vec<(ConnectionId, Bytes)>,
    /// Connections whose input is not wanted at the moment.
    pub paused: Vec<ConnectionId>,
    /// What an operator may want to hear of.
    pub notices: Vec<Notice>,
    /// Passwords that are to be compared; `Broker::password_checked` answers each.
    pub checks: Vec<PasswordCheck>,
    /// How many of them may wait.
    pub checks_max: usize,
    /// How often memory was to be given back.
    pub given_back: u32,
}

impl Default for InMemory {
    fn default() -> InMemory {
        InMemory {
            sends: Vec::new(),
            closes: Vec::new(),
            paused: Vec::new(),
            notices: Vec::new(),
            checks: Vec::new(),
            checks_max: PASSWORD_CHECKS_MAX,
            given_back: 0,
        }
    }
}

impl Port for InMemory {
    fn send(&mut self, connection: ConnectionId, ranges: &mut Vec<Bytes>) {
        self.sends.push((connection, std::mem::take(ranges)));
    }

    fn pause(&mut self, connection: ConnectionId) {
        self.paused.push(connection);
    }

    fn resume(&mut self, connection: ConnectionId) {
        self.paused.retain(|paused| *paused != connection);
    }

    fn close(&mut self, connection: ConnectionId, last: Bytes) {
        self.closes.push((connection, last));
    }

    fn try_send(&mut self, _: CoreId, _: usize, message: Message) -> Result<(), Message> {
        // There is no other core; what is meant for one would wait for ever.
        Err(message)
    }

    fn try_recv(&mut self, _: CoreId, _: usize) -> Option<Message> {
        None
    }

    fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    fn check_password(&mut self, check: PasswordCheck) -> Result<(), PasswordCheck> {
        if self.checks.len() >= self.checks_max {
            return Err(check);
        }
        self.checks.push(check);
        Ok(())
    }

    fn give_back(&mut self) {
        self.given_back += 1;
    }
}
