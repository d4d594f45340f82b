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
mod replies;
mod retained;
mod shard;
mod topic;

use std::sync::Arc;

use hashbrown::HashMap;

use crate::broker::clock::Now;
use crate::broker::cluster::{Cluster, CoreSet};
use crate::broker::counters::Counters;
use crate::broker::ids::ConnectionId;
use crate::broker::message::{Ack, Batch, Destination, Requester, Slice, TopicName, WantsAck};
use crate::broker::timers::Timers;
use crate::config::Settings;
use crate::protocol::{CoreId, Sequence, ShardId, TopicId};

use interest::Interest;
pub use log::{Log, Retained};
pub use replies::ReplyName;
use replies::ReplyNames;
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
    /// Names that are no topics.
    replies: ReplyNames,
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
    /// Publishers that used the id of a topic which was removed.
    pub removed: Option<Removed>,
}

/// The id of a removed topic, and who published under it.
#[derive(Debug)]
pub struct Removed {
    /// The id.
    pub topic: TopicId,
    /// On the core that took the messages in.
    pub publishers: Vec<ConnectionId>,
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
        let (replies, blocked_by) = (ReplyNames::default(), HashMap::new());
        Topics { core, cluster, counters, shards, interest, retained, replies, blocked_by }
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

    /// Finds or makes a topic of this core, unless the name is one for answers, which is ephemeral; also
    /// returns the sequence its next message gets.
    pub fn open(
        &mut self,
        now: Now,
        timers: &mut Timers,
        name: &Arc<str>,
    ) -> Result<(Arc<TopicName>, Sequence), TopicsFull> {
        let id = self.cluster.shard_of_name(name);
        let shard = &mut self.shards[usize::from(id.0 / self.cluster.cores)];
        let opened = shard.open(now, name, &self.replies);
        self.watch_made(now, timers, id);
        opened
    }

    /// Whether other cores want what is published to a topic.
    pub fn is_wanted_elsewhere(&self, topic: &str) -> bool {
        self.interest.wanted_by_name(topic) != CoreSet::default()
    }

    /// Notes the name for an answer.
    pub fn note_reply(&mut self, now: Now, name: ReplyName) {
        self.replies.note(now, name);
    }

    /// Gives the messages of a batch their sequences, the time, and their place in the log.
    pub fn order(&mut self, now: Now, timers: &mut Timers, mut batch: Batch) -> Ordered {
        let wants_ack = std::mem::take(&mut batch.acks);
        let requests = std::mem::take(&mut batch.requests);
        let messages = u64::from(batch.messages);
        let publishers = std::mem::take(&mut batch.publishers);
        let id = self.cluster.shard_of(&batch.destination);
        let memory = &self.cluster.memory;
        // Not `shard_mut`: the topic is held while other fields are used.
        let shard = &mut self.shards[usize::from(id.0 / self.cluster.cores)];
        let (slice, wanted_by, retained) = match shard.find(now, &batch.destination, &self.replies)
        {
            Found::Retained(topic) => {
                let slice = shard::stamp(&topic.name, topic.next_sequence, now, batch, memory);
                topic.next_sequence = slice.next();
                topic.published_bytes += slice.frames.len() as u64;
                topic.rate.add(now.monotonic_ns, slice.messages);
                topic.used_ns = now.monotonic_ns;
                let before = topic.log.slices();
                topic.log.append(slice.clone(), &self.cluster.settings.queues);
                let retained = (before, topic.log.slices());
                (slice, self.interest.wanted_by(topic), Some(retained))
            }
            Found::Ephemeral(name) => {
                let slice = shard::stamp(&name, Sequence(1), now, batch, memory);
                (slice, self.interest.wanted_by_name(&name.name), None)
            }
            Found::Removed | Found::Refused => {
                self.counters.refused_messages.add(messages);
                let acks = acks(None, &wants_ack);
                let removed = match batch.destination {
                    Destination::Topic(topic) => Some(Removed { topic, publishers }),
                    _ => None,
                };
                let wanted_by = CoreSet::default();
                return Ordered { slice: None, wanted_by, acks, requests, removed };
            }
        };
        self.counters.published_messages.add(messages);
        self.counters.published_bytes.add(slice.frames.len() as u64);
        if let Some((before, after)) = retained {
            self.watch_made(now, timers, id);
            self.note_retained(slice.topic.id, slice.first, before, after);
        }
        let acks = acks(Some(slice.first), &wants_ack);
        Ordered { slice: Some(slice), wanted_by, acks, requests, removed: None }
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
        Some(self.topic_mut(topic).expect("a blocked topic is not removed").name.clone())
    }

    /// Whether publishers of a topic have to wait.
    pub fn is_blocked(&self, topic: TopicId) -> bool {
        self.blocked_by.contains_key(&topic)
    }

    /// All topics of this core.
    pub fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.shards.iter().flat_map(|shard| shard.all())
    }

    /// The first topic in this place or a later one. Places are in the order of shards and ids.
    pub fn from_place(&self, place: usize) -> Option<(usize, &Topic)> {
        let (mut shard, mut number) = (place >> 32, place as u32);
        while let Some(here) = self.shards.get(shard) {
            if let Some((number, topic)) = here.topic_from(number) {
                return Some((shard << 32 | number as usize, topic));
            }
            (shard, number) = (shard + 1, 0);
        }
        None
    }

    /// The topic in a place, if it was not removed.
    pub fn at(&self, place: usize) -> Option<&Topic> {
        self.from_place(place).filter(|(found, _)| *found == place).map(|(_, topic)| topic)
    }

    /// The topic of a name, if it was made.
    pub fn find(&self, name: &str) -> Option<&Topic> {
        let shard = self.cluster.shard_of_name(name);
        // A core may be asked for names that others own: it has none of them.
        self.shards.get(usize::from(shard.0 / self.cluster.cores))?.topic_of(name)
    }

    fn topic_mut(&mut self, topic: TopicId) -> Option<&mut Topic> {
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
        topic: wants.topic,
        first: first.map(|first| first.plus(u64::from(wants.messages_before))),
        messages: wants.messages,
    };
    wants_ack.iter().map(ack).collect()
}
