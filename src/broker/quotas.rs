//! Quotas: what the connections of one user may take together, whatever cores they are on.
//!
//! Granted by `auth` with the permissions of a user. A frontend takes a place when a client
//! authenticates; `turn` charges what a client publishes.
//!
//! # Always true
//! - All cores charge one account per user, without a lock: that is for reading the configuration.
//! - A place is given back when its connection is gone, or authenticates again.
//! - Nothing is lost to a quota of publishes: what is too fast waits to be read.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hashbrown::HashMap;

use crate::config::{User, UserLimits};

const SECOND_NS: u64 = 1_000_000_000;

/// What the connections of one user have taken.
#[derive(Debug, Default)]
struct Account {
    connections: AtomicU32,
    /// Until when what they have published uses their rate up.
    rate_used_until_ns: AtomicU64,
}

/// The accounts by the name of the user and its limits.
type Accounts = HashMap<(String, UserLimits), Weak<Account>>;

/// The accounts of all users that have a quota, shared by all cores.
#[derive(Debug, Clone, Default)]
pub struct Quotas(Arc<Mutex<Accounts>>);

impl Quotas {
    /// The quota of a user; nothing if the user is not limited. A user whose limits were changed begins
    /// with an account of its own.
    pub fn of(&self, user: &User) -> Option<Quota> {
        let limits = user.limits;
        if limits == UserLimits::default() {
            return None;
        }
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, account| account.strong_count() > 0);
        let key = (user.login.name().to_owned(), limits);
        let known = accounts.get(&key).and_then(Weak::upgrade);
        let account = known.unwrap_or_default();
        accounts.insert(key, Arc::downgrade(&account));
        Some(Quota { limits, account })
    }
}

/// What the connections of one user may take, and have taken.
#[derive(Debug, Clone)]
pub struct Quota {
    limits: UserLimits,
    account: Arc<Account>,
}

impl PartialEq for Quota {
    fn eq(&self, other: &Quota) -> bool {
        Arc::ptr_eq(&self.account, &other.account)
    }
}

impl Eq for Quota {}

/// A connection's place among those of its user.
#[derive(Debug)]
pub struct Place(Arc<Account>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Quota {
    /// Takes a place for a connection. Fails with their maximum if there is none.
    pub fn take_place(&self) -> Result<Place, u32> {
        let connections_max = match self.limits.max_connections {
            0 => u32::MAX,
            connections_max => connections_max,
        };
        let taken = self.account.connections.fetch_update(
            Ordering::Relaxed,
            Ordering::Relaxed,
            |connections| (connections < connections_max).then_some(connections + 1),
        );
        taken.map(|_| Place(self.account.clone())).map_err(|_| connections_max)
    }

    /// Charges what was published, of which none before `saved_from_ns` was saved up. Returns when the
    /// connection that published it may go on.
    pub fn charge(&self, saved_from_ns: u64, messages: u32, bytes: usize) -> u64 {
        let UserLimits { max_publish_messages_per_second, max_publish_bytes_per_second, .. } =
            self.limits;
        let rates = (max_publish_messages_per_second, max_publish_bytes_per_second);
        let cost_ns = cost_ns(rates, messages, bytes);
        if cost_ns == 0 {
            return 0;
        }
        let until = |used_ns: u64| used_ns.max(saved_from_ns).saturating_add(cost_ns);
        let used = &self.account.rate_used_until_ns;
        let before =
            used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used_ns| Some(until(used_ns)));
        until(before.unwrap_or_else(|used_ns| used_ns))
    }
}

/// How much of a second these use up, at so many messages and bytes a second; 0 of either is no limit.
pub fn cost_ns((messages_max, bytes_max): (u32, u64), messages: u32, bytes: usize) -> u64 {
    let share = |amount: u64, per_second: u64| {
        amount.saturating_mul(SECOND_NS).checked_div(per_second).unwrap_or(0)
    };
    let messages = share(messages.into(), messages_max.into());
    messages.max(share(bytes as u64, bytes_max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn user(limits: &str) -> User {
        let text = format!("[[auth.users]]\nuser = \"u\"\npassword = \"p\"\n{limits}\n");
        Settings::parse("blipmq.toml", &text).expect(&text).auth.users.remove(0)
    }

    #[test]
    fn the_rate_that_is_used_up_first_counts_and_none_costs_nothing() {
        assert_eq!(cost_ns((0, 0), 1_000, 1 << 20), 0);
        assert_eq!(cost_ns((1_000, 0), 10, 1 << 20), SECOND_NS / 100);
        assert_eq!(cost_ns((1_000, 1_000), 10, 100), SECOND_NS / 10);
        assert_eq!(cost_ns((1, 1), u32::MAX, usize::MAX), u64::MAX);
    }

    #[test]
    fn cores_share_the_account_of_a_user_until_its_limits_change() {
        let quotas = Quotas::default();
        assert_eq!(quotas.of(&user("")), None);
        let limited = user("max_connections = 2");
        let (one, other) = (quotas.of(&limited).unwrap(), quotas.clone().of(&limited).unwrap());
        assert_eq!(one, other);
        let (first, _second) = (one.take_place().unwrap(), other.take_place().unwrap());
        assert_eq!(other.take_place().unwrap_err(), 2);
        drop(first);
        let _third = other.take_place().unwrap();
        let changed = quotas.of(&user("max_connections = 1")).unwrap();
        assert_ne!(changed, one);
        assert!(changed.take_place().is_ok());
        drop((one, other, changed));
        assert_eq!(quotas.0.lock().unwrap().len(), 2);
        assert!(quotas.of(&user("max_connections = 3")).is_some());
        // A place holds its account; what nobody holds is forgotten.
        assert_eq!(quotas.0.lock().unwrap().len(), 2);
    }

    #[test]
    fn what_any_connection_of_a_user_publishes_is_charged_to_all() {
        let quota = Quotas::default().of(&user("max_publish_messages_per_second = 10")).unwrap();
        let (of_one, of_other) = (quota.clone(), quota);
        assert_eq!(of_one.charge(0, 5, 1), SECOND_NS / 2);
        assert_eq!(of_other.charge(0, 10, 1), SECOND_NS * 3 / 2);
        // What was not used is saved up as far as the caller says.
        assert_eq!(of_one.charge(9 * SECOND_NS, 1, 1), 9 * SECOND_NS + SECOND_NS / 10);
    }
}
