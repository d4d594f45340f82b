//! SUBSCRIBE and UNSUBSCRIBE.

use std::sync::Arc;

use super::{Client, Doors};
use crate::broker::delivery::queue::Bounds;
use crate::broker::delivery::{NewSubscription, State, SubscriptionIndex};
use crate::broker::ids::Slot;
use crate::broker::permissions::{Permissions, Verdict};
use crate::config::OverflowPolicy;
use crate::protocol::decode::Subscribe;
use crate::protocol::limits::GROUP_LEN_MAX;
use crate::protocol::{Overflow, Reject, Start, SubscriptionId, encode, name};

impl Client {
    /// SUBSCRIBE.
    pub(super) fn subscribe(
        &mut self,
        doors: &mut Doors<'_>,
        slot: Slot,
        subscribe: Subscribe<'_>,
    ) -> Result<(), Reject> {
        let id = subscribe.subscription;
        let (policy, bounds, start) = options(doors, slot, &subscribe)?;
        let filter = permit(doors, slot, &subscribe, start)?;
        permit_block(doors, slot, &subscribe, policy)?;
        if self.subscriptions.contains_key(&id) {
            return Err(Reject::SubscriptionInUse { subscription: id.0 });
        }
        doors.take_subscription_place(slot).map_err(|none| {
            let (what, count_max, remedy) = none.limit();
            Reject::LimitReached { about: id.0, what, count_max, remedy }
        })?;
        let is_member = !subscribe.group.is_empty();
        doors.connections.get(slot).add_pending();
        let (index, is_pending) = doors.delivery.subscribe(NewSubscription {
            connection: doors.connections.id(slot),
            id,
            name: None,
            pattern: subscribe.pattern.into(),
            group: is_member.then(|| subscribe.group.into()),
            start,
            policy,
            bounds,
            filter,
            is_active_at_once: false,
            is_sent_each: false,
            takes_any_name: false,
        });
        assert!(is_pending, "SUBSCRIBED follows when the subscription is known");
        self.subscriptions.insert(id, index);
        Ok(())
    }

    /// A subscription is active: SUBSCRIBED.
    pub(super) fn subscribed(
        &mut self,
        doors: &mut Doors<'_>,
        slot: Slot,
        index: SubscriptionIndex,
    ) {
        let id = doors.delivery.get(index).id;
        doors.connections.end_pending(slot);
        doors.answer(slot, |out| encode::subscribed(out, id));
        if doors.delivery.take_wish_to_end(index) {
            self.unsubscribe(doors, slot, id).expect("it is active");
        }
    }

    /// UNSUBSCRIBE: what is queued still goes out, then UNSUBSCRIBED.
    pub(super) fn unsubscribe(
        &mut self,
        doors: &mut Doors<'_>,
        slot: Slot,
        id: SubscriptionId,
    ) -> Result<(), Reject> {
        let unknown = Reject::UnknownSubscription { subscription: id.0 };
        let index = *self.subscriptions.get(&id).ok_or(unknown.clone())?;
        let subscription = doors.delivery.get(index);
        if subscription.state == State::Ending || subscription.is_to_end() {
            return Err(unknown);
        }
        let Some(ended) = doors.delivery.unsubscribe(index, true) else { return Ok(()) };
        if ended.was_pending {
            doors.connections.end_pending(slot);
        }
        if !ended.is_queued {
            self.subscriptions.remove(&id);
            doors.answer(slot, |out| encode::unsubscribed(out, id));
        }
        Ok(())
    }
}

impl Client {
    /// Ends a subscription that a reload took from the client's user: ERROR, then what is queued, then
    /// UNSUBSCRIBED.
    pub(super) fn end_lost_subscription(
        &mut self,
        doors: &mut Doors<'_>,
        slot: Slot,
        index: SubscriptionIndex,
    ) {
        let subscription = doors.delivery.get(index);
        let (id, name) = (subscription.id, subscription.pattern.to_string());
        let not_allowed = Reject::NotAllowed {
            about: id.0,
            what: "stay subscribed to",
            name,
            remedy: "a reload has changed what your user may subscribe to in `[[auth.users]]`",
        };
        self.reject(doors, slot, &not_allowed);
        // One that has not begun ends when it has.
        let _ = self.unsubscribe(doors, slot, id);
    }
}

