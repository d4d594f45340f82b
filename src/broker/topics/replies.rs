//! Names that requests under way gave for their answers. Such a name is no topic: answers pass, and
//! nothing is retained under a name that is used once.
//!
//! Noted by frontends, on the core that would own the topic. Read by `shard` when a name is opened or
//! published to that is no topic yet.
//!
//! # Always true
//! - A name is forgotten by the time that [`REPLY_NAMES_NS`] has passed twice, and not before it has passed
//!   once, unless there were more than half of [`REPLY_NAMES_MAX`] others since.
//! - A name that is a topic already stays one.

use hashbrown::HashSet;

use crate::broker::clock::Now;
use crate::limits::{REPLY_NAMES_MAX, REPLY_NAMES_NS};

/// The hash of a name. Two names with one hash are both taken for names of answers, which costs what the
/// later one would have retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplyName(u64);

impl ReplyName {
    /// The hash of `name`.
    pub fn new(name: &str) -> ReplyName {
        // FNV-1a. Whoever looks for a name with the hash of another could as well name that one.
        ReplyName(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }
}

/// The names that were noted last, in two halves, of which the older is dropped as a whole.
#[derive(Debug, Default)]
pub struct ReplyNames {
    newer: HashSet<ReplyName>,
    older: HashSet<ReplyName>,
    /// When the newer half was begun.
    since_ns: u64,
}

impl ReplyNames {
    /// Notes a name.
    pub fn note(&mut self, now: Now, name: ReplyName) {
        let age_ns = now.monotonic_ns - self.since_ns;
        if age_ns >= REPLY_NAMES_NS || self.newer.len() >= REPLY_NAMES_MAX / 2 {
            self.older = std::mem::take(&mut self.newer);
            if age_ns >= 2 * REPLY_NAMES_NS {
                self.older = HashSet::new();
            }
            self.since_ns = now.monotonic_ns;
        }
        self.newer.insert(name);
    }

    /// Whether a name was noted lately.
    pub fn contain(&self, now: Now, name: &str) -> bool {
        if self.newer.is_empty() {
            return false;
        }
        let age_ns = now.monotonic_ns - self.since_ns;
        let name = ReplyName::new(name);
        (age_ns < 2 * REPLY_NAMES_NS && self.newer.contains(&name))
            || (age_ns < REPLY_NAMES_NS && self.older.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> Now {
        Now { monotonic_ns: 1_000 * REPLY_NAMES_NS + ns, unix_ns: 0 }
    }

    #[test]
    fn a_name_is_known_for_its_time_and_forgotten_after_it() {
        let mut names = ReplyNames::default();
        assert!(!names.contain(at(0), "a"));
        names.note(at(0), ReplyName::new("a"));
        names.note(at(REPLY_NAMES_NS / 2), ReplyName::new("b"));
        assert!(names.contain(at(REPLY_NAMES_NS), "a") && names.contain(at(REPLY_NAMES_NS), "b"));
        names.note(at(REPLY_NAMES_NS), ReplyName::new("c"));
        assert!(names.contain(at(REPLY_NAMES_NS * 3 / 2 - 1), "b"));
        assert!(!names.contain(at(2 * REPLY_NAMES_NS), "b"));
        assert!(names.contain(at(2 * REPLY_NAMES_NS), "c"));
        assert!(!names.contain(at(3 * REPLY_NAMES_NS), "c"));
        names.note(at(9 * REPLY_NAMES_NS), ReplyName::new("d"));
        assert!(!names.contain(at(9 * REPLY_NAMES_NS), "c"));
    }

    #[test]
    fn names_are_bounded_and_the_newest_half_stays() {
        let mut names = ReplyNames::default();
        for number in 0..3 * REPLY_NAMES_MAX {
            names.note(at(0), ReplyName::new(&format!("r.{number}")));
        }
        assert!(names.newer.len() + names.older.len() <= REPLY_NAMES_MAX);
        for back in 1..=REPLY_NAMES_MAX / 2 {
            let name = format!("r.{}", 3 * REPLY_NAMES_MAX - back);
            assert!(names.contain(at(0), &name), "{name}");
        }
    }
}
