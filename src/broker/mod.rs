//! The broker of one core, without I/O: bytes, letters and time come in, bytes, letters and
//! actions go out. Every core runs one [`Broker`]; together they are the broker a client sees.
//!
//! The path of one message, file by file:
//!
//! | step | file |
//! |---|---|
//! | bytes of a connection become frames | [`receive`] |
//! | who it is, and what it may do | [`auth`], [`permissions`] |
//! | a publisher's frame joins its topic's batch of this turn | [`publish`], [`ingest`] |
//! | the batch goes to the core that owns the topic | [`letter`], [`mesh`] |
//! | the owner gives sequences and the time | [`shard`] |
//! | every core that wants it gets one reference | [`interest`] |
//! | every subscription that wants it gets one reference | [`fan_out`], [`subscriptions`] |
//! | or, at the bound of its queue, a gap | [`overflow`], [`queue`], [`gaps`] |
//! | what is queued for a connection becomes one send | [`flush`] |
//!
//! That is the path of a BLIP/1 message. NATS clients come in and go out by [`nats`]; between, a
//! message is a message.
//!
//! # One turn
//! The caller tells what happened (`connected`, `received`, `sent`, `ended`, `closed`), then calls
//! [`Broker::take_in`], exchanges letters, and for each connection of [`Broker::next_ready`] calls
//! [`Broker::gather`]; last it carries out the [`Action`]s.
//!
//! # Always true
//! - A connection with a free socket is sent what it has before more is taken in: a subscriber that
//!   reads as fast as its core writes loses nothing, however fast publishers are.
//! - Nothing iterates over a hash map, so the same calls give the same result.

pub mod audit;
pub mod auth;
pub mod block;
pub mod counters;
pub mod drain;
pub mod fan_out;
pub mod flush;
pub mod gaps;
pub mod groups;
pub mod histogram;
pub mod ingest;
pub mod inspect;
pub mod interest;
pub mod letter;
pub mod log;
pub mod members;
pub mod memory;
pub mod mesh;
pub mod nats;
pub mod notice;
pub mod overflow;
pub mod pattern;
pub mod permissions;
pub mod port;
pub mod portion;
pub mod publish;
pub mod queue;
pub mod receive;
pub mod reload;
pub mod replay;
pub mod session;
pub mod shard;
pub mod subscribe;
pub mod subscriptions;
pub mod topic;
pub mod turn;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;

use crate::config::Settings;
use crate::limits;
use crate::protocol::decode::Welcome;
use crate::protocol::{CoreId, Reject, Sequence, ShardId, TopicId, encode};
use auth::Auth;
use block::Blocks;
use counters::Counters;
use drain::Drain;
use flush::PassingIds;
use groups::Groups;
use ingest::{Destination, Ingest};
use interest::Interest;
use letter::{Inbox, Outgoing};
use members::LeftGroup;
use memory::{Kept, Memory};
use nats::encodings::Encodings;
use notice::{Event, Notice};
use session::{Phase, Sessions};
use shard::Shard;
use subscriptions::Subscriptions;

/// What WELCOME calls this server.
pub const SERVER_NAME: &str = concat!("blipmq/", env!("CARGO_PKG_VERSION"));

/// The time, as the caller read it for this turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since some fixed point; the same on all cores, never set back.
    pub monotonic_ns: u64,
    /// Nanoseconds since the Unix epoch.
    pub unix_ns: u64,
}

/// A connection of this core. Slots are used again, generations are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// Index among the core's connections.
    pub slot: u32,
    /// How often the slot was used before.
    pub generation: u32,
}

/// The protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// BLIP/1.
    Blip,
    /// The NATS client protocol.
    Nats,
}

/// Who has connected, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// By the listener it came by.
    pub protocol: Wire,
    /// Where it is.
    pub address: SocketAddr,
}

