//! What publishers ask for: the id of a topic, and messages to it.
//!
//! Called by `receive`. Next on the path: `ingest`, which gathers the frames of a turn by topic.

use std::sync::Arc;

use super::ingest::Destination;
use super::letter::{Ack, Request};
use super::session::{Opened, Paused};
use super::topic::TopicName;
use super::{Broker, ConnectionId, Now};
use crate::limits::{self, OPENS_PER_CONNECTION_MAX};
use crate::protocol::frame::{FLAG_ACK, PROVISIONAL};
use crate::protocol::messages::{self, Header, RunBounds};
use crate::protocol::{CoreId, Reject, RequestId, Sequence, TopicId, encode, name};

impl Broker {
    /// OPEN: the owner of the topic is asked for its id, and makes it if it is new.
    pub(super) fn open(
        &mut self,
        slot: u32,
        request: RequestId,
        topic: &str,
    ) -> Result<(), Reject> {
        let connection = self.sessions.id(slot);
        let session = self.sessions.get(slot);
        if let Some(Opened::Pending(_)) = session.opens.get(&request) {
            return Err(Reject::RequestInUse { request: request.0 });
        }
        let refusal = if let Err(error) = name::check_topic(topic) {
            Some(Reject::BadTopic { request: request.0, topic: topic.to_string(), error })
        } else if topic.starts_with(name::SYSTEM_PREFIX) {
            Some(Reject::SystemTopic { request: request.0, topic: topic.to_string() })
        } else if !session.permissions.may_publish(topic) {
            Some(not_allowed(request.0, topic))
        } else if session.opens.len() >= OPENS_PER_CONNECTION_MAX {
            Some(Reject::LimitReached {
                about: request.0,
                what: "opened topics of this connection",
                count_max: OPENS_PER_CONNECTION_MAX as u64,
                remedy: "use request numbers again whose TOPIC has come",
            })
        } else {
            None
        };
        if let Some(refusal) = refusal {
            session.opens.insert(request, Opened::Refused);
            return Err(refusal);
        }
        let topic: Arc<str> = topic.into();
        session.opens.insert(request, Opened::Pending(topic.clone()));
        session.pending_requests += 1;
        let shard = self.cluster.shard_of_name(&topic);
        let owner = self.cluster.core_of(shard);
        if owner == self.core {
            let opened = self.open_topic(shard, &topic);
            self.opened(connection, request, opened);
        } else {
            // Frames gathered before go out before: the owner serves them in this order.
            self.ingest.close_batches();
            let request = Request::Open { connection, request, topic };
            self.outgoing[usize::from(owner.0)].ask(request);
        }
        Ok(())
    }

    /// The owner has answered an OPEN.
    pub(super) fn opened(
        &mut self,
        connection: ConnectionId,
        request: RequestId,
        opened: Result<(Arc<TopicName>, Sequence), super::shard::TopicsFull>,
    ) {
        // The connection may be gone by now.
        let Some(session) = self.sessions.find_id(connection) else { return };
        session.pending_requests -= 1;
        match opened {
            Ok((topic, next_sequence)) => {
                session.opens.insert(request, Opened::Topic(topic.id));
                session.announced.insert(topic.id);
                self.answer(connection.slot, |out| {
                    encode::topic(out, request, topic.id, next_sequence, topic.owner, &topic.name);
                });
            }
            Err(full) => {
                session.opens.insert(request, Opened::Refused);
                let reject = Reject::LimitReached {
                    about: request.0,
                    what: "topics",
                    count_max: u64::from(full.topics_max),
                    remedy: "use fewer topics or raise `limits.max_topics`",
                };
                self.reject(connection.slot, &reject);
            }
        }
    }

    /// The owner has given sequences to frames whose publishers want to know.
    pub(super) fn acknowledge(&mut self, topic: TopicId, acks: &[Ack]) {
        for ack in acks {
            // The connection may be gone by now.
            let Some(session) = self.sessions.find_id(ack.connection) else { continue };
            session.pending_requests -= 1;
            match ack.first {
                Some(first) => self.answer(ack.connection.slot, |out| {
                    encode::ack(out, topic, ack.publish_id, first, ack.messages);
                }),
                // A refused OPEN had the one ERROR.
                None => self.finish_if_empty(ack.connection.slot),
            }
        }
    }

