//! The patterns that other cores have announced to this core.
//!
//! `delivery` announces a pattern with the first subscription of a core, and withdraws the pattern
//! with the last one. So a message goes to another core once, and only if a subscription there
//! matches.

use super::topic::Topic;
use crate::broker::cluster::CoreSet;
use crate::broker::pattern::Matcher;
use crate::protocol::CoreId;

/// Which other cores want which topics of this core.
#[derive(Debug, Default)]
pub struct Interest {
    /// The patterns of other cores, with cores as values.
    others: Matcher,
}

impl Interest {
    /// Adds a pattern that another core wants.
    pub fn add(&mut self, core: CoreId, pattern: &str) {
        self.others.insert(pattern, u32::from(core.0));
    }

    /// Removes a pattern that another core no longer wants.
    pub fn remove(&mut self, core: CoreId, pattern: &str) {
        self.others.remove(pattern, u32::from(core.0));
    }

    /// The other cores that want a topic; looked up again only after a change of interest.
    pub fn wanted_by(&self, topic: &mut Topic) -> CoreSet {
        if !self.others.confirms(&mut topic.wanted_as_seen, &topic.name.name) {
            topic.wanted_by = self.wanted_by_name(&topic.name.name);
            topic.wanted_as_seen = self.others.see(&topic.name.name);
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
