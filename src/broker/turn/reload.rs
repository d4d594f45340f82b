//! Other settings for a broker that runs.
//!
//! # Always true
//! - A connection whose user's credentials or permissions have changed is closed: its client has to
//!   authenticate again.
//! - Nothing that is queued is lost, but for those connections.

use std::sync::Arc;

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
        let (auth, revoked) = self.auth.reloaded(settings);
        self.logins.forget(|identity| !auth.has_same_secret(identity, &self.auth));
        self.auth = auth;
        if revoked.is_empty() {
            return;
        }
        for slot in self.connections.table().slots_in_use() {
            let connection = self.connections.at(slot);
            let permissions = connection.permissions();
            let is_revoked = revoked.iter().any(|gone| Arc::ptr_eq(gone, permissions));
            if is_revoked && connection.phase() != Phase::Closing {
                let (frontends, mut doors) = self.open_doors(now);
                frontends.refuse(&mut doors, slot, &Refusal::Revoked);
                self.carry_out(now);
            }
        }
    }
}
