//! Each mistake with its exact text, and no text with a secret.

use crate::config::auth::{Login, SECRET_PRINTED};
use crate::config::{Auth, Settings};

const NKEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

fn error_of(text: &str) -> String {
    let error = Settings::parse("blipmq.toml", text).expect_err(text).to_string();
    assert_eq!(error.lines().count(), 1, "{text}\n{error}");
    error
}

fn auth_of(text: &str) -> Auth {
    Settings::parse("blipmq.toml", text).unwrap_or_else(|error| panic!("{text}\n{error}")).auth
}

#[test]
fn users_are_read_in_every_notation_of_toml() {
    let header = format!(
        "[[auth.users]]\nuser = \"eu\"\npassword = \"pw-eu\"\npublish = [\"a.>\"]\n\
         publish_deny = []\nblock = [\"a.*\"]\n\n[[auth.users]]\nnkey = \"{NKEY}\"\n"
    );
    let inline = format!(
        "[auth]\nusers = [{{ user = \"eu\", password = \"pw-eu\", publish = [\"a.>\"], \
         publish_deny = [], block = [\"a.*\"] }}, {{ nkey = \"{NKEY}\" }}]\n"
    );
    let auth = auth_of(&header);
    assert_eq!(auth, auth_of(&inline));
    assert_eq!(auth.users.len(), 2);
    let permissions = &auth.users[0].permissions;
    assert_eq!(permissions.publish, Some(vec!["a.>".to_owned()]));
    assert_eq!(permissions.publish_deny, Some(vec![]), "an empty list is not an absent one");
    assert_eq!(permissions.subscribe, None);
    assert_eq!(permissions.block, Some(vec!["a.*".to_owned()]));
    let Login::Password { user, password } = &auth.users[0].login else { panic!("{auth:?}") };
    assert_eq!((user.as_str(), password.reveal()), ("eu", "pw-eu"));
    let Login::Nkey(nkey) = &auth.users[1].login else { panic!("{auth:?}") };
    assert_eq!(nkey.as_str(), NKEY);
    assert_eq!(auth_of("[auth]\ntoken = \"t\"\n").token.expect("it is set").reveal(), "t");
    assert_eq!(auth_of("[auth]\n"), Auth::default());
}

/// A user without problems, for a mistake behind it.
const USER: &str = "[[auth.users]]\nuser = \"eu\"\npassword = \"s3cret\"\n";

#[track_caller]
fn assert_texts(rows: &[(String, &str)]) {
    for (text, words) in rows {
        assert_eq!(error_of(text), *words, "{text}");
    }
}

#[test]
fn a_mistake_in_the_auth_table_is_one_line_that_says_what_to_do() {
    assert_texts(&[
        (
            "[auth]\ntoken = \"\"\n".to_owned(),
            "blipmq.toml:2: [auth] token = <not printed>: the secret is empty; write the secret, or \
             remove the line",
        ),
        (
            "[auth]\ntoken = 5\n".to_owned(),
            "blipmq.toml:2: [auth] token = <not printed> is an integer, must be a string in \
             quotes that is not empty, or { env = \"NAME\" }",
        ),
        (
            "[auth]\ntoken = \"<not printed>\"\n".to_owned(),
            "blipmq.toml:2: [auth] token = <not printed>: this is the printed placeholder of a secret; \
             write the secret",
        ),
        (
            "[auth]\nuser = \"eu\"\n".to_owned(),
            "blipmq.toml:2: [auth] user is not a known key; user belongs below [[auth.users]]",
        ),
        (
            "[auth]\nuser_list = 5\n".to_owned(),
            "blipmq.toml:2: [auth] user_list is not a known key; known keys: token, token_file, users",
        ),
        (
            "[auth.users]\nuser = \"eu\"\n".to_owned(),
            "blipmq.toml:1: [auth] users must be tables; write [[auth.users]] on a line of its \
             own for each user, and its keys below",
        ),
        (
            "[auth]\nusers = [\"s3cret\"]\n".to_owned(),
            "blipmq.toml:2: [auth] users must be tables; write [[auth.users]] on a line of its \
             own for each user, and its keys below",
        ),
        (
            format!("{USER}\n{USER}"),
            "blipmq.toml:5: [[auth.users]] \"eu\" has a table in line 1 already; remove one of the two",
        ),
        (
            format!("[auth]\ntoken = \"s3cret\"\n\n{USER}"),
            "blipmq.toml:4: [auth] token excludes [[auth.users]], since clients with the token would \
             have all permissions; give these clients a user with a password instead of the token, or \
             remove the users",
        ),
    ]);
}

