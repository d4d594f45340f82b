//! One TCP connection: a client's bytes on their way to a core, a core's sends on their way to the
//! client, and the finite buffer between them. What `executors::socket` is to the real broker.

use std::collections::VecDeque;

use blipmq::broker::{self, ConnectionId};

use crate::random::Random;

/// What the core has heard of the socket; as in `executors::socket`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Given to a core that has not looked yet.
    Accepted,
    Open,
    /// The broker said `Close`.
    Closing,
    Released,
    /// The broker was told `closed`.
    Gone,
}

/// How the client's half ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientEnd {
    /// Not at all.
    No,
    /// It sends no more, and goes on reading.
    HalfClosed,
    /// It closed: nobody reads what comes.
    Closed,
}

/// What passed over a wire whose client keeps no `Conversation`.
pub struct Record {
    pub protocol: broker::Protocol,
    /// What the broker has sent, whether the client reads it or not.
    pub sent: Vec<u8>,
    /// What the client has read and not looked at.
    pub unread: Vec<u8>,
}

pub struct Wire {
    pub core: usize,
    /// For clients of `nats`, whatever they speak.
    pub record: Option<Record>,
    pub admitted: bool,
    pub phase: Phase,
    /// Set when the core has accepted it.
    pub id: ConnectionId,
    /// Written by the client, not arrived.
    pub upstream: VecDeque<u8>,
    pub client_end: ClientEnd,
    /// Reset, or written to after the client had closed.
    pub broken: bool,
    /// The broker is not to be given more for now.
    pub paused: bool,
    /// The core has noticed the end.
    pub ended: bool,
    /// The end is among the core's completions.
    pub end_under_way: bool,
    /// Arrivals the core has not handed on.
    pub references: usize,
    /// The send in flight, and how much of it has reached the buffer.
    pub in_flight: Option<(Vec<u8>, usize)>,
    /// Its completion is among the core's.
    pub sent_under_way: bool,
    pub last_bytes: Vec<u8>,
    pub linger_until_ns: u64,
    /// When a send to it was last complete.
    pub last_taken_ns: u64,
    pub write_shut: bool,
    /// The socket buffer: sent, not read by the client.
    pub downstream: VecDeque<u8>,
    pub downstream_len_max: usize,
    /// Sends complete at once, and the client reads at once.
    pub fast: bool,
    /// The client does not read.
    pub stalled: bool,
}

impl Wire {
    pub fn new(core: usize, admitted: bool, fast: bool, downstream_len_max: usize) -> Wire {
        Wire {
            core,
            record: None,
            admitted,
            phase: Phase::Accepted,
            id: ConnectionId { slot: broker::Slot(u32::MAX), generation: 0 },
            upstream: VecDeque::new(),
            client_end: ClientEnd::No,
            broken: false,
            paused: false,
            ended: false,
            end_under_way: false,
            references: 0,
            in_flight: None,
            sent_under_way: false,
            last_bytes: Vec::new(),
            linger_until_ns: u64::MAX,
            last_taken_ns: 0,
            write_shut: false,
            downstream: VecDeque::new(),
            downstream_len_max,
            fast,
            stalled: false,
        }
    }

    /// Whether the socket is the core's and it reads it.
    fn is_read(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Closing) && !self.paused && !self.ended
    }

    /// The next bytes that arrive at the core, if any do now.
    pub fn arriving(&mut self, random: &mut Random) -> Option<Vec<u8>> {
        if !self.is_read() || self.broken || self.upstream.is_empty() {
            return None;
        }
        let some = match random.below(4) {
            0 => random.below(12) + 1,
            1 => random.below(200) + 1,
            _ => 1 << 20,
        };
        let len = some.min(self.upstream.len());
        Some(self.upstream.drain(..len).collect())
    }

    /// Whether the core sees the end of the client now.
    pub fn end_arrives(&self) -> bool {
        let says_so = self.client_end != ClientEnd::No && self.upstream.is_empty();
        self.is_read() && !self.end_under_way && (says_so || self.broken)
    }

    /// Moves the send in flight on; returns whether it has completed now.
    pub fn send_on(&mut self, random: &mut Random) -> bool {
        let Some((bytes, sent)) = &mut self.in_flight else { return false };
        if self.sent_under_way {
            return false;
        }
        if self.client_end == ClientEnd::Closed {
            // The first bytes are answered with a reset.
            self.broken = true;
        }
        if !self.broken {
            let room = self.downstream_len_max.saturating_sub(self.downstream.len());
            let mut len = (bytes.len() - *sent).min(room);
            if !self.fast && len > 1 && random.chance(20) {
                len = random.below(len) + 1;
            }
            self.downstream.extend(&bytes[*sent..*sent + len]);
            *sent += len;
        }
        self.sent_under_way = self.broken || *sent == bytes.len();
        self.sent_under_way
    }

    /// What the client reads now.
    pub fn reading(&mut self, random: &mut Random) -> Vec<u8> {
        let reads = !self.stalled && !self.broken && self.client_end != ClientEnd::Closed;
        if !reads || self.downstream.is_empty() {
            return Vec::new();
        }
        let len = match random.below(4) {
            0 => random.below(12) + 1,
            _ => self.downstream.len(),
        };
        let len = len.min(self.downstream.len());
        self.downstream.drain(..len).collect()
    }

    /// Whether the client has read everything up to the server's end.
    pub fn at_end(&self) -> bool {
        self.broken || (self.write_shut && self.in_flight.is_none() && self.downstream.is_empty())
    }

    /// Whether anything is left to move.
    pub fn is_quiet(&self) -> bool {
        let nobody_reads = self.broken || self.client_end == ClientEnd::Closed;
        let nobody_hears = self.broken || matches!(self.phase, Phase::Closing | Phase::Gone);
        // The client's end, behind what it sent.
        let end_is_to_come = self.is_read() && self.client_end != ClientEnd::No;
        self.in_flight.is_none()
            && !end_is_to_come
            && (self.downstream.is_empty() || nobody_reads)
            && (self.upstream.is_empty() || nobody_hears)
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("phase", &self.phase)
            .field("client_end", &self.client_end)
            .field("broken", &self.broken)
            .field("paused", &self.paused)
            .field("ended", &self.ended)
            .field("stalled", &self.stalled)
            .field("upstream", &self.upstream.len())
            .field("in_flight", &self.in_flight.as_ref().map(|(bytes, sent)| (bytes.len(), *sent)))
            .field("downstream", &self.downstream.len())
            .finish()
    }
}
