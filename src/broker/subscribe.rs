//! SUBSCRIBE and UNSUBSCRIBE: from a client's wish to a subscription in force, and its end.
//!
//! Called by `receive`. A subscription that other cores must know of waits for their answers, which
//! come through `mesh`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Broker;
use super::groups::{GroupName, Joins};
use super::interest::{Announcement, Waiter};
use super::letter::Request;
use super::permissions::{Permissions, Verdict};
use super::queue::Bounds;
use super::replay::Asker;
use super::session::Phase;
use super::subscriptions::{State, SubscriptionIndex};
use crate::config::OverflowPolicy;
use crate::protocol::decode::Subscribe;
use crate::protocol::{CoreId, Overflow, Reject, Start, SubscriptionId, encode, name};

impl Broker {
    /// SUBSCRIBE.
    pub(super) fn subscribe(&mut self, slot: u32, subscribe: Subscribe<'_>) -> Result<(), Reject> {
        let id = subscribe.subscription;
        let (policy, bounds, start) = self.options(&subscribe)?;
        let filter = self.permit(slot, &subscribe, start)?;
        let subscriptions_max = self.cluster.settings.limits.max_subscriptions_per_connection;
        let session = self.sessions.get(slot);
        if session.subscriptions.contains_key(&id) {
            return Err(Reject::SubscriptionInUse { subscription: id.0 });
        }
        if session.subscriptions.len() >= subscriptions_max as usize {
            return Err(Reject::LimitReached {
                about: id.0,
                what: "subscriptions of this connection",
                count_max: u64::from(subscriptions_max),
                remedy: "use patterns, or raise `limits.max_subscriptions_per_connection`",
            });
        }
        let pattern: Arc<str> = subscribe.pattern.into();
        let index = self.subscriptions.insert(slot, id, pattern.clone(), policy, bounds);
        self.subscriptions.get(index).filter = filter;
        session.subscriptions.insert(id, index);
        session.pending_requests += 1;
        self.count_subscription(index);
        if !subscribe.group.is_empty() {
            let name = GroupName { pattern, group: subscribe.group.into() };
            let subscription = self.subscriptions.get(index);
            subscription.group = Some(name.clone());
            let member = Asker { index, number: subscription.number };
            let capacity = bounds.messages_max;
            self.join_group(name, Joins { member, capacity, policy, nats: None, filter: None });
            return Ok(());
        }
        match self.announce(&pattern, Waiter::Subscription(index)) {
            Announcement::InForce if start == Start::Live => self.come_in_force(index),
            Announcement::InForce | Announcement::Waits | Announcement::Ask(_) => {}
        }
        if start != Start::Live {
            let asked = self.cores_to_ask(&pattern);
            self.ask_for_replay(index, start, &asked);
        }
        Ok(())
    }

    /// UNSUBSCRIBE: what is queued still goes out, then UNSUBSCRIBED.
    pub(super) fn unsubscribe(&mut self, slot: u32, id: SubscriptionId) -> Result<(), Reject> {
        let unknown = Reject::UnknownSubscription { subscription: id.0 };
        let session = self.sessions.get(slot);
        let index = *session.subscriptions.get(&id).ok_or(unknown.clone())?;
        let state = self.subscriptions.get(index).state;
        if state == State::Ending || self.subscriptions.get(index).ends {
            return Err(unknown);
        }
        if self.subscriptions.is_joining(index) {
            self.subscriptions.get(index).ends = true;
            return Ok(());
        }
        if state == State::Joining {
            session.pending_requests -= 1;
        }
        let is_told = self.end_subscription(index, true);
        if !is_told {
            self.answer(slot, |out| encode::unsubscribed(out, id));
        }
        self.release_deferred(slot);
        Ok(())
    }

    /// It gets no more. Returns whether something is queued, so that its end follows that.
    pub(super) fn end_subscription(&mut self, index: SubscriptionIndex, hands_back: bool) -> bool {
        let slot = self.subscriptions.get(index).slot;
        self.end_for(index, State::Ending, hands_back);
        self.unblock(index);
        let session = self.sessions.get(slot);
        let is_listed = self.subscriptions.get(index).is_listed;
        if is_listed {
            session.to_send.retain(|listed| *listed != index);
            session.list(&self.subscriptions, index);
        } else {
            self.forget(slot, index);
        }
        is_listed
    }

    /// Every core that has to knows it, so it is in force, once others of its connection are.
    pub(super) fn come_in_force(&mut self, index: SubscriptionIndex) {
        if self.subscriptions.get(index).sid.is_some() {
            return self.nats_in_force(index);
        }
        if !self.subscriptions.must_wait(index) {
            let slot = self.subscriptions.get(index).slot;
            self.put_in_force(index);
            self.release_deferred(slot);
        }
    }

