//! From a request to subscribe to an active subscription, and its end.
//!
//! Called by frontends. A subscription that other cores must know of waits for their answers, which
//! come back as [`Reply`](super::Reply) or lead to [`Effect::Known`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::announcements::{Announcement, Waiter};
use super::effects::{Effect, Request, Work};
use super::group::NewMember;
use super::queue::Bounds;
use super::subscription::State;
use super::subscriptions::SubscriptionIndex;
use super::{Delivery, cost};
use crate::broker::ids::{ConnectionId, Slot};
use crate::broker::permissions::Permissions;
use crate::config::OverflowPolicy;
use crate::protocol::name::is_literal;
use crate::protocol::{CoreId, Start, SubscriptionId};

/// What a client asks for.
pub struct NewSubscription {
    /// Its connection.
    pub connection: ConnectionId,
    /// The number that frames and errors name it by.
    pub id: SubscriptionId,
    /// What the client calls it, if not by its number.
    pub name: Option<Box<[u8]>>,
    /// A legal pattern.
    pub pattern: Arc<str>,
    /// The group it joins.
    pub group: Option<Arc<str>>,
    /// Where it starts; a member of a group starts live.
    pub start: Start,
    /// At the bound of its queue.
    pub policy: OverflowPolicy,
    /// The bound of its queue.
    pub bounds: Bounds,
    /// It is not sent topics that these do not allow.
    pub filter: Option<Arc<Permissions>>,
    /// It is active on this core before other cores know it.
    pub is_active_at_once: bool,
    /// It is sent each message, whatever else of its connection matches; and as a member it shares
    /// messages over all patterns that have a group of its name.
    pub is_sent_each: bool,
    /// Its protocol can name topics that are not legal.
    pub takes_any_name: bool,
}

/// What is left of a subscription that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its connection waited for what other cores have to say of it, and need not any more.
    pub was_pending: bool,
    /// Messages or gaps of it are still to be sent: its end follows those.
    pub is_queued: bool,
}

impl Delivery {
    /// A new connection has a slot.
    pub fn connected(&mut self, connection: ConnectionId) {
        self.outlets.open(connection);
    }

    /// How many subscriptions a connection has.
    pub fn subscriptions_of(&self, slot: Slot) -> usize {
        self.outlets.at(slot).subscriptions.len()
    }

    /// The subscriptions of a connection, in an order that does not depend on what came and went.
    pub fn all_of(&self, slot: Slot) -> Vec<SubscriptionIndex> {
        let mut all = self.outlets.at(slot).subscriptions.clone();
        all.sort_unstable();
        all
    }

    /// The last subscription of a connection before a place, and its own place: by places all are found, each
    /// once or more often, also if some end between two looks.
    pub fn last_before(&self, slot: Slot, place: usize) -> Option<(usize, SubscriptionIndex)> {
        let all = &self.outlets.at(slot).subscriptions;
        let place = place.min(all.len()).checked_sub(1)?;
        Some((place, all[place]))
    }

    /// Takes a place among the subscriptions of all cores, for one that is added next. Returns whether
    /// there was one.
    pub fn take_place(&mut self) -> bool {
        let subscriptions_max = self.cluster.settings.limits.max_subscriptions;
        let taken = self.cluster.subscriptions.fetch_update(
            Ordering::Relaxed,
            Ordering::Relaxed,
            |subscriptions| (subscriptions < subscriptions_max).then_some(subscriptions + 1),
        );
        taken.is_ok()
    }

