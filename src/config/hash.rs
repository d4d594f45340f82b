//! Hashes of passwords and tokens: how they are written, and how much work one of them may ask for.
//!
//! Used by `parse`, which refuses hashes that cannot be checked or would cost too much, and by
//! `broker::auth`. The work itself is done elsewhere: this only reads text.
//!
//! # Always true
//! - A hash that was parsed can be checked, and checking it is bounded in time and memory.
//! - An error repeats numbers of a hash, never its salt or its output.

use std::fmt;

use data_encoding::{BASE64_NOPAD, Encoding, Specification};

use crate::limits::{
    ARGON2_LANES_MAX, ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX, BCRYPT_COST_MAX, BCRYPT_COST_MIN,
};

/// The beginning of every hash that is served as argon2id.
const ARGON2ID: &str = "$argon2id$";
/// The beginnings of bcrypt hashes that are served: the three differ in the program that wrote them.
const BCRYPT: [&str; 3] = ["$2a$", "$2b$", "$2y$"];
/// The only version of argon2 in use, 1.3.
const ARGON2_VERSION: &str = "v=19";
/// Bytes of a salt of argon2id, as its reference implementation takes them.
const SALT_BYTES: std::ops::RangeInclusive<usize> = 8..=64;
/// Bytes of an output of argon2id: fewer would be guessed, more are of no use.
const OUTPUT_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// The hash of a password or of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hash {
    /// How it was made.
    pub work: Work,
    /// Random bytes that went into it.
    pub salt: Vec<u8>,
    /// What came out.
    pub output: Vec<u8>,
}

/// A way to make a hash, and how much work that is. Hashes of equal work take equally long to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// argon2id, version 1.3.
    Argon2id {
        /// Memory that is filled, in KiB.
        memory_kib: u32,
        /// How often the memory is gone through.
        passes: u32,
        /// Parts of the memory that could be filled at once.
        lanes: u32,
    },
    /// bcrypt.
    Bcrypt {
        /// The logarithm of the rounds.
        cost: u32,
    },
}

impl Hash {
    /// Reads a secret as a hash. `None` is a secret that is no hash; an error says why one cannot be
    /// served.
    pub fn parse(secret: &str) -> Option<Result<Hash, String>> {
        if let Some(rest) = secret.strip_prefix(ARGON2ID) {
            return Some(parse_argon2id(rest));
        }
        if let Some(rest) = BCRYPT.iter().find_map(|mark| secret.strip_prefix(mark)) {
            return Some(parse_bcrypt(rest));
        }
        let unserved = [
            ("$2x$", "this is a bcrypt hash of a program that computed it wrongly ($2x$)"),
            ("$2$", "this is a bcrypt hash of the first version ($2$)"),
            ("$argon2i$", "this is a hash of argon2i, not of argon2id"),
            ("$argon2d$", "this is a hash of argon2d, not of argon2id"),
        ];
        let (_, what) = unserved.into_iter().find(|(mark, _)| secret.starts_with(mark))?;
        Some(Err(format!("{what}; make a new one with `blipmq hash-password`")))
    }

    /// A hash of the same work that no password has: what a client is checked against that names no
    /// user.
    pub fn decoy(&self) -> Hash {
        let output = self.output.iter().map(|byte| byte ^ 0x5a).collect();
        Hash { output, ..self.clone() }
    }
}

impl fmt::Display for Hash {
    /// Writes the hash as a configuration has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.work {
            Work::Argon2id { memory_kib, passes, lanes } => {
                write!(f, "{ARGON2ID}{ARGON2_VERSION}$m={memory_kib},t={passes},p={lanes}$")?;
                let [salt, output] =
                    [&self.salt, &self.output].map(|bytes| BASE64_NOPAD.encode(bytes));
                write!(f, "{salt}${output}")
            }
            Work::Bcrypt { cost } => {
                let [salt, output] =
                    [&self.salt, &self.output].map(|bytes| base64_of_bcrypt().encode(bytes));
                write!(f, "$2b${cost:02}${salt}{output}")
            }
        }
    }
}

fn parse_argon2id(text: &str) -> Result<Hash, String> {
    let malformed = || {
        "this begins like an argon2id hash, but is not a whole one of version 19; copy all of what \
         `blipmq hash-password` printed"
            .to_owned()
    };
    let parts: Vec<&str> = text.split('$').collect();
    let [ARGON2_VERSION, parameters, salt, output] = parts[..] else { return Err(malformed()) };
    let parameters: Vec<(&str, u32)> = parameters
        .split(',')
        .map(|parameter| {
            let (name, number) = parameter.split_once('=')?;
            Some((name, number.parse().ok()?))
        })
        .collect::<Option<_>>()
        .ok_or_else(malformed)?;
    let [("m", memory_kib), ("t", passes), ("p", lanes)] = parameters[..] else {
        return Err(malformed());
    };
    check_bound("memory m", memory_kib, ARGON2_MEMORY_KIB_MAX, " KiB")?;
    check_bound("number of passes t", passes, ARGON2_PASSES_MAX, "")?;
    check_bound("number of lanes p", lanes, ARGON2_LANES_MAX, "")?;
    let decode = |text: &str| BASE64_NOPAD.decode(text.as_bytes()).ok();
    let (Some(salt), Some(output)) = (decode(salt), decode(output)) else {
        return Err(malformed());
    };
    let is_whole = SALT_BYTES.contains(&salt.len()) && OUTPUT_BYTES.contains(&output.len());
    // As argon2 has it: eight blocks of 1 KiB a lane.
    if !is_whole || passes == 0 || lanes == 0 || memory_kib < 8 * lanes {
        return Err(malformed());
    }
    Ok(Hash { work: Work::Argon2id { memory_kib, passes, lanes }, salt, output })
}