    fn release_deferred(&mut self, slot: u32) {
        while let Some(index) = self.subscriptions.next_deferred(slot) {
            self.put_in_force(index);
        }
    }

    /// SUBSCRIBED, and what it waits to be sent.
    pub(super) fn put_in_force(&mut self, index: SubscriptionIndex) {
        self.subscriptions.put_in_force(index);
        let subscription = self.subscriptions.get(index);
        let (slot, id) = (subscription.slot, subscription.id);
        let listed = !subscription.queue.is_empty() && !subscription.is_listed;
        subscription.is_listed |= listed;
        let session = self.sessions.get(slot);
        session.pending_requests -= 1;
        if listed {
            session.list(&self.subscriptions, index);
        }
        let ends = std::mem::take(&mut self.subscriptions.get(index).ends);
        self.answer(slot, |out| encode::subscribed(out, id));
        if ends {
            self.unsubscribe(slot, id).expect("it is in force");
        }
    }

    pub(super) fn count_subscription(&mut self, index: SubscriptionIndex) {
        self.counters.subscriptions.add(1);
        if self.subscriptions.get(index).hears_of_gaps() {
            self.cluster.gap_listeners.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Frees a subscription that was ended. What it still had queued is lost, and counted.
    pub(super) fn forget(&mut self, slot: u32, index: SubscriptionIndex) {
        self.unblock(index);
        let subscription = self.subscriptions.remove(index);
        let lost = subscription.queue.messages_with_replay();
        self.counters.dropped_disconnected_messages.add(lost);
        self.kept.count_entries(subscription.queue.entries(), 0);
        self.sessions.get(slot).subscriptions.remove(&subscription.id);
        self.counters.subscriptions.sub(1);
        if subscription.hears_of_gaps() {
            self.cluster.gap_listeners.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The end of a connection ends its subscriptions; what they had queued is lost, and counted.
    pub(super) fn drop_subscriptions(&mut self, slot: u32) {
        self.sessions.get(slot).to_send.clear();
        for index in self.subscriptions_of(slot) {
            self.end_for(index, State::Closing, true);
            self.forget(slot, index);
        }
    }

    /// CLOSE: subscriptions get no more; those with something queued are sent it first.
    pub(super) fn close_subscriptions(&mut self, slot: u32) {
        for index in self.subscriptions_of(slot) {
            // One that ends already is still owed UNSUBSCRIBED.
            let subscription = self.subscriptions.get(index);
            let awaits_cores = std::mem::take(&mut subscription.awaits_cores);
            match subscription.state {
                State::Ending => continue,
                State::Joining => self.sessions.get(slot).pending_requests -= 1,
                State::InForce if awaits_cores => self.sessions.get(slot).pending_requests -= 1,
                State::InForce | State::Closing => {}
            }
            if self.subscriptions.get(index).ends {
                let id = self.subscriptions.get(index).id;
                self.answer(slot, |out| encode::unsubscribed(out, id));
            }
            // What is queued is sent to it, also if it is a member of a group.
            self.end_for(index, State::Closing, false);
            if !self.subscriptions.get(index).is_listed {
                self.forget(slot, index);
            }
        }
    }

    fn end_for(&mut self, index: SubscriptionIndex, state: State, hands_back: bool) {
        let was = self.subscriptions.get(index).state;
        self.subscriptions.end(index, state);
        if matches!(was, State::Joining | State::InForce) {
            if self.subscriptions.get(index).group.is_some() {
                self.leave_group(index, hands_back);
            } else {
                let pattern = self.subscriptions.get(index).pattern.clone();
                self.withdraw_pattern(&pattern, Waiter::Subscription(index));
            }
        }
    }

    fn subscriptions_of(&mut self, slot: u32) -> Vec<SubscriptionIndex> {
        let mut all: Vec<_> = self.sessions.get(slot).subscriptions.values().copied().collect();
        all.sort_unstable();
        all
    }

    /// Makes a pattern known to the cores that may own topics of it.
    pub(super) fn announce(&mut self, pattern: &Arc<str>, waiter: Waiter) -> Announcement {
        let asked = self.cores_to_ask(pattern);
        let announcement = self.interest.announce(pattern, waiter, asked.len() as u16);
        if let Announcement::Ask(number) = announcement {
            for core in asked {
                let pattern = pattern.clone();
                self.outgoing[usize::from(core.0)].ask(Request::Announce { number, pattern });
            }
        }
        announcement
    }

    pub(super) fn withdraw_pattern(&mut self, pattern: &Arc<str>, waiter: Waiter) {
        if self.interest.withdraw(pattern, waiter) {
            for core in self.cores_to_ask(pattern) {
                let pattern = pattern.clone();
                self.outgoing[usize::from(core.0)].ask(Request::Withdraw { pattern });
            }
        }
    }

    /// The other cores that may own a topic the pattern matches.
    fn cores_to_ask(&self, pattern: &str) -> Vec<CoreId> {
        let first_token = pattern.split('.').next().unwrap_or_default();
        if name::is_literal(first_token) {
            let owner = self.cluster.core_of(self.cluster.shard_of_name(pattern));
            return if owner == self.core { Vec::new() } else { vec![owner] };
        }
        (0..self.cluster.cores).map(CoreId).filter(|core| *core != self.core).collect()
    }

    /// Whether a connection may subscribe to this; if not to all of it, what is to be left out.
    fn permit(
        &mut self,
        slot: u32,
        subscribe: &Subscribe<'_>,
        start: Start,
    ) -> Result<Option<Arc<Permissions>>, Reject> {
        let permissions = &self.sessions.get(slot).permissions;
        let remedy = match permissions.may_subscribe(subscribe.pattern) {
            Verdict::Allowed => return Ok(None),
            // Limit: what a group deals out and what topics keep is not filtered by topic.
            Verdict::AllowedExcept if subscribe.group.is_empty() && start == Start::Live => {
                return Ok(Some(permissions.clone()));
            }
            Verdict::AllowedExcept => {
                "it matches topics that your user may not be sent, which can be left out of plain \
                 subscriptions that start live, not of groups or kept messages: use a narrower \
                 pattern, or change `subscribe_deny` in `[[auth.users]]`"
            }
            Verdict::Denied => {
                "subscribe within what your user may subscribe to, or change its `subscribe` and \
                 `subscribe_deny` in `[[auth.users]]`"
            }
        };
        Err(Reject::NotAllowed {
            about: subscribe.subscription.0,
            what: "subscribe to",
            name: subscribe.pattern.to_owned(),
            remedy,
        })
    }

    fn options(
        &self,
        subscribe: &Subscribe<'_>,
    ) -> Result<(OverflowPolicy, Bounds, Start), Reject> {
        let about = subscribe.subscription.0;
        let not_served = |what, instead| Err(Reject::NotServed { about, what, instead });
        if let Err(error) = name::check_pattern(subscribe.pattern) {
            let pattern = subscribe.pattern.to_string();
            return Err(Reject::BadPattern { subscription: about, pattern, error });
        }
        let queues = &self.cluster.settings.queues;
        let policy = match Overflow::from_byte(subscribe.overflow) {
            Some(Overflow::ServerDefault) => queues.overflow_policy,
            Some(Overflow::DropOldest) => OverflowPolicy::DropOldest,
            Some(Overflow::DropNew) => OverflowPolicy::DropNew,
            Some(Overflow::Block) => OverflowPolicy::Block,
            Some(Overflow::Disconnect) => OverflowPolicy::Disconnect,
            Some(Overflow::Latest) => OverflowPolicy::Latest,
            None => {
                return Err(Reject::BadOption {
                    about,
                    option: "overflow",
                    value: u64::from(subscribe.overflow),
                    allowed: "the policies are 0 to 5",
                });
            }
        };
        let start = Start::from_wire(subscribe.start, subscribe.start_argument).ok_or(
            Reject::BadOption {
                about,
                option: "start",
                value: u64::from(subscribe.start),
                allowed: "the starts are 0 to 2",
            },
        )?;
        if !subscribe.group.is_empty() {
            if start != Start::Live {
                return not_served("a group that does not start live", "use start 0 (live)");
            }
            if matches!(policy, OverflowPolicy::Block | OverflowPolicy::Disconnect) {
                return not_served(
                    "overflow 3 (block) or 4 (disconnect) for a group",
                    "use 1 (drop_oldest), 2 (drop_new) or 5 (latest)",
                );
            }
        }
        let messages_max = match subscribe.capacity {
            0 => queues.subscriber_capacity,
            asked => asked.min(queues.subscriber_capacity),
        };
        Ok((policy, Bounds { messages_max, bytes_max: queues.subscriber_bytes }, start))
    }

    /// Subscriptions whose connection sent CLOSE in this turn get no more from here on.
    pub(super) fn close_finishing(&mut self) {
        for slot in std::mem::take(&mut self.finishing) {
            let finishing = self
                .sessions
                .find(slot)
                .is_some_and(|(_, session)| session.phase == Phase::Finishing);
            if finishing {
                self.close_subscriptions(slot);
                self.finish_if_empty(slot);
            }
        }
    }
}
