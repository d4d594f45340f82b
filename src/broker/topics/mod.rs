//! Topics: the slices of the hash that this core owns, their order, their logs, and which cores
//! want them.
//!
//! In comes a batch, from a connection of any core; out goes a stamped slice, the other cores that
//! want it, and the acknowledgements that are due. Also in: names to open, patterns that other
//! cores announce, and questions for what is retained.
//!
//! # Always true
//! - One place orders a topic: sequences rise by one per message, in the order batches come here.
//! - This room knows no connection and no protocol: return addresses pass through it unread.
//! - Nothing here is sent: results are returned to `turn`.

pub mod ingest;
mod interest;
mod log;
pub mod polls;
pub mod replay;
mod retained;
mod shard;
mod topic;

use std::sync::Arc;

use hashbrown::HashMap;

use crate::broker::clock::Now;
use crate::broker::cluster::{Cluster, CoreSet};
use crate::broker::counters::Counters;
use crate::broker::message::{Ack, Batch, Requester, Slice, TopicName, WantsAck};
use crate::broker::timers::Timers;
use crate::config::Settings;
use crate::protocol::{CoreId, Sequence, ShardId, TopicId};

use interest::Interest;
pub use log::{Log, Retained};
use retained::Retained as RetainedSlices;
use shard::{Found, Shard};
pub use shard::{INBOX_PREFIX, TopicsFull};
pub use topic::Topic;

/// The topics that one core owns.
pub struct Topics {
    core: CoreId,
    cluster: Cluster,
    counters: Arc<Counters>,
    /// By shard number divided by cores.
    shards: Vec<Shard>,
    interest: Interest,
    retained: RetainedSlices,
    /// How many cores have a subscription that holds up a topic's publishers.
    blocked_by: HashMap<TopicId, u16>,
}

/// What became of a batch.
pub struct Ordered {
    /// The messages with their sequences; nothing if their topic was refused.
    pub slice: Option<Slice>,
    /// The other cores that want them.
    pub wanted_by: CoreSet,
    /// What their publishers are to be acknowledged.
    pub acks: Vec<Ack>,
    /// Publishers that want a notice if no subscription matches.
    pub requests: Vec<Requester>,
}

impl Topics {
    /// The topics of `core`.
    pub fn new(core: CoreId, cluster: Cluster, counters: Arc<Counters>) -> Topics {
        let shards = (0..cluster.shards)
            .map(ShardId)
            .filter(|shard| cluster.core_of(*shard) == core)
            .map(|shard| Shard::new(shard, cluster.clone(), counters.clone()))
            .collect();
        let (interest, retained) = (Interest::default(), RetainedSlices::default());
        Topics { core, cluster, counters, shards, interest, retained, blocked_by: HashMap::new() }
    }

    /// Applies other settings.
    pub fn reload(&mut self, settings: &Arc<Settings>, timers: &mut Timers) {
        let old_ns = self.idle_timeout_ns();
        self.cluster.settings = settings.clone();
        for shard in &mut self.shards {
            shard.reload(settings);
        }
        timers.shift_topics(old_ns, self.idle_timeout_ns());
    }

    /// Finds or makes a topic of this core; also returns the sequence its next message gets.
    pub fn open(&mut self, name: &Arc<str>) -> Result<(Arc<TopicName>, Sequence), TopicsFull> {
        let shard = self.cluster.shard_of_name(name);
        self.shard_mut(shard).open(name)
    }

