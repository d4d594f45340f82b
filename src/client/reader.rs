//! The reading thread: passes each frame of the broker to the call that waits for it, or to the events.
//!
//! Started by `connect`. Next on the path: `events`, `conversation`.
//!
//! # Always true
//! - Callers see frames in the broker's order: the events before an answer are queued before it.
//! - The reason for the end of a connection is found here, and only here.

use std::io;
use std::sync::Arc;

use std::collections::HashMap;

use crate::conversation::{Seen, Taken};
use crate::events::{Event, Gap, GapReason};
use crate::link::Link;
use crate::read_buffer::ReadBuffer;
use crate::received::Messages;
use crate::reconnect::{self, Plan};
use crate::shared::{Shared, Wait};
use crate::{ClientError, ServerError, ServerInfo, Subscription};
use blipmq_protocol::decode::{ServerFrame, server_frame};
use blipmq_protocol::frame::PROVISIONAL;
use blipmq_protocol::{SubscriptionId, TopicId, encode};

pub(crate) fn run(shared: &Shared, mut buffer: ReadBuffer, plan: Option<&Plan>) {
    let mut reader = Reader {
        shared,
        topics: HashMap::new(),
        before: HashMap::new(),
        events: Vec::new(),
        goodbye: None,
    };
    loop {
        let end = reader.read_until_end(buffer);
        shared.push_events(&mut reader.events);
        let welcomed = match reconnect::next_connection(shared, plan, end) {
            Ok(welcomed) => welcomed,
            Err(end) => return shared.end(end),
        };
        reader.renew(welcomed.link, welcomed.server);
        buffer = welcomed.buffer;
    }
}

struct Reader<'a> {
    shared: &'a Shared,
    topics: HashMap<u32, Known>,
    /// For topics that no TOPIC has named since a reconnect: the sequence after the last one received.
    before: HashMap<Arc<str>, u64>,
    /// Events that are not queued yet: the queue is locked once for many.
    events: Vec<Event>,
    goodbye: Option<Arc<str>>,
}

/// A topic that the broker named.
#[derive(Clone)]
struct Known {
    name: Arc<str>,
    /// The slot that the messages reply to, if the topic belongs to the inbox.
    inbox_slot: Option<usize>,
    seen: Seen,
    /// The sequence after the last one that came before the reconnect, until the next message shows
    /// what was missed.
    before: Option<u64>,
}

