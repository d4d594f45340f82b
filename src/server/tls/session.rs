//! One connection of a listener with TLS: how far it is, and what is sent on it next.
//!
//! Called by `sessions`, which holds those of a core.
//!
//! # Always true
//! - One send at a time is with the kernel: a piece of what the broker sends, or what TLS itself has to say.
//! - Where TLS is required nothing of the protocol leaves in plain text but the greeting of a protocol that
//!   upgrades behind it.

use std::borrow::Cow;
use std::sync::Arc;

use blipmq::broker::memory::Memory;
use blipmq::broker::security::TlsOffer;
use blipmq::broker::{ConnectionId, Peer};
use bytes::{Bytes, BytesMut};

use super::layer::Layer;
use super::terms::{ClientCertificates, Need, Terms};

/// Plaintext bytes that one send seals at most: the ciphertext of all connections of a turn should stay in
/// the cache of the core.
pub const PIECE_BYTES: usize = 64 * 1_024;
/// The same while the peer does not take what it is sent at once: sealed bytes are memory of this
/// connection alone.
const PIECE_BYTES_SLOW: usize = 16 * 1_024;

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The first bytes tell whether the client speaks TLS. `must`: it has to. `may_fall_back`: the broker
    /// greets in plain text after a moment without bytes.
    Sniffing { must: bool, may_fall_back: bool },
    /// The handshake is under way.
    Shaking,
    /// The handshake is over.
    Open,
    /// The client speaks plain text, and may, or is told that it may not.
    Plain,
    /// The connection cannot go on.
    Over,
}

/// The greeting of a protocol that upgrades behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// None goes out in plain text.
    None,
    /// The first thing that the broker sends.
    Owed,
    /// It has gone out.
    Said,
}

/// What is with the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flight {
    /// What TLS itself had to say.
    Own,
    /// A part of what the broker sends.
    Piece,
    /// The rest of what the broker sends.
    Last,
}

/// A connection of a listener with TLS.
pub struct Session {
    pub id: ConnectionId,
    pub peer: Peer,
    pub listener: usize,
    pub terms: Arc<Terms>,
    pub layer: Layer,
    pub stage: Stage,
    pub greeting: Greeting,
    pub flight: Option<Flight>,
    /// What the broker sends and is not sealed.
    pub pending: Vec<Bytes>,
    /// Bytes that arrived and wait for their turn.
    pub waiting: Vec<u8>,
    /// When the handshake has to be over.
    pub deadline_ns: u64,
    /// When the hello was whole.
    pub hello_ns: u64,
    /// The turn in which the last send began.
    pub sent_turn: u64,
    /// Why it is over.
    pub why: Cow<'static, str>,
    /// The version of TLS, once the handshake is over.
    pub version: &'static str,
    /// The broker knows the connection.
    pub is_known: bool,
    /// It waits for its turn in the queue of handshakes.
    pub is_queued: bool,
    /// It is on the list of those to look at when the turn ends.
    pub is_touched: bool,
    /// The last send was not taken within a turn.
    pub is_slow: bool,
    /// The end of the stream was reported.
    pub has_ended: bool,
    /// Nothing more reaches the peer.
    pub is_broken: bool,
    /// The socket is being closed.
    pub is_closing: bool,
}

/// What a listener tells its clients about TLS.
pub fn offer(terms: &Terms) -> TlsOffer {
    TlsOffer {
        required: terms.need == Need::Required,
        available: terms.need == Need::Optional,
        verify: terms.client_certificates == ClientCertificates::Required,
    }
}

impl Session {
    /// A connection that has just been accepted.
    pub fn new(
        id: ConnectionId,
        peer: Peer,
        listener: usize,
        terms: Arc<Terms>,
        stage: Stage,
    ) -> Session {
        Session {
            id,
            peer,
            listener,
            terms,
            layer: Layer::new(),
            stage,
            greeting: Greeting::None,
            flight: None,
            pending: Vec::new(),
            waiting: Vec::new(),
            deadline_ns: 0,
            hello_ns: 0,
            sent_turn: 0,
            why: Cow::Borrowed(""),
            version: "",
            is_known: false,
            is_queued: false,
            is_touched: false,
            is_slow: false,
            has_ended: false,
            is_broken: false,
            is_closing: false,
        }
    }

    /// Whether the handshake is to come or under way.
    pub fn is_shaking(&self) -> bool {
        matches!(self.stage, Stage::Sniffing { .. } | Stage::Shaking)
    }

    /// The next send, if one may begin and there is something to send.
    pub fn next_send(&mut self, memory: &Memory) -> Option<(Vec<Bytes>, Flight)> {
        if self.flight.is_some() || self.is_closing || self.is_broken {
            return None;
        }
        let next = match self.stage {
            Stage::Plain => self.all_pending(),
            Stage::Sniffing { .. } | Stage::Shaking if self.greeting == Greeting::Owed => {
                let greeting = self.all_pending();
                if greeting.is_some() {
                    self.greeting = Greeting::Said;
                }
                greeting
            }
            Stage::Open if !self.pending.is_empty() && !self.layer.is_worn() => {
                Some(self.sealed_piece(memory))
            }
            Stage::Open | Stage::Shaking if self.layer.wants_write() => {
                let mut own = BytesMut::new();
                self.layer.write_own(&mut own);
                Some((vec![memory.count(own)], Flight::Own))
            }
            _ => None,
        };
        self.flight = next.as_ref().map(|(_, flight)| *flight);
        next
    }

    fn all_pending(&mut self) -> Option<(Vec<Bytes>, Flight)> {
        let pending = std::mem::take(&mut self.pending);
        (!pending.is_empty()).then_some((pending, Flight::Last))
    }

    fn sealed_piece(&mut self, memory: &Memory) -> (Vec<Bytes>, Flight) {
        let bytes_max = if self.is_slow { PIECE_BYTES_SLOW } else { PIECE_BYTES };
        let mut sealed = BytesMut::new();
        self.layer.seal(&mut self.pending, bytes_max, &mut sealed);
        let flight = match self.pending.is_empty() {
            true => {
                // The room of a large send is not kept for the next.
                self.pending = Vec::new();
                Flight::Last
            }
            false => Flight::Piece,
        };
        (vec![memory.count(sealed)], flight)
    }

    /// Everything that goes out before the socket is closed: the rest of what the broker sends, its last
    /// bytes, and the end of the stream; or the alert of a connection that cannot go on.
    pub fn last_bytes(&mut self, last: Bytes, memory: &Memory) -> Bytes {
        self.is_closing = true;
        let mut chunks = std::mem::take(&mut self.pending);
        chunks.push(last);
        let mut out = BytesMut::new();
        match self.stage {
            Stage::Open => {
                self.layer.seal(&mut chunks, usize::MAX, &mut out);
                self.layer.close(&mut out);
            }
            Stage::Plain | Stage::Sniffing { must: false, may_fall_back: false } => {
                chunks.iter().for_each(|chunk| out.extend_from_slice(chunk));
            }
            Stage::Sniffing { .. } | Stage::Shaking | Stage::Over => self.layer.close(&mut out),
        }
        if self.is_shaking() {
            self.stage = Stage::Over;
        }
        memory.count(out)
    }
}

#[cfg(test)]
mod tests;
