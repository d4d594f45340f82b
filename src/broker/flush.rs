//! What is queued for a connection becomes one vectored send.
//!
//! Called once per turn for each connection that has something to send and a free socket. Last
//! step of every message's path.
//!
//! # Always true
//! - Answers come before messages, a TOPIC before the first message of its topic, and a GAP before
//!   any message behind what is missing.
//! - A message that has expired is not sent; a GAP says so in its place.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::gaps::Gap;
use super::memory::Memory;
use super::nats::missed::Missed;
use super::portion::Portion;
use super::queue::Entry;
use super::session::Session;
use super::subscriptions::{State, Subscription};
use super::topic::TopicName;
use super::{Broker, ConnectionId, Now};
use crate::limits::{SEND_BYTES_MAX, SEND_RANGES_MAX, TOPIC_ID_MAX};
use crate::protocol::{GapReason, RequestId, Sequence, TopicId, encode, messages};

/// The send of one connection, as it is put together.
pub(super) struct Gather<'a> {
    pub(super) out: &'a mut Vec<Bytes>,
    /// Answers, TOPICs and GAPs that go before the next messages.
    pub(super) between: BytesMut,
    /// The last gap, not written yet: what follows may continue it.
    gap: Option<(TopicId, Gap)>,
    /// What NATS subscriptions missed, to be told on a subject.
    pub(super) missed: Vec<Missed>,
    pub(super) messages: u32,
    pub(super) bytes: usize,
}

/// Why no more of a subscription goes into a send.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HowFar {
    /// There is no room left.
    SendFull,
    /// The kept messages it asked for are in.
    Replayed,
    /// It has nothing left.
    Emptied,
}

impl Broker {
    /// Gathers up to `delivery.max_batch` messages of a connection into `out`, which stays empty
    /// when there is nothing to send. Else the caller sends it, and tells `sent` when that is done.
    pub fn gather(&mut self, now: Now, connection: ConnectionId, out: &mut Vec<Bytes>) {
        self.now = now;
        let slot = connection.slot;
        let messages_max = self.cluster.settings.delivery.max_batch;
        let session = self.sessions.get(slot);
        let between = std::mem::take(&mut session.answers);
        let mut gather =
            Gather { out, between, gap: None, missed: Vec::new(), messages: 0, bytes: 0 };
        let mut sent_all = Vec::new();
        let mut served = Vec::new();
        while let Some(&index) = session.to_send.front() {
            let entries = self.subscriptions.get(index).queue.entries();
            let before = self.subscriptions.get(index).queue.messages();
            let bytes_before = self.subscriptions.get(index).queue.bytes();
            let replays = self.subscriptions.get(index).queue.has_replay();
            let how_far = loop {
                let subscription = self.subscriptions.get(index);
                if replays && !subscription.queue.has_replay() {
                    break HowFar::Replayed;
                }
                let is_full = gather.messages >= messages_max
                    || gather.bytes >= SEND_BYTES_MAX
                    || gather.out.len() + 2 > SEND_RANGES_MAX;
                if is_full && !subscription.queue.is_empty() {
                    break HowFar::SendFull;
                }
                // What is addressed is copied: with no memory left, frame by frame.
                let is_addressed = session.nats.is_some()
                    || subscription.queue.replay_bytes() > 0
                    || subscription.group.is_some();
                let bytes_max = match is_addressed && self.cluster.memory.is_full() {
                    true => 0,
                    false => SEND_BYTES_MAX,
                };
                let entry = subscription.queue.take_next(
                    messages_max - gather.messages.min(messages_max),
                    bytes_max.saturating_sub(gather.bytes),
                    gather.messages == 0,
                );
                match entry {
                    None if subscription.queue.is_empty() => break HowFar::Emptied,
                    None => break HowFar::SendFull,
                    Some(Entry::Portion(portion)) if portion.is_expired(now) => {
                        let messages = u64::from(portion.messages);
                        self.counters.expired_in_queue_messages.add(messages);
                        subscription.lost.expired += messages;
                        session.lost_messages += messages;
                        let gap = portion.gap(GapReason::Expired);
                        gather.miss(session, subscription, &mut self.passing_ids, gap);
                    }
                    Some(Entry::Gap(gap)) => {
                        gather.miss(session, subscription, &mut self.passing_ids, gap);
                    }
                    Some(Entry::Portion(portion)) => {
                        let memory = &self.cluster.memory;
                        gather.messages += portion.messages;
                        subscription.delivered_messages += u64::from(portion.messages);
                        if !replays {
                            note_sent(&mut self.sent_since, &portion);
                        }
                        let bytes = match &session.nats {
                            Some(nats) => {
                                gather.put_between();
                                self.encodings.of(now, &portion, nats, subscription, memory)
                            }
                            None => {
                                let (topic, ids) = (&portion.topic, &mut self.passing_ids);
                                let told = gather.announce(session, ids, topic, portion.first);
                                gather.put_between();
                                addressed(portion, told, memory)
                            }
                        };
                        gather.bytes += bytes.len();
                        gather.out.push(bytes);
                    }
                }
            };
            let subscription = self.subscriptions.get(index);
            self.kept.count_entries(entries, subscription.queue.entries());
            let took = before - subscription.queue.messages();
            if !subscription.blocks.is_empty() || (subscription.group.is_some() && took > 0) {
                let took_bytes = bytes_before - subscription.queue.bytes();
                served.push((index, took as u32, took_bytes));
            }
            if how_far == HowFar::Replayed && !subscription.queue.is_empty() {
                // What is live has its place behind what others were given before.
                session.to_send.pop_front();
                session.list(&self.subscriptions, index);
            } else if how_far != HowFar::SendFull {
                session.to_send.pop_front();
                subscription.is_listed = false;
                if subscription.state == State::Ending && session.nats.is_none() {
                    gather.write_gap();
                    encode::unsubscribed(&mut gather.between, subscription.id);
                }
                if matches!(subscription.state, State::Ending | State::Closing) {
                    sent_all.push(index);
                }
            } else {
                // One that ends or has kept messages keeps its turn, the others take turns.
                if subscription.state == State::InForce && !subscription.queue.has_replay() {
                    session.to_send.rotate_left(1);
                }
                break;
            }
        }
        gather.put_between();
        let fence_is_over = gather.put_pongs(session, &self.subscriptions);
        let (messages, bytes) = (gather.messages, gather.bytes);
        let missed = gather.missed;
        for (index, took, took_bytes) in served {
            self.unblock_if_half_empty(index);
            self.took(index, took, took_bytes);
        }
        for index in sent_all {
            self.forget(slot, index);
        }
        self.tell_missed(now, slot, &missed);
        if fence_is_over {
            self.end_fence(slot);
        }
        if out.is_empty() {
            // It had only gaps that are told to nobody. Letters may wait, and no send wakes this core.
            self.sent_nothing = true;
            return self.finish_if_empty(slot);
        }
        let session = self.sessions.get(slot);
        session.in_flight = true;
        session.in_flight_messages = messages;
        session.in_flight_bytes = bytes;
        self.counters.flushes.add(1);
        self.counters.flushed_bytes.add(bytes as u64);
        self.counters.send_messages.record(u64::from(messages), 1);
        self.counters.send_bytes.record(bytes as u64, 1);
    }