/// What all cores of one broker agree on.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Cores of this broker.
    pub cores: u16,
    /// Shards that topics are hashed to.
    pub shards: u16,
    /// New at every start.
    pub server_id: u64,
    /// What nonces are made from, for clients that sign one. Whoever makes the cluster puts
    /// randomness here that nobody can guess, if any user has an nkey.
    pub nonce_key: [u8; 32],
    /// As configured.
    pub settings: Arc<Settings>,
    /// What all cores hold, for `limits.memory_max`.
    pub memory: Memory,
    /// Topics of all cores, for `limits.max_topics`.
    pub topics: Arc<AtomicU32>,
    /// Subscriptions of all cores that may hear of gaps, so that nothing is told to nobody.
    pub gap_listeners: Arc<AtomicU32>,
    /// Where NATS clients connect, as INFO says it: the port that was given, if any was asked for.
    pub nats_addr: SocketAddr,
}

impl Cluster {
    /// `server_id` must be random: clients tell a restart by it.
    pub fn new(cores: u16, server_id: u64, settings: Arc<Settings>) -> Cluster {
        let shards = match settings.delivery.fanout_shards {
            0 => (cores * 2).min(limits::SHARDS_MAX),
            shards => shards,
        };
        let memory = Memory::new(settings.limits.memory_max);
        let nats_addr = settings.nats.bind_addr;
        let nonce_key = [0; 32];
        let topics = Arc::default();
        Cluster {
            cores,
            shards,
            server_id,
            nonce_key,
            settings,
            memory,
            topics,
            gap_listeners: Arc::default(),
            nats_addr,
        }
    }

    /// The shard a topic belongs to: a hash of its first token, the same on every core. So topics that
    /// begin alike have one owner, and what one publisher sends to several of them stays in order.
    pub fn shard_of_name(&self, topic: &str) -> ShardId {
        // FNV-1a, folded: short names, and nobody gains by making topics share a shard.
        let first_token = topic.bytes().take_while(|byte| *byte != b'.');
        let hash = first_token.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        ShardId(((hash ^ (hash >> 32)) % u64::from(self.shards)) as u16)
    }

    /// The shard that made a topic id: ids are dealt to shards in turn.
    pub fn shard_of_id(&self, topic: TopicId) -> ShardId {
        ShardId(((topic.0 - 1) % u32::from(self.shards)) as u16)
    }

    /// The shard a batch goes to.
    pub fn shard_of(&self, destination: &Destination) -> ShardId {
        match destination {
            Destination::Topic(topic) => self.shard_of_id(*topic),
            Destination::Name(name) | Destination::Subject(name) => self.shard_of_name(name),
        }
    }

    /// The core that runs a shard.
    pub fn core_of(&self, shard: ShardId) -> CoreId {
        CoreId(shard.0 % self.cores)
    }
}

/// What the caller is to do with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Stop reading it.
    Pause(ConnectionId),
    /// Read it again.
    Resume(ConnectionId),
    /// Send the send in flight, then these bytes, then close.
    Close(ConnectionId, Bytes),
}

/// The broker of one core.
pub struct Broker {
    core: CoreId,
    cluster: Cluster,
    /// Who may connect.
    auth: Auth,
    /// The time of this turn, as the caller last said.
    now: Now,
    counters: Arc<Counters>,
    sessions: Sessions,
    ingest: Ingest,
    /// The shards this core runs, by shard number divided by cores.
    shards: Vec<Shard>,
    interest: Interest,
    subscriptions: Subscriptions,
    outgoing: Vec<Outgoing>,
    inbox: Inbox,
    actions: Vec<Action>,
    notices: Vec<Notice>,
    /// Connections with something to send and no send in flight.
    ready: VecDeque<u32>,
    /// How many of those had more than their last send could take.
    carried_over: usize,
    /// Connections with whole frames that were left for a later turn.
    backlog: VecDeque<u32>,
    /// Connections that are not read at the moment.
    paused: Vec<u32>,
    /// Connections that sent CLOSE in this turn.
    finishing: Vec<u32>,
    /// Connections that still owe a HELLO, soonest deadline first.
    hello_deadlines: VecDeque<(u64, ConnectionId)>,
    /// Topics whose publishers wait.
    blocks: Blocks,
    /// Groups this core coordinates.
    groups: Groups,
    /// The groups of members that left, until their coordinators have said so too.
    left_groups: HashMap<u64, LeftGroup>,
    /// What topics of this core keep.
    kept: Kept,
    /// Input was held back for a connection that had nothing to send after all.
    sent_nothing: bool,
    /// Messages handed to queues since the last flush.
    turn_messages: u32,
    /// When the messages sent since the last turn had arrived, and how many they are.
    sent_since: Vec<(u64, u64)>,
    /// Ids for topics that are not kept.
    passing_ids: PassingIds,
    /// NATS clients this core has had.
    nats_clients: u64,
    /// NATS clients whose next command waits for other cores, to be asked this turn.
    fencing: Vec<u32>,
    /// NATS clients by when to look whether they are silent, soonest first.
    nats_pings: VecDeque<(u64, ConnectionId)>,
    /// What NATS clients were sent lately.
    encodings: Encodings,
    drain: Drain,
    /// Empty between turns; kept for its room.
    spare_ranges: Vec<Bytes>,
}

