//! The broker of one core, without I/O: bytes, mesh messages and time come in, bytes, mesh messages
//! and actions go out. Every core runs one [`Broker`]; together they are the broker a client sees.
//!
//! The broker is a house of rooms. A room owns its state; other rooms use its doors, and `use` lines
//! show which. [`turn`] alone knows all of them. The path of one message:
//!
//! | step | room |
//! |---|---|
//! | the driver reports bytes; input is served until a bound is reached | [`turn`] |
//! | bytes become requests | `frontends` |
//! | how far the connection is, and whether its input is held | `connections` |
//! | the message joins its topic's batch of this turn | [`topics::ingest`] |
//! | the batch goes to the core that owns the topic | [`mesh`] |
//! | the owner gives sequences and the time, and retains the messages | [`topics`] |
//! | each subscription that wants them gets a reference, or a gap | [`delivery`] |
//! | what is queued for a connection becomes one send | `frontends`, out through the [`port`] |
//!
//! # Always true
//! - A connection with a free socket is sent what it has before more is taken in: a subscriber that
//!   reads as fast as its core writes loses nothing, however fast publishers are.
//! - Nothing iterates over a hash map, so the same calls give the same result.

mod auth;
mod clock;
mod cluster;
mod connections;
mod counter;
pub mod counters;
mod drain;
mod frontends;
mod give_back;
pub mod histogram;
mod holders;
mod ids;
pub mod inspect;
mod logins;
pub mod memory;
mod permissions;
pub mod port;
mod quotas;
pub mod security;
mod shortage;
mod timers;
pub mod turn;

// What only this package's own tests, benchmarks and fuzz targets use from outside.
#[doc(hidden)]
pub mod delivery;
#[doc(hidden)]
pub mod mesh;
#[doc(hidden)]
pub mod message;
#[doc(hidden)]
pub mod pattern;
#[doc(hidden)]
pub mod topics;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::protocol::CoreId;
use auth::Auth;
pub use auth::{Failed, LoginFailure, is_same};
pub use clock::Now;
pub use cluster::Cluster;
use connections::{Connections, Phase};
use counters::Counters;
use delivery::{Delivery, Effect, SubscriptionRef};
use drain::Drain;

pub use frontends::notice::{Event, Notice, Peer};
pub use frontends::{Admission, Protocol, SERVER_NAME};
use frontends::{Doors, Frontends, Texts};
use give_back::GiveBack;
pub use ids::{CheckId, ConnectionId, Slot};
use logins::Logins;
pub use logins::PasswordCheck;
use mesh::Mesh;
use security::{Handshake, Secured, TlsOffer};
use shortage::Shortage;
use timers::Timers;
use topics::Topics;
use topics::ingest::Ingest;
use topics::polls::Polls;
use topics::replay::Replays;

/// The broker of one core.
pub struct Broker {
    core: CoreId,
    cluster: Cluster,
    counters: Arc<Counters>,
    auth: Auth,
    logins: Logins,
    timers: Timers,
    connections: Connections,
    frontends: Frontends,
    texts: Texts,
    ingest: Ingest,
    topics: Topics,
    /// Requests that may have reached nobody.
    polls: Polls,
    /// What topics retain, on its way to subscriptions.
    replays: Replays<SubscriptionRef>,
    delivery: Delivery,
    mesh: Mesh,
    notices: Vec<Notice>,
    drain: Drain,
    /// Connections whose users have other permissions, and before which place of theirs subscriptions are
    /// still to be looked at.
    pruning: VecDeque<(ConnectionId, usize)>,
    /// Publishes find no memory.
    shortage: Shortage,
    /// What is held rises and falls.
    give_back: GiveBack,
    /// This turn gives memory back to the operating system.
    gives_back: bool,
    /// Input was held back for a connection that had nothing to send after all.
    sent_nothing: bool,
    /// Empty between turns; kept for their room.
    spare_ranges: Vec<Bytes>,
    spare_effects: Vec<Vec<Effect>>,
}

impl Broker {
    /// The broker of `core`.
    pub fn new(core: CoreId, cluster: Cluster, counters: Arc<Counters>) -> Broker {
        Broker {
            core,
            auth: Auth::new(&cluster.settings, &cluster.quotas),
            logins: Logins::new(cluster.nonce_key),
            timers: Timers::default(),
            connections: Connections::default(),
            frontends: Frontends::default(),
            texts: Texts::default(),
            ingest: Ingest::new(&cluster.settings),
            topics: Topics::new(core, cluster.clone(), counters.clone()),
            polls: Polls::default(),
            replays: Replays::default(),
            delivery: Delivery::new(core, cluster.clone(), counters.clone()),
            mesh: Mesh::new(cluster.cores, counters.clone()),
            notices: Vec::new(),
            drain: Drain::default(),
            pruning: VecDeque::new(),
            shortage: Shortage::default(),
            give_back: GiveBack::default(),
            gives_back: false,
            sent_nothing: false,
            spare_ranges: Vec::new(),
            spare_effects: Vec::new(),
            counters,
            cluster,
        }
    }

    /// The frontends, and the doors of the other rooms for them.
    fn open_doors(&mut self, now: Now) -> (&mut Frontends, Doors<'_>) {
        let doors = Doors {
            now,
            core: self.core,
            cluster: &self.cluster,
            counters: &self.counters,
            auth: &self.auth,
            logins: &mut self.logins,
            timers: &mut self.timers,
            connections: &mut self.connections,
            ingest: &mut self.ingest,
            topics: &mut self.topics,
            polls: &mut self.polls,
            delivery: &mut self.delivery,
            mesh: &mut self.mesh,
            texts: &mut self.texts,
            notices: &mut self.notices,
            drain: &self.drain,
            shortage: &mut self.shortage,
        };
        (&mut self.frontends, doors)
    }

