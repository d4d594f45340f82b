//! The stop: what was accepted is delivered, on all cores, before connections are closed.
//!
//! Each core stops taking input, hands out what it has, and says so to the others (*requests
//! drained*). When all others have said so, nothing is published any more, and it says that too
//! (*deliveries drained*). When all have, nothing is fanned out any more, and groups deal what they
//! have left; when members have sent all of it and none can come back (*groups drained*),
//! everywhere, it is quiet: each connection is closed once it has been sent everything.
//!
//! Clients that are closed come back, here or elsewhere. So that not all do at once, the closing is
//! spread over `server.drain_spread_ms`; who leaves by itself after its GOODBYE is not waited for.

use std::collections::VecDeque;

use super::letter::{Delivery, Request};
use super::session::Phase;
use super::{Action, Broker, ConnectionId, Now, Outgoing};
use crate::limits::DRAIN_SPREAD_NS_EACH;
use crate::protocol::{Reject, encode};

/// How far the stop is.
#[derive(Debug, Default)]
pub struct Drain {
    begun: bool,
    begun_ns: u64,
    /// Connections by when they may be closed, soonest first.
    closings: VecDeque<(u64, ConnectionId)>,
    said_requests: bool,
    said_deliveries: bool,
    /// Other cores that send no more requests.
    pub requests_drained: u16,
    /// Other cores that send no more deliveries.
    pub deliveries_drained: u16,
    said_groups: bool,
    /// Other cores whose groups have dealt all they had.
    pub groups_drained: u16,
    quiet: bool,
}

impl Drain {
    /// Whether the stop has begun: nothing is taken in any more.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// When the next connection may be closed.
    pub fn check_at_ns(&self) -> Option<u64> {
        self.closings.front().map(|(at, _)| *at)
    }

    /// Whether nothing can be queued any more.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }
}

impl Broker {
    /// Begins the stop: clients are told, and their input is not read any more.
    pub fn stop(&mut self, now: Now) {
        self.now = now;
        self.drain.begun = true;
        self.drain.begun_ns = now.monotonic_ns;
        self.backlog.clear();
        // They are read again, though nothing is served: that shows when a client has gone.
        for slot in std::mem::take(&mut self.paused) {
            let Some((connection, session)) = self.sessions.find(slot) else { continue };
            if session.paused.is_some() && session.phase != Phase::Closing && !session.ended {
                self.actions.push(Action::Resume(connection));
            }
        }
        for slot in self.sessions.slots_in_use() {
            let session = self.sessions.get(slot);
            session.in_backlog = false;
            session.paused = None;
            session.unparsed.clear();
            if let Some(nats) = &mut session.nats {
                nats.fence = None;
            }
            match session.phase {
                Phase::Open if session.nats.is_some() => self.tell_info(slot, true),
                Phase::AwaitHello => self.reject(slot, &Reject::Stopping),
                Phase::Open => self.answer(slot, |out| {
                    encode::goodbye(out, "the server is stopping: reconnect later or elsewhere");
                }),
                Phase::Finishing | Phase::Closing => {}
            }
            self.close_if_ended(slot);
        }
    }

    /// Whether everything was delivered and told. Connections may still be closing.
    pub fn is_stopped(&self) -> bool {
        self.drain.quiet && self.outgoing.iter().all(Outgoing::is_empty)
    }

    /// Takes the next step of the stop, if it is due.
    pub(super) fn drain_on(&mut self, now: Now) {
        if !self.drain.begun {
            return;
        }
        if self.drain.quiet {
            return self.close_due(now);
        }
        let others = self.cluster.cores - 1;
        if !self.drain.said_requests {
            self.drain.said_requests = true;
            for core in self.others() {
                self.outgoing[core].ask(Request::Drained);
            }
        }
        if !self.drain.said_deliveries && self.drain.requests_drained == others {
            self.drain.said_deliveries = true;
            for core in self.others() {
                self.outgoing[core].deliver(Delivery::Drained);
            }
        }
        let no_more_comes = self.drain.said_deliveries && self.drain.deliveries_drained == others;
        if !self.drain.said_groups && no_more_comes && self.groups.are_empty() {
            self.drain.said_groups = true;
            for core in self.others() {
                self.outgoing[core].deliver(Delivery::GroupsDrained);
            }
        }
        if self.drain.said_groups && self.drain.groups_drained == others {
            self.drain.quiet = true;
            self.spread_closings(now);
            for slot in self.sessions.slots_in_use() {
                self.finish_if_empty(slot);
            }
        }
    }

