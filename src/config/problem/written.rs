//! Pieces of a configuration file in error texts, and which of them may be shown.
//!
//! # Always true
//! - Nothing of a file that is not well-formed is shown but the names of known keys and tables: where the
//!   quotes are broken, every other name, value or line may be a piece of a token or a password.
//! - Of a well-formed file unknown names are shown only if they look like names of keys, because a secret
//!   behind a commented key may have become a name.

use std::fmt;

use crate::config::auth::SECRET_PRINTED;
use crate::config::keys::{KEYS, TABLES, TABLES_IN_TABLES, USER_KEYS};

/// A name or a value as the file has it, printed as a placeholder if it may be a piece of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    text: String,
    is_shown: bool,
}

impl Written {
    /// The name of a key or a table.
    pub(in crate::config) fn name(text: String, is_well_formed: bool) -> Written {
        let is_shown = is_known(&text) || is_well_formed && looks_like_a_name(&text);
        Written { text, is_shown }
    }

    /// A value that is no secret where the file is well-formed.
    pub(in crate::config) fn value(text: String, is_well_formed: bool) -> Written {
        Written { text, is_shown: is_well_formed }
    }

    /// The piece itself, to compare it with known names.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

fn is_known(name: &str) -> bool {
    TABLES.contains(&name)
        || TABLES_IN_TABLES.iter().any(|(_, tables)| *tables == name)
        || KEYS.iter().any(|key| key.name == name)
        || USER_KEYS.iter().any(|key| key.name == name)
}

fn looks_like_a_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || b"_-".contains(&byte))
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_shown { &self.text } else { SECRET_PRINTED })
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
