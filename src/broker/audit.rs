//! What tests may look at, and a walk over everything that asserts what the other files say is
//! always true. The simulator calls it after every turn; a serving broker never does.

use hashbrown::HashSet;

use super::memory;
use super::nats::NatsSession;
use super::session::{Paused, Phase, Session};
use super::subscriptions::State;
use super::topic::TopicName;
use super::{Broker, ConnectionId, Sequence};
use crate::config::OverflowPolicy;
use crate::protocol::TopicId;

impl Broker {
    /// The topics this core owns, each with the sequence its next message gets.
    pub fn topics(&self) -> impl Iterator<Item = (&TopicName, Sequence)> {
        self.shards.iter().flat_map(|shard| shard.topics_made())
    }

    /// The topic whose subscribers a connection waits for, if it is not read for that reason.
    pub fn held_up_by(&self, connection: ConnectionId) -> Option<TopicId> {
        let mut sessions = self.sessions.iter();
        let (_, session) = sessions.find(|(slot, _)| *slot == connection.slot)?;
        match session.paused {
            Some(Paused::Blocked(topic)) => Some(topic),
            _ => None,
        }
    }

    /// How many portions the logs of this core keep, and what those hold of the memory budget at
    /// least: room that a batch does not use counts there, too.
    pub fn kept_in_logs(&self) -> (u64, u64) {
        let logs = || self.shards.iter().flat_map(|shard| shard.all()).map(|topic| &topic.log);
        let portions = logs().map(|log| log.portions() as u64).sum();
        (portions, memory::bytes_of(portions, logs().map(|log| log.bytes()).sum()))
    }

    /// Walks all connections and subscriptions.
    ///
    /// # Panics
    /// If something that is always true is not.
    pub fn audit(&self) {
        let ready: HashSet<u32> = self.ready.iter().copied().collect();
        let backlog: HashSet<u32> = self.backlog.iter().copied().collect();
        let paused: HashSet<u32> = self.paused.iter().copied().collect();
        let mut listed = HashSet::new();
        let mut of_sessions = 0;
        for (slot, session) in self.sessions.iter() {
            if session.phase == Phase::Closing {
                assert!(session.subscriptions.is_empty(), "a closing connection has none");
                continue;
            }
            assert!(
                session.in_flight || !session.has_content() || ready.contains(&slot),
                "a connection with something to send and a free socket is ready"
            );
            assert!(!session.in_backlog || backlog.contains(&slot), "left frames are found again");
            assert!(session.paused.is_none() || paused.contains(&slot), "a paused one is resumed");
            of_sessions += session.subscriptions.len();
            if let Some(nats) = &session.nats {
                self.audit_nats(slot, session, nats);
            }
            let mut rank_above = (0, 0);
            for index in &session.to_send {
                assert!(listed.insert(*index), "a subscription is listed once");
                let subscription = self.subscriptions.at(*index).expect("what is listed exists");
                assert!(subscription.is_listed && subscription.slot == slot);
                let rank = self.subscriptions.rank(*index);
                assert!(rank >= rank_above, "kept ones come first, then those that end");
                rank_above = rank;
            }
        }
        let mut all = 0;
        for (index, subscription) in self.subscriptions.iter() {
            assert!(!subscription.awaits_cores || subscription.state == State::InForce);
            all += 1;
            let holds_bounds = subscription.state == State::InForce
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
        assert!(all == of_sessions, "every subscription is its connection's");
        assert!(all as u64 == self.counters.subscriptions.get(), "the gauge says how many");
    }

    /// What a NATS connection waits for will come.
    fn audit_nats(&self, slot: u32, session: &Session, nats: &NatsSession) {
        let mut joins = 0;
        let mut awaits = 0;
        let mut named = 0;
        for index in session.subscriptions.values() {
            let subscription = self.subscriptions.at(*index).expect("it is the connection's");
            let sid = subscription.sid.as_deref().expect("it is a NATS client's");
            awaits += u32::from(subscription.awaits_cores);
            joins += u32::from(subscription.state == State::Joining);
            if matches!(subscription.state, State::Joining | State::InForce) {
                named += 1;
                assert!(nats.sids.get(sid) == Some(index), "its client can name it");
                assert!(subscription.taken < subscription.taken_max, "one that had enough ends");
            }
        }
        // Who has said the last word leaves all it has at once, and is not asked by name again.
        if session.phase == Phase::Open {
            assert!(nats.sids.len() == named, "a name leads to a subscription that gets messages");
            assert!(nats.joining_groups == joins, "memberships to come are counted");
        }
        assert!(
            session.pending_requests == joins + awaits,
            "what other cores have to say is counted"
        );
        assert!(
            nats.pongs.is_empty() || !session.to_send.is_empty(),
            "a PONG waits for something that will be sent"
        );
        if let Some(fence) = &nats.fence {
            assert!(fence.was_asked() || self.fencing.contains(&slot), "other cores will be asked");
            assert!(
                !fence.is_over(session.pending_requests) || !nats.pongs.is_empty(),
                "a fence ends when nothing is left to wait for"
            );
        }
    }
}
