//! Each mistake with its exact words, and that no text has a secret in it.

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
fn users_are_read_in_every_way_toml_writes_them() {
    let header = format!(
        "[[auth.users]]\nuser = \"eu\"\npassword = \"pw-eu\"\npublish = [\"a.>\"]\n\
         publish_deny = []\n\n[[auth.users]]\nnkey = \"{NKEY}\"\n"
    );
    let inline = format!(
        "[auth]\nusers = [{{ user = \"eu\", password = \"pw-eu\", publish = [\"a.>\"], \
         publish_deny = [] }}, {{ nkey = \"{NKEY}\" }}]\n"
    );
    let auth = auth_of(&header);
    assert_eq!(auth, auth_of(&inline));
    assert_eq!(auth.users.len(), 2);
    let permissions = &auth.users[0].permissions;
    assert_eq!(permissions.publish, Some(vec!["a.>".to_owned()]));
    assert_eq!(permissions.publish_deny, Some(vec![]), "an empty list is not an absent one");
    assert_eq!(permissions.subscribe, None);
    let Login::Password { user, password } = &auth.users[0].login else { panic!("{auth:?}") };
    assert_eq!((user.as_str(), password.reveal()), ("eu", "pw-eu"));
    let Login::Nkey(nkey) = &auth.users[1].login else { panic!("{auth:?}") };
    assert_eq!(nkey.as_str(), NKEY);
    assert_eq!(auth_of("[auth]\ntoken = \"t\"\n").token.expect("it is set").reveal(), "t");
    assert_eq!(auth_of("[auth]\n"), Auth::default());
}

#[test]
fn each_mistake_is_told_with_its_line_and_what_to_do() {
    let user = "[[auth.users]]\nuser = \"eu\"\npassword = \"s3cret\"\n";
    for (text, words) in [
        (
            "[auth]\ntoken = \"\"\n".to_owned(),
            "blipmq.toml:2: [auth] token = <not printed>: it is empty; write the secret, or take \
             the line out",
        ),
        (
            "[auth]\ntoken = 5\n".to_owned(),
            "blipmq.toml:2: [auth] token = <not printed> is an integer, must be a string in \
             quotes that is not empty",
        ),
        (
            "[auth]\ntoken = \"<not printed>\"\n".to_owned(),
            "blipmq.toml:2: [auth] token = <not printed>: this is what is printed in the place of \
             a secret; write the secret",
        ),
        (
            "[auth]\nuser = \"eu\"\n".to_owned(),
            "blipmq.toml:2: [auth] user is not a known key; user belongs below [[auth.users]]",
        ),
        (
            "[auth]\nuser_list = 5\n".to_owned(),
            "blipmq.toml:2: [auth] user_list is not a known key; known keys: token, users",
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
            format!("{user}pasword = \"s3cret\"\n"),
            "blipmq.toml:4: [[auth.users]] pasword is not a known key; did you mean password?",
        ),
        (
            format!("{user}roles = [\"s3cret\"]\n"),
            "blipmq.toml:4: [[auth.users]] roles is not a known key; known keys: user, password, \
             nkey, publish, publish_deny, subscribe, subscribe_deny",
        ),
        (
            "[[auth.users]]\nuser = \"eu\"\n".to_owned(),
            "blipmq.toml:1: [[auth.users]] has user and no password; add password = \"...\", or \
             give an nkey instead of the name",
        ),
        (
            "[[auth.users]]\npassword = \"s3cret\"\n".to_owned(),
            "blipmq.toml:1: [[auth.users]] has password and no user; add user = \"...\"",
        ),
        (
            "[[auth.users]]\npublish = []\n".to_owned(),
            "blipmq.toml:1: [[auth.users]] has neither user and password nor nkey; add what its \
             clients prove themselves with",
        ),
        (
            format!("{user}nkey = \"{NKEY}\"\n"),
            "blipmq.toml:1: [[auth.users]] has an nkey beside user or password; an nkey stands \
             alone: take the others out, or make two users of it",
        ),
        (
            "[[auth.users]]\nuser = \"eu\"\npassword = 123456\n".to_owned(),
            "blipmq.toml:3: [[auth.users]] password is an integer, must be a password in quotes",
        ),
        (
            "[[auth.users]]\nuser = \"\"\npassword = \"s3cret\"\n".to_owned(),
            "blipmq.toml:2: [[auth.users]] user: it is empty; give the user a name",
        ),
        (
            "[[auth.users]]\nuser = \"eu\"\npassword = \"$2a$11$s3cret\"\n".to_owned(),
            "blipmq.toml:3: [[auth.users]] password: it is a bcrypt hash, which is not served; \
             write the secret itself, in a file that only the broker may read",
        ),
        (
            "[[auth.users]]\nnkey = \"s3cret\"\n".to_owned(),
            "blipmq.toml:2: [[auth.users]] nkey: it is not an nkey: give a user's public nkey, U \
             and 55 more characters, letter by letter as `nk -gen user -pubout` printed it",
        ),
        (
            format!("{user}publish = \"a.>\"\n"),
            "blipmq.toml:4: [[auth.users]] publish is a string, must be a list of patterns in \
             quotes, like [\"orders.>\"]",
        ),
        (
            format!("{user}subscribe = [\"a\", 5]\n"),
            "blipmq.toml:4: [[auth.users]] subscribe is an integer, must be a list of patterns in \
             quotes, like [\"orders.>\"]",
        ),
        (
            format!("{user}subscribe_deny = [\"a\", \"a..b\"]\n"),
            "blipmq.toml:4: [[auth.users]] subscribe_deny: bad pattern \"a..b\": token 2 is empty; \
             tokens are separated by single dots, none at the ends",
        ),
        (
            format!("{user}\n{user}"),
            "blipmq.toml:5: [[auth.users]] \"eu\" is in line 1 already; a user is one table, take \
             one of both out",
        ),
        (
            format!("[auth]\ntoken = \"s3cret\"\n\n{user}"),
            "blipmq.toml:4: [auth] token and [[auth.users]] do not go together, since whoever has \
             the token could do what users may not; give the token's clients a user with a \
             password, or take the users out",
        ),
    ] {
        assert_eq!(error_of(&text), words, "{text}");
    }
}

