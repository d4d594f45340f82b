//! What was asked and what was answered on one connection, without threads or sockets.
//!
//! Called by `shared`, under its lock: by callers that publish and ask, by `reader` with each
//! answer, by `writer` for what to send.
//!
//! # Always true
//! - Requests and subscriptions take their numbers from one counter, so the number in an ERROR is
//!   unambiguous.
//! - PINGs are numbered upwards, so one PONG confirms everything that was sent before its PING.
//! - A topic that the broker refused takes no further message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use std::collections::HashMap;

use crate::events::Event;
use crate::outgoing::{Outgoing, Place, Record};
use crate::{ClientError, ClientOptions, PublishWindow, ServerError, ServerInfo};
use acks::PendingAck;
use blipmq_protocol::frame::PROVISIONAL;
use blipmq_protocol::limits::MESSAGES_HEADER_LEN;
use blipmq_protocol::{RequestId, TopicId, encode};
use requests::Requests;
use subscriptions::Entry;

mod acks;
mod renewal;
mod requests;
mod subscriptions;
#[cfg(test)]
mod tests;

pub(crate) use acks::{Answer, Taken};
pub(crate) use renewal::Seen;
pub(crate) use requests::{CORRELATION_ID, Request};
pub(crate) use subscriptions::Asked;

/// Failures kept for the next `flush`, which reports the first one.
const FAILURES_MAX: usize = 64;
/// A window is confirmed in this many steps, so that sending does not stop while a PONG travels.
const WINDOW_STEPS: u64 = 4;

/// A client that reconnects must know what arrived: each time after this amount it sends a PING.
const CONFIRM_STEP: Amount = Amount { messages: 1_024, bytes: 256 * 1_024 };

/// The state of one connection.
pub(crate) struct Conversation {
    pub(crate) out: Outgoing,
    pub(crate) server: Arc<ServerInfo>,
    outgoing_bytes_max: usize,
    next_id: u32,
    topics: Vec<Topic>,
    topic_of_name: HashMap<Arc<str>, usize>,
    topic_of_request: HashMap<u32, usize>,
    subscriptions: HashMap<u32, Entry>,
    /// Frames whose ACK is due, by publish id.
    acks: HashMap<u64, PendingAck>,
    requests: Requests,
    /// The number of batches that the writer has taken.
    batches_taken: u64,
    window: Option<PublishWindow>,
    /// The amount between two PINGs that confirm messages without a `flush`, if there are any.
    ping_step: Option<Amount>,
    published: Amount,
    /// The amounts that the writer has taken, and that PONGs have confirmed.
    written: Amount,
    taken: Amount,
    /// PINGs without PONG, and the amount published before each.
    pings: VecDeque<(u64, Amount)>,
    pings_sent: u64,
    pings_written: u64,
    publish_ids_written: u64,
    pongs_received: u64,
    /// Failures that no call was waiting for, counted from the start of the connection.
    failures: VecDeque<ClientError>,
    failures_dropped: usize,
    failures_reported: usize,
    /// Whether the writer may take a batch: there is a connection, and its socket takes bytes.
    pub(crate) writable: bool,
    /// The number of the connection.
    pub(crate) epoch: u64,
    /// Whether CLOSE was sent: nothing but answers may follow it.
    pub(crate) closing: bool,
    /// The first cause of the end; nothing is read or written after it.
    pub(crate) ended: Option<ClientError>,
    /// Threads that wait for a change of this state.
    pub(crate) waiting: usize,
    /// Wakers of tasks that wait for a change of this state.
    pub(crate) wakers: Vec<Waker>,
    pub(crate) writer_sleeps: bool,
}

struct Topic {
    name: Arc<str>,
    request: u32,
    /// 0 until the broker has named it.
    id: u32,
    refused: Option<ServerError>,
    /// Whether the topic was opened for replies only, and no caller has a handle of it.
    is_for_replies: bool,
    /// The batch that the last message went into.
    published_in: u64,
}

