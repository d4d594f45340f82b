//! A shard: the topics whose names hash to one number, and the one place where they are ordered.
//!
//! Called by [`Topics`](super::Topics) to open a topic, and with batches from connections of any
//! core. Next on the path: `interest` (which cores), then `fan_out` (which subscriptions).
//!
//! # Always true
//! - A topic's sequence rises by one per message, in the order in which batches arrive.
//! - Ids are assigned so that the id alone determines the shard, and none is assigned twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use super::log::Log;
use super::replies::ReplyNames;
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

/// Whether a name that is no topic is one for answers: old messages there are of no use.
fn is_for_answers(now: Now, topic: &str, replies: &ReplyNames) -> bool {
    topic.starts_with(INBOX_PREFIX) || replies.contain(now, topic)
}

/// Whether a name becomes a retained topic if there is room. A name that no client may open needs no
/// id.
fn is_worth_retaining(now: Now, topic: &str, replies: &ReplyNames) -> bool {
    !is_for_answers(now, topic, replies)
        && !topic.starts_with(SYSTEM_PREFIX)
        && name::check_topic(topic).is_ok()
}

/// There are as many topics as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicsFull {
    /// The limit.
    pub topics_max: u32,
    /// The limit is what half of `limits.memory_max` has room for, not `limits.max_topics`.
    pub is_by_memory: bool,
}

/// The topics of one shard.
pub struct Shard {
    id: ShardId,
    cluster: Cluster,
    counters: Arc<Counters>,
    /// Each topic by its name: its number in order of creation, which the ids count.
    by_name: HashMap<Arc<str>, u32>,
    topics: HashMap<u32, Topic>,
    /// The numbers of all topics, in order.
    numbers: BTreeSet<u32>,
    /// The number of the next topic. No number is used again.
    next: u32,
    /// Topics that were made since `take_made`.
    made: Vec<TopicId>,
}

impl Shard {
    /// A shard without topics.
    pub fn new(id: ShardId, cluster: Cluster, counters: Arc<Counters>) -> Shard {
        Shard {
            id,
            cluster,
            counters,
            by_name: HashMap::new(),
            topics: HashMap::new(),
            numbers: BTreeSet::new(),
            next: 0,
            made: Vec::new(),
        }
    }

    /// Applies other settings.
    pub fn reload(&mut self, settings: &Arc<Settings>) {
        self.cluster.settings = settings.clone();
    }

    /// Finds or creates a topic, unless the name is one for answers; also returns the sequence that its
    /// next message gets.
    pub fn open(
        &mut self,
        now: Now,
        name: &Arc<str>,
        replies: &ReplyNames,
    ) -> Result<(Arc<TopicName>, Sequence), TopicsFull> {
        let number = match self.by_name.get(name) {
            Some(number) => *number,
            None if is_for_answers(now, name, replies) => {
                return Ok((self.ephemeral(name), Sequence(1)));
            }
            None => self.create(now, name)?,
        };
        let topic = self.by_number_mut(number);
        topic.used_ns = now.monotonic_ns;
        Ok((topic.name.clone(), topic.next_sequence))
    }

    /// All topics, in order of creation.
    pub fn all(&self) -> impl Iterator<Item = &Topic> {
        self.numbers.iter().map(|number| &self.topics[number])
    }

    /// The number of this shard.
    pub fn number(&self) -> ShardId {
        self.id
    }

    /// The topic of a name, if it exists.
    pub fn topic_of(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name).map(|number| &self.topics[number])
    }

    fn by_number_mut(&mut self, number: u32) -> &mut Topic {
        self.topics.get_mut(&number).expect("a number leads to its topic")
    }

    fn number_of(&self, id: TopicId) -> u32 {
        (id.0 - 1) / u32::from(self.cluster.shards)
    }

    fn create(&mut self, now: Now, name: &Arc<str>) -> Result<u32, TopicsFull> {
        let configured = self.cluster.settings.limits.max_topics;
        let topics_max = configured.min(self.cluster.memory.topics_max());
        let full = TopicsFull { topics_max, is_by_memory: topics_max < configured };
        let number = self.next;
        let id = u64::from(number) * u64::from(self.cluster.shards) + u64::from(self.id.0) + 1;
        if id > *TOPICS_RANGE.end() {
            return Err(full);
        }
        let counted =
            self.cluster.topics.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |topics| {
                (topics < topics_max).then_some(topics + 1)
            });
        counted.map_err(|_| full)?;
        let owner = self.cluster.core_of(self.id);
        self.next += 1;
        self.numbers.insert(number);
        let topic = Topic {
            name: Arc::new(TopicName { id: TopicId(id as u32), owner, name: name.clone() }),
            next_sequence: Sequence(1),
            log: Log::default(),
            used_ns: now.monotonic_ns,
            published_bytes: 0,
            rate: Rate::default(),
            wanted_by: CoreSet::default(),
            wanted_as_seen: Seen::NEVER,
            _held: self.cluster.memory.count_topic(name.len()),
        };
        self.topics.insert(number, topic);
        self.by_name.insert(name.clone(), number);
        self.counters.topics.add(1);
        self.made.push(TopicId(id as u32));
        Ok(number)
    }

    /// Removes a topic that nobody needs.
    pub fn remove(&mut self, id: TopicId) {
        let number = self.number_of(id);
        let topic = self.topics.remove(&number).expect("the topic was found idle");
        self.numbers.remove(&number);
        self.by_name.remove(&topic.name.name);
        self.cluster.topics.fetch_sub(1, Ordering::Relaxed);
        self.counters.topics.sub(1);
    }

    /// Takes a topic that was made and is not watched for idleness.
    pub fn take_made(&mut self) -> Option<TopicId> {
        self.made.pop()
    }

    /// The first topic with this number or a later one, in order of creation.
    pub fn topic_from(&self, number: u32) -> Option<(u32, &Topic)> {
        let number = *self.numbers.range(number..).next()?;
        Some((number, &self.topics[&number]))
    }

    /// A topic of this shard by its id, if it was not removed.
    pub fn topic_mut(&mut self, id: TopicId) -> Option<&mut Topic> {
        let number = self.number_of(id);
        self.topics.get_mut(&number)
    }

    fn ephemeral(&self, name: &Arc<str>) -> Arc<TopicName> {
        let owner = self.cluster.core_of(self.id);
        Arc::new(TopicName { id: EPHEMERAL, owner, name: name.clone() })
    }

    /// The topic a batch is for.
    pub fn find(&mut self, now: Now, destination: &Destination, replies: &ReplyNames) -> Found<'_> {
        let number = match destination {
            Destination::Topic(id) => {
                return self.topic_mut(*id).map_or(Found::Removed, Found::Retained);
            }
            Destination::Opened(name) | Destination::Ephemeral(name) => {
                self.by_name.get(name).copied()
            }
            Destination::Name(name) => match self.by_name.get(name) {
                Some(number) => Some(*number),
                None if is_worth_retaining(now, name, replies) => self.create(now, name).ok(),
                None => None,
            },
        };
        match (number, destination) {
            (Some(number), _) => Found::Retained(self.by_number_mut(number)),
            (None, Destination::Name(name) | Destination::Ephemeral(name)) => {
                Found::Ephemeral(self.ephemeral(name))
            }
            (None, Destination::Opened(name)) if is_for_answers(now, name, replies) => {
                Found::Ephemeral(self.ephemeral(name))
            }
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
    /// The topic was removed, since nobody needed it. The publisher was told its id before that.
    Removed,
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
