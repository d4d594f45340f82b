//! The description of every key: its table, name, form, range and meaning, each in one place.
//!
//! Used by `parse` to read a file, by `print` to write one, and by `problem` for error texts.
//!
//! # Always true
//! - A key's table and name are the names of its fields in [`Settings`].
//! - `set` is only called with a value that the key's form allows; `parse` checks first.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::Settings;
use super::auth::Secret;
use crate::limits;

#[macro_use]
mod forms;
mod table;
mod tls;
mod users;

pub use table::KEYS;
pub use tls::{CERTIFICATE_KEYS, CertificateKey};
pub use users::{USER_KEYS, UserForm, UserKey};

/// One key of the configuration file.
#[derive(Debug)]
pub struct Key {
    /// The table of the key, without brackets.
    pub table: &'static str,
    /// The name of the key.
    pub name: &'static str,
    /// The meaning, in full sentences, wrapped for a comment.
    pub doc: &'static str,
    /// When a change takes effect.
    pub applies: Applies,
    /// The allowed values, and the field for them.
    pub form: Form,
}

/// When a change of a key takes effect in a running broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// With a reload, for everything.
    Live,
    /// With a reload, for subscriptions made after it; existing ones keep their values.
    NewSubscriptions,
    /// With the next start.
    Restart,
}

impl Applies {
    /// Whether a reload is enough.
    pub fn by_reload(self) -> bool {
        self != Applies::Restart
    }

    /// The text of the manual's tables.
    pub fn name(self) -> &'static str {
        match self {
            Applies::Live => "by reload",
            Applies::NewSubscriptions => "by reload, for new subscriptions",
            Applies::Restart => "by restart",
        }
    }
}

/// The allowed values of a key, and its field in [`Settings`].
#[derive(Debug)]
pub enum Form {
    /// A whole number.
    Number {
        /// The allowed range.
        range: RangeInclusive<u64>,
        /// Reads the field.
        get: fn(&Settings) -> u64,
        /// Sets the field.
        set: fn(&mut Settings, u64),
    },
    /// `true` or `false`.
    Flag {
        /// Reads the field.
        get: fn(&Settings) -> bool,
        /// Sets the field.
        set: fn(&mut Settings, bool),
    },
    /// An IP address with a port, as a string.
    Address {
        /// Reads the field.
        get: fn(&Settings) -> SocketAddr,
        /// Sets the field.
        set: fn(&mut Settings, SocketAddr),
    },
    /// A list of CPU numbers, as a string.
    Cores {
        /// Reads the field.
        get: fn(&Settings) -> &Option<Vec<usize>>,
        /// Sets the field.
        set: fn(&mut Settings, Option<Vec<usize>>),
    },
    /// One of a few words, as a string.
    Choice {
        /// The allowed names.
        names: fn() -> Vec<&'static str>,
        /// Reads the field.
        get: fn(&Settings) -> &'static str,
        /// Sets the field to one of the names.
        set: fn(&mut Settings, &str),
    },
    /// Words of the operator, as a string. Absent by default.
    Text {
        /// Reads the field.
        get: fn(&Settings) -> &Option<String>,
        /// Sets the field.
        set: fn(&mut Settings, Option<String>),
    },
    /// The path of a file, as a string. Absent by default.
    File {
        /// Reads the field.
        get: fn(&Settings) -> &Option<String>,
        /// Sets the field.
        set: fn(&mut Settings, Option<String>),
    },
    /// A secret, as a string. Absent by default, and never printed.
    Secret {
        /// Whether a hash may stand for the secret.
        takes_hash: bool,
        /// Reads the field.
        get: fn(&Settings) -> &Option<Secret>,
        /// Sets the field.
        set: fn(&mut Settings, Option<Secret>),
    },
    /// The path of a file that has a secret, which another key may have instead.
    SecretFile {
        /// The key of the same table that may have the secret itself.
        instead_of: &'static str,
        /// Whether a hash may stand for the secret.
        takes_hash: bool,
        /// Reads the field of the secret.
        get: fn(&Settings) -> &Option<Secret>,
        /// Sets the field of the secret.
        set: fn(&mut Settings, Option<Secret>),
    },
}

/// The tables, in the order they are printed.
pub const TABLES: [&str; 9] =
    ["server", "nats", "tls", "auth", "queues", "delivery", "limits", "metrics", "logging"];

/// Tables that a file may have more than once, each with the table it belongs to.
pub const TABLES_IN_TABLES: [(&str, &str); 2] = [("auth", "users"), ("tls", "certificates")];

impl Key {
    /// Finds a key by its table and name.
    pub fn find(table: &str, name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.table == table && key.name == name)
    }

    /// The allowed values in words, to follow "must be".
    pub fn allowed(&self) -> String {
        match &self.form {
            Form::Number { range, .. } => {
                format!("a whole number from {} to {}", range.start(), range.end())
            }
            Form::Flag { .. } => "true or false".to_owned(),
            Form::Address { .. } => {
                "an IP address and a port in quotes, like \"127.0.0.1:7878\" or \"[::1]:7878\""
                    .to_owned()
            }
            Form::Cores { .. } => format!(
                "CPU numbers from 0 to {} in quotes, like \"0,2-3\", or \"all\"",
                limits::CPU_NUMBER_MAX
            ),
            Form::Text { .. } => "words in quotes".to_owned(),
            Form::File { .. } => "the path of a file in quotes".to_owned(),
            Form::Secret { .. } => {
                "a string in quotes that is not empty, or { env = \"NAME\" }".to_owned()
            }
            Form::SecretFile { .. } => "the path of a file in quotes".to_owned(),
            Form::Choice { names, .. } => {
                let quoted = names().into_iter().map(|name| format!("\"{name}\""));
                quoted.collect::<Vec<_>>().join(" or ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_the_order_of_their_keys() {
        let mut tables: Vec<&str> = KEYS.iter().map(|key| key.table).collect();
        tables.dedup();
        assert_eq!(tables, TABLES);
    }

    #[test]
    fn no_key_is_described_twice() {
        for (index, key) in KEYS.iter().enumerate() {
            let twin = KEYS[..index].iter().find(|k| (k.table, k.name) == (key.table, key.name));
            assert!(twin.is_none(), "[{}] {} is described twice", key.table, key.name);
        }
    }

    #[test]
    fn every_default_lies_in_its_range() {
        let settings = Settings::default();
        for key in &KEYS {
            if let Form::Number { range, get, .. } = &key.form {
                let number = get(&settings);
                assert!(range.contains(&number), "[{}] {} is {number}", key.table, key.name);
            }
        }
    }

    #[test]
    fn both_ends_of_every_range_fit_their_field() {
        let mut settings = Settings::default();
        for key in &KEYS {
            if let Form::Number { range, get, set } = &key.form {
                for end in [*range.start(), *range.end()] {
                    set(&mut settings, end);
                    assert_eq!(get(&settings), end, "[{}] {}", key.table, key.name);
                }
            }
        }
    }
}
