//! The tree of patterns against a list of patterns.

use blipmq::broker::pattern::{Matcher, matches};
use blipmq::protocol::name;
use proptest::prelude::*;

/// Few words, so that patterns meet topics. Wildcards inside a token are not wild.
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
    /// Which of those there are.
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

/// What `matches` does, said with the definition: a pattern is its tokens.
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

fn sorted(mut values: Vec<u32>) -> Vec<u32> {
    values.sort_unstable();
    values
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn one_pattern_matches_as_the_definition_says(pattern in patterns(), topic in topics()) {
        prop_assert_eq!(name::check_pattern(&pattern), Ok(()));
        prop_assert_eq!(name::check_topic(&topic), Ok(()));
        let tokens = pattern.split('.').collect::<Vec<_>>();
        let of_topic = topic.split('.').collect::<Vec<_>>();
        let expected = matches_by_definition(&tokens, &of_topic);
        prop_assert_eq!(matches(&pattern, &topic), expected, "{} {}", pattern, topic);
    }

    /// Goal: the matcher finds what a list of patterns finds, while patterns come and go.
    #[test]
    fn matcher_finds_what_a_list_finds(steps in steps()) {
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