impl Reader<'_> {
    fn read_until_end(&mut self, mut buffer: ReadBuffer) -> ClientError {
        let frame_len_max = self.shared.lock().server.frame_len_max;
        let link = self.shared.link();
        loop {
            loop {
                match buffer.take_frame(frame_len_max) {
                    Ok(None) => break,
                    Ok(Some(frame)) => {
                        if let Err(end) = self.take(frame) {
                            return end;
                        }
                    }
                    Err(reject) => return ClientError::malformed(reject),
                }
            }
            self.shared.push_events(&mut self.events);
            match buffer.fill(&mut &*link) {
                Ok(0) if buffer.is_within_frame() => {
                    return ClientError::ConnectionLost(Arc::new(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "it was closed in the middle of a frame",
                    )));
                }
                Ok(0) if self.shared.lock().closing => return ClientError::Closed,
                Ok(0) => return ClientError::ClosedByServer { goodbye: self.goodbye.clone() },
                Ok(_) => self.shared.move_on(),
                Err(error) => return ClientError::ConnectionLost(Arc::new(error)),
            }
        }
    }

    /// Continues over a new connection.
    fn renew(&mut self, link: Link, server: ServerInfo) {
        let same_server = self.shared.lock().server.server_id == server.server_id;
        let topics = std::mem::take(&mut self.topics);
        let mut seen = HashMap::new();
        for known in topics.into_values().filter(|known| known.inbox_slot.is_none()) {
            // Also topics from which nothing came over the connection that ended.
            let next = if known.seen.first > 0 { Some(known.seen.next) } else { known.before };
            self.before.extend(next.map(|next| (known.name.clone(), next)));
            seen.insert(known.name, known.seen);
        }
        self.goodbye = None;
        self.shared.renew(link, Arc::new(server), |name| seen.get(name).copied());
        let conversation = self.shared.lock();
        self.before.retain(|name, _| same_server && conversation.receives(name));
        drop(conversation);
        self.events.push(Event::Reconnected { same_server });
    }

    /// Notes which messages of a topic came, and reports those missed while there was no connection.
    fn see(&mut self, id: u32, subscription: Option<&Subscription>, first: u64, messages: u64) {
        let Some(known) = self.topics.get_mut(&id) else { return };
        let before = known.before.take();
        if let Some(subscription) = subscription {
            // The subscription was resumed, and the broker reports what is missing.
            let next = first.saturating_add(messages);
            self.shared.lock().saw_addressed(subscription.id, next);
            return;
        }
        known.seen.add(first, messages);
        if let Some(missed) = before
            && missed < first
        {
            self.events.push(Event::Gap(Gap {
                topic: known.name.clone(),
                first: missed,
                messages: first - missed,
                reason: GapReason::Disconnected,
                subscription: None,
            }));
        }
    }

    fn take(&mut self, frame: bytes::Bytes) -> Result<(), ClientError> {
        match server_frame(&frame).map_err(ClientError::malformed)? {
            ServerFrame::Messages(header) => {
                let Known { name: topic, inbox_slot, .. } =
                    self.topic_named(header.topic, "MESSAGES")?;
                let Some(subscription) = self.addressed(header.subscription)? else {
                    return Ok(());
                };
                let count = u64::from(header.count);
                self.see(header.topic, subscription.as_ref(), header.sequence, count);
                let messages = Messages { topic, subscription, header, frame };
                if !messages.is_intact() {
                    let Messages { topic, subscription, .. } = messages;
                    let (first, messages) = (header.sequence, count);
                    let reason = GapReason::Corrupt;
                    self.events.push(Event::Gap(Gap {
                        topic,
                        first,
                        messages,
                        reason,
                        subscription,
                    }));
                } else if let Some(slot) = inbox_slot {
                    self.shared.push_events(&mut self.events);
                    let mut conversation = self.shared.lock();
                    conversation.on_replies(slot, &messages);
                    self.shared.answer(conversation);
                } else {
                    self.events.push(Event::Messages(messages));
                }
            }
            ServerFrame::Gap { topic, subscription, first, messages, reason } => {
                let id = topic.0;
                let topic = self.topic_named(id, "GAP")?.name;
                let Some(subscription) = self.addressed(subscription)? else { return Ok(()) };
                self.see(id, subscription.as_ref(), first.0, messages);
                let (first, reason) = (first.0, GapReason::of(reason));
                self.events.push(Event::Gap(Gap { topic, first, messages, reason, subscription }));
            }
            ServerFrame::Goodbye { reason } => {
                let reason: Arc<str> = reason.into();
                self.goodbye = Some(reason.clone());
                self.events.push(Event::Goodbye { reason });
            }
            answer => {
                self.shared.push_events(&mut self.events);
                self.take_answer(answer)?;
            }
        }
        Ok(())
    }

    fn take_answer(&mut self, answer: ServerFrame<'_>) -> Result<(), ClientError> {
        let mut conversation = self.shared.lock();
        match answer {
            ServerFrame::Topic { request, topic, name, .. } => {
                let TopicId(id) = topic;
                if id == 0 || id & PROVISIONAL != 0 {
                    let text = format!("TOPIC `{name}` has id {id}; ids are 1 to 2147483647");
                    return Err(ClientError::Unexpected(text));
                }
                let name = match request.0 {
                    0 => name.into(),
                    _ => conversation.on_topic(request, topic, name)?,
                };
                let inbox_slot = conversation.inbox_slot(&name);
                let before = self.before.remove(&name);
                let seen = Seen::default();
                self.topics.insert(id, Known { name, inbox_slot, seen, before });
            }
            ServerFrame::Subscribed { subscription } => {
                self.events.extend(conversation.on_subscribed(subscription)?);
            }
            ServerFrame::Unsubscribed { subscription } => {
                conversation.on_unsubscribed(subscription);
            }
            ServerFrame::Pong { opaque } => conversation.on_pong(opaque)?,
            ServerFrame::Error { fatal, about, code, text } => {
                let error = ServerError { code, text: text.to_owned() };
                if fatal {
                    return Err(ClientError::EndedByServer(error));
                }
                self.events.extend(conversation.on_error(about, error));
            }
            // Nothing follows CLOSE.
            ServerFrame::Ping { .. } if conversation.closing => {}
            ServerFrame::Ping { opaque } => {
                // A server that pings without reading only waits for itself: PONGs are bounded.
                let wait = Wait::new("answer a PING");
                let (mut conversation, room) = self
                    .shared
                    .wait(conversation, wait, |now| now.out_has_room().then_some(Ok(())));
                room?;
                encode::pong(conversation.out.control(), opaque);
                self.shared.send(conversation);
                return Ok(());
            }
            ServerFrame::Welcome(_) => {
                return Err(ClientError::Unexpected("a second WELCOME".to_owned()));
            }
            ServerFrame::Ack { publish_id, sequence, messages, .. } => {
                conversation.on_ack(publish_id, Taken { sequence: sequence.0, messages })?;
            }
            ServerFrame::Messages(_) | ServerFrame::Gap { .. } | ServerFrame::Goodbye { .. } => {
                unreachable!("`take` made events of them")
            }
        }
        self.shared.answer(conversation);
        Ok(())
    }

    /// Returns the subscription that a frame is for: `Some(None)` for all plain subscriptions, `None` for
    /// one that has ended.
    fn addressed(&self, subscription: u32) -> Result<Option<Option<Subscription>>, ClientError> {
        match subscription {
            0 => Ok(Some(None)),
            id => Ok(self.shared.lock().addressed(SubscriptionId(id))?.map(Some)),
        }
    }

    fn topic_named(&self, id: u32, frame: &str) -> Result<Known, ClientError> {
        self.topics.get(&id).cloned().ok_or_else(|| {
            ClientError::Unexpected(format!("{frame} of topic id {id}, which no TOPIC named"))
        })
    }
}
