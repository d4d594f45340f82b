//! What publishers ask for: the id of a topic, and messages to it.

use std::sync::Arc;

use super::ephemeral::is_ephemeral;
use super::{Client, Doors, Opened, Shared};
use crate::broker::connections::Hold;
use crate::broker::ids::Slot;
use crate::broker::mesh::Request;
use crate::broker::message::{Destination, TopicName};
use crate::broker::topics::TopicsFull;
use crate::limits::{self, OPENS_PER_CONNECTION_MAX, REFUSED_OPENS_MAX};
use crate::protocol::frame::{FLAG_ACK, FLAG_HEADERS, PROVISIONAL};
use crate::protocol::messages::{self, Header, RunBounds};
use crate::protocol::{Reject, RequestId, Sequence, TopicId, encode, name};

/// So many connections at least share the topics that memory has room for.
const CONNECTIONS_WITH_TOPICS_MIN: u32 = 10;

impl Client {
    /// OPEN: the owner of the topic is asked for its id, and makes it if it is new.
    pub(super) fn open(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        request: RequestId,
        topic: &str,
    ) -> Result<(), Reject> {
        if let Some(Opened::Pending { .. }) = self.opens.get(&request) {
            return Err(Reject::RequestInUse { request: request.0 });
        }
        if let Some(refusal) = self.refusal_to_open(doors, slot, request, topic) {
            self.remember_refusal(request);
            self.count_memory(doors, slot);
            return Err(refusal);
        }
        let topic: Arc<str> = topic.into();
        self.opens.insert(request, Opened::Pending { name: topic.clone(), is_used: false });
        self.count_memory(doors, slot);
        doors.connections.get(slot).add_pending();
        let owner = doors.cluster.core_of(doors.cluster.shard_of_name(&topic));
        if owner == doors.core {
            let opened = doors.topics.open(doors.now, doors.timers, &topic);
            self.answer_open(shared, doors, slot, request, opened);
        } else {
            // Frames gathered before go out before: the owner serves them in this order.
            doors.ingest.close_batches();
            let connection = doors.connections.id(slot);
            doors.mesh.ask(owner, Request::Open { connection, request, topic });
        }
        Ok(())
    }

    /// Remembers that an OPEN was refused, of so many at most: beyond them the number is unknown, and frames
    /// for it are refused as well.
    fn remember_refusal(&mut self, request: RequestId) {
        if self.refused < REFUSED_OPENS_MAX {
            self.refused += 1;
            self.opens.insert(request, Opened::Refused);
        } else {
            self.opens.remove(&request);
        }
    }

    /// Counts what is remembered for the client, by the room of the tables.
    pub(super) fn count_memory(&self, doors: &mut Doors<'_>, slot: Slot) {
        let opens = self.opens.capacity() * size_of::<(RequestId, Opened)>();
        let topics = (self.announced.capacity() + self.unused.capacity()) * size_of::<TopicId>();
        // Eight places have room for seven entries, and a byte each.
        doors.connections.remembers(slot, (opens + topics) / 7 * 8 + opens / 16);
    }

    fn refusal_to_open(
        &self,
        doors: &Doors<'_>,
        slot: Slot,
        request: RequestId,
        topic: &str,
    ) -> Option<Reject> {
        if let Err(error) = name::check_topic(topic).and_then(|()| doors.check_depth(topic)) {
            Some(Reject::BadTopic { request: request.0, topic: topic.to_string(), error })
        } else if topic.starts_with(name::SYSTEM_PREFIX) {
            Some(Reject::SystemTopic { request: request.0, topic: topic.to_string() })
        } else if !doors.connections.at(slot).permissions().may_publish(topic) {
            Some(not_allowed(request.0, topic))
        } else if self.opens.len() >= OPENS_PER_CONNECTION_MAX {
            Some(Reject::LimitReached {
                about: request.0,
                what: "opened topics of this connection",
                count_max: OPENS_PER_CONNECTION_MAX as u64,
                remedy: "use request numbers again whose TOPIC has come",
            })
        } else {
            self.refusal_of_more_topics(doors, request)
        }
    }

    /// What a client opens and does not use is bounded, so that others find room for their topics.
    fn refusal_of_more_topics(&self, doors: &Doors<'_>, request: RequestId) -> Option<Reject> {
        let configured = doors.settings().limits.max_topics_per_connection;
        let by_memory = doors.cluster.memory.topics_max() / CONNECTIONS_WITH_TOPICS_MIN;
        let topics_max = configured.min(by_memory);
        let remedy = match topics_max < configured {
            true => "open topics when you publish to them, or raise `limits.memory_max`",
            false => {
                "open topics when you publish to them, or raise `limits.max_topics_per_connection`"
            }
        };
        (self.unused.len() >= topics_max as usize).then_some(Reject::LimitReached {
            about: request.0,
            what: "topics that this connection opened and did not publish to",
            count_max: u64::from(topics_max),
            remedy,
        })
    }

