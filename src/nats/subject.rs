//! The subjects that nats-server accepts.
//!
//! Called by the session: [`is_valid_pattern`] for every SUB, [`is_valid_literal`] for every PUB of a
//! pedantic client. Neither checks characters: an argument has no blanks, and
//! [`protocol::name`](crate::protocol::name) checks topics of BLIP.

/// Whether a client may subscribe to the subject: no token is empty, and `>` is the last token or none.
pub fn is_valid_pattern(subject: &[u8]) -> bool {
    let mut tokens = subject.split(|byte| *byte == b'.').peekable();
    while let Some(token) = tokens.next() {
        if token.is_empty() || (token == b">" && tokens.peek().is_some()) {
            return false;
        }
    }
    true
}

/// Whether a pedantic client may publish to the subject: no token is empty or a wildcard.
pub fn is_valid_literal(subject: &[u8]) -> bool {
    subject.split(|byte| *byte == b'.').all(|token| !matches!(token, b"" | b"*" | b">"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_no_empty_token_and_end_at_their_rest_wildcard() {
        for legal in ["a", "a.b", "*", ">", "a.*.b", "a.>", "a>.b", "*a.b", "a\u{1}", "$SYS.>"] {
            assert!(is_valid_pattern(legal.as_bytes()), "{legal}");
        }
        for refused in ["", ".", "a.", ".a", "a..b", ">.a", "a.>.b", ">."] {
            assert!(!is_valid_pattern(refused.as_bytes()), "{refused}");
        }
    }

    #[test]
    fn literals_have_no_empty_and_no_wild_token() {
        for legal in ["a", "a.b", "a>.b", "**", "a.*b"] {
            assert!(is_valid_literal(legal.as_bytes()), "{legal}");
        }
        for refused in ["", "a.", ".a", "a..b", "*", ">", "a.*", "a.>", "*.a"] {
            assert!(!is_valid_literal(refused.as_bytes()), "{refused}");
        }
    }
}
