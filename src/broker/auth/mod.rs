//! Authentication: from a client's credentials to its permissions.
//!
//! Called by the frontends on HELLO or CONNECT. Next on the path: `permissions`.
//!
//! A password or a token that is configured as a hash is not compared here, because that takes long:
//! [`Checked::Compare`] says what is to be compared elsewhere, see `logins`.
//!
//! # Always true
//! - The time to compare a secret reveals neither where it differs nor whether the user exists: a name
//!   that no user has is compared with a decoy, which takes the same work.
//! - Without `[auth]` in the configuration every client may do everything, except that `block` is
//!   allowed only where no other machine can connect.

mod expected;
mod failure;

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::permissions::Permissions;
use super::security::CertifiedNames;
use crate::config::hash::Hash;
use crate::config::{self, Login, Secret, Settings, User};
use crate::nkey::UserNkey;
use crate::protocol::CoreId;
use expected::{Decoys, Expected};
pub use failure::{Failed, LoginFailure};

mod certificates;

use certificates::{Certificates, Decision};

/// What a client authenticates with.
#[derive(Debug, Clone, Copy)]
pub enum Credentials<'a> {
    /// No credentials.
    None,
    /// The token that all clients share.
    Token(&'a str),
    /// A user's name and password.
    Password {
        /// Name of the user.
        user: &'a str,
        /// Password in plain text.
        password: &'a str,
    },
    /// A user's signature.
    Nkey {
        /// The public nkey, `U...`.
        public: &'a str,
        /// Signature of the nonce, in either base64 alphabet, with or without padding.
        signature: &'a str,
        /// The nonce that this connection was given.
        nonce: &'a [u8],
    },
}

/// Who a client says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Anybody who has the token.
    Token,
    /// A user, who may not exist.
    User(Arc<str>),
}

/// A password or a token that has to be compared with a hash.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Whose it would be.
    pub identity: Identity,
    /// The hash.
    pub hash: Arc<Hash>,
    /// What the client may do if the secret is right; `None` for a user who does not exist, for whom none
    /// is.
    pub permissions: Option<Arc<Permissions>>,
}

/// What credentials are good for.
#[derive(Debug, Clone)]
pub enum Checked {
    /// The client may do this.
    Granted(Arc<Permissions>),
    /// Nothing.
    Refused(LoginFailure),
    /// That is to be seen.
    Compare(Comparison),
}

/// The configured users and token, ready to check credentials.
#[derive(Debug)]
pub struct Auth {
    configured: config::Auth,
    /// The permissions of each configured user, in the order of the configuration.
    granted: Vec<Arc<Permissions>>,
    token: Option<Expected>,
    by_name: HashMap<Arc<str>, (Expected, Arc<Permissions>)>,
    by_nkey: HashMap<String, (UserNkey, Arc<Permissions>)>,
    by_certificate: Certificates,
    unlimited: Arc<Permissions>,
    decoys: Decoys,
}

impl Auth {
    /// Prepares the configured users and token.
    pub fn new(settings: &Settings) -> Auth {
        let users = settings.auth.users.iter();
        let granted = users.map(|user| Arc::new(Permissions::new(&user.permissions))).collect();
        Auth::build(&settings.auth, granted, Arc::new(unlimited(settings)))
    }

    /// Prepares other settings; also returns the permissions that they revoke. A user that is
    /// unchanged keeps the same `Arc`, so its connections stay. Revoked are users that were removed
    /// or changed in any way, and all clients that connected with a token, or without credentials,
    /// if the token or the need for credentials has changed.
    pub fn reloaded(&self, settings: &Settings) -> (Auth, Vec<Arc<Permissions>>) {
        let auth = &settings.auth;
        let before = || self.configured.users.iter().zip(&self.granted);
        let granted = |user: &User| match before().find(|(old, _)| *old == user) {
            Some((_, permissions)) => permissions.clone(),
            None => Arc::new(Permissions::new(&user.permissions)),
        };
        let granted: Vec<_> = auth.users.iter().map(granted).collect();
        let gone = before().filter(|(old, _)| !auth.users.contains(old));
        let mut revoked: Vec<_> = gone.map(|(_, permissions)| permissions.clone()).collect();
        let stays_open = |auth: &config::Auth| auth.token.is_none() && auth.users.is_empty();
        let same_way_in =
            self.configured.token == auth.token && stays_open(&self.configured) == stays_open(auth);
        let unlimited = match same_way_in {
            true => self.unlimited.clone(),
            false => {
                revoked.push(self.unlimited.clone());
                Arc::new(unlimited(settings))
            }
        };
        (Auth::build(auth, granted, unlimited), revoked)
    }

    fn build(
        auth: &config::Auth,
        granted: Vec<Arc<Permissions>>,
        unlimited: Arc<Permissions>,
    ) -> Auth {
        let (mut by_name, mut by_nkey) = (HashMap::new(), HashMap::new());
        for (user, permissions) in auth.users.iter().zip(&granted) {
            let permissions = permissions.clone();
            match &user.login {
                Login::Password { user, password } => {
                    by_name.insert(user.as_str().into(), (Expected::of(password), permissions));
                }
                Login::Nkey(nkey) => {
                    by_nkey.insert(nkey.as_str().to_owned(), (nkey.clone(), permissions));
                }
                Login::Certificate { .. } => {}
            }
        }
        let by_certificate = Certificates::new(auth.users.iter().zip(&granted));
        let passwords = auth.users.iter().filter_map(|user| match &user.login {
            Login::Password { password, .. } => Some(password),
            Login::Certificate { password, .. } => password.as_ref(),
            Login::Nkey(_) => None,
        });
        Auth {
            configured: auth.clone(),
            granted,
            decoys: Decoys::new(passwords),
            token: auth.token.as_ref().map(Expected::of),
            by_name,
            by_nkey,
            by_certificate,
            unlimited,
        }
    }

