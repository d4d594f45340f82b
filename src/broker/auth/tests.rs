//! Who may connect, and what a reload changes of that.

use data_encoding::BASE32_NOPAD;
use ed25519_dalek::{Signer, SigningKey};

use super::*;

fn auth(text: &str) -> Auth {
    Auth::new(&Settings::parse("blipmq.toml", text).expect(text))
}

/// What credentials are good for at once.
fn granted(auth: &Auth, credentials: &Credentials<'_>) -> Option<Arc<Permissions>> {
    match auth.check(credentials, None) {
        Checked::Granted(permissions) => Some(permissions),
        Checked::Refused(_) => None,
        Checked::Compare(comparison) => panic!("{comparison:?} has to be compared"),
    }
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
        assert!(granted(&auth, &credentials).expect("every client may connect").is_unlimited());
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
        let permissions = granted(&auth(text), &Credentials::Token("t0ken"));
        let permissions = permissions.expect("the token is right, or none is needed");
        assert_eq!(permissions.may_block(">"), may_block, "{text}");
        assert!(permissions.is_unlimited(), "{text}");
    }
}

#[test]
fn only_clients_with_the_token_may_connect() {
    let auth = auth("[auth]\ntoken = \"t0ken\"\n");
    assert!(auth.is_required() && !auth.wants_nonce());
    let permissions = granted(&auth, &Credentials::Token("t0ken")).expect("the token is right");
    assert!(permissions.is_unlimited());
    for wrong in ["", "t0ke", "t0ken2", "T0ken"] {
        assert_eq!(granted(&auth, &Credentials::Token(wrong)), None, "{wrong}");
    }
    assert_eq!(granted(&auth, &Credentials::None), None);
    let as_password = Credentials::Password { user: "", password: "t0ken" };
    assert_eq!(granted(&auth, &as_password), None);
}

#[test]
fn each_password_gives_the_permissions_of_its_own_user() {
    let auth = auth(USERS);
    let check = |user, password| granted(&auth, &Credentials::Password { user, password });
    let permissions = check("eu", "pw-eu").expect("the password is right");
    assert!(permissions.may_publish("a.b") && !permissions.may_publish("b"));
    assert!(check("us", "pw-us").expect("the password is right").is_unlimited());
    for (user, password) in
        [("eu", "pw-us"), ("eu", ""), ("EU", "pw-eu"), ("", ""), ("x", "decoy password")]
    {
        assert_eq!(check(user, password), None, "{user} {password}");
    }
    assert_eq!(granted(&auth, &Credentials::None), None);
    assert_eq!(granted(&auth, &Credentials::Token("pw-eu")), None);
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
        granted(&auth, &Credentials::Nkey { public, signature: &signature, nonce })
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

const ARGON2: &str =
    "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

fn users(users: &[(&str, &str)]) -> Auth {
    let table = |(user, password): &(&str, &str)| {
        format!("[[auth.users]]\nuser = \"{user}\"\npassword = \"{password}\"\n")
    };
    auth(&users.iter().map(table).collect::<String>())
}

/// Goal: who tries names learns nothing from the work that the broker does.
/// Method: with one kind of hash, each name costs that; with several, each name always costs the same one.
#[test]
fn a_name_that_no_user_has_costs_the_work_of_one_that_a_user_has() {
    let work = |auth: &Auth, user| match auth
        .check(&Credentials::Password { user, password: "p" }, None)
    {
        Checked::Compare(comparison) => {
            assert_eq!(comparison.permissions.is_some(), ["eu", "us", "as"].contains(&user));
            Some(comparison.hash.work)
        }
        Checked::Refused(_) => None,
        Checked::Granted(_) => panic!("the password is wrong"),
    };
    let unknown: Vec<String> = (0..100).map(|number| format!("nobody-{number}")).collect();
    for hash in [ARGON2, BCRYPT, "plain"] {
        let auth = users(&[("eu", hash)]);
        assert!(unknown.iter().all(|user| work(&auth, user) == work(&auth, "eu")), "{hash}");
    }
    let mixed = users(&[("eu", ARGON2), ("us", BCRYPT), ("as", "plain")]);
    let more = users(&[("eu", ARGON2), ("us", BCRYPT), ("as", "plain"), ("af", "plain2")]);
    for known in ["eu", "us", "as"] {
        assert!(unknown.iter().any(|user| work(&mixed, user) == work(&mixed, known)), "{known}");
    }
    assert!(unknown.iter().all(|user| work(&mixed, user) == work(&more, user)));
}

#[test]
fn a_right_answer_counts_only_while_the_identity_has_the_same_hash() {
    let auth = users(&[("eu", ARGON2)]);
    let identity = Identity::User("eu".into());
    let [argon2, bcrypt] = [ARGON2, BCRYPT].map(|text| Hash::parse(text).unwrap().unwrap());
    assert!(auth.granted_for(&identity, &argon2).is_some());
    for (auth, identity, hash) in [
        (&auth, &identity, &bcrypt),
        (&auth, &identity, &argon2.decoy()),
        (&auth, &Identity::User("us".into()), &argon2),
        (&auth, &Identity::Token, &argon2),
        (&users(&[("eu", "plain")]), &identity, &argon2),
    ] {
        assert!(auth.granted_for(identity, hash).is_none(), "{identity:?}");
    }
    assert!(auth.has_same_secret(&identity, &users(&[("eu", ARGON2), ("us", "x")])));
    assert!(!auth.has_same_secret(&identity, &users(&[("eu", BCRYPT)])));
    assert!(!auth.has_same_secret(&identity, &users(&[("us", ARGON2)])));
}
