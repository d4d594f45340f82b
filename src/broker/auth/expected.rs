//! What a password or a token is compared with: itself, or its hash.

use std::cmp::Reverse;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::config::Secret;
use crate::config::hash::{Hash, Work};

/// What a given password or token is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The secret itself.
    Plain(Secret),
    /// Its hash.
    Hashed(Arc<Hash>),
}

impl Expected {
    /// What a configured secret says.
    pub fn of(secret: &Secret) -> Expected {
        match Hash::parse(secret.reveal()) {
            Some(Ok(hash)) => Expected::Hashed(Arc::new(hash)),
            // A hash that cannot be served was refused with the configuration.
            _ => Expected::Plain(secret.clone()),
        }
    }

    fn work(&self) -> Option<Work> {
        match self {
            Expected::Plain(_) => None,
            Expected::Hashed(hash) => Some(hash.work),
        }
    }

    fn decoy(&self) -> Expected {
        match self {
            Expected::Plain(_) => Expected::Plain(Secret::new("decoy password")),
            Expected::Hashed(hash) => Expected::Hashed(Arc::new(hash.decoy())),
        }
    }
}

/// What passwords are compared with whose user does not exist: the same work as for one that does. Where
/// users differ in that, each name always gets the work of some of them, which nobody can foresee.
#[derive(Debug)]
pub struct Decoys(Vec<(Secret, Expected)>);

impl Decoys {
    /// Decoys for these passwords of users.
    pub fn new<'a>(passwords: impl Iterator<Item = &'a Secret>) -> Decoys {
        let mut decoys: Vec<(Secret, Expected)> = Vec::new();
        for password in passwords {
            let expected = Expected::of(password);
            if !decoys.iter().any(|(_, decoy)| decoy.work() == expected.work()) {
                decoys.push((password.clone(), expected.decoy()));
            }
        }
        if decoys.is_empty() {
            let secret = Secret::new("");
            decoys.push((secret.clone(), Expected::Plain(secret).decoy()));
        }
        Decoys(decoys)
    }

    /// What the password of an unknown user is compared with.
    pub fn of(&self, user: &str) -> &Expected {
        // Each decoy draws a number that only who knows a secret of the configuration can: the choice
        // for a name stays the same over restarts, and most do when users are added.
        let drawn = |(secret, _): &&(Secret, Expected)| {
            let hash = Sha256::new().chain_update(secret.reveal()).chain_update([0]);
            Reverse(<[u8; 32]>::from(hash.chain_update(user).finalize()))
        };
        let (_, decoy) = self.0.iter().min_by_key(drawn).expect("there is one at least");
        decoy
    }
}
