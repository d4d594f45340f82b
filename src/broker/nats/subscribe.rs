//! SUB and UNSUB. A subscription gets what this core knows of at once; PONG says when all cores do.
//!
//! Called by `receive`.

use std::sync::Arc;

use super::super::Broker;
use super::super::groups::{GroupName, Joins};
use super::super::interest::{Announcement, Waiter};
use super::super::permissions::Verdict;
use super::super::queue::Bounds;
use super::super::replay::Asker;
use super::super::session::Phase;
use super::super::subscriptions::{State, SubscriptionIndex};
use crate::config::OverflowPolicy;
use crate::nats::error::Offence;
use crate::nats::subject;
use crate::protocol::SubscriptionId;
use crate::protocol::name::SYSTEM_PREFIX;

impl Broker {
    /// SUB.
    pub(super) fn nats_subscribe(
        &mut self,
        slot: u32,
        subject: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
    ) -> Result<(), Offence> {
        let pattern = std::str::from_utf8(subject).ok();
        // As in nats-server, what it may not have comes before what nobody can.
        let session = self.sessions.get(slot);
        let verdict =
            pattern.map_or(Verdict::Allowed, |pattern| session.permissions.may_subscribe(pattern));
        if verdict == Verdict::Denied {
            return Err(Offence::subscription_violation(subject, queue));
        }
        // Once more under the same name changes nothing.
        if session.nats().sids.contains_key(sid) {
            return Ok(());
        }
        let pattern = pattern.filter(|_| subject::is_valid_pattern(subject));
        let group = queue.map(std::str::from_utf8).transpose().ok();
        let (Some(pattern), Some(group)) = (pattern, group) else {
            return Err(Offence::InvalidSubject);
        };
        let settings = self.cluster.settings.clone();
        let connection = self.sessions.id(slot);
        let session = self.sessions.get(slot);
        if session.subscriptions.len() >= settings.limits.max_subscriptions_per_connection as usize
        {
            return Err(Offence::MaximumSubscriptionsExceeded);
        }
        let bounds = Bounds {
            messages_max: settings.nats.subscriber_capacity,
            bytes_max: settings.queues.subscriber_bytes,
        };
        let policy = match settings.queues.overflow_policy {
            // A group is nobody's alone: its publishers do not wait, and no member is to blame.
            OverflowPolicy::Block | OverflowPolicy::Disconnect if group.is_some() => {
                OverflowPolicy::DropOldest
            }
            // What the broker tells there are news, of which none stands for the one before.
            OverflowPolicy::Latest if pattern.starts_with(SYSTEM_PREFIX) => {
                OverflowPolicy::DropOldest
            }
            policy => policy,
        };
        let pattern: Arc<str> = pattern.into();
        let nats = session.nats();
        nats.subscriptions_made += 1;
        let id = SubscriptionId(nats.subscriptions_made);
        let index = self.subscriptions.insert(slot, id, pattern.clone(), policy, bounds);
        nats.sids.insert(sid.into(), index);
        session.subscriptions.insert(id, index);
        let filter = (verdict == Verdict::AllowedExcept).then(|| session.permissions.clone());
        let subscription = self.subscriptions.get(index);
        subscription.sid = Some(sid.into());
        subscription.filter = filter.clone();
        self.count_subscription(index);
        let subscription = self.subscriptions.get(index);
        if let Some(group) = group {
            let name = GroupName { pattern, group: group.into() };
            subscription.group = Some(name.clone());
            let member = Asker { index, number: subscription.number };
            let session = self.sessions.get(slot);
            session.pending_requests += 1;
            session.nats().joining_groups += 1;
            let capacity = bounds.messages_max;
            let joins = Joins { member, capacity, policy, nats: Some(connection), filter };
            self.join_group(name, joins);
            return Ok(());
        }
        let announcement = self.announce(&pattern, Waiter::Subscription(index));
        self.subscriptions.put_in_force(index);
        if announcement != Announcement::InForce {
            self.subscriptions.get(index).awaits_cores = true;
            self.sessions.get(slot).pending_requests += 1;
        }
        Ok(())
    }

