//! Private keys that cannot be used, and what is said of them.

use super::*;

#[test]
fn an_encrypted_key_gets_the_command_that_decrypts_it() {
    let (folder, _) = folder();
    let new = pem("ENCRYPTED PRIVATE KEY", b"secret");
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n\
               AAAA\n-----END RSA PRIVATE KEY-----\n";
    for content in [new.as_str(), old] {
        folder.write("a.key", content);
        assert_eq!(
            only_fault(&folder, ""),
            "[tls] key_file = \"a.key\": the private key is encrypted, and nobody is there to type its \
             passphrase when the broker starts; decrypt it with `openssl pkey -in a.key -out NEW`, then \
             `chmod 0640 NEW`"
        );
    }
}

/// A private key in PKCS#8 with an algorithm of these bytes.
fn pkcs8(algorithm: &[&[u8]], key: &[u8]) -> String {
    let parts = [&[2, 1, 0][..], &der(0x30, algorithm), &der(4, &[key])].concat();
    pem("PRIVATE KEY", &der(0x30, &[&parts]))
}

fn oid(text: &str) -> Vec<u8> {
    let oid = x509_cert::der::asn1::ObjectIdentifier::new(text).expect("a valid one");
    der(6, &[oid.as_bytes()])
}

#[test]
fn a_key_of_a_kind_that_is_not_supported_is_called_by_its_name() {
    let (folder, _) = folder();
    let modulus = der(2, &[&[0], &[0xff; 128]]);
    let rsa = der(0x30, &[&[2, 1, 0], &modulus]);
    let curve = |curve: &str| pkcs8(&[&oid("1.2.840.10045.2.1"), &oid(curve)], &[]);
    let sec1 = der(0x30, &[&[2, 1, 1], &der(4, &[&[1; 32]]), &der(0xa0, &[&oid("1.3.132.0.10")])]);
    for (content, kind) in [
        (pem("RSA PRIVATE KEY", &rsa), "is RSA of 1024 bits, which is not supported"),
        (
            pkcs8(&[&oid("1.2.840.113549.1.1.1"), &[5, 0]], &rsa),
            "is RSA of 1024 bits, which is not supported",
        ),
        (curve("1.3.132.0.10"), "is ECDSA secp256k1, which is not supported"),
        (curve("1.3.132.0.33"), "is ECDSA P-224, which is not supported"),
        (pem("EC PRIVATE KEY", &sec1), "is ECDSA secp256k1, which is not supported"),
        (pkcs8(&[&oid("1.3.101.113")], &[]), "is Ed448, which is not supported"),
        (pkcs8(&[&oid("1.2.840.10040.4.1")], &[]), "is DSA, which is not supported"),
        (pkcs8(&[&oid("1.2.3.4")], &[]), "is of kind 1.2.3.4, which is not supported"),
        (pem("PRIVATE KEY", &[1, 2, 3]), "is damaged, or of a kind that is not supported"),
    ] {
        folder.write("a.key", content);
        let expected = format!(
            "[tls] key_file = \"a.key\": the private key {kind}; use ECDSA P-256, which every client \
             takes, P-384, P-521, Ed25519, or RSA of 2048 to 8192 bits"
        );
        assert_eq!(only_fault(&folder, ""), expected);
    }
}

#[test]
fn a_key_that_other_users_can_reach_is_refused_and_one_of_the_group_is_not() {
    let (folder, _) = folder();
    for mode in [0o644, 0o604, 0o602, 0o601, 0o777] {
        folder.set_mode("a.key", mode);
        assert_eq!(
            only_fault(&folder, ""),
            format!(
                "[tls] key_file = \"a.key\": every user of this machine can reach the private key (mode \
                 {mode:04o}); `chmod 0640 a.key`, with the broker's group"
            )
        );
    }
    for mode in [0o600, 0o400, 0o440, 0o640, 0o660] {
        folder.set_mode("a.key", mode);
        accepted(&folder, "");
    }
    folder.set_mode("a.pem", 0o644);
    accepted(&folder, "");
}

#[test]
fn no_text_repeats_anything_of_a_key() {
    let (folder, authority) = folder();
    let pair = authority.server(&["localhost"]);
    let key = pair.key.serialize_pem();
    let secret = key.lines().nth(1).expect("the first line of the key");
    for content in [
        key.replace("-----END", "END"),
        key.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-"),
        key.replace("\nM", "\n-M"),
        format!("-----BEGIN {secret}-----\n{key}").replace("-----BEGIN PRIVATE KEY-----\n", ""),
        key.lines().take(2).collect::<Vec<_>>().join("\n"),
    ] {
        folder.write("a.key", &content);
        let fault = only_fault(&folder, "");
        assert!(!fault.contains(&secret[..8]), "{fault}\n{content}");
    }
}
