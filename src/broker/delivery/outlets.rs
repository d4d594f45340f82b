//! What delivery knows of each connection: its subscriptions, and which of them have something to
//! send.

use std::collections::BTreeMap;

use super::lists::{Links, List};
use super::pace::Pace;
use super::retire::Way;
use super::subscription::{Subscription, SubscriptionRef};
use super::subscriptions::SubscriptionIndex;
use crate::broker::holders::{Holders, Listed};
use crate::broker::ids::{ConnectionId, Slot};
use crate::broker::memory::{bytes_of_entries, entry_bytes};

/// Where a connection sends a subscription: retained messages first, then subscriptions that end, one
/// after the other, then the rest in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    /// It has retained messages to send.
    Replays,
    /// It gets no more; in the order in which subscriptions were ended.
    Ends,
    /// It takes turns with others.
    InTurn,
}

/// The subscriptions of a connection with something to send, by rank.
#[derive(Debug, Default)]
pub(super) struct ToSend {
    replay: List,
    end: BTreeMap<u64, SubscriptionIndex>,
    in_turn: List,
}

/// One connection, as delivery sees it.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    /// Which connection it is; nothing once that is gone.
    pub connection: Option<ConnectionId>,
    /// Its subscriptions; each knows its place here.
    pub subscriptions: Vec<SubscriptionIndex>,
    /// Those with at most this number are over, see `retire`.
    pub over_up_to: u64,
    /// How far those that are over were swept.
    pub sweep: Option<Sweep>,
    /// Those with something to send.
    to_send: ToSend,
    /// Messages that its subscriptions were not sent, also those that have ended.
    pub lost_messages: u64,
    /// Frame bytes of live messages in its queues.
    pub queued_bytes: u64,
    /// Entries of its queues.
    pub queued_entries: usize,
    /// Bytes that it holds beside its queues and subscriptions.
    pub other_bytes: u64,
    /// Bytes of its subscriptions themselves.
    pub subscription_bytes: u64,
    /// Among the holders of the core.
    pub listed: Listed,
    /// When it was last named for what it lost because memory was short.
    pub reclaimed_ns: Option<u64>,
    /// Its large queues. Boxed, because most connections never have any.
    pub large: Option<Box<Holders<SubscriptionIndex>>>,
    /// Subscriptions that hold publishers up until its queues together are half empty.
    pub blocking: Vec<SubscriptionRef>,
    /// How much it takes while publishers wait for it, if they ever did.
    pub pace: Option<Box<Pace>>,
    /// Nothing more reaches its client.
    pub is_broken: bool,
    /// Its queues were full together before.
    pub has_been_full: bool,
}

impl Outlet {
    /// Bytes that it holds in memory, if nobody else holds the same messages.
    pub fn held_bytes(&self) -> u64 {
        bytes_of_entries(self.queued_entries, self.queued_bytes)
            + self.other_bytes
            + self.subscription_bytes
    }

    /// Bytes of its queues, as the bound of a connection counts them: each queue has entries of its own,
    /// also for messages that others hold as well.
    pub fn bounded_bytes(&self) -> u64 {
        self.queued_bytes + entry_bytes(self.queued_entries)
    }

    /// Whether it holds more beside its queues than in them.
    pub fn holds_mostly_other_bytes(&self) -> bool {
        self.other_bytes + self.subscription_bytes > self.held_bytes() / 2
    }

    /// Whether its subscriptions themselves hold most of what it holds.
    pub fn holds_mostly_subscriptions(&self) -> bool {
        self.subscription_bytes > self.held_bytes() / 2
    }
}

/// What is left of a connection's subscriptions to be swept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sweep {
    /// How they end.
    pub way: Way,
    /// Those in places from here on were looked at.
    pub left: usize,
}

/// The connections of a core by slot.
#[derive(Debug, Default)]
pub(super) struct Outlets {
    slots: Vec<Outlet>,
    links: Links,
}

