//! The mesh: what travels between cores, and when it is read.
//!
//! Two lanes per ordered pair of cores: *requests* to the owner of a topic or the coordinator of a
//! group, and *deliveries* from it. In come requests and deliveries for other cores, one by one;
//! out goes what a core has for another in one turn, as one [`Message`]. What arrives is kept until
//! it is taken, one by one.
//!
//! # Always true
//! - Deliveries are taken whatever else is full: they end in queues, which have their own bounds.
//!   Requests are taken only while deliveries can be sent. So two cores never wait for each other.
//! - Nothing is dropped here. A lane that is full makes its core keep back, then stop reading the
//!   connections that feed it.

mod message;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::broker::counters::Counters;
use crate::limits::MESH_OUTGOING_BYTES_MAX;
use crate::protocol::CoreId;

pub use message::{DELIVERIES, Delivery, LANES, Message, REQUESTS, Request};

/// Bytes that an entry of a message counts beside what it refers to.
const ENTRY_LEN: usize = 64;

/// What a core has for another.
#[derive(Debug, Default)]
struct Outgoing {
    requests: Vec<Request>,
    request_bytes: usize,
    deliveries: Vec<Delivery>,
    delivery_bytes: usize,
}

impl Outgoing {
    fn requests_are_full(&self) -> bool {
        self.request_bytes >= MESH_OUTGOING_BYTES_MAX
    }

    fn deliveries_are_full(&self) -> bool {
        self.delivery_bytes >= MESH_OUTGOING_BYTES_MAX
    }
}

/// An empty list of what arrived keeps room for so many, and frees the rest.
const IDLE_ENTRIES_MAX: usize = 1_024;

/// Takes the first entry.
fn pop<T>(list: &mut VecDeque<T>) -> Option<T> {
    let first = list.pop_front();
    if list.is_empty() && list.capacity() > IDLE_ENTRIES_MAX {
        *list = VecDeque::new();
    }
    first
}

/// The mesh of one core.
#[derive(Debug)]
pub struct Mesh {
    counters: Arc<Counters>,
    /// By core.
    outgoing: Vec<Outgoing>,
    requests: VecDeque<(CoreId, Request)>,
    deliveries: VecDeque<(CoreId, Delivery)>,
    has_ended: bool,
}

impl Mesh {
    /// The mesh between so many cores.
    pub fn new(cores: u16, counters: Arc<Counters>) -> Mesh {
        Mesh {
            counters,
            outgoing: (0..cores).map(|_| Outgoing::default()).collect(),
            requests: VecDeque::new(),
            deliveries: VecDeque::new(),
            has_ended: false,
        }
    }

    /// Every core has said its last word, [`Delivery::GroupsDrained`], or is about to be handed it:
    /// nothing behind that is sent. Its reader may be gone, and the lane full.
    pub fn end(&mut self) {
        self.has_ended = true;
        for outgoing in &mut self.outgoing {
            outgoing.requests.clear();
            outgoing.request_bytes = 0;
            let is_last = |delivery: &Delivery| matches!(delivery, Delivery::GroupsDrained);
            let last = outgoing.deliveries.iter().position(is_last);
            outgoing.deliveries.truncate(last.map_or(0, |last| last + 1));
        }
    }

    /// Adds a request to what a core is sent next.
    pub fn ask(&mut self, core: CoreId, request: Request) {
        if self.has_ended {
            return;
        }
        let outgoing = &mut self.outgoing[usize::from(core.0)];
        outgoing.request_bytes += ENTRY_LEN + request.bytes();
        outgoing.requests.push(request);
    }

    /// Adds a delivery to what a core is sent next.
    pub fn deliver(&mut self, core: CoreId, delivery: Delivery) {
        if self.has_ended {
            return;
        }
        let outgoing = &mut self.outgoing[usize::from(core.0)];
        outgoing.delivery_bytes += ENTRY_LEN + delivery.bytes();
        outgoing.deliveries.push(delivery);
    }

    /// Whether connections that publish to a core have to wait.
    pub fn is_full(&self, core: CoreId) -> bool {
        self.outgoing[usize::from(core.0)].requests_are_full()
    }

