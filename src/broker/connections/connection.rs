//! One connection: how far it is, and what it was sent and sends.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;

use super::Unserved;
use super::ending::Ending;
use super::input::Share;
use super::login::LoginWait;
use super::secure::Security;
use crate::broker::permissions::Permissions;
use crate::broker::quotas::Place;
use crate::limits::{ANSWER_BYTES_MAX, PENDING_REQUESTS_MAX};
use crate::protocol::{CoreId, TopicId};

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its client has to authenticate.
    AwaitHello,
    /// Its client may do what its user may.
    Open,
    /// Its client asked for the end, or has to go: what is queued goes out, nothing comes in.
    Finishing,
    /// The port was asked to close it.
    Closing,
}

/// Why the input of a connection is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Its client does not take its answers.
    Answers,
    /// The core it publishes to cannot keep up.
    Mesh(CoreId),
    /// A subscriber of the topic it publishes to cannot keep up, and wants publishers to wait.
    Blocked(TopicId),
    /// What it sent has to take effect on other cores before it goes on.
    Fence,
    /// There is no memory for what it publishes, until some is reclaimed from those who hold it.
    Memory,
    /// It has published faster than it may.
    Rate,
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

/// One connection.
pub struct Connection {
    address: SocketAddr,
    connected_ns: u64,
    traffic: Traffic,
    /// What its client may do; nothing before it has authenticated.
    pub(super) permissions: Arc<Permissions>,
    /// Its place among the connections of its user, if those are limited.
    pub(super) place: Option<Place>,
    /// The beginning of a frame, or frames left for later.
    pub(super) unserved: Unserved,
    /// Answers to send before any message.
    pub(super) answers: BytesMut,
    /// What it had served in a turn.
    pub(super) share: Share,
    /// Boxed: most listeners speak plain text.
    pub(super) security: Option<Box<Security>>,
    /// Boxed: a connection lives long and ends once.
    pub(super) ending: Option<Box<Ending>>,
    /// Requests that wait for another core.
    pending: u32,
    in_flight_messages: u32,
    in_flight_bytes: usize,
    /// Bytes of answers that the kernel was given and has not taken.
    pub(super) in_flight_answers: usize,
    /// Bytes of what its frontend remembers for it, where its client decides how much that is.
    pub(super) remembered: usize,
    /// What it holds is to be counted again.
    pub(super) is_touched: bool,
    /// When the send began that is with the kernel.
    send_began_ns: u64,
    /// A deadline is set for its sends.
    is_send_watched: bool,
    /// Until when what it has published uses its rate up.
    rate_used_until_ns: u64,
    heard_ns: u64,
    /// How often its client was asked for a sign of life since then.
    asked: u32,
    /// If a send was with the kernel at the last look at its silence: the bytes taken before.
    taken_at_look: Option<u64>,
    pub(super) hold: Option<Hold>,
    pub(super) login: LoginWait,
    pub(super) phase: Phase,
    /// The peer sends no more.
    pub(super) ended: bool,
    /// Nothing more reaches the peer; its end is to come.
    pub(super) broken: bool,
    /// What it sent has still to take effect on other cores.
    pub(super) is_fenced: bool,
    /// `unserved` is on the backlog.
    pub(super) in_backlog: bool,
    /// On the list of held connections whose reason may be over.
    pub(super) is_released: bool,
    /// The port reads it.
    pub(super) is_read: bool,
    /// On the list of connections to send to.
    pub(super) is_ready: bool,
    /// A send is with the kernel.
    pub(super) in_flight: bool,
}

impl Connection {
    pub(super) fn new(
        permissions: Arc<Permissions>,
        address: SocketAddr,
        now_ns: u64,
    ) -> Connection {
        Connection {
            address,
            connected_ns: now_ns,
            traffic: Traffic::default(),
            permissions,
            place: None,
            unserved: Unserved::default(),
            answers: BytesMut::new(),
            share: Share::default(),
            security: None,
            ending: None,
            pending: 0,
            in_flight_messages: 0,
            in_flight_bytes: 0,
            in_flight_answers: 0,
            remembered: 0,
            is_touched: false,
            send_began_ns: 0,
            is_send_watched: false,
            rate_used_until_ns: 0,
            heard_ns: now_ns,
            asked: 0,
            taken_at_look: None,
            hold: None,
            login: LoginWait::Nothing,
            phase: Phase::AwaitHello,
            ended: false,
            broken: false,
            is_fenced: false,
            in_backlog: false,
            is_released: false,
            is_read: true,
            is_ready: false,
            in_flight: false,
        }
    }

    /// Where its client is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When its client connected.
    pub fn connected_ns(&self) -> u64 {
        self.connected_ns
    }

