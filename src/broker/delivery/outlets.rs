//! What delivery knows of each connection: its subscriptions, and which of them have something to
//! send.

use std::collections::VecDeque;

use super::subscriptions::SubscriptionIndex;
use crate::broker::ids::Slot;

/// One connection, as delivery sees it.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    /// Its subscriptions; each knows its place here.
    pub subscriptions: Vec<SubscriptionIndex>,
    /// Subscriptions with something to send, in turn; see `Subscriptions::rank`.
    pub to_send: VecDeque<SubscriptionIndex>,
    /// Messages that its subscriptions were not sent, also those that have ended.
    pub lost_messages: u64,
}

/// The connections of a core by slot.
#[derive(Debug, Default)]
pub(super) struct Outlets {
    slots: Vec<Outlet>,
}

impl Outlets {
    /// A new connection has the slot.
    pub fn open(&mut self, slot: Slot) {
        if self.slots.len() <= slot.index() {
            self.slots.resize_with(slot.index() + 1, Outlet::default);
        }
        assert!(self.slots[slot.index()].subscriptions.is_empty(), "the connection before is gone");
        self.slots[slot.index()] = Outlet::default();
    }

    /// The connection of a slot.
    pub fn get(&mut self, slot: Slot) -> &mut Outlet {
        &mut self.slots[slot.index()]
    }

    /// The connection of a slot.
    pub fn at(&self, slot: Slot) -> &Outlet {
        &self.slots[slot.index()]
    }

    /// Adds a subscription; returns its place.
    pub fn add(&mut self, slot: Slot, index: SubscriptionIndex) -> u32 {
        let subscriptions = &mut self.get(slot).subscriptions;
        subscriptions.push(index);
        (subscriptions.len() - 1) as u32
    }

    /// Removes the subscription in a place; returns the one that has the place now, if another has.
    pub fn remove(&mut self, slot: Slot, place: u32) -> Option<SubscriptionIndex> {
        let subscriptions = &mut self.get(slot).subscriptions;
        subscriptions.swap_remove(place as usize);
        subscriptions.get(place as usize).copied()
    }
}
