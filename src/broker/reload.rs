//! Other settings for a broker that runs.
//!
//! Called by whoever drives the broker, between turns. What a reload cannot change is left as it is by
//! `Settings::reloaded`; here everything is taken as given.
//!
//! # Always true
//! - A connection that proved to be somebody whose credentials or permissions have changed is closed:
//!   it has to prove itself again.
//! - Nothing that is queued is lost, but for those connections.

use std::sync::Arc;

use super::notice::Event;
use super::session::Phase;
use super::{Broker, Now};
use crate::config::Settings;
use crate::protocol::Reject;

impl Broker {
    /// From now on these settings are in force. Subscriptions that are there keep the policy and bounds
    /// they were made with; what topics keep beyond new bounds goes with their next message, or when
    /// they are idle.
    pub fn reload(&mut self, now: Now, settings: Arc<Settings>) {
        self.now = now;
        let idle_timeout_ns = self.idle_timeout_ns();
        let ping_interval_ns = self.ping_interval_ns();
        self.cluster.settings = settings.clone();
        for shard in &mut self.shards {
            shard.reload(&settings);
        }
        // All cores say the same.
        self.cluster.memory.set_max(settings.limits.memory_max);
        self.ingest.reload(&settings);
        self.blocks.timeout_changed();
        self.kept.idle_timeout_changes(idle_timeout_ns, self.idle_timeout_ns());
        self.ping_interval_changes(ping_interval_ns);
        self.reload_auth(&settings);
    }

    fn reload_auth(&mut self, settings: &Settings) {
        let (auth, revoked) = self.auth.reloaded(&settings.auth);
        self.auth = auth;
        if revoked.is_empty() {
            return;
        }
        for slot in self.sessions.slots_in_use() {
            let session = self.sessions.get(slot);
            let is_revoked = revoked.iter().any(|gone| Arc::ptr_eq(gone, &session.permissions));
            if !is_revoked || session.phase == Phase::Closing {
                continue;
            }
            let is_nats = session.nats.is_some();
            self.notice(slot, Event::Revoked);
            match is_nats {
                true => self.revoke_nats(slot),
                false => self.reject(slot, &Reject::AuthRevoked),
            }
        }
    }
}
