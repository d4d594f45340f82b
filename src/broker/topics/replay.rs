//! Answers to subscriptions that do not start live: what topics retain for a pattern.
//!
//! A literal name is looked up. For a pattern the topics of the core are walked, so many a turn,
//! shard by shard: each partial answer says how far the walk is, so that what is accepted later for
//! the topics behind it can come as to everybody.
//!
//! # Always true
//! - All answers of a turn together look at no more than [`Cluster::replay_topics_per_turn`] topics,
//!   however many there are, and however many subscriptions ask. What is not answered in the turn in
//!   which it was asked waits for its turn.
//! - Subscriptions of one connection are answered in the order in which they asked: a topic that has
//!   come to one of them stays with it, so none may come to a topic before an earlier one. Connections
//!   take turns.
//! - What a subscription is answered is references to the log, which hold memory until they are sent.
//!   So no walk of a connection begins while [`Cluster::replay_unsent_max`] of them are under way to
//!   it: until then the walk is a position, and the subscription waits.
//! - Nothing lies between a topic's answer and the messages that follow it to the same core:
//!   answers and slices take the same lane.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Topics;
use super::log::Retained;
use crate::broker::cluster::Cluster;
use crate::broker::ids::ConnectionId;
use crate::broker::message::TopicName;
use crate::broker::pattern;
use crate::protocol::name::is_literal;
use crate::protocol::{CoreId, ShardId, Start, TopicId};

/// Frame bytes after which the answers of a turn end: they are references, and the mesh counts them.
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

/// The replays of one connection.
#[derive(Debug)]
struct OfAsker<W> {
    /// In the order in which the subscriptions asked.
    walks: VecDeque<Walk<W>>,
    /// Slices that the connection was answered with and has not been sent.
    unsent: u64,
    /// It has a walk that may go on, and its turn for that.
    has_turn: bool,
}

impl<W> OfAsker<W> {
    /// Whether the first walk may go on: one that has begun is finished whatever is unsent, because its
    /// subscription is sent nothing before.
    fn may_go_on(&self, unsent_max: u64) -> bool {
        let has_begun = |walk: &Walk<W>| walk.next > Progress::BEGIN;
        self.walks.front().is_some_and(|walk| has_begun(walk) || self.unsent < unsent_max)
    }
}

/// The replays under way on a core.
#[derive(Debug)]
pub struct Replays<W> {
    of: BTreeMap<Asker, OfAsker<W>>,
    /// Connections with walks that may go on, in turn; some of them may be gone.
    turns: VecDeque<Asker>,
    /// Walks that have not ended, of all connections.
    walks: usize,
    /// Slices that may be under way to a connection when a walk of it begins.
    unsent_max: u64,
    /// Walks of connections that are gone, which are dropped some a turn.
    forgotten: Vec<VecDeque<Walk<W>>>,
    left: Left,
}

/// What the answers of this turn may still be.
#[derive(Debug, Default)]
struct Left {
    topics: usize,
    bytes: u64,
    /// Topics that were looked at.
    looked_at: usize,
}

impl Left {
    fn is_any(&self) -> bool {
        self.topics > 0 && self.bytes > 0
    }
}

/// A part of the answer to one subscription.
#[derive(Debug)]
pub struct Answer<W> {
    /// The connection of the subscription.
    pub asker: Asker,
    /// The subscription.
    pub waiter: W,
    /// What topics retain for it.
    pub replays: Vec<Replay>,
    /// How far the walk is; `None` at its end.
    pub progress: Option<Progress>,
}

impl<W> Default for Replays<W> {
    fn default() -> Replays<W> {
        Replays {
            of: BTreeMap::new(),
            turns: VecDeque::new(),
            walks: 0,
            unsent_max: 0,
            forgotten: Vec::new(),
            left: Left::default(),
        }
    }
}

impl<W: Copy> Replays<W> {
    /// Whether there is more to do at once.
    pub fn are_under_way(&self) -> bool {
        !self.turns.is_empty() || !self.forgotten.is_empty()
    }

    /// Whether every subscription was answered in full.
    pub fn are_over(&self) -> bool {
        self.walks == 0
    }

    /// Begins a turn: its answers may look at so many topics. Walks begin for connections that have
    /// been sent all but so many of the slices they were answered with.
    pub fn begin_turn(&mut self, topics_max: usize, unsent_max: u64) {
        if std::mem::replace(&mut self.unsent_max, unsent_max) < unsent_max {
            let waiting: Vec<Asker> = self.of.keys().copied().collect();
            waiting.into_iter().for_each(|asker| self.put_back(asker));
        }
        self.left = Left { topics: topics_max, bytes: ANSWER_BYTES, looked_at: 0 };
        if let Some(walks) = self.forgotten.last_mut() {
            walks.truncate(walks.len().saturating_sub(topics_max));
            if walks.is_empty() {
                self.forgotten.pop();
            }
        }
    }

    /// Topics that were looked at since the turn began.
    pub fn looked_at(&self) -> usize {
        self.left.looked_at
    }

