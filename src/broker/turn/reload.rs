//! Other settings for a broker that runs.
//!
//! # Always true
//! - A connection whose user's credentials have changed is closed: its client has to authenticate again.
//!   Where only its permissions have, the connection stays, and what these do not allow any more ends.
//! - Nothing that is queued is lost, but for those connections.
//! - What a user may publish changes at once. Its subscriptions are looked at over the next turns, so many
//!   in each: one connection may have very many.

use std::sync::Arc;

use crate::broker::auth::Changes;
use crate::broker::connections::Phase;
use crate::broker::frontends::Refusal;
use crate::broker::timers::Single;
use crate::broker::{Broker, Now};
use crate::config::Settings;

impl Broker {
    /// Applies other settings, between turns. What a reload cannot change is left as it is by
    /// `Settings::reloaded`; here everything is taken as given. Subscriptions that there are keep the
    /// policy and bounds they were made with; what topics retain beyond new bounds goes with their
    /// next message, or when they are idle.
    pub fn reload(&mut self, now: Now, settings: Arc<Settings>) {
        let old = std::mem::replace(&mut self.cluster.settings, settings.clone());
        self.topics.reload(&settings, &mut self.timers);
        self.delivery.reload(&settings);
        // All cores say the same.
        self.cluster.memory.set_max(settings.limits.memory_max);
        self.ingest.reload(&settings);
        if self.timers.single(Single::Blocked).is_some() {
            // Subscribers are looked at again at once.
            self.timers.set_single(Single::Blocked, Some(0));
        }
        let (frontends, mut doors) = self.open_doors(now);
        frontends.reload_watches(&mut doors, &old);
        self.reload_auth(now, &settings);
    }

    fn reload_auth(&mut self, now: Now, settings: &Settings) {
        let (auth, Changes { revoked, replaced }) = self.auth.reloaded(settings);
        self.logins.forget(|identity| !auth.has_same_secret(identity, &self.auth));
        self.auth = auth;
        if revoked.is_empty() && replaced.is_empty() {
            return;
        }
        for slot in self.connections.table().slots_in_use() {
            let connection = self.connections.at(slot);
            let permissions = connection.permissions();
            let new = replaced.iter().find(|(old, _)| Arc::ptr_eq(old, permissions));
            if let Some((old, new)) = new
                && connection.phase() == Phase::Open
            {
                let otherwise = !old.publishes_as(new);
                let new = new.clone();
                let (frontends, mut doors) = self.open_doors(now);
                match doors.log_in(slot, new) {
                    Ok(()) if otherwise => frontends.publishes_otherwise(slot),
                    Ok(()) => {}
                    // There may be fewer connections of the user than there are.
                    Err(refusal) => frontends.refuse(&mut doors, slot, &refusal),
                }
                self.carry_out(now);
                self.pruning.push_back((self.connections.id(slot), usize::MAX));
                continue;
            }
            let is_revoked = revoked.iter().any(|gone| Arc::ptr_eq(gone, permissions));
            if is_revoked && connection.phase() != Phase::Closing {
                let (frontends, mut doors) = self.open_doors(now);
                frontends.refuse(&mut doors, slot, &Refusal::Revoked);
                self.carry_out(now);
            }
        }
    }

    /// Ends subscriptions that a reload took from their users, as far as this turn goes. Returns whether
    /// more are to be looked at.
    pub(super) fn prune(&mut self, now: Now) -> bool {
        for _ in 0..self.cluster.ends_per_turn {
            let Some((connection, place)) = self.pruning.pop_front() else { break };
            let slot = connection.slot;
            let is_open = self.connections.is_open(connection)
                && self.connections.at(slot).phase() == Phase::Open;
            let next = is_open.then(|| self.delivery.last_before(slot, place)).flatten();
            let Some((place, index)) = next else { continue };
            self.pruning.push_front((connection, place));
            let (frontends, mut doors) = self.open_doors(now);
            frontends.prune(&mut doors, slot, index);
            self.carry_out(now);
        }
        !self.pruning.is_empty()
    }
}
