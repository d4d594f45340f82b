//! The problems that a configuration can have, and their error texts.
//!
//! Made by `parse`; the command line prints a [`ConfigError`] as it is and refuses to start.
//! Each text says what is wrong, the numbers, and what to do.

use std::fmt;

use super::conflict::Conflict;
use super::keys::{KEYS, Key, TABLES, TABLES_IN_TABLES, USER_KEYS};

mod certificates;
mod users;
mod written;

pub use certificates::CertificatesOffence;
pub use users::UserOffence;
pub use written::Written;

/// All problems of one configuration file. Prints one line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as the caller named it.
    pub file_name: String,
    /// At least one problem, in the order of lines.
    pub problems: Vec<Problem>,
}

/// A problem and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line of the file, from 1.
    pub line: usize,
    /// The mistake in that line.
    pub offence: Offence,
}

/// A mistake. Keys and values are as the file has them, cut short if they are long, and shown as far as
/// they cannot be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offence {
    /// The text is not TOML.
    Syntax {
        /// Character of the line, from 1.
        column: usize,
        /// The message of the TOML parser, which repeats nothing of the text.
        message: String,
    },
    /// A key is set a second time.
    DuplicateKey {
        /// The table of the key; `None` at the top of the file, and for an unknown table.
        table: Option<&'static str>,
        /// The key.
        key: Written,
    },
    /// A table has a second header.
    DuplicateTable {
        /// The table.
        table: Written,
    },
    /// A table that does not exist.
    UnknownTable {
        /// The name of the table.
        table: Written,
    },
    /// The name of a table with a value that is not a table.
    NotATable {
        /// The name of the table.
        table: Written,
    },
    /// A key above every table header.
    KeyOutsideTables {
        /// The key.
        key: Written,
    },
    /// A key its table does not have.
    UnknownKey {
        /// The table.
        table: &'static str,
        /// The key.
        key: Written,
    },
    /// A value of a type the key does not take.
    WrongType {
        /// The table.
        table: &'static str,
        /// The key.
        key: &'static str,
        /// The value.
        value: Written,
        /// The type of the value, in TOML's words.
        type_name: &'static str,
    },
    /// A number outside the key's range.
    OutOfRange {
        /// The table.
        table: &'static str,
        /// The key.
        key: &'static str,
        /// The value.
        value: Written,
    },
    /// A string that the key does not take.
    BadValue {
        /// The table.
        table: &'static str,
        /// The key.
        key: &'static str,
        /// The value.
        value: Written,
        /// The particular mistake, if there is more to say than what is allowed.
        reason: Option<String>,
    },
    /// A mistake in `[auth] users`.
    User(UserOffence),
    /// A mistake in `[tls] certificates`.
    Certificates(CertificatesOffence),
    /// Two keys that exclude each other.
    Conflict(Conflict),
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{}: {}", self.file_name, problem.line, problem.offence)?;
        }
        Ok(())
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { column, message } => {
                write!(f, "not valid TOML: {message}, at column {column}")
            }
            Self::DuplicateKey { table: None, key } => {
                write!(f, "{key} is set a second time; keep one of the two lines")
            }
            Self::DuplicateKey { table: Some(table), key } => {
                write!(f, "[{table}] {key} is set a second time; keep one of the two lines")
            }
            Self::DuplicateTable { table } => {
                write!(
                    f,
                    "[{table}] is a second table of this name; move its keys to the first one"
                )
            }
            Self::UnknownTable { table } => {
                write!(f, "[{table}] is not a known table; ")?;
                match nearest(table.text(), TABLES.into_iter()) {
                    Some(known) => write!(f, "did you mean [{known}]?"),
                    None => write!(f, "known tables: {}", listed_tables()),
                }
            }
            Self::NotATable { table } => write!(
                f,
                "{table} must be a table; write [{table}] on a line of its own, and its keys below"
            ),
            Self::KeyOutsideTables { key } => write_key_outside_tables(f, key),
            Self::UnknownKey { table, key } => write_unknown_key(f, table, key),
            Self::WrongType { table, key, value, type_name } => {
                write!(f, "[{table}] {key} = {value} is {}", with_article(type_name))?;
                write!(f, ", must be {}", allowed(table, key))
            }
            Self::OutOfRange { table, key, value } => {
                write!(f, "[{table}] {key} = {value} is out of range, must be ")?;
                write!(f, "{}", allowed(table, key))
            }
            Self::BadValue { table, key, value, reason: Some(reason) } => {
                write!(f, "[{table}] {key} = {value}: {reason}")
            }
            Self::BadValue { table, key, value, reason: None } => {
                write!(f, "[{table}] {key} = {value} must be {}", allowed(table, key))
            }
            Self::User(offence) => offence.fmt(f),
            Self::Certificates(offence) => offence.fmt(f),
            Self::Conflict(conflict) => conflict.fmt(f),
        }
    }
}