    /// The owner has answered an OPEN.
    pub(super) fn answer_open(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        request: RequestId,
        opened: Result<(Arc<TopicName>, Sequence), TopicsFull>,
    ) {
        doors.connections.end_pending(slot);
        let permissions = doors.connections.at(slot).permissions();
        match opened {
            // A reload has come between.
            Ok((topic, _)) if !permissions.may_publish(&topic.name) => {
                self.opens.insert(request, Opened::Refused);
                self.reject_open(doors, slot, &not_allowed(request.0, &topic.name));
            }
            Ok((topic, next_sequence)) => {
                let id = if topic.is_retained() {
                    let is_used = matches!(
                        self.opens.get(&request),
                        Some(Opened::Pending { is_used: true, .. })
                    );
                    if let Some(topics) = &mut self.to_open_again {
                        topics.remove(&topic.id);
                    }
                    // A topic that the client was told of before counts if it did not publish there.
                    if self.announced.insert(topic.id) && !is_used {
                        self.unused.insert(topic.id);
                    }
                    self.count_memory(doors, slot);
                    topic.id
                } else {
                    let opens = self.ephemeral.get_or_insert_default();
                    opens.add(&mut shared.ephemeral_ids, topic.name.clone())
                };
                self.opens.insert(request, Opened::Topic(id));
                doors.answer(slot, |out| {
                    encode::topic(out, request, id, next_sequence, topic.owner, &topic.name);
                });
            }
            Err(full) => {
                self.remember_refusal(request);
                let reject = Reject::LimitReached {
                    about: request.0,
                    what: "topics",
                    count_max: u64::from(full.topics_max),
                    remedy: match full.is_by_memory {
                        true => {
                            "use fewer topics or raise `limits.memory_max`, half of which is for topics"
                        }
                        false => "use fewer topics or raise `limits.max_topics`",
                    },
                };
                self.reject_open(doors, slot, &reject);
            }
        }
    }

    /// The connection may be closing when the owner's refusal comes.
    fn reject_open(&mut self, doors: &mut Doors<'_>, slot: Slot, reject: &Reject) {
        if doors.connections.at(slot).phase() != crate::broker::connections::Phase::Closing {
            self.reject(doors, slot, reject);
        }
    }

    /// Whether a frame's topic is held up by a subscriber; if so, its connection is not read.
    fn waits_for_subscriber(&self, doors: &mut Doors<'_>, slot: Slot, topic: u32) -> bool {
        let Some(topic) = self.opened_as(topic) else { return false };
        let waits = doors.delivery.is_blocked(topic);
        if waits {
            doors.connections.hold(slot, Hold::Blocked(topic));
        }
        waits
    }

    /// Where a frame goes; `None` if it was refused with its OPEN.
    fn destination(
        &mut self,
        doors: &Doors<'_>,
        slot: Slot,
        first: &Header,
    ) -> Result<Option<Destination>, Reject> {
        if first.topic & PROVISIONAL == 0 {
            let topic = TopicId(first.topic);
            if is_ephemeral(topic) {
                return self.ephemeral_destination(topic).map(Some);
            }
            if self.last_published != Some(topic) {
                if !self.announced.contains(&topic) {
                    return Err(Reject::UnknownTopic { topic: first.topic });
                }
                if self.to_open_again.as_ref().is_some_and(|topics| topics.contains(&topic)) {
                    doors.counters.refused_messages.add(u64::from(first.count));
                    return Err(Reject::UnknownTopic { topic: first.topic });
                }
                // Its OPEN was allowed, but the client may have been told the id as a subscriber.
                if let Some(topic) =
                    self.only_receives.as_ref().and_then(|topics| topics.get(&topic))
                {
                    doors.counters.refused_messages.add(u64::from(first.count));
                    return Err(not_allowed(0, &topic.name));
                }
                self.unused.remove(&topic);
                self.last_published = Some(topic);
            }
            return Ok(Some(Destination::Topic(topic)));
        }
        let request = RequestId(first.topic & !PROVISIONAL);
        match self.opens.get_mut(&request) {
            Some(Opened::Topic(topic)) if is_ephemeral(*topic) => {
                let topic = *topic;
                self.ephemeral_destination(topic).map(Some)
            }
            Some(Opened::Topic(topic)) => {
                self.unused.remove(topic);
                Ok(Some(Destination::Topic(*topic)))
            }
            // A reload has come behind the OPEN, whose answer will be the one ERROR.
            Some(Opened::Pending { name, .. })
                if !doors.connections.at(slot).permissions().may_publish(name) =>
            {
                doors.counters.refused_messages.add(u64::from(first.count));
                Ok(None)
            }
            Some(Opened::Pending { name, is_used }) => {
                *is_used = true;
                Ok(Some(Destination::Opened(name.clone())))
            }
            Some(Opened::Refused) => {
                // The OPEN had the one ERROR.
                doors.counters.refused_messages.add(u64::from(first.count));
                Ok(None)
            }
            None => Err(Reject::UnknownRequest { request: request.0 }),
        }
    }