#[test]
fn incomplete_or_mixed_credentials_are_one_line_that_says_what_to_add_or_remove() {
    assert_texts(&[
        (
            "[[auth.users]]\nuser = \"eu\"\n".to_owned(),
            "blipmq.toml:1: [[auth.users]] has user and no password; add password = \"...\" or \
             certificate = \"...\", or give an nkey instead of the name",
        ),
        (
            "[[auth.users]]\npassword = \"s3cret\"\n".to_owned(),
            "blipmq.toml:1: [[auth.users]] has password and no user; add user = \"...\"",
        ),
        (
            "[[auth.users]]\npublish = []\n".to_owned(),
            "blipmq.toml:1: [[auth.users]] has neither user and password nor nkey nor \
             certificate; add the credentials of its clients",
        ),
        (
            format!("{USER}nkey = \"{NKEY}\"\n"),
            "blipmq.toml:1: [[auth.users]] has an nkey beside user or password; an nkey excludes the \
             others: remove them, or make two users of this one",
        ),
    ]);
}

/// What a certificate of a user needs besides.
const ASKS_CLIENTS: &str = "[tls]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\nclient_ca_file = \
                            \"ca.pem\"\nclient_certs = \"optional\"\n";

#[test]
fn users_are_known_by_names_or_keys_of_certificates() {
    let digest = "ab".repeat(32);
    let colons = ["AB"; 32].join(":");
    let text = format!(
        "{ASKS_CLIENTS}[[auth.users]]\ncertificate = \"alice@example.com\"\n[[auth.users]]\nuser = \
         \"bob\"\ncertificate = \"CN=bob,O=Acme\"\npassword = \"s3cret\"\n[[auth.users]]\ncertificate = \
         \"sha256:{digest}\"\n[[auth.users]]\ncertificate = \"sha256:{colons}\"\nuser = \"carol\"\n"
    );
    let settings = Settings::parse("blipmq.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let certificates = settings.auth.users.iter().map(|user| match &user.login {
        Login::Certificate { certificate, user, password } => {
            (certificate.clone(), user.as_deref(), password.as_ref().map(|secret| secret.reveal()))
        }
        other => panic!("{other:?}"),
    });
    let certificates: Vec<_> = certificates.collect();
    let users = certificates.iter().map(|(_, user, password)| (*user, *password));
    let expected =
        [(None, None), (Some("bob"), Some("s3cret")), (None, None), (Some("carol"), None)];
    assert_eq!(users.collect::<Vec<_>>(), expected);
    assert_eq!(certificates[0].0.text(), "alice@example.com");
    assert!(certificates[0].0.subject().is_none() && certificates[0].0.key().is_none());
    assert!(certificates[1].0.subject().is_some());
    assert_eq!(certificates[2].0.key(), Some(&[0xab; 32]));
    assert_eq!(certificates[3].0.key(), Some(&[0xab; 32]));
    let printed = settings.to_string().replace(SECRET_PRINTED, "s3cret");
    assert_eq!(Settings::parse("printed", &printed), Ok(settings));
}