    /// Whether clients have to authenticate.
    pub fn is_required(&self) -> bool {
        self.token.is_some()
            || !self.by_name.is_empty()
            || !self.by_nkey.is_empty()
            || !self.by_certificate.is_empty()
    }

    /// Whether some user authenticates by signing a nonce.
    pub fn wants_nonce(&self) -> bool {
        !self.by_nkey.is_empty()
    }

    /// What a client with these credentials may do, and perhaps with a certificate that was checked in its
    /// handshake.
    pub fn check(
        &self,
        credentials: &Credentials<'_>,
        certified: Option<&CertifiedNames>,
    ) -> Checked {
        if !self.is_required() {
            return Checked::Granted(self.unlimited.clone());
        }
        let certified = match self.by_certificate.decide(credentials, certified) {
            Decision::Granted(permissions) => return Checked::Granted(permissions.clone()),
            Decision::Refused => return Checked::Refused(LoginFailure::WrongCertificate),
            Decision::Password(found) => Some(found),
            Decision::Credentials => None,
        };
        match *credentials {
            Credentials::None => Checked::Refused(LoginFailure::Missing),
            Credentials::Token(given) => match &self.token {
                None => Checked::Refused(LoginFailure::WrongKind),
                Some(expected) => {
                    let permissions = Some(self.unlimited.clone());
                    compare(given, expected, permissions, LoginFailure::WrongToken, || {
                        Identity::Token
                    })
                }
            },
            Credentials::Password { user, password } => {
                let found = certified.or_else(|| self.by_name.get(user));
                let (expected, permissions, failure) = match found {
                    Some((expected, permissions)) => {
                        (expected, Some(permissions.clone()), LoginFailure::WrongPassword)
                    }
                    None => (self.decoys.of(user), None, LoginFailure::UnknownUser),
                };
                compare(password, expected, permissions, failure, || Identity::User(user.into()))
            }
            Credentials::Nkey { public, signature, nonce } => match self.by_nkey.get(public) {
                Some((nkey, permissions)) if nkey.has_signed(nonce, signature) => {
                    Checked::Granted(permissions.clone())
                }
                _ => Checked::Refused(LoginFailure::WrongSignature),
            },
        }
    }

    /// What a client may do whose secret was right when it was compared with `hash`; `None` if a reload
    /// has given that identity another secret since, or removed it.
    pub fn granted_for(&self, identity: &Identity, hash: &Hash) -> Option<Arc<Permissions>> {
        let (expected, permissions) = match identity {
            Identity::Token => (self.token.as_ref()?, &self.unlimited),
            Identity::User(user) => {
                let (expected, permissions) = self.of_user(user)?;
                (expected, permissions)
            }
        };
        let is_same = matches!(expected, Expected::Hashed(expected) if **expected == *hash);
        is_same.then(|| permissions.clone())
    }

    /// Whether an identity has the same secret as before a reload.
    pub fn has_same_secret(&self, identity: &Identity, before: &Auth) -> bool {
        fn expected<'a>(auth: &'a Auth, identity: &Identity) -> Option<&'a Expected> {
            match identity {
                Identity::Token => auth.token.as_ref(),
                Identity::User(user) => auth.of_user(user).map(|(expected, _)| expected),
            }
        }
        expected(self, identity).is_some_and(|now| expected(before, identity) == Some(now))
    }

    /// The secret of a user, with or without a certificate, and what the user may do.
    fn of_user(&self, user: &str) -> Option<&(Expected, Arc<Permissions>)> {
        self.by_name.get(user).or_else(|| self.by_certificate.of_user(user))
    }

    /// The name of a user, if there is one of that name.
    pub fn known_user(&self, user: &str) -> Option<Arc<str>> {
        self.by_name.get_key_value(user).map(|(name, _)| name.clone())
    }
}

/// Compares a secret with what is expected, here if that is no hash.
fn compare(
    given: &str,
    expected: &Expected,
    permissions: Option<Arc<Permissions>>,
    failure: LoginFailure,
    identity: impl FnOnce() -> Identity,
) -> Checked {
    match expected {
        Expected::Plain(expected) => {
            // In any case, so that no name is answered sooner than another.
            let is_right = is_same(given, expected);
            match permissions.filter(|_| is_right) {
                Some(permissions) => Checked::Granted(permissions),
                None => Checked::Refused(failure),
            }
        }
        Expected::Hashed(hash) => {
            Checked::Compare(Comparison { identity: identity(), hash: hash.clone(), permissions })
        }
    }
}

/// The permissions of clients without a user: of all that have the token, or of everybody.
fn unlimited(settings: &Settings) -> Permissions {
    match settings.auth.token.is_some() || settings.is_local() {
        true => Permissions::unlimited(),
        false => Permissions::unlimited_without_block(),
    }
}

/// Compares secrets in a time that depends only on their lengths.
pub fn is_same(given: &str, expected: &Secret) -> bool {
    bool::from(given.as_bytes().ct_eq(expected.reveal().as_bytes()))
}

/// The nonce that a connection is given to sign; `number` counts connections of the core. A nonce
/// cannot be predicted without `Cluster::nonce_key`, and no two connections get the same.
pub fn nonce(nonce_key: &[u8; 32], core: CoreId, number: u64) -> String {
    let mut hash = Sha256::new();
    hash.update(nonce_key);
    hash.update(core.0.to_le_bytes());
    hash.update(number.to_le_bytes());
    BASE64URL_NOPAD.encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests;
