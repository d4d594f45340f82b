//! Ingest: gathers what one turn brings for each topic, so that the rest of the path costs a few
//! instructions per batch, not per message.
//!
//! Filled by the frontends, emptied by `turn` into shards and mesh messages. A frame is copied
//! once, from the receive buffer into a batch; later stages only refer to the bytes.
//!
//! # Always true
//! - Frames of one connection for one topic leave in the order of their arrival.
//! - A batch has frames of one topic, one turn and one TTL, so its messages expire together.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use hashbrown::HashMap;

use crate::broker::clock::Now;
use crate::broker::ids::ConnectionId;
use crate::broker::message::{Batch, Destination, NotTo, WantsAck};
use crate::broker::pattern;
use crate::config::Settings;
use crate::limits::{INGEST_BATCH_BYTES_MAX, INGEST_BYTES_PER_TURN};
use crate::protocol::TopicId;
use crate::protocol::name::is_literal;

/// The batch that the last message of a connection went to, of those published by name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    turn: u64,
    batch: usize,
}

fn name_of(batch: &Batch) -> Arc<str> {
    match &batch.destination {
        Destination::Name(name) | Destination::Opened(name) | Destination::Ephemeral(name) => {
            name.clone()
        }
        Destination::Topic(_) => unreachable!("the batch has an id, not a name"),
    }
}

/// What a batch must match for frames to join it.
struct Wants {
    now: Now,
    ttl_ms: u32,
    messages: u32,
    len: usize,
    not_to: Option<Arc<NotTo>>,
}

/// The batches of this turn.
pub struct Ingest {
    batches: Vec<Batch>,
    /// Batches of an earlier turn that are still to be handed out, before any of this one.
    left: VecDeque<Batch>,
    /// Number of the turn, from 1: a default `Place` belongs to no turn.
    turn: u64,
    /// The batch that each topic's next frame may join.
    open: HashMap<TopicId, usize>,
    /// The batch that the next message to each name may join.
    open_names: HashMap<Arc<str>, usize>,
    /// The batch of the last frame, which most often is the batch of the next one too.
    last: Option<(TopicId, usize)>,
    messages: u32,
    bytes: usize,
    messages_max: u32,
    batch_messages_max: u32,
}

/// A closed batch is copied to free its unused memory if that is more than this, and more than half
/// of what is used: a slow subscriber may hold the batch for long.
const UNUSED_MAX: usize = 1_024;

impl Ingest {
    /// No batches yet. The bounds follow from those of queues, see [`messages_per_turn`].
    pub fn new(settings: &Settings) -> Ingest {
        Ingest {
            batches: Vec::new(),
            left: VecDeque::new(),
            turn: 1,
            open: HashMap::new(),
            open_names: HashMap::new(),
            last: None,
            messages: 0,
            bytes: 0,
            messages_max: messages_per_turn(settings),
            batch_messages_max: settings.delivery.max_batch,
        }
    }

    /// Applies other settings. The bound of a turn never rises: existing queues keep their bounds,
    /// and a turn must stay a part of those.
    pub fn reload(&mut self, settings: &Settings) {
        self.messages_max = self.messages_max.min(messages_per_turn(settings));
        self.batch_messages_max = settings.delivery.max_batch;
    }

    /// The most messages of one turn.
    pub fn messages_max(&self) -> u32 {
        self.messages_max
    }

    /// Whether this turn accepts more frames. None while batches are left: whoever waits until those are
    /// handed out waits for nothing that came later.
    pub fn has_room(&self) -> bool {
        self.left.is_empty()
            && self.messages < self.messages_max
            && self.bytes < INGEST_BYTES_PER_TURN
    }

    /// Whether more than half of that is left.
    pub fn is_half_empty(&self) -> bool {
        self.left.is_empty()
            && self.messages < self.messages_max.div_ceil(2)
            && self.bytes < INGEST_BYTES_PER_TURN / 2
    }

