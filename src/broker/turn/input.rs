//! Bytes of connections, frame by frame; what is left of them; and how connections end.

use bytes::Bytes;

use super::DEADLINES_PER_TURN;
use crate::broker::connections::{Connections, Hold, LoginWait, Phase};
use crate::broker::frontends::{Refusal, Served};
use crate::broker::ids::Slot;
use crate::broker::timers::Class;
use crate::broker::topics::ingest::Ingest;
use crate::broker::{Broker, Now};

impl Broker {
    /// Bytes of a connection arrived: serves them, or keeps them for later.
    pub(in crate::broker) fn take_bytes(&mut self, now: Now, slot: Slot, bytes: &[u8]) {
        let is_stopping = self.drain.begun;
        let connection = self.connections.get(slot);
        connection.hear(now.monotonic_ns);
        // It said its last word, or was told ours.
        if connection.is_over() || is_stopping || self.keeps_too_much(now, slot, bytes.len()) {
            return;
        }
        let connection = self.connections.get(slot);
        let mut left = bytes;
        if !connection.is_held_back() && !connection.unserved().is_empty() {
            let lacks = connection.unserved().lacks().unwrap_or(left.len());
            let (first, behind) = left.split_at(lacks.min(left.len()));
            connection.unserved().append(first);
            left = behind;
            if connection.unserved().may_be_whole() {
                self.parse_unserved(now, slot);
            }
        }
        let connection = self.connections.get(slot);
        if connection.is_over() {
            return;
        }
        match connection.is_held_back() || !connection.unserved().is_empty() {
            true => connection.unserved().append(left),
            false => self.parse_in_place(now, slot, left),
        }
        self.connections.decide_whether_to_read(slot);
    }

    /// Serves frames where they came, and keeps the beginning of one that is not whole.
    fn parse_in_place(&mut self, now: Now, slot: Slot, bytes: &[u8]) {
        let consumed = self.parse(now, slot, bytes);
        let left = &bytes[consumed..];
        let connection = self.connections.get(slot);
        if connection.phase() == Phase::Closing || left.is_empty() {
            return;
        }
        connection.unserved().append(left);
        // Before its login a client may be refused for what its first frame begins with.
        if connection.phase() == Phase::Open {
            connection.unserved().want(self.frontends.frame_len(slot, left));
        }
    }

    /// Disconnects a connection that sends more of what it leaves unfinished than its fair share, while
    /// memory is short: else many of them would fill the budget faster than a turn reclaims it.
    fn keeps_too_much(&mut self, now: Now, slot: Slot, more: usize) -> bool {
        let memory = &self.cluster.memory;
        let unserved = self.connections.get(slot).unserved().len();
        if unserved == 0 || !memory.is_nearly_full() {
            return false;
        }
        let (held, share) = ((unserved + more) as u64, memory.fair_share());
        if held <= share {
            return false;
        }
        self.delivery.connection_holds(self.connections.id(slot), held);
        self.delivery.disconnect_to_reclaim(slot, share);
        self.carry_out(now);
        true
    }

    /// Serves the frames a connection was left with.
    fn parse_unserved(&mut self, now: Now, slot: Slot) {
        let mut unserved = std::mem::take(self.connections.get(slot).unserved());
        loop {
            let first_len = unserved.first().len();
            let consumed = self.parse(now, slot, unserved.first());
            let connection = self.connections.at(slot);
            if connection.phase() == Phase::Closing {
                return;
            }
            unserved.serve(consumed);
            if connection.is_over() {
                unserved.clear();
            }
            if connection.is_held_back() || unserved.is_empty() {
                break;
            }
            let frame_len = self.frontends.frame_len(slot, unserved.first());
            if consumed < first_len && !unserved.join(frame_len) {
                break;
            }
        }
        *self.connections.get(slot).unserved() = unserved;
        self.connections.decide_whether_to_read(slot);
    }

    /// Serves whole frames at the start of `bytes`, as many as the connection may have served in this
    /// turn; returns how many bytes they were.
    fn parse(&mut self, now: Now, slot: Slot, bytes: &[u8]) -> usize {
        let mut consumed = 0;
        while consumed < bytes.len() {
            if self.connections.is_spent(slot) {
                self.counters.input_deferred.add(1);
                self.connections.leave_for_later(slot);
                return consumed;
            }
            let published = self.ingest.messages();
            let (frontends, mut doors) = self.open_doors(now);
            let served = frontends.serve(&mut doors, slot, &bytes[consumed..]);
            self.carry_out(now);
            match served {
                Served::Took(len) => {
                    consumed += len;
                    match self.ingest.messages() - published {
                        0 => self.connections.count_command(slot),
                        messages => self.keep_rate(now, slot, messages, len),
                    }
                }
                Served::Waits => return consumed,
                Served::Discards => return bytes.len(),
            }
            if self.connections.at(slot).is_over() {
                return bytes.len();
            }
        }
        consumed
    }

    /// Goes on with connections that were left for a later turn, as long as there is room.
    pub(in crate::broker) fn serve_backlog(
        &mut self,
        now: Now,
        may_serve: impl Fn(&Connections) -> bool,
        has_room: impl Fn(&Ingest) -> bool,
    ) {
        while may_serve(&self.connections)
            && has_room(&self.ingest)
            && let Some(left) = self.connections.take_from_backlog()
        {
            if let Some(slot) = left {
                self.go_on_with(now, slot);
                self.close_if_ended(now, slot);
            }
        }
    }

