//! What can be wrong with a configuration, and the words for it.
//!
//! Made by `parse`; the command line prints a [`ConfigError`] as it is and refuses to start.
//! Each text says what happened, the numbers, and what to do.

use std::fmt;
use std::net::SocketAddr;

use super::Settings;
use super::keys::{KEYS, Key, TABLES, USER_KEYS};
use crate::limits::{MESSAGES_HEADER_LEN, RECORD_HEADER_LEN};
use crate::protocol::name::NameError;

/// Everything that is wrong with one configuration file. Prints one line per problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as the caller named it.
    pub file_name: String,
    /// By line, at least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line of the file, from 1.
    pub line: usize,
    /// What is wrong there.
    pub offence: Offence,
}

/// What is wrong. Keys and values in here are as the file has them, cut short if they are long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offence {
    /// The text is not TOML.
    Syntax {
        /// What the TOML parser says.
        message: String,
        /// The line itself.
        line_text: String,
    },
    /// A key is set a second time.
    DuplicateKey {
        /// The table it stands in, empty at the top of the file.
        table: String,
        /// The key.
        key: String,
    },
    /// A table header stands a second time.
    DuplicateTable {
        /// The table.
        table: String,
    },
    /// A table nobody knows.
    UnknownTable {
        /// Its name.
        table: String,
    },
    /// A known table's name with something else than a table behind it.
    NotATable {
        /// Its name.
        table: String,
    },
    /// A key that stands above every table header.
    KeyOutsideTables {
        /// The key.
        key: String,
    },
    /// A key its table does not have.
    UnknownKey {
        /// The table.
        table: &'static str,
        /// The key.
        key: String,
    },
    /// A value of a type the key does not take.
    WrongType {
        /// The table.
        table: &'static str,
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// Its type, in TOML's words.
        type_name: &'static str,
    },
    /// A number outside the key's range.
    OutOfRange {
        /// The table.
        table: &'static str,
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
    },
    /// A string that is not what the key takes.
    BadValue {
        /// The table.
        table: &'static str,
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is wrong in particular, if more can be said than what is allowed.
        reason: Option<String>,
    },
    /// A user that is not as users are.
    User(UserOffence),
    /// Two keys that do not go together.
    Conflict(Conflict),
}

/// What is wrong with `[auth] users`. No value is in here but names and patterns: others may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserOffence {
    /// `users` is something else than tables.
    NotTables,
    /// A key that users do not have.
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A value of a type the key does not take.
    WrongType {
        /// The key.
        key: &'static str,
        /// The type of the value, in TOML's words.
        type_name: &'static str,
        /// What it must be.
        allowed: &'static str,
    },
    /// A value that the key does not take.
    BadValue {
        /// The key.
        key: &'static str,
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// A pattern that is not legal.
    BadPattern {
        /// The key.
        key: &'static str,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// One key without the other that it needs.
    Incomplete {
        /// What there is.
        has: &'static str,
        /// What is missing, and what to do.
        remedy: &'static str,
    },
    /// Two users that cannot be told apart.
    Twice {
        /// Its name or nkey.
        name: String,
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
                write!(f, "[[auth.users]] {key} is not a known key; ")?;
                let names = || USER_KEYS.iter().map(|known| known.name);
                match nearest(key, names()) {
                    Some(name) => write!(f, "did you mean {name}?"),
                    None => write!(f, "known keys: {}", names().collect::<Vec<_>>().join(", ")),
                }
            }
            Self::WrongType { key, type_name, allowed } => {
                let type_name = with_article(type_name);
                write!(f, "[[auth.users]] {key} is {type_name}, must be {allowed}")
            }
            Self::BadValue { key, reason } => write!(f, "[[auth.users]] {key}: {reason}"),
            Self::BadPattern { key, pattern, error } => {
                write!(f, "[[auth.users]] {key}: bad pattern \"{pattern}\": {error}")
            }
            Self::Incomplete { has, remedy } => write!(f, "[[auth.users]] has {has}; {remedy}"),
            Self::Twice { name, first_line } => write!(
                f,
                "[[auth.users]] \"{name}\" is in line {first_line} already; a user is one table, \
                 take one of both out"
            ),
        }
    }
}

/// Two keys, each in range, that are not possible together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Table and name of both keys.
    pub keys: [(&'static str, &'static str); 2],
    /// What happened, the numbers, what to do.
    pub text: String,
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

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { message, line_text } => {
                write!(f, "not valid TOML: {message}, in the line: {line_text}")
            }
            Self::DuplicateKey { table, key } if table.is_empty() => {
                write!(f, "{key} is set a second time; keep one of both lines")
            }
            Self::DuplicateKey { table, key } => {
                write!(f, "[{table}] {key} is set a second time; keep one of both lines")
            }
            Self::DuplicateTable { table } => {
                write!(f, "[{table}] stands here a second time; move its keys to the first one")
            }
            Self::UnknownTable { table } => {
                write!(f, "[{table}] is not a known table; ")?;
                match nearest(table, TABLES.into_iter()) {
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
            Self::Conflict(conflict) => conflict.fmt(f),
        }
    }
}

