//! A shard: the topics whose names hash to one number, and the one place where they are ordered.
//!
//! Called by [`Topics`](super::Topics) to open a topic, and with batches from connections of any
//! core. Next on the path: `interest` (which cores), then `fan_out` (which subscriptions).
//!
//! # Always true
//! - A topic's sequence rises by one per message, in the order in which batches arrive.
//! - Ids are assigned so that the id alone determines the shard.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use super::log::Log;
use super::topic::{Rate, Topic};
use crate::broker::clock::Now;
use crate::broker::cluster::{Cluster, CoreSet};
use crate::broker::counters::Counters;
use crate::broker::memory::Memory;
use crate::broker::message::{Batch, Destination, EPHEMERAL, Slice, TopicName};
use crate::broker::pattern::Seen;
use crate::config::Settings;
use crate::limits::TOPICS_RANGE;
use crate::protocol::messages::{self, Stamp};
use crate::protocol::name::{self, SYSTEM_PREFIX};
use crate::protocol::{Sequence, ShardId, TopicId};

/// Topics with this prefix carry the answers to requests: each is used once or for a short while.
pub const INBOX_PREFIX: &str = "_INBOX.";

/// Whether a name becomes a retained topic if there is room. Old messages of an inbox are of no
/// use, and a name that no client may open needs no id.
pub fn is_worth_retaining(topic: &str) -> bool {
    !topic.starts_with(INBOX_PREFIX)
        && !topic.starts_with(SYSTEM_PREFIX)
        && name::check_topic(topic).is_ok()
}

/// The limit `limits.max_topics` is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicsFull {
    /// The configured limit.
    pub topics_max: u32,
}

/// The topics of one shard.
pub struct Shard {
    id: ShardId,
    cluster: Cluster,
    counters: Arc<Counters>,
    by_name: HashMap<Arc<str>, usize>,
    /// In order of creation, which the ids count.
    topics: Vec<Topic>,
}

impl Shard {
    /// A shard without topics.
    pub fn new(id: ShardId, cluster: Cluster, counters: Arc<Counters>) -> Shard {
        Shard { id, cluster, counters, by_name: HashMap::new(), topics: Vec::new() }
    }

    /// Applies other settings.
    pub fn reload(&mut self, settings: &Arc<Settings>) {
        self.cluster.settings = settings.clone();
    }

    /// Finds or creates a topic; also returns the sequence that its next message gets.
    pub fn open(&mut self, name: &Arc<str>) -> Result<(Arc<TopicName>, Sequence), TopicsFull> {
        let index = match self.by_name.get(name) {
            Some(index) => *index,
            None => self.create(name)?,
        };
        let topic = &self.topics[index];
        Ok((topic.name.clone(), topic.next_sequence))
    }

    /// All topics, in order of creation.
    pub fn all(&self) -> impl Iterator<Item = &Topic> {
        self.topics.iter()
    }

    /// The number of this shard.
    pub fn number(&self) -> ShardId {
        self.id
    }

    /// The topic of a name, if it exists.
    pub fn topic_of(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name).map(|index| &self.topics[*index])
    }

    fn create(&mut self, name: &Arc<str>) -> Result<usize, TopicsFull> {
        let topics_max = self.cluster.settings.limits.max_topics;
        let full = TopicsFull { topics_max };
        let index = self.topics.len();
        let id = index as u64 * u64::from(self.cluster.shards) + u64::from(self.id.0) + 1;
        if id > *TOPICS_RANGE.end() {
            return Err(full);
        }
        let counted =
            self.cluster.topics.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |topics| {
                (topics < topics_max).then_some(topics + 1)
            });
        counted.map_err(|_| full)?;
        let owner = self.cluster.core_of(self.id);
        self.topics.push(Topic {
            name: Arc::new(TopicName { id: TopicId(id as u32), owner, name: name.clone() }),
            next_sequence: Sequence(1),
            log: Log::default(),
            last_message_ns: 0,
            published_bytes: 0,
            rate: Rate::default(),
            watched_for_idleness: false,
            wanted_by: CoreSet::default(),
            wanted_as_seen: Seen::NEVER,
        });
        self.by_name.insert(name.clone(), index);
        self.counters.topics.add(1);
        Ok(index)
    }

    /// Number of topics.
    pub fn topics_len(&self) -> usize {
        self.topics.len()
    }

    /// A topic by its index in order of creation.
    pub fn topic_at(&self, index: usize) -> Option<&Topic> {
        self.topics.get(index)
    }

    /// A topic of this shard by its id.
    pub fn topic_mut(&mut self, id: TopicId) -> &mut Topic {
        &mut self.topics[((id.0 - 1) / u32::from(self.cluster.shards)) as usize]
    }

    /// The topic a batch is for.
    pub fn find(&mut self, destination: &Destination) -> Found<'_> {
        let index = match destination {
            // The id was announced to the connection that uses it, so the topic exists.
            Destination::Topic(id) => return Found::Retained(self.topic_mut(*id)),
            Destination::Opened(name) => self.by_name.get(name).copied(),
            Destination::Name(name) => match self.by_name.get(name) {
                Some(index) => Some(*index),
                None if is_worth_retaining(name) => self.create(name).ok(),
                None => None,
            },
        };
        match (index, destination) {
            (Some(index), _) => Found::Retained(&mut self.topics[index]),
            (None, Destination::Name(name)) => Found::Ephemeral(Arc::new(TopicName {
                id: EPHEMERAL,
                owner: self.cluster.core_of(self.id),
                name: name.clone(),
            })),
            (None, _) => Found::Refused,
        }
    }
}

/// The topic that a shard finds for a batch.
pub enum Found<'a> {
    /// A topic with sequences and a log.
    Retained(&'a mut Topic),
    /// A topic that is not worth retaining, or that is beyond the limit of topics: subscribers get
    /// the messages, and nothing else is stored.
    Ephemeral(Arc<TopicName>),
    /// The OPEN of the topic was refused.
    Refused,
}

/// Stamps a batch with sequences from `first`, the time, the topic's id and the TTL.
pub fn stamp(
    topic: &Arc<TopicName>,
    first: Sequence,
    now: Now,
    mut batch: Batch,
    memory: &Memory,
) -> Slice {
    let stamp =
        Stamp { topic: topic.id, sequence: first, timestamp: now.unix_ns, ttl_ms: batch.ttl_ms };
    let next = messages::stamp(&mut batch.frames, stamp);
    let slice = Slice {
        topic: topic.clone(),
        subscription: 0,
        first,
        messages: batch.messages,
        received_ns: batch.received_ns,
        deadline_ns: match batch.ttl_ms {
            0 => u64::MAX,
            ttl_ms => batch.received_ns + u64::from(ttl_ms) * 1_000_000,
        },
        not_to: batch.not_to,
        frames: memory.count(batch.frames),
    };
    assert!(slice.next() == next, "a batch has as many messages as its frames");
    slice
}
