//! The patterns that this core has announced to other cores.
//!
//! A core announces a pattern with its first subscription of the pattern, and withdraws the pattern
//! with the last one. A pattern with a literal first token is announced to the one owner of such
//! topics, any other to every core.
//!
//! # Always true
//! - A subscription becomes active only after every core that its pattern was announced to has
//!   answered, so what is accepted after SUBSCRIBED is delivered or reported.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use super::subscriptions::SubscriptionIndex;

/// What on this core waits until other cores know a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiter {
    /// A subscription.
    Subscription(SubscriptionIndex),
    /// A group that this core coordinates.
    Group(u32),
}

/// A pattern that this core has announced to others.
#[derive(Debug)]
struct Announced {
    /// Distinguishes answers to this announcement from answers to an earlier one.
    number: u64,
    /// Number of subscriptions of this core that need the pattern.
    subscriptions: u32,
    /// Number of cores that have not answered.
    unanswered: u16,
    /// Subscriptions and groups that wait for the answers.
    waiting: Waiters,
}

/// Those that wait, in the order in which they came.
#[derive(Debug, Default)]
struct Waiters {
    in_order: BTreeMap<u64, Waiter>,
    numbers: HashMap<Waiter, u64>,
    last_number: u64,
}

impl Waiters {
    fn add(&mut self, waiter: Waiter) {
        self.last_number += 1;
        self.in_order.insert(self.last_number, waiter);
        self.numbers.insert(waiter, self.last_number);
    }

    fn remove(&mut self, waiter: Waiter) {
        if let Some(number) = self.numbers.remove(&waiter) {
            self.in_order.remove(&number);
        }
    }
}

/// What a subscription has to wait for.
#[derive(Debug, PartialEq, Eq)]
pub enum Announcement {
    /// Nothing: the other cores know the pattern, so the subscription is active at once.
    Known,
    /// Answers to an earlier announcement of the pattern.
    Waits,
    /// Answers to a new announcement, which the caller sends under this number.
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
    /// Notes that a subscription of this core needs a pattern which `asked` other cores have to
    /// know.
    pub fn announce(&mut self, pattern: &Arc<str>, waiter: Waiter, asked: u16) -> Announcement {
        if asked == 0 {
            return Announcement::Known;
        }
        if let Some(announced) = self.announced.get_mut(pattern) {
            announced.subscriptions += 1;
            if announced.unanswered == 0 {
                return Announcement::Known;
            }
            announced.waiting.add(waiter);
            return Announcement::Waits;
        }
        self.last_number += 1;
        let number = self.last_number;
        self.patterns_by_number.insert(number, pattern.clone());
        let mut waiting = Waiters::default();
        waiting.add(waiter);
        let announced = Announced { number, subscriptions: 1, unanswered: asked, waiting };
        self.announced.insert(pattern.clone(), announced);
        Announcement::Ask(number)
    }

    /// Notes that another core has answered; returns the subscriptions and groups that become
    /// active.
    pub fn answered(&mut self, number: u64) -> Vec<Waiter> {
        // The announcement may have been withdrawn before the answer came.
        let Some(pattern) = self.patterns_by_number.get(&number) else { return Vec::new() };
        let announced =
            self.announced.get_mut(pattern).expect("a number leads to its announcement");
        announced.unanswered -= 1;
        if announced.unanswered > 0 {
            return Vec::new();
        }
        std::mem::take(&mut announced.waiting).in_order.into_values().collect()
    }

    /// Notes that a subscription of this core no longer needs a pattern. Returns whether it was the
    /// last one, so that the withdrawal has to be announced.
    pub fn withdraw(&mut self, pattern: &str, waiter: Waiter) -> bool {
        let Some(announced) = self.announced.get_mut(pattern) else { return false };
        announced.waiting.remove(waiter);
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
        assert!(announcements.withdraw(&pattern, one), "it was the last");
        assert_eq!(announcements.announce(&pattern, three, 2), Announcement::Ask(2));
        assert_eq!(announcements.answered(1), [], "an answer to the withdrawn announcement");
        assert_eq!(announcements.answered(2), []);
        assert_eq!(announcements.answered(2), [three]);
        assert_eq!(announcements.announce(&pattern, one, 2), Announcement::Known);
    }
}
