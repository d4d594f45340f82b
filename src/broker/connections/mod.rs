//! Connections: how far each is, why its input is held, and which have something to send.
//!
//! In come events of the driver (bytes, sends that completed, ends) and what frontends answer. Out go
//! [`Action`]s for the port, and the connections that are ready to be sent to.
//!
//! # Always true
//! - A connection is closed once, and its slot is used again only after that was confirmed.
//! - A connection that is not read is on the list of those that are looked at each turn.
//! - This room knows no protocol, no topic and no subscription.

mod connection;
mod strangers;
mod table;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::ids::{ConnectionId, Slot};
pub use connection::{Connection, Hold, Phase, Traffic};
use strangers::Strangers;
pub use table::Table;

/// What the port is to do with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Stop reading it.
    Pause(ConnectionId),
    /// Read it again.
    Resume(ConnectionId),
    /// Send the send in flight, then these bytes, then close.
    Close(ConnectionId, Bytes),
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
    /// Connections with whole frames that were left for a later turn.
    backlog: VecDeque<Slot>,
    /// Connections whose input is held.
    held: Vec<Slot>,
    /// Connections whose clients asked for their end in this turn.
    finishing: Vec<Slot>,
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

    /// Whether a connection that could be sent something waits for that.
    pub fn are_carried_over(&self) -> bool {
        self.carried_over > 0
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

    // --- what is received ---

    /// Holds the input of a connection until the reason is over.
    pub fn hold(&mut self, slot: Slot, hold: Hold) {
        let (id, connection) = self.table.find(slot).expect("the slot is in use");
        if connection.hold.is_none() {
            connection.hold = Some(hold);
            self.held.push(slot);
            self.actions.push(Action::Pause(id));
        }
    }

    /// A client that asks without listening slows itself.
    pub fn hold_if_full_of_answers(&mut self, slot: Slot) {
        if self.table.get(slot).is_full_of_answers() {
            self.hold(slot, Hold::Answers);
        }
    }

    /// What is left of a connection's bytes is served in a later turn.
    pub fn leave_for_later(&mut self, slot: Slot) {
        let connection = self.table.get(slot);
        if !connection.in_backlog {
            connection.in_backlog = true;
            self.backlog.push_back(slot);
        }
    }

    /// Whether frames were left for a later turn.
    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// How many connections have frames that were left for a later turn.
    pub fn backlog_len(&self) -> usize {
        self.backlog.len()
    }

    /// Takes the next connection whose frames were left, if its frames can be served now.
    pub fn take_from_backlog(&mut self) -> Option<Slot> {
        let slot = self.backlog.pop_front()?;
        let (_, connection) = self.table.find(slot)?;
        // The slot may have another connection by now.
        let is_due = std::mem::take(&mut connection.in_backlog) && connection.hold.is_none();
        is_due.then_some(slot)
    }

    /// Whether the input of some connection is held.
    pub fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes the list of held connections out; `keep_held` or `release` follows for each.
    pub fn take_held(&mut self) -> Vec<Slot> {
        std::mem::take(&mut self.held)
    }

    /// The reason to hold a connection's input is not over.
    pub fn keep_held(&mut self, slot: Slot) {
        self.held.push(slot);
    }

    /// Reads a connection again, unless it has ended or closes.
    pub fn resume(&mut self, slot: Slot) {
        let (id, connection) = self.table.find(slot).expect("the slot is in use");
        if connection.hold.is_none() && connection.phase != Phase::Closing && !connection.ended {
            self.actions.push(Action::Resume(id));
        }
    }

    /// The fence that held a connection's input is over.
    pub fn release_fence(&mut self, slot: Slot) {
        let (id, connection) = self.table.find(slot).expect("the slot is in use");
        connection.is_fenced = false;
        if connection.hold == Some(Hold::Fence) {
            connection.hold = None;
            let ended = connection.ended;
            self.held.retain(|held| *held != slot);
            if !ended {
                self.actions.push(Action::Resume(id));
            }
        }
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
        connection.unparsed = BytesMut::new();
        connection.answers = BytesMut::new();
        self.actions.push(Action::Close(id, last));
    }

    /// The stop begins: connections are read again, though nothing is served. That shows when a
    /// client has gone.
    pub fn stop(&mut self) {
        self.backlog.clear();
        for slot in std::mem::take(&mut self.held) {
            let Some((id, connection)) = self.table.find(slot) else { continue };
            let is_held = connection.hold.is_some();
            if is_held && connection.phase != Phase::Closing && !connection.ended {
                self.actions.push(Action::Resume(id));
            }
        }
        for slot in self.table.slots_in_use() {
            let connection = self.table.get(slot);
            connection.in_backlog = false;
            connection.hold = None;
            connection.is_fenced = false;
            connection.unparsed.clear();
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
            assert!(
                !connection.in_backlog || self.backlog.contains(&slot),
                "left frames are found again"
            );
            assert!(
                connection.hold.is_none() || self.held.contains(&slot),
                "a held connection is looked at"
            );
        }
    }
}