    /// Whether what has been published before has still to reach subscriptions of this pattern, or
    /// its answer 503 has: a SUB behind it does not get it, an UNSUB behind it does.
    pub(super) fn follows_publish(&mut self, slot: u32, pattern: &[u8]) -> bool {
        let is_under_way = self.sessions.get(slot).nats().publishes_elsewhere
            || std::str::from_utf8(pattern).is_ok_and(|pattern| self.ingest.concerns(pattern));
        if is_under_way {
            self.begin_quiet_fence(slot);
        }
        is_under_way
    }

    pub(super) fn unsubscribe_waits(&mut self, slot: u32, sid: &[u8]) -> bool {
        let index = self.sessions.get(slot).nats().sids.get(sid);
        let subscription = index.and_then(|index| self.subscriptions.at(*index));
        let Some(subscription) = subscription else { return false };
        let (pattern, is_member) = (subscription.pattern.clone(), subscription.group.is_some());
        // A group has another core deal, which also has to have served what is dealt.
        let nats = self.sessions.get(slot).nats();
        nats.publishes_elsewhere |= is_member && nats.publishes_to_groups;
        self.follows_publish(slot, pattern.as_bytes())
    }

    /// UNSUB. With `max` the subscription ends after so many messages, counted from its beginning.
    pub(super) fn nats_unsubscribe(&mut self, slot: u32, sid: &[u8], max: Option<u64>) {
        let Some(&index) = self.sessions.get(slot).nats().sids.get(sid) else { return };
        let subscription = self.subscriptions.get(index);
        match max {
            Some(max) if max > subscription.taken => subscription.taken_max = max,
            // Clients drain: they say UNSUB and PING, and work on what comes before the PONG. To
            // hand that back would lose it with the last of a group.
            _ if self.leave_group_later(index) => {
                self.subscriptions.get(index).awaits_cores = true;
                let session = self.sessions.get(slot);
                session.pending_requests += 1;
                session.nats().sids.remove(sid);
                // What it publishes from here on is not for itself.
                self.begin_quiet_fence(slot);
            }
            _ => self.end_nats_subscription(index, false),
        }
    }

    /// It gets no more; what is queued for it still goes out, unless others of its group get it.
    pub(in crate::broker) fn end_nats_subscription(
        &mut self,
        index: SubscriptionIndex,
        hands_back: bool,
    ) {
        let subscription = self.subscriptions.get(index);
        let slot = subscription.slot;
        let session = self.sessions.get(slot);
        let sid = subscription.sid.as_deref().expect("it is a NATS client's");
        // Another may have its name already.
        if session.nats().sids.get(sid) == Some(&index) {
            session.nats().sids.remove(sid);
        }
        if std::mem::take(&mut subscription.awaits_cores) {
            session.pending_requests -= 1;
        }
        if subscription.state == State::Joining {
            session.pending_requests -= 1;
            session.nats().joining_groups -= 1;
        }
        self.end_subscription(index, hands_back);
        self.pass_fence(slot);
    }

    /// The cores that had to know a subscription do, or a group has its new member.
    pub(in crate::broker) fn nats_in_force(&mut self, index: SubscriptionIndex) {
        let subscription = self.subscriptions.get(index);
        let slot = subscription.slot;
        if subscription.state == State::Joining {
            self.subscriptions.put_in_force(index);
            self.sessions.get(slot).nats().joining_groups -= 1;
        } else if !std::mem::take(&mut subscription.awaits_cores) {
            return;
        }
        let session = self.sessions.get(slot);
        session.pending_requests -= 1;
        if session.phase != Phase::Closing {
            self.pass_fence(slot);
        }
    }
}
