//! What delivery knows of each connection: its subscriptions, and which of them have something to
//! send.

use std::collections::VecDeque;

use super::subscription::SubscriptionRef;
use super::subscriptions::SubscriptionIndex;
use crate::broker::holders::{Holders, Listed};
use crate::broker::ids::Slot;
use crate::broker::memory::bytes_of_entries;

/// One connection, as delivery sees it.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    /// Its subscriptions; each knows its place here.
    pub subscriptions: Vec<SubscriptionIndex>,
    /// Subscriptions with something to send, in turn; see `Subscriptions::rank`.
    pub to_send: VecDeque<SubscriptionIndex>,
    /// Messages that its subscriptions were not sent, also those that have ended.
    pub lost_messages: u64,
    /// Frame bytes of live messages in its queues.
    pub queued_bytes: u64,
    /// Entries of its queues.
    pub queued_entries: usize,
    /// Among the holders of the core.
    pub listed: Listed,
    /// When it was last named for what it lost because memory was short.
    pub reclaimed_ns: Option<u64>,
    /// Its large queues. Boxed, because most connections never have any.
    pub large: Option<Box<Holders<SubscriptionIndex>>>,
    /// Subscriptions that hold publishers up until its queues together are half empty.
    pub blocking: Vec<SubscriptionRef>,
    /// Its queues were full together before.
    pub has_been_full: bool,
}

impl Outlet {
    /// Bytes that its queues hold in memory, if nobody else holds the same messages.
    pub fn held_bytes(&self) -> u64 {
        bytes_of_entries(self.queued_entries, self.queued_bytes)
    }
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
        let before = &self.slots[slot.index()];
        let is_gone = before.subscriptions.is_empty() && before.listed == Listed::default();
        assert!(is_gone, "the connection before is gone");
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
