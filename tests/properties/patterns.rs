//! The tree of patterns, compared with a list of patterns.

use blipmq::broker::pattern::{Matcher, is_within, matches, overlap};
use blipmq::protocol::name;
use proptest::prelude::*;

/// A few tokens, so that patterns match topics. A wildcard inside a token is an ordinary character.
fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c", "a*", ">b", "é"])
}

pub fn topics() -> impl Strategy<Value = String> {
    prop::collection::vec(token(), 1..5).prop_map(|tokens| tokens.join("."))
}

pub fn patterns() -> impl Strategy<Value = String> {
    let token = prop_oneof![3 => token(), 2 => Just("*")];
    (prop::collection::vec(token, 0..5), any::<bool>()).prop_map(|(mut tokens, rest)| {
        if rest || tokens.is_empty() {
            tokens.push(">");
        }
        tokens.join(".")
    })
}

#[derive(Debug, Clone)]
enum Step {
    Insert(String, u32),
    /// The index of an existing pattern.
    Remove(prop::sample::Index),
    Match(String),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (patterns(), 0..5u32).prop_map(|(pattern, value)| Step::Insert(pattern, value)),
        2 => any::<prop::sample::Index>().prop_map(Step::Remove),
        2 => topics().prop_map(Step::Match),
    ];
    prop::collection::vec(step, 0..60)
}

/// `matches`, by its definition on tokens.
fn matches_by_definition(pattern: &[&str], topic: &[&str]) -> bool {
    match (pattern, topic) {
        ([">"], [_, ..]) => true,
        ([token, pattern @ ..], [of_topic, topic @ ..]) => {
            (*token == "*" || token == of_topic) && matches_by_definition(pattern, topic)
        }
        ([], []) => true,
        _ => false,
    }
}

/// Every sequence of one to `len` of these tokens, joined.
fn names(tokens: &[&str], len: usize) -> Vec<String> {
    let mut names: Vec<String> = tokens.iter().map(|token| token.to_string()).collect();
    let mut longest = names.clone();
    for _ in 1..len {
        let longer = |name: &String| {
            tokens.iter().map(|token| format!("{name}.{token}")).collect::<Vec<_>>()
        };
        longest = longest.iter().flat_map(longer).collect();
        names.extend_from_slice(&longest);
    }
    names
}

/// Goal: "within" and "overlaps" of patterns agree with the topics that they match.
/// Method: every pair of patterns of up to three tokens, and every topic of up to four tokens, one of
/// which no pattern has. Longer or other topics distinguish no two such patterns.
#[test]
fn within_and_overlap_agree_with_all_short_topics() {
    let patterns = names(&["a", "b", "*", ">"], 3);
    let patterns: Vec<&String> =
        patterns.iter().filter(|pattern| name::check_pattern(pattern).is_ok()).collect();
    let topics = names(&["a", "b", "c"], 4);
    let matched: Vec<Vec<bool>> = patterns
        .iter()
        .map(|pattern| topics.iter().map(|topic| matches(pattern, topic)).collect())
        .collect();
    for (one, of_one) in patterns.iter().zip(&matched) {
        for (other, of_other) in patterns.iter().zip(&matched) {
            let mut pairs = of_one.iter().zip(of_other);
            let within = pairs.clone().all(|(one, other)| !one || *other);
            assert_eq!(is_within(one, other), within, "{one} within {other}");
            let overlapping = pairs.any(|(one, other)| *one && *other);
            assert_eq!(overlap(one, other), overlapping, "{one} overlaps {other}");
        }
    }
}

fn sorted(mut values: Vec<u32>) -> Vec<u32> {
    values.sort_unstable();
    values
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn a_pattern_matches_by_its_definition(pattern in patterns(), topic in topics()) {
        prop_assert_eq!(name::check_pattern(&pattern), Ok(()));
        prop_assert_eq!(name::check_topic(&topic), Ok(()));
        let tokens = pattern.split('.').collect::<Vec<_>>();
        let of_topic = topic.split('.').collect::<Vec<_>>();
        let expected = matches_by_definition(&tokens, &of_topic);
        prop_assert_eq!(matches(&pattern, &topic), expected, "{} {}", pattern, topic);
    }

    #[test]
    fn within_and_overlap_hold_for_any_topic(
        one in patterns(), other in patterns(), topic in topics()
    ) {
        let (by_one, by_other) = (matches(&one, &topic), matches(&other, &topic));
        prop_assert!(!is_within(&one, &other) || !by_one || by_other, "{one} {other} {topic}");
        prop_assert!(overlap(&one, &other) || !by_one || !by_other, "{one} {other} {topic}");
        prop_assert_eq!(overlap(&one, &other), overlap(&other, &one));
        prop_assert!(is_within(&topic, &one) == by_one, "{one} {topic}");
    }

    /// Goal: the matcher finds the same patterns as a list, while patterns come and go.
    #[test]
    fn the_matcher_finds_the_same_patterns_as_a_list(steps in steps()) {
        let mut matcher = Matcher::default();
        let mut list: Vec<(String, u32)> = Vec::new();
        for step in steps {
            let before = matcher.version();
            match step {
                Step::Insert(pattern, value) => {
                    matcher.insert(&pattern, value);
                    list.push((pattern, value));
                    prop_assert_ne!(matcher.version(), before);
                }
                Step::Remove(_) if list.is_empty() => {}
                Step::Remove(which) => {
                    let (pattern, value) = list.swap_remove(which.index(list.len()));
                    matcher.remove(&pattern, value);
                    prop_assert_ne!(matcher.version(), before);
                }
                Step::Match(topic) => {
                    let mut found = Vec::new();
                    matcher.matches(&topic, &mut found);
                    let matching = list.iter().filter(|(pattern, _)| matches(pattern, &topic));
                    let expected = matching.map(|(_, value)| *value).collect();
                    prop_assert_eq!(sorted(found), sorted(expected), "{}", topic);
                    prop_assert_eq!(matcher.version(), before);
                }
            }
        }
        for (pattern, value) in list {
            matcher.remove(&pattern, value);
        }
        let nothing = format!("{:?}", Matcher::default());
        let left = format!("{matcher:?}");
        let (nothing, _) = nothing.split_once(", version").expect("the last field");
        prop_assert!(left.starts_with(nothing), "nodes without values are removed: {}", left);
    }
}
