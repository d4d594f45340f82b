//! `[auth]`: users, their credentials and their permissions.
//!
//! Read by `parse`, where `[[auth.users]]` has a file of its own; used by `broker::auth`.
//!
//! # Always true
//! - A secret is never printed: neither with the settings, nor for debugging, nor in an error.

use std::fmt;

use crate::nkey::UserNkey;

/// The placeholder that is printed instead of a secret. `parse` refuses it, so that a printed
/// configuration never becomes one with a password that everybody knows.
pub const SECRET_PRINTED: &str = "<not printed>";

/// A token or a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
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

/// `[auth]`. Without a token and without users every client may do everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Auth {
    /// The token that every client must bring, for all permissions. Excludes users.
    pub token: Option<Secret>,
    /// `[[auth.users]]`
    pub users: Vec<User>,
}

/// One table `[[auth.users]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The credentials of the user.
    pub login: Login,
    /// The topics and patterns that the user may use.
    pub permissions: PermissionLists,
    /// What its connections may take together.
    pub limits: UserLimits,
}

/// What the connections of a user may take together, on whatever cores; 0 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct UserLimits {
    /// Connections at once.
    pub max_connections: u32,
    /// Messages they may publish a second.
    pub max_publish_messages_per_second: u32,
    /// Bytes they may publish a second.
    pub max_publish_bytes_per_second: u64,
}

/// The credentials of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// A name and a password.
    Password {
        /// The name of the user.
        user: String,
        /// The password of the user.
        password: Secret,
    },
    /// A key pair: the client signs the server's nonce. Only NATS clients can do so.
    Nkey(UserNkey),
}

impl Login {
    /// The name of the user, or its public nkey.
    pub fn name(&self) -> &str {
        match self {
            Login::Password { user, .. } => user,
            Login::Nkey(nkey) => nkey.as_str(),
        }
    }
}

/// The patterns a user is restricted to. An absent list restricts nothing, except that of `block`; an
/// empty list allows nothing; a denied topic is denied even if a list allows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PermissionLists {
    /// Topics the user may publish to.
    pub publish: Option<Vec<String>>,
    /// Topics the user may not publish to.
    pub publish_deny: Option<Vec<String>>,
    /// Patterns the user may subscribe to, and all narrower ones.
    pub subscribe: Option<Vec<String>>,
    /// Topics whose messages the user is never sent.
    pub subscribe_deny: Option<Vec<String>>,
    /// Patterns the user may subscribe to with the overflow policy `block`; if absent, none.
    pub block: Option<Vec<String>>,
}