#[test]
fn a_line_that_is_not_toml_is_not_repeated_where_it_may_have_a_secret() {
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
    ] {
        let error = Settings::parse("blipmq.toml", text).expect_err(text).to_string();
        assert!(!error.contains("s3cret"), "{text}\n{error}");
    }
}

/// Goal: what is printed shows who may do what, and no secret; and is refused where one is missing.
#[test]
fn printed_users_parse_again_once_their_passwords_are_put_back() {
    let text = format!(
        "[[auth.users]]\nuser = 'a \"b\" \\ c'\npassword = \"s3cret\"\npublish = [\"a.>\", \"b\"]\n\
         subscribe = []\nsubscribe_deny = ['x.\"y']\n[[auth.users]]\nnkey = \"{NKEY}\"\n"
    );
    let settings = Settings::parse("blipmq.toml", &text).unwrap();
    let printed = settings.to_string();
    assert!(!printed.contains("s3cret"), "{printed}");
    assert!(!format!("{settings:?}").contains("s3cret"), "{settings:?}");
    assert!(error_of(&printed).contains("in the place of a secret"), "{printed}");
    let put_back = printed.replace(SECRET_PRINTED, "s3cret");
    assert_eq!(Settings::parse("printed", &put_back), Ok(settings));

    let settings = Settings::parse("blipmq.toml", "[auth]\ntoken = \"s3cret\"\n").unwrap();
    let printed = settings.to_string();
    assert!(!printed.contains("s3cret"), "{printed}");
    let put_back = printed.replace(SECRET_PRINTED, "s3cret");
    assert_eq!(Settings::parse("printed", &put_back), Ok(settings));
}

#[test]
fn the_example_of_a_user_that_is_printed_is_one_once_it_is_filled_in() {
    let printed = Settings::default().to_string();
    let example: String = printed
        .lines()
        .skip_while(|line| *line != "# [[auth.users]]")
        .take_while(|line| line.starts_with("# "))
        .map(|line| format!("{}\n", line.trim_start_matches("# ")))
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .filter(|line| !line.starts_with("nkey"))
        .collect();
    let users = auth_of(&example).users;
    assert_eq!(users.len(), 1, "{example}");
    assert!(users[0].permissions.subscribe_deny.is_some(), "{example}");
}
