//! Credentials and permissions of NATS clients. Users are the same as for BLIP/1.

use blipmq_client::{ClientOptions, Event};
use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;

use super::on_one_and_two_cores;
use crate::support::nats::{Nats, Said};
use crate::support::running::Broker;

on_one_and_two_cores! {
    a_token_lets_in_whoever_has_it_and_nobody_else,
    a_password_lets_in_its_user_and_nobody_else,
    an_nkey_lets_in_who_signs_the_nonce_of_its_connection,
    users_reach_what_they_may_and_are_told_what_they_may_not,
    a_wildcard_is_not_sent_what_is_denied_whoever_publishes_it,
}

const VIOLATION: &str = "Authorization Violation";

/// CONNECT with these fields beside the usual ones.
fn connect(mut fields: serde_json::Value) -> String {
    fields["verbose"] = json!(false);
    fields["pedantic"] = json!(false);
    fields["headers"] = json!(true);
    fields["no_responders"] = json!(true);
    fields.to_string()
}

#[track_caller]
fn refused(broker: &Broker, fields: serde_json::Value) {
    let mut nats = Nats::silent(broker.nats.expect("NATS clients are served"));
    assert_eq!(nats.info["auth_required"], true);
    nats.say(&format!("CONNECT {}\r\nPING\r\n", connect(fields)));
    nats.expect_last_error(VIOLATION);
}

#[track_caller]
fn let_in(broker: &Broker, fields: serde_json::Value) -> Nats {
    let addr = broker.nats.expect("NATS clients are served");
    Nats::connect_as(addr, &connect(fields))
}

/// Anything but CONNECT is refused before it.
fn must_connect_first(broker: &Broker) {
    let addr = broker.nats.expect("NATS clients are served");
    for early in
        ["PING\r\n", "PUB a 1\r\nx\r\n", "SUB > 1\r\n", "+OK\r\n", "GET / HTTP/1.1\r\n\r\n"]
    {
        let mut nats = Nats::silent(addr);
        nats.say(early);
        nats.expect_last_error(VIOLATION);
    }
}

fn a_token_lets_in_whoever_has_it_and_nobody_else(cores: &str) {
    let broker = Broker::start_with(cores, "[auth]\ntoken = \"t0ken\"\n");
    let mut nats = let_in(&broker, json!({"auth_token": "t0ken"}));
    assert_eq!(nats.info.get("nonce"), None, "nobody signs here");
    nats.subscribe("a", "1");
    for fields in [
        json!({}),
        json!({"auth_token": ""}),
        json!({"auth_token": "t0ke"}),
        json!({"auth_token": "T0ken"}),
        json!({"user": "t0ken"}),
        json!({"user": "", "pass": "t0ken"}),
        json!({"user": "t0ken", "pass": "t0ken"}),
        json!({"jwt": "t0ken"}),
        json!({"nkey": "t0ken", "sig": "t0ken"}),
    ] {
        refused(&broker, fields);
    }
    must_connect_first(&broker);
    let blip = ClientOptions::new().token("t0ken").connect(&broker.server()).expect("it is right");
    blip.topic("a").expect("it is allowed").publish(b"x").expect("it is allowed");
    assert_eq!(nats.message().text(), "x");
    drop((nats, blip));
    broker.stop();
}

const USERS: &str = "\
[[auth.users]]
user = \"admin\"
password = \"pw-admin\"

