//! Questions of simulators and fuzzers, and everything that is always true, looked at.

use std::collections::BTreeSet;

use crate::broker::connections::{Hold, LoginWait, Phase};
use crate::broker::frontends::Audited;
use crate::broker::message::TopicName;
use crate::broker::{Broker, ConnectionId};
use crate::protocol::{Sequence, TopicId};

/// Steps that a client can make many of, but not in one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Subscriptions that were swept after all of their connection had ended.
    pub ends: usize,
    /// Topics that were looked at for replays.
    pub replay_topics: usize,
}

impl Broker {
    /// The topics this core owns, each with the sequence its next message gets.
    pub fn topics(&self) -> impl Iterator<Item = (&TopicName, Sequence)> {
        self.topics.iter().map(|topic| (&*topic.name, topic.next_sequence))
    }

    /// The topic whose subscribers a connection waits for, if its input is held for that reason.
    pub fn held_up_by(&self, connection: ConnectionId) -> Option<TopicId> {
        let (_, connection) = self.connections.table().at(connection.slot)?;
        match connection.held_for() {
            Some(Hold::Blocked(topic)) => Some(topic),
            _ => None,
        }
    }

    /// Topics whose publishers wait on this core, and topics whose publishers some subscription of this
    /// core wants to wait.
    pub fn blocks(&self) -> (BTreeSet<TopicId>, BTreeSet<TopicId>) {
        self.delivery.blocks()
    }

    /// How many messages the subscriptions of an open connection have lost.
    pub fn lost_by(&self, connection: ConnectionId) -> u64 {
        self.delivery.lost_of(connection.slot)
    }

    /// How many slices the logs of this core retain, and what those count for in the memory budget
    /// at least.
    pub fn retained(&self) -> (u64, u64) {
        self.topics.retained()
    }

    /// The steps of the last turn, and of what was reported since: none is to take many, whatever
    /// clients do.
    pub fn work(&self) -> Work {
        Work { ends: self.delivery.work().ends, replay_topics: self.replays.looked_at() }
    }

    /// Walks all connections and subscriptions.
    ///
    /// # Panics
    /// If something that is always true is not.
    pub fn audit(&self) {
        let open = || {
            let all = self.connections.table().iter();
            let open = all.filter(|(_, connection)| connection.phase() != Phase::Closing);
            open.map(|(id, _)| id.slot)
        };
        for (id, connection) in self.connections.table().iter() {
            let closes = connection.phase() == Phase::Closing;
            let subscriptions = self.delivery.subscriptions_of(id.slot);
            assert!(!closes || subscriptions == 0, "a closing connection has none");
        }
        for (id, connection) in self.connections.table().iter() {
            if let LoginWait::Check(check) = *connection.login_wait() {
                assert!(self.logins.checks.has(check, id), "a login waits for an answer to come");
            }
        }
        self.connections.audit(|slot| self.delivery.has_queued(slot));
        self.delivery.audit(open());
        let audited = Audited { connections: &self.connections, delivery: &self.delivery };
        self.frontends.audit(&audited, open());
    }
}
