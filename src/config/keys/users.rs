//! The description of every key of `[[auth.users]]`.

use crate::config::auth::PermissionLists;

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
    /// A name of a certificate, as a string.
    Certificate,
    /// A list of patterns.
    Patterns {
        /// Reads the list.
        get: fn(&PermissionLists) -> &Option<Vec<String>>,
        /// Sets the list.
        set: fn(&mut PermissionLists, Vec<String>),
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
            UserForm::Certificate => "a name of the user's certificate in quotes",
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

/// Every key of `[[auth.users]]`, in the order in which they are printed.
pub static USER_KEYS: [UserKey; 10] = [
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
    UserKey {
        name: "certificate",
        doc: "Or a name in the certificate that clients of this user show: an email address, a DNS name or a\n\
              URI, else the whole subject, in any order; or \"sha256:...\" of its public key. With a\n\
              password, clients need both.",
        example: "\"alice@example.com\"",
        form: UserForm::Certificate,
    },
    patterns!(
        publish,
        "[\"orders.eu.>\", \"_INBOX.>\"]",
        "Topics the user may publish to; without this list all, with an empty one none."
    ),
    patterns!(
        publish_deny,
        "[\"orders.eu.secret\"]",
        "Topics the user may not publish to, although the list above allows them."
    ),
    patterns!(
        subscribe,
        "[\"orders.>\", \"_INBOX.>\"]",
        "Patterns the user may subscribe to, and narrower ones; without this list all, with an empty\n\
         one none."
    ),
    patterns!(
        subscribe_deny,
        "[\"orders.*.secret\"]",
        "Topics whose messages the user is never sent, although a subscription matches them."
    ),
    patterns!(
        block,
        "[\"orders.eu.>\"]",
        "Patterns the user may subscribe to with \"block\", by which a subscriber that reads slowly holds\n\
         up all who publish there, and narrower ones; without this list none."
    ),
];
