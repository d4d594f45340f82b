//! SUB and UNSUB. A subscription gets what this core knows of at once; PONG says when all cores do.

use hashbrown::HashMap;

use super::{Client, Doors, Shared};
use crate::broker::connections::Phase;
use crate::broker::delivery::queue::Bounds;
use crate::broker::delivery::{NewSubscription, State, SubscriptionIndex};
use crate::broker::ids::Slot;
use crate::broker::permissions::Verdict;
use crate::config::OverflowPolicy;
use crate::nats::error::Offence;
use crate::nats::subject;
use crate::protocol::limits::GROUP_LEN_MAX;
use crate::protocol::name::SYSTEM_PREFIX;
use crate::protocol::{Start, SubscriptionId};

impl Client {
    /// SUB.
    pub(super) fn subscribe(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        (subject, queue, sid): (&[u8], Option<&[u8]>, &[u8]),
    ) -> Result<(), Offence> {
        let pattern = std::str::from_utf8(subject).ok();
        // As in nats-server, what the client may not have comes before what nobody can.
        let permissions = doors.connections.at(slot).permissions().clone();
        let named = queue.and_then(|queue| std::str::from_utf8(queue).ok());
        let verdict =
            pattern.map_or(Verdict::Allowed, |pattern| permissions.may_join(pattern, named));
        if verdict == Verdict::Denied {
            return Err(Offence::subscription_violation(subject, queue));
        }
        self.free_name(shared, doors, slot, sid);
        // Once more under the same name changes nothing.
        if self.sids.contains_key(sid) {
            return Ok(());
        }
        let pattern = pattern.filter(|_| subject::is_valid_pattern(subject));
        let group = queue.map(std::str::from_utf8).transpose().ok();
        let group = group.filter(|group| group.is_none_or(|name| name.len() <= GROUP_LEN_MAX));
        let (Some(pattern), Some(group)) = (pattern, group) else {
            return Err(Offence::InvalidSubject);
        };
        if doors.check_depth(pattern).is_err() {
            return Err(Offence::TooManyTokens { subject: subject.into() });
        }
        if doors.take_subscription_place(slot).is_err() {
            return Err(Offence::MaximumSubscriptionsExceeded);
        }
        let settings = doors.settings();
        let bounds = Bounds {
            messages_max: settings.nats.subscriber_capacity,
            bytes_max: settings.queues.subscriber_bytes,
        };
        let policy = permissions.default_policy(settings.queues.overflow_policy, pattern);
        let policy = policy_of(policy, pattern, group.is_some());
        self.subscriptions_made += 1;
        let (index, is_pending) = doors.delivery.subscribe(NewSubscription {
            connection: doors.connections.id(slot),
            id: SubscriptionId(self.subscriptions_made),
            name: Some(sid.into()),
            pattern: pattern.into(),
            group: group.map(Into::into),
            start: Start::Live,
            policy,
            bounds,
            filter: permissions.filter_for(pattern, group, verdict),
            is_active_at_once: true,
            is_sent_each: true,
            takes_any_name: true,
        });
        self.sids.insert(sid.into(), index);
        if is_pending {
            doors.connections.get(slot).add_pending();
        }
        if let Some(group) = group {
            self.joining_groups += 1;
            self.coordinators.insert(doors.delivery.coordinator_of(group));
        }
        Ok(())
    }

    /// Whether what has been published before has still to reach subscriptions of this pattern, or
    /// its answer 503 has: a SUB behind it does not get it, an UNSUB behind it does. If so, a fence is
    /// begun.
    pub(super) fn waits_for_publish(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        pattern: &[u8],
    ) -> bool {
        let is_under_way = self.publishes_elsewhere
            || std::str::from_utf8(pattern).is_ok_and(|pattern| doors.ingest.concerns(pattern));
        if is_under_way {
            self.begin_fence(shared, doors, slot, false);
        }
        is_under_way
    }

    /// Whether an UNSUB, or a SUB under a name in use, has to wait for what was published before.
    pub(super) fn unsubscribe_waits(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        sid: &[u8],
    ) -> bool {
        let Some(&index) = self.sids.get(sid) else { return false };
        let subscription = doors.delivery.get(index);
        let (pattern, is_member) = (subscription.pattern.clone(), subscription.group().is_some());
        // A group has another core deal, which also has to have served what is dealt.
        self.publishes_elsewhere |= is_member && self.publishes_to_groups;
        self.waits_for_publish(shared, doors, slot, pattern.as_bytes())
    }