/// Keys that are each in range but not possible together.
pub(super) fn conflicts(settings: &Settings) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    let listeners = [
        ("server", settings.server.bind_addr, true),
        ("nats", settings.nats.bind_addr, settings.nats.enabled),
        ("metrics", settings.metrics.bind_addr, settings.metrics.enabled),
    ];
    for (index, &(later, later_addr, later_enabled)) in listeners.iter().enumerate() {
        for &(earlier, earlier_addr, earlier_enabled) in &listeners[..index] {
            if later_enabled && earlier_enabled && collide(earlier_addr, later_addr) {
                conflicts.push(Conflict {
                    keys: [(earlier, "bind_addr"), (later, "bind_addr")],
                    text: format!(
                        "[{later}] bind_addr = \"{later_addr}\" is taken by [{earlier}] bind_addr \
                         = \"{earlier_addr}\"; give one of them another port, or set [{later}] \
                         enabled = false"
                    ),
                });
            }
        }
    }
    if settings.auth.token.is_some() && !settings.auth.users.is_empty() {
        conflicts.push(Conflict {
            keys: [("auth", "token"), ("auth", "users")],
            text:
                "[auth] token and [[auth.users]] do not go together, since whoever has the token \
                   could do what users may not; give the token's clients a user with a password, \
                   or take the users out"
                    .to_owned(),
        });
    }
    let metrics = &settings.metrics;
    if metrics.enabled && !metrics.bind_addr.ip().is_loopback() && metrics.token.is_none() {
        conflicts.push(Conflict {
            keys: [("metrics", "bind_addr"), ("metrics", "token")],
            text: format!(
                "[metrics] bind_addr = \"{}\" can be reached from other machines, and whoever does \
                 could read topics and addresses of clients; set [metrics] token, or bind it to \
                 127.0.0.1",
                metrics.bind_addr
            ),
        });
    }
    // Such a message would be accepted and then fit into no queue, whatever the subscriber does.
    let message_len_max = settings.server.max_message_size_bytes;
    let queued_len = u64::from(message_len_max) + (MESSAGES_HEADER_LEN + RECORD_HEADER_LEN) as u64;
    let subscriber_bytes = settings.queues.subscriber_bytes;
    if subscriber_bytes < queued_len {
        conflicts.push(Conflict {
            keys: [("server", "max_message_size_bytes"), ("queues", "subscriber_bytes")],
            text: format!(
                "[queues] subscriber_bytes = {subscriber_bytes} is less than one message of \
                 [server] max_message_size_bytes = {message_len_max} takes ({queued_len} with its \
                 header), so the longest messages would reach nobody; raise the first or lower \
                 the second"
            ),
        });
    }
    conflicts
}

/// The known name that a mistyped one was probably meant to be.
pub(super) fn nearest(
    name: &str,
    known: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    let name = name.to_lowercase().replace('-', "_");
    let by_distance = known.map(|known| {
        // A name shortened or lengthened by a word is near, however many letters that is.
        let contained = name.len() >= 3 && (known.contains(&name) || name.contains(known));
        let distance = strsim::osa_distance(&name, known);
        (if contained { distance.min(2) } else { distance }, known)
    });
    let (distance, known) = by_distance.min_by_key(|(distance, _)| *distance)?;
    // Beyond a third of the letters it is another word, and naming it would mislead.
    (distance <= (known.len() / 3).max(1)).then_some(known)
}

/// Whether both cannot be listened on at once.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let overlap =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && overlap
}

fn write_key_outside_tables(f: &mut fmt::Formatter<'_>, key: &str) -> fmt::Result {
    let homes: Vec<String> = KEYS
        .iter()
        .filter(|known| known.name == key)
        .map(|known| format!("[{}]", known.table))
        .collect();
    if !homes.is_empty() {
        return write!(f, "{key} stands outside its table; move it below {}", homes.join(" or "));
    }
    write!(f, "{key} is not a known key; ")?;
    match nearest(key, KEYS.iter().map(|known| known.name)) {
        Some(name) => {
            let table = KEYS.iter().find(|known| known.name == name).expect("it is known").table;
            write!(f, "did you mean {name}, below [{table}]?")
        }
        None => write!(f, "keys stand below their table: {}", listed_tables()),
    }
}

fn write_unknown_key(f: &mut fmt::Formatter<'_>, table: &str, key: &str) -> fmt::Result {
    write!(f, "[{table}] {key} is not a known key; ")?;
    if table == "auth" && USER_KEYS.iter().any(|known| known.name == key) {
        return write!(f, "{key} belongs below [[auth.users]]");
    }
    // The one thing of a table that is not a key with a value.
    let users = (table == "auth").then_some("users");
    let in_table = || KEYS.iter().filter(|known| known.table == table);
    if let Some(known) = KEYS.iter().find(|known| known.name == key) {
        return write!(f, "{key} belongs below [{}]", known.table);
    }
    if let Some(name) = nearest(key, in_table().map(|known| known.name).chain(users)) {
        return write!(f, "did you mean {name}?");
    }
    if let Some(name) = nearest(key, KEYS.iter().map(|known| known.name)) {
        let known = KEYS.iter().find(|known| known.name == name).expect("it is known");
        return write!(f, "did you mean [{}] {name}?", known.table);
    }
    let names: Vec<&str> = in_table().map(|known| known.name).chain(users).collect();
    write!(f, "known keys: {}", names.join(", "))
}

fn allowed(table: &str, key: &str) -> String {
    Key::find(table, key).expect("an offence about a value names a known key").allowed()
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
    fn a_slip_of_the_fingers_finds_the_key_that_was_meant() {
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

    #[test]
    fn addresses_collide_when_one_covers_the_other() {
        let collides =
            |one: &str, other: &str| collide(one.parse().unwrap(), other.parse().unwrap());
        assert!(collides("127.0.0.1:1", "127.0.0.1:1"));
        assert!(collides("0.0.0.0:1", "127.0.0.1:1"));
        assert!(collides("127.0.0.1:1", "[::]:1"));
        assert!(!collides("127.0.0.1:1", "127.0.0.2:1"));
        assert!(!collides("127.0.0.1:1", "127.0.0.1:2"));
        assert!(!collides("0.0.0.0:0", "0.0.0.0:0"));
    }
}