    /// Bytes of the requests that wait for a core.
    #[cfg(test)]
    pub fn request_bytes(&self, core: CoreId) -> usize {
        self.outgoing[usize::from(core.0)].request_bytes
    }

    /// Whether more can be delivered to every core.
    fn has_room_for_deliveries(&self) -> bool {
        !self.outgoing.iter().any(Outgoing::deliveries_are_full)
    }

    /// Whether everything was sent.
    pub fn is_empty(&self) -> bool {
        let is_empty = |one: &Outgoing| one.requests.is_empty() && one.deliveries.is_empty();
        self.outgoing.iter().all(is_empty)
    }

    /// Whether a message of this lane may be received now.
    pub fn wants_message(&self, lane: usize) -> bool {
        match lane {
            REQUESTS => self.requests.is_empty() && self.has_room_for_deliveries(),
            _ => self.deliveries.is_empty(),
        }
    }

    /// A message has arrived.
    pub fn received(&mut self, from: CoreId, message: Message) {
        match message {
            Message::Requests(requests) => {
                self.requests.extend(requests.into_iter().map(|request| (from, request)));
            }
            Message::Deliveries(deliveries) => {
                self.deliveries.extend(deliveries.into_iter().map(|delivery| (from, delivery)));
            }
        }
    }

    /// Takes the next delivery that arrived.
    pub fn next_delivery(&mut self) -> Option<(CoreId, Delivery)> {
        pop(&mut self.deliveries)
    }

    /// Takes the next request that arrived, unless what follows from it could not be sent.
    pub fn next_request(&mut self) -> Option<(CoreId, Request)> {
        if self.has_room_for_deliveries() { pop(&mut self.requests) } else { None }
    }

    /// Bytes that what waits here takes, as far as queues of this core have room for it.
    pub fn held_bytes(&self) -> u64 {
        let waiting = self.requests.capacity() * size_of::<(CoreId, Request)>()
            + self.deliveries.capacity() * size_of::<(CoreId, Delivery)>();
        let outgoing = self.outgoing.iter().map(|outgoing| {
            outgoing.requests.capacity() * size_of::<Request>()
                + outgoing.deliveries.capacity() * size_of::<Delivery>()
        });
        (waiting + outgoing.sum::<usize>()) as u64
    }

    /// Whether what arrived can be taken at once.
    pub fn has_more(&self) -> bool {
        !self.deliveries.is_empty() || (!self.requests.is_empty() && self.has_room_for_deliveries())
    }

    /// Takes what this core has for another on a lane.
    pub fn take_message(&mut self, to: CoreId, lane: usize) -> Option<Message> {
        let outgoing = &mut self.outgoing[usize::from(to.0)];
        match lane {
            REQUESTS if !outgoing.requests.is_empty() => {
                Some(Message::Requests(std::mem::take(&mut outgoing.requests)))
            }
            DELIVERIES if !outgoing.deliveries.is_empty() => {
                Some(Message::Deliveries(std::mem::take(&mut outgoing.deliveries)))
            }
            _ => None,
        }
    }

    /// The lane had a place: the message is on its way. Returns whether something waited for that,
    /// so that there is more to do at once: nothing wakes this core for it. `holds_connections`
    /// says whether some connection is not read.
    pub fn sent(&mut self, to: CoreId, lane: usize, holds_connections: bool) -> bool {
        self.counters.mesh_messages_sent.add(1);
        let outgoing = &mut self.outgoing[usize::from(to.0)];
        match lane {
            REQUESTS => {
                let was_full = outgoing.requests_are_full();
                outgoing.request_bytes = 0;
                was_full && holds_connections
            }
            _ => {
                let was_full = outgoing.deliveries_are_full();
                outgoing.delivery_bytes = 0;
                was_full && !self.requests.is_empty()
            }
        }
    }

    /// The lane was full: the message is kept, and grows until there is a place.
    pub fn keep(&mut self, to: CoreId, message: Message) {
        self.counters.mesh_full.add(1);
        let outgoing = &mut self.outgoing[usize::from(to.0)];
        match message {
            Message::Requests(requests) => outgoing.requests = requests,
            Message::Deliveries(deliveries) => outgoing.deliveries = deliveries,
        }
    }
}