impl Broker {
    /// The broker of `core`.
    pub fn new(core: CoreId, cluster: Cluster, counters: Arc<Counters>) -> Broker {
        let shards = (0..cluster.shards)
            .map(ShardId)
            .filter(|shard| cluster.core_of(*shard) == core)
            .map(|shard| Shard::new(shard, cluster.clone(), counters.clone()))
            .collect();
        Broker {
            core,
            auth: Auth::new(&cluster.settings.auth),
            now: Now { monotonic_ns: 0, unix_ns: 0 },
            counters,
            sessions: Sessions::default(),
            ingest: Ingest::new(&cluster.settings),
            shards,
            interest: Interest::default(),
            subscriptions: Subscriptions::default(),
            outgoing: (0..cluster.cores).map(|_| Outgoing::default()).collect(),
            inbox: Inbox::default(),
            actions: Vec::new(),
            notices: Vec::new(),
            ready: VecDeque::new(),
            carried_over: 0,
            sent_nothing: false,
            backlog: VecDeque::new(),
            paused: Vec::new(),
            finishing: Vec::new(),
            hello_deadlines: VecDeque::new(),
            blocks: Blocks::default(),
            groups: Groups::default(),
            left_groups: HashMap::new(),
            kept: Kept::default(),
            turn_messages: 0,
            sent_since: Vec::new(),
            passing_ids: PassingIds::new(),
            nats_clients: 0,
            fencing: Vec::new(),
            nats_pings: VecDeque::new(),
            encodings: Encodings::default(),
            drain: Drain::default(),
            spare_ranges: Vec::new(),
            cluster,
        }
    }

    /// A client has connected. `admitted` is false when there are too many.
    pub fn connected(&mut self, now: Now, connection: ConnectionId, peer: Peer, admitted: bool) {
        self.now = now;
        self.counters.connections_opened.add(1);
        self.sessions.insert(connection, peer, now);
        if peer.protocol == Wire::Nats {
            self.nats_connected(now, connection.slot, admitted);
        } else if self.drain.has_begun() {
            self.reject(connection.slot, &Reject::Stopping);
        } else if !admitted {
            let connections_max = self.cluster.settings.server.max_connections;
            self.reject(connection.slot, &Reject::TooManyConnections { connections_max });
        } else {
            self.expect_hello(now, connection.slot);
        }
    }

    /// Who does not say who it is in time is closed.
    fn expect_hello(&mut self, now: Now, slot: u32) {
        let timeout_ns = u64::from(self.cluster.settings.server.auth_timeout_ms) * 1_000_000;
        let connection = self.sessions.id(slot);
        let deadline = now.monotonic_ns + timeout_ns;
        // The last, unless a reload has made the timeout shorter.
        let place = self.hello_deadlines.partition_point(|(other, _)| *other <= deadline);
        self.hello_deadlines.insert(place, (deadline, connection));
    }

    /// The connection's send is with the kernel; the next may come.
    pub fn sent(&mut self, now: Now, connection: ConnectionId) {
        self.now = now;
        let session = self.sessions.get(connection.slot);
        session.last_sent_ns = now.monotonic_ns;
        self.counters.delivered_messages.add(u64::from(session.in_flight_messages));
        session.traffic.delivered_messages += u64::from(session.in_flight_messages);
        session.traffic.delivered_bytes += session.in_flight_bytes as u64;
        session.in_flight = false;
        session.in_flight_messages = 0;
        if session.has_content() {
            self.carried_over += 1;
            self.mark_ready(connection.slot);
        }
        self.finish_if_empty(connection.slot);
    }

