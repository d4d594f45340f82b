//! The state of each connection: how far its HELLO and its closing are, what it was told, and
//! which of its subscriptions have something to send.
//!
//! Changed by `receive` and what follows it on the way in, and by `flush` on the way out.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use hashbrown::{HashMap, HashSet};

use super::nats::NatsSession;
use super::permissions::Permissions;
use super::subscriptions::{SubscriptionIndex, Subscriptions};
use super::topic::TopicName;
use super::{ConnectionId, Now, Peer};
use crate::limits::{ANSWER_BYTES_MAX, PENDING_REQUESTS_MAX};
use crate::protocol::{CoreId, RequestId, SubscriptionId, TopicId};

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its first frame has to be HELLO.
    AwaitHello,
    /// It was welcomed.
    Open,
    /// It sent CLOSE: what is queued goes out, nothing comes in.
    Finishing,
    /// The caller was told to close it.
    Closing,
}

/// What became of an OPEN.
#[derive(Debug, Clone)]
pub enum Opened {
    /// The owner has not answered yet; frames go to it under the topic's name.
    Pending(Arc<str>),
    /// The topic's id.
    Topic(TopicId),
    /// Refused: frames are refused with it.
    Refused,
}

/// Why a connection is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// It does not take its answers.
    Answers,
    /// The core it publishes to cannot keep up.
    Mesh(CoreId),
    /// A subscriber of the topic it publishes to cannot keep up, and wants publishers to wait.
    Blocked(TopicId),
    /// What it sent has to take effect on other cores before it goes on.
    Fence,
}

/// What has come from a connection and gone to it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Messages it published.
    pub published_messages: u64,
    /// Bytes of the frames or commands they came in.
    pub published_bytes: u64,
    /// Messages the kernel took for it.
    pub delivered_messages: u64,
    /// Bytes of everything the kernel took for it.
    pub delivered_bytes: u64,
}

impl Traffic {
    /// It published messages.
    pub fn add_published(&mut self, messages: u32, bytes: usize) {
        self.published_messages += u64::from(messages);
        self.published_bytes += bytes as u64;
    }
}

/// One connection.
pub struct Session {
    /// Who it is, and how it came.
    pub peer: Peer,
    /// When it came.
    pub connected_ns: u64,
    /// What it did so far.
    pub traffic: Traffic,
    /// Messages that its subscriptions were not sent, also those it has ended.
    pub lost_messages: u64,
    /// How far it is.
    pub phase: Phase,
    /// What it may do; nothing before it has said who it is.
    pub permissions: Arc<Permissions>,
    /// The peer sends no more.
    pub ended: bool,
    /// Nothing more reaches the peer; its end is to come.
    pub broken: bool,
    /// The beginning of a frame, or frames left for later.
    pub unparsed: BytesMut,
    /// `unparsed` is on the backlog.
    pub in_backlog: bool,
    /// Not read at the moment.
    pub paused: Option<Paused>,
    /// Answers to send before any message.
    pub answers: BytesMut,
    /// Requests that wait for another core.
    pub pending_requests: u32,
    /// Its OPENs by request.
    pub opens: HashMap<RequestId, Opened>,
    /// Topics it was told the id of.
    pub announced: HashSet<TopicId>,
    /// Those of them that it may not publish to.
    pub only_receives: HashMap<TopicId, Arc<TopicName>>,
    /// The topic of its last frame, which is most often that of its next.
    pub last_published: Option<TopicId>,
    /// The topic it was sent last, and the id it has been told for it.
    pub last_announced: Option<(Arc<TopicName>, TopicId)>,
    /// Its subscriptions.
    pub subscriptions: HashMap<SubscriptionId, SubscriptionIndex>,
    /// Subscriptions with something to send, in turn; see `Subscriptions::rank`.
    pub to_send: VecDeque<SubscriptionIndex>,
    /// On the list of connections to send to.
    pub is_ready: bool,
    /// A send is with the kernel.
    pub in_flight: bool,
    /// When the kernel took the last one.
    pub last_sent_ns: u64,
    /// Messages in it.
    pub in_flight_messages: u32,
    /// Bytes of it.
    pub in_flight_bytes: usize,
    /// Why it is being closed, once it is.
    pub why_closed: Cow<'static, str>,
    /// When the broker stops: not to be closed before, though it has everything.
    pub close_at_ns: u64,
    /// It is a NATS client.
    pub nats: Option<Box<NatsSession>>,
}

