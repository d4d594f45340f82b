//! `[auth]`: users, their credentials and their permissions.
//!
//! Read by `parse`, where `[[auth.users]]` has a file of its own; used by `broker::auth`.
//!
//! # Always true
//! - A secret is never printed: neither with the settings, nor for debugging, nor in an error.

use std::fmt;

use crate::distinguished_name::DistinguishedName;
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
    /// A certificate that the broker has checked, and perhaps a password besides.
    Certificate {
        /// The name or the key that the certificate has.
        certificate: CertificateName,
        /// The name of the user, which a client may give too.
        user: Option<String>,
        /// The password that the client has to give too.
        password: Option<Secret>,
    },
}

/// What tells one certificate of a client from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateName {
    text: String,
    /// The text as the subject of a certificate, if it is one.
    subject: Option<DistinguishedName>,
    /// The digest of a public key, if the text is one.
    key: Option<[u8; 32]>,
}

/// What a digest of a public key begins with.
const KEY_PREFIX: &str = "sha256:";

impl CertificateName {
    /// Parses the name of a certificate. The error says what is wrong and what to do.
    pub fn parse(text: &str) -> Result<CertificateName, &'static str> {
        if text.is_empty() {
            return Err("the name is empty; write a name that the certificate has");
        }
        let key = match text.strip_prefix(KEY_PREFIX) {
            None => None,
            Some(digits) => Some(parse_digest(digits).ok_or(
                "the digest of a public key has 64 hexadecimal digits; `openssl x509 -in FILE -noout \
                 -pubkey | openssl pkey -pubin -outform DER | sha256sum` prints it",
            )?),
        };
        let subject = DistinguishedName::parse(text);
        Ok(CertificateName { text: text.to_owned(), subject, key })
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The subject of the certificate, if the text is one.
    pub fn subject(&self) -> Option<&DistinguishedName> {
        self.subject.as_ref()
    }

    /// The digest of the public key, if the text is one.
    pub fn key(&self) -> Option<&[u8; 32]> {
        self.key.as_ref()
    }
}

/// Parses 32 bytes in hexadecimal digits, with or without colons between them.
fn parse_digest(text: &str) -> Option<[u8; 32]> {
    let digits = text.replace(':', "").to_ascii_lowercase();
    let bytes = data_encoding::HEXLOWER.decode(digits.as_bytes()).ok()?;
    bytes.try_into().ok()
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
