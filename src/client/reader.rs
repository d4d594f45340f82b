//! The reading thread: each frame of the broker to the call that waits for it, or to the events.
//!
//! Started by `connect`. Next on the path: `events`, `conversation`.
//!
//! # Always true
//! - What the broker sent first is seen first: events before an answer are queued before it.
//! - The reason why the connection ended is found here, and only here.

use std::io;
use std::sync::Arc;

use hashbrown::HashMap;

use super::conversation::Taken;
use super::events::{Event, Gap, GapReason};
use super::read_buffer::ReadBuffer;
use super::received::Messages;
use super::shared::{Shared, Wait};
use super::{ClientError, ServerError, Subscription};
use crate::protocol::decode::{ServerFrame, server_frame};
use crate::protocol::frame::PROVISIONAL;
use crate::protocol::{SubscriptionId, TopicId, encode};

pub(super) fn run(shared: &Shared, buffer: ReadBuffer) {
    let mut reader = Reader { shared, topics: HashMap::new(), events: Vec::new(), goodbye: None };
    let end = reader.read_until_end(buffer);
    shared.events.push_all(&mut reader.events);
    shared.end(end);
}

struct Reader<'a> {
    shared: &'a Shared,
    topics: HashMap<u32, Arc<str>>,
    /// Found in the buffer and not queued yet: one lock of the queue serves many.
    events: Vec<Event>,
    goodbye: Option<Arc<str>>,
}

impl Reader<'_> {
    fn read_until_end(&mut self, mut buffer: ReadBuffer) -> ClientError {
        let frame_len_max = self.shared.lock().server.frame_len_max;
        loop {
            loop {
                match buffer.take_frame(frame_len_max) {
                    Ok(None) => break,
                    Ok(Some(frame)) => {
                        if let Err(end) = self.take(frame) {
                            return end;
                        }
                    }
                    Err(reject) => return reject.into(),
                }
            }
            self.shared.events.push_all(&mut self.events);
            match buffer.fill(&mut &self.shared.stream) {
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

    fn take(&mut self, frame: bytes::Bytes) -> Result<(), ClientError> {
        match server_frame(&frame)? {
            ServerFrame::Messages(header) => {
                let topic = self.topic_named(header.topic, "MESSAGES")?;
                let Some(subscription) = self.addressed(header.subscription)? else {
                    return Ok(());
                };
                let messages = Messages { topic, subscription, header, frame };
                self.events.push(match messages.is_intact() {
                    true => Event::Messages(messages),
                    false => Event::Gap(Gap {
                        topic: messages.topic,
                        first: header.sequence,
                        messages: u64::from(header.count),
                        reason: GapReason::Corrupt,
                        subscription: messages.subscription,
                    }),
                });
            }
            ServerFrame::Gap { topic, subscription, first, messages, reason } => {
                let topic = self.topic_named(topic.0, "GAP")?;
                let Some(subscription) = self.addressed(subscription)? else { return Ok(()) };
                let (first, reason) = (first.0, reason.into());
                self.events.push(Event::Gap(Gap { topic, first, messages, reason, subscription }));
            }
            ServerFrame::Goodbye { reason } => {
                let reason: Arc<str> = reason.into();
                self.goodbye = Some(reason.clone());
                self.events.push(Event::Goodbye { reason });
            }
            answer => {
                self.shared.events.push_all(&mut self.events);
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
                self.topics.insert(id, name);
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
                // A server that pings without reading waits for itself, and fills nothing here.
                let wait = Wait { what: "answer a PING", until: None };
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

    /// Whom a frame is for: `Some(None)` for all plain subscriptions, `None` for one that its caller
    /// knows no longer.
    fn addressed(&self, subscription: u32) -> Result<Option<Option<Subscription>>, ClientError> {
        match subscription {
            0 => Ok(Some(None)),
            id => Ok(self.shared.lock().addressed(SubscriptionId(id))?.map(Some)),
        }
    }

    fn topic_named(&self, id: u32, frame: &str) -> Result<Arc<str>, ClientError> {
        self.topics.get(&id).cloned().ok_or_else(|| {
            ClientError::Unexpected(format!("{frame} of topic id {id}, which no TOPIC named"))
        })
    }
}