impl Session {
    fn new(permissions: Arc<Permissions>, peer: Peer, connected_ns: u64) -> Session {
        Session {
            peer,
            connected_ns,
            traffic: Traffic::default(),
            lost_messages: 0,
            phase: Phase::AwaitHello,
            permissions,
            ended: false,
            broken: false,
            unparsed: BytesMut::new(),
            in_backlog: false,
            paused: None,
            answers: BytesMut::new(),
            pending_requests: 0,
            opens: HashMap::new(),
            announced: HashSet::new(),
            only_receives: HashMap::new(),
            last_published: None,
            last_announced: None,
            subscriptions: HashMap::new(),
            to_send: VecDeque::new(),
            is_ready: false,
            in_flight: false,
            last_sent_ns: 0,
            in_flight_messages: 0,
            in_flight_bytes: 0,
            why_closed: Cow::Borrowed(""),
            close_at_ns: 0,
            nats: None,
        }
    }

    /// Puts a subscription on the list of those with something to send, behind all of its rank.
    pub fn list(&mut self, subscriptions: &Subscriptions, index: SubscriptionIndex) {
        let rank = subscriptions.rank(index);
        let later = |listed: &SubscriptionIndex| subscriptions.rank(*listed) > rank;
        let place = self.to_send.iter().position(later).unwrap_or(self.to_send.len());
        self.to_send.insert(place, index);
    }

    /// Whether there is anything to send.
    pub fn has_content(&self) -> bool {
        !self.answers.is_empty() || !self.to_send.is_empty()
    }

    /// Whether frames it sent are held back for now.
    pub fn waits_to_parse(&self) -> bool {
        self.in_backlog || self.paused.is_some() || self.is_fenced()
    }

    /// Whether what it sent has still to take effect on other cores.
    pub fn is_fenced(&self) -> bool {
        self.nats.as_ref().is_some_and(|nats| nats.fence.is_some())
    }

    /// The part that only NATS clients have.
    pub fn nats(&mut self) -> &mut NatsSession {
        self.nats.as_mut().expect("it is a NATS client")
    }

    /// Whether its answers, sent and to come, are as many as may wait.
    pub fn is_full_of_answers(&self) -> bool {
        self.answers.len() > ANSWER_BYTES_MAX || self.pending_requests >= PENDING_REQUESTS_MAX
    }
}

/// The connections of a core by slot.
#[derive(Default)]
pub struct Sessions {
    slots: Vec<Option<(ConnectionId, Box<Session>)>>,
    /// What a stranger may do: nothing.
    stranger: Arc<Permissions>,
}

impl Sessions {
    /// A new connection.
    pub fn insert(&mut self, connection: ConnectionId, peer: Peer, now: Now) {
        let slot = connection.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        assert!(self.slots[slot].is_none(), "a slot is used again only after `closed`");
        let session = Session::new(self.stranger.clone(), peer, now.monotonic_ns);
        self.slots[slot] = Some((connection, Box::new(session)));
    }

    /// The connection of a slot in use.
    pub fn get(&mut self, slot: u32) -> &mut Session {
        self.find(slot).expect("the slot is in use until `closed`").1
    }

    /// The id of a slot in use.
    pub fn id(&mut self, slot: u32) -> ConnectionId {
        self.find(slot).expect("the slot is in use until `closed`").0
    }

    /// The connection of a slot, if one has it.
    pub fn find(&mut self, slot: u32) -> Option<(ConnectionId, &mut Session)> {
        let (connection, session) = self.slots.get_mut(slot as usize)?.as_mut()?;
        Some((*connection, session))
    }

    /// The connection of an id that may be void.
    pub fn find_id(&mut self, connection: ConnectionId) -> Option<&mut Session> {
        let (found, session) = self.find(connection.slot)?;
        (found == connection).then_some(session)
    }

    /// Ends a connection.
    pub fn remove(&mut self, connection: ConnectionId) -> Session {
        let (found, session) =
            self.slots[connection.slot as usize].take().expect("a connection is closed once");
        assert!(found == connection, "a connection is closed once");
        *session
    }

    /// All connections with their slots, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Session)> {
        let used = self.slots.iter().flatten();
        used.map(|(connection, session)| (connection.slot, &**session))
    }

    /// Slots that are or were in use.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The connection of a slot, if one has it.
    pub fn at(&self, slot: usize) -> Option<(ConnectionId, &Session)> {
        let (connection, session) = self.slots.get(slot)?.as_ref()?;
        Some((*connection, session))
    }

    /// All slots in use, ascending.
    pub fn slots_in_use(&self) -> Vec<u32> {
        let used = self.slots.iter().enumerate().filter(|(_, slot)| slot.is_some());
        used.map(|(slot, _)| slot as u32).collect()
    }
}
