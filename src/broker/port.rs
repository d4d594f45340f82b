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

use super::ConnectionId;
use super::letter::Letter;
use super::notice::Notice;
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

    /// Hands a message to a lane to another core, or returns it if the lane is full.
    fn try_send(&mut self, to: CoreId, lane: usize, message: Letter) -> Result<(), Letter>;

    /// Takes the next message of a lane from another core.
    fn try_recv(&mut self, from: CoreId, lane: usize) -> Option<Letter>;

    /// Logs what an operator may want to hear of.
    fn notice(&mut self, notice: Notice);
}