    /// Gives each connection its time to be closed, in an order that nothing of the clients decides.
    fn spread_closings(&mut self, now: Now) {
        let server_id = self.cluster.server_id;
        let stays = self.sessions.iter().filter(|(_, session)| session.phase == Phase::Open);
        let mut staying: Vec<u32> = stays.map(|(slot, _)| slot).collect();
        staying.sort_by_key(|slot| (shuffled(server_id ^ u64::from(*slot)), *slot));
        let server = &self.cluster.settings.server;
        let spread_ns = spread_ns(
            staying.len() as u64,
            u64::from(server.drain_spread_ms) * 1_000_000,
            u64::from(server.drain_timeout_ms) * 1_000_000,
            now.monotonic_ns - self.drain.begun_ns,
        );
        let count = staying.len() as u64;
        for (index, slot) in staying.into_iter().enumerate() {
            let at = now.monotonic_ns + spread_ns * index as u64 / count;
            let connection = self.sessions.id(slot);
            self.sessions.get(slot).close_at_ns = at;
            self.drain.closings.push_back((at, connection));
        }
    }

    /// Closes connections whose time has come, and which have been sent everything.
    fn close_due(&mut self, now: Now) {
        while let Some(&(at, connection)) = self.drain.closings.front()
            && at <= now.monotonic_ns
        {
            self.drain.closings.pop_front();
            if self.sessions.find_id(connection).is_some() {
                self.finish_if_empty(connection.slot);
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
    use std::sync::Arc;

    use super::*;
    use crate::broker::{Cluster, Peer, Wire};
    use crate::config::Settings;
    use crate::protocol::CoreId;

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

    fn at(ms: u64) -> Now {
        Now { monotonic_ns: ms * MS, unix_ns: 0 }
    }

    fn id(slot: u32) -> ConnectionId {
        ConnectionId { slot, generation: 1 }
    }

    /// A broker that stops with so many NATS clients, which need no HELLO; what it was told is sent.
    fn stopping(settings: Settings, connections: u32, server_id: u64) -> Broker {
        let cluster = Cluster::new(1, server_id, Arc::new(settings));
        let mut broker = Broker::new(CoreId(0), cluster, Arc::default());
        let peer = Peer { protocol: Wire::Nats, address: ([127, 0, 0, 1], 1).into() };
        for slot in 0..connections {
            broker.connected(at(0), id(slot), peer, true);
        }
        broker.stop(at(0));
        broker.take_in(at(0));
        let mut gathered = Vec::new();
        while let Some(connection) = broker.next_ready() {
            broker.gather(at(0), connection, &mut gathered);
            gathered.clear();
            broker.sent(at(0), connection);
        }
        broker
    }

    fn closed(broker: &mut Broker, now: Now) -> Vec<u32> {
        broker.take_in(now);
        let closes = broker.take_actions().filter_map(|action| match action {
            Action::Close(connection, _) => Some(connection.slot),
            _ => None,
        });
        closes.collect()
    }

    /// Every closing of a stop, with its millisecond.
    fn closings(broker: &mut Broker) -> Vec<(u64, u32)> {
        let mut found: Vec<_> = closed(broker, at(0)).into_iter().map(|slot| (0, slot)).collect();
        while let Some(next_ns) = broker.next_deadline_ns().filter(|at| *at <= 60_000 * MS) {
            let now = Now { monotonic_ns: next_ns, unix_ns: 0 };
            found.extend(closed(broker, now).into_iter().map(|slot| (next_ns / MS, slot)));
        }
        found
    }

    #[test]
    fn closing_is_spread_evenly_in_an_order_of_each_start() {
        let of = |server_id| closings(&mut stopping(Settings::default(), 100, server_id));
        let one = of(1);
        let times: Vec<u64> = one.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, (0..100).collect::<Vec<u64>>());
        let order =
            |closings: &[(u64, u32)]| closings.iter().map(|(_, slot)| *slot).collect::<Vec<_>>();
        let mut all = order(&one);
        assert_eq!(one, of(1), "the same calls give the same result");
        assert_ne!(all, order(&of(2)));
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<u32>>(), "each is closed once");
    }

    #[test]
    fn without_a_spread_all_are_closed_as_soon_as_they_have_everything() {
        let mut settings = Settings::default();
        settings.server.drain_spread_ms = 0;
        let closings = closings(&mut stopping(settings, 100, 1));
        assert_eq!(closings.len(), 100);
        assert!(closings.iter().all(|(at, _)| *at == 0));
    }

    #[test]
    fn who_leaves_by_itself_is_not_waited_for() {
        let mut broker = stopping(Settings::default(), 100, 1);
        let first = closed(&mut broker, at(0));
        assert_eq!(first.len(), 1);
        for slot in (0..100).filter(|slot| !first.contains(slot)) {
            broker.ended(at(0), id(slot));
        }
        assert_eq!(closed(&mut broker, at(0)).len(), 99);
    }
}
