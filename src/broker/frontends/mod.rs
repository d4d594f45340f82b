//! Frontends: one folder a protocol. The only rooms that know what a client says and reads.
//!
//! In come bytes, which become requests to the other rooms through their [`Doors`]; and what those
//! rooms have for a client: slices, gaps, answers, refusals, which become bytes. A protocol is a type
//! that implements [`Frontend`], one for each of its connections, and a line in the list below.
//!
//! # Always true
//! - Frames of one connection are served in order, however its bytes were split.
//! - No other room names a protocol. A message is stored as one or more frames of BLIP/1, whoever
//!   published it; other protocols encode it when they send it.

mod blip;
mod clients;
mod doors;
mod frontend;
mod keepalive;
mod latencies;
mod login;
mod nats;
pub mod notice;
mod refusal;
mod send;
mod texts;

use std::sync::Arc;

use bytes::Bytes;

use crate::broker::connections::Phase;
use crate::broker::counters::{Counters, PROTOCOLS_MAX};
use crate::broker::delivery::{Delivery, Pull, Pulled, SubscriptionIndex};
use crate::broker::ids::{ConnectionId, Slot};
use crate::broker::message::{Ack, TopicName, Unheard};
use crate::broker::topics::{Removed, TopicsFull};
use crate::protocol::{RequestId, Sequence, SubscriptionId, TopicId};

pub use clients::Clients;
pub use doors::Doors;
pub use frontend::{Audited, Frontend, SERVER_NAME, Served};
use latencies::Latencies;
use login::Login;
pub use refusal::{Admission, Refusal};
pub use send::Send;
pub use texts::Texts;

