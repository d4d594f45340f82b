//! The description of every key of `[[auth.users]]`.

use crate::config::auth::PermissionLists;

/// One key of `[[auth.users]]`, the table that may stand more than once.
#[derive(Debug)]
pub struct UserKey {
    /// Its name.
    pub name: &'static str,
    /// What it means, as full sentences, one line each.
    pub doc: &'static str,
    /// An example, as it may stand in a file.
    pub example: &'static str,
    /// What may be written.
    pub form: UserForm,
}

/// What a key of `[[auth.users]]` may be.
#[derive(Debug)]
pub enum UserForm {
    /// A name, as a string.
    Name,
    /// A password, as a string.
    Password,
    /// A public nkey, as a string.
    Nkey,
    /// A list of patterns.
    Patterns {
        /// Reads it.
        get: fn(&PermissionLists) -> &Option<Vec<String>>,
        /// Changes it.
        set: fn(&mut PermissionLists, Vec<String>),
    },
}

impl UserKey {
    /// What may be written, in words, to follow "must be".
    pub fn allowed(&self) -> &'static str {
        match self.form {
            UserForm::Name => "a name in quotes, like \"eu\"",
            UserForm::Password => "a password in quotes",
            UserForm::Nkey => "a user's public nkey in quotes, which begins with U",
            UserForm::Patterns { .. } => "a list of patterns in quotes, like [\"orders.>\"]",
        }
    }
}

/// A list of patterns: its field name is its name.
macro_rules! patterns {
    ($name:ident, $example:expr, $doc:expr) => {
        UserKey {
            name: stringify!($name),
            doc: $doc,
            example: $example,
            form: UserForm::Patterns {
                get: |lists| &lists.$name,
                set: |lists, patterns| lists.$name = Some(patterns),
            },
        }
    };
}

/// Every key of `[[auth.users]]`, in the order they are printed.
pub static USER_KEYS: [UserKey; 7] = [
    UserKey {
        name: "user",
        doc: "Its name, for clients that bring a password.",
        example: "\"eu\"",
        form: UserForm::Name,
    },
    UserKey {
        name: "password",
        doc: "Its password.",
        example: "\"...\"",
        form: UserForm::Password,
    },
    UserKey {
        name: "nkey",
        doc: "Or, instead of both, its public nkey: NATS clients prove that they have the seed.",
        example: "\"U...\"",
        form: UserForm::Nkey,
    },
    patterns!(
        publish,
        "[\"orders.eu.>\", \"_INBOX.>\"]",
        "Topics it may publish to; without this list all, with an empty one none."
    ),
    patterns!(
        publish_deny,
        "[\"orders.eu.secret\"]",
        "Topics it may not publish to, though they are in the list above."
    ),
    patterns!(
        subscribe,
        "[\"orders.>\", \"_INBOX.>\"]",
        "Patterns it may subscribe to, and narrower ones; without this list all, with an empty one\n\
         none."
    ),
    patterns!(
        subscribe_deny,
        "[\"orders.*.secret\"]",
        "Topics it is never sent, though a pattern it subscribed to matches them."
    ),
];
