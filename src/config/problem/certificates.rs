//! The mistakes that `[tls] certificates` can have, and their error texts.

use std::fmt;

use super::{Written, with_article, write_unknown_key_of_each};
use crate::config::keys::CERTIFICATE_KEYS;

/// A mistake in `[tls] certificates`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificatesOffence {
    /// `certificates` is not an array of tables.
    NotTables,
    /// A key that certificates do not have.
    UnknownKey {
        /// The key.
        key: Written,
    },
    /// A value that is no string.
    WrongType {
        /// The key.
        key: &'static str,
        /// The type of the value, in TOML's words.
        type_name: &'static str,
    },
    /// A path that cannot be one.
    BadValue {
        /// The key.
        key: &'static str,
        /// The mistake, and what to do.
        reason: &'static str,
    },
    /// A table that lacks a key.
    Incomplete {
        /// The key.
        key: &'static str,
        /// A value as a file may have it.
        example: &'static str,
    },
}

impl fmt::Display for CertificatesOffence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTables => f.write_str(
                "[tls] certificates must be tables; write [[tls.certificates]] on a line of its own \
                 for each certificate, and its keys below",
            ),
            Self::UnknownKey { key } => {
                let names = CERTIFICATE_KEYS.iter().map(|known| known.name);
                write_unknown_key_of_each(f, "[[tls.certificates]]", key, names)
            }
            Self::WrongType { key, type_name } => {
                let type_name = with_article(type_name);
                write!(
                    f,
                    "[[tls.certificates]] {key} is {type_name}, must be the path of a file in quotes"
                )
            }
            Self::BadValue { key, reason } => write!(f, "[[tls.certificates]] {key}: {reason}"),
            Self::Incomplete { key, example } => {
                write!(f, "[[tls.certificates]] has no {key}; add {key} = {example}")
            }
        }
    }
}