#[test]
fn a_certificate_of_a_user_that_cannot_be_one_is_one_line_that_says_what_to_do() {
    let user = |keys: &str| format!("{ASKS_CLIENTS}[[auth.users]]\n{keys}");
    assert_texts(&[
        (
            user("certificate = \"\"\n"),
            "blipmq.toml:7: [[auth.users]] certificate: the name is empty; write a name that the \
             certificate has",
        ),
        (
            user("certificate = \"sha256:abc\"\n"),
            "blipmq.toml:7: [[auth.users]] certificate: the digest of a public key has 64 hexadecimal \
             digits; `openssl x509 -in FILE -noout -pubkey | openssl pkey -pubin -outform DER | \
             sha256sum` prints it",
        ),
        (
            user("certificate = 5\n"),
            "blipmq.toml:7: [[auth.users]] certificate is an integer, must be a name of the user's \
             certificate in quotes",
        ),
        (
            user("certificate = \"a\"\npassword = \"s3cret\"\n"),
            "blipmq.toml:6: [[auth.users]] has certificate and password and no user; add user = \"...\", \
             because clients give a password with a name",
        ),
        (
            user(&format!("certificate = \"a\"\nnkey = \"{NKEY}\"\n")),
            "blipmq.toml:6: [[auth.users]] has an nkey beside a certificate; an nkey excludes the others: \
             remove it, or make two users of this one",
        ),
        (
            user("certificate = \"a\"\n[[auth.users]]\ncertificate = \"a\"\n"),
            "blipmq.toml:8: [[auth.users]] \"a\" has a table in line 6 already; remove one of the two",
        ),
        (
            "[[auth.users]]\ncertificate = \"a\"\n".to_owned(),
            "blipmq.toml:1: [[auth.users]] certificate has no effect, because clients are not asked for \
             certificates; set [tls] client_certs = \"required\" or \"optional\"",
        ),
    ]);
}

#[test]
fn a_key_of_a_user_that_is_not_allowed_is_one_line_with_the_allowed_ones() {
    assert_texts(&[
        (
            format!("{USER}pasword = \"s3cret\"\n"),
            "blipmq.toml:4: [[auth.users]] pasword is not a known key; did you mean password?",
        ),
        (
            format!("{USER}roles = [\"s3cret\"]\n"),
            "blipmq.toml:4: [[auth.users]] roles is not a known key; known keys: user, password, \
             password_file, nkey, certificate, publish, publish_deny, subscribe, subscribe_deny, block",
        ),
        (
            "[[auth.users]]\nuser = \"eu\"\npassword = 123456\n".to_owned(),
            "blipmq.toml:3: [[auth.users]] password is an integer, must be a password or its hash in \
             quotes, or { env = \"NAME\" }",
        ),
        (
            "[[auth.users]]\nuser = \"\"\npassword = \"s3cret\"\n".to_owned(),
            "blipmq.toml:2: [[auth.users]] user: the name is empty; give the user a name",
        ),
        (
            "[[auth.users]]\nuser = \"eu\"\npassword = \"$2a$11$s3cret\"\n".to_owned(),
            "blipmq.toml:3: [[auth.users]] password: this begins like a bcrypt hash, but is not a whole one \
             of 60 characters; copy all of it",
        ),
        (
            "[[auth.users]]\nnkey = \"s3cret\"\n".to_owned(),
            "blipmq.toml:2: [[auth.users]] nkey: this is not an nkey: give a user's public nkey, U and \
             55 more characters, exactly as `nk -gen user -pubout` printed it",
        ),
        (
            format!("{USER}publish = \"a.>\"\n"),
            "blipmq.toml:4: [[auth.users]] publish is a string, must be a list of patterns in \
             quotes, like [\"orders.>\"]",
        ),
        (
            format!("{USER}subscribe = [\"a\", 5]\n"),
            "blipmq.toml:4: [[auth.users]] subscribe is an integer, must be a list of patterns in \
             quotes, like [\"orders.>\"]",
        ),
        (
            format!("{USER}subscribe_deny = [\"a\", \"a..b\"]\n"),
            "blipmq.toml:4: [[auth.users]] subscribe_deny: bad pattern \"a..b\": token 2 is empty; \
             tokens are separated by single dots, none at the ends",
        ),
    ]);
}