    /// The client's user may publish otherwise than before: the client has to open topics again, and what
    /// is not allowed is refused then.
    pub(super) fn forget_opens(&mut self) {
        self.last_published = None;
        self.ephemeral = None;
        self.only_receives = None;
        self.to_open_again.get_or_insert_default().extend(&self.announced);
        self.opens.retain(|_, opened| !matches!(opened, Opened::Topic(_)));
    }

    /// Forgets the id of a topic that was removed.
    pub(super) fn forget_id(&mut self, topic: TopicId) {
        self.last_published = self.last_published.filter(|last| *last != topic);
        self.unused.remove(&topic);
        if let Some(topics) = &mut self.only_receives {
            topics.remove(&topic);
        }
    }

    fn ephemeral_destination(&self, topic: TopicId) -> Result<Destination, Reject> {
        let found = self.ephemeral.as_ref().and_then(|opens| opens.destination(topic));
        found.ok_or(Reject::UnknownTopic { topic: topic.0 })
    }

    /// The id that a topic was opened as, of which the client wrote this.
    pub(super) fn opened_as(&self, topic: u32) -> Option<TopicId> {
        if topic & PROVISIONAL == 0 {
            return Some(TopicId(topic));
        }
        match self.opens.get(&RequestId(topic & !PROVISIONAL))? {
            Opened::Topic(topic) => Some(*topic),
            Opened::Pending { .. } | Opened::Refused => None,
        }
    }

    /// MESSAGES: the frame at the start of `bytes`, and those behind it that can go with it, join what
    /// this turn brings for their topic. Returns their length, or `None` if they have to wait. If
    /// they are refused, then only the first is, and the others are the next run.
    pub(super) fn publish(
        &mut self,
        doors: &mut Doors<'_>,
        slot: Slot,
        bytes: &[u8],
        first: &Header,
    ) -> Result<Option<usize>, Reject> {
        if self.waits_for_subscriber(doors, slot, first.topic) {
            return Ok(None);
        }
        let Some(destination) = self.destination(doors, slot, first)? else {
            return Ok(Some(first.frame_len as usize));
        };
        if doors.hold_for_memory(slot) {
            return Ok(None);
        }
        if !doors.has_memory() {
            doors.counters.refused_for_memory_messages.add(u64::from(first.count));
            return Err(Reject::LimitReached {
                about: 0,
                what: "bytes of messages, over all topics and queues,",
                count_max: doors.settings().limits.memory_max,
                remedy: "the frame was not published; publish it again later, or raise \
                         `limits.memory_max`",
            });
        }
        // Only now: a run of which only the first frame is refused would be looked for at every one.
        let message_len_max = doors.settings().server.max_message_size_bytes;
        let frame_len_max = limits::frame_len_max(message_len_max);
        let (messages_max, bytes_max) = doors.ingest.room();
        let bounds = RunBounds { frame_len_max, message_len_max, messages_max, bytes_max };
        let (len, messages) = messages::run(bytes, first, bounds);
        let ttl_ms = match first.ttl_ms {
            0 => doors.settings().delivery.default_ttl_ms,
            ttl_ms => ttl_ms,
        };
        let owner = doors.cluster.core_of(doors.cluster.shard_of(&destination));
        let ack = (first.flags & FLAG_ACK != 0).then(|| {
            doors.connections.get(slot).add_pending();
            (first.sequence, first.topic)
        });
        let (publisher, frames) = (doors.connections.id(slot), &bytes[..len]);
        doors.ingest.add(doors.now, destination, ttl_ms, messages, frames, (publisher, ack));
        if first.flags & FLAG_HEADERS != 0 {
            Client::note_replies(doors, slot, &bytes[..len]);
        }
        doors.connections.get(slot).add_published(messages, len);
        doors.hold_for_mesh(slot, owner);
        Ok(Some(len))
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
