//! Pattern matching: a map from patterns and exact topics to values, searched by topic.
//!
//! Used by `subscriptions` with subscriptions as values, by `interest` with cores, and by `groups`
//! with groups. Callers may cache what a topic matches as long as [`Matcher::confirms`] says so.
//!
//! # Always true
//! - A match visits each node of the tree at most once, however patterns overlap.
//! - Nodes without values are removed, so memory is proportional to the patterns in use.
//! - A value is inserted and removed in the same time, however many are under the same pattern.

mod cost;
mod values;

use hashbrown::HashMap;

pub use self::cost::bytes_of;
use self::values::Values;
use crate::protocol::name::{SYSTEM_PREFIX, is_literal};

/// Tables of fewer places keep these.
const SHRUNK_CAPACITY_MIN: usize = 64;

/// Values by pattern. A value is under one pattern at most once.
#[derive(Debug, Default)]
pub struct Matcher {
    /// Exact topics, looked up as a whole; most subscriptions are to these.
    exact: HashMap<String, Exact>,
    wild: Node,
    version: u64,
    /// The version in which a pattern with wildcards was last inserted or removed.
    wild_version: u64,
}

/// The values of one exact topic.
#[derive(Debug, Default)]
struct Exact {
    values: Values,
    /// The version in which they last changed.
    version: u64,
}

/// The version of a matcher in which a topic was looked up. A version with which another topic changed
/// is as good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    version: u64,
    /// 0 if no value was under the exact topic.
    exact: u64,
    wild: u64,
}

impl Seen {
    /// No version: the topic was not looked up yet.
    pub const NEVER: Seen = Seen { version: u64::MAX, exact: u64::MAX, wild: u64::MAX };
}

/// Whether a subscription to a legal pattern is sent a legal topic. A wildcard as the first token does not
/// stand for the broker's own topics: these are subscribed to by name.
pub fn selects(pattern: &str, topic: &str) -> bool {
    let is_wild = matches!(pattern.split('.').next(), Some("*" | ">"));
    !(is_wild && topic.starts_with(SYSTEM_PREFIX)) && matches(pattern, topic)
}

/// Whether one legal pattern matches one legal topic.
pub fn matches(pattern: &str, topic: &str) -> bool {
    let (mut pattern, mut topic) = (pattern.split('.'), topic.split('.'));
    loop {
        match (pattern.next(), topic.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(literal), Some(token)) if literal == token => {}
            _ => return false,
        }
    }
}

/// Whether every topic that `pattern` matches also matches `outer`; both are legal patterns.
pub fn is_within(pattern: &str, outer: &str) -> bool {
    let (mut pattern, mut outer) = (pattern.split('.'), outer.split('.'));
    loop {
        match (pattern.next(), outer.next()) {
            (None, None) => return true,
            (Some(_), Some(">")) => return true,
            // `>` matches topics with more tokens, which only another `>` matches too.
            (Some(">"), _) => return false,
            (Some(_), Some("*")) => {}
            (Some(token), Some(outer)) if token == outer => {}
            _ => return false,
        }
    }
}

/// Whether some topic matches both of two legal patterns.
pub fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
            (Some(token), Some(other)) if token == other => {}
            _ => return false,
        }
    }
}

/// The patterns that share a beginning.
#[derive(Debug, Default)]
struct Node {
    // Boxed, because most of these tables have few entries and places for more.
    literal: HashMap<String, Box<Node>>,
    /// Under `*`.
    any: Option<Box<Node>>,
    /// Values of the pattern that ends here.
    here: Values,
    /// Values of the pattern that ends here with `>`.
    rest: Values,
}

impl Matcher {
    /// The version, which changes with every insert and remove.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version in which a topic that is looked up now is seen.
    pub fn see(&self, topic: &str) -> Seen {
        let exact = self.exact.get(topic).map_or(0, |exact| exact.version);
        Seen { version: self.version, exact, wild: self.wild_version }
    }

    /// Whether a topic still has the values that it had when it was seen. Brings `seen` up to date if
    /// so, so that the next answer takes one comparison.
    pub fn confirms(&self, seen: &mut Seen, topic: &str) -> bool {
        if seen.version == self.version {
            return true;
        }
        let now = self.see(topic);
        let is_unchanged = (seen.exact, seen.wild) == (now.exact, now.wild);
        if is_unchanged {
            *seen = now;
        }
        is_unchanged
    }

