//! How wrong logins are slowed down, by user and address.
//!
//! The refusal of a wrong login is held back, each time twice as long. A right login is not held back:
//! others behind the same address are not to suffer, not even those of the same user. But wrong logins add
//! up, and beyond a sum no login of that user from that address is checked until time has passed, so that
//! a client which tries on many connections at once gains nothing.
//!
//! # Always true
//! - In the long run one user is tried from one address at most once in the longest delay, on each core.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;

use crate::broker::clock::{Now, ms_to_ns};
use crate::limits::{LOGIN_DELAY_MS, LOGIN_DELAY_MS_MAX, LOGIN_DELAYS_MS_MAX, LOGIN_FAILURES_MAX};

/// Wrong logins of one user from one address.
#[derive(Debug, Clone, Copy, Default)]
struct Penalty {
    /// In a row.
    failures: u32,
    /// Until when their delays last, one behind the other.
    until_ns: u64,
}

/// Who has failed to log in lately.
#[derive(Debug, Default)]
pub(super) struct Penalties {
    of: HashMap<u64, Penalty>,
    /// Those keys, oldest first.
    order: VecDeque<u64>,
}

impl Penalties {
    pub(super) fn is_throttled(&self, now: Now, key: u64) -> bool {
        let until_ns = self.of.get(&key).map_or(0, |penalty| penalty.until_ns);
        until_ns > now.monotonic_ns + LOGIN_DELAYS_MS_MAX * 1_000_000
    }

    pub(super) fn failed(&mut self, now: Now, key: u64) -> Duration {
        if !self.of.contains_key(&key) {
            self.make_room();
            self.order.push_back(key);
        }
        let penalty = self.of.entry(key).or_default();
        // Who has not failed for so long as the delays may add up to begins anew.
        if penalty.until_ns + LOGIN_DELAYS_MS_MAX * 1_000_000 < now.monotonic_ns {
            penalty.failures = 0;
        }
        let doubled = LOGIN_DELAY_MS << penalty.failures.min(16);
        let delay_ms = doubled.min(LOGIN_DELAY_MS_MAX);
        penalty.failures += 1;
        penalty.until_ns = penalty.until_ns.max(now.monotonic_ns) + ms_to_ns(delay_ms as u32);
        Duration::from_millis(delay_ms)
    }

    /// Forgets those who failed first.
    fn make_room(&mut self) {
        while self.order.len() >= LOGIN_FAILURES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.of.remove(&oldest);
        }
    }

    /// A right login ends the row, but not what has added up: a client that knows one password is not to
    /// try others for nothing.
    pub(super) fn forgive(&mut self, key: u64) {
        if let Some(penalty) = self.of.get_mut(&key) {
            penalty.failures = 0;
        }
    }
}