    /// Gives the messages of a batch their sequences, the time, and their place in the log.
    pub fn order(&mut self, now: Now, timers: &mut Timers, mut batch: Batch) -> Ordered {
        let wants_ack = std::mem::take(&mut batch.acks);
        let requests = std::mem::take(&mut batch.requests);
        let messages = u64::from(batch.messages);
        let shard = self.cluster.shard_of(&batch.destination);
        let memory = &self.cluster.memory;
        // Not `shard_mut`: the topic is held while other fields are used.
        let shard = &mut self.shards[usize::from(shard.0 / self.cluster.cores)];
        let (slice, wanted_by, retained_before) = match shard.find(&batch.destination) {
            Found::Retained(topic) => {
                let slice = shard::stamp(&topic.name, topic.next_sequence, now, batch, memory);
                topic.next_sequence = slice.next();
                topic.published_bytes += slice.frames.len() as u64;
                topic.rate.add(now.monotonic_ns, slice.messages);
                let retained_before = topic.log.slices();
                topic.log.append(slice.clone(), &self.cluster.settings.queues);
                (slice, self.interest.wanted_by(topic), Some(retained_before))
            }
            Found::Ephemeral(name) => {
                let slice = shard::stamp(&name, Sequence(1), now, batch, memory);
                (slice, self.interest.wanted_by_name(&name.name), None)
            }
            Found::Refused => {
                self.counters.refused_messages.add(messages);
                let acks = acks(None, &wants_ack);
                return Ordered { slice: None, wanted_by: CoreSet::default(), acks, requests };
            }
        };
        self.counters.published_messages.add(messages);
        self.counters.published_bytes.add(slice.frames.len() as u64);
        if let Some(before) = retained_before {
            self.note_retained(now, timers, slice.topic.id, slice.first, before);
        }
        let acks = acks(Some(slice.first), &wants_ack);
        Ordered { slice: Some(slice), wanted_by, acks, requests }
    }

    /// Another core wants a pattern.
    pub fn announced(&mut self, core: CoreId, pattern: &str) {
        self.interest.add(core, pattern);
    }

    /// Another core wants a pattern no longer.
    pub fn withdrawn(&mut self, core: CoreId, pattern: &str) {
        self.interest.remove(core, pattern);
    }

    /// A core has begun or ceased to hold up a topic's publishers. Returns the topic if that
    /// changes whether they have to wait.
    pub fn block(&mut self, topic: TopicId, blocked: bool) -> Option<Arc<TopicName>> {
        let cores = self.blocked_by.entry(topic).or_default();
        let before = *cores;
        *cores = if blocked { before + 1 } else { before - 1 };
        let after = *cores;
        if after == 0 {
            self.blocked_by.remove(&topic);
        }
        if before.min(after) > 0 {
            return None;
        }
        match blocked {
            true => self.counters.blocked_topics.add(1),
            false => self.counters.blocked_topics.sub(1),
        }
        Some(self.topic_mut(topic).name.clone())
    }

    /// Whether publishers of a topic have to wait.
    pub fn is_blocked(&self, topic: TopicId) -> bool {
        self.blocked_by.contains_key(&topic)
    }

    /// All topics of this core.
    pub fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.shards.iter().flat_map(|shard| shard.all())
    }

    /// Places to look at for topics, in the order of ids; not all of them have one.
    pub fn places(&self) -> usize {
        let longest = self.shards.iter().map(|shard| shard.topics_len()).max();
        longest.unwrap_or(0) * self.shards.len()
    }

    /// The topic in a place, if there is one.
    pub fn at(&self, place: usize) -> Option<&Topic> {
        let shards = self.shards.len();
        self.shards[place % shards].topic_at(place / shards)
    }

    /// The topic of a name, if it was made.
    pub fn find(&self, name: &str) -> Option<&Topic> {
        let shard = self.cluster.shard_of_name(name);
        // A core may be asked for names that others own: it has none of them.
        self.shards.get(usize::from(shard.0 / self.cluster.cores))?.topic_of(name)
    }

    fn topic_mut(&mut self, topic: TopicId) -> &mut Topic {
        let shard = self.cluster.shard_of_id(topic);
        self.shard_mut(shard).topic_mut(topic)
    }

    fn shard_mut(&mut self, shard: ShardId) -> &mut Shard {
        &mut self.shards[usize::from(shard.0 / self.cluster.cores)]
    }
}

fn acks(first: Option<Sequence>, wants_ack: &[WantsAck]) -> Vec<Ack> {
    let ack = |wants: &WantsAck| Ack {
        connection: wants.connection,
        publish_id: wants.publish_id,
        first: first.map(|first| first.plus(u64::from(wants.messages_before))),
        messages: wants.messages,
    };
    wants_ack.iter().map(ack).collect()
}