    /// Messages of this turn so far.
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// The most messages and bytes of the next run of frames, unless the run is one frame: what is
    /// left of this turn and of the batch that was filled last.
    pub fn room(&self) -> (u32, usize) {
        let (mut messages, mut bytes) = (self.batch_messages_max, INGEST_BATCH_BYTES_MAX);
        if let Some((_, index)) = self.last
            && self.batches[index].messages < messages
        {
            messages -= self.batches[index].messages;
            bytes = bytes.saturating_sub(self.batches[index].frames.len());
        }
        (messages.min(self.messages_max.saturating_sub(self.messages)), bytes)
    }

    /// Copies a run of frames into its topic's batch. Their publisher may want an ACK: then with its
    /// publish id, and what it calls the topic.
    pub fn add(
        &mut self,
        now: Now,
        destination: Destination,
        ttl_ms: u32,
        messages: u32,
        frame: &[u8],
        (publisher, ack): (ConnectionId, Option<(u64, u32)>),
    ) {
        self.messages += messages;
        self.bytes += frame.len();
        let wants = Wants { now, ttl_ms, messages, len: frame.len(), not_to: None };
        let open = match &destination {
            Destination::Topic(topic) => match self.last {
                Some((last, index)) if last == *topic => Some(index),
                _ => self.open.get(topic).copied(),
            },
            Destination::Opened(_) | Destination::Ephemeral(_) => None,
            Destination::Name(_) => unreachable!("`for_name` takes these"),
        };
        let index = match open {
            Some(index) if self.joins(index, &wants) => index,
            _ => {
                let index = self.batches.len();
                match &destination {
                    Destination::Topic(topic) => drop(self.open.insert(*topic, index)),
                    // A topic may have one batch by its name and another by its id: what follows
                    // under the id must not overtake this one.
                    _ => self.close_batches(),
                }
                self.begin(destination.clone(), wants, open)
            }
        };
        if let Destination::Topic(topic) = destination {
            self.last = Some((topic, index));
        }
        let batch = &mut self.batches[index];
        batch.acks.extend(ack.map(|(publish_id, topic)| WantsAck {
            connection: publisher,
            publish_id,
            topic,
            messages_before: batch.messages,
            messages,
        }));
        let is_by_id = matches!(batch.destination, Destination::Topic(_));
        if is_by_id && batch.publishers.last() != Some(&publisher) {
            batch.publishers.push(publisher);
        }
        batch.messages += messages;
        batch.frames.extend_from_slice(frame);
    }

    /// The batch for a message that is published by name; the caller appends a frame of `len` bytes
    /// and counts it. `place` is the batch of the connection's last message: a message never joins
    /// an earlier batch, so messages of one connection stay in order, also over several names.
    pub fn for_name(
        &mut self,
        now: Now,
        name: &str,
        ttl_ms: u32,
        not_to: Option<Arc<NotTo>>,
        len: usize,
        place: &mut Place,
    ) -> &mut Batch {
        self.messages += 1;
        self.bytes += len;
        let is_of_name = |index: &usize| match &self.batches[*index].destination {
            Destination::Name(other) => **other == *name,
            _ => false,
        };
        let open = match Some(place.batch).filter(|_| place.turn == self.turn) {
            Some(index) if is_of_name(&index) => Some(index),
            floor => {
                let open = self.open_names.get(name).copied();
                open.filter(|index| floor.is_none_or(|floor| floor < *index))
            }
        };
        let wants = Wants { now, ttl_ms, messages: 1, len, not_to };
        let index = match open {
            Some(index) if self.joins(index, &wants) => index,
            _ => {
                let name: Arc<str> = match open {
                    Some(index) => name_of(&self.batches[index]),
                    None => name.into(),
                };
                self.open_names.insert(name.clone(), self.batches.len());
                self.begin(Destination::Name(name), wants, open)
            }
        };
        *place = Place { turn: self.turn, batch: index };
        &mut self.batches[index]
    }

