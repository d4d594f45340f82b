//! Connections: how far each is, why its input is held, and which have something to send.
//!
//! In come events of the driver (bytes, sends that completed, ends) and what frontends answer. Out go
//! [`Action`]s for the port, and the connections that are ready to be sent to.
//!
//! # Always true
//! - A connection is closed once, and its slot is used again only after that was confirmed.
//! - This room knows no protocol, no topic and no subscription.

mod connection;
mod ending;
mod input;
mod login;
mod secure;
mod strangers;
mod table;
mod unserved;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::ids::{ConnectionId, Slot};
pub use connection::{Connection, Hold, Phase, Traffic};
use input::Input;
pub use login::LoginWait;
use strangers::Strangers;
pub use table::Table;
use unserved::Unserved;

/// Turns in a row in which input may be held for connections that have more than a send takes. A
/// subscriber that reads as fast as its core writes is then sent five batches for each that comes in.
const TURNS_HELD_MAX: u32 = 4;

/// What the port is to do with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Stop reading it.
    Pause(ConnectionId),
    /// Read it again.
    Resume(ConnectionId),
    /// Send the send in flight, then these bytes, then close.
    Close(ConnectionId, Bytes),
    /// Give up what a closed connection still sends.
    Abort(ConnectionId),
}

/// The connections of one core.
#[derive(Default)]
pub struct Connections {
    table: Table,
    strangers: Strangers,
    /// Connections with something to send and no send in flight.
    ready: VecDeque<Slot>,
    /// How many of those had more than their last send could take.
    carried_over: usize,
    /// Turns in a row in which input was held for those.
    turns_held: u32,
    input: Input,
    /// Connections whose clients asked for their end in this turn.
    finishing: Vec<Slot>,
    /// Connections that may hold more or less than was counted.
    touched: Vec<Slot>,
    actions: Vec<Action>,
}

impl Connections {
    /// The connections by slot.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The connections by slot.
    pub fn table_mut(&mut self) -> &mut Table {
        &mut self.table
    }

    /// The connection of a slot in use.
    pub fn get(&mut self, slot: Slot) -> &mut Connection {
        self.table.get(slot)
    }

    /// The connection of a slot in use.
    pub fn at(&self, slot: Slot) -> &Connection {
        self.table.at(slot).expect("the slot is in use until `closed`").1
    }

    /// The id of a slot in use.
    pub fn id(&self, slot: Slot) -> ConnectionId {
        self.table.at(slot).expect("the slot is in use until `closed`").0
    }

    /// Whether an id still names a connection.
    pub fn is_open(&self, connection: ConnectionId) -> bool {
        self.table.at(connection.slot).is_some_and(|(found, _)| found == connection)
    }

    /// Appends an answer for a connection.
    pub fn answer(&mut self, slot: Slot, encode: impl FnOnce(&mut BytesMut)) {
        let connection = self.table.get(slot);
        if connection.phase != Phase::Closing && !connection.broken {
            encode(&mut connection.answers);
            self.touch(slot);
            self.mark_ready(slot);
        }
    }

    // --- before the login ---

    /// Notes a connection whose client has not logged in; returns how many may be such.
    pub fn note_stranger(&mut self, connection: ConnectionId) -> usize {
        self.strangers.add(connection)
    }

    /// How many connections wait for the login of their clients; looks at each.
    pub fn count_strangers(&mut self) -> usize {
        self.strangers.count(&self.table)
    }

    /// Of so many connections before their login those to close, of clients that connected before
    /// `before_ns`: the oldest of the address that has most, each time.
    pub fn strangers_to_close(&mut self, count: usize, before_ns: u64) -> Vec<Slot> {
        self.strangers.to_close(&self.table, count, before_ns)
    }

    // --- what is held ---

    /// A connection may hold more or less than before: it is counted once in this turn.
    pub fn touch(&mut self, slot: Slot) {
        let connection = self.table.get(slot);
        if !connection.is_touched {
            connection.is_touched = true;
            self.touched.push(slot);
        }
    }

    /// The frontend of a connection remembers so many bytes for it.
    pub fn remembers(&mut self, slot: Slot, bytes: usize) {
        if self.table.get(slot).remembered != bytes {
            self.table.get(slot).remembered = bytes;
            self.touch(slot);
        }
    }

    /// Takes a connection that may hold more or less than before, with the bytes that it holds.
    pub fn next_touched(&mut self) -> Option<(ConnectionId, u64)> {
        while let Some(slot) = self.touched.pop() {
            if let Some((id, connection)) = self.table.find(slot) {
                connection.is_touched = false;
                return Some((id, connection.held_bytes()));
            }
        }
        None
    }

    // --- what is sent ---

