//! What connections hold in their queues: kept up to date with every change of a queue, and bounded.
//!
//! Called by everything in this room that changes a queue.
//!
//! # Always true
//! - The queues of one connection together hold at most `queues.connection_bytes`, entries included, or
//!   one message alone; those of subscriptions with `block` also what was under way when their publishers stopped.

use super::Delivery;
use super::effects::{Effect, Slowness};
use super::overflow::Cause;
use super::queue::Size;
use super::subscriptions::SubscriptionIndex;
use crate::broker::holders::{Holders, Listed};
use crate::broker::ids::{ConnectionId, Slot};
use crate::broker::memory::{Class, entry_bytes};
use crate::broker::message::Slice;
use crate::config::OverflowPolicy;

/// Queues of fewer bytes are not told apart by what they hold.
const LARGE_QUEUE_BYTES: u64 = 64 << 10;
/// Queues without many bytes that are looked at for one with any.
const SMALL_QUEUES_MAX: usize = 8;
/// Slices that are dropped for one slice that comes. Small ones of many subscriptions may not make
/// enough room: then the next slice makes more.
const DROPPED_PER_SLICE_MAX: usize = 64;

/// Connections and groups that hold less are not told apart, and not taken from.
pub(super) const HOLDER_BYTES_MIN: u64 = 4 << 10;

/// Who holds messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// The subscriptions of a connection.
    Connection(Slot),
    /// A group of this core, in its own queue.
    Group(u32),
}

/// What the queues of a connection may still take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionRoom {
    /// The whole slice.
    Enough,
    /// So many bytes, which are fewer than those of the slice.
    Left(u64),
}

impl Delivery {
    /// The queue of a subscription has changed; `before` is what it held then.
    pub(super) fn resized(&mut self, index: SubscriptionIndex, before: Size) {
        let subscription = self.subscriptions.get(index);
        let after = subscription.queue.size();
        self.uncounted_entries += after.entries as i64 - before.entries as i64;
        if after == before || self.outlets.is_gone(subscription) {
            return;
        }
        let (slot, listed) = (subscription.connection.slot, subscription.listed_by_bytes);
        let outlet = self.outlets.get(slot);
        outlet.queued_bytes = outlet.queued_bytes + after.bytes - before.bytes;
        outlet.queued_entries = outlet.queued_entries + after.entries - before.entries;
        self.list_by_bytes(slot);
        let outlet = self.outlets.get(slot);
        if listed.class().is_none() && after.bytes < LARGE_QUEUE_BYTES {
            return;
        }
        let large = outlet.large.get_or_insert_with(|| Box::new(Holders::new(LARGE_QUEUE_BYTES)));
        let class = large.class_of(after.bytes);
        if class != listed.class() {
            let (listed, moved) = large.put(index, listed, class);
            self.subscriptions.get(index).listed_by_bytes = listed;
            if let Some((other, listed)) = moved {
                self.subscriptions.get(other).listed_by_bytes = listed;
            }
        }
    }

    /// The connection of a slot is gone; so is what its queues held, as far as it is counted for it.
    pub(super) fn connection_gone(&mut self, slot: Slot) {
        let outlet = self.outlets.at(slot);
        let (listed, bytes) = (outlet.listed, outlet.other_bytes);
        // At once: this core may have no further turn.
        self.cluster.memory.count_entries(0, -(bytes as i64));
        if listed.class().is_some() {
            self.move_holder(Holder::Connection(slot), listed, None);
        }
    }

    /// A connection holds so many bytes beside its queues: what it sent and is not served yet, and answers
    /// that it has not taken.
    pub fn connection_holds(&mut self, connection: ConnectionId, bytes: u64) {
        let outlet = self.outlets.get(connection.slot);
        if outlet.connection != Some(connection) || outlet.other_bytes == bytes {
            return;
        }
        self.uncounted_bytes += bytes as i64 - outlet.other_bytes as i64;
        outlet.other_bytes = bytes;
        self.list_by_bytes(connection.slot);
    }

