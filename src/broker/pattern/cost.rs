//! The memory that a pattern takes in a [`Matcher`](super::Matcher), estimated.

use super::{Exact, Node};
use crate::protocol::name::is_literal;

/// Places that a table has for each of its entries, on the average between two times that it doubles.
const PLACES_PER_ENTRY: usize = 2;
/// Places that a table has at least.
const PLACES_MIN: usize = 4;
/// Bytes of the smallest list of values, and what the allocator adds to a name.
const LIST_LEN: usize = 16;
const ROUNDING_LEN: usize = 16;

/// Bytes that a value under a legal pattern takes, as if no other pattern began with the same tokens.
pub fn bytes_of(pattern: &str) -> u64 {
    if is_literal(pattern) {
        let entry = size_of::<(String, Exact)>() + 1;
        return (PLACES_PER_ENTRY * entry + LIST_LEN + ROUNDING_LEN + pattern.len()) as u64;
    }
    let of_token = |token: &str| match token {
        ">" => 0,
        "*" => size_of::<Node>(),
        literal => {
            let places = PLACES_MIN * (size_of::<(String, Box<Node>)>() + 1) + ROUNDING_LEN;
            places + size_of::<Node>() + ROUNDING_LEN + literal.len()
        }
    };
    (LIST_LEN + pattern.split('.').map(of_token).sum::<usize>()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_counts_for_each_of_its_tokens() {
        let any = bytes_of("a.*");
        assert_eq!(bytes_of("a.*.*") - any, size_of::<Node>() as u64);
        assert_eq!(bytes_of("a.>"), any - size_of::<Node>() as u64);
        assert!(bytes_of("a.b.*") - any > size_of::<Node>() as u64);
        assert_eq!(bytes_of("a.bcd") - bytes_of("a.b"), 2);
        assert!(bytes_of("a") >= size_of::<(String, Exact)>() as u64);
    }
}
