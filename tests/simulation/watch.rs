//! Observes a simulated core for its world: everything that passes between the executor and the
//! broker, in order.

use blipmq::broker::mesh::{Delivery, Message};
use blipmq::broker::{Broker, CheckId, ConnectionId, Notice, Now, PasswordCheck, Peer};
use bytes::Bytes;
use executors::{Io, Observed, Ring};

use crate::relay::Beside;

/// An event of a turn.
#[derive(Debug)]
pub enum Event {
    Connected {
        connection: ConnectionId,
        admitted: bool,
    },
    Received {
        connection: ConnectionId,
        len: usize,
    },
    Sent {
        connection: ConnectionId,
    },
    Stopping,
    /// A slice of a topic, up to the next sequence, was read from the mesh to be fanned out.
    Read {
        topic: u32,
        next: u64,
    },
    Sends {
        connection: ConnectionId,
        bytes: Vec<u8>,
    },
    Pauses {
        connection: ConnectionId,
    },
    Resumes {
        connection: ConnectionId,
    },
    Closes {
        connection: ConnectionId,
        last: Vec<u8>,
    },
    Closed {
        connection: ConnectionId,
    },
}

impl Event {
    /// Whether the event is input of the broker, before its part of the turn.
    pub fn is_input(&self) -> bool {
        matches!(
            self,
            Event::Connected { .. }
                | Event::Received { .. }
                | Event::Sent { .. }
                | Event::Stopping
                | Event::Read { .. }
        )
    }
}

/// The events of a turn.
#[derive(Default)]
pub struct Watch {
    pub events: Vec<Event>,
    /// Times a connection found no receive buffer.
    pub starved: u64,
    /// Passwords that the broker wants to have compared; the world answers in a later turn.
    pub checks: Vec<PasswordCheck>,
    /// What the world found out about such passwords, for the next turn.
    pub checked: Vec<(CheckId, bool)>,
}

impl Beside for Watch {
    fn turn<R: Ring>(&mut self, broker: &mut Broker, now: Now, _: &Io<Message, R>) -> bool {
        for (id, is_right) in self.checked.drain(..) {
            broker.password_checked(now, id, is_right);
        }
        false
    }

    fn notice(&mut self, _: Notice) {}

    fn check_password(&mut self, check: PasswordCheck) -> Result<(), PasswordCheck> {
        self.checks.push(check);
        Ok(())
    }

    fn observe(&mut self, observed: Observed) {
        self.starved += u64::from(observed == Observed::Starved);
    }

    fn connected(&mut self, connection: ConnectionId, _: Peer, admitted: bool) {
        self.events.push(Event::Connected { connection, admitted });
    }

    fn received(&mut self, connection: ConnectionId, bytes: &[u8]) {
        self.events.push(Event::Received { connection, len: bytes.len() });
    }

    fn sent(&mut self, connection: ConnectionId) {
        self.events.push(Event::Sent { connection });
    }

    fn stopping(&mut self) {
        self.events.push(Event::Stopping);
    }

    fn reads(&mut self, message: &Message) {
        let Message::Deliveries(deliveries) = message else { return };
        for delivery in deliveries {
            if let Delivery::Slice(slice) = delivery {
                let (topic, next) = (slice.topic.id.0, slice.next().0);
                self.events.push(Event::Read { topic, next });
            }
        }
    }

    fn sends(&mut self, connection: ConnectionId, ranges: &[Bytes]) {
        self.events.push(Event::Sends { connection, bytes: ranges.concat() });
    }

    fn pauses(&mut self, connection: ConnectionId) {
        self.events.push(Event::Pauses { connection });
    }

    fn resumes(&mut self, connection: ConnectionId) {
        self.events.push(Event::Resumes { connection });
    }

    fn closes(&mut self, connection: ConnectionId, last: &Bytes) {
        self.events.push(Event::Closes { connection, last: last.to_vec() });
    }

    fn closed(&mut self, connection: ConnectionId, _: Peer, _: &str) {
        self.events.push(Event::Closed { connection });
    }
}