    /// The connection's send failed: nothing more reaches the peer. What is queued for it stays
    /// until its end is seen, and is lost then, or handed to other members of its group.
    pub fn broken(&mut self, now: Now, connection: ConnectionId) {
        self.now = now;
        // The send counts as in flight for ever, so nothing is gathered for it any more. What it is
        // answered reaches nobody, and must not keep it from being read to its end.
        let session = self.sessions.get(connection.slot);
        session.broken = true;
        session.answers = BytesMut::new();
        let is_nats = session.nats.is_some();
        if session.phase == Phase::Finishing {
            self.close(connection.slot, Bytes::new());
        } else if is_nats && session.phase != Phase::Closing {
            self.forget_pongs(connection.slot);
        }
    }

    /// The peer sends no more, or the connection broke.
    pub fn ended(&mut self, now: Now, connection: ConnectionId) {
        self.now = now;
        let session = self.sessions.get(connection.slot);
        session.ended = true;
        // What it sent before it ended was received; only then it is gone.
        if session.phase != Phase::Closing && !session.waits_to_parse() {
            self.parse_unparsed(now, connection.slot);
        }
        self.close_if_ended(connection.slot);
    }

    /// The connection is gone; its id is void. Tells whose it was, and why it was closed.
    pub fn closed(&mut self, connection: ConnectionId) -> (Peer, Cow<'static, str>) {
        let session = self.sessions.remove(connection);
        self.counters.connections_closed.add(1);
        if session.nats.is_some() {
            self.counters.nats_connections_closed.add(1);
        }
        self.counters.dropped_disconnected_messages.add(u64::from(session.in_flight_messages));
        (session.peer, session.why_closed)
    }

    /// Whether `take_in` has to be called once more at once: what was sent brought something up.
    pub fn owes_turn(&self) -> bool {
        !self.ingest.is_empty() || !self.backlog.is_empty() || self.sent_nothing
    }

    /// Whether `received` may be called: nobody who could be sent something waits for it.
    pub fn wants_input(&self) -> bool {
        self.carried_over == 0 && self.backlog.is_empty() && self.ingest.has_room()
    }

    /// The next connection that has something to send and no send in flight.
    pub fn next_ready(&mut self) -> Option<ConnectionId> {
        self.carried_over = 0;
        self.turn_messages = 0;
        while let Some(slot) = self.ready.pop_front() {
            // The connection may have been closed since, and the slot be free.
            let Some((connection, session)) = self.sessions.find(slot) else { continue };
            session.is_ready = false;
            if session.phase != Phase::Closing && !session.in_flight {
                return Some(connection);
            }
        }
        None
    }

