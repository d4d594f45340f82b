//! Any names as patterns and topics: the matcher finds what a search through a list of patterns
//! finds.
//!
//! A line `+PATTERN` inserts a pattern, `-` and a byte removes one of them, anything else is a
//! topic to match.
#![no_main]

use blipmq::broker::pattern::{Matcher, selects};
use blipmq::protocol::name;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut matcher = Matcher::default();
    let mut list: Vec<(&str, u32)> = Vec::new();
    for (value, line) in (0..).zip(text.split('\n')) {
        if let Some(pattern) = line.strip_prefix('+') {
            if name::check_pattern(pattern).is_ok() {
                matcher.insert(pattern, value);
                list.push((pattern, value));
            }
        } else if let Some(which) = line.strip_prefix('-') {
            if !list.is_empty() {
                let which = which.bytes().next().map_or(0, usize::from) % list.len();
                let (pattern, value) = list.swap_remove(which);
                matcher.remove(pattern, value);
            }
        } else if name::check_topic(line).is_ok() {
            assert!(name::is_literal(line) && name::check_pattern(line).is_ok());
            let mut found = Vec::new();
            matcher.matches(line, &mut found);
            found.sort_unstable();
            let matching = list.iter().filter(|(pattern, _)| selects(pattern, line));
            let mut expected: Vec<u32> = matching.map(|(_, value)| *value).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{line}");
        }
    }
    for (pattern, value) in list {
        matcher.remove(pattern, value);
    }
    let left = format!("{matcher:?}");
    let nothing = format!("{:?}", Matcher::default());
    let (nothing, _) = nothing.split_once(", version").expect("the last field");
    assert!(left.starts_with(nothing), "nodes without values are removed: {left}");
});
