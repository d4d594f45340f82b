//! `[auth]`: who may connect, and what each may do.
//!
//! Read by `parse`, where `[[auth.users]]` has a file of its own; used by `broker::auth`.
//!
//! # Always true
//! - A secret is never printed: neither with the settings, nor for debugging, nor in an error.

use std::fmt;

use crate::nkey::UserNkey;

/// What is printed in the place of a secret. Nobody's secret: `parse` refuses it, so that a printed
/// configuration never becomes one with a password that everybody knows.
pub const SECRET_PRINTED: &str = "<not printed>";

/// A token or a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Of what the file says.
    pub fn new(secret: impl Into<String>) -> Secret {
        Secret(secret.into())
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SECRET_PRINTED)
    }
}

/// `[auth]`. Without a token and without users everybody may do everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Auth {
    /// Whoever has it may do everything. Not together with users.
    pub token: Option<Secret>,
    /// `[[auth.users]]`
    pub users: Vec<User>,
}

/// One table `[[auth.users]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// How it proves who it is.
    pub login: Login,
    /// What it may do.
    pub permissions: PermissionLists,
}

/// How a user proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// By a password.
    Password {
        /// Its name.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// By signing what the server made up for this connection. NATS clients can.
    Nkey(UserNkey),
}

/// Patterns a user is restricted to. An absent list restricts nothing, an empty one allows nothing;
/// what is denied is denied whatever is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PermissionLists {
    /// Topics it may publish to.
    pub publish: Option<Vec<String>>,
    /// Topics it may not publish to.
    pub publish_deny: Option<Vec<String>>,
    /// Patterns it may subscribe to, and all that are within one of them.
    pub subscribe: Option<Vec<String>>,
    /// Topics it is never sent.
    pub subscribe_deny: Option<Vec<String>>,
}
