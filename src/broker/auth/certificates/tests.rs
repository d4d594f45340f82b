//! Which user a certificate names.

use super::super::{Auth, Checked};
use super::*;
use crate::config::Settings;

fn auth(users: &str) -> Auth {
    Auth::new(&settings(users))
}

fn settings(users: &str) -> Settings {
    let text = format!(
        "[tls]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\nclient_ca_file = \"ca.pem\"\n\
         client_certs = \"optional\"\n{users}"
    );
    Settings::parse("blipmq.toml", &text).unwrap_or_else(|error| panic!("{error}"))
}

fn user(certificate: &str) -> String {
    format!("[[auth.users]]\ncertificate = '{certificate}'\n")
}

/// What a client may do at once.
fn granted(
    auth: &Auth,
    credentials: &Credentials<'_>,
    certified: Option<&CertifiedNames>,
) -> Option<Arc<Permissions>> {
    match auth.check(credentials, certified) {
        Checked::Granted(permissions) => Some(permissions),
        Checked::Refused(_) => None,
        Checked::Compare(comparison) => panic!("{comparison:?} has to be compared"),
    }
}

/// The names of a certificate without alternative names.
fn names(subject: &str) -> CertifiedNames {
    CertifiedNames {
        emails: vec![],
        dns: vec![],
        uris: vec![],
        subject: subject.to_owned(),
        public_key_sha256: [7; 32],
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_certificate_names_a_user_by_its_alternative_names_and_by_its_whole_subject() {
    let alice = CertifiedNames { emails: strings(&["alice@example.com"]), ..names("CN=alice") };
    let dns = CertifiedNames { dns: strings(&["app.example.com"]), ..names("CN=x") };
    let uri = CertifiedNames { uris: strings(&["spiffe://example.com/app"]), ..names("CN=x") };
    let bob = names("CN=bob,OU=eng,O=Acme,C=DE");
    let domain = names("CN=bob,OU=CNCF,DC=example,DC=com");
    for (names, certificate, is_found) in [
        (&alice, "alice@example.com", true),
        (&alice, "CN=alice", true),
        (&alice, "alice", false),
        (&alice, "Alice@example.com", false),
        (&dns, "app.example.com", true),
        (&dns, "CN=x", true),
        (&dns, "example.com", false),
        (&uri, "spiffe://example.com/app", true),
        (&uri, "spiffe://example.com", false),
        (&bob, "CN=bob,OU=eng,O=Acme,C=DE", true),
        (&bob, "C=DE,O=Acme,OU=eng,CN=bob", true),
        (&bob, "O=Acme,CN=bob,OU=eng,C=DE", true),
        (&bob, "CN=bob, OU=eng, O=Acme, C=DE", true),
        (&bob, "CN=bob,OU=eng,O=Acme", false),
        (&bob, "CN=bob", false),
        (&bob, "bob", false),
        (&domain, "CN=bob,OU=CNCF,DC=example,DC=com", true),
        (&domain, "CN=bob,OU=CNCF", true),
        (&domain, "CN=bob,OU=CNCF,DC=com", false),
        (&domain, "CN=bob", false),
    ] {
        let auth = auth(&user(certificate));
        let found = granted(&auth, &Credentials::None, Some(names));
        assert_eq!(found.is_some(), is_found, "{certificate} {}", names.subject);
    }
}

#[test]
fn a_certificate_names_a_user_by_its_public_key() {
    let auth = auth(&user(&format!("sha256:{}", "07".repeat(32))));
    let is_found = |names| granted(&auth, &Credentials::None, Some(&names)).is_some();
    assert!(is_found(names("CN=anything")));
    let mut other = names("CN=anything");
    other.public_key_sha256[31] = 8;
    assert!(!is_found(other.clone()));
    // A name that looks like a digest is none.
    other.uris = strings(&[&format!("sha256:{}", "07".repeat(32))]);
    assert!(!is_found(other));
}

/// Users with other permissions each, to tell whom a certificate names.
#[test]
fn of_several_users_the_one_with_the_most_exact_name_is_found() {
    let ranks = [
        format!("sha256:{}", "07".repeat(32)),
        "a@example.com".to_owned(),
        "a.example.com".to_owned(),
        "spiffe://a".to_owned(),
        "CN=a,OU=b,UID=c,DC=com".to_owned(),
        "CN=a,OU=b,DC=com".to_owned(),
        "CN=a,OU=b".to_owned(),
    ];
    let certificate = CertifiedNames {
        emails: strings(&["a@example.com"]),
        dns: strings(&["a.example.com"]),
        uris: strings(&["spiffe://a"]),
        ..names("CN=a,OU=b,UID=c,DC=com")
    };
    for first in 0..ranks.len() {
        // The least exact one comes first in the file.
        let users = (first..ranks.len())
            .rev()
            .map(|rank| format!("{}publish = ['of.{rank}']\n", user(&ranks[rank])));
        let auth = auth(&users.collect::<String>());
        let found = granted(&auth, &Credentials::None, Some(&certificate)).expect("a user");
        assert!(found.may_publish(&format!("of.{first}")), "{}", ranks[first]);
    }
}

#[test]
fn other_credentials_do_not_make_a_client_with_a_certificate_another_user() {
    let users = format!(
        "{}user = \"al\"\n[[auth.users]]\nuser = \"bob\"\npassword = \"pw-bob\"\n",
        user("CN=alice")
    );
    let auth = auth(&users);
    let password = |user, password| Credentials::Password { user, password };
    let alice = names("CN=alice");
    let nobody = names("CN=nobody");
    for (credentials, certificate, is_found) in [
        (Credentials::None, Some(&alice), true),
        (password("al", ""), Some(&alice), true),
        (password("al", "x"), Some(&alice), false),
        (password("bob", "pw-bob"), Some(&alice), false),
        (Credentials::Token("t"), Some(&alice), false),
        (Credentials::None, Some(&nobody), false),
        (password("bob", "pw-bob"), Some(&nobody), false),
        (password("bob", "pw-bob"), None, true),
        (password("al", ""), None, false),
        (Credentials::None, None, false),
    ] {
        let found = granted(&auth, &credentials, certificate);
        assert_eq!(found.is_some(), is_found, "{credentials:?} {certificate:?}");
    }
}

#[test]
fn a_user_with_certificate_and_password_needs_both() {
    let auth = auth(&format!("{}user = \"al\"\npassword = \"pw\"\n", user("CN=alice")));
    let alice = names("CN=alice");
    let password = |password| Credentials::Password { user: "al", password };
    assert!(granted(&auth, &password("pw"), Some(&alice)).is_some());
    assert!(granted(&auth, &password("wrong"), Some(&alice)).is_none());
    assert!(granted(&auth, &password("pw"), Some(&names("CN=bob"))).is_none());
    assert!(granted(&auth, &password("pw"), None).is_none());
    assert!(granted(&auth, &Credentials::None, Some(&alice)).is_none());
}

#[test]
fn without_users_that_have_certificates_a_certificate_says_nothing() {
    let alice = names("CN=alice");
    let auth = auth("[[auth.users]]\nuser = \"bob\"\npassword = \"pw-bob\"\n");
    let bob = Credentials::Password { user: "bob", password: "pw-bob" };
    assert!(granted(&auth, &bob, Some(&alice)).is_some());
    assert!(granted(&auth, &Credentials::None, Some(&alice)).is_none());
}

/// Mosquitto (issue 1402) disconnected clients that had no user name at each reload.
#[test]
fn a_reload_keeps_a_client_that_is_known_by_its_certificate_until_its_user_goes() {
    let users = format!("{}{}", user("CN=alice"), user("CN=bob"));
    let before = auth(&users);
    let alice = granted(&before, &Credentials::None, Some(&names("CN=alice"))).expect("alice");
    let is_revoked = |revoked: &[Arc<Permissions>]| {
        revoked.iter().any(|permissions| Arc::ptr_eq(permissions, &alice))
    };
    let (after, revoked) =
        before.reloaded(&settings(&format!("{users}[delivery]\nmax_batch = 7\n")));
    assert!(revoked.is_empty());
    let again = granted(&after, &Credentials::None, Some(&names("CN=alice"))).expect("alice");
    assert!(Arc::ptr_eq(&alice, &again));
    let (_, revoked) = before.reloaded(&settings(&user("CN=alice")));
    assert!(!is_revoked(&revoked) && revoked.len() == 1, "bob is gone");
    let (_, revoked) = before.reloaded(&settings(&user("CN=bob")));
    assert!(is_revoked(&revoked), "alice is gone");
    let (_, revoked) = before.reloaded(&settings(&format!("{users}user = \"b\"\n")));
    assert!(!is_revoked(&revoked) && revoked.len() == 1, "bob was changed");
}

/// A password that is a hash is compared elsewhere, and only for a client with the certificate of its user.
#[test]
fn a_hashed_password_of_a_user_with_a_certificate_is_compared_only_behind_the_certificate() {
    let hash = "$2b$04$abcdefghijklmnopqrstuuAbCdEfGhIjKlMnOpQrStUvWxYz01234";
    let auth = auth(&format!("{}user = \"al\"\npassword = \"{hash}\"\n", user("CN=alice")));
    let password = Credentials::Password { user: "al", password: "pw" };
    let permissions =
        |certified: Option<&str>| match auth.check(&password, certified.map(names).as_ref()) {
            Checked::Compare(comparison) => comparison.permissions,
            Checked::Granted(_) => panic!("nothing was compared"),
            Checked::Refused(_) => None,
        };
    assert!(permissions(Some("CN=alice")).is_some());
    assert!(permissions(Some("CN=bob")).is_none());
    assert!(permissions(None).is_none(), "a decoy at most");
    let Checked::Compare(comparison) = auth.check(&password, Some(&names("CN=alice"))) else {
        panic!("it is compared");
    };
    assert!(auth.granted_for(&comparison.identity, &comparison.hash).is_some());
}