    /// A subscription of a connection is there, and holds so many bytes beside its queue; or is gone,
    /// if the number is negative.
    pub(super) fn subscription_holds(&mut self, connection: ConnectionId, bytes: i64) {
        // At once: many may come before this turn counts what has changed, or end after the last turn.
        self.cluster.memory.count_entries(0, bytes);
        let outlet = self.outlets.get(connection.slot);
        if outlet.connection != Some(connection) {
            return;
        }
        outlet.subscription_bytes = outlet.subscription_bytes.wrapping_add_signed(bytes);
        self.list_by_bytes(connection.slot);
    }

    /// What a connection holds has changed.
    fn list_by_bytes(&mut self, slot: Slot) {
        let outlet = self.outlets.at(slot);
        self.list_holder(Holder::Connection(slot), outlet.listed, outlet.held_bytes());
    }

    /// Lists a holder by what it holds now.
    fn list_holder(&mut self, holder: Holder, listed: Listed, held_bytes: u64) {
        let class = self.holders.class_of(held_bytes);
        if class != listed.class() {
            self.move_holder(holder, listed, class);
        }
    }

    /// The queue of a group has changed; `before` is what it held then.
    pub(super) fn group_resized(&mut self, index: u32, before: Size) {
        let group = self.groups.at(index);
        let (listed, after) = (group.listed, group.queue.size());
        self.uncounted_entries += after.entries as i64 - before.entries as i64;
        self.list_holder(Holder::Group(index), listed, after.held_bytes());
    }

    /// A group is gone; so is what its queue held.
    pub(super) fn group_gone(&mut self, index: u32, listed: Listed, held: Size) {
        self.uncounted_entries -= held.entries as i64;
        self.move_holder(Holder::Group(index), listed, None);
    }

    fn move_holder(&mut self, holder: Holder, listed: Listed, class: Option<Class>) {
        self.cluster.memory.move_holder(self.core, listed.class(), class);
        let (listed, moved) = self.holders.put(holder, listed, class);
        for (holder, listed) in moved.into_iter().chain([(holder, listed)]) {
            match holder {
                Holder::Connection(slot) => self.outlets.get(slot).listed = listed,
                Holder::Group(index) => self.groups.set_listed(index, listed),
            }
        }
    }

    /// Empties the queue of a subscription that is about to be forgotten.
    pub(super) fn empty_queue(&mut self, index: SubscriptionIndex) {
        let subscription = self.subscriptions.get(index);
        let before = subscription.queue.size();
        subscription.queue = super::queue::Queue::default();
        self.resized(index, before);
    }

    /// Bytes that the queues of a connection hold.
    pub fn queued_bytes(&self, slot: Slot) -> u64 {
        self.outlets.at(slot).queued_bytes
    }

    /// Whether the queues of a connection have room for a slice.
    pub(super) fn room_of(&self, slot: Slot, slice: &Slice) -> ConnectionRoom {
        let outlet = self.outlets.at(slot);
        let bounded = outlet.bounded_bytes() + entry_bytes(1);
        let left = self.connection_bytes_max().saturating_sub(bounded);
        let has_none = outlet.queued_bytes == 0;
        match slice.frames.len() as u64 <= left || (has_none && slice.is_one_frame()) {
            true => ConnectionRoom::Enough,
            false => ConnectionRoom::Left(left),
        }
    }

    /// Whether the queues of a connection are so full that publishers have to wait, as far as one of
    /// its subscriptions has them wait.
    pub(super) fn is_connection_nearly_full(&self, slot: Slot) -> bool {
        self.outlets.at(slot).bounded_bytes() >= self.connection_bytes_max() / 4 * 3
    }

