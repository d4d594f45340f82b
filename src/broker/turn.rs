//! The order of one turn: what came in is served, then everything that follows from it goes out.
//!
//! Called by the driver of a core after it has reported what happened ([`Broker::connected`],
//! [`Broker::received`], [`Broker::sent`], [`Broker::ended`]). The server, the simulator, the fuzzer
//! and the benches all run this function, each over a [`Port`] of its own.
//!
//! # Always true
//! - Deliveries of other cores are read before requests, and both before the turn's own batches are
//!   handed out: two cores never wait for each other.
//! - All sends of a turn are handed to the port before it ends, so one system call carries them.

use bytes::Bytes;

use super::letter::{DELIVERIES, REQUESTS};
use super::port::Port;
use super::{Action, Broker, Now};
use crate::protocol::CoreId;

/// Runs one turn. Returns whether another turn has to follow at once; else the core may sleep until
/// something happens or [`Broker::next_deadline_ns`] comes.
pub fn turn(broker: &mut Broker, now: Now, port: &mut impl Port) -> bool {
    let mut busy = read_mesh(broker, port, DELIVERIES);
    busy |= read_mesh(broker, port, REQUESTS);
    busy |= broker.take_in(now);
    busy |= write_mesh(broker, port);
    send(broker, now, port);
    busy |= broker.owes_turn();
    for notice in broker.take_notices() {
        port.notice(notice);
    }
    for action in broker.take_actions() {
        match action {
            Action::Pause(connection) => port.pause(connection),
            Action::Resume(connection) => port.resume(connection),
            Action::Close(connection, last) => port.close(connection, last),
        }
    }
    busy
}

/// Takes at most one message of each other core; returns whether there was any.
fn read_mesh(broker: &mut Broker, port: &mut impl Port, lane: usize) -> bool {
    let mut busy = false;
    for from in broker.other_cores() {
        if broker.wants_letter(lane)
            && let Some(message) = port.try_recv(from, lane)
        {
            busy = true;
            broker.letter(from, message);
        }
    }
    busy
}

/// Hands out what this core has for the others. Returns whether something waited for that, so that
/// there is more to do at once.
fn write_mesh(broker: &mut Broker, port: &mut impl Port) -> bool {
    let mut busy = false;
    for to in broker.other_cores() {
        for lane in [REQUESTS, DELIVERIES] {
            let Some(message) = broker.take_letter(to, lane) else { continue };
            match port.try_send(to, lane, message) {
                Ok(()) => busy |= broker.letter_sent(to, lane),
                Err(message) => broker.keep_letter(to, message),
            }
        }
    }
    busy
}

/// Gathers one send for each connection that has something to send and none under way.
fn send(broker: &mut Broker, now: Now, port: &mut impl Port) {
    let mut ranges: Vec<Bytes> = broker.take_spare_ranges();
    while let Some(connection) = broker.next_ready() {
        broker.gather(now, connection, &mut ranges);
        if !ranges.is_empty() {
            port.send(connection, &mut ranges);
            ranges.clear();
        }
    }
    broker.put_spare_ranges(ranges);
}

impl Broker {
    /// The other cores of this broker, ascending.
    fn other_cores(&self) -> impl Iterator<Item = CoreId> + use<> {
        let core = self.core;
        (0..self.cluster.cores).map(CoreId).filter(move |other| *other != core)
    }
}