fn parse_bcrypt(text: &str) -> Result<Hash, String> {
    let malformed = || {
        "this begins like a bcrypt hash, but is not a whole one of 60 characters; copy all of it"
            .to_owned()
    };
    let (cost, rest) = text.split_once('$').ok_or_else(malformed)?;
    let has_two_digits = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
    let cost: u32 = cost.parse().ok().filter(|_| has_two_digits).ok_or_else(malformed)?;
    check_bound("cost", cost, BCRYPT_COST_MAX, "")?;
    if cost < BCRYPT_COST_MIN || rest.len() != 53 || !rest.is_ascii() {
        return Err(malformed());
    }
    let (salt, output) = rest.split_at(22);
    let decode = |text: &str| base64_of_bcrypt().decode(text.as_bytes()).ok();
    let (Some(salt), Some(output)) = (decode(salt), decode(output)) else {
        return Err(malformed());
    };
    Ok(Hash { work: Work::Bcrypt { cost }, salt, output })
}

fn check_bound(what: &str, value: u32, bound: u32, unit: &str) -> Result<(), String> {
    match value <= bound {
        true => Ok(()),
        false => Err(format!(
            "the {what} of this hash is {value}{unit}, the bound is {bound}{unit}, because each login \
             would cost so much; make a new hash with `blipmq hash-password`"
        )),
    }
}

/// The base64 of bcrypt, which has an alphabet of its own. Programs differ in the unused bits.
fn base64_of_bcrypt() -> Encoding {
    let mut specification = Specification::new();
    specification
        .symbols
        .push_str("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    specification.check_trailing_bits = false;
    specification.encoding().expect("the alphabet has 64 different characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGON2: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRieXRlcw$\
                          7oI1BxQFUC+1L/CVuXhuhXKPz5dzhb8OmhmWp7XRCqo";
    const BCRYPT_11: &str = "$2a$11$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

    #[test]
    fn hashes_are_known_by_their_beginning_and_print_as_they_are_written() {
        let hash = Hash::parse(ARGON2).expect("a hash").expect("a whole one");
        assert_eq!(hash.work, Work::Argon2id { memory_kib: 19_456, passes: 2, lanes: 1 });
        assert_eq!(hash.to_string(), ARGON2);
        let hash = Hash::parse(BCRYPT_11).expect("a hash").expect("a whole one");
        assert_eq!(hash.work, Work::Bcrypt { cost: 11 });
        assert_eq!((hash.salt.len(), hash.output.len()), (16, 23));
        for mark in ["$2b$", "$2y$"] {
            assert_eq!(Hash::parse(&BCRYPT_11.replace("$2a$", mark)), Some(Ok(hash.clone())));
        }
        assert_eq!(Hash::parse(&hash.to_string()), Some(Ok(hash.clone())));
        for plain in ["", "secret", "$2", "$2z$11$", "argon2id", "$argon2id", "$1$x"] {
            assert_eq!(Hash::parse(plain), None, "{plain}");
        }
    }

    #[test]
    fn a_decoy_has_the_same_work_and_another_output() {
        for text in [ARGON2, BCRYPT_11] {
            let hash = Hash::parse(text).expect("a hash").expect("a whole one");
            let decoy = hash.decoy();
            assert_eq!((decoy.work, decoy.output.len()), (hash.work, hash.output.len()));
            assert_ne!(decoy.output, hash.output);
        }
    }

    #[test]
    fn a_hash_beyond_a_bound_is_refused_with_the_value_and_the_bound() {
        for (text, words) in [
            (
                ARGON2.replace("m=19456", "m=65537"),
                "memory m of this hash is 65537 KiB, the bound is 65536 KiB",
            ),
            (ARGON2.replace("t=2", "t=11"), "passes t of this hash is 11, the bound is 10"),
            (ARGON2.replace("p=1", "p=5"), "lanes p of this hash is 5, the bound is 4"),
            (BCRYPT_11.replace("$11$", "$14$"), "cost of this hash is 14, the bound is 13"),
        ] {
            let error = Hash::parse(&text).expect("a hash").expect_err("too much work");
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("c29t") && !error.contains("abcdef"), "{error}");
        }
        for text in [ARGON2.replace("m=19456", "m=65536"), ARGON2.replace("p=1", "p=4")] {
            assert!(Hash::parse(&text).expect("a hash").is_ok(), "{text}");
        }
    }

    #[test]
    fn hashes_that_nobody_should_trust_or_that_are_not_whole_are_refused() {
        for text in [
            BCRYPT_11.replace("$2a$", "$2x$"),
            BCRYPT_11.replace("$2a$", "$2$"),
            ARGON2.replace("argon2id", "argon2i"),
            ARGON2.replace("argon2id", "argon2d"),
            ARGON2.replace("v=19", "v=16"),
            ARGON2.replace("$v=19", ""),
            ARGON2.replace("m=19456,t=2", "t=2,m=19456"),
            ARGON2.replace("t=2", "t=0"),
            ARGON2.replace("m=19456", "m=7"),
            ARGON2.replace("t=2,p=1", "t=2"),
            ARGON2.replace("c29tZXNhbHRieXRlcw", "c29t"),
            ARGON2[..ARGON2.len() - 30].to_owned(),
            format!("{ARGON2}$"),
            BCRYPT_11.replace("$11$", "$03$"),
            BCRYPT_11.replace("$11$", "$9$"),
            BCRYPT_11.replace("$11$", "$+9$"),
            BCRYPT_11[..59].to_owned(),
            format!("{BCRYPT_11}a"),
            BCRYPT_11.replace('u', "="),
            BCRYPT_11.replace("uu", "ü"),
        ] {
            assert!(Hash::parse(&text).expect("a hash").is_err(), "{text}");
        }
    }
}
