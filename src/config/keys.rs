//! The description of every key: its table, name, form, range and meaning, each said once.
//!
//! Used by `parse` to read a file, by `print` to write one, and by `problem` for its texts.
//!
//! # Always true
//! - A key's table and name are the names of its fields in [`Settings`].
//! - `set` is only called with what the key's form allows; `parse` checks first.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::Settings;
use super::auth::Secret;
use crate::limits;

mod table;
mod users;

pub use table::KEYS;
pub use users::{USER_KEYS, UserForm, UserKey};

/// One key of the configuration file.
#[derive(Debug)]
pub struct Key {
    /// The table it stands in, without brackets.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it means, as full sentences, one line each.
    pub doc: &'static str,
    /// When a change of it takes effect.
    pub applies: Applies,
    /// What may be written, and where it goes.
    pub form: Form,
}

/// When a change of a key takes effect in a broker that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// With a reload, for everything.
    Live,
    /// With a reload, for subscriptions that are made after it; those that are there keep what they
    /// were given.
    NewSubscriptions,
    /// With the next start.
    Restart,
}

impl Applies {
    /// Whether a reload is enough.
    pub fn by_reload(self) -> bool {
        self != Applies::Restart
    }

    /// In words, to stand in a table.
    pub fn name(self) -> &'static str {
        match self {
            Applies::Live => "by reload",
            Applies::NewSubscriptions => "by reload, for new subscriptions",
            Applies::Restart => "by restart",
        }
    }
}

/// What a key's value may be, and the place of it in [`Settings`].
#[derive(Debug)]
pub enum Form {
    /// A whole number.
    Number {
        /// What is allowed.
        range: RangeInclusive<u64>,
        /// Reads it.
        get: fn(&Settings) -> u64,
        /// Changes it.
        set: fn(&mut Settings, u64),
    },
    /// `true` or `false`.
    Flag {
        /// Reads it.
        get: fn(&Settings) -> bool,
        /// Changes it.
        set: fn(&mut Settings, bool),
    },
    /// An IP address with a port, as a string.
    Address {
        /// Reads it.
        get: fn(&Settings) -> SocketAddr,
        /// Changes it.
        set: fn(&mut Settings, SocketAddr),
    },
    /// A list of CPU numbers, as a string.
    Cores {
        /// Reads it.
        get: fn(&Settings) -> &Option<Vec<usize>>,
        /// Changes it.
        set: fn(&mut Settings, Option<Vec<usize>>),
    },
    /// One of a few words, as a string.
    Choice {
        /// What is allowed.
        names: fn() -> Vec<&'static str>,
        /// Reads it.
        get: fn(&Settings) -> &'static str,
        /// Changes it, to one of the names.
        set: fn(&mut Settings, &str),
    },
    /// A secret, as a string. Absent unless it is set, and never printed.
    Secret {
        /// Reads it.
        get: fn(&Settings) -> &Option<Secret>,
        /// Changes it.
        set: fn(&mut Settings, Option<Secret>),
    },
}

/// The tables, in the order they are printed.
pub const TABLES: [&str; 8] =
    ["server", "nats", "auth", "queues", "delivery", "limits", "metrics", "logging"];

impl Key {
    /// The key with this name in this table.
    pub fn find(table: &str, name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.table == table && key.name == name)
    }

    /// What may be written, in words, to follow "must be".
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
            Form::Secret { .. } => "a string in quotes that is not empty".to_owned(),
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
    fn tables_are_those_of_the_keys_in_their_order() {
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
