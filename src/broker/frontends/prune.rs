//! What a connection keeps when a reload gives its user other permissions.

use super::Doors;
use crate::broker::delivery::{State, SubscriptionIndex};
use crate::broker::ids::Slot;
use crate::broker::permissions::Verdict;
use crate::config::OverflowPolicy;

impl Doors<'_> {
    /// The subscriptions of a connection that its permissions do not allow any more. The others get what
    /// they may from now on.
    pub(super) fn lost_subscriptions(&mut self, slot: Slot) -> Vec<SubscriptionIndex> {
        let permissions = self.connections.at(slot).permissions().clone();
        let mut lost = Vec::new();
        for index in self.delivery.all_of(slot) {
            let subscription = self.delivery.get(index);
            if !matches!(subscription.state, State::Joining | State::Active)
                || subscription.is_leaving_group()
            {
                continue;
            }
            let pattern = subscription.pattern.clone();
            let group = subscription.group().map(|group| group.group.clone());
            let blocks = subscription.policy == OverflowPolicy::Block;
            let verdict = permissions.may_join(&pattern, group.as_deref());
            let filter = permissions.filter_for(&pattern, group.as_deref(), verdict);
            let keeps = verdict != Verdict::Denied
                && (!blocks || permissions.may_block(&pattern))
                && self.delivery.change_filter(index, filter);
            if !keeps {
                lost.push(index);
            }
        }
        lost
    }
}
