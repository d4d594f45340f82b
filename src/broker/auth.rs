//! Who a client is: its credentials to what it may do.
//!
//! Called by the sessions of both protocols when a client introduces itself. Next: `permissions`.
//!
//! # Always true
//! - How long a secret is compared does not tell where it differs, nor whether its user exists.
//! - Without `[auth]` in the configuration everybody may do everything.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::permissions::Permissions;
use crate::config::{self, auth::Login, auth::Secret};
use crate::nkey::UserNkey;
use crate::protocol::CoreId;

/// What a client proves itself with.
#[derive(Debug, Clone, Copy)]
pub enum Credentials<'a> {
    /// Nothing.
    None,
    /// A token.
    Token(&'a str),
    /// A name and a password.
    Password {
        /// The name.
        user: &'a str,
        /// The password.
        password: &'a str,
    },
    /// A signature.
    Nkey {
        /// The public nkey, `U...`.
        public: &'a str,
        /// Of the nonce, in either base64, with or without padding.
        signature: &'a str,
        /// What this connection was given to sign.
        nonce: &'a [u8],
    },
}

/// Whoever may connect, as configured.
#[derive(Debug)]
pub struct Auth {
    token: Option<Secret>,
    by_name: HashMap<String, (Secret, Arc<Permissions>)>,
    by_nkey: HashMap<String, (UserNkey, Arc<Permissions>)>,
    unlimited: Arc<Permissions>,
    /// A password of nobody, to compare with where there is no user.
    nobody: Secret,
}

impl Auth {
    /// From the settings.
    pub fn new(auth: &config::Auth) -> Auth {
        let (mut by_name, mut by_nkey) = (HashMap::new(), HashMap::new());
        for user in &auth.users {
            let permissions = Arc::new(Permissions::new(&user.permissions));
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
            token: auth.token.clone(),
            by_name,
            by_nkey,
            unlimited: Arc::new(Permissions::unlimited()),
            nobody: Secret::new("nobody's password"),
        }
    }

    /// Whether clients have to prove who they are.
    pub fn is_required(&self) -> bool {
        self.token.is_some() || !self.by_name.is_empty() || !self.by_nkey.is_empty()
    }

    /// Whether some user proves itself by signing a nonce.
    pub fn wants_nonce(&self) -> bool {
        !self.by_nkey.is_empty()
    }

    /// What a client with these credentials may do; `None` if it may not even connect.
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
                let expected = found.map_or(&self.nobody, |(expected, _)| expected);
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

/// Compares in a time that depends on the lengths alone.
pub fn is_same(given: &str, expected: &Secret) -> bool {
    bool::from(given.as_bytes().ct_eq(expected.reveal().as_bytes()))
}

/// What the connection with this number, counted on its core, is given to sign. Nobody can foretell
/// it without `Cluster::nonce_key`, and no other connection gets the same.
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
    use crate::config::Settings;

    fn auth(text: &str) -> Auth {
        Auth::new(&Settings::parse("blipmq.toml", text).expect(text).auth)
    }

    const USERS: &str = "[[auth.users]]\nuser = \"eu\"\npassword = \"pw-eu\"\npublish = [\"a.>\"]\n\
                         [[auth.users]]\nuser = \"us\"\npassword = \"pw-us\"\n";

    #[test]
    fn without_configuration_everybody_may_do_everything() {
        let auth = auth("");
        assert!(!auth.is_required() && !auth.wants_nonce());
        for credentials in [
            Credentials::None,
            Credentials::Token("t"),
            Credentials::Password { user: "u", password: "p" },
            Credentials::Nkey { public: "U", signature: "s", nonce: b"n" },
        ] {
            assert!(auth.check(&credentials).expect("it is let in").is_unlimited());
        }
    }

    #[test]
    fn a_token_lets_in_whoever_has_it_and_nobody_else() {
        let auth = auth("[auth]\ntoken = \"t0ken\"\n");
        assert!(auth.is_required() && !auth.wants_nonce());
        let permissions = auth.check(&Credentials::Token("t0ken")).expect("it is the token");
        assert!(permissions.is_unlimited());
        for wrong in ["", "t0ke", "t0ken2", "T0ken"] {
            assert_eq!(auth.check(&Credentials::Token(wrong)), None, "{wrong}");
        }
        assert_eq!(auth.check(&Credentials::None), None);
        let as_password = Credentials::Password { user: "", password: "t0ken" };
        assert_eq!(auth.check(&as_password), None);
    }

    #[test]
    fn each_user_gets_its_own_permissions_for_its_own_password() {
        let auth = auth(USERS);
        let check = |user, password| auth.check(&Credentials::Password { user, password });
        let permissions = check("eu", "pw-eu").expect("it is the password");
        assert!(permissions.may_publish("a.b") && !permissions.may_publish("b"));
        assert!(check("us", "pw-us").expect("it is the password").is_unlimited());
        for (user, password) in
            [("eu", "pw-us"), ("eu", ""), ("EU", "pw-eu"), ("", ""), ("x", "nobody's password")]
        {
            assert_eq!(check(user, password), None, "{user} {password}");
        }
        assert_eq!(auth.check(&Credentials::None), None);
        assert_eq!(auth.check(&Credentials::Token("pw-eu")), None);
    }

    #[test]
    fn an_nkey_is_proved_by_signing_the_nonce_of_this_connection() {
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
        assert!(check(&public, &nonce).expect("it signed").is_unlimited());
        assert_eq!(check(&public, &super::nonce(&[1; 32], CoreId(0), 2)), None, "a replay");
        assert_eq!(check("eu", &nonce), None);
    }

    #[test]
    fn nonces_differ_by_key_core_and_number_and_are_plain_text() {
        let mut nonces: Vec<String> = [(1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0)]
            .map(|(key, core, number)| nonce(&[key; 32], CoreId(core), number))
            .to_vec();
        assert!(nonces.iter().all(|nonce| nonce.len() == 22 && nonce.is_ascii()));
        nonces.sort();
        nonces.dedup();
        assert_eq!(nonces.len(), 4);
    }
}
