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

/// A token or a password. Two are equal if their texts are, wherever these come from.
#[derive(Clone)]
pub struct Secret {
    text: String,
    origin: Origin,
}

/// Where the text of a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The configuration.
    Configuration,
    /// A file, by its path as the configuration has it.
    File(String),
    /// A variable of the environment, by its name.
    Environment(String),
}

/// Reads secrets that are not in the configuration itself. An error says what is wrong and what to do, and
/// has nothing of a secret.
pub trait SecretSource {
    /// The secret in a file, without its last newline.
    fn of_file(&self, path: &str) -> Result<String, String>;

    /// The secret in a variable of the environment.
    fn of_environment(&self, name: &str) -> Result<String, String>;
}

/// A source for programs that only look at the text of a configuration.
#[derive(Debug, Clone, Copy)]
pub struct NoSecretSource;

impl SecretSource for NoSecretSource {
    fn of_file(&self, _: &str) -> Result<String, String> {
        Err("secrets in files are not read here".to_owned())
    }

    fn of_environment(&self, _: &str) -> Result<String, String> {
        Err("secrets in the environment are not read here".to_owned())
    }
}

impl Secret {
    /// Wraps a secret of the configuration.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret::from(Origin::Configuration, text)
    }

    /// Wraps a secret that comes from somewhere.
    pub fn from(origin: Origin, text: impl Into<String>) -> Secret {
        Secret { text: text.into(), origin }
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Where it comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The file that it comes from, if it comes from one.
    pub fn file(&self) -> Option<&str> {
        match &self.origin {
            Origin::File(path) => Some(path),
            Origin::Configuration | Origin::Environment(_) => None,
        }
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.text == other.text
    }
}

impl Eq for Secret {}

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
    /// Patterns the user may subscribe to, and all narrower ones. A group behind a pattern, after a space,
    /// is one whose member the user may be there.
    pub subscribe: Option<Vec<String>>,
    /// Topics whose messages the user is never sent, or not as a member of the group behind them.
    pub subscribe_deny: Option<Vec<String>>,
    /// Patterns the user may subscribe to with the overflow policy `block`; if absent, none.
    pub block: Option<Vec<String>>,
    /// How the user may answer requests on topics that it may not publish to.
    pub allow_responses: Option<Responses>,
}

/// The right to answer what came with a topic for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Responses {
    /// Answers to one request.
    pub max: u32,
    /// How long after the request.
    pub expires_ms: u32,
}

impl Default for Responses {
    /// As nats-server has it.
    fn default() -> Responses {
        Responses { max: 1, expires_ms: 120_000 }
    }
}

/// Splits an entry of `subscribe` or `subscribe_deny` into its pattern and its group.
pub fn pattern_and_group(entry: &str) -> (&str, Option<&str>) {
    match entry.split_once(' ') {
        Some((pattern, group)) => (pattern, Some(group)),
        None => (entry, None),
    }
}
