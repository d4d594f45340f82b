//! Holders by how many bytes they hold: a list for each range of bytes, so that the largest is found, and
//! a holder moved when it grows or shrinks, at once, however many there are.
//!
//! Used by `delivery` for the connections and groups of a core, and for the queues of a connection.
//!
//! # Always true
//! - Of two holders whose bytes differ by more than a class is wide, the larger comes first.

use super::memory::{CLASSES, Class};

/// The lists of holders; `K` names a holder.
#[derive(Debug)]
pub struct Holders<K> {
    /// Holders of lower classes are not listed: what they hold is not worth taking one by one.
    lowest: Class,
    /// By class, from the lowest.
    classes: Vec<Vec<K>>,
    /// Where the last look into a class began.
    looked: usize,
}

/// Where a holder is listed; nowhere by default.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    at: Option<(Class, u32)>,
}

impl Listed {
    /// The class that the holder is listed in.
    pub fn class(self) -> Option<Class> {
        self.at.map(|(class, _)| class)
    }
}

/// A holder whose place has changed because another one left.
pub type Moved<K> = Option<(K, Listed)>;

/// An empty list keeps room for this many holders: one whose queue fills up and is sent changes its class all
/// the time. Lists of thousands that have gone again leave nothing behind.
const ROOM_KEPT: usize = 16;

/// Holders of the highest class that are looked at for one above a bound.
const LOOKED_AT_MAX: usize = 32;

impl<K: Copy> Holders<K> {
    /// No holders; those of less than about `bytes_min` will not be listed.
    pub fn new(bytes_min: u64) -> Holders<K> {
        Holders { lowest: Class::of(bytes_min), classes: Vec::new(), looked: 0 }
    }

    /// The class that a holder of so many bytes is listed in.
    pub fn class_of(&self, bytes: u64) -> Option<Class> {
        Some(Class::of(bytes)).filter(|class| *class >= self.lowest)
    }

    /// Lists a holder in a class. Returns the place, and the holder that has another place now.
    pub fn put(&mut self, key: K, listed: Listed, class: Option<Class>) -> (Listed, Moved<K>) {
        let moved = self.remove(listed);
        let Some(class) = class else { return (Listed::default(), moved) };
        let at = self.index(class);
        if self.classes.len() <= at {
            self.classes.resize_with(at + 1, Vec::new);
        }
        self.classes[at].push(key);
        let place = (self.classes[at].len() - 1) as u32;
        (Listed { at: Some((class, place)) }, moved)
    }

    /// A holder of those that hold most, as far as classes tell them apart.
    pub fn largest(&self) -> Option<K> {
        self.classes.iter().rev().find_map(|class| class.last().copied())
    }

    /// A holder of those that hold most, of which `is_above` is true. Of a class with many holders some
    /// are looked at, others next time.
    pub fn largest_where(&mut self, is_above: impl Fn(K) -> bool) -> Option<K> {
        let highest = self.classes.iter().rev().find(|class| !class.is_empty())?;
        self.looked = self.looked.wrapping_add(LOOKED_AT_MAX);
        let begin = self.looked % highest.len();
        let (before, from) = highest.split_at(begin);
        let mut keys = from.iter().chain(before).take(LOOKED_AT_MAX);
        keys.find(|key| is_above(**key)).copied()
    }

    fn index(&self, class: Class) -> usize {
        class.index() - self.lowest.index()
    }

    fn remove(&mut self, listed: Listed) -> Moved<K> {
        let (class, place) = listed.at?;
        let at = self.index(class);
        let holders = &mut self.classes[at];
        holders.swap_remove(place as usize);
        let moved = holders.get(place as usize).map(|key| (*key, listed));
        if holders.is_empty() && holders.capacity() > ROOM_KEPT {
            *holders = Vec::new();
        }
        moved
    }
}

const _: () = assert!(CLASSES <= 256);

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: after any sequence of changes the largest is found, and every place is right.
    /// Method: pseudo-random changes of 50 holders, compared with a plain list.
    #[test]
    fn the_largest_is_found_after_any_changes() {
        let mut holders = Holders::new(16);
        let (mut bytes, mut listed) = ([0_u64; 50], [Listed::default(); 50]);
        let mut random = 7_u64;
        for _ in 0..5_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = (random >> 33) as usize % 50;
            bytes[key] = (random >> 40) >> (random >> 20 & 23);
            let class = holders.class_of(bytes[key]);
            if class != listed[key].class() {
                let (place, moved) = holders.put(key, listed[key], class);
                if let Some((other, place)) = moved {
                    listed[other] = place;
                }
                listed[key] = place;
            }
            let most = *bytes.iter().max().expect("there are fifty");
            match holders.largest() {
                Some(largest) => assert!(bytes[largest] > most / 4 * 3 && bytes[largest] >= 16),
                None => assert!(most < 16),
            }
            let above = holders.largest_where(|key| bytes[key] > most / 2);
            assert_eq!(above.is_some(), most >= 16);
        }
    }
}