    /// Puts a value under a legal pattern.
    pub fn insert(&mut self, pattern: &str, value: u32) {
        self.version += 1;
        if is_literal(pattern) {
            let exact = self.exact.entry_ref(pattern).or_default();
            exact.values.insert(value);
            exact.version = self.version;
        } else {
            self.wild_version = self.version;
            self.wild.values_mut(pattern).insert(value);
        }
    }

    /// Removes a value that `insert` has put under this pattern.
    pub fn remove(&mut self, pattern: &str, value: u32) {
        self.version += 1;
        if is_literal(pattern) {
            let exact = self.exact.get_mut(pattern).expect("the value was inserted before");
            exact.values.remove(value);
            exact.version = self.version;
            if exact.values.is_empty() {
                self.exact.remove(pattern);
                shrink(&mut self.exact);
            }
        } else {
            self.wild_version = self.version;
            self.wild.remove(pattern, value);
        }
    }

    /// Appends the values of every pattern that [`selects`] a legal topic.
    pub fn matches(&self, topic: &str, found: &mut Vec<u32>) {
        if let Some(exact) = self.exact.get(topic) {
            found.extend_from_slice(exact.values.as_slice());
        }
        match topic.strip_prefix(SYSTEM_PREFIX) {
            None => self.wild.matches(topic, found),
            Some(behind) => {
                let system = self.wild.literal.get(SYSTEM_PREFIX.trim_end_matches('.'));
                system.inspect(|system| system.matches(behind, found));
            }
        }
    }
}