    /// A client has connected, and is admitted or not.
    pub fn connected(
        &mut self,
        now: Now,
        connection: ConnectionId,
        peer: Peer,
        admission: impl Into<Admission>,
    ) {
        let plain = (TlsOffer::default(), Handshake::None);
        self.connected_with(now, connection, peer, admission, plain);
    }

    /// A client has connected to a listener that may offer TLS.
    pub fn connected_with(
        &mut self,
        now: Now,
        connection: ConnectionId,
        peer: Peer,
        admission: impl Into<Admission>,
        (offer, handshake): (TlsOffer, Handshake),
    ) {
        self.counters.connections_opened.add(1);
        self.connections.table_mut().insert(connection, peer.address, now.monotonic_ns);
        self.connections.get(connection.slot).begin_security(offer, handshake);
        self.delivery.connected(connection);
        let (frontends, mut doors) = self.open_doors(now);
        frontends.connected(&mut doors, peer.protocol, connection.slot, admission.into());
        self.carry_out(now);
        self.note_stranger(now, connection);
    }

    /// The handshake that was to come is over, or with `None` there will be none. From now on the client
    /// has its time to log in.
    pub fn secured(&mut self, now: Now, connection: ConnectionId, secured: Option<Box<Secured>>) {
        let slot = connection.slot;
        self.connections.get(slot).end_handshake(secured);
        let (frontends, mut doors) = self.open_doors(now);
        if !doors.connections.at(slot).is_over() {
            doors.expect_sign_of_life(frontends.protocol(slot), slot);
            if doors.auth.is_required() {
                doors.expect_login(slot);
            }
        }
    }

    /// What carries the connection cannot go on, as after a failed handshake: the connection is closed
    /// without a word.
    pub fn give_up(
        &mut self,
        now: Now,
        connection: ConnectionId,
        why: impl Into<Cow<'static, str>>,
    ) {
        let slot = connection.slot;
        let (_, mut doors) = self.open_doors(now);
        let connection = doors.connections.get(slot);
        if connection.phase() != Phase::Closing {
            connection.set_why_closed(why.into());
            doors.close(slot, Bytes::new());
            self.carry_out(now);
        }
    }

    /// Bytes arrived.
    pub fn received(&mut self, now: Now, connection: ConnectionId, bytes: &[u8]) {
        self.take_bytes(now, connection.slot, bytes);
    }

    /// The connection's send is with the kernel; the next may come.
    pub fn sent(&mut self, now: Now, connection: ConnectionId) {
        let slot = connection.slot;
        let (messages, bytes) = self.connections.complete_send(slot);
        self.delivery.note_taken(now, slot, bytes);
        self.counters.delivered_messages.add(u64::from(messages));
        let (_, mut doors) = self.open_doors(now);
        if doors.has_content(slot) {
            match doors.delivery.is_pressed(slot) {
                true => doors.connections.carry_over(slot),
                false => doors.connections.mark_ready(slot),
            }
        }
        doors.finish_if_empty(slot);
        self.carry_out(now);
    }

    /// The connection's send failed: nothing more reaches the peer. What is queued for it stays
    /// until its end is seen, and is lost then, or handed to other members of its group.
    pub fn broken(&mut self, now: Now, connection: ConnectionId) {
        self.break_off(now, connection.slot);
    }

    /// The peer sends no more, or the connection broke.
    pub fn ended(&mut self, now: Now, connection: ConnectionId) {
        self.end(now, connection.slot);
    }

    /// The peer of a connection that is not read is gone: what it sent last is not served any more.
    pub fn vanished(&mut self, now: Now, connection: ConnectionId) {
        self.vanish(now, connection.slot);
    }

    /// The connection is gone; its id is void. Returns whose it was, and why it was closed.
    pub fn closed(&mut self, connection: ConnectionId) -> (Peer, Cow<'static, str>) {
        let slot = connection.slot;
        let protocol = self.frontends.closed(&self.counters, slot);
        let gone = self.connections.table_mut().remove(connection);
        self.counters.connections_closed.add(1);
        let lost = u64::from(gone.in_flight_messages());
        self.counters.dropped_disconnected_messages.add(lost);
        (Peer { protocol, address: gone.address() }, gone.into_why_closed())
    }

    /// Whether `received` may be called: this turn has room, of which what was left of earlier turns
    /// has half.
    pub fn wants_input(&self) -> bool {
        !self.connections.are_carried_over()
            && self.connections.have_commands_left()
            && self.ingest.has_room()
            && (self.ingest.is_half_empty() || !self.connections.has_backlog())
    }

    /// Serves what is left of earlier input, before more is received.
    pub fn go_on(&mut self, now: Now) {
        if !self.connections.are_carried_over() {
            let (may_serve, has_room) =
                (Connections::have_half_their_commands_left, Ingest::is_half_empty);
            self.serve_backlog(now, may_serve, has_room);
        }
    }

    /// When a turn has to run even if nothing happens, in nanoseconds of `Now::monotonic_ns`.
    pub fn next_deadline_ns(&self) -> Option<u64> {
        self.timers.next_ns()
    }

    /// Begins the stop: clients are notified, and their input is not served any more.
    pub fn stop(&mut self, now: Now) {
        self.begin_stop(now);
    }

    /// Whether everything was delivered and reported. Connections may still be closing.
    pub fn is_stopped(&self) -> bool {
        self.drain.is_quiet && self.mesh.is_empty() && !self.delivery.is_sweeping()
    }
}
