//! Authentication: from a client's credentials to its permissions.
//!
//! Called by the frontends on HELLO or CONNECT. Next on the path: `permissions`.
//!
//! # Always true
//! - The time to compare a secret reveals neither where it differs nor whether the user exists.
//! - Without `[auth]` in the configuration every client may do everything, except that `block` is
//!   allowed only where no other machine can connect.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::permissions::Permissions;
use super::security::CertifiedNames;
use crate::config::{self, Login, Secret, Settings, User};
use crate::nkey::UserNkey;
use crate::protocol::CoreId;

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

/// The configured users and token, ready to check credentials.
#[derive(Debug)]
pub struct Auth {
    configured: config::Auth,
    /// The permissions of each configured user, in the order of the configuration.
    granted: Vec<Arc<Permissions>>,
    token: Option<Secret>,
    by_name: HashMap<String, (Secret, Arc<Permissions>)>,
    by_nkey: HashMap<String, (UserNkey, Arc<Permissions>)>,
    by_certificate: Certificates,
    unlimited: Arc<Permissions>,
    /// Compared with the given password when the user does not exist, so that both cases take
    /// equally long.
    decoy: Secret,
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
                    by_name.insert(user.clone(), (password.clone(), permissions));
                }
                Login::Nkey(nkey) => {
                    by_nkey.insert(nkey.as_str().to_owned(), (nkey.clone(), permissions));
                }
                Login::Certificate { .. } => {}
            }
        }
        let by_certificate = Certificates::new(auth.users.iter().zip(&granted));
        Auth {
            configured: auth.clone(),
            granted,
            token: auth.token.clone(),
            by_name,
            by_nkey,
            by_certificate,
            unlimited,
            decoy: Secret::new("decoy password"),
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

    /// The permissions of a client with these credentials, and perhaps a certificate that was checked in
    /// its handshake; `None` if the client may not connect.
    pub fn check(
        &self,
        credentials: &Credentials<'_>,
        certified: Option<&CertifiedNames>,
    ) -> Option<Arc<Permissions>> {
        if !self.is_required() {
            return Some(self.unlimited.clone());
        }
        let certified = match self.by_certificate.decide(credentials, certified) {
            Decision::Granted(permissions) => return Some(permissions.clone()),
            Decision::Refused => return None,
            Decision::Password(found) => Some(found),
            Decision::Credentials => None,
        };
        match *credentials {
            Credentials::None => None,
            Credentials::Token(token) => {
                let is_right = is_same(token, self.token.as_ref()?);
                is_right.then(|| self.unlimited.clone())
            }
            Credentials::Password { user, password } => {
                let found = certified.or_else(|| self.by_name.get(user));
                let expected = found.map_or(&self.decoy, |(expected, _)| expected);
                let is_right = is_same(password, expected);
                found.filter(|_| is_right).map(|(_, permissions)| permissions.clone())
            }
            Credentials::Nkey { public, signature, nonce } => {
                let (nkey, permissions) = self.by_nkey.get(public)?;
                nkey.has_signed(nonce, signature).then(|| permissions.clone())
            }
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