    /// Counts how long ago the messages of the last turn's sends had arrived. Now and not then,
    /// because the kernel copies them at the end of the turn.
    pub(super) fn count_latencies(&mut self, now: Now) {
        for (received_ns, messages) in self.sent_since.drain(..) {
            let microseconds = now.monotonic_ns.saturating_sub(received_ns).div_ceil(1_000);
            self.counters.accept_to_send_us.record(microseconds, messages);
        }
    }
}

impl Gather<'_> {
    /// Puts what goes between messages where it belongs: before the next.
    pub(super) fn put_between(&mut self) {
        self.write_gap();
        if !self.between.is_empty() {
            self.bytes += self.between.len();
            self.out.push(self.between.split().freeze());
        }
    }

    /// Messages that a subscription does not get.
    fn miss(
        &mut self,
        session: &mut Session,
        subscription: &Subscription,
        passing_ids: &mut PassingIds,
        gap: Gap,
    ) {
        if session.nats.is_some() {
            if let Some(last) = self.missed.last_mut()
                && last.extend(subscription, &gap)
            {
                return;
            }
            return self.missed.push(Missed::new(subscription, gap));
        }
        if let Some((_, last)) = &mut self.gap
            && last.extend(&gap)
        {
            return;
        }
        self.write_gap();
        let told = self.announce(session, passing_ids, &gap.topic, gap.first);
        self.gap = Some((told, gap));
    }

    fn write_gap(&mut self) {
        if let Some((told, Gap { subscription, first, messages, reason, .. })) = self.gap.take() {
            encode::gap(&mut self.between, told, subscription, first, messages, reason);
        }
    }

    /// The first time a connection receives a topic, it is told which one that is. Returns the id
    /// it knows the topic by.
    fn announce(
        &mut self,
        session: &mut Session,
        passing_ids: &mut PassingIds,
        topic: &Arc<TopicName>,
        next: Sequence,
    ) -> TopicId {
        if let Some((last, told)) = &session.last_announced
            && last.key() == topic.key()
        {
            return *told;
        }
        self.write_gap();
        let (told, is_new) = match topic.is_kept() {
            true => (topic.id, session.announced.insert(topic.id)),
            false => (passing_ids.next(), true),
        };
        session.last_announced = Some((topic.clone(), told));
        if is_new && topic.is_kept() && !session.permissions.may_publish(&topic.name) {
            session.only_receives.insert(topic.id, topic.clone());
        }
        if is_new {
            encode::topic(&mut self.between, RequestId(0), told, next, topic.owner, &topic.name);
        }
        told
    }
}

/// Notes when a portion that is sent had arrived. Subscribers are sent the same few portions, so a
/// look at the last ones keeps the list short.
fn note_sent(sent_since: &mut Vec<(u64, u64)>, portion: &Portion) {
    let messages = u64::from(portion.messages);
    let mut last_ones = sent_since.iter_mut().rev().take(4);
    match last_ones.find(|(received_ns, _)| *received_ns == portion.received_ns) {
        Some((_, count)) => *count += messages,
        None => sent_since.push((portion.received_ns, messages)),
    }
}

/// The frames of a portion for a BLIP/1 client. Others share the bytes: who is meant, and a topic
/// that has no id of its own, are said in a copy.
fn addressed(portion: Portion, told: TopicId, memory: &Memory) -> Bytes {
    if portion.subscription == 0 && portion.topic.is_kept() {
        return portion.frames;
    }
    let mut frames = BytesMut::from(&portion.frames[..]);
    messages::address(&mut frames, told, portion.subscription);
    memory.count(frames)
}

/// Ids for topics that are not kept, each for one batch to one connection. They come down from the
/// upper half of all ids, which [`TOPICS_RANGE`](crate::limits::TOPICS_RANGE) leaves free, and begin
/// again after a billion.
pub(super) struct PassingIds {
    given: u32,
}

impl PassingIds {
    pub(super) fn new() -> PassingIds {
        PassingIds { given: 0 }
    }

    fn next(&mut self) -> TopicId {
        self.given = (self.given + 1) % (TOPIC_ID_MAX / 2);
        TopicId(TOPIC_ID_MAX - self.given)
    }
}
