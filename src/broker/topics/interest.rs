//! Which other cores want which topics.
//!
//! A core announces a pattern when its first subscription of that pattern comes, and withdraws the
//! pattern with the last: `delivery` does. Here is what the others announced to this core, so that a
//! message crosses to a core once, and only if somebody there wants it.

use super::topic::Topic;
use crate::broker::cluster::CoreSet;
use crate::broker::pattern::Matcher;
use crate::protocol::CoreId;

/// What other cores want of this core.
#[derive(Debug, Default)]
pub struct Interest {
    /// Their patterns, with cores as values.
    others: Matcher,
}

impl Interest {
    /// Another core wants a pattern.
    pub fn add(&mut self, core: CoreId, pattern: &str) {
        self.others.insert(pattern, u32::from(core.0));
    }

    /// Another core wants it no longer.
    pub fn remove(&mut self, core: CoreId, pattern: &str) {
        self.others.remove(pattern, u32::from(core.0));
    }

    /// The other cores that want a topic, found again only when interest has changed.
    pub fn wanted_by(&self, topic: &mut Topic) -> CoreSet {
        if topic.wanted_at_version != self.others.version() {
            topic.wanted_by = self.wanted_by_name(&topic.name.name);
            topic.wanted_at_version = self.others.version();
        }
        topic.wanted_by
    }

    /// The other cores that want an ephemeral topic.
    pub fn wanted_by_name(&self, topic: &str) -> CoreSet {
        let mut found = Vec::new();
        self.others.matches(topic, &mut found);
        let mut wanted_by = CoreSet::default();
        for core in found {
            wanted_by.insert(CoreId(core as u16));
        }
        wanted_by
    }
}