/// The known name that was probably meant by a mistyped one.
pub(super) fn nearest(
    name: &str,
    known: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    let name = name.to_lowercase().replace('-', "_");
    let by_distance = known.map(|known| {
        // A name that lacks a word or has one too many is near, however long the word is.
        let contained = name.len() >= 3 && (known.contains(&name) || name.contains(known));
        let distance = strsim::osa_distance(&name, known);
        (if contained { distance.min(2) } else { distance }, known)
    });
    let (distance, known) = by_distance.min_by_key(|(distance, _)| *distance)?;
    // A name with more than a third of other letters is another word, and naming it would mislead.
    (distance <= (known.len() / 3).max(1)).then_some(known)
}

/// Says that a table which stands several times, such as `[[auth.users]]`, does not have a key.
pub(super) fn write_unknown_key_of_each(
    f: &mut fmt::Formatter<'_>,
    table: &str,
    key: &Written,
    known: impl Iterator<Item = &'static str> + Clone,
) -> fmt::Result {
    write!(f, "{table} {key} is not a known key; ")?;
    match nearest(key.text(), known.clone()) {
        Some(name) => write!(f, "did you mean {name}?"),
        None => write!(f, "known keys: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

fn write_key_outside_tables(f: &mut fmt::Formatter<'_>, key: &Written) -> fmt::Result {
    let tables: Vec<String> = KEYS
        .iter()
        .filter(|known| known.name == key.text())
        .map(|known| format!("[{}]", known.table))
        .collect();
    if !tables.is_empty() {
        return write!(f, "{key} is outside its table; move it below {}", tables.join(" or "));
    }
    write!(f, "{key} is not a known key; ")?;
    match nearest(key.text(), KEYS.iter().map(|known| known.name)) {
        Some(name) => {
            let table = KEYS
                .iter()
                .find(|known| known.name == name)
                .expect("the name is one of theirs")
                .table;
            write!(f, "did you mean {name}, below [{table}]?")
        }
        None => write!(f, "keys belong below their table: {}", listed_tables()),
    }
}

fn write_unknown_key(f: &mut fmt::Formatter<'_>, table: &str, key: &Written) -> fmt::Result {
    write!(f, "[{table}] {key} is not a known key; ")?;
    let name = key.text();
    if table == "auth" && USER_KEYS.iter().any(|known| known.name == name) {
        return write!(f, "{key} belongs below [[auth.users]]");
    }
    if TABLES.contains(&name) {
        return write!(f, "[{key}] is a table of its own");
    }
    // The only names in tables that are not keys with a value.
    let tables = TABLES_IN_TABLES.iter().find(|(of, _)| *of == table).map(|(_, tables)| *tables);
    let in_table = || KEYS.iter().filter(|known| known.table == table);
    if let Some(known) = KEYS.iter().find(|known| known.name == name) {
        return write!(f, "{key} belongs below [{}]", known.table);
    }
    if let Some(name) = nearest(name, in_table().map(|known| known.name).chain(tables)) {
        return write!(f, "did you mean {name}?");
    }
    if let Some(name) = nearest(name, KEYS.iter().map(|known| known.name)) {
        let known =
            KEYS.iter().find(|known| known.name == name).expect("the name is one of theirs");
        return write!(f, "did you mean [{}] {name}?", known.table);
    }
    let names: Vec<&str> = in_table().map(|known| known.name).chain(tables).collect();
    write!(f, "known keys: {}", names.join(", "))
}

fn allowed(table: &str, key: &str) -> String {
    Key::find(table, key).expect("a mistake in a value names a known key").allowed()
}

fn listed_tables() -> String {
    TABLES.map(|table| format!("[{table}]")).join(", ")
}

fn with_article(type_name: &str) -> String {
    let vowel = type_name.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {type_name}", if vowel { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_key(name: &str) -> Option<&'static str> {
        nearest(name, KEYS.iter().map(|key| key.name))
    }

    #[test]
    fn a_mistyped_name_finds_the_key_that_was_meant() {
        assert_eq!(nearest_key("subscriber_capcity"), Some("subscriber_capacity"));
        assert_eq!(nearest_key("max-batch"), Some("max_batch"));
        assert_eq!(nearest_key("MaxBatch"), Some("max_batch"));
        assert_eq!(nearest_key("max_message_size"), Some("max_message_size_bytes"));
        assert_eq!(nearest_key("ttl_ms"), Some("default_ttl_ms"));
        assert_eq!(nearest_key("core"), Some("cores"));
    }

    #[test]
    fn another_word_finds_no_key() {
        assert_eq!(nearest_key("tls_certificate"), None);
        assert_eq!(nearest_key("x"), None);
        assert_eq!(nearest_key(""), None);
    }
}