    /// Lets held connections go on whose reason is over.
    pub(super) fn release_held(&mut self, now: Now) {
        self.connections.release_cores(|core| !self.mesh.is_full(core));
        if self.connections.wait_for_memory() && !self.lets_wait_for_memory(now) {
            self.connections.release_memory();
        }
        while self.connections.have_commands_left()
            && let Some((slot, reason)) = self.connections.next_released()
        {
            if self.still_holds(now, slot, reason) {
                self.connections.keep_held(slot, reason);
            } else {
                self.connections.end_hold(slot);
                self.close_if_ended(now, slot);
            }
        }
    }

    /// Whether the reason to hold a connection's input is not over.
    fn still_holds(&mut self, now: Now, slot: Slot, reason: Hold) -> bool {
        let connection = self.connections.at(slot);
        match reason {
            Hold::Answers => connection.is_full_of_answers(),
            Hold::Fence => connection.is_fenced(),
            Hold::Blocked(topic) => self.delivery.is_blocked(topic),
            Hold::Mesh(core) => self.mesh.is_full(core),
            Hold::Memory => self.lets_wait_for_memory(now),
            Hold::Rate => connection.rate_used_until_ns() > now.monotonic_ns,
        }
    }

    /// Whether publishes wait for memory that is being reclaimed.
    fn lets_wait_for_memory(&mut self, now: Now) -> bool {
        let memory = &self.cluster.memory;
        memory.is_full() && self.shortage.lets_wait(now, &mut self.timers, memory)
    }

    fn go_on_with(&mut self, now: Now, slot: Slot) {
        if matches!(self.connections.at(slot).phase(), Phase::AwaitHello | Phase::Open) {
            self.parse_unserved(now, slot);
        }
    }

    fn close_if_ended(&mut self, now: Now, slot: Slot) {
        let (_, mut doors) = self.open_doors(now);
        doors.close_if_ended(slot);
        self.carry_out(now);
    }

    /// The peer of a connection sends no more.
    pub(in crate::broker) fn end(&mut self, now: Now, slot: Slot) {
        let connection = self.connections.get(slot);
        connection.end();
        // A client that has nothing to be served behind its login need not be logged in any more.
        let is_checked = matches!(connection.login_wait(), LoginWait::Check(_));
        if is_checked && connection.unserved().is_empty() && connection.phase() != Phase::Closing {
            let (_, mut doors) = self.open_doors(now);
            doors.close(slot, Bytes::new());
            return self.carry_out(now);
        }
        // What it sent before it ended was received; only then it is gone.
        if connection.phase() != Phase::Closing && !connection.is_held_back() {
            self.parse_unserved(now, slot);
        }
        self.close_if_ended(now, slot);
    }

    /// The peer of a connection that is not read is gone.
    pub(in crate::broker) fn vanish(&mut self, now: Now, slot: Slot) {
        let connection = self.connections.get(slot);
        connection.end();
        if matches!(connection.phase(), Phase::AwaitHello | Phase::Open) {
            let (_, mut doors) = self.open_doors(now);
            doors.close(slot, Bytes::new());
            self.carry_out(now);
        }
    }

    /// Nothing more reaches the peer of a connection.
    pub(in crate::broker) fn break_off(&mut self, now: Now, slot: Slot) {
        self.connections.break_off(slot);
        self.delivery.break_off(slot);
        let phase = self.connections.at(slot).phase();
        let (frontends, mut doors) = self.open_doors(now);
        match phase {
            Phase::Finishing => doors.close(slot, Bytes::new()),
            Phase::AwaitHello | Phase::Open => frontends.broken(&mut doors, slot),
            Phase::Closing => {}
        }
        self.carry_out(now);
    }

    /// Closes the subscriptions of connections whose clients asked for their end in this turn, and
    /// the connections, once they were sent everything.
    pub(super) fn close_finishing(&mut self, now: Now) {
        for slot in self.connections.take_finishing() {
            // It may have been closed since, and the slot have another connection.
            let is_finishing = self
                .connections
                .table()
                .at(slot)
                .is_some_and(|(_, connection)| connection.phase() == Phase::Finishing);
            if !is_finishing {
                continue;
            }
            self.delivery.close_connection(slot);
            self.carry_out(now);
            let (_, mut doors) = self.open_doors(now);
            doors.finish_if_empty(slot);
            self.carry_out(now);
        }
    }

    /// Refuses clients that did not authenticate in time.
    pub(super) fn check_logins(&mut self, now: Now) {
        for _ in 0..DEADLINES_PER_TURN {
            let Some((at_ns, connection)) = self.timers.first(Class::Login) else { return };
            // A client that has given its credentials has done its part.
            let owes = self.connections.is_open(connection)
                && self.connections.at(connection.slot).phase() == Phase::AwaitHello
                && !self.connections.at(connection.slot).is_logging_in();
            if owes && at_ns > now.monotonic_ns {
                return;
            }
            self.timers.drop_first(Class::Login);
            if owes {
                let auth_timeout_ms = self.cluster.settings.server.auth_timeout_ms;
                let (frontends, mut doors) = self.open_doors(now);
                let refusal = Refusal::LoginTimeout { auth_timeout_ms };
                frontends.refuse(&mut doors, connection.slot, &refusal);
                self.carry_out(now);
            }
        }
    }
}
