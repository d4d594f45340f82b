//! The values under one pattern: any number, each of which can be removed at once.

use hashbrown::HashMap;

/// Different values, in no order that means anything.
#[derive(Debug, Default)]
pub(super) struct Values {
    list: Vec<u32>,
    /// Where each value is in the list. Boxed, and only for long lists: most are short.
    places: Option<Box<HashMap<u32, u32>>>,
}

/// Up to this many values are searched one by one.
const LINEAR_SEARCH_MAX: usize = 16;

impl Values {
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn as_slice(&self) -> &[u32] {
        &self.list
    }

    /// Adds a value that is not there.
    pub fn insert(&mut self, value: u32) {
        let place = self.list.len() as u32;
        self.list.push(value);
        if let Some(places) = &mut self.places {
            let before = places.insert(value, place);
            assert!(before.is_none(), "a value is under a pattern once");
        } else if self.list.len() > LINEAR_SEARCH_MAX {
            let places: HashMap<u32, u32> = self.list.iter().copied().zip(0..).collect();
            assert!(places.len() == self.list.len(), "a value is under a pattern once");
            self.places = Some(Box::new(places));
        }
    }

    /// Removes a value that is there.
    pub fn remove(&mut self, value: u32) {
        let place = match &mut self.places {
            Some(places) => places.remove(&value).map(|place| place as usize),
            None => self.list.iter().position(|found| *found == value),
        };
        let place = place.expect("the value was inserted before");
        self.list.swap_remove(place);
        if let Some(places) = &mut self.places {
            if let Some(moved) = self.list.get(place) {
                places.insert(*moved, place as u32);
            }
            // Well below the bound, so that a list that is about as long is not indexed each time.
            if self.list.len() <= LINEAR_SEARCH_MAX / 2 {
                self.places = None;
                self.list.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every value is found again, wherever removals have moved it, in short and long lists.
    /// Method: each of several lengths is filled, then emptied in several orders.
    #[test]
    fn exactly_the_removed_values_are_gone_in_whatever_order_they_go() {
        for len in [1, LINEAR_SEARCH_MAX, LINEAR_SEARCH_MAX + 1, 100] {
            for step in [1, 3, 7, 101] {
                let mut values = Values::default();
                let mut left: Vec<u32> = (0..len as u32).map(|value| value * 10).collect();
                left.iter().for_each(|value| values.insert(*value));
                let mut next = 0;
                while !left.is_empty() {
                    next = (next + step) % left.len();
                    values.remove(left.remove(next));
                    let mut found = values.as_slice().to_vec();
                    found.sort_unstable();
                    assert_eq!(found, left);
                }
                assert!(values.is_empty() && values.places.is_none());
            }
        }
    }

    #[test]
    #[should_panic(expected = "once")]
    fn a_value_that_is_there_cannot_be_inserted_again() {
        let mut values = Values::default();
        (0..=LINEAR_SEARCH_MAX as u32).for_each(|value| values.insert(value));
        values.insert(0);
    }
}