    /// Whether publishers may go on again, as far as the connection's bound is concerned. If not, the
    /// subscription is looked at again when the connection has been sent more.
    pub(super) fn is_connection_half_empty(&mut self, index: SubscriptionIndex) -> bool {
        let bytes_max = self.connection_bytes_max();
        let subscription = self.subscriptions.get(index);
        let (slot, of) = (subscription.connection.slot, subscription.reference(index));
        let outlet = self.outlets.get(slot);
        let is_half_empty = outlet.bounded_bytes() <= bytes_max / 2;
        if let Some(blocking) = &mut subscription.blocking
            && !is_half_empty
            && !std::mem::replace(&mut blocking.awaits_connection, true)
        {
            outlet.blocking.push(of);
        }
        is_half_empty
    }

    /// Lets publishers go on that wait for a connection which has room again.
    pub(super) fn unblock_connection(&mut self, slot: Slot) {
        let bytes_max = self.connection_bytes_max();
        let outlet = self.outlets.get(slot);
        if outlet.blocking.is_empty() || outlet.bounded_bytes() > bytes_max / 2 {
            return;
        }
        for of in std::mem::take(&mut outlet.blocking) {
            let Some(subscription) = self.subscriptions.find(of) else { continue };
            if let Some(blocking) = &mut subscription.blocking {
                blocking.awaits_connection = false;
                self.unblock_if_half_empty(of.index);
            }
        }
    }

    pub(super) fn connection_bytes_max(&self) -> u64 {
        self.cluster.settings.queues.connection_bytes
    }

    /// After a subscription was given more than its connection has room for: the largest queues of the
    /// connection lose their oldest messages. What has to be dropped besides is returned.
    pub(super) fn keep_connection_bound(&mut self, slot: Slot, given: SubscriptionIndex) {
        for _ in 0..DROPPED_PER_SLICE_MAX {
            if self.outlets.at(slot).bounded_bytes() <= self.connection_bytes_max() {
                return;
            }
            let Some(largest) = self.largest_queue_of(slot) else { return };
            let victim = match self.get(largest).policy {
                // It was promised all of its messages; another one may not take their place.
                OverflowPolicy::Block => given,
                OverflowPolicy::Disconnect => return self.disconnect_for_connection_bound(largest),
                _ => largest,
            };
            let is_alone = self.get(victim).queue.bytes() == self.outlets.at(slot).queued_bytes
                && self.get(victim).queue.has_one_slice();
            if is_alone || self.drop_oldest_of(victim, Cause::Connection) == 0 {
                return;
            }
        }
    }

    pub(super) fn disconnect_for_connection_bound(&mut self, index: SubscriptionIndex) {
        let connection_bytes = self.connection_bytes_max();
        let subscription = self.get(index);
        let (slot, id) = (subscription.connection.slot, subscription.id);
        let why = Slowness::ConnectionFull { connection_bytes };
        self.effects.push(Effect::TooSlow { slot, subscription: id, why });
    }

    /// The largest queue of a connection, as far as queues are told apart.
    pub(super) fn largest_queue_of(&self, slot: Slot) -> Option<SubscriptionIndex> {
        let outlet = self.outlets.at(slot);
        let large = outlet.large.as_ref().and_then(|large| large.largest());
        large.or_else(|| {
            let mut small = self.outlets.in_turn(slot).take(SMALL_QUEUES_MAX);
            small.find(|index| self.get(*index).queue.bytes() > 0)
        })
    }

    /// Drops the oldest slice of a queue; a gap reports it in its place. Returns its bytes: 0 if there
    /// is none.
    pub(super) fn drop_oldest_of(&mut self, index: SubscriptionIndex, cause: Cause) -> u64 {
        let subscription = self.subscriptions.get(index);
        let before = subscription.queue.size();
        let messages = subscription.queue.drop_oldest_slice();
        let bytes = before.bytes - subscription.queue.bytes();
        let slot = subscription.connection.slot;
        cause.count(messages, &self.counters, &mut subscription.lost);
        self.resized(index, before);
        self.note_lost(slot, messages);
        self.unblock_if_half_empty(index);
        // The coordinator of a group counts what its members hold.
        if self.get(index).group.is_some() && messages > 0 {
            self.took(index, messages as u32, bytes);
        }
        bytes
    }
}
