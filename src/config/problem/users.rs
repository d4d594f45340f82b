//! The mistakes that `[auth] users` can have, and their error texts.

use std::borrow::Cow;
use std::fmt;

use super::{Written, with_article, write_unknown_key_of_each};
use crate::config::keys::USER_KEYS;
use crate::protocol::name::NameError;

/// A mistake in `[auth] users`. Has no values but names and patterns: others may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserOffence {
    /// `users` is not an array of tables.
    NotTables,
    /// A key that users do not have.
    UnknownKey {
        /// The key.
        key: Written,
    },
    /// A value of a type the key does not take.
    WrongType {
        /// The key.
        key: &'static str,
        /// The type of the value, in TOML's words.
        type_name: &'static str,
        /// The allowed values, to follow "must be".
        allowed: &'static str,
    },
    /// A value that the key does not take.
    BadValue {
        /// The key.
        key: &'static str,
        /// The mistake, and what to do.
        reason: Cow<'static, str>,
    },
    /// A number that the key does not take.
    OutOfRange {
        /// The key.
        key: &'static str,
        /// The allowed numbers, to follow "must be".
        allowed: &'static str,
    },
    /// An illegal pattern.
    BadPattern {
        /// The key.
        key: &'static str,
        /// The pattern.
        pattern: Written,
        /// The mistake in the pattern.
        error: NameError,
    },
    /// Keys that do not make complete credentials.
    IncompleteLogin {
        /// The keys that the user has.
        has: &'static str,
        /// What is missing, and what to do.
        remedy: &'static str,
    },
    /// Two users with the same name or nkey.
    Duplicate {
        /// The name or nkey.
        name: Written,
        /// The line of the first one.
        first_line: usize,
    },
}

impl fmt::Display for UserOffence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTables => f.write_str(
                "[auth] users must be tables; write [[auth.users]] on a line of its own for each \
                 user, and its keys below",
            ),
            Self::UnknownKey { key } => {
                let names = USER_KEYS.iter().map(|known| known.name);
                write_unknown_key_of_each(f, "[[auth.users]]", key, names)
            }
            Self::WrongType { key, type_name, allowed } => {
                let type_name = with_article(type_name);
                write!(f, "[[auth.users]] {key} is {type_name}, must be {allowed}")
            }
            Self::BadValue { key, reason } => write!(f, "[[auth.users]] {key}: {reason}"),
            Self::OutOfRange { key, allowed } => {
                write!(f, "[[auth.users]] {key} must be {allowed}")
            }
            Self::BadPattern { key, pattern, error } => {
                write!(f, "[[auth.users]] {key}: bad pattern \"{pattern}\": {error}")
            }
            Self::IncompleteLogin { has, remedy } => {
                write!(f, "[[auth.users]] has {has}; {remedy}")
            }
            Self::Duplicate { name, first_line } => write!(
                f,
                "[[auth.users]] \"{name}\" has a table in line {first_line} already; remove one of the \
                 two"
            ),
        }
    }
}
