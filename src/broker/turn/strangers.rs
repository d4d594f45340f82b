//! Clients that keep places without logging in: above a bound they are closed, so that silent ones never
//! keep all places from those that mean to log in.

use crate::broker::connections::Phase;
use crate::broker::counters::{Counters, Refused};
use crate::broker::frontends::Refusal;
use crate::broker::timers::Single;
use crate::broker::{Broker, ConnectionId, Now};
use crate::limits::{
    BEFORE_LOGIN_CLOSED_MAX, BEFORE_LOGIN_LOOK_MS, BEFORE_LOGIN_MIN, BEFORE_LOGIN_MS,
};

impl Broker {
    /// A client has connected that has not logged in yet.
    pub(in crate::broker) fn note_stranger(&mut self, now: Now, connection: ConnectionId) {
        if matches!(self.connections.at(connection.slot).phase(), Phase::Finishing | Phase::Closing)
        {
            return;
        }
        let count = self.connections.note_stranger(connection);
        if count > BEFORE_LOGIN_MIN && self.timers.single(Single::Strangers).is_none() {
            self.look_at_strangers_in(now, BEFORE_LOGIN_LOOK_MS);
        }
    }

    fn look_at_strangers_in(&mut self, now: Now, time_ms: u64) {
        let at_ns = now.monotonic_ns + time_ms * 1_000_000;
        self.timers.set_single(Single::Strangers, Some(at_ns));
    }

    /// Closes clients beyond the bound that have had their time, now and then.
    pub(super) fn close_strangers(&mut self, now: Now) {
        if !self.timers.is_due(now, Single::Strangers) {
            return;
        }
        self.timers.set_single(Single::Strangers, None);
        let waiting = self.connections.count_strangers();
        let excess = waiting.saturating_sub(self.strangers_max(waiting));
        if excess == 0 {
            return;
        }
        let before_ns = now.monotonic_ns.saturating_sub(BEFORE_LOGIN_MS * 1_000_000);
        let count = excess.min(BEFORE_LOGIN_CLOSED_MAX);
        let chosen = self.connections.strangers_to_close(count, before_ns);
        // More of them at once would keep others waiting.
        let has_more = chosen.len() == BEFORE_LOGIN_CLOSED_MAX;
        for slot in chosen {
            self.counters.refused_connections[Refused::BeforeLogin as usize].add(1);
            let (frontends, mut doors) = self.open_doors(now);
            frontends.refuse(&mut doors, slot, &Refusal::LoginTooLate { waiting: waiting as u64 });
            self.carry_out(now);
        }
        self.look_at_strangers_in(now, if has_more { 1 } else { BEFORE_LOGIN_LOOK_MS });
    }

    /// How many connections of this core may wait for a login, of so many that do.
    fn strangers_max(&self, waiting: usize) -> usize {
        let settings = &self.cluster.settings;
        let cores = usize::from(self.cluster.cores);
        let of_core = |count: u32| (count as usize).div_ceil(cores);
        let connections_max = of_core(settings.server.max_connections);
        let Counters { connections_opened, connections_closed, .. } = &*self.counters;
        let open = connections_opened.get().saturating_sub(connections_closed.get()) as usize;
        let left = connections_max.saturating_sub(open.saturating_sub(waiting));
        let configured = match settings.limits.max_connections_before_login {
            0 => usize::MAX,
            count => of_core(count),
        };
        (left / 2).max(BEFORE_LOGIN_MIN).min(configured)
    }
}
