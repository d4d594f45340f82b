//! The name of a topic as every core knows it: what slices, gaps and mesh messages refer to.

use std::sync::Arc;

use crate::protocol::name::{self, SYSTEM_PREFIX};
use crate::protocol::{CoreId, TopicId};

/// A topic, as its owner named it. It never changes.
#[derive(Debug, PartialEq, Eq)]
pub struct TopicName {
    /// Never used again while the server runs; [`EPHEMERAL`] for a topic that is not retained.
    pub id: TopicId,
    /// The core that orders the topic.
    pub owner: CoreId,
    /// The topic.
    pub name: Arc<str>,
}

/// The id of every ephemeral topic: its one batch of messages passes, and the topic is forgotten.
pub const EPHEMERAL: TopicId = TopicId(0);

impl TopicName {
    /// Whether the owner retains the topic: it has an id of its own, sequences and a log.
    pub fn is_retained(&self) -> bool {
        self.id != EPHEMERAL
    }

    /// Whether the name is a legal topic, as every retained one is. Some protocols publish to others.
    pub fn is_legal(&self) -> bool {
        self.is_retained() || name::check_topic(&self.name).is_ok()
    }

    /// Distinguishes topics, ephemeral ones as long as a reference to their name exists.
    pub fn key(self: &Arc<TopicName>) -> TopicKey {
        match self.is_retained() {
            true => TopicKey(u64::from(self.id.0)),
            false => TopicKey(Arc::as_ptr(self) as u64 | 1 << 63),
        }
    }

    /// What gaps are joined by. Ephemeral topics are taken together: each had a batch of its own,
    /// so to keep them apart would take as many gaps as there were batches. The broker's own topics
    /// are apart from the others, because gaps in them are not reported on them.
    pub fn run_key(&self) -> TopicKey {
        match self.is_retained() {
            true => TopicKey(u64::from(self.id.0)),
            false if self.name.starts_with(SYSTEM_PREFIX) => TopicKey(u64::MAX),
            false => TopicKey(u64::MAX - 1),
        }
    }
}

/// What distinguishes a topic from others, see [`TopicName::key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopicKey(u64);