    /// Puts a connection on the list of those to send to, once.
    pub fn mark_ready(&mut self, slot: Slot) {
        let connection = self.table.get(slot);
        if !connection.is_ready && !connection.in_flight && connection.phase != Phase::Closing {
            connection.is_ready = true;
            self.ready.push_back(slot);
        }
    }

    /// A connection had more than its last send could take: others' input waits until it was sent
    /// some of that.
    pub fn carry_over(&mut self, slot: Slot) {
        self.carried_over += 1;
        self.mark_ready(slot);
    }

    /// Whether input is held in this turn, because a connection that could be sent something waits for
    /// that. Never for long: a client that has much to be sent slows others down, and does not stop
    /// them.
    pub fn are_carried_over(&self) -> bool {
        self.carried_over > 0 && self.turns_held < TURNS_HELD_MAX
    }

    /// Notes whether this turn took input in.
    pub fn note_input_held(&mut self, was_held: bool) {
        self.turns_held = if was_held { self.turns_held + 1 } else { 0 };
    }

    /// The next connection that has something to send and no send in flight.
    pub fn next_ready(&mut self) -> Option<ConnectionId> {
        self.carried_over = 0;
        while let Some(slot) = self.ready.pop_front() {
            // The connection may have been closed since, and the slot be free.
            let Some((id, connection)) = self.table.find(slot) else { continue };
            connection.is_ready = false;
            if connection.phase != Phase::Closing && !connection.in_flight {
                return Some(id);
            }
        }
        None
    }

    /// The kernel has taken the send of a connection; returns its messages and bytes.
    pub fn complete_send(&mut self, slot: Slot) -> (u32, usize) {
        if self.at(slot).has_answers_in_flight() {
            self.touch(slot);
        }
        self.table.get(slot).complete_send()
    }

    // --- what is received ---

    /// Takes the answers of a connection out, to be sent.
    pub fn take_answers(&mut self, slot: Slot) -> BytesMut {
        let connection = self.table.get(slot);
        let answers = std::mem::take(&mut connection.answers);
        if !answers.is_empty() {
            connection.in_flight_answers += answers.capacity();
            self.touch(slot);
            self.release_if_not_full_of_answers(slot);
        }
        answers
    }

    /// Another core has answered a request of a connection, or need not any more.
    pub fn end_pending(&mut self, slot: Slot) {
        self.table.get(slot).end_pending();
        self.release_if_not_full_of_answers(slot);
    }

    /// Nothing more reaches the peer of a connection. The send in flight counts as that for ever, so
    /// nothing is gathered any more; and what the peer is answered must not keep the connection from
    /// being read to its end.
    pub fn break_off(&mut self, slot: Slot) {
        let connection = self.table.get(slot);
        connection.broken = true;
        connection.answers = BytesMut::new();
        self.release_if_not_full_of_answers(slot);
    }

    // --- how it ends ---

    /// A client has asked for the end of its connection, or what that waits for is over.
    pub fn note_finishing(&mut self, slot: Slot) {
        self.finishing.push(slot);
    }

    /// Takes the connections whose clients asked for their end.
    pub fn take_finishing(&mut self) -> Vec<Slot> {
        std::mem::take(&mut self.finishing)
    }

    /// Closes a connection behind some last bytes. Its subscriptions are the caller's part.
    pub fn close(&mut self, slot: Slot, last: Bytes) {
        let (id, connection) = self.table.find(slot).expect("the slot is in use");
        assert!(connection.phase != Phase::Closing, "a connection is closed once");
        connection.phase = Phase::Closing;
        connection.unserved.clear();
        connection.answers = BytesMut::new();
        self.actions.push(Action::Close(id, last));
    }

    /// Gives up what a connection still sends, if it is closed.
    pub fn abort_closed(&mut self, slot: Slot) {
        if let Some((id, connection)) = self.table.find(slot)
            && connection.phase == Phase::Closing
        {
            self.actions.push(Action::Abort(id));
        }
    }

    /// What the port is to do with connections; in order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Asserts what is always true of this room; `has_queued` says whether delivery has something
    /// for a connection.
    ///
    /// # Panics
    /// If something that is always true is not.
    pub fn audit(&self, has_queued: impl Fn(Slot) -> bool) {
        for (id, connection) in self.table.iter() {
            if connection.phase == Phase::Closing {
                continue;
            }
            let slot = id.slot;
            let has_content = !connection.answers.is_empty() || has_queued(slot);
            assert!(
                connection.in_flight || !has_content || self.ready.contains(&slot),
                "a connection with something to send and a free socket is ready"
            );
            assert!(self.is_found_again(id), "left frames and held connections are found again");
        }
    }
}