    /// Ends the subscription of this name if it was given all its client asked for: for the client, the
    /// subscription ended with its last message.
    fn free_name(&mut self, shared: &mut Shared, doors: &mut Doors<'_>, slot: Slot, sid: &[u8]) {
        let found = self.sids.get(sid).copied();
        if let Some(index) = found.filter(|index| doors.delivery.get(*index).has_had_enough()) {
            self.end_subscription(shared, doors, slot, index);
        }
    }

    /// UNSUB. With `max` the subscription ends after so many messages, counted from its beginning.
    pub(super) fn unsubscribe(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        sid: &[u8],
        max: Option<u64>,
    ) {
        self.free_name(shared, doors, slot, sid);
        let Some(&index) = self.sids.get(sid) else { return };
        if max.is_some_and(|max| doors.delivery.limit(index, max)) {
            return;
        }
        // Clients drain: they say UNSUB and PING, and work on what comes before the PONG. To hand
        // that back would lose it with the last of a group.
        if doors.delivery.leave_group_later(index) {
            doors.connections.get(slot).add_pending();
            self.sids.remove(sid);
            // What the client publishes from here on is not for itself.
            return self.begin_fence(shared, doors, slot, false);
        }
        self.end_subscription(shared, doors, slot, index);
    }

    /// A subscription gets no more; what is queued for it still goes out.
    pub(super) fn end_subscription(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        index: SubscriptionIndex,
    ) {
        self.forget_name(doors, index);
        let ended = doors.delivery.end(index, false);
        if ended.was_pending {
            doors.connections.end_pending(slot);
        }
        self.pass_fence(shared, doors, slot);
    }

    /// Ends a subscription that a reload took from the client's user, in the words of nats-server.
    pub(super) fn end_lost_subscription(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        index: SubscriptionIndex,
    ) {
        let subscription = doors.delivery.get(index);
        let offence = Offence::SubscriptionRevoked {
            subject: subscription.pattern.as_bytes().into(),
            queue: subscription.group().map(|group| group.group.as_bytes().into()),
            sid: subscription.name.clone().expect("its client named it"),
        };
        self.end_subscription(shared, doors, slot, index);
        self.offend(shared, doors, slot, &offence);
    }

    /// The client starts over: its subscriptions end, and members hand back what they were not sent.
    /// What it says next waits until all have, if they are many.
    pub(super) fn end_all_subscriptions(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
    ) {
        self.sids = HashMap::new();
        self.joining_groups = 0;
        if doors.delivery.start_over(slot) {
            self.starts_over = true;
            doors.connections.get(slot).add_pending();
            self.begin_fence(shared, doors, slot, false);
        }
    }

    /// All subscriptions from before the client started over have ended.
    pub(super) fn started_over(&mut self, shared: &mut Shared, doors: &mut Doors<'_>, slot: Slot) {
        if std::mem::take(&mut self.starts_over) {
            doors.connections.end_pending(slot);
            self.pass_fence_if_open(shared, doors, slot);
        }
    }

    pub(super) fn pass_fence_if_open(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
    ) {
        if doors.connections.at(slot).phase() != Phase::Closing {
            self.pass_fence(shared, doors, slot);
        }
    }

    /// A subscription is about to end: its client names it no longer.
    fn forget_name(&mut self, doors: &Doors<'_>, index: SubscriptionIndex) {
        let subscription = doors.delivery.get(index);
        let sid = subscription.name.as_deref().expect("its client named it");
        // Another may have its name already.
        if self.sids.get(sid) == Some(&index) {
            self.sids.remove(sid);
        }
        if subscription.state == State::Joining {
            self.joining_groups -= 1;
        }
    }

    /// The cores that had to know a subscription do, or a group has its new member.
    pub(super) fn subscribed(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        index: SubscriptionIndex,
    ) {
        if doors.delivery.get(index).group().is_some() {
            self.joining_groups -= 1;
        }
        doors.connections.end_pending(slot);
        self.pass_fence_if_open(shared, doors, slot);
    }
}

/// The policy of a subscription, as far as its kind allows the configured one.
fn policy_of(configured: OverflowPolicy, pattern: &str, is_member: bool) -> OverflowPolicy {
    match configured {
        // A group is nobody's alone: its publishers do not wait, and no member is to blame.
        OverflowPolicy::Block | OverflowPolicy::Disconnect if is_member => {
            OverflowPolicy::DropOldest
        }
        // What the broker publishes there are news, of which none stands for the one before.
        OverflowPolicy::Latest if pattern.starts_with(SYSTEM_PREFIX) => OverflowPolicy::DropOldest,
        policy => policy,
    }
}