[[auth.users]]
user = \"eu\"
password = \"pw-eu\"
publish = [\"eu.>\", \"_INBOX.>\"]
publish_deny = [\"eu.secret\"]
subscribe = [\"eu.>\", \"news.>\", \"_INBOX.>\"]
subscribe_deny = [\"news.secret\", \"news.*.draft\"]
";

fn admin() -> serde_json::Value {
    json!({"user": "admin", "pass": "pw-admin"})
}

fn eu() -> serde_json::Value {
    json!({"user": "eu", "pass": "pw-eu"})
}

fn a_password_lets_in_its_user_and_nobody_else(cores: &str) {
    let broker = Broker::start_with(cores, USERS);
    drop((let_in(&broker, admin()), let_in(&broker, eu())));
    for fields in [
        json!({}),
        json!({"user": "eu"}),
        json!({"pass": "pw-eu"}),
        json!({"user": "eu", "pass": ""}),
        json!({"user": "eu", "pass": "pw-admin"}),
        json!({"user": "EU", "pass": "pw-eu"}),
        json!({"user": "nobody", "pass": "pw-eu"}),
        json!({"auth_token": "pw-eu"}),
        json!({"nkey": "eu", "sig": "pw-eu"}),
    ] {
        refused(&broker, fields);
    }
    must_connect_first(&broker);
    broker.stop();
}

/// The public nkey of a user, as NATS tools write it.
fn public_nkey(key: &SigningKey) -> String {
    let mut bytes = vec![20 << 3];
    bytes.extend_from_slice(key.verifying_key().as_bytes());
    let crc = bytes.iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    bytes.extend_from_slice(&crc.to_le_bytes());
    BASE32_NOPAD.encode(&bytes)
}

fn an_nkey_lets_in_who_signs_the_nonce_of_its_connection(cores: &str) {
    let key = SigningKey::from_bytes(&[5; 32]);
    let stranger = SigningKey::from_bytes(&[6; 32]);
    let public = public_nkey(&key);
    let config = format!("[[auth.users]]\nnkey = \"{public}\"\nsubscribe = [\"mine\"]\n{USERS}");
    let broker = Broker::start_with(cores, &config);
    let addr = broker.nats.expect("NATS clients are served");
    let nonce_of =
        |nats: &Nats| nats.info["nonce"].as_str().expect("it is to be signed").to_owned();
    let sign = |key: &SigningKey, nonce: &str| key.sign(nonce.as_bytes()).to_bytes();

    // Both ways to write a signature that clients have.
    for encode in
        [|bytes: &[u8]| BASE64URL_NOPAD.encode(bytes), |bytes: &[u8]| BASE64.encode(bytes)]
    {
        let nats = Nats::silent(addr);
        let signature = encode(&sign(&key, &nonce_of(&nats)));
        let mut nats = nats.introduced(&connect(json!({"nkey": public, "sig": signature})));
        nats.subscribe("mine", "1");
        nats.say("SUB yours 2\r\n");
        nats.expect_error("Permissions Violation for Subscription to \"yours\"");
        nats.publish("mine", b"x");
        assert_eq!(nats.message().text(), "x");
    }
    let another_nonce = nonce_of(&Nats::silent(addr));
    type Wrong<'a> = &'a dyn Fn(&str) -> serde_json::Value;
    let wrong: [Wrong<'_>; 7] = [
        &|_| json!({"nkey": public}),
        &|_| json!({"nkey": public, "sig": ""}),
        &|_| json!({"nkey": public, "sig": "not base64!"}),
        &|_| json!({"nkey": public, "sig": BASE64URL_NOPAD.encode(&sign(&key, &another_nonce))}),
        &|nonce| json!({"nkey": public, "sig": BASE64URL_NOPAD.encode(&sign(&stranger, nonce))}),
        &|nonce| {
            let sig = BASE64URL_NOPAD.encode(&sign(&stranger, nonce));
            json!({"nkey": public_nkey(&stranger), "sig": sig})
        },
        &|nonce| json!({"nkey": public, "sig": &BASE64URL_NOPAD.encode(&sign(&key, nonce))[1..]}),
    ];
    for fields in wrong {
        let mut nats = Nats::silent(addr);
        let fields = fields(&nonce_of(&nats));
        nats.say(&format!("CONNECT {}\r\n", connect(fields)));
        nats.expect_last_error(VIOLATION);
    }
    // Others still have their passwords.
    drop(let_in(&broker, admin()));
    broker.stop();
}

fn users_reach_what_they_may_and_are_told_what_they_may_not(cores: &str) {
    let broker = Broker::start_with(cores, USERS);
    let mut admin = let_in(&broker, admin());
    admin.subscribe(">", "all");
    let mut eu = let_in(&broker, eu());
    for (line, told) in [
        ("PUB us.a 1\r\nx\r\n", "Publish to \"us.a\""),
        ("PUB eu.secret 1\r\nx\r\n", "Publish to \"eu.secret\""),
        ("PUB news.a 1\r\nx\r\n", "Publish to \"news.a\""),
        ("SUB us.> 1\r\n", "Subscription to \"us.>\""),
        ("SUB > 1\r\n", "Subscription to \">\""),
        ("SUB *.a 1\r\n", "Subscription to \"*.a\""),
        ("SUB news.secret 1\r\n", "Subscription to \"news.secret\""),
        ("SUB news.x.draft 1\r\n", "Subscription to \"news.x.draft\""),
        ("SUB us.a team 1\r\n", "Subscription to \"us.a\" using queue \"team\""),
    ] {
        eu.say(line);
        eu.expect_error(&format!("Permissions Violation for {told}"));
    }
    eu.subscribe("eu.*", "1");
    eu.publish("eu.a", b"allowed");
    assert_eq!(eu.message().text(), "allowed");
    assert_eq!(admin.message().text(), "allowed");
    admin.ping();
    // A request needs leave for its inbox alone.
    eu.subscribe("_INBOX.eu.*", "2");
    eu.publish_with("eu.ask", "_INBOX.eu.1", b"", b"?");
    assert_eq!(eu.message().text(), "?");
    let request = admin.message();
    admin.publish(request.reply.as_deref().expect("it asks"), b"answer");
    assert_eq!(eu.message().text(), "answer");
    // Who proves to be somebody else may do what that one may.
    eu.say(&format!("CONNECT {}\r\n", connect(json!({"user": "admin", "pass": "pw-admin"}))));
    eu.subscribe("us.*", "3");
    eu.say(&format!("CONNECT {}\r\n", connect(json!({"user": "admin", "pass": "wrong"}))));
    eu.expect_last_error(VIOLATION);
    drop((eu, admin));
    broker.stop();
}

/// Goal: neither a plain subscription nor a member of a group is sent what is denied, and nobody is
/// told; in a group a member that may have it gets it.
fn a_wildcard_is_not_sent_what_is_denied_whoever_publishes_it(cores: &str) {
    const SUBJECTS: [&str; 5] =
        ["news.open", "news.secret", "news.eu.draft", "news.eu", "news.eu.draft.2"];
    let broker = Broker::start_with(cores, USERS);
    let mut eu = let_in(&broker, eu());
    eu.subscribe("news.>", "1");
    let mut eu_member = let_in(&broker, json!({"user": "eu", "pass": "pw-eu"}));
    eu_member.join("news.>", "team", "1");
    let mut admin_member = let_in(&broker, admin());
    admin_member.join("news.>", "team", "1");
    let mut nats = let_in(&broker, admin());
    nats.subscribe("news.>", "1");
    let options = ClientOptions::new().user("admin", "pw-admin");
    let blip = options.connect(&broker.server()).expect("it is right");
    for subject in SUBJECTS {
        nats.publish(subject, b"by nats");
        assert_eq!(nats.message().subject, subject);
        blip.topic(subject).expect("it is allowed").publish(b"by blip").expect("it is allowed");
        assert_eq!(nats.message().subject, subject);
    }
    let subjects = |nats: &mut Nats| -> Vec<String> {
        nats.messages().into_iter().map(|message| message.subject).collect()
    };
    let allowed = |subject: &&str| !matches!(*subject, "news.secret" | "news.eu.draft");
    let twice = SUBJECTS.iter().filter(|subject| allowed(subject)).flat_map(|one| [*one; 2]);
    assert_eq!(subjects(&mut eu), twice.collect::<Vec<_>>());
    let by_eu = subjects(&mut eu_member);
    let mut dealt = subjects(&mut admin_member);
    assert!(by_eu.iter().all(|subject| allowed(&subject.as_str())), "{by_eu:?}");
    dealt.extend(by_eu);
    dealt.sort();
    let mut all: Vec<&str> = SUBJECTS.iter().flat_map(|subject| [*subject; 2]).collect();
    all.sort_unstable();
    assert_eq!(dealt, all, "each once, to one of both");

    // The same holds the other way round.
    let options = ClientOptions::new().user("eu", "pw-eu");
    let blip_eu = options.connect(&broker.server()).expect("it is right");
    blip_eu.subscribe("news.>", Default::default()).expect("it is allowed");
    nats.publish("news.secret", b"not for all");
    nats.publish("news.open", b"for all");
    match blip_eu.recv().expect("one comes") {
        Event::Messages(messages) => {
            let texts: Vec<&[u8]> = messages.iter().map(|message| message.payload).collect();
            assert_eq!((&**messages.topic(), texts), ("news.open", vec![&b"for all"[..]]));
        }
        other => panic!("a message was due, got {other:?}"),
    }
    eu.say("PING\r\n");
    assert!(matches!(eu.expect(), Said::Message(_)));
    assert_eq!(eu.expect(), Said::Pong);
    drop((eu, eu_member, admin_member, nats, blip, blip_eu));
    broker.stop();
}
