//! Connections before their login: who keeps places for nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use super::Table;
use super::connection::{Connection, LoginWait, Phase};
use crate::broker::ids::{ConnectionId, Slot};

/// Connections that were before their login when they were last looked at, the oldest first.
#[derive(Default)]
pub(super) struct Strangers {
    connections: VecDeque<ConnectionId>,
}

/// Whether the client of a connection has not logged in, or where no login is needed has said nothing. A
/// client whose password is being compared has done its part.
fn is_stranger(connection: &Connection) -> bool {
    match connection.phase() {
        Phase::AwaitHello if matches!(connection.login_wait(), LoginWait::Check(_)) => false,
        Phase::AwaitHello => true,
        Phase::Open => connection.heard_ns() == connection.connected_ns(),
        Phase::Finishing | Phase::Closing => false,
    }
}

impl Strangers {
    /// Adds a connection; returns how many there are at most.
    pub(super) fn add(&mut self, connection: ConnectionId) -> usize {
        self.connections.push_back(connection);
        self.connections.len()
    }

    /// Forgets those that have logged in or are gone, and counts the others.
    pub(super) fn count(&mut self, table: &Table) -> usize {
        self.connections.retain(|id| {
            let found = table.at(id.slot);
            found.is_some_and(|(found, connection)| found == *id && is_stranger(connection))
        });
        self.connections.len()
    }

    /// The first `count` to close, among those that connected before `before_ns`.
    pub(super) fn to_close(&self, table: &Table, count: usize, before_ns: u64) -> Vec<Slot> {
        let mut by_address: BTreeMap<IpAddr, VecDeque<(u64, Slot)>> = BTreeMap::new();
        for id in &self.connections {
            let (_, connection) = table.at(id.slot).expect("counted just now");
            let of_address = by_address.entry(connection.address().ip()).or_default();
            of_address.push_back((connection.connected_ns(), id.slot));
        }
        let mut by_count: BTreeSet<(usize, IpAddr)> =
            by_address.iter().map(|(address, slots)| (slots.len(), *address)).collect();
        let mut chosen = Vec::new();
        while chosen.len() < count
            && let Some((_, address)) = by_count.pop_last()
        {
            let slots = by_address.get_mut(&address).expect("it was counted");
            // An address whose oldest is young has no older one.
            let oldest = slots.front().copied();
            if let Some((_, slot)) = oldest.filter(|(since_ns, _)| *since_ns < before_ns) {
                chosen.push(slot);
                slots.pop_front();
                if !slots.is_empty() {
                    by_count.insert((slots.len(), address));
                }
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// Goal: who has most loses first, whoever came first.
    #[test]
    fn the_oldest_of_the_address_with_most_goes_first_and_no_young_one() {
        let mut table = Table::default();
        let mut strangers = Strangers::default();
        for (slot, (address, since_ns)) in
            [(9, 1), (1, 2), (1, 3), (1, 4), (2, 5), (2, 6), (1, 7)].into_iter().enumerate()
        {
            let id = ConnectionId { slot: Slot(slot as u32), generation: 0 };
            table.insert(id, SocketAddr::from(([10, 0, 0, address], 7)), since_ns);
            strangers.add(id);
        }
        assert_eq!(strangers.count(&table), 7);
        let to_close = |count, before_ns| -> Vec<u32> {
            strangers.to_close(&table, count, before_ns).iter().map(|slot| slot.0).collect()
        };
        assert_eq!(to_close(2, 100), [1, 2]);
        // Then two addresses have two each.
        assert_eq!(to_close(4, 100), [1, 2, 4, 3]);
        assert_eq!(to_close(9, 5), [1, 2, 3, 0], "none that connected later");
        // One has said something, one is gone.
        table.get(Slot(1)).open();
        table.get(Slot(1)).hear(9);
        table.remove(ConnectionId { slot: Slot(4), generation: 0 });
        assert_eq!(strangers.count(&table), 5);
    }
}
