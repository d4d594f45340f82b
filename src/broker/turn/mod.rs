//! The order of one turn: what came in is served, then everything that follows from it goes out.
//!
//! Called by the driver of a core after it has reported what happened ([`Broker::connected`],
//! [`Broker::received`], [`Broker::sent`], [`Broker::ended`]). The server, the simulator, the fuzzer
//! and the benches all run this function, each over a [`Port`] of its own.
//!
//! # Always true
//! - Deliveries of other cores are read and served before requests: two cores never wait for each other.
//! - Effects are carried out here alone, in order; what follows from one comes before the next.
//! - All sends of a turn are handed to the port before it ends, so one system call carries them.

mod allowances;
mod audit;
mod drain;
mod effects;
mod input;
mod logins;
mod memory;
mod mesh;
mod reload;
mod strangers;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use audit::Work;

use super::connections::{Action, Connections};
use super::mesh::{DELIVERIES, REQUESTS};
use super::port::Port;
use super::timers::Class;
use super::topics::ingest::Ingest;
use super::{Broker, Now, Slot};

/// Deadlines of a kind that one turn looks at: the next turn, at once, has the others.
const DEADLINES_PER_TURN: usize = 256;

/// Runs one turn. Returns whether another turn has to follow at once; else the core may sleep until
/// something happens or [`Broker::next_deadline_ns`] comes.
pub fn turn(broker: &mut Broker, now: Now, port: &mut impl Port) -> bool {
    let mut busy = read_mesh(broker, port, DELIVERIES);
    busy |= read_mesh(broker, port, REQUESTS);
    busy |= broker.take_in(now);
    busy |= write_mesh(broker, port);
    broker.ask_for_checks(now, port);
    send(broker, now, port);
    busy |= broker.owes_turn();
    for notice in broker.notices.drain(..) {
        port.notice(notice);
    }
    for action in broker.connections.take_actions() {
        match action {
            Action::Pause(connection) => port.pause(connection),
            Action::Resume(connection) => port.resume(connection),
            Action::Close(connection, last) => port.close(connection, last),
            Action::Abort(connection) => port.abort(connection),
        }
    }
    if std::mem::take(&mut broker.gives_back) {
        port.give_back();
    }
    broker.connections.begin_turn();
    busy
}

/// Takes at most one message of each other core; returns whether there was any.
fn read_mesh(broker: &mut Broker, port: &mut impl Port, lane: usize) -> bool {
    let mut busy = false;
    for from in broker.cluster.others(broker.core) {
        if broker.wants_message(lane)
            && let Some(message) = port.try_recv(from, lane)
        {
            busy = true;
            broker.mesh.received(from, message);
        }
    }
    busy
}

/// Hands out what this core has for the others. Returns whether something waited for that, so that
/// there is more to do at once.
fn write_mesh(broker: &mut Broker, port: &mut impl Port) -> bool {
    let mut busy = false;
    for to in broker.cluster.others(broker.core) {
        for lane in [REQUESTS, DELIVERIES] {
            let Some(message) = broker.mesh.take_message(to, lane) else { continue };
            match port.try_send(to, lane, message) {
                Ok(()) => busy |= broker.mesh.sent(to, lane, broker.connections.waits_for_core(to)),
                Err(message) => broker.mesh.keep(to, message),
            }
        }
    }
    busy
}

/// Gathers one send for each connection that has something to send and none under way.
fn send(broker: &mut Broker, now: Now, port: &mut impl Port) {
    let mut ranges: Vec<Bytes> = std::mem::take(&mut broker.spare_ranges);
    broker.delivery.begin_flush();
    while let Some(connection) = broker.connections.next_ready() {
        let (frontends, mut doors) = broker.open_doors(now);
        frontends.gather(&mut doors, connection.slot, &mut ranges);
        if ranges.is_empty() {
            // It had only gaps that its protocol has no word for. Mesh messages may wait, and no
            // completion wakes this core.
            doors.finish_if_empty(connection.slot);
            broker.sent_nothing = true;
        }
        broker.carry_out(now);
        if !ranges.is_empty() {
            broker.watch_send(now, connection);
            port.send(connection, &mut ranges);
            ranges.clear();
        }
    }
    broker.spare_ranges = ranges;
}

impl Broker {
    /// Serves this turn's input: what connections sent, what other cores sent, what was left over.
    /// Returns whether messages of other cores, replays for them, or memory to reclaim are left for the
    /// next turn.
    pub(super) fn take_in(&mut self, now: Now) -> bool {
        self.sent_nothing = false;
        self.frontends.latencies.count(now, &self.counters);
        self.delivery.sweep();
        self.carry_out(now);
        self.check_deadlines(now);
        let holds_input = self.connections.are_carried_over();
        if !holds_input {
            self.release_held(now);
            self.serve_backlog(now, Connections::have_commands_left, Ingest::has_room);
            self.serve_deliveries(now);
            self.go_on_with_replays(now);
            self.serve_requests(now);
        }
        self.connections.note_input_held(holds_input);
        self.hand_out(now);
        if !self.ingest.has_left() {
            let (frontends, mut doors) = self.open_doors(now);
            frontends.ask_fences(&mut doors);
            self.carry_out(now);
            self.close_finishing(now);
        }
        let prunes = self.prune(now);
        let reclaims = self.tend_memory(now);
        self.drain_on(now);
        self.delivery.settle_paces(now);
        self.mesh.has_more()
            || self.replays.are_under_way()
            || self.delivery.is_sweeping()
            || prunes
            || reclaims
    }

    /// Whether a turn has to follow at once: frames were left over, or sending brought something up.
    fn owes_turn(&self) -> bool {
        !self.ingest.is_empty() || self.connections.has_backlog() || self.sent_nothing
    }

    /// Whether a message of this lane may be received now.
    pub fn wants_message(&self, lane: usize) -> bool {
        !self.connections.are_carried_over() && self.mesh.wants_message(lane)
    }

    /// Looks at the deadlines of connections that have come.
    fn check_deadlines(&mut self, now: Now) {
        self.check_logins(now);
        self.check_due(now, Class::Refusal, Broker::check_refusal);
        self.check_due(now, Class::Rate, Broker::check_rate);
        self.check_due(now, Class::Send, Broker::check_send);
        self.close_strangers(now);
        self.delivery.disconnect_stalled(now, &mut self.timers, DEADLINES_PER_TURN);
        self.carry_out(now);
        self.check_due(now, Class::Silence, Broker::check_silence);
        self.check_due(now, Class::NativeSilence, Broker::check_silence);
    }

    /// Looks at connections whose deadline of a class has come, unless they are gone.
    fn check_due(&mut self, now: Now, class: Class, check: fn(&mut Broker, Now, Slot)) {
        for _ in 0..DEADLINES_PER_TURN {
            let Some(connection) = self.timers.take_due(now, class) else { return };
            if self.connections.is_open(connection) {
                check(self, now, connection.slot);
            }
        }
    }

    /// Looks at a client that may have been silent for too long.
    fn check_silence(&mut self, now: Now, slot: Slot) {
        let (frontends, mut doors) = self.open_doors(now);
        frontends.silent(&mut doors, slot);
        self.carry_out(now);
    }
}
