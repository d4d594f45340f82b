//! Passwords that are compared with hashes, elsewhere.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Mac;
use crate::broker::auth::{Comparison, Identity};
use crate::broker::ids::{CheckId, ConnectionId};
use crate::config::hash::Hash;
use crate::limits::PASSWORD_CHECKS_OF_ADDRESS_MAX;

/// A password or a token that is to be compared with a hash.
#[derive(Clone)]
pub struct PasswordCheck {
    /// What the answer is to name.
    pub id: CheckId,
    /// The hash.
    pub hash: Arc<Hash>,
    /// Stands for the user, the secret and the hash: what was right once is right again.
    pub mac: Mac,
    secret: Arc<str>,
    is_wanted: Arc<AtomicBool>,
}

impl fmt::Debug for PasswordCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordCheck").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PasswordCheck {
    /// The secret that the client gave.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Nobody waits for the answer any more.
    pub fn give_up(&self) {
        self.is_wanted.store(false, Ordering::Relaxed);
    }

    /// Whether somebody still waits for the answer.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }
}

/// A comparison that was asked for.
#[derive(Debug)]
pub struct Finished {
    /// Whose secret it would be.
    pub identity: Identity,
    /// The hash it was compared with.
    pub hash: Arc<Hash>,
    /// Whether there is such a user at all.
    pub exists: bool,
    /// What the secret is remembered by.
    pub mac: Mac,
    /// The connections that wait, in the order in which they asked.
    pub waiting: Vec<ConnectionId>,
    id: CheckId,
    address: IpAddr,
    is_wanted: Arc<AtomicBool>,
}

/// The comparisons of a core that are under way.
#[derive(Debug, Default)]
pub struct Checks {
    last: u64,
    under_way: Vec<Finished>,
    asked: Vec<PasswordCheck>,
}

impl Checks {
    /// A connection waits for a comparison, which may be under way already. `None` if too many of its
    /// address are.
    pub fn ask(
        &mut self,
        connection: ConnectionId,
        address: IpAddr,
        comparison: Comparison,
        secret: &str,
        mac: Mac,
    ) -> Option<CheckId> {
        if let Some(same) = self.under_way.iter_mut().find(|same| same.mac == mac) {
            same.waiting.push(connection);
            return Some(same.id);
        }
        let of_address = self.under_way.iter().filter(|other| other.address == address).count();
        if of_address >= PASSWORD_CHECKS_OF_ADDRESS_MAX {
            return None;
        }
        self.last += 1;
        let id = CheckId(self.last);
        let is_wanted = Arc::new(AtomicBool::new(true));
        let Comparison { identity, hash, permissions } = comparison;
        self.asked.push(PasswordCheck {
            id,
            hash: hash.clone(),
            mac,
            secret: secret.into(),
            is_wanted: is_wanted.clone(),
        });
        let (exists, waiting) = (permissions.is_some(), vec![connection]);
        self.under_way.push(Finished {
            identity,
            hash,
            exists,
            mac,
            waiting,
            id,
            address,
            is_wanted,
        });
        Some(id)
    }

    /// Takes the comparisons that are to be made.
    pub fn take_asked(&mut self) -> Vec<PasswordCheck> {
        std::mem::take(&mut self.asked)
    }

    /// A connection waits no longer. A comparison that nobody waits for need not be made.
    pub fn leave(&mut self, id: CheckId, connection: ConnectionId) {
        let Some(at) = self.under_way.iter().position(|found| found.id == id) else { return };
        let found = &mut self.under_way[at];
        found.waiting.retain(|waiting| *waiting != connection);
        if found.waiting.is_empty() {
            self.drop_at(at);
        }
    }

    /// Takes a comparison out that has been made, or is not going to be; `None` if nobody waits for it.
    pub fn finish(&mut self, id: CheckId) -> Option<Finished> {
        let at = self.under_way.iter().position(|found| found.id == id)?;
        Some(self.under_way.remove(at))
    }

    /// Whether a connection waits for a comparison.
    pub fn has(&self, id: CheckId, connection: ConnectionId) -> bool {
        self.under_way.iter().any(|found| found.id == id && found.waiting.contains(&connection))
    }

    /// Nobody waits any more.
    pub fn clear(&mut self) {
        while !self.under_way.is_empty() {
            self.drop_at(0);
        }
        self.asked.clear();
    }

    fn drop_at(&mut self, at: usize) {
        self.under_way.remove(at).is_wanted.store(false, Ordering::Relaxed);
    }
}