impl Topic {
    fn new(name: Arc<str>, request: u32) -> Topic {
        Topic { name, request, id: 0, refused: None, is_for_replies: false, published_in: 0 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Amount {
    messages: u64,
    bytes: u64,
}

impl Conversation {
    /// `token` is random, so that no two clients share an inbox.
    pub(crate) fn new(
        server: Arc<ServerInfo>,
        options: &ClientOptions,
        token: u64,
    ) -> Conversation {
        let ping_step = match options.publish_window {
            Some(window) => Some(Amount {
                messages: window.messages.div_ceil(WINDOW_STEPS),
                bytes: window.bytes.div_ceil(WINDOW_STEPS),
            }),
            None => options.reconnect.as_ref().map(|_| CONFIRM_STEP),
        };
        Conversation {
            out: Outgoing::new(server.frame_len_max, options.crc),
            server,
            outgoing_bytes_max: options.outgoing_bytes_max,
            next_id: 1,
            topics: Vec::new(),
            topic_of_name: HashMap::new(),
            topic_of_request: HashMap::new(),
            subscriptions: HashMap::new(),
            acks: HashMap::new(),
            requests: Requests::new(token),
            batches_taken: 0,
            window: options.publish_window,
            ping_step,
            published: Amount::default(),
            written: Amount::default(),
            taken: Amount::default(),
            pings: VecDeque::new(),
            pings_sent: 0,
            pings_written: 0,
            publish_ids_written: 0,
            pongs_received: 0,
            failures: VecDeque::new(),
            failures_dropped: 0,
            failures_reported: 0,
            writable: true,
            epoch: 0,
            closing: false,
            ended: None,
            waiting: 0,
            wakers: Vec::new(),
            writer_sleeps: false,
        }
    }

    fn take_id(&mut self) -> u32 {
        let id = self.next_id;
        assert!(id < PROVISIONAL, "a connection has 2^31 - 1 requests and subscriptions");
        self.next_id += 1;
        id
    }

    // --- requests of callers ---

    /// Fails if nothing can be sent any more.
    pub(crate) fn check_open(&self) -> Result<(), ClientError> {
        match &self.ended {
            Some(ended) => Err(ended.clone()),
            None if self.closing => Err(ClientError::Closed),
            None => Ok(()),
        }
    }

    /// Returns the index of a topic. The first time, its OPEN is sent.
    pub(crate) fn open(&mut self, name: &str) -> (usize, Arc<str>) {
        if let Some((name, index)) = self.topic_of_name.get_key_value(name) {
            self.topics[*index].is_for_replies = false;
            return (*index, name.clone());
        }
        let request = self.take_id();
        let name: Arc<str> = name.into();
        self.write_open(request, &name);
        // Messages need not wait for the id: until then they carry the request, as a provisional id.
        let index = self.out.add_topic(PROVISIONAL | request);
        self.topics.push(Topic::new(name.clone(), request));
        self.topic_of_name.insert(name.clone(), index);
        self.topic_of_request.insert(request, index);
        (index, name)
    }

    /// Opens a topic again whose id the broker may not know any more.
    fn open_again(&mut self, index: usize) {
        let topic = &mut self.topics[index];
        if topic.id == 0 || topic.refused.is_some() {
            return;
        }
        topic.id = 0;
        let (request, name) = (topic.request, topic.name.clone());
        self.write_open(request, &name);
        self.out.set_topic(index, PROVISIONAL | request);
        self.topic_of_request.insert(request, index);
    }

    fn write_open(&mut self, request: u32, name: &str) {
        encode::open(self.out.control(), RequestId(request), name);
    }

    /// Takes everything that waits to be written.
    pub(crate) fn take_outgoing(&mut self, batch: &mut Vec<u8>) {
        self.out.take(batch);
        self.batches_taken += 1;
        self.written = self.published;
        self.pings_written = self.pings_sent;
        self.publish_ids_written = self.out.publish_ids();
    }

    /// Returns whether a message may be published, or has to wait for the socket or the window.
    pub(crate) fn has_room(&self) -> bool {
        self.out_has_room()
            && self.window.is_none_or(|window| {
                self.published.messages - self.taken.messages < window.messages
                    && self.published.bytes - self.taken.bytes < window.bytes
            })
    }

    pub(crate) fn out_has_room(&self) -> bool {
        self.out.len() < self.outgoing_bytes_max
    }

    /// Appends a message for the next write. If the message wants an ACK, returns where to find it.
    pub(crate) fn publish(
        &mut self,
        index: usize,
        record: Record<'_>,
    ) -> Result<Option<Place>, ClientError> {
        self.check_len(record)?;
        let topic = &self.topics[index];
        if let Some(error) = &topic.refused {
            let (topic, error) = (topic.name.clone(), error.clone());
            return Err(ClientError::TopicRefused { topic, error });
        }
        self.topics[index].published_in = self.batches_taken;
        let place = self.out.append(index, record);
        self.published.messages += 1;
        self.published.bytes += record.payload.len() as u64;
        if let Some(step) = self.ping_step {
            let pinged = self.pings.back().map_or(self.taken, |(_, published)| *published);
            if self.published.messages - pinged.messages >= step.messages
                || self.published.bytes - pinged.bytes >= step.bytes
            {
                self.ping();
            }
        }
        Ok(place)
    }

    fn check_len(&self, record: Record<'_>) -> Result<(), ClientError> {
        let ServerInfo { message_len_max, frame_len_max, .. } = *self.server;
        let payload_len = record.payload.len();
        if payload_len > message_len_max as usize {
            return Err(ClientError::MessageTooLong { payload_len, message_len_max });
        }
        let frame_len = MESSAGES_HEADER_LEN + record.len();
        if !record.headers.is_empty() && frame_len > frame_len_max as usize {
            return Err(ClientError::FrameTooLong { frame_len, frame_len_max });
        }
        Ok(())
    }

    /// Sends a PING behind everything published. `is_ponged` returns whether the PING is answered.
    pub(crate) fn ping(&mut self) -> u64 {
        self.pings_sent += 1;
        encode::ping(self.out.control(), self.pings_sent);
        self.pings.push_back((self.pings_sent, self.published));
        self.pings_sent
    }

    pub(crate) fn is_ponged(&self, ping: u64) -> bool {
        self.pongs_received >= ping
    }

    /// Returns the number of the first failure that a flush that starts now reports.
    pub(crate) fn failures_unreported(&self) -> usize {
        self.failures_reported
    }

    /// Returns the first failure from `first` on. Flushes that overlap report the same failure: each
    /// caller may have published what was refused.
    pub(crate) fn report_failure(&mut self, first: usize) -> Option<ClientError> {
        let failure = self.failures.get(first.saturating_sub(self.failures_dropped)).cloned();
        self.failures_reported = self.failures_dropped + self.failures.len();
        failure
    }

    /// Sends CLOSE, once, behind everything published.
    pub(crate) fn close(&mut self) {
        if !self.closing {
            self.closing = true;
            encode::close(self.out.control());
        }
    }

    // --- answers of the broker ---

    /// Handles a TOPIC that answers an OPEN. Returns the name, shared with the caller's handles.
    pub(crate) fn on_topic(
        &mut self,
        request: RequestId,
        topic: TopicId,
        name: &str,
    ) -> Result<Arc<str>, ClientError> {
        let Some(index) = self.topic_of_request.remove(&request.0) else {
            return Err(ClientError::Unexpected(format!(
                "TOPIC `{name}` answers request {request}, which is not open"
            )));
        };
        self.topics[index].id = topic.0;
        let asked = &self.topics[index].name;
        if **asked != *name {
            return Err(ClientError::Unexpected(format!(
                "TOPIC answers request {request} for `{asked}` with `{name}`"
            )));
        }
        self.out.set_topic(index, topic.0);
        Ok(asked.clone())
    }

    /// Handles a PONG: the broker has accepted everything published before its PING.
    pub(crate) fn on_pong(&mut self, opaque: u64) -> Result<(), ClientError> {
        match self.pings.pop_front() {
            Some((ping, published)) if ping == opaque => {
                self.pongs_received = ping;
                self.taken = published;
                Ok(())
            }
            Some((ping, _)) => Err(ClientError::Unexpected(format!(
                "PONG {opaque} came where PONG {ping} was due"
            ))),
            None => Err(ClientError::Unexpected(format!("PONG {opaque} came without a PING"))),
        }
    }

    /// Handles an ERROR that is not fatal. Returns an event if no call waits for the answer.
    pub(crate) fn on_error(&mut self, about: u32, error: ServerError) -> Option<Event> {
        if let Some(index) = self.topic_of_request.remove(&about) {
            let topic = &mut self.topics[index];
            topic.refused = Some(error.clone());
            let refused = ClientError::TopicRefused { topic: topic.name.clone(), error };
            self.fail_acks_of(index, &refused);
            return Some(self.fail(refused));
        }
        if self.subscriptions.contains_key(&about) {
            return self.on_pattern_refused(about, error);
        }
        // UNSUBSCRIBE crossed with the refusal of its SUBSCRIBE, which is reported already.
        if error.code == 4040 && about != 0 && about < self.next_id {
            return None;
        }
        // A topic that nobody used for long is gone, and the broker does not say which.
        if error.code == 4040 && about == 0 {
            (0..self.topics.len()).for_each(|index| self.open_again(index));
        }
        // Whatever was refused, a flush must not report success.
        Some(self.fail(ClientError::RequestRefused(error)))
    }

    fn fail(&mut self, failure: ClientError) -> Event {
        if self.failures.len() == FAILURES_MAX {
            self.failures.pop_front();
            self.failures_dropped += 1;
        }
        self.failures.push_back(failure.clone());
        Event::Error(failure)
    }
}