    /// What has come from it and gone to it.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Times that its input was left for a later turn because it had had its share.
    pub fn input_deferred(&self) -> u64 {
        self.share.deferred
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether nothing more is served of it.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Finishing | Phase::Closing)
    }

    /// Why its input is held.
    pub fn held_for(&self) -> Option<Hold> {
        self.hold
    }

    /// What its client may do.
    pub fn permissions(&self) -> &Arc<Permissions> {
        &self.permissions
    }

    /// Its client may do what it may do.
    pub fn open(&mut self) {
        self.phase = Phase::Open;
    }

    /// Nothing more comes in; what is queued goes out.
    pub fn finish(&mut self) {
        self.phase = Phase::Finishing;
    }

    /// Whether its peer sends no more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Its peer sends no more.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether nothing more reaches its peer.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether frames that it sent wait to be served.
    pub fn is_held_back(&self) -> bool {
        self.in_backlog || self.hold.is_some() || self.is_fenced || self.is_logging_in()
    }

    /// What it sent has to take effect on other cores before its next frame is served.
    pub fn fence(&mut self) {
        self.is_fenced = true;
    }

    /// Whether what it sent has still to take effect on other cores.
    pub fn is_fenced(&self) -> bool {
        self.is_fenced
    }

    /// One more request waits for another core.
    pub fn add_pending(&mut self) {
        self.pending += 1;
    }

    pub(super) fn end_pending(&mut self) {
        self.pending -= 1;
    }

    /// Requests that wait for another core.
    pub fn pending(&self) -> u32 {
        self.pending
    }

    /// Whether its answers, made and to come, are as many as may wait.
    pub fn is_full_of_answers(&self) -> bool {
        self.answers.len() > ANSWER_BYTES_MAX || self.pending >= PENDING_REQUESTS_MAX
    }

    /// Whether it has answers to send.
    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Bytes that were not served.
    pub fn unserved(&mut self) -> &mut Unserved {
        &mut self.unserved
    }

    /// Its client published messages.
    pub fn add_published(&mut self, messages: u32, bytes: usize) {
        self.traffic.published_messages += u64::from(messages);
        self.traffic.published_bytes += bytes as u64;
    }

    /// A send is with the kernel.
    pub fn begin_send(&mut self, messages: u32, bytes: usize) {
        self.in_flight = true;
        self.in_flight_messages = messages;
        self.in_flight_bytes = bytes;
    }

    /// The kernel has taken the send; returns its messages and bytes.
    pub(super) fn complete_send(&mut self) -> (u32, usize) {
        self.traffic.delivered_messages += u64::from(self.in_flight_messages);
        self.traffic.delivered_bytes += self.in_flight_bytes as u64;
        self.in_flight = false;
        self.in_flight_answers = 0;
        (std::mem::take(&mut self.in_flight_messages), self.in_flight_bytes)
    }

    /// Whether answers are with the kernel, which count as held until it has taken them.
    pub(super) fn has_answers_in_flight(&self) -> bool {
        self.in_flight_answers > 0
    }

    /// Bytes that it holds beside what is queued for it: what it sent and is not served yet, answers that
    /// it has not taken, and what is remembered for it.
    pub(super) fn held_bytes(&self) -> u64 {
        let answers = self.answers.capacity() + self.in_flight_answers;
        (self.unserved.held_bytes() + answers + self.remembered) as u64
    }

    /// Whether a send is with the kernel.
    pub fn is_sending(&self) -> bool {
        self.in_flight
    }

    /// When the send began that is with the kernel, if one is.
    pub fn sending_since_ns(&self) -> Option<u64> {
        self.in_flight.then_some(self.send_began_ns)
    }

    /// Messages of the send that is with the kernel.
    pub fn in_flight_messages(&self) -> u32 {
        self.in_flight_messages
    }

    /// The time at which a send begins.
    pub fn note_send_began(&mut self, now_ns: u64) {
        self.send_began_ns = now_ns;
    }

    /// Its sends are watched. Returns whether a deadline has to be set for that.
    pub fn begins_watch(&mut self) -> bool {
        !std::mem::replace(&mut self.is_send_watched, true)
    }

    /// The deadline has come that was set for its sends.
    pub fn end_watch(&mut self) {
        self.is_send_watched = false;
    }

    /// It has published what uses up so much time, of which none before `saved_from_ns` was saved up.
    /// Returns when it may go on.
    pub fn charge(&mut self, saved_from_ns: u64, cost_ns: u64) -> u64 {
        let used_ns = self.rate_used_until_ns.max(saved_from_ns);
        self.rate_used_until_ns = used_ns.saturating_add(cost_ns);
        self.rate_used_until_ns
    }

    /// It may not go on before: its user has published too fast.
    pub fn wait_until(&mut self, at_ns: u64) {
        self.rate_used_until_ns = self.rate_used_until_ns.max(at_ns);
    }

    /// Until when what it has published uses its rate up.
    pub fn rate_used_until_ns(&self) -> u64 {
        self.rate_used_until_ns
    }

    /// When its client last sent anything.
    pub fn heard_ns(&self) -> u64 {
        self.heard_ns
    }

    /// Its client has sent something.
    pub fn hear(&mut self, now_ns: u64) {
        self.heard_ns = now_ns;
        self.asked = 0;
    }

    /// Its client is asked for a sign of life, unless it was so often; returns how often it was then.
    pub fn ask(&mut self, times_max: u32) -> Option<u32> {
        let may_ask = self.asked < times_max;
        self.asked += u32::from(may_ask);
        may_ask.then_some(self.asked)
    }

    /// Notes that its silence is looked at. Returns whether the kernel has taken a send since the last look
    /// that was with it then: the socket was full, and its peer has made room.
    pub fn look(&mut self) -> bool {
        let taken = self.traffic.delivered_bytes;
        let before = std::mem::replace(&mut self.taken_at_look, self.in_flight.then_some(taken));
        before.is_some_and(|before| before < taken)
    }
}
