//! Which topics and patterns are legal.
//!
//! Used by the broker for every OPEN and SUBSCRIBE, and by the client before it sends one.

use crate::limits::TOPIC_LEN_MAX;

/// Prefix of the broker's own topics, which clients subscribe to and never publish to.
pub const SYSTEM_PREFIX: &str = "$SYS.";

/// Why a topic or pattern is not legal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("it is empty; give at least one token, such as `orders`")]
    Empty,
    /// The name has more bytes than allowed.
    #[error("it is {len} bytes, the limit is {TOPIC_LEN_MAX}; shorten it")]
    TooLong {
        /// The length in bytes.
        len: usize,
    },
    /// The name has more tokens than the server allows.
    #[error(
        "it has {tokens} tokens, the limit is {tokens_max}; use fewer, or raise `limits.max_pattern_tokens`"
    )]
    TooManyTokens {
        /// The number of tokens.
        tokens: usize,
        /// `limits.max_pattern_tokens` of the server.
        tokens_max: usize,
    },
    /// Two dots in a row, or a dot at an end.
    #[error("token {token} is empty; tokens are separated by single dots, none at the ends")]
    EmptyToken {
        /// The number of the token, from 1.
        token: usize,
    },
    /// The name contains white space or a control character.
    #[error("byte {at} is white space or a control character; remove it")]
    BadCharacter {
        /// The offset in bytes, from 0.
        at: usize,
    },
    /// The topic contains a wildcard.
    #[error("token {token} is a wildcard; topics that are published to must be literal")]
    Wildcard {
        /// The number of the token, from 1.
        token: usize,
    },
    /// The wildcard `>` is not the last token.
    #[error("`>` is token {token}, but may only be the last; use `*` for one token")]
    RestNotLast {
        /// The number of the token, from 1.
        token: usize,
    },
}

/// Checks a topic, which has no wildcards.
pub fn check_topic(topic: &str) -> Result<(), NameError> {
    check_tokens(topic)?;
    match topic.split('.').position(|token| token == "*" || token == ">") {
        Some(index) => Err(NameError::Wildcard { token: index + 1 }),
        None => Ok(()),
    }
}

/// Checks a pattern, in which `*` stands for one token and `>`, as the last, for one or more.
pub fn check_pattern(pattern: &str) -> Result<(), NameError> {
    check_tokens(pattern)?;
    let mut tokens = pattern.split('.').enumerate().peekable();
    while let Some((index, token)) = tokens.next() {
        if token == ">" && tokens.peek().is_some() {
            return Err(NameError::RestNotLast { token: index + 1 });
        }
    }
    Ok(())
}

/// Checks how many tokens a name has.
pub fn check_depth(name: &str, tokens_max: usize) -> Result<(), NameError> {
    match 1 + name.bytes().filter(|byte| *byte == b'.').count() {
        tokens if tokens > tokens_max => Err(NameError::TooManyTokens { tokens, tokens_max }),
        _ => Ok(()),
    }
}

/// Returns whether a legal pattern is a literal topic.
pub fn is_literal(pattern: &str) -> bool {
    !pattern.split('.').any(|token| token == "*" || token == ">")
}

fn check_tokens(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > TOPIC_LEN_MAX {
        return Err(NameError::TooLong { len: name.len() });
    }
    if let Some((at, _)) = name
        .char_indices()
        .find(|(_, character)| character.is_whitespace() || character.is_control())
    {
        return Err(NameError::BadCharacter { at });
    }
    match name.split('.').position(str::is_empty) {
        Some(index) => Err(NameError::EmptyToken { token: index + 1 }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_wild_only_as_whole_tokens() {
        for literal in ["a", "a.b", "orders.*eu", "a>.b", "é.ü"] {
            assert_eq!(check_topic(literal), Ok(()), "{literal}");
            assert!(is_literal(literal), "{literal}");
        }
        assert_eq!(check_topic("a.*.b"), Err(NameError::Wildcard { token: 2 }));
        assert_eq!(check_topic("a.>"), Err(NameError::Wildcard { token: 2 }));
        for pattern in ["*", ">", "a.*", "a.>", "*.b.>"] {
            assert_eq!(check_pattern(pattern), Ok(()), "{pattern}");
            assert!(!is_literal(pattern), "{pattern}");
        }
    }

    #[test]
    fn rest_wildcard_is_refused_before_the_last_token() {
        assert_eq!(check_pattern(">.a"), Err(NameError::RestNotLast { token: 1 }));
        assert_eq!(check_pattern("a.>.b"), Err(NameError::RestNotLast { token: 2 }));
    }

    #[test]
    fn tokens_beyond_the_bound_are_refused_with_their_number() {
        assert_eq!(check_depth("a", 1), Ok(()));
        assert_eq!(check_depth("a.*.>", 3), Ok(()));
        let refused = NameError::TooManyTokens { tokens: 4, tokens_max: 3 };
        assert_eq!(check_depth("a.b.c.d", 3), Err(refused));
    }

    #[test]
    fn empty_tokens_white_space_and_length_are_refused_with_their_place() {
        assert_eq!(check_topic(""), Err(NameError::Empty));
        assert_eq!(check_topic(".a"), Err(NameError::EmptyToken { token: 1 }));
        assert_eq!(check_topic("a..b"), Err(NameError::EmptyToken { token: 2 }));
        assert_eq!(check_topic("a."), Err(NameError::EmptyToken { token: 2 }));
        assert_eq!(check_topic("a b"), Err(NameError::BadCharacter { at: 1 }));
        assert_eq!(check_topic("a\u{0}"), Err(NameError::BadCharacter { at: 1 }));
        assert_eq!(check_topic("a\u{a0}b"), Err(NameError::BadCharacter { at: 1 }));
        assert_eq!(check_topic(&"a".repeat(TOPIC_LEN_MAX)), Ok(()));
        assert_eq!(
            check_topic(&"a".repeat(TOPIC_LEN_MAX + 1)),
            Err(NameError::TooLong { len: TOPIC_LEN_MAX + 1 })
        );
    }
}