/// Makes the enums of protocols and of their clients, and what calls the right one.
macro_rules! protocols {
    ($d:tt $($(#[$doc:meta])* $name:ident => $module:ident;)+) => {
        /// The protocol a connection speaks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Protocol {
            $($(#[$doc])* $name,)+
        }

        impl Protocol {
            /// All protocols.
            pub const ALL: &'static [Protocol] = &[$(Protocol::$name),+];

            /// The name in the admin API.
            pub fn name(self) -> &'static str {
                match self {
                    $(Protocol::$name => stringify!($module),)+
                }
            }
        }

        enum Client {
            $($name(Box<$module::Client>),)+
        }

        #[derive(Default)]
        struct Shared {
            $($module: <$module::Client as Frontend>::Shared,)+
        }

        impl Client {
            fn protocol(&self) -> Protocol {
                match self {
                    $(Client::$name(_) => Protocol::$name,)+
                }
            }

            fn copies(&self) -> bool {
                match self {
                    $(Client::$name(_) => <$module::Client as Frontend>::COPIES,)+
                }
            }
        }

        fn new_client(
            shared: &mut Shared,
            doors: &mut Doors<'_>,
            protocol: Protocol,
            slot: Slot,
        ) -> Client {
            match protocol {
                $(Protocol::$name => {
                    let client = Frontend::new(&mut shared.$module, doors, slot);
                    Client::$name(Box::new(client))
                })+
            }
        }

        /// Calls the client of a slot in use, with what its protocol shares.
        macro_rules! client {
            ($d frontends:expr, $d slot:expr, |$d client:ident, $d shared:ident| $d body:expr) => {
                match $d frontends.clients[$d slot.index()].as_mut().expect("the slot is in use") {
                    $(Client::$name($d client) => {
                        let $d shared = &mut $d frontends.shared.$module;
                        $d body
                    })+
                }
            };
        }

        /// Looks at the client of a slot in use, and at what its protocol shares.
        macro_rules! client_at {
            ($d frontends:expr, $d slot:expr, |$d client:ident, $d shared:ident| $d body:expr) => {
                match $d frontends.clients[$d slot.index()].as_ref().expect("the slot is in use") {
                    $(Client::$name($d client) => {
                        let $d shared = &$d frontends.shared.$module;
                        $d body
                    })+
                }
            };
        }

        fn ask_fences(frontends: &mut Frontends, doors: &mut Doors<'_>) {
            $({
                let of: fn(&mut Client) -> Option<&mut $module::Client> = |client| match client {
                    Client::$name(client) => Some(client),
                    #[allow(unreachable_patterns, reason = "there may be one protocol only")]
                    _ => None,
                };
                let (shared, all) = (&mut frontends.shared.$module, &mut frontends.clients[..]);
                Frontend::ask_fences(&mut Clients { shared, all, of }, doors);
            })+
        }
    };
}

protocols! { $
    /// BLIP/1.
    Blip => blip;
    /// The NATS client protocol.
    Nats => nats;
}

// Below the macros that they use.
mod prune;
mod users;

// Each protocol has counters of its connections.
const _: () = assert!(Protocol::ALL.len() <= PROTOCOLS_MAX);

/// The clients of a core.
#[derive(Default)]
pub struct Frontends {
    clients: Vec<Option<Client>>,
    shared: Shared,
    /// How long messages take.
    pub latencies: Latencies,
}

impl Frontends {
    /// A client has connected. `admitted` is false when there are too many.
    pub fn connected(
        &mut self,
        doors: &mut Doors<'_>,
        protocol: Protocol,
        slot: Slot,
        admission: Admission,
    ) {
        if self.clients.len() <= slot.index() {
            self.clients.resize_with(slot.index() + 1, || None);
        }
        self.clients[slot.index()] = Some(new_client(&mut self.shared, doors, protocol, slot));
        doors.counters.opened_by(protocol as usize).add(1);
        client!(self, slot, |client, shared| client.begin(shared, doors, slot, admission));
    }

    /// The connection of a client is gone.
    pub fn closed(&mut self, counters: &Counters, slot: Slot) -> Protocol {
        let client = self.clients[slot.index()].take().expect("a connection is closed once");
        counters.closed_by(client.protocol() as usize).add(1);
        client.protocol()
    }

    /// The protocol of a slot in use.
    pub fn protocol(&self, slot: Slot) -> Protocol {
        self.clients[slot.index()].as_ref().expect("the slot is in use").protocol()
    }

    /// Serves what is whole at the start of a connection's bytes.
    pub fn serve(&mut self, doors: &mut Doors<'_>, slot: Slot, bytes: &[u8]) -> Served {
        client!(self, slot, |client, shared| client.serve(shared, doors, slot, bytes))
    }

    /// The length of the frame at the start of a connection's bytes, which is not whole, if they say so.
    pub fn frame_len(&self, slot: Slot, bytes: &[u8]) -> Option<usize> {
        client_at!(self, slot, |client, _shared| client.frame_len(bytes))
    }

    /// A subscription is active on all cores that have to know it.
    pub fn known(&mut self, doors: &mut Doors<'_>, index: SubscriptionIndex) {
        let slot = doors.delivery.get(index).connection.slot;
        client!(self, slot, |client, shared| client.known(shared, doors, slot, index));
    }

    /// A subscription was given all that its client asked for.
    pub fn satisfied(&mut self, doors: &mut Doors<'_>, index: SubscriptionIndex) {
        let slot = doors.delivery.get(index).connection.slot;
        client!(self, slot, |client, shared| client.satisfied(shared, doors, slot, index));
    }

    /// The owner of a topic has answered a request to open it.
    pub fn opened(
        &mut self,
        doors: &mut Doors<'_>,
        connection: ConnectionId,
        request: RequestId,
        opened: Result<(Arc<TopicName>, Sequence), TopicsFull>,
    ) {
        // The connection may be gone by now.
        if doors.connections.is_open(connection) {
            let slot = connection.slot;
            client!(self, slot, |client, shared| {
                client.opened(shared, doors, slot, request, opened)
            });
        }
    }

    /// The owner of a topic has ordered frames whose publishers want an ACK.
    pub fn acked(&mut self, doors: &mut Doors<'_>, topic: TopicId, acks: &[Ack]) {
        for ack in acks {
            // The connection may be gone by now.
            if doors.connections.is_open(ack.connection) {
                let slot = ack.connection.slot;
                client!(self, slot, |client, _shared| client.acked(doors, slot, topic, ack));
            }
        }
    }

    /// Clients published under the id of a topic that was removed.
    pub fn removed(&mut self, doors: &mut Doors<'_>, removed: &Removed) {
        // Some may be gone by now.
        for connection in &removed.publishers {
            if doors.connections.is_open(*connection) {
                let slot = connection.slot;
                client!(self, slot, |client, _shared| client.removed(doors, slot, removed.topic));
            }
        }
    }

    /// Nobody listens to a request.
    pub fn no_responders(&mut self, doors: &mut Doors<'_>, unheard: &Unheard) {
        let connection = unheard.requester.connection;
        // The connection may be gone by now.
        if doors.connections.is_open(connection) {
            let slot = connection.slot;
            client!(self, slot, |client, _shared| client.no_responders(doors, slot, unheard));
        }
    }

    /// Another core has served what a connection sent before.
    pub fn fenced(&mut self, doors: &mut Doors<'_>, connection: ConnectionId) {
        // The connection may be gone by now.
        if doors.connections.is_open(connection) {
            let slot = connection.slot;
            client!(self, slot, |client, shared| client.fenced(shared, doors, slot));
        }
    }

    /// Asks other cores for fences that were begun in this turn.
    pub fn ask_fences(&mut self, doors: &mut Doors<'_>) {
        ask_fences(self, doors);
    }

    /// Gathers what a connection is sent into `ranges`, up to `delivery.max_batch` messages.
    pub fn gather(&mut self, doors: &mut Doors<'_>, slot: Slot, ranges: &mut Vec<Bytes>) {
        let messages_max = doors.settings().delivery.max_batch;
        let answers = doors.connections.take_answers(slot);
        let mut send = Send::new(ranges, answers, messages_max);
        let copies = self.clients[slot.index()].as_ref().is_some_and(Client::copies);
        let mut pull = Pull::new(slot, copies);
        let latencies = &mut self.latencies;
        let wants_sent = client!(self, slot, |client, shared| {
            while let Some(piece) = doors.delivery.pull(doors.now, &mut pull, send.room()) {
                if let Pulled::Slice { slice, is_replay, .. } = &piece {
                    send.count(slice.messages);
                    if !is_replay {
                        latencies.note_sent(slice.received_ns, slice.messages);
                    }
                }
                client.put(shared, doors, slot, &mut send, piece);
            }
            client.complete(shared, doors, slot, &mut send)
        });
        send.put_between();
        let (messages, bytes) = send.totals();
        if !send.is_empty() {
            doors.connections.get(slot).begin_send(messages, bytes);
            doors.counters.flushes.add(1);
            doors.counters.flushed_bytes.add(bytes as u64);
            doors.counters.send_messages.record(u64::from(messages), 1);
            doors.counters.send_bytes.record(bytes as u64, 1);
        }
        doors.delivery.finish_pull(pull);
        if wants_sent {
            client!(self, slot, |client, shared| client.sent(shared, doors, slot));
        }
    }

    /// A subscription has ended with all others of its connection: which, whether the connection
    /// waited for it, and whether its client had asked for its end.
    pub fn retired(
        &mut self,
        doors: &mut Doors<'_>,
        connection: ConnectionId,
        (id, was_pending, is_to_end): (SubscriptionId, bool, bool),
    ) {
        let slot = connection.slot;
        // The connection may be gone by now.
        if doors.connections.is_open(connection) {
            if was_pending {
                doors.connections.end_pending(slot);
            }
            client!(self, slot, |client, shared| client
                .retired(shared, doors, slot, id, is_to_end));
            doors.finish_if_empty(slot);
        }
    }

    /// All subscriptions that a connection had when it started over have ended.
    pub fn swept(&mut self, doors: &mut Doors<'_>, connection: ConnectionId) {
        if doors.connections.is_open(connection) {
            let slot = connection.slot;
            client!(self, slot, |client, shared| client.swept(shared, doors, slot));
        }
    }

    /// Nothing more reaches a client.
    pub fn broken(&mut self, doors: &mut Doors<'_>, slot: Slot) {
        client!(self, slot, |client, shared| client.broken(shared, doors, slot));
    }

    /// A client may have been silent for too long.
    pub fn silent(&mut self, doors: &mut Doors<'_>, slot: Slot) {
        client!(self, slot, |client, shared| client.silent(shared, doors, slot));
    }

    /// The broker stops: a client that has authenticated is notified, any other refused.
    pub fn stopping(&mut self, doors: &mut Doors<'_>, slot: Slot) {
        client!(self, slot, |client, _shared| client.stop());
        match doors.connections.at(slot).phase() {
            Phase::Open => client!(self, slot, |client, _shared| client.stopping(doors, slot)),
            Phase::AwaitHello => self.refuse(doors, slot, &Refusal::Stopping),
            Phase::Finishing | Phase::Closing => {}
        }
        doors.close_if_ended(slot);
    }

    /// The broker will stop: tells a client that has authenticated to leave.
    pub fn lame_duck(&mut self, doors: &mut Doors<'_>, slot: Slot) {
        client!(self, slot, |client, _shared| client.lame_duck(doors, slot));
    }

    /// The broker will stop: ends an open connection, once it was sent everything.
    pub fn leave(&mut self, doors: &mut Doors<'_>, slot: Slot) {
        client!(self, slot, |client, _shared| client.leave(doors, slot));
        doors.let_leave(slot);
    }

    /// How many subscriptions a client can name, and the number its protocol calls it by.
    pub fn describe(&self, delivery: &Delivery, slot: Slot) -> (usize, Option<u64>) {
        client_at!(self, slot, |client, _shared| {
            (client.subscriptions(delivery, slot), client.number())
        })
    }

    /// Asserts what is always true of every open client.
    ///
    /// # Panics
    /// If something that is always true is not.
    pub fn audit(&self, audited: &Audited<'_>, open: impl Iterator<Item = Slot>) {
        for slot in open {
            client_at!(self, slot, |client, shared| client.audit(shared, audited, slot));
        }
    }
}
