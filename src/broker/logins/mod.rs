//! Logins that are not over: passwords that are compared with hashes elsewhere, right ones that need not
//! be compared again, and how wrong ones are slowed down.
//!
//! Asked by the frontends through their doors; what comes back is served by `turn`. The broker computes no
//! hash: [`Checks::take_asked`] goes out through the port, and the answer comes back as a command.
//!
//! # Always true
//! - Equal secrets of one user that wait at once are compared once.
//! - Everything here has a bound: comparisons, remembered secrets, and users that failed.

mod checks;
mod penalties;
mod remembered;

use std::net::IpAddr;
use std::time::Duration;

use super::auth::Identity;
use super::clock::Now;
pub use checks::{Checks, PasswordCheck};
use penalties::Penalties;
pub use remembered::Mac;
use remembered::Remembered;

/// The logins of a core.
#[derive(Debug)]
pub struct Logins {
    /// Comparisons that are under way.
    pub checks: Checks,
    remembered: Remembered,
    penalties: Penalties,
}

impl Logins {
    /// The logins of a core; `key` must be random where secrets are hashed.
    pub fn new(key: [u8; 32]) -> Logins {
        Logins {
            checks: Checks::default(),
            remembered: Remembered::new(key),
            penalties: Penalties::default(),
        }
    }

    /// What a secret is remembered by.
    pub fn mac(&self, identity: &Identity, secret: &str, hash: &crate::config::hash::Hash) -> Mac {
        self.remembered.mac(identity, secret, hash)
    }

    /// Whether a secret was found right before.
    pub fn has_been_right(&self, mac: &Mac) -> bool {
        self.remembered.contains(mac)
    }

    /// A secret was found right.
    pub fn remember(&mut self, mac: Mac, identity: Identity) {
        self.remembered.add(mac, identity);
    }

    /// Forgets the right secrets of those whose secret has changed.
    pub fn forget(&mut self, has_changed: impl Fn(&Identity) -> bool) {
        self.remembered.forget(has_changed);
    }

    /// Whether so many logins of a user from an address have failed that another is not checked now.
    pub fn is_throttled(&mut self, now: Now, address: IpAddr, user: &str) -> bool {
        let key = self.penalties_key(address, user);
        self.penalties.is_throttled(now, key)
    }

    /// A login has failed. Returns how long its refusal is to be held back.
    pub fn failed(&mut self, now: Now, address: IpAddr, identity: Option<&Identity>) -> Duration {
        let user = match identity {
            Some(Identity::User(user)) => user,
            Some(Identity::Token) | None => "",
        };
        let key = self.penalties_key(address, user);
        self.penalties.failed(now, key)
    }

    /// A user has logged in from an address.
    pub fn succeeded(&mut self, address: IpAddr, user: &str) {
        let key = self.penalties_key(address, user);
        self.penalties.forgive(key);
    }

    fn penalties_key(&self, address: IpAddr, user: &str) -> u64 {
        let network = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            // Whoever has one address of a network of IPv6 has 2^64 of them.
            IpAddr::V6(address) => {
                let mut octets = address.octets();
                octets[8..].fill(0);
                address.to_ipv4_mapped().map_or(octets, |old| old.to_ipv6_mapped().octets())
            }
        };
        self.remembered.number_of(&[&network, user.as_bytes()])
    }

    /// The broker stops: nothing is waited for any more.
    pub fn stop(&mut self) {
        self.checks.clear();
    }
}

#[cfg(test)]
mod tests;
