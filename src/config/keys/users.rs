//! The description of every key of `[[auth.users]]`.

use std::ops::RangeInclusive;

use crate::config::auth::{PermissionLists, UserLimits};
use crate::limits;

/// A key of `[[auth.users]]`, the only table that a file may have more than once.
#[derive(Debug)]
pub struct UserKey {
    /// The name of the key.
    pub name: &'static str,
    /// The meaning, in full sentences, wrapped for a comment.
    pub doc: &'static str,
    /// A value as a file may have it.
    pub example: &'static str,
    /// The allowed values.
    pub form: UserForm,
}

/// The allowed values of a key of `[[auth.users]]`.
#[derive(Debug)]
pub enum UserForm {
    /// A name, as a string.
    Name,
    /// A password, as a string.
    Password,
    /// The path of a file that has the password, as a string.
    PasswordFile,
    /// A public nkey, as a string.
    Nkey,
    /// `true`, `false`, or a table with bounds.
    Responses,
    /// A list of patterns.
    Patterns {
        /// Whether a group may follow a pattern.
        takes_group: bool,
        /// Reads the list.
        get: fn(&PermissionLists) -> &Option<Vec<String>>,
        /// Sets the list.
        set: fn(&mut PermissionLists, Vec<String>),
    },
    /// A number, of which 0 means no limit.
    Number {
        /// The allowed numbers.
        range: RangeInclusive<u64>,
        /// The allowed numbers in words, to follow "must be".
        allowed: &'static str,
        /// Reads the number.
        get: fn(&UserLimits) -> u64,
        /// Sets the number.
        set: fn(&mut UserLimits, u64),
    },
}

impl UserKey {
    /// The allowed values in words, to follow "must be".
    pub fn allowed(&self) -> &'static str {
        match self.form {
            UserForm::Name => "a name in quotes, like \"eu\"",
            UserForm::Password => "a password or its hash in quotes, or { env = \"NAME\" }",
            UserForm::PasswordFile => "the path of a file in quotes",
            UserForm::Nkey => "a user's public nkey in quotes, which begins with U",
            UserForm::Responses => "true, false, or { max = 1, expires_ms = 120000 }",
            UserForm::Number { allowed, .. } => allowed,
            UserForm::Patterns { .. } => "a list of patterns in quotes, like [\"orders.>\"]",
        }
    }
}

/// A list of patterns: its field name is its name.
macro_rules! patterns {
    ($name:ident, takes_group: $takes_group:expr, $example:expr, $doc:expr) => {
        UserKey {
            name: stringify!($name),
            doc: $doc,
            example: $example,
            form: UserForm::Patterns {
                takes_group: $takes_group,
                get: |lists| &lists.$name,
                set: |lists, patterns| lists.$name = Some(patterns),
            },
        }
    };
}

/// A number: its field name is its name.
macro_rules! number {
    ($name:ident: $int:ty, $range:expr, $allowed:expr, $example:expr, $doc:expr) => {
        UserKey {
            name: stringify!($name),
            doc: $doc,
            example: $example,
            form: UserForm::Number {
                range: $range,
                allowed: $allowed,
                get: |limits| u64::from(limits.$name),
                set: |limits, number| {
                    limits.$name = <$int>::try_from(number).expect("a key's range fits its field");
                },
            },
        }
    };
}

/// Every key of `[[auth.users]]`, in the order in which they are printed.
pub static USER_KEYS: [UserKey; 13] = [
    UserKey {
        name: "user",
        doc: "The name of the user, for clients that log in with a password.",
        example: "\"eu\"",
        form: UserForm::Name,
    },
    UserKey {
        name: "password",
        doc: "The password of the user, or better its hash, which `blipmq hash-password` makes.",
        example: "\"...\"",
        form: UserForm::Password,
    },
    UserKey {
        name: "password_file",
        doc: "Or a file that has the password or its hash, as token_file above.",
        example: "\"...\"",
        form: UserForm::PasswordFile,
    },
    UserKey {
        name: "nkey",
        doc: "Or, instead of both, a public nkey: NATS clients prove that they have the seed.",
        example: "\"U...\"",
        form: UserForm::Nkey,
    },
    patterns!(
        publish,
        takes_group: false,
        "[\"orders.eu.>\", \"_INBOX.>\"]",
        "Topics the user may publish to; without this list all, with an empty one none."
    ),
    patterns!(
        publish_deny,
        takes_group: false,
        "[\"orders.eu.secret\"]",
        "Topics the user may not publish to, although the list above allows them."
    ),
    patterns!(
        subscribe,
        takes_group: true,
        "[\"orders.>\", \"_INBOX.>\"]",
        "Patterns the user may subscribe to, and narrower ones; without this list all, with an empty\n\
         one none. A group may follow a pattern, as in \"orders.> workers\": there the user may only be\n\
         a member of that group."
    ),
    patterns!(
        subscribe_deny,
        takes_group: true,
        "[\"orders.*.secret\"]",
        "Topics whose messages the user is never sent, although a subscription matches them."
    ),
    patterns!(
        block,
        takes_group: false,
        "[\"orders.eu.>\"]",
        "Patterns the user may subscribe to with \"block\", by which a subscriber that reads slowly holds\n\
         up all who publish there, and narrower ones; without this list none."
    ),
    UserKey {
        name: "allow_responses",
        doc: "Whether the user may answer requests on topics that the lists do not allow: once within two\n\
              minutes, or as the keys max and expires_ms of a table here say. Then a user without the\n\
              list publish may publish nothing else. For NATS clients.",
        example: "false",
        form: UserForm::Responses,
    },
    number!(
        max_connections: u32,
        limits::CONNECTIONS_OF_SOME_RANGE,
        "a number from 0 to 1000000",
        "20",
        "Connections the user may have at once, over all cores; 0 means no limit. Further ones get an\n\
         error and are closed."
    ),
    number!(
        max_publish_messages_per_second: u32,
        limits::PUBLISH_MESSAGES_RANGE,
        "a number from 0 to 4294967295",
        "10000",
        "Messages all connections of the user together may publish a second, of which they may save up a\n\
         second; one that has published more is not read for a while. 0 means no limit."
    ),
    number!(
        max_publish_bytes_per_second: u64,
        limits::PUBLISH_BYTES_RANGE,
        "a number from 0 to 1125899906842624",
        "10000000",
        "Bytes they may publish a second, likewise. 0 means no limit."
    ),
];
