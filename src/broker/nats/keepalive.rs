//! PING from the broker to clients that are silent, and the end of those that stay silent.

use super::super::session::Phase;
use super::super::{Broker, Now};
use crate::nats::error::Offence;

impl Broker {
    /// Looks at a connection again when it could have been silent for `nats.ping_interval_ms`.
    pub(super) fn expect_sign_of_life(&mut self, now: Now, slot: u32) {
        let interval_ns = self.ping_interval_ns();
        let connection = self.sessions.id(slot);
        // All wait equally long, so the soonest stays in front.
        self.nats_pings.push_back((now.monotonic_ns + interval_ns, connection));
    }

    /// Asks those who were silent, and closes those who were asked often enough.
    pub(in crate::broker) fn check_nats_pings(&mut self, now: Now) {
        let interval_ns = self.ping_interval_ns();
        while let Some(&(at, connection)) = self.nats_pings.front()
            && at <= now.monotonic_ns
        {
            self.nats_pings.pop_front();
            let pings_max = self.cluster.settings.nats.pings_max;
            let Some(session) = self.sessions.find_id(connection) else { continue };
            if session.phase == Phase::Closing {
                continue;
            }
            let nats = session.nats();
            if now.monotonic_ns - nats.heard_ns >= interval_ns {
                if nats.pings_out >= pings_max {
                    self.offend(connection.slot, &Offence::StaleConnection);
                    continue;
                }
                nats.pings_out += 1;
                self.answer(connection.slot, |out| out.extend_from_slice(b"PING\r\n"));
            }
            self.expect_sign_of_life(now, connection.slot);
        }
    }

    /// `nats.ping_interval_ms` was one and is another: all are looked at as much earlier or later, and
    /// stay in order.
    pub(in crate::broker) fn ping_interval_changes(&mut self, old_ns: u64) {
        let new_ns = self.ping_interval_ns();
        for (at, _) in &mut self.nats_pings {
            *at = at.saturating_sub(old_ns) + new_ns;
        }
    }

    pub(in crate::broker) fn ping_interval_ns(&self) -> u64 {
        u64::from(self.cluster.settings.nats.ping_interval_ms) * 1_000_000
    }
}
