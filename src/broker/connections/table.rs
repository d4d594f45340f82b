//! The connections of a core by slot.

use std::net::SocketAddr;
use std::sync::Arc;

use super::connection::Connection;
use crate::broker::ids::{ConnectionId, Slot};
use crate::broker::permissions::Permissions;

/// The connections of a core by slot.
#[derive(Default)]
pub struct Table {
    slots: Vec<Option<(ConnectionId, Box<Connection>)>>,
    /// What a stranger may do: nothing.
    stranger: Arc<Permissions>,
}

impl Table {
    /// Adds a connection.
    pub fn insert(&mut self, id: ConnectionId, address: SocketAddr, now_ns: u64) {
        let slot = id.slot.index();
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        assert!(self.slots[slot].is_none(), "a slot is used again only after `closed`");
        let connection = Connection::new(self.stranger.clone(), address, now_ns);
        self.slots[slot] = Some((id, Box::new(connection)));
    }

    /// The connection of a slot in use.
    pub fn get(&mut self, slot: Slot) -> &mut Connection {
        self.find(slot).expect("the slot is in use until `closed`").1
    }

    /// The connection of a slot, if one has it.
    pub fn find(&mut self, slot: Slot) -> Option<(ConnectionId, &mut Connection)> {
        let (id, connection) = self.slots.get_mut(slot.index())?.as_mut()?;
        Some((*id, connection))
    }

    /// The connection of a slot, if one has it.
    pub fn at(&self, slot: Slot) -> Option<(ConnectionId, &Connection)> {
        let (id, connection) = self.slots.get(slot.index())?.as_ref()?;
        Some((*id, connection))
    }

    /// Removes a connection.
    pub fn remove(&mut self, id: ConnectionId) -> Connection {
        let (found, connection) =
            self.slots[id.slot.index()].take().expect("a connection is closed once");
        assert!(found == id, "a connection is closed once");
        *connection
    }

    /// All connections, by ascending slot.
    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.slots.iter().flatten().map(|(id, connection)| (*id, &**connection))
    }

    /// Slots that are or were in use.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// All slots in use, ascending.
    pub fn slots_in_use(&self) -> Vec<Slot> {
        self.iter().map(|(id, _)| id.slot).collect()
    }
}
