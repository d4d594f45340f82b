//! The doors of the other rooms, as a frontend may use them.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::Protocol;
use super::notice::{Event, NOTICES_MAX, Notice, Peer};
use super::refusal::{Admission, NoPlace, Refusal};
use super::texts::Texts;
use crate::broker::auth::{Auth, Failed};
use crate::broker::clock::{Now, ms_to_ns};
use crate::broker::cluster::Cluster;
use crate::broker::connections::{Connections, Hold, Phase};
use crate::broker::counters::{Counters, Refused};
use crate::broker::delivery::Delivery;
use crate::broker::drain::Drain;
use crate::broker::ids::Slot;
use crate::broker::logins::Logins;
use crate::broker::mesh::{Mesh, Request};
use crate::broker::permissions::Permissions;
use crate::broker::quotas::Quota;
use crate::broker::shortage::Shortage;
use crate::broker::timers::{Class, Timers};
use crate::broker::topics::ingest::Ingest;
use crate::broker::topics::polls::Polls;
use crate::broker::topics::{INBOX_PREFIX, ReplyName, Topics};
use crate::config::Settings;
use crate::protocol::CoreId;
use crate::protocol::name::{self, NameError};

/// The other rooms of a core, in a turn.
pub struct Doors<'a> {
    /// The time of the turn.
    pub now: Now,
    /// This core.
    pub core: CoreId,
    /// What all cores agree on.
    pub cluster: &'a Cluster,
    /// What this core counts.
    pub counters: &'a Counters,
    /// Who may connect.
    pub auth: &'a Auth,
    /// Logins that are not over.
    pub logins: &'a mut Logins,
    /// The deadlines of this core.
    pub timers: &'a mut Timers,
    /// Its connections.
    pub connections: &'a mut Connections,
    /// What this turn brings by topic.
    pub ingest: &'a mut Ingest,
    /// The topics it owns.
    pub topics: &'a mut Topics,
    /// Requests that may have reached nobody.
    pub polls: &'a mut Polls,
    /// Its subscriptions.
    pub delivery: &'a mut Delivery,
    /// The way to other cores.
    pub mesh: &'a mut Mesh,
    /// Slices as text.
    pub texts: &'a mut Texts,
    /// What an operator may want to hear of.
    pub notices: &'a mut Vec<Notice>,
    /// How far the stop is.
    pub drain: &'a Drain,
    /// Publishes find no memory.
    pub shortage: &'a mut Shortage,
}