    /// Forgets what a connection has asked for: it is gone, or wants nothing more.
    pub fn forget(&mut self, asker: Asker) {
        if let Some(of) = self.of.remove(&asker) {
            self.walks -= of.walks.len();
            if !of.walks.is_empty() {
                self.forgotten.push(of.walks);
            }
        }
    }

    /// A connection was sent so many of the slices that it was answered with.
    pub fn sent(&mut self, asker: Asker, slices: u64) {
        // It may have been forgotten since.
        let Some(of) = self.of.get_mut(&asker) else { return };
        of.unsent -= slices;
        self.put_back(asker);
    }

    /// Gives a connection its turn if its first walk may go on, and forgets one without anything.
    fn put_back(&mut self, asker: Asker) {
        let of = self.of.get_mut(&asker).expect("the connection has asked");
        if !of.has_turn && of.may_go_on(self.unsent_max) {
            of.has_turn = true;
            self.turns.push_back(asker);
        } else if of.walks.is_empty() && of.unsent == 0 {
            self.of.remove(&asker);
        }
    }

    /// Begins to answer a subscription of a connection, and returns the first part, unless earlier
    /// subscriptions of the connection have to be answered before, or this turn answers no more.
    pub fn begin(
        &mut self,
        topics: &Topics,
        asker: Asker,
        waiter: W,
        pattern: Arc<str>,
        start: Start,
    ) -> Option<Answer<W>> {
        let walk = Walk { waiter, pattern, start, next: Progress::BEGIN };
        let new = || OfAsker { walks: VecDeque::new(), unsent: 0, has_turn: false };
        let of = self.of.entry(asker).or_insert_with(new);
        let is_first = of.walks.is_empty();
        of.walks.push_back(walk);
        self.walks += 1;
        if is_first && self.left.is_any() && of.may_go_on(self.unsent_max) {
            return self.answer_next(topics, asker);
        }
        self.put_back(asker);
        None
    }

    /// Returns the next part of an answer, for the connection that has waited longest; nothing if this
    /// turn answers no more.
    pub fn go_on(&mut self, topics: &Topics) -> Option<Answer<W>> {
        while self.left.is_any() {
            let asker = self.turns.pop_front()?;
            // It may have been forgotten since.
            let Some(of) = self.of.get_mut(&asker) else { continue };
            of.has_turn = false;
            if of.may_go_on(self.unsent_max) {
                return self.answer_next(topics, asker);
            }
        }
        None
    }

    /// Goes on with the first walk of a connection.
    fn answer_next(&mut self, topics: &Topics, asker: Asker) -> Option<Answer<W>> {
        let of = self.of.get_mut(&asker)?;
        let walk = of.walks.pop_front()?;
        let (answer, walk) = answer(topics, &mut self.left, asker, walk);
        of.unsent += slices_of(&answer.replays);
        match walk {
            Some(walk) => of.walks.push_front(walk),
            None => self.walks -= 1,
        }
        self.put_back(asker);
        Some(answer)
    }
}

/// How many slices are answered.
pub fn slices_of(replays: &[Replay]) -> u64 {
    replays.iter().map(|replay| replay.retained.slices.len() as u64).sum()
}

/// The next part of an answer, and the walk if it is not at its end.
fn answer<W: Copy>(
    topics: &Topics,
    left: &mut Left,
    asker: Asker,
    mut walk: Walk<W>,
) -> (Answer<W>, Option<Walk<W>>) {
    let mut replays = Vec::new();
    let Walk { waiter, start, .. } = walk;
    if is_literal(&walk.pattern) {
        replays.extend(topics.find(&walk.pattern).and_then(|topic| replay(topic, start)));
        left.topics = left.topics.saturating_sub(1);
        left.looked_at += 1;
        let bytes = replays.iter().map(|replay| replay.retained.bytes()).sum();
        left.bytes = left.bytes.saturating_sub(bytes);
        return (Answer { asker, waiter, replays, progress: None }, None);
    }
    let begin = walk.next.shard;
    for shard in topics.shards.iter().filter(|shard| shard.number() >= begin) {
        if shard.number() > walk.next.shard {
            walk.next = Progress { shard: shard.number(), index: 0 };
        }
        while let Some((number, topic)) = shard.topic_from(walk.next.index) {
            if !left.is_any() {
                let progress = Some(walk.next);
                return (Answer { asker, waiter, replays, progress }, Some(walk));
            }
            left.topics -= 1;
            left.looked_at += 1;
            walk.next.index = number + 1;
            if pattern::matches(&walk.pattern, &topic.name.name)
                && let Some(replay) = replay(topic, start)
            {
                left.bytes = left.bytes.saturating_sub(replay.retained.bytes());
                replays.push(replay);
            }
        }
    }
    (Answer { asker, waiter, replays, progress: None }, None)
}

/// What a topic has for a start; nothing if all of it is to come.
fn replay(topic: &super::Topic, start: Start) -> Option<Replay> {
    let retained = topic.log.since(start, topic.next_sequence);
    let misses = matches!(start, Start::Sequence(_));
    (retained.from < retained.next).then(|| Replay { topic: topic.name.clone(), retained, misses })
}