    pub(super) fn take_spare_ranges(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.spare_ranges)
    }

    pub(super) fn put_spare_ranges(&mut self, ranges: Vec<Bytes>) {
        self.spare_ranges = ranges;
    }

    /// What to do with connections; in order.
    pub fn take_actions(&mut self) -> impl Iterator<Item = Action> {
        std::mem::take(&mut self.actions).into_iter()
    }

    /// When `take_in` has to be called even if nothing happens.
    pub fn next_deadline_ns(&self) -> Option<u64> {
        let hello = self.hello_deadlines.front().map(|(deadline, _)| *deadline);
        let ping = self.nats_pings.front().map(|(deadline, _)| *deadline);
        let encodings = self.encodings.check_at_ns();
        let others = [self.blocks.check_at_ns(), self.kept.check_at_ns(), self.drain.check_at_ns()];
        [hello, ping, encodings].into_iter().chain(others).flatten().min()
    }

    /// Ends connections that never said HELLO.
    fn check_hello_deadlines(&mut self, now: Now) {
        while let Some(&(deadline, connection)) = self.hello_deadlines.front() {
            let owes = self.sessions.find(connection.slot).is_some_and(|(found, session)| {
                found == connection && session.phase == Phase::AwaitHello
            });
            if owes && deadline > now.monotonic_ns {
                return;
            }
            self.hello_deadlines.pop_front();
            if owes {
                let auth_timeout_ms = self.cluster.settings.server.auth_timeout_ms;
                self.reject(connection.slot, &Reject::AuthTimeout { auth_timeout_ms });
            }
        }
    }

    /// Puts a connection on the list of those to send to, once.
    fn mark_ready(&mut self, slot: u32) {
        let session = self.sessions.get(slot);
        if !session.is_ready && !session.in_flight && session.phase != Phase::Closing {
            session.is_ready = true;
            self.ready.push_back(slot);
        }
    }

    /// Appends an answer for a connection.
    fn answer(&mut self, slot: u32, encode: impl FnOnce(&mut BytesMut)) {
        let session = self.sessions.get(slot);
        if session.phase != Phase::Closing && !session.broken {
            encode(&mut session.answers);
            self.mark_ready(slot);
        }
    }

    /// Tells a client what was wrong; a fatal offence ends its connection.
    fn reject(&mut self, slot: u32, reject: &Reject) {
        let session = self.sessions.get(slot);
        if session.phase == Phase::Closing {
            return;
        }
        let is_nats = session.nats.is_some();
        if matches!(reject, Reject::SlowSubscriber { .. }) {
            self.notice(slot, Event::TooSlow { why: reject.to_string() });
        }
        if is_nats {
            return self.offend_with(slot, reject);
        }
        self.counters.errors_sent.add(1);
        if reject.refuses_login() {
            self.counters.logins_refused.add(1);
            self.notice(slot, Event::LoginRefused { why: reject.to_string() });
        }
        if reject.is_fatal() {
            let session = self.sessions.get(slot);
            session.why_closed = Cow::Owned(reject.to_string());
            let mut last = std::mem::take(&mut session.answers);
            encode::error(&mut last, reject);
            self.close(slot, last.freeze());
        } else {
            self.answer(slot, |out| encode::error(out, reject));
        }
    }

    /// Ends a connection, with some last bytes. What was queued for it is lost, and counted.
    fn close(&mut self, slot: u32, last: Bytes) {
        let connection = self.sessions.id(slot);
        let session = self.sessions.get(slot);
        assert!(session.phase != Phase::Closing, "a connection is closed once");
        if session.why_closed.is_empty() {
            session.why_closed = Cow::Borrowed(match session.phase {
                _ if session.ended => "its client closed it",
                _ if self.drain.has_begun() => "the broker stops",
                Phase::Finishing => "its client said CLOSE",
                _ => "",
            });
        }
        session.phase = Phase::Closing;
        session.unparsed = BytesMut::new();
        session.answers = BytesMut::new();
        self.drop_subscriptions(slot);
        self.actions.push(Action::Close(connection, last));
    }

    fn close_if_ended(&mut self, slot: u32) {
        let session = self.sessions.get(slot);
        // After CLOSE the peer may well send no more: it is owed what is queued all the same, if it
        // can be reached.
        let goes = match session.phase {
            Phase::AwaitHello | Phase::Open => true,
            Phase::Finishing => session.broken,
            Phase::Closing => false,
        };
        if session.ended && goes && !session.waits_to_parse() {
            self.close(slot, Bytes::new());
        }
    }

    /// After CLOSE, or when draining: ends a connection that has been sent everything.
    fn finish_if_empty(&mut self, slot: u32) {
        let quiet = self.drain.is_quiet();
        let session = self.sessions.get(slot);
        // What it asked before CLOSE is answered: it may want to know that its messages arrived.
        let waits = session.pending_requests > 0 || session.is_fenced();
        let finishing = match session.phase {
            Phase::Finishing => quiet || !waits,
            Phase::Open => quiet && session.close_at_ns <= self.now.monotonic_ns,
            Phase::AwaitHello | Phase::Closing => false,
        };
        if finishing && !session.in_flight && !session.has_content() {
            let nats = session.nats.as_mut();
            let last = nats.map_or(Bytes::new(), |nats| std::mem::take(&mut nats.last_words));
            self.close(slot, last);
        }
    }

    fn welcome<'a>(&self) -> Welcome<'a> {
        let message_len_max = self.cluster.settings.server.max_message_size_bytes;
        Welcome {
            version: crate::protocol::frame::VERSION,
            core: self.core,
            cores: self.cluster.cores,
            shards: self.cluster.shards,
            message_len_max,
            frame_len_max: limits::frame_len_max(message_len_max),
            server_id: self.cluster.server_id,
            server: SERVER_NAME,
        }
    }
}
