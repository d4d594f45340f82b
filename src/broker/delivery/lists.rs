//! Lists of subscriptions, from the middle of which each can be removed at once.
//!
//! Used by `outlets`. The links of all lists lie side by side, by subscription: a subscription is on
//! one list at most.

use super::subscriptions::SubscriptionIndex;

/// No subscription.
const NONE: u32 = u32::MAX;

/// A list of subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct List {
    first: u32,
    last: u32,
}

/// The neighbours of a subscription on its list.
#[derive(Debug, Clone, Copy)]
struct Link {
    before: u32,
    after: u32,
}

/// The links of all lists, by subscription.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<Link>);

impl Default for List {
    fn default() -> List {
        List { first: NONE, last: NONE }
    }
}

impl List {
    pub fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// The first subscription.
    pub fn first(&self) -> Option<SubscriptionIndex> {
        (self.first != NONE).then_some(SubscriptionIndex(self.first))
    }
}

impl Links {
    /// Appends a subscription that is on no list.
    pub fn push_back(&mut self, list: &mut List, index: SubscriptionIndex) {
        let place = index.0 as usize;
        if self.0.len() <= place {
            self.0.resize(place + 1, Link { before: NONE, after: NONE });
        }
        self.0[place] = Link { before: list.last, after: NONE };
        match list.last {
            NONE => list.first = index.0,
            last => self.0[last as usize].after = index.0,
        }
        list.last = index.0;
    }

    /// Removes a subscription that is on this list.
    pub fn remove(&mut self, list: &mut List, index: SubscriptionIndex) {
        let Link { before, after } = self.0[index.0 as usize];
        match before {
            NONE => list.first = after,
            before => self.0[before as usize].after = after,
        }
        match after {
            NONE => list.last = before,
            after => self.0[after as usize].before = before,
        }
    }

    /// The subscriptions of a list, in order.
    pub fn iter(&self, list: &List) -> impl Iterator<Item = SubscriptionIndex> + use<'_> {
        std::iter::successors(list.first(), |index| {
            let after = self.0[index.0 as usize].after;
            (after != NONE).then_some(SubscriptionIndex(after))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(links: &Links, list: &List) -> Vec<u32> {
        links.iter(list).map(|index| index.0).collect()
    }

    #[test]
    fn a_list_keeps_its_order_whichever_subscription_is_removed() {
        for removed in 0..4 {
            let (mut links, mut list, mut other) =
                (Links::default(), List::default(), List::default());
            for index in [3, 0, 2, 1] {
                links.push_back(&mut list, SubscriptionIndex(index));
            }
            links.push_back(&mut other, SubscriptionIndex(4));
            links.remove(&mut list, SubscriptionIndex(removed));
            let mut left = vec![3, 0, 2, 1];
            left.retain(|index| *index != removed);
            assert_eq!(of(&links, &list), left);
            links.push_back(&mut list, SubscriptionIndex(removed));
            left.push(removed);
            assert_eq!(of(&links, &list), left);
            for index in left {
                assert_eq!(list.first(), Some(SubscriptionIndex(index)));
                links.remove(&mut list, SubscriptionIndex(index));
            }
            assert_eq!(list, List::default());
            assert_eq!(of(&links, &other), [4]);
        }
    }
}
