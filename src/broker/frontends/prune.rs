//! What a connection keeps when a reload gives its user other permissions.

use super::{Client, Doors, Frontend, Frontends};
use crate::broker::delivery::{State, SubscriptionIndex};
use crate::broker::ids::Slot;
use crate::broker::permissions::Verdict;
use crate::config::OverflowPolicy;

impl Frontends {
    /// Ends a subscription that the permissions of its connection do not allow any more; the client is told
    /// so. One that they allow in part gets what it may from now on.
    pub fn prune(&mut self, doors: &mut Doors<'_>, slot: Slot, index: SubscriptionIndex) {
        if !doors.keeps_subscription(slot, index) {
            client!(self, slot, |client, shared| client.lost(shared, doors, slot, index));
        }
    }
}

impl Doors<'_> {
    /// Whether a subscription goes on with the permissions that its connection has now.
    fn keeps_subscription(&mut self, slot: Slot, index: SubscriptionIndex) -> bool {
        let permissions = self.connections.at(slot).permissions().clone();
        let subscription = self.delivery.get(index);
        if !matches!(subscription.state, State::Joining | State::Active)
            || subscription.is_leaving_group()
            || self.delivery.find(subscription.reference(index)).is_none()
        {
            return true;
        }
        let pattern = subscription.pattern.clone();
        let group = subscription.group().map(|group| group.group.clone());
        let blocks = subscription.policy == OverflowPolicy::Block;
        let verdict = permissions.may_join(&pattern, group.as_deref());
        let filter = permissions.filter_for(&pattern, group.as_deref(), verdict);
        verdict != Verdict::Denied
            && (!blocks || permissions.may_block(&pattern))
            && self.delivery.change_filter(index, filter)
    }
}