    /// Whether a frame's topic is held up by a subscriber; if so, its connection is not read.
    fn waits_for_subscriber(&mut self, slot: u32, topic: u32) -> bool {
        let session = self.sessions.get(slot);
        let topic = match session.opens.get(&RequestId(topic & !PROVISIONAL)) {
            _ if topic & PROVISIONAL == 0 => TopicId(topic),
            Some(Opened::Topic(topic)) => *topic,
            _ => return false,
        };
        let waits = self.blocks.publishers_wait(topic);
        if waits {
            self.pause(slot, Paused::Blocked(topic));
        }
        waits
    }

    /// MESSAGES: the frame at the start of `rest`, and those behind it that can go with it, join what
    /// this turn brings for their topic. Returns their length, or `None` if they have to wait. If
    /// they are refused, then only the first is, and the others are the next run.
    pub(super) fn publish(
        &mut self,
        now: Now,
        slot: u32,
        rest: &[u8],
        first: &Header,
    ) -> Result<Option<usize>, Reject> {
        if self.waits_for_subscriber(slot, first.topic) {
            return Ok(None);
        }
        let session = self.sessions.get(slot);
        let destination = if first.topic & PROVISIONAL == 0 {
            let topic = TopicId(first.topic);
            if session.last_published != Some(topic) {
                if !session.announced.contains(&topic) {
                    return Err(Reject::UnknownTopic { topic: first.topic });
                }
                // Its OPEN was allowed, but it may have been told the id as a subscriber.
                if let Some(topic) = session.only_receives.get(&topic) {
                    self.counters.refused_messages.add(u64::from(first.count));
                    return Err(not_allowed(0, &topic.name));
                }
                session.last_published = Some(topic);
            }
            Destination::Topic(topic)
        } else {
            let request = RequestId(first.topic & !PROVISIONAL);
            match session.opens.get(&request) {
                Some(Opened::Topic(topic)) => Destination::Topic(*topic),
                Some(Opened::Pending(name)) => Destination::Name(name.clone()),
                Some(Opened::Refused) => {
                    // The OPEN had the one ERROR.
                    self.counters.refused_messages.add(u64::from(first.count));
                    return Ok(Some(first.frame_len as usize));
                }
                None => return Err(Reject::UnknownRequest { request: request.0 }),
            }
        };
        if !self.has_memory() {
            self.counters.refused_for_memory_messages.add(u64::from(first.count));
            return Err(Reject::LimitReached {
                about: 0,
                what: "bytes of messages, over all topics and queues,",
                count_max: self.cluster.settings.limits.memory_max,
                remedy: "the frame was not published; publish it again later, or raise \
                         `limits.memory_max`",
            });
        }
        // Only now: a run of which only the first frame is refused would be looked for at every one.
        let message_len_max = self.cluster.settings.server.max_message_size_bytes;
        let frame_len_max = limits::frame_len_max(message_len_max);
        let (messages_max, bytes_max) = self.ingest.room();
        let bounds = RunBounds { frame_len_max, message_len_max, messages_max, bytes_max };
        let (len, messages) = messages::run(rest, first, bounds);
        let ttl_ms = match first.ttl_ms {
            0 => self.cluster.settings.delivery.default_ttl_ms,
            ttl_ms => ttl_ms,
        };
        let shard = self.cluster.shard_of(&destination);
        let ack = (first.flags & FLAG_ACK != 0).then(|| {
            self.sessions.get(slot).pending_requests += 1;
            (self.sessions.id(slot), first.sequence)
        });
        self.ingest.add(now, destination, ttl_ms, messages, &rest[..len], ack);
        self.sessions.get(slot).traffic.add_published(messages, len);
        let owner = self.cluster.core_of(shard);
        self.wait_for_mesh(slot, owner);
        Ok(Some(len))
    }

    /// A connection that publishes to a core which cannot keep up is not read for a while.
    pub(super) fn wait_for_mesh(&mut self, slot: u32, owner: CoreId) {
        if owner != self.core && self.outgoing[usize::from(owner.0)].requests_are_full() {
            self.pause(slot, Paused::Mesh(owner));
        }
    }
}

fn not_allowed(about: u32, topic: &str) -> Reject {
    Reject::NotAllowed {
        about,
        what: "publish to",
        name: topic.to_owned(),
        remedy: "publish to topics that your user may publish to, or change its `publish` and \
                 `publish_deny` in `[[auth.users]]`",
    }
}
