//! Asserts what is always true of this room.

use hashbrown::HashSet;

use super::Delivery;
use super::subscription::State;
use crate::broker::ids::Slot;
use crate::config::OverflowPolicy;

impl Delivery {
    /// Walks all subscriptions of these open connections.
    ///
    /// # Panics
    /// If something that is always true is not.
    pub fn audit(&self, open: impl Iterator<Item = Slot>) {
        let mut listed = HashSet::new();
        let mut of_connections = 0;
        for slot in open {
            let outlet = self.outlets.at(slot);
            of_connections += outlet.subscriptions.len();
            for (place, index) in outlet.subscriptions.iter().enumerate() {
                let subscription = self.get(*index);
                assert!(subscription.place as usize == place, "a subscription knows its place");
                assert!(subscription.connection.slot == slot);
            }
            // Those of a connection that is gone are not counted for it.
            let queued = outlet.subscriptions.iter().map(|index| self.get(*index).queue.bytes());
            assert!(queued.sum::<u64>() == outlet.queued_bytes, "a connection's queues add up");
            let held = outlet.subscriptions.iter().map(|index| self.get(*index).held_bytes);
            assert!(held.sum::<u64>() == outlet.subscription_bytes, "its subscriptions add up");
            for index in self.outlets.to_send(slot) {
                assert!(listed.insert(index), "a subscription is listed once");
                let subscription = self.get(index);
                assert!(subscription.connection.slot == slot);
                let rank = subscription.rank();
                assert!(subscription.listed == Some(rank), "retained ones first, then the ends");
            }
        }
        let mut all = 0;
        of_connections += self.retired.gone().count();
        for (index, subscription) in self.subscriptions.iter() {
            if self.outlets.is_gone(subscription) {
                all += 1;
                continue;
            }
            assert!(!subscription.awaits_cores || subscription.state == State::Active);
            all += 1;
            let holds_bounds = subscription.state == State::Active
                && subscription.group.is_none()
                && subscription.policy != OverflowPolicy::Block;
            subscription.queue.audit(subscription.bounds, holds_bounds);
            assert!(subscription.listed.is_some() == listed.contains(&index));
            assert!(
                subscription.listed.is_some()
                    || subscription.queue.is_empty()
                    || subscription.state == State::Joining,
                "what is queued will be sent"
            );
        }
        assert!(all == of_connections, "every subscription is its connection's");
        assert!(all as u64 == self.counters.subscriptions.get(), "the gauge says how many");
        assert!(self.effects.is_empty(), "every effect is carried out");
    }
}