    /// Adds a subscription that has a place, by [`Delivery::take_place`]. Returns whether its connection has to wait for what other cores have to
    /// say of it: [`Effect::Known`] follows then.
    pub fn subscribe(&mut self, new: NewSubscription) -> (SubscriptionIndex, bool) {
        let (connection, pattern, start) = (new.connection, new.pattern.clone(), new.start);
        let (policy, bounds, filter) = (new.policy, new.bounds, new.filter.clone());
        let (at_once, shares) = (new.is_active_at_once, new.is_sent_each);
        let takes_any_name = new.takes_any_name;
        let held_bytes = cost::bytes_of(&new, self.cores_to_ask(&pattern).len());
        let index = self.subscriptions.insert(new, held_bytes);
        let place = self.outlets.add(connection.slot, index);
        self.subscription_holds(connection, held_bytes as i64);
        let subscription = self.subscriptions.get(index);
        subscription.place = place;
        self.counters.subscriptions.add(1);
        if subscription.hears_of_gaps() {
            self.cluster.gap_listeners.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(name) = subscription.group.as_deref().cloned() {
            let member = subscription.reference(index);
            let capacity = bounds.messages_max;
            let joins =
                NewMember { member, capacity, policy, connection, shares, takes_any_name, filter };
            self.join_group(name, joins);
            return (index, true);
        }
        let announcement = self.announce(&pattern, Waiter::Subscription(index));
        let is_known = announcement == Announcement::Known;
        if at_once {
            self.subscriptions.activate(index);
            self.subscriptions.get(index).awaits_cores = !is_known;
            return (index, !is_known);
        }
        if start != Start::Live {
            self.ask_for_replay(index, start);
        } else if is_known {
            self.activate(index);
        }
        (index, true)
    }

    /// Ends a subscription that its client gave up; what is queued is still sent, and as a member
    /// it hands back what it was not sent, if it is to. Returns nothing if the subscription cannot
    /// end yet: it waits for retained messages, and ends once it is active.
    pub fn unsubscribe(&mut self, index: SubscriptionIndex, hands_back: bool) -> Option<Ended> {
        if self.subscriptions.is_joining(index) {
            self.subscriptions.get(index).ends = true;
            return None;
        }
        let connection = self.subscriptions.get(index).connection;
        let ended = self.end(index, hands_back);
        self.effects.push(Effect::GoOn(Work::Release(connection)));
        Some(ended)
    }

    /// The permissions of a subscription's client are others: what it may have of its pattern from now on.
    /// Returns false if that cannot be changed: what a group deals is filtered where the group is, and what
    /// topics retain not at all.
    pub fn change_filter(
        &mut self,
        index: SubscriptionIndex,
        filter: Option<Arc<Permissions>>,
    ) -> bool {
        let subscription = self.subscriptions.get(index);
        if subscription.filter == filter {
            return true;
        }
        if subscription.group.is_some() || subscription.joining.is_some() {
            return false;
        }
        self.subscriptions.set_filter(index, filter);
        true
    }

    /// Whether an active subscription is to end at once, because its client asked for that before.
    pub fn take_wish_to_end(&mut self, index: SubscriptionIndex) -> bool {
        std::mem::take(&mut self.subscriptions.get(index).ends)
    }

    /// Ends a subscription.
    pub fn end(&mut self, index: SubscriptionIndex, hands_back: bool) -> Ended {
        let subscription = self.subscriptions.get(index);
        let was_pending = subscription.is_pending();
        subscription.awaits_cores = false;
        // Before it is ended, and has another place.
        let is_queued = subscription.listed.is_some();
        self.outlets.unlist(index, subscription);
        self.end_as(index, State::Ending, hands_back);
        if is_queued {
            self.list_by_rank(index);
        } else {
            self.forget(index);
        }
        Ended { was_pending, is_queued }
    }

    pub(super) fn end_as(&mut self, index: SubscriptionIndex, state: State, hands_back: bool) {
        let was = self.subscriptions.end(index, state);
        // It gets no more, so nobody has to wait for it.
        self.unblock(index);
        if matches!(was, State::Joining | State::Active) {
            if self.subscriptions.get(index).group.is_some() {
                self.leave_group(index, hands_back);
            } else {
                let pattern = self.subscriptions.get(index).pattern.clone();
                self.withdraw(&pattern, Waiter::Subscription(index));
            }
        }
    }

    /// Puts a subscription on its connection's list, behind all of its rank; also one that is listed,
    /// and whose rank may be another now.
    pub(super) fn list_by_rank(&mut self, index: SubscriptionIndex) {
        let subscription = self.subscriptions.get(index);
        self.outlets.unlist(index, subscription);
        let rank = subscription.rank();
        self.outlets.list(index, subscription, rank);
    }

    /// Every core that has to know a subscription does, so it is active, once others of its
    /// connection are.
    pub(super) fn activate(&mut self, index: SubscriptionIndex) {
        let subscription = self.subscriptions.get(index);
        if subscription.is_active_at_once {
            if std::mem::take(&mut subscription.awaits_cores) {
                let known = Effect::Known(subscription.reference(index));
                self.effects.push(known);
            }
        } else if self.subscriptions.has_to_wait(index) {
            self.subscriptions.defer(index);
        } else {
            let connection = self.subscriptions.get(index).connection;
            self.activate_now(index);
            self.effects.push(Effect::GoOn(Work::Release(connection)));
        }
    }

    /// Activates one subscription of a connection that was deferred, and then the next.
    pub(super) fn release_deferred(&mut self, connection: ConnectionId) {
        let next = self.subscriptions.next_deferred(connection);
        if let Some(index) = next.filter(|index| !self.is_over(*index)) {
            self.activate_now(index);
            self.effects.push(Effect::GoOn(Work::Release(connection)));
        }
    }

    /// From now on a subscription gets messages, and what waited for that is sent.
    pub(super) fn activate_now(&mut self, index: SubscriptionIndex) {
        self.subscriptions.activate(index);
        let subscription = self.subscriptions.get(index);
        let slot = subscription.connection.slot;
        let known = Effect::Known(subscription.reference(index));
        if !subscription.queue.is_empty() && subscription.listed.is_none() {
            self.list_by_rank(index);
            self.effects.push(Effect::Ready(slot));
        }
        self.effects.push(known);
    }

    /// Another core knows a pattern that this core has announced.
    pub fn announced(&mut self, now: crate::broker::clock::Now, number: u64) {
        for waiter in self.announcements.answered(number) {
            match waiter {
                Waiter::Group(group) => self.activate_group(now, group),
                // One that asked for retained messages waits for those as well.
                Waiter::Subscription(index) => {
                    let is_over = self.is_over(index);
                    if !is_over && self.subscriptions.get(index).joining.is_none() {
                        self.activate(index);
                    }
                }
            }
        }
    }

    /// Makes a pattern known to the cores that may own topics of it.
    pub(super) fn announce(&mut self, pattern: &Arc<str>, waiter: Waiter) -> Announcement {
        let asked = self.cores_to_ask(pattern);
        let announcement = self.announcements.announce(pattern, waiter, asked.len() as u16);
        if let Announcement::Ask(number) = announcement {
            for core in asked {
                self.ask(core, Request::Announce { number, pattern: pattern.clone() });
            }
        }
        announcement
    }

    pub(super) fn withdraw(&mut self, pattern: &Arc<str>, waiter: Waiter) {
        if self.announcements.withdraw(pattern, waiter) {
            for core in self.cores_to_ask(pattern) {
                self.ask(core, Request::Withdraw { pattern: pattern.clone() });
            }
        }
    }

    /// The other cores that may own a topic the pattern matches.
    pub(super) fn cores_to_ask(&self, pattern: &str) -> Vec<CoreId> {
        let first_token = pattern.split('.').next().unwrap_or_default();
        if is_literal(first_token) {
            let owner = self.cluster.core_of(self.cluster.shard_of_name(pattern));
            return if owner == self.core { Vec::new() } else { vec![owner] };
        }
        self.cluster.others(self.core).collect()
    }

    /// Sets after how many messages, counted from its beginning, a subscription ends. Returns false
    /// if it has had those.
    pub fn limit(&mut self, index: SubscriptionIndex, messages_max: u64) -> bool {
        let subscription = self.subscriptions.get(index);
        // One that was given all it asked for before ends, even if that was not done yet.
        if messages_max <= subscription.taken || subscription.has_had_enough() {
            return false;
        }
        subscription.taken_max = messages_max;
        let member = subscription.reference(index);
        if let Some(name) = subscription.group.as_deref().cloned() {
            let coordinator = self.coordinator(&name);
            self.ask(coordinator, Request::LimitMember { name, member, messages_max });
        }
        true
    }

    /// Notes what a subscription was not sent, of what is counted per connection.
    pub(super) fn note_lost(&mut self, slot: Slot, messages: u64) {
        self.outlets.get(slot).lost_messages += messages;
    }

    /// Messages that the subscriptions of a connection were not sent.
    pub fn lost_of(&self, slot: Slot) -> u64 {
        self.outlets.at(slot).lost_messages
    }

    /// Whether anybody may hear of gaps, so that they have to be published.
    pub fn gaps_are_heard(&self) -> bool {
        self.cluster.gap_listeners.load(Ordering::Relaxed) > 0
    }
}
