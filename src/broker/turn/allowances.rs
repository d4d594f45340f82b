//! What a connection may take of the others' time: how fast it publishes, and how long it takes nothing of
//! what it is sent.
//!
//! # Always true
//! - A connection that publishes faster than it may is not read until it may again, and loses nothing.
//! - A connection has one deadline for its sends at most: a send sets none of its own.

use bytes::Bytes;

use crate::broker::clock::ms_to_ns;
use crate::broker::connections::{Hold, Phase};
use crate::broker::delivery::Slowness;
use crate::broker::frontends::Refusal;
use crate::broker::ids::{ConnectionId, Slot};
use crate::broker::quotas;
use crate::broker::timers::Class;
use crate::broker::{Broker, Now};
use crate::config::Limits;
use crate::protocol::SubscriptionId;

const SECOND_NS: u64 = 1_000_000_000;

/// How much of a second these use up at the rates that are configured.
fn cost_ns(limits: &Limits, messages: u32, bytes: usize) -> u64 {
    let rates = (limits.max_publish_messages_per_second, limits.max_publish_bytes_per_second);
    quotas::cost_ns(rates, messages, bytes)
}

impl Broker {
    /// A connection has published: if that was more than it may, or with all others of its user, it is
    /// not read for a while. It may save a second up, and so may the user.
    pub(super) fn keep_rate(&mut self, now: Now, slot: Slot, messages: u32, bytes: usize) {
        let cost_ns = cost_ns(&self.cluster.settings.limits, messages, bytes);
        let connection = self.connections.at(slot);
        let quota = connection.permissions().quota();
        if (cost_ns == 0 && quota.is_none()) || connection.is_over() {
            return;
        }
        let now_ns = now.monotonic_ns;
        let saved_from_ns = now_ns.saturating_sub(SECOND_NS);
        let of_user_ns = quota.map_or(0, |quota| quota.charge(saved_from_ns, messages, bytes));
        let connection = self.connections.get(slot);
        let may_go_on_ns = connection.charge(saved_from_ns, cost_ns).max(of_user_ns);
        if may_go_on_ns > now_ns {
            connection.wait_until(may_go_on_ns);
            self.counters.rate_limited.add(1);
            self.connections.hold(slot, Hold::Rate);
            self.timers.set(Class::Rate, may_go_on_ns, self.connections.id(slot));
        }
    }

    /// Lets a connection go on that has waited for its rate.
    pub(super) fn check_rate(&mut self, _: Now, slot: Slot) {
        self.connections.release(slot, Hold::Rate);
    }

    /// A send of a connection begins: if it takes too long, that is seen.
    pub(super) fn watch_send(&mut self, now: Now, connection: ConnectionId) {
        let timeout_ns = ms_to_ns(self.cluster.settings.server.write_timeout_ms);
        let of = self.connections.get(connection.slot);
        of.note_send_began(now.monotonic_ns);
        // Without a timeout there is no deadline either: a reload may set one.
        if timeout_ns > 0 && of.begins_watch() {
            self.timers.set(Class::Send, now.monotonic_ns + timeout_ns, connection);
        }
    }

    /// Closes a connection whose peer has taken nothing for too long.
    pub(super) fn check_send(&mut self, now: Now, slot: Slot) {
        let write_timeout_ms = self.cluster.settings.server.write_timeout_ms;
        let connection = self.connections.get(slot);
        connection.end_watch();
        let Some(began_ns) = connection.sending_since_ns() else { return };
        if write_timeout_ms == 0 {
            return;
        }
        let due_ns = began_ns + ms_to_ns(write_timeout_ms);
        if due_ns <= now.monotonic_ns {
            self.give_up_send(now, slot, write_timeout_ms);
        } else if connection.begins_watch() {
            self.timers.set(Class::Send, due_ns, self.connections.id(slot));
        }
    }

    fn give_up_send(&mut self, now: Now, slot: Slot, write_timeout_ms: u32) {
        self.counters.send_timeouts.add(1);
        let phase = self.connections.at(slot).phase();
        let (frontends, mut doors) = self.open_doors(now);
        match phase {
            Phase::AwaitHello | Phase::Open => {
                let why = Slowness::TakesNoBytes { write_timeout_ms };
                let refusal = Refusal::TooSlow { subscription: SubscriptionId(0), why };
                frontends.refuse(&mut doors, slot, &refusal);
            }
            Phase::Finishing => doors.close(slot, Bytes::new()),
            Phase::Closing => {}
        }
        self.carry_out(now);
    }
}
