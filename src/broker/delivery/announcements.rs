//! What this core has announced to others that it wants.
//!
//! A core announces a pattern when its first subscription of that pattern comes, and withdraws the
//! pattern with the last: a pattern whose first token is literal to the one owner of such topics, any
//! other to every core.
//!
//! # Always true
//! - A subscription counts as known only when every core that its pattern was announced to has said
//!   so: what is accepted after SUBSCRIBED is delivered or reported.

use std::sync::Arc;

use hashbrown::HashMap;

use super::subscriptions::SubscriptionIndex;

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
    Known,
    /// Others were asked before and have not all answered: it waits.
    Waits,
    /// Others have to be asked, under this number; it waits.
    Ask(u64),
}

/// The patterns that this core has announced.
#[derive(Debug, Default)]
pub struct Announcements {
    announced: HashMap<Arc<str>, Announced>,
    patterns_by_number: HashMap<u64, Arc<str>>,
    last_number: u64,
}

impl Announcements {
    /// A subscription of this core needs a pattern that `asked` other cores have to know.
    pub fn announce(&mut self, pattern: &Arc<str>, waiter: Waiter, asked: u16) -> Announcement {
        if asked == 0 {
            return Announcement::Known;
        }
        if let Some(announced) = self.announced.get_mut(pattern) {
            announced.subscriptions += 1;
            if announced.unanswered == 0 {
                return Announcement::Known;
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
    fn a_subscription_waits_for_the_answers_to_its_own_announcement() {
        let mut announcements = Announcements::default();
        let pattern: Arc<str> = "a.*".into();
        let [one, two, three] =
            [1, 2, 3].map(|index| Waiter::Subscription(SubscriptionIndex(index)));
        assert_eq!(announcements.announce(&pattern, one, 2), Announcement::Ask(1));
        assert_eq!(announcements.announce(&pattern, two, 2), Announcement::Waits);
        assert_eq!(announcements.answered(1), []);
        assert!(!announcements.withdraw(&pattern, two));
        assert!(announcements.withdraw(&pattern, one), "nobody needs it");
        assert_eq!(announcements.announce(&pattern, three, 2), Announcement::Ask(2));
        assert_eq!(announcements.answered(1), [], "an answer to the withdrawn announcement");
        assert_eq!(announcements.answered(2), []);
        assert_eq!(announcements.answered(2), [three]);
        assert_eq!(announcements.announce(&pattern, one, 2), Announcement::Known);
    }
}