impl ToSend {
    fn is_empty(&self) -> bool {
        self.in_turn.is_empty() && self.replay.is_empty() && self.end.is_empty()
    }
}

impl Outlets {
    /// A new connection has the slot.
    pub fn open(&mut self, connection: ConnectionId) {
        let slot = connection.slot;
        if self.slots.len() <= slot.index() {
            self.slots.resize_with(slot.index() + 1, Outlet::default);
        }
        let before = &self.slots[slot.index()];
        let is_gone = before.subscriptions.is_empty() && before.listed == Listed::default();
        assert!(is_gone, "the connection before is gone");
        let outlet = Outlet { connection: Some(connection), ..Outlet::default() };
        self.slots[slot.index()] = outlet;
    }

    /// The connection of a slot is gone: it is sent nothing more. Returns its subscriptions. What their
    /// queues hold is not counted for it any more.
    pub fn close(&mut self, slot: Slot) -> Vec<SubscriptionIndex> {
        std::mem::take(self.get(slot)).subscriptions
    }

    /// Whether the connection of a subscription is gone.
    pub fn is_gone(&self, subscription: &Subscription) -> bool {
        self.at(subscription.connection.slot).connection != Some(subscription.connection)
    }

    /// Whether a subscription is over, because its connection is gone or all before it are over.
    pub fn is_over(&self, subscription: &Subscription) -> bool {
        let outlet = self.at(subscription.connection.slot);
        outlet.connection != Some(subscription.connection)
            || subscription.number <= outlet.over_up_to
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

    // --- what has something to send ---

    /// Lists a subscription that is not listed, behind all of its rank.
    pub fn list(&mut self, index: SubscriptionIndex, subscription: &mut Subscription, rank: Rank) {
        debug_assert!(subscription.listed.is_none(), "a subscription is listed once");
        subscription.listed = Some(rank);
        let to_send = &mut self.slots[subscription.connection.slot.index()].to_send;
        match rank {
            Rank::InTurn => self.links.push_back(&mut to_send.in_turn, index),
            Rank::Replays => self.links.push_back(&mut to_send.replay, index),
            Rank::Ends => drop(to_send.end.insert(subscription.ended, index)),
        }
    }

    /// Takes a subscription off the list, if it is listed.
    pub fn unlist(&mut self, index: SubscriptionIndex, subscription: &mut Subscription) {
        let Some(rank) = subscription.listed.take() else { return };
        let to_send = &mut self.slots[subscription.connection.slot.index()].to_send;
        match rank {
            Rank::InTurn => self.links.remove(&mut to_send.in_turn, index),
            Rank::Replays => self.links.remove(&mut to_send.replay, index),
            Rank::Ends => drop(to_send.end.remove(&subscription.ended)),
        }
    }

    /// The first subscription of a connection with something to send.
    pub fn first_to_send(&self, slot: Slot) -> Option<SubscriptionIndex> {
        let ToSend { replay, end, in_turn } = &self.at(slot).to_send;
        let first = replay.first().or_else(|| end.first_key_value().map(|(_, index)| *index));
        first.or_else(|| in_turn.first())
    }

    /// Whether a connection has something to send.
    pub fn has_to_send(&self, slot: Slot) -> bool {
        !self.at(slot).to_send.is_empty()
    }

    /// Those that have neither retained messages to send nor end.
    pub fn in_turn(&self, slot: Slot) -> impl Iterator<Item = SubscriptionIndex> + use<'_> {
        self.links.iter(&self.at(slot).to_send.in_turn)
    }

    /// The subscriptions of a connection with something to send, in the order in which they are sent.
    pub fn to_send(&self, slot: Slot) -> impl Iterator<Item = SubscriptionIndex> + use<'_> {
        let ToSend { replay, end, in_turn } = &self.at(slot).to_send;
        let first = self.links.iter(replay).chain(end.values().copied());
        first.chain(self.links.iter(in_turn))
    }
}