#[test]
fn no_error_repeats_a_secret_wherever_the_quotes_or_lines_are_broken() {
    for text in [
        "[auth]\ntoken = s3cret\n",
        "[auth]\ntoken = \"s3cret\n",
        "[[auth.users]]\nuser = \"eu\"\npassword = s3cret\n",
        "[[auth.users]]\nuser = \"eu\"\npassword = \"\"\"\ns3cret\n",
        "auth = { token = s3cret }\n",
        "auth.token = s3cret\n",
        "[auth]\nusers = [{ user = \"eu\", password = \"s3cret\" }\n",
        "token = s3cret\n",
        "token = \"s3cret\"\n",
        "auth = \"s3cret\"\n",
        "[server]\npassword = \"s3cret\"\n",
        "[metrics]\ntoken =\n\"s3cret\"\n",
        "[metrics]\ntoken =\ns3cret = 5\n",
        "[metrics]\ntoken =\n[s3cret]\n",
        "[metrics]\ntoken =\n[[\"s3cret\"]]\n",
        "[metrics]\ntoken = \"\"\"s3cret\n",
        "[metrics]\ntoken = \"\"\"\ns3cret\n\"\"\n",
        "[metrics]\n\"s3cret\"\n",
        "[metrics]\ns3cret\n",
        "[metrics\ntoken = \"s3cret\"\n",
        "metrics = { bind_addr = \"127.0.0.1:1\", token = \"s3cret }\n",
        "metrics = { bind_addr = { token = \"s3cret\" } }\n",
        "[metrics]\nbind_addr.token = \"s3cret\"\n",
        "[metrics]\nbind_addr = [\"s3cret\"]\n",
        "metrics.token = s3cret\n",
        "metrics.\"token = \"s3cret\"\n",
        "[[auth.users]]\nuser = \"eu\"\npassword = \n\"s3cret\" = 1\n",
        "auth.users = [{ user = \"eu\", password = \"s3cret }]\n",
        "[[auth.users]]\nuser = \"eu\npassword = \"s3cret\"\nuser = \"s3cret\"\n",
        "[auth]\ntoken = '''\n[s3cret]\nx'''\ntoken = 1\n",
    ] {
        let error = Settings::parse("blipmq.toml", text).expect_err(text);
        let shown = format!("{error}\n{error:?}");
        assert!(!shown.contains("s3cret"), "{text}\n{shown}");
    }
}

/// Goal: printed settings show the permissions of users and no secret, and are refused until the
/// secrets are filled in.
#[test]
fn printed_users_parse_again_once_their_passwords_are_filled_in() {
    let text = format!(
        "[[auth.users]]\nuser = 'a \"b\" \\ c'\npassword = \"s3cret\"\npublish = [\"a.>\", \"b\"]\n\
         subscribe = []\nsubscribe_deny = ['x.\"y']\n[[auth.users]]\nnkey = \"{NKEY}\"\n"
    );
    let settings = Settings::parse("blipmq.toml", &text).unwrap();
    let printed = settings.to_string();
    assert!(!printed.contains("s3cret"), "{printed}");
    assert!(!format!("{settings:?}").contains("s3cret"), "{settings:?}");
    assert!(error_of(&printed).contains("the printed placeholder of a secret"), "{printed}");
    let filled_in = printed.replace(SECRET_PRINTED, "s3cret");
    assert_eq!(Settings::parse("printed", &filled_in), Ok(settings));

    let settings = Settings::parse("blipmq.toml", "[auth]\ntoken = \"s3cret\"\n").unwrap();
    let printed = settings.to_string();
    assert!(!printed.contains("s3cret"), "{printed}");
    let filled_in = printed.replace(SECRET_PRINTED, "s3cret");
    assert_eq!(Settings::parse("printed", &filled_in), Ok(settings));
}

#[test]
fn the_printed_example_of_a_user_parses_once_it_is_uncommented() {
    let printed = Settings::default().to_string();
    let example: String = printed
        .lines()
        .skip_while(|line| *line != "# [[auth.users]]")
        .take_while(|line| line.starts_with("# "))
        .map(|line| format!("{}\n", line.trim_start_matches("# ")))
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .filter(|line| {
            !["nkey", "certificate", "password_file"].iter().any(|key| line.starts_with(key))
        })
        .collect();
    let users = auth_of(&example).users;
    assert_eq!(users.len(), 1, "{example}");
    assert!(users[0].permissions.subscribe_deny.is_some(), "{example}");
}
