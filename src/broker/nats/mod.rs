//! NATS clients: what their commands mean here. The codec is [`crate::nats`]; topics, queues, groups
//! and everything else are the same as for BLIP/1, so each protocol reaches subscribers of both.
//!
//! | step | file |
//! |---|---|
//! | bytes become commands, each goes to whoever serves it | [`receive`] |
//! | CONNECT, INFO, and errors | [`hello`] |
//! | PUB and HPUB: a MESSAGES frame joins its subject's batch of this turn | [`publish`] |
//! | SUB and UNSUB | [`subscribe`] |
//! | PING is answered when everything before it has taken effect on all cores | [`fence`] |
//! | portions become MSG and HMSG, once for all who call their subscription alike | [`encodings`] |
//! | what a subscription missed is told on a subject | [`missed`] |
//! | silent connections are asked, and closed if they stay silent | [`keepalive`] |
//!
//! # Always true
//! - A message is stored as a BLIP/1 frame, whoever published it; NATS text is made when it is sent.
//! - Subjects that nobody can name twice, such as the inboxes of requests, are not kept as topics.

pub mod encodings;
pub mod fence;
pub mod hello;
pub mod keepalive;
pub mod missed;
pub mod publish;
pub mod receive;
pub mod subscribe;

use std::collections::VecDeque;

use bytes::Bytes;
use hashbrown::HashMap;

use super::ingest::Place;
use super::subscriptions::SubscriptionIndex;
use fence::{Fence, Pong};

/// Subjects below this are the answers to requests: each is used once or for a short while.
pub const INBOX_PREFIX: &str = "_INBOX.";

/// What a connection of a NATS client has beside what every connection has.
#[derive(Debug)]
pub struct NatsSession {
    /// As INFO says it; no other connection of this broker has it while it runs.
    pub client_id: u64,
    /// It has said CONNECT.
    pub is_connected: bool,
    /// Answers every command with +OK.
    pub verbose: bool,
    /// Wants subjects of publishes checked.
    pub pedantic: bool,
    /// Wants its own messages, if it subscribes to them.
    pub echo: bool,
    /// Understands messages with headers.
    pub headers: bool,
    /// Wants to be told at once when nobody listens to a request.
    pub no_responders: bool,
    /// Its subscriptions, as it calls them.
    pub sids: HashMap<Box<[u8]>, SubscriptionIndex>,
    /// Its subscriptions so far.
    pub subscriptions_made: u32,
    /// Memberships that their coordinators have not confirmed.
    pub joining_groups: u32,
    /// Where its last message went in this turn.
    pub place: Place,
    /// It has published to subjects of other cores, which have not said that they served that.
    pub publishes_elsewhere: bool,
    /// It has published since other cores said that they served everything: what it published to
    /// subjects of this core may be on its way to groups of theirs.
    pub publishes_to_groups: bool,
    /// A command that waits for other cores.
    pub fence: Option<Fence>,
    /// PONGs that wait for messages queued before them, oldest first.
    pub pongs: VecDeque<Pong>,
    /// When it last sent anything.
    pub heard_ns: u64,
    /// What it was given to sign.
    pub nonce: Option<Box<str>>,
    /// PINGs it has not answered.
    pub pings_out: u32,
    /// What it is told behind everything else, before its connection is closed.
    pub last_words: Bytes,
}

impl NatsSession {
    /// What holds before CONNECT.
    pub fn new(client_id: u64, now_ns: u64) -> NatsSession {
        NatsSession {
            client_id,
            is_connected: false,
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            sids: HashMap::new(),
            subscriptions_made: 0,
            joining_groups: 0,
            place: Place::default(),
            publishes_elsewhere: false,
            publishes_to_groups: false,
            fence: None,
            pongs: VecDeque::new(),
            heard_ns: now_ns,
            nonce: None,
            pings_out: 0,
            last_words: Bytes::new(),
        }
    }
}
