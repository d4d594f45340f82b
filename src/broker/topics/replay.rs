//! Answers to subscriptions that do not start live: what topics retain for a pattern.
//!
//! A literal name is looked up. For a pattern the topics of the core are walked, so many a turn,
//! shard by shard: each partial answer says how far the walk is, so that what is accepted later for
//! the topics behind it can come as to everybody.
//!
//! # Always true
//! - A part of an answer looks at no more than [`Cluster::replay_topics_per_turn`] topics, however many
//!   there are, and a turn continues one walk.
//! - Subscriptions of one connection are answered in the order in which they asked: a topic that has
//!   come to one of them stays with it, so none may come to a topic before an earlier one. Connections
//!   take turns.
//! - Nothing lies between a topic's answer and the messages that follow it to the same core:
//!   answers and slices take the same lane.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::Topics;
use super::log::Retained;
use crate::broker::cluster::Cluster;
use crate::broker::ids::ConnectionId;
use crate::broker::message::TopicName;
use crate::broker::pattern;
use crate::protocol::name::is_literal;
use crate::protocol::{CoreId, ShardId, Start, TopicId};

/// Frame bytes after which a partial answer ends: they are references, and the mesh counts them.
const ANSWER_BYTES: u64 = 1 << 20;

/// What one topic retains for a subscription.
#[derive(Debug)]
pub struct Replay {
    /// The topic.
    pub topic: Arc<TopicName>,
    /// Up to the next message.
    pub retained: Retained,
    /// Whether older messages were asked for than are retained, so that they are missed.
    pub misses: bool,
}

/// How far a walk is: everything before has been answered. Topics made later in a shard that was
/// walked need no answer, since all their messages are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Progress {
    shard: ShardId,
    /// In the order in which the topics of the shard were made.
    index: u32,
}

impl Progress {
    const BEGIN: Progress = Progress { shard: ShardId(0), index: 0 };

    /// Whether a topic has been answered.
    pub fn has_passed(self, cluster: &Cluster, topic: TopicId) -> bool {
        let shard = cluster.shard_of_id(topic);
        let index = (topic.0 - 1) / u32::from(cluster.shards);
        Progress { shard, index } < self
    }
}

/// A connection of some core.
pub type Asker = (CoreId, ConnectionId);

/// A subscription that waits for what topics retain; `W` identifies it.
#[derive(Debug)]
struct Walk<W> {
    waiter: W,
    pattern: Arc<str>,
    start: Start,
    next: Progress,
}

/// The replays under way on a core.
#[derive(Debug)]
pub struct Replays<W> {
    /// In the order in which the subscriptions of each connection asked.
    walks: HashMap<Asker, VecDeque<Walk<W>>>,
    /// Connections with walks, in turn.
    turns: VecDeque<Asker>,
}

/// A part of the answer to one subscription.
#[derive(Debug)]
pub struct Answer<W> {
    /// The core of the subscription.
    pub core: CoreId,
    /// The subscription.
    pub waiter: W,
    /// What topics retain for it.
    pub replays: Vec<Replay>,
    /// How far the walk is; `None` at its end.
    pub progress: Option<Progress>,
}

impl<W> Default for Replays<W> {
    fn default() -> Replays<W> {
        Replays { walks: HashMap::new(), turns: VecDeque::new() }
    }
}

impl<W: Copy> Replays<W> {
    /// Whether there is more to walk.
    pub fn are_under_way(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Begins to answer a subscription of a connection, and returns the first part, unless earlier
    /// subscriptions of the connection have to be answered before.
    pub fn begin(
        &mut self,
        topics: &Topics,
        asker: Asker,
        waiter: W,
        pattern: Arc<str>,
        start: Start,
    ) -> Option<Answer<W>> {
        let walk = Walk { waiter, pattern, start, next: Progress::BEGIN };
        if let Some(walks) = self.walks.get_mut(&asker) {
            walks.push_back(walk);
            return None;
        }
        let (answer, walk) = answer(topics, asker.0, walk);
        if let Some(walk) = walk {
            self.walks.insert(asker, VecDeque::from([walk]));
            self.turns.push_back(asker);
        }
        Some(answer)
    }

    /// Returns the next part of an answer, for the connection that has waited longest.
    pub fn go_on(&mut self, topics: &Topics) -> Option<Answer<W>> {
        let asker = self.turns.pop_front()?;
        let walks = self.walks.get_mut(&asker).expect("a connection with walks has its turn");
        let walk = walks.pop_front().expect("a connection without walks is not listed");
        let (answer, walk) = answer(topics, asker.0, walk);
        if let Some(walk) = walk {
            walks.push_front(walk);
        }
        if walks.is_empty() {
            self.walks.remove(&asker);
        } else {
            self.turns.push_back(asker);
        }
        Some(answer)
    }
}

/// The next part of an answer, and the walk if it is not at its end.
fn answer<W: Copy>(
    topics: &Topics,
    core: CoreId,
    mut walk: Walk<W>,
) -> (Answer<W>, Option<Walk<W>>) {
    let mut replays = Vec::new();
    let Walk { waiter, start, .. } = walk;
    if is_literal(&walk.pattern) {
        replays.extend(topics.find(&walk.pattern).and_then(|topic| replay(topic, start)));
        return (Answer { core, waiter, replays, progress: None }, None);
    }
    let (mut looked_at, mut bytes) = (0, 0);
    let begin = walk.next.shard;
    for shard in topics.shards.iter().filter(|shard| shard.number() >= begin) {
        if shard.number() > walk.next.shard {
            walk.next = Progress { shard: shard.number(), index: 0 };
        }
        while let Some((number, topic)) = shard.topic_from(walk.next.index) {
            if looked_at == topics.cluster.replay_topics_per_turn || bytes >= ANSWER_BYTES {
                let progress = Some(walk.next);
                return (Answer { core, waiter, replays, progress }, Some(walk));
            }
            looked_at += 1;
            walk.next.index = number + 1;
            if pattern::matches(&walk.pattern, &topic.name.name)
                && let Some(replay) = replay(topic, start)
            {
                bytes += replay.retained.bytes();
                replays.push(replay);
            }
        }
    }
    (Answer { core, waiter, replays, progress: None }, None)
}

/// What a topic has for a start; nothing if all of it is to come.
fn replay(topic: &super::Topic, start: Start) -> Option<Replay> {
    let retained = topic.log.since(start, topic.next_sequence);
    let misses = matches!(start, Start::Sequence(_));
    (retained.from < retained.next).then(|| Replay { topic: topic.name.clone(), retained, misses })
}
