//! The stop: what was accepted is delivered, on all cores, before connections are closed.
//!
//! Each core stops taking input, hands out what it has, and says so to the others (*requests
//! drained*). When all others have said so, nothing is published any more, and it says that too
//! (*deliveries drained*). When all have, nothing is fanned out any more, and groups deal what they
//! have left; when members have sent all of it and none can come back (*groups drained*),
//! everywhere, it is quiet: each connection is closed once it has been sent everything.
//!
//! Clients that are closed come back, here or elsewhere. So that not all do at once, the closing is
//! spread over `server.drain_spread_ms`; a client that leaves by itself after it was notified is not
//! waited for.

use crate::broker::connections::Phase;
use crate::broker::frontends::Refusal;
use crate::broker::ids::Slot;
use crate::broker::mesh::{Delivery, Request};
use crate::broker::timers::Class;
use crate::broker::{Broker, Now};
use crate::limits::DRAIN_SPREAD_NS_EACH;

impl Broker {
    /// Begins the stop: clients are notified, and their input is not served any more.
    pub(in crate::broker) fn begin_stop(&mut self, now: Now) {
        self.drain.begun = true;
        self.drain.begun_ns = now.monotonic_ns;
        self.connections.stop();
        self.logins.stop();
        for slot in self.connections.table().slots_in_use() {
            let (frontends, mut doors) = self.open_doors(now);
            frontends.stopping(&mut doors, slot);
            self.carry_out(now);
        }
    }

    /// Announces a stop: clients that can are told to leave, and in the second half of the time those
    /// that are left are closed, one after the other.
    pub fn begin_lame_duck(&mut self, now: Now, time_ms: u32) {
        self.drain.is_lame_duck = true;
        for slot in self.connections.table().slots_in_use() {
            let phase = self.connections.at(slot).phase();
            let (frontends, mut doors) = self.open_doors(now);
            match phase {
                Phase::Open => frontends.lame_duck(&mut doors, slot),
                Phase::AwaitHello => frontends.refuse(&mut doors, slot, &Refusal::Stopping),
                Phase::Finishing | Phase::Closing => {}
            }
            self.carry_out(now);
        }
        let half_ns = u64::from(time_ms) * 1_000_000 / 2;
        let staying = self.staying();
        let count = staying.len() as u64;
        for (index, slot) in staying.into_iter().enumerate() {
            let at_ns = now.monotonic_ns + half_ns + half_ns * index as u64 / count;
            self.timers.set(Class::Closing, at_ns, self.connections.id(slot));
        }
    }

    /// Closes connections whose time to leave has come, behind what is queued for them.
    fn let_leave(&mut self, now: Now) {
        while let Some(connection) = self.timers.take_due(now, Class::Closing) {
            if self.connections.is_open(connection)
                && self.connections.at(connection.slot).phase() == Phase::Open
            {
                let (frontends, mut doors) = self.open_doors(now);
                frontends.leave(&mut doors, connection.slot);
                self.carry_out(now);
            }
        }
        self.close_finishing(now);
    }

    /// Takes the next step of the stop, if it is due.
    pub(super) fn drain_on(&mut self, now: Now) {
        if !self.drain.begun {
            if self.drain.is_lame_duck {
                self.let_leave(now);
            }
            return;
        }
        if self.drain.is_quiet {
            return self.close_due(now);
        }
        let others = self.cluster.cores - 1;
        if !self.drain.said_requests {
            self.drain.said_requests = true;
            for core in self.cluster.others(self.core) {
                self.mesh.ask(core, Request::Drained);
            }
        }
        if !self.drain.said_deliveries
            && self.drain.requests_drained == others
            && self.replays.are_over()
        {
            self.drain.said_deliveries = true;
            for core in self.cluster.others(self.core) {
                self.mesh.deliver(core, Delivery::Drained);
            }
        }
        let no_more_comes = self.drain.said_deliveries && self.drain.deliveries_drained == others;
        if !self.drain.said_groups && no_more_comes && self.delivery.groups_are_empty() {
            self.drain.said_groups = true;
            for core in self.cluster.others(self.core) {
                self.mesh.deliver(core, Delivery::GroupsDrained);
            }
        }
        if self.drain.said_groups && self.drain.groups_drained == others {
            self.drain.is_quiet = true;
            self.mesh.end();
            self.spread_closings(now);
            for slot in self.connections.table().slots_in_use() {
                self.finish_if_empty(now, slot);
            }
        }
    }

    fn finish_if_empty(&mut self, now: Now, slot: Slot) {
        let (_, mut doors) = self.open_doors(now);
        doors.finish_if_empty(slot);
        self.carry_out(now);
    }

    /// Gives each connection its time to be closed.
    fn spread_closings(&mut self, now: Now) {
        let staying = self.staying();
        let server = &self.cluster.settings.server;
        let count = staying.len() as u64;
        let spread_ns = spread_ns(
            count,
            u64::from(server.drain_spread_ms) * 1_000_000,
            u64::from(server.drain_timeout_ms) * 1_000_000,
            now.monotonic_ns - self.drain.begun_ns,
        );
        for (index, slot) in staying.into_iter().enumerate() {
            let at_ns = now.monotonic_ns + spread_ns * index as u64 / count;
            self.connections.get(slot).set_close_at_ns(at_ns);
            self.timers.set(Class::Closing, at_ns, self.connections.id(slot));
        }
    }

    /// The open connections, in an order that nothing of the clients decides.
    fn staying(&self) -> Vec<Slot> {
        let server_id = self.cluster.server_id;
        let all = self.connections.table().iter();
        let stays = all.filter(|(_, connection)| connection.phase() == Phase::Open);
        let mut staying: Vec<Slot> = stays.map(|(id, _)| id.slot).collect();
        staying.sort_by_key(|slot| (shuffled(server_id ^ u64::from(slot.0)), *slot));
        staying
    }

    /// Closes connections whose time has come, and which have been sent everything.
    fn close_due(&mut self, now: Now) {
        while let Some(connection) = self.timers.take_due(now, Class::Closing) {
            if self.connections.is_open(connection) {
                self.finish_if_empty(now, connection.slot);
            }
        }
    }
}

/// Over how long to spread the closing of so many connections: as configured, but no slower than few
/// of them need, and in half of the time that is left, so that the last ones are sent everything too.
fn spread_ns(connections: u64, configured_ns: u64, timeout_ns: u64, since_ns: u64) -> u64 {
    let left_ns = timeout_ns.saturating_sub(since_ns);
    configured_ns.min(connections * DRAIN_SPREAD_NS_EACH).min(left_ns / 2)
}

/// A number that looks random, another for each: the finalizer of splitmix64.
fn shuffled(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn few_connections_are_closed_sooner_and_none_later_than_the_timeout_allows() {
        assert_eq!(spread_ns(0, 2_000 * MS, 10_000 * MS, 0), 0);
        assert_eq!(spread_ns(2, 2_000 * MS, 10_000 * MS, 0), 2 * MS);
        assert_eq!(spread_ns(50_000, 2_000 * MS, 10_000 * MS, 0), 2_000 * MS);
        assert_eq!(spread_ns(50_000, 2_000 * MS, 10_000 * MS, 9_000 * MS), 500 * MS);
        assert_eq!(spread_ns(50_000, 2_000 * MS, 10_000 * MS, 11_000 * MS), 0);
        assert_eq!(spread_ns(50_000, 0, 10_000 * MS, 0), 0);
    }
}
