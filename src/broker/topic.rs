//! A topic, as its owner keeps it and as other cores know it.

use std::sync::Arc;

use super::interest::CoreSet;
use super::log::Log;
use crate::protocol::name::SYSTEM_PREFIX;
use crate::protocol::{CoreId, Sequence, TopicId};

/// What every core may know of a topic. It never changes.
#[derive(Debug, PartialEq, Eq)]
pub struct TopicName {
    /// Never used again while the server runs; [`PASSING`] for a topic that is not kept.
    pub id: TopicId,
    /// The core that orders it.
    pub owner: CoreId,
    /// The topic.
    pub name: Arc<str>,
}

/// The id of every topic that is not kept: its one batch of messages passes, and it is forgotten.
pub const PASSING: TopicId = TopicId(0);

impl TopicName {
    /// Whether the owner keeps it: it has an id of its own, sequences and a log.
    pub fn is_kept(&self) -> bool {
        self.id != PASSING
    }

    /// Tells topics apart, also those that are not kept, as long as somebody holds them.
    pub fn key(self: &Arc<TopicName>) -> TopicKey {
        match self.is_kept() {
            true => TopicKey(u64::from(self.id.0)),
            false => TopicKey(Arc::as_ptr(self) as u64 | 1 << 63),
        }
    }

    /// What gaps are joined by. Topics that are not kept are taken together: each had a batch of its
    /// own, so to tell them apart would take as many gaps as there were batches. The broker's own
    /// are apart from the others, because what is missed of them is not told to NATS clients.
    pub fn run_key(&self) -> TopicKey {
        match self.is_kept() {
            true => TopicKey(u64::from(self.id.0)),
            false if self.name.starts_with(SYSTEM_PREFIX) => TopicKey(u64::MAX),
            false => TopicKey(u64::MAX - 1),
        }
    }
}

/// What tells a topic from others, see [`TopicName::key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopicKey(u64);

/// What the owner keeps.
#[derive(Debug)]
pub struct Topic {
    /// Shared with whoever has to name it.
    pub name: Arc<TopicName>,
    /// The sequence the next message gets.
    pub next_sequence: Sequence,
    /// Its last messages.
    pub log: Log,
    /// When the last one was accepted.
    pub last_message_ns: u64,
    /// On the list of topics that may fall idle.
    pub watched_for_idleness: bool,
    /// How many cores have a subscription that holds publishers up.
    pub blocked_by: u16,
    /// The other cores that want it, as `Interest` was at the version below.
    pub wanted_by: CoreSet,
    /// When it differs from `Interest`'s own, `wanted_by` is to be found again.
    pub wanted_at_version: u64,
}