/// Frees room of a table that lost most of its entries; so seldom that this costs each little.
fn shrink<V>(table: &mut HashMap<String, V>) {
    let len = table.len();
    if table.capacity() > SHRUNK_CAPACITY_MIN && len < table.capacity() / 8 {
        table.shrink_to(2 * len);
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        self.literal.is_empty()
            && self.any.is_none()
            && self.here.is_empty()
            && self.rest.is_empty()
    }

    fn values_mut(&mut self, pattern: &str) -> &mut Values {
        let mut node = self;
        for token in pattern.split('.') {
            node = match token {
                // The pattern was found legal, so nothing follows `>`.
                ">" => return &mut node.rest,
                "*" => node.any.get_or_insert_default(),
                literal => node.literal.entry_ref(literal).or_default(),
            };
        }
        &mut node.here
    }

    fn remove(&mut self, pattern: &str, value: u32) {
        let (token, behind) = match pattern.split_once('.') {
            Some((token, behind)) => (token, Some(behind)),
            None => (pattern, None),
        };
        if token == ">" {
            return self.rest.remove(value);
        }
        let next = match token {
            "*" => self.any.as_deref_mut(),
            literal => self.literal.get_mut(literal).map(|next| &mut **next),
        };
        let next = next.expect("the value was inserted before");
        match behind {
            Some(behind) => next.remove(behind, value),
            None => next.here.remove(value),
        }
        if next.is_empty() {
            match token {
                "*" => self.any = None,
                literal => {
                    self.literal.remove(literal);
                    shrink(&mut self.literal);
                }
            }
        }
    }

    fn matches(&self, topic: &str, found: &mut Vec<u32>) {
        found.extend_from_slice(self.rest.as_slice());
        let (token, behind) = match topic.split_once('.') {
            Some((token, behind)) => (token, Some(behind)),
            None => (topic, None),
        };
        let literal = self.literal.get(token).map(|next| &**next);
        for next in [literal, self.any.as_deref()].into_iter().flatten() {
            match behind {
                Some(behind) => next.matches(behind, found),
                None => found.extend_from_slice(next.here.as_slice()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(matcher: &Matcher, topic: &str) -> Vec<u32> {
        let mut found = Vec::new();
        matcher.matches(topic, &mut found);
        found.sort_unstable();
        found
    }

    #[test]
    fn rest_stands_for_one_token_or_more_and_star_for_exactly_one() {
        let mut matcher = Matcher::default();
        for (value, pattern) in [">", "a.>", "a.*", "*.b", "a.b", "a.*.c", "a"].iter().enumerate() {
            matcher.insert(pattern, value as u32);
        }
        assert_eq!(matched(&matcher, "a"), [0, 6]);
        assert_eq!(matched(&matcher, "a.b"), [0, 1, 2, 3, 4]);
        assert_eq!(matched(&matcher, "a.b.c"), [0, 1, 5]);
        assert_eq!(matched(&matcher, "b.c"), [0]);
    }

    #[test]
    fn the_brokers_own_topics_are_not_matched_by_a_wildcard_as_the_first_token() {
        let patterns = [">", "*.>", "*.GAP.*", "$SYS.>", "$SYS.*.7", "$SYS.GAP.7", "$SYSTEM.>"];
        let mut matcher = Matcher::default();
        for (value, pattern) in patterns.iter().enumerate() {
            matcher.insert(pattern, value as u32);
        }
        assert_eq!(matched(&matcher, "$SYS.GAP.7"), [3, 4, 5]);
        assert_eq!(matched(&matcher, "$SYSTEM.a.b"), [0, 1, 6]);
        for (value, pattern) in (0..).zip(patterns) {
            for topic in ["$SYS.GAP.7", "$SYSTEM.a.b", "$SYS", "a.GAP.7"] {
                let selected = matched(&matcher, topic).contains(&value);
                assert_eq!(selected, selects(pattern, topic), "{pattern} {topic}");
            }
        }
    }

    #[test]
    fn a_removed_pattern_matches_nothing_and_leaves_nothing_behind() {
        let mut matcher = Matcher::default();
        let patterns = [">", "a.>", "a.*.c", "a.*", "a.b.c.d.*", "x.y"];
        for (value, pattern) in patterns.iter().enumerate() {
            matcher.insert(pattern, value as u32);
        }
        for (value, pattern) in patterns.iter().enumerate() {
            let before = matcher.version();
            matcher.remove(pattern, value as u32);
            assert_ne!(matcher.version(), before);
        }
        assert!(matcher.wild.is_empty() && matcher.exact.is_empty());
    }

    #[test]
    fn tables_shrink_again_when_most_of_their_patterns_are_gone() {
        let mut matcher = Matcher::default();
        let patterns: Vec<_> =
            (0..10_000).map(|at| (format!("a{at}"), format!("{at}.*"))).collect();
        for (literal, wild) in &patterns {
            matcher.insert(literal, 1);
            matcher.insert(wild, 2);
        }
        for (literal, wild) in &patterns {
            matcher.remove(literal, 1);
            matcher.remove(wild, 2);
        }
        let capacities = [matcher.exact.capacity(), matcher.wild.literal.capacity()];
        assert!(capacities.iter().all(|capacity| *capacity <= SHRUNK_CAPACITY_MIN));
    }

    #[test]
    fn what_a_topic_matches_is_confirmed_until_one_of_its_own_patterns_changes() {
        let mut matcher = Matcher::default();
        let mut seen = Seen::NEVER;
        assert!(!matcher.confirms(&mut seen, "a.b"), "it was not looked up yet");
        seen = matcher.see("a.b");
        matcher.insert("a.c", 1);
        matcher.remove("a.c", 1);
        assert!(matcher.confirms(&mut seen, "a.b"), "another topic changed");
        for pattern in ["a.b", "a.*"] {
            matcher.insert(pattern, 2);
            assert!(!matcher.confirms(&mut seen, "a.b"), "{pattern} is new");
            seen = matcher.see("a.b");
            matcher.insert(pattern, 3);
            matcher.remove(pattern, 2);
            assert!(!matcher.confirms(&mut seen, "a.b"), "{pattern} has another value");
            seen = matcher.see("a.b");
            matcher.remove(pattern, 3);
            assert!(!matcher.confirms(&mut seen, "a.b"), "{pattern} is gone");
            seen = matcher.see("a.b");
        }
        assert!(matcher.confirms(&mut seen, "a.b"));
    }

    /// Goal: the tree agrees with the ten-line `matches`.
    /// Method: every pattern and topic of up to three tokens over a small alphabet.
    #[test]
    fn the_tree_agrees_with_a_naive_matcher_on_every_short_pattern_and_topic() {
        fn names(tokens: &[&str]) -> Vec<String> {
            let mut names: Vec<String> = tokens.iter().map(|token| token.to_string()).collect();
            for _ in 0..2 {
                let longer: Vec<String> = names
                    .iter()
                    .flat_map(|name| tokens.iter().map(move |token| format!("{name}.{token}")))
                    .collect();
                names.extend(longer);
            }
            names.sort();
            names.dedup();
            names
        }
        let patterns: Vec<String> = names(&["a", "b", "*", ">", "a*"])
            .into_iter()
            .filter(|pattern| crate::protocol::name::check_pattern(pattern).is_ok())
            .collect();
        let mut matcher = Matcher::default();
        for (value, pattern) in patterns.iter().enumerate() {
            matcher.insert(pattern, value as u32);
        }
        for topic in names(&["a", "b", "c", "a*"]) {
            let expected: Vec<u32> = (0..patterns.len() as u32)
                .filter(|value| super::matches(&patterns[*value as usize], &topic))
                .collect();
            assert_eq!(matched(&matcher, &topic), expected, "{topic}");
        }
    }
}
