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
use super::quotas::Quotas;
use crate::config::{self, Login, Secret, Settings, User};
use crate::nkey::UserNkey;
use crate::protocol::CoreId;

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
    quotas: Quotas,
    /// The permissions of each configured user, in the order of the configuration.
    granted: Vec<Arc<Permissions>>,
    token: Option<Secret>,
    by_name: HashMap<String, (Secret, Arc<Permissions>)>,
    by_nkey: HashMap<String, (UserNkey, Arc<Permissions>)>,
    unlimited: Arc<Permissions>,
    /// Compared with the given password when the user does not exist, so that both cases take
    /// equally long.
    decoy: Secret,
}

impl Auth {
    /// Prepares the configured users and token.
    pub fn new(settings: &Settings, quotas: &Quotas) -> Auth {
        let users = settings.auth.users.iter();
        let granted = users.map(|user| granted_to(user, quotas)).collect();
        Auth::build(&settings.auth, quotas, granted, Arc::new(unlimited(settings)))
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
            None => granted_to(user, &self.quotas),
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
        (Auth::build(auth, &self.quotas, granted, unlimited), revoked)
    }

    fn build(
        auth: &config::Auth,
        quotas: &Quotas,
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
            }
        }
        Auth {
            configured: auth.clone(),
            quotas: quotas.clone(),
            granted,
            token: auth.token.clone(),
            by_name,
            by_nkey,
            unlimited,
            decoy: Secret::new("decoy password"),
        }
    }

    /// Whether clients have to authenticate.
    pub fn is_required(&self) -> bool {
        self.token.is_some() || !self.by_name.is_empty() || !self.by_nkey.is_empty()
    }

    /// Whether some user authenticates by signing a nonce.
    pub fn wants_nonce(&self) -> bool {
        !self.by_nkey.is_empty()
    }

    /// The permissions of a client with these credentials; `None` if the client may not connect.
    pub fn check(&self, credentials: &Credentials<'_>) -> Option<Arc<Permissions>> {
        if !self.is_required() {
            return Some(self.unlimited.clone());
        }
        match *credentials {
            Credentials::None => None,
            Credentials::Token(token) => {
                let is_right = is_same(token, self.token.as_ref()?);
                is_right.then(|| self.unlimited.clone())
            }
            Credentials::Password { user, password } => {
                let found = self.by_name.get(user);
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

/// What a user may do, and how much of it.
fn granted_to(user: &User, quotas: &Quotas) -> Arc<Permissions> {
    Arc::new(Permissions::new(&user.permissions).with_quota(quotas.of(user)))
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
mod tests {
    use data_encoding::BASE32_NOPAD;
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    fn auth(text: &str) -> Auth {
        Auth::new(&Settings::parse("blipmq.toml", text).expect(text), &Quotas::default())
    }

    const USERS: &str = "[[auth.users]]\nuser = \"eu\"\npassword = \"pw-eu\"\npublish = [\"a.>\"]\n\
                         [[auth.users]]\nuser = \"us\"\npassword = \"pw-us\"\n";

    #[test]
    fn without_configuration_every_client_may_do_everything() {
        let auth = auth("");
        assert!(!auth.is_required() && !auth.wants_nonce());
        for credentials in [
            Credentials::None,
            Credentials::Token("t"),
            Credentials::Password { user: "u", password: "p" },
            Credentials::Nkey { public: "U", signature: "s", nonce: b"n" },
        ] {
            assert!(auth.check(&credentials).expect("every client may connect").is_unlimited());
        }
    }

    #[test]
    fn without_users_block_is_allowed_on_loopback_or_with_the_token() {
        const OPEN: &str = "bind_addr = \"0.0.0.0:7000\"\n";
        let server = format!("[server]\n{OPEN}");
        let token = format!("[auth]\ntoken = \"t0ken\"\n{server}");
        for (text, may_block) in [
            ("", true),
            ("[server]\nbind_addr = \"[::1]:7000\"\n", true),
            (&server, false),
            (&token, true),
        ] {
            let permissions = auth(text).check(&Credentials::Token("t0ken"));
            let permissions = permissions.expect("the token is right, or none is needed");
            assert_eq!(permissions.may_block(">"), may_block, "{text}");
            assert!(permissions.is_unlimited(), "{text}");
        }
    }

    #[test]
    fn only_clients_with_the_token_may_connect() {
        let auth = auth("[auth]\ntoken = \"t0ken\"\n");
        assert!(auth.is_required() && !auth.wants_nonce());
        let permissions = auth.check(&Credentials::Token("t0ken")).expect("the token is right");
        assert!(permissions.is_unlimited());
        for wrong in ["", "t0ke", "t0ken2", "T0ken"] {
            assert_eq!(auth.check(&Credentials::Token(wrong)), None, "{wrong}");
        }
        assert_eq!(auth.check(&Credentials::None), None);
        let as_password = Credentials::Password { user: "", password: "t0ken" };
        assert_eq!(auth.check(&as_password), None);
    }

    #[test]
    fn each_password_gives_the_permissions_of_its_own_user() {
        let auth = auth(USERS);
        let check = |user, password| auth.check(&Credentials::Password { user, password });
        let permissions = check("eu", "pw-eu").expect("the password is right");
        assert!(permissions.may_publish("a.b") && !permissions.may_publish("b"));
        assert!(check("us", "pw-us").expect("the password is right").is_unlimited());
        for (user, password) in
            [("eu", "pw-us"), ("eu", ""), ("EU", "pw-eu"), ("", ""), ("x", "decoy password")]
        {
            assert_eq!(check(user, password), None, "{user} {password}");
        }
        assert_eq!(auth.check(&Credentials::None), None);
        assert_eq!(auth.check(&Credentials::Token("pw-eu")), None);
    }

    fn revoked(before: &str, after: &str) -> Vec<bool> {
        let old = auth(before);
        let settings = Settings::parse("blipmq.toml", after).expect(after);
        let (new, revoked) = old.reloaded(&settings);
        let is_revoked = |permissions: &Arc<Permissions>| {
            let stays = new.granted.iter().chain([&new.unlimited]);
            let stays = stays.into_iter().any(|other| Arc::ptr_eq(other, permissions));
            let goes = revoked.iter().any(|other| Arc::ptr_eq(other, permissions));
            assert!(stays != goes, "{before:?} to {after:?}");
            goes
        };
        old.granted.iter().chain([&old.unlimited]).map(is_revoked).collect()
    }

    #[test]
    fn a_reload_revokes_only_users_that_were_removed_or_changed() {
        let eu = "[[auth.users]]\nuser = \"eu\"\npassword = \"pw-eu\"\npublish = [\"a.>\"]\n";
        let us = "[[auth.users]]\nuser = \"us\"\npassword = \"pw-us\"\n";
        assert_eq!(revoked(USERS, USERS), [false, false, false]);
        assert_eq!(revoked(USERS, &format!("{us}{eu}")), [false, false, false], "another order");
        assert_eq!(revoked(USERS, us), [true, false, false]);
        let narrower = USERS.replace("a.>", "a.b");
        assert_eq!(revoked(USERS, &narrower), [true, false, false], "other permissions");
        let password = USERS.replace("pw-us", "new");
        assert_eq!(revoked(USERS, &password), [false, true, false], "another password");
        assert_eq!(revoked(USERS, ""), [true, true, true]);
    }

    #[test]
    fn a_reload_that_changes_the_token_revokes_all_clients_without_a_user() {
        let token = "[auth]\ntoken = \"t0ken\"\n";
        assert_eq!(revoked(token, token), [false]);
        assert_eq!(revoked(token, "[auth]\ntoken = \"new\"\n"), [true]);
        assert_eq!(revoked(token, ""), [true]);
        assert_eq!(revoked("", token), [true]);
        assert_eq!(revoked("", USERS), [true]);
        assert_eq!(revoked("", ""), [false]);
    }

    #[test]
    fn an_nkey_user_has_to_sign_the_nonce_of_its_own_connection() {
        let signer = SigningKey::from_bytes(&[3; 32]);
        let mut bytes = vec![20 << 3];
        bytes.extend_from_slice(&signer.verifying_key().to_bytes());
        let crc = bytes.iter().fold(0u16, |crc, byte| {
            (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
                (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
            })
        });
        bytes.extend_from_slice(&crc.to_le_bytes());
        let public = BASE32_NOPAD.encode(&bytes);
        let auth = auth(&format!("{USERS}[[auth.users]]\nnkey = \"{public}\"\n"));
        assert!(auth.wants_nonce());
        let nonce = nonce(&[1; 32], CoreId(0), 1);
        let signature = BASE64URL_NOPAD.encode(&signer.sign(nonce.as_bytes()).to_bytes());
        let check = |public: &str, nonce: &str| {
            let nonce = nonce.as_bytes();
            auth.check(&Credentials::Nkey { public, signature: &signature, nonce })
        };
        assert!(check(&public, &nonce).expect("the signature is right").is_unlimited());
        assert_eq!(check(&public, &super::nonce(&[1; 32], CoreId(0), 2)), None, "a replay");
        assert_eq!(check("eu", &nonce), None);
    }

    #[test]
    fn nonces_differ_by_key_core_and_number_and_are_ascii() {
        let mut nonces: Vec<String> = [(1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0)]
            .map(|(key, core, number)| nonce(&[key; 32], CoreId(core), number))
            .to_vec();
        assert!(nonces.iter().all(|nonce| nonce.len() == 22 && nonce.is_ascii()));
        nonces.sort();
        nonces.dedup();
        assert_eq!(nonces.len(), 4);
    }
}
