//! Nkeys: the notation of NATS for Ed25519 public keys, and signatures made with them.
//!
//! Used by `config`, which reads a user's nkey, and by `broker::auth`, which checks a signature.
//! A public nkey is the base32 of 1 byte of kind, 32 bytes of key, and 2 bytes of CRC-16/XMODEM.

use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, BASE64URL_NOPAD};
use ed25519_dalek::{Signature, VerifyingKey};

/// Bytes of kind, key and checksum.
const DECODED_LEN: usize = 1 + 32 + 2;
/// The kind byte of a user's public nkey: its text begins with `U`.
const USER: u8 = 20 << 3;

/// The public nkey of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserNkey {
    text: String,
    key: VerifyingKey,
}

impl UserNkey {
    /// Parses `U...`. The error says what is wrong and what to do, and repeats nothing of the text.
    pub fn parse(text: &str) -> Result<UserNkey, &'static str> {
        match text.bytes().next() {
            None => {
                return Err("the nkey is empty; give a user's public nkey, which begins with U");
            }
            Some(b'S') => {
                return Err("this is a seed, which is secret: give the public nkey, which begins \
                            with U (`nk -inkey FILE -pubout` prints it), and replace the seed if \
                            others may have seen this file");
            }
            Some(b'A' | b'O' | b'N' | b'C' | b'X' | b'P') => {
                return Err(
                    "this is not the key of a user: give a user's public nkey, which begins \
                            with U",
                );
            }
            Some(_) => {}
        }
        const BAD: &str = "this is not an nkey: give a user's public nkey, U and 55 more characters, \
                           exactly as `nk -gen user -pubout` printed it";
        let decoded = BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| BAD)?;
        let decoded: [u8; DECODED_LEN] = decoded.try_into().map_err(|_| BAD)?;
        let (body, checksum) = decoded.split_at(DECODED_LEN - 2);
        if body[0] != USER || crc16(body).to_le_bytes() != checksum {
            return Err(BAD);
        }
        let key = body[1..].try_into().expect("32 bytes are between kind and checksum");
        let key = VerifyingKey::from_bytes(&key).map_err(|_| BAD)?;
        Ok(UserNkey { text: text.to_owned(), key })
    }

    /// The nkey as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the key has signed these bytes. `signature` is base64 in either alphabet, with or without
    /// padding.
    pub fn has_signed(&self, bytes: &[u8], signature: &str) -> bool {
        let signature = signature.trim_end_matches('=').as_bytes();
        let decoded = BASE64URL_NOPAD.decode(signature).or_else(|_| BASE64_NOPAD.decode(signature));
        let Ok(decoded) = decoded else { return false };
        let Ok(signature) = Signature::from_slice(&decoded) else { return false };
        self.key.verify_strict(bytes, &signature).is_ok()
    }
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    fn text_of(kind: u8, key: &[u8; 32]) -> String {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&crc16(&bytes).to_le_bytes());
        BASE32_NOPAD.encode(&bytes)
    }

    #[test]
    fn a_key_that_nats_tools_made_is_read() {
        // The user of the documentation of nats-server, from docs.nats.io.
        for text in [
            "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4",
            "UC435ZYS52HF72E2VMQF4GO6CUJOCHDUUPEBU7XDXW5AQLIC6JZ46PO5",
        ] {
            assert_eq!(UserNkey::parse(text).expect(text).as_str(), text);
        }
    }

    #[test]
    fn what_is_not_the_public_nkey_of_a_user_is_refused() {
        let key = SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes();
        let good = text_of(USER, &key);
        UserNkey::parse(&good).expect("it is a user's");
        for (text, words) in [
            (String::new(), "empty"),
            (text_of(0, &key), "not the key of a user"),
            (format!("SU{}", "A".repeat(56)), "seed"),
            (good[..55].to_owned(), "not an nkey"),
            (good.replace('U', "u"), "not an nkey"),
            (good.replacen(&good[9..10], if &good[9..10] == "A" { "B" } else { "A" }, 1), "not an"),
        ] {
            assert!(UserNkey::parse(&text).unwrap_err().contains(words), "{text}");
        }
    }

    #[test]
    fn a_signature_is_valid_in_either_base64_and_for_its_bytes_and_key_alone() {
        let signer = SigningKey::from_bytes(&[7; 32]);
        let nkey = UserNkey::parse(&text_of(USER, &signer.verifying_key().to_bytes())).unwrap();
        let signature = signer.sign(b"nonce").to_bytes();
        for text in [
            data_encoding::BASE64.encode(&signature),
            data_encoding::BASE64URL.encode(&signature),
            BASE64_NOPAD.encode(&signature),
            BASE64URL_NOPAD.encode(&signature),
        ] {
            assert!(nkey.has_signed(b"nonce", &text));
            assert!(!nkey.has_signed(b"nonca", &text));
            assert!(!nkey.has_signed(b"nonce", &text[1..]));
        }
        let other = SigningKey::from_bytes(&[8; 32]).sign(b"nonce").to_bytes();
        assert!(!nkey.has_signed(b"nonce", &BASE64URL_NOPAD.encode(&other)));
        assert!(!nkey.has_signed(b"nonce", ""));
    }
}