/// Whether a connection may subscribe to this; if not to all of it, what is to be left out.
fn permit(
    doors: &Doors<'_>,
    slot: Slot,
    subscribe: &Subscribe<'_>,
    start: Start,
) -> Result<Option<Arc<Permissions>>, Reject> {
    let permissions = doors.connections.at(slot).permissions();
    let group = Some(subscribe.group).filter(|group| !group.is_empty());
    let verdict = permissions.may_join(subscribe.pattern, group);
    let filter = permissions.filter_for(subscribe.pattern, group, verdict);
    let remedy = match verdict {
        Verdict::Allowed => return Ok(filter),
        // Limit: what a group deals out and what topics retain is not filtered by topic.
        Verdict::AllowedExcept if subscribe.group.is_empty() && start == Start::Live => {
            return Ok(filter);
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

/// Checks that a connection which asks for `block` may hold up publishers.
fn permit_block(
    doors: &Doors<'_>,
    slot: Slot,
    subscribe: &Subscribe<'_>,
    policy: OverflowPolicy,
) -> Result<(), Reject> {
    let permissions = doors.connections.at(slot).permissions();
    if policy != OverflowPolicy::Block || permissions.may_block(subscribe.pattern) {
        return Ok(());
    }
    let remedy = match doors.settings().auth.users.is_empty() {
        true => {
            "a subscriber with `block` can hold up the publishers of all others, so a broker without \
             `[auth]` allows `block` only if its listeners are bound to loopback: use another \
             overflow policy, or set up `[[auth.users]]` with `block` for this pattern"
        }
        false => {
            "a subscriber with `block` can hold up the publishers of all others: use another overflow \
             policy, or add the pattern to `block` of your user in `[[auth.users]]`"
        }
    };
    Err(Reject::NotAllowed {
        about: subscribe.subscription.0,
        what: "subscribe with overflow 3 (block) to",
        name: subscribe.pattern.to_owned(),
        remedy,
    })
}

fn options(
    doors: &Doors<'_>,
    slot: Slot,
    subscribe: &Subscribe<'_>,
) -> Result<(OverflowPolicy, Bounds, Start), Reject> {
    let about = subscribe.subscription.0;
    let checked = name::check_pattern(subscribe.pattern);
    if let Err(error) = checked.and_then(|()| doors.check_depth(subscribe.pattern)) {
        let pattern = subscribe.pattern.to_string();
        return Err(Reject::BadPattern { subscription: about, pattern, error });
    }
    let queues = &doors.settings().queues;
    let policy = match Overflow::from_byte(subscribe.overflow) {
        Some(Overflow::ServerDefault) => {
            let permissions = doors.connections.at(slot).permissions();
            permissions.default_policy(queues.overflow_policy, subscribe.pattern)
        }
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
    let start =
        Start::from_wire(subscribe.start, subscribe.start_argument).ok_or(Reject::BadOption {
            about,
            option: "start",
            value: u64::from(subscribe.start),
            allowed: "the starts are 0 to 2",
        })?;
    if !subscribe.group.is_empty() {
        check_group(about, subscribe.group, policy, start)?;
    }
    let messages_max = match subscribe.capacity {
        0 => queues.subscriber_capacity,
        asked => asked.min(queues.subscriber_capacity),
    };
    Ok((policy, Bounds { messages_max, bytes_max: queues.subscriber_bytes }, start))
}

/// What members of groups cannot ask for.
fn check_group(
    about: u32,
    group: &str,
    policy: OverflowPolicy,
    start: Start,
) -> Result<(), Reject> {
    if group.len() > GROUP_LEN_MAX {
        return Err(Reject::GroupTooLong { subscription: about, len: group.len() });
    }
    let not_served = |what, instead| Err(Reject::NotServed { about, what, instead });
    if start != Start::Live {
        return not_served("a group that does not start live", "use start 0 (live)");
    }
    if matches!(policy, OverflowPolicy::Block | OverflowPolicy::Disconnect) {
        return not_served(
            "overflow 3 (block) or 4 (disconnect) for a group",
            "use 1 (drop_oldest), 2 (drop_new) or 5 (latest)",
        );
    }
    Ok(())
}
