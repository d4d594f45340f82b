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
            let queued = outlet.subscriptions.iter().map(|index| self.get(*index).queue.bytes());
            assert!(queued.sum::<u64>() == outlet.queued_bytes, "a connection's queues add up");
            let mut rank_above = (0, 0);
            for index in &outlet.to_send {
                assert!(listed.insert(*index), "a subscription is listed once");
                let subscription = self.get(*index);
                assert!(subscription.is_listed && subscription.connection.slot == slot);
                let rank = self.subscriptions.rank(*index);
                assert!(rank >= rank_above, "retained ones come first, then those that end");
                rank_above = rank;
            }
        }
        let mut all = 0;
        for (index, subscription) in self.subscriptions.iter() {
            assert!(!subscription.awaits_cores || subscription.state == State::Active);
            all += 1;
            let holds_bounds = subscription.state == State::Active
                && subscription.group.is_none()
                && subscription.policy != OverflowPolicy::Block;
            subscription.queue.audit(subscription.bounds, holds_bounds);
            assert!(subscription.is_listed == listed.contains(&index));
            assert!(
                subscription.is_listed
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
