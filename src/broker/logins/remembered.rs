//! Secrets that were compared with their hash and found right: they need not be compared again.
//!
//! A secret is remembered by a code that only a holder of the process's random key can compute, from the
//! user, the secret and the hash: a copy of the memory gives nothing to guess with but through that key,
//! and a changed hash makes another code.

use std::collections::VecDeque;

use hashbrown::HashMap;
use sha2::{Digest, Sha256};

use crate::broker::auth::Identity;
use crate::config::hash::Hash;
use crate::limits::PASSWORDS_REMEMBERED_MAX;

/// The code of a user, a secret and a hash.
pub type Mac = [u8; 32];

/// Bytes that SHA-256 takes at once, which HMAC fills with the key.
const BLOCK: usize = 64;

/// The right secrets of a core.
#[derive(Debug)]
pub(super) struct Remembered {
    key: [u8; 32],
    macs: HashMap<Mac, Identity>,
    /// Oldest first.
    order: VecDeque<Mac>,
}

impl Remembered {
    pub(super) fn new(key: [u8; 32]) -> Remembered {
        Remembered { key, macs: HashMap::new(), order: VecDeque::new() }
    }

    pub(super) fn mac(&self, identity: &Identity, secret: &str, hash: &Hash) -> Mac {
        let (kind, name) = match identity {
            Identity::Token => (&b"token"[..], ""),
            Identity::User(user) => (&b"user"[..], user.as_ref()),
        };
        let hash = hash.to_string();
        hmac(&self.key, &[kind, name.as_bytes(), secret.as_bytes(), hash.as_bytes()])
    }

    /// A number for some bytes that nobody can make collide.
    pub(super) fn number_of(&self, parts: &[&[u8]]) -> u64 {
        let mac = hmac(&self.key, parts);
        u64::from_le_bytes(mac[..8].try_into().expect("eight bytes"))
    }

    pub(super) fn contains(&self, mac: &Mac) -> bool {
        self.macs.contains_key(mac)
    }

    pub(super) fn add(&mut self, mac: Mac, identity: Identity) {
        if self.macs.insert(mac, identity).is_none() {
            self.order.push_back(mac);
        }
        if self.order.len() > PASSWORDS_REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.macs.remove(&oldest);
        }
    }

    pub(super) fn forget(&mut self, has_changed: impl Fn(&Identity) -> bool) {
        self.macs.retain(|_, identity| !has_changed(identity));
        self.order.retain(|mac| self.macs.contains_key(mac));
    }
}

/// HMAC-SHA256 over parts, each behind its length.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Mac {
    let padded = |pad: u8| {
        let mut block = [pad; BLOCK];
        block.iter_mut().zip(key).for_each(|(byte, of_key)| *byte ^= of_key);
        block
    };
    let mut inner = Sha256::new().chain_update(padded(0x36));
    for part in parts {
        inner.update((part.len() as u64).to_le_bytes());
        inner.update(part);
    }
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner.finalize()).finalize().into()
}