    /// Appends a frame to the batch of a connection's last message by name, if the name is the same
    /// and there is room. `append` returns whether it appended.
    pub fn append_to_last(
        &mut self,
        now: Now,
        place: Place,
        name: &[u8],
        len: usize,
        append: impl FnOnce(&mut BytesMut) -> bool,
    ) -> bool {
        if place.turn != self.turn || !self.has_room() {
            return false;
        }
        let batch = &mut self.batches[place.batch];
        let Destination::Name(last) = &batch.destination else { return false };
        let joins = last.as_bytes() == name
            && batch.messages < self.batch_messages_max
            && batch.frames.len() + len <= INGEST_BATCH_BYTES_MAX
            && batch.received_ns == now.monotonic_ns;
        if !joins || !append(&mut batch.frames) {
            return false;
        }
        batch.messages += 1;
        self.messages += 1;
        self.bytes += len;
        true
    }

    fn joins(&self, index: usize, wants: &Wants) -> bool {
        let batch = &self.batches[index];
        batch.messages + wants.messages <= self.batch_messages_max
            && batch.frames.len() + wants.len <= INGEST_BATCH_BYTES_MAX
            && batch.ttl_ms == wants.ttl_ms
            && batch.received_ns == wants.now.monotonic_ns
            && batch.not_to == wants.not_to
    }

    /// Begins a batch. `full` is a batch of the same topic that had no room.
    fn begin(&mut self, destination: Destination, wants: Wants, full: Option<usize>) -> usize {
        // If one batch filled up, the next may fill up as well.
        let room = full.map_or(0, |index| self.batches[index].frames.len());
        self.batches.push(Batch {
            destination,
            ttl_ms: wants.ttl_ms,
            received_ns: wants.now.monotonic_ns,
            messages: 0,
            frames: BytesMut::with_capacity(wants.len.max(room)),
            acks: Vec::new(),
            requests: Vec::new(),
            publishers: Vec::new(),
            not_to: wants.not_to,
        });
        self.batches.len() - 1
    }

    /// Closes all batches, so that no frame joins them.
    pub fn close_batches(&mut self) {
        self.open.clear();
        self.last = None;
    }

    /// Whether a pattern matches the name or the reply of some message by name of this turn.
    pub fn concerns(&self, pattern: &str) -> bool {
        // Most patterns are literal, and there may be many requests.
        let is_literal = is_literal(pattern);
        let matches = |name: &str| match is_literal {
            true => pattern == name,
            false => pattern::selects(pattern, name),
        };
        self.left.iter().chain(&self.batches).any(|batch| match &batch.destination {
            Destination::Name(name) => {
                matches(name) || batch.requests.iter().any(|request| matches(&request.reply))
            }
            _ => false,
        })
    }

    /// Whether this turn has no batches.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.left.is_empty()
    }

    /// Begins to hand out the batches of this turn, in the order of their first frames, unless some of an
    /// earlier turn are left.
    pub fn begin_hand_out(&mut self) {
        if self.left.is_empty() {
            self.left = self.take().into();
        }
    }

    /// Removes the next batch to hand out.
    pub fn take_next(&mut self) -> Option<Batch> {
        self.left.pop_front()
    }

    /// Whether batches are left that were not handed out.
    pub fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    fn take(&mut self) -> Vec<Batch> {
        self.close_batches();
        self.open_names.clear();
        self.turn += 1;
        // A message whose headers are too long leaves its batch empty.
        self.batches.retain(|batch| batch.messages > 0);
        self.messages = 0;
        self.bytes = 0;
        for batch in &mut self.batches {
            let used = batch.frames.len();
            if batch.frames.capacity() - used > UNUSED_MAX.max(used / 2) {
                batch.frames = BytesMut::from(&batch.frames[..]);
            }
        }
        std::mem::take(&mut self.batches)
    }
}

/// The most messages that a core accepts between two flushes, from its connections and again from
/// the mesh: a quarter of a queue, so that one turn cannot overflow the queue of a subscriber that
/// reads.
pub fn messages_per_turn(settings: &Settings) -> u32 {
    (settings.subscriber_capacity_min() / 4).max(1)
}

#[cfg(test)]
mod tests;
