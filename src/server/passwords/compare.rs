//! The work itself: a password to its hash. Takes tens of milliseconds.

use argon2::{Algorithm, Argon2, Params, Version};
use blipmq::config::hash::{Hash, Work};
use subtle::ConstantTimeEq;

/// Bytes of a password that bcrypt looks at.
pub const BCRYPT_PASSWORD_BYTES: usize = 72;

/// Whether a password is the one of a hash. Takes equally long for hashes of equal work.
pub fn is_right(password: &str, hash: &Hash) -> bool {
    let output = output(password, hash.work, &hash.salt, hash.output.len());
    output.is_some_and(|output| output.ct_eq(&hash.output).into())
}

/// The output of a hash. `None` for work that cannot be done, which a configuration does not have.
pub fn output(password: &str, work: Work, salt: &[u8], len: usize) -> Option<Vec<u8>> {
    match work {
        Work::Argon2id { memory_kib, passes, lanes } => {
            let params = Params::new(memory_kib, passes, lanes, Some(len)).ok()?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let mut output = vec![0; len];
            argon2.hash_password_into(password.as_bytes(), salt, &mut output).ok()?;
            Some(output)
        }
        Work::Bcrypt { cost } => {
            // With the zero behind it, if there is room for that.
            let mut bytes = password.as_bytes().to_vec();
            bytes.push(0);
            bytes.truncate(BCRYPT_PASSWORD_BYTES);
            let output = bcrypt::bcrypt(cost, salt.try_into().ok()?, &bytes);
            output.get(..len).map(<[u8]>::to_vec)
        }
    }
}