impl Doors<'_> {
    /// The configuration.
    pub fn settings(&self) -> &Settings {
        &self.cluster.settings
    }

    /// Checks how many tokens a topic or pattern has.
    pub fn check_depth(&self, name: &str) -> Result<(), NameError> {
        name::check_depth(name, self.settings().limits.max_pattern_tokens as usize)
    }

    /// Appends an answer for a connection.
    pub fn answer(&mut self, slot: Slot, encode: impl FnOnce(&mut BytesMut)) {
        self.connections.answer(slot, encode);
    }

    /// Notes that something happened to a connection.
    pub fn notice(&mut self, slot: Slot, protocol: Protocol, event: Event) {
        if self.notices.len() < NOTICES_MAX {
            let address = self.connections.at(slot).address();
            self.notices.push(Notice { peer: Peer { protocol, address }, event });
        }
    }

    /// Counts and notes a login that failed, and `why` as its client is told.
    pub fn count_failed_login(
        &mut self,
        slot: Slot,
        protocol: Protocol,
        why: String,
        failed: Failed,
    ) {
        self.counters.login_failures[failed.failure as usize].add(1);
        if !failed.failure.is_unchecked() {
            self.counters.logins_refused.add(1);
        }
        self.notice(slot, protocol, Event::LoginRefused { why, failed });
    }

    /// Why a new connection is refused at once, if it is.
    pub fn refusal_of_new(&self, admission: Admission) -> Option<Refusal> {
        let Settings { server, limits, .. } = self.settings();
        let (refused, refusal) = match admission {
            _ if self.drain.begun || self.drain.is_lame_duck => return Some(Refusal::Stopping),
            Admission::Admitted => return None,
            // The layer that encrypts counts those.
            Admission::PlainText => return Some(Refusal::PlainText),
            Admission::Full => {
                let connections_max = server.max_connections;
                (Refused::Full, Refusal::TooManyConnections { connections_max })
            }
            Admission::AddressFull => {
                let connections_max = limits.max_connections_per_address;
                (Refused::AddressFull, Refusal::TooManyOfAddress { connections_max })
            }
            Admission::AddressTooFast => {
                let per_second_max = limits.max_new_connections_per_address;
                (Refused::AddressTooFast, Refusal::TooFastOfAddress { per_second_max })
            }
        };
        self.counters.refused_connections[refused as usize].add(1);
        Some(refusal)
    }

    /// A client has authenticated and may do what these allow, if there is a place for it among the
    /// connections of its user.
    pub fn log_in(&mut self, slot: Slot, permissions: Arc<Permissions>) -> Result<(), Refusal> {
        let connection = self.connections.get(slot);
        connection.leave_place();
        let place = permissions.quota().map(Quota::take_place).transpose();
        let place = place.map_err(|connections_max| {
            self.counters.refused_connections[Refused::UserFull as usize].add(1);
            Refusal::TooManyOfUser { connections_max }
        })?;
        connection.authenticate(permissions, place);
        connection.open();
        Ok(())
    }

    /// A client that does not authenticate in time is refused.
    pub fn expect_login(&mut self, slot: Slot) {
        let timeout_ns = ms_to_ns(self.settings().server.auth_timeout_ms);
        let at_ns = self.now.monotonic_ns + timeout_ns;
        self.timers.set(Class::Login, at_ns, self.connections.id(slot));
    }

    /// Whether there is room for another message, after the oldest retained ones have given way, and
    /// behind those texts, which can be made again.
    pub fn has_memory(&mut self) -> bool {
        if !self.cluster.memory.is_full() {
            return true;
        }
        self.evict();
        !self.cluster.memory.is_full()
    }

    /// Takes a place for one more subscription of a connection, to be added at once; counts if there is
    /// none.
    pub fn take_subscription_place(&mut self, slot: Slot) -> Result<(), NoPlace> {
        let limits = &self.settings().limits;
        let (of_connection, of_all) =
            (limits.max_subscriptions_per_connection, limits.max_subscriptions);
        let memory_max = limits.memory_max;
        let place = if self.delivery.subscriptions_of(slot) >= of_connection as usize {
            Err(NoPlace::Connection { subscriptions_max: of_connection })
        } else if !self.has_memory() {
            Err(NoPlace::Memory { memory_max })
        } else if !self.delivery.take_place() {
            Err(NoPlace::Broker { subscriptions_max: of_all })
        } else {
            Ok(())
        };
        if place.is_err() {
            self.counters.refused_subscriptions.add(1);
        }
        place
    }

    /// Holds a connection that is about to publish while there is no memory, but some is being
    /// reclaimed. Returns whether the publish has to wait.
    pub fn hold_for_memory(&mut self, slot: Slot) -> bool {
        let waits = !self.has_memory()
            && self.shortage.lets_wait(self.now, self.timers, &self.cluster.memory);
        if waits {
            self.connections.hold(slot, Hold::Memory);
        }
        waits
    }

    /// Evicts retained messages until the budget has air again; if that is not enough, texts. Returns
    /// whether more can be evicted.
    pub fn evict(&mut self) -> bool {
        let has_more = self.topics.evict();
        if self.cluster.memory.is_nearly_full() {
            self.texts.clear(self.timers);
        }
        has_more
    }

    /// Holds a connection that is about to publish to a topic whose publishers wait for a subscriber.
    /// Returns whether the publish has to wait.
    pub fn hold_if_blocked(&mut self, slot: Slot, topic: &str) -> bool {
        let blocked = match self.delivery.blocks_any() {
            true => self.delivery.blocked_topic(topic),
            false => None,
        };
        if let Some(topic) = blocked {
            self.connections.hold(slot, Hold::Blocked(topic));
        }
        blocked.is_some()
    }

    /// Notes where a connection waits for the answer to a request: that name is no topic. A name counts
    /// only if the connection may be sent what is published there.
    pub fn note_reply(&mut self, slot: Slot, reply: &str) {
        let may_receive = self.connections.at(slot).permissions().may_receive(reply);
        if reply.starts_with(INBOX_PREFIX) || !may_receive {
            return;
        }
        let name = ReplyName::new(reply);
        let owner = self.cluster.core_of(self.cluster.shard_of_name(reply));
        if owner == self.core {
            self.topics.note_reply(self.now, name);
        } else {
            self.mesh.ask(owner, Request::NoteReply(name));
            self.hold_for_mesh(slot, owner);
        }
    }

    /// Leaves what a connection publishes for a later turn if this turn takes no more messages.
    /// Returns whether the publish has to wait.
    pub fn leave_if_turn_is_full(&mut self, slot: Slot) -> bool {
        let is_full = !self.ingest.has_room();
        if is_full {
            self.connections.leave_for_later(slot);
        }
        is_full
    }

    /// A connection that publishes to a core which cannot keep up is not read for a while.
    pub fn hold_for_mesh(&mut self, slot: Slot, owner: CoreId) {
        if owner != self.core && self.mesh.is_full(owner) {
            self.connections.hold(slot, Hold::Mesh(owner));
        }
    }

    /// Holds a connection whose command asks something of other cores, while one of them cannot keep up
    /// with what it was asked before. Returns whether the command has to wait.
    pub fn hold_for_requests(&mut self, slot: Slot) -> bool {
        let full = self.cluster.others(self.core).find(|core| self.mesh.is_full(*core));
        if let Some(core) = full {
            self.connections.hold(slot, Hold::Mesh(core));
        }
        full.is_some()
    }

    /// Whether a connection has anything to send.
    pub fn has_content(&self, slot: Slot) -> bool {
        self.connections.at(slot).has_answers() || self.delivery.has_queued(slot)
    }

    /// Ends a connection, behind some last bytes. What was queued for it is lost, and counted.
    pub fn close(&mut self, slot: Slot, last: Bytes) {
        let is_stopping = self.drain.begun;
        let connection = self.connections.get(slot);
        let why = match connection.phase() {
            _ if !connection.why_closed().is_empty() => "",
            _ if connection.has_ended() => "its client closed it",
            _ if is_stopping => "the broker stops",
            Phase::Finishing => "its client said CLOSE",
            _ => "",
        };
        if !why.is_empty() {
            connection.set_why_closed(Cow::Borrowed(why));
        }
        self.stop_waiting_for_login(slot);
        self.connections.close(slot, last);
        self.delivery.drop_connection(slot);
    }

    /// Ends a connection behind the answers it was given.
    pub fn close_with_answers(&mut self, slot: Slot) {
        let last = self.connections.take_answers(slot).freeze();
        self.close(slot, last);
    }

    /// Ends a connection whose peer sends no more, unless something of it is still to be served.
    pub fn close_if_ended(&mut self, slot: Slot) {
        let connection = self.connections.at(slot);
        // After its client asked for the end the peer may well send no more: the client is owed what
        // is queued all the same, if it can be reached.
        let goes = match connection.phase() {
            Phase::AwaitHello | Phase::Open => true,
            Phase::Finishing => connection.is_broken(),
            Phase::Closing => false,
        };
        if connection.has_ended() && goes && !connection.is_held_back() {
            self.close(slot, Bytes::new());
        }
    }

    /// Ends an open connection before the stop, behind what is queued for it.
    pub fn let_leave(&mut self, slot: Slot) {
        let connection = self.connections.get(slot);
        connection.set_why_closed("the broker stops".into());
        connection.finish();
        self.connections.note_finishing(slot);
    }

    /// After its client asked for the end, or when draining: ends a connection that has been sent
    /// everything.
    pub fn finish_if_empty(&mut self, slot: Slot) {
        let is_quiet = self.drain.is_quiet;
        let connection = self.connections.at(slot);
        // What was asked before the end is answered: the client may want to know that its messages
        // arrived.
        let waits = connection.pending() > 0 || connection.is_fenced();
        let is_due = match connection.phase() {
            Phase::Finishing => is_quiet || !waits,
            Phase::Open => is_quiet && connection.close_at_ns() <= self.now.monotonic_ns,
            Phase::AwaitHello | Phase::Closing => false,
        };
        if is_due && !is_quiet && self.ingest.has_left() {
            // It may have published some of that.
            return self.connections.note_finishing(slot);
        }
        if is_due && !connection.is_sending() && !self.has_content(slot) {
            let last = self.connections.get(slot).take_last_words();
            self.close(slot, last);
        }
    }
}
