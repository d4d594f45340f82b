//! Which cores want which topics.
//!
//! A core announces a pattern when its first subscription of it comes, and withdraws it with the
//! last: an exact topic to its owner, a pattern with wildcards to every core. `shard`'s caller asks
//! here where a portion has to go.
//!
//! # Always true
//! - A subscription is in force only when every core it was announced to has said so: what is
//!   accepted after SUBSCRIBED is delivered or reported.

use std::sync::Arc;

use hashbrown::HashMap;

use super::pattern::Matcher;
use super::subscriptions::SubscriptionIndex;
use super::topic::Topic;
use crate::limits::CORES_MAX;
use crate::protocol::CoreId;

/// Some of the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CoreSet([u64; CORES_MAX / 64]);

impl CoreSet {
    /// Puts a core in.
    pub fn insert(&mut self, core: CoreId) {
        self.0[usize::from(core.0) / 64] |= 1 << (core.0 % 64);
    }

    /// Whether a core is in.
    pub fn contains(self, core: CoreId) -> bool {
        self.0[usize::from(core.0) / 64] & (1 << (core.0 % 64)) != 0
    }

    /// The cores in it, ascending.
    pub fn iter(self) -> impl Iterator<Item = CoreId> {
        self.0.into_iter().enumerate().flat_map(|(index, mut word)| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros())?;
                word &= word - 1;
                Some(CoreId((index * 64) as u16 + bit as u16))
            })
        })
    }
}

/// Who on this core waits for other cores to know a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiter {
    /// A subscription.
    Subscription(SubscriptionIndex),
    /// A group that this core coordinates.
    Group(u32),
}

/// A pattern this core has announced to others.
#[derive(Debug)]
struct Announced {
    /// Tells the answers to this announcement from those to an earlier one.
    number: u64,
    /// Subscriptions of this core that need it.
    subscriptions: u32,
    /// Answers to come.
    unanswered: u16,
    /// Subscriptions that wait for the answers.
    waiting: Vec<Waiter>,
}

/// What an announcement needs.
#[derive(Debug, PartialEq, Eq)]
pub enum Announcement {
    /// The others know already: the subscription is in force at once.
    InForce,
    /// Others were asked before and have not all answered: it waits.
    Waits,
    /// Others have to be asked, under this number; it waits.
    Ask(u64),
}

/// What this core told others it wants, and what others told this core.
#[derive(Debug, Default)]
pub struct Interest {
    /// Patterns of other cores, with cores as values.
    others: Matcher,
    announced: HashMap<Arc<str>, Announced>,
    patterns_by_number: HashMap<u64, Arc<str>>,
    last_number: u64,
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

    /// The other cores that want a topic which is not kept.
    pub fn wanted_by_name(&self, topic: &str) -> CoreSet {
        let mut found = Vec::new();
        self.others.matches(topic, &mut found);
        let mut wanted_by = CoreSet::default();
        for core in found {
            wanted_by.insert(CoreId(core as u16));
        }
        wanted_by
    }

    /// A subscription of this core needs a pattern that `asked` other cores have to know.
    pub fn announce(&mut self, pattern: &Arc<str>, waiter: Waiter, asked: u16) -> Announcement {
        if asked == 0 {
            return Announcement::InForce;
        }
        if let Some(announced) = self.announced.get_mut(pattern) {
            announced.subscriptions += 1;
            if announced.unanswered == 0 {
                return Announcement::InForce;
            }
            announced.waiting.push(waiter);
            return Announcement::Waits;
        }
        self.last_number += 1;
        let number = self.last_number;
        self.patterns_by_number.insert(number, pattern.clone());
        let waiting = vec![waiter];
        let announced = Announced { number, subscriptions: 1, unanswered: asked, waiting };
        self.announced.insert(pattern.clone(), announced);
        Announcement::Ask(number)
    }

    /// Another core has answered; returns the subscriptions that are in force now.
    pub fn answered(&mut self, number: u64) -> Vec<Waiter> {
        // It may have been withdrawn before the answer came.
        let Some(pattern) = self.patterns_by_number.get(&number) else { return Vec::new() };
        let announced = self.announced.get_mut(pattern).expect("its number is known");
        announced.unanswered -= 1;
        if announced.unanswered == 0 { std::mem::take(&mut announced.waiting) } else { Vec::new() }
    }

    /// A subscription of this core needs a pattern no longer; returns whether nobody does, so that
    /// others have to be told.
    pub fn withdraw(&mut self, pattern: &str, waiter: Waiter) -> bool {
        let Some(announced) = self.announced.get_mut(pattern) else { return false };
        announced.waiting.retain(|waiting| *waiting != waiter);
        announced.subscriptions -= 1;
        if announced.subscriptions > 0 {
            return false;
        }
        self.patterns_by_number.remove(&announced.number);
        self.announced.remove(pattern);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_set_gives_back_what_was_put_in() {
        let mut set = CoreSet::default();
        for core in [255, 0, 63, 64, 130] {
            set.insert(CoreId(core));
        }
        let cores: Vec<u16> = set.iter().map(|core| core.0).collect();
        assert_eq!(cores, [0, 63, 64, 130, 255]);
    }

    #[test]
    fn a_subscription_waits_for_the_answers_to_its_own_announcement() {
        let mut interest = Interest::default();
        let pattern: Arc<str> = "a.*".into();
        let [one, two, three] =
            [1, 2, 3].map(|index| Waiter::Subscription(SubscriptionIndex(index)));
        assert_eq!(interest.announce(&pattern, one, 2), Announcement::Ask(1));
        assert_eq!(interest.announce(&pattern, two, 2), Announcement::Waits);
        assert_eq!(interest.answered(1), []);
        assert!(!interest.withdraw(&pattern, two));
        assert!(interest.withdraw(&pattern, one), "nobody needs it");
        assert_eq!(interest.announce(&pattern, three, 2), Announcement::Ask(2));
        assert_eq!(interest.answered(1), [], "an answer to the withdrawn announcement");
        assert_eq!(interest.answered(2), []);
        assert_eq!(interest.answered(2), [three]);
        assert_eq!(interest.announce(&pattern, one, 2), Announcement::InForce);
    }
}
