//! Credentials and permissions of NATS clients. Users are the same as for BLIP/1.

use blipmq_client::{ClientOptions, Event, Overflow, SubscribeOptions};
use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;

use super::on_one_and_two_cores;
use crate::support::nats::{Nats, ServerLine};
use crate::support::running::Broker;

on_one_and_two_cores! {
    only_clients_with_the_token_are_admitted,
    only_clients_with_the_password_are_admitted,
    a_client_that_signs_the_nonce_of_its_connection_is_admitted,
    users_reach_their_topics_and_are_refused_others,
    block_by_default_is_for_those_who_may_block_and_drop_oldest_for_others,
    a_wildcard_subscription_is_not_sent_denied_topics_of_any_publisher,
}

const VIOLATION: &str = "Authorization Violation";

/// CONNECT with further fields.
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
    nats.send(&format!("CONNECT {}\r\nPING\r\n", connect(fields)));
    nats.expect_last_error(VIOLATION);
}

#[track_caller]
fn let_in(broker: &Broker, fields: serde_json::Value) -> Nats {
    let addr = broker.nats.expect("NATS clients are served");
    Nats::connect_as(addr, &connect(fields))
}

/// Asserts that any command before CONNECT is refused.
fn must_connect_first(broker: &Broker) {
    let addr = broker.nats.expect("NATS clients are served");
    for early in
        ["PING\r\n", "PUB a 1\r\nx\r\n", "SUB > 1\r\n", "+OK\r\n", "GET / HTTP/1.1\r\n\r\n"]
    {
        let mut nats = Nats::silent(addr);
        nats.send(early);
        nats.expect_last_error(VIOLATION);
    }
}

fn only_clients_with_the_token_are_admitted(cores: &str) {
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
    let blip =
        ClientOptions::new().token("t0ken").connect(&broker.server()).expect("valid credentials");
    blip.topic("a").expect("permitted").publish(b"x").expect("permitted");
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

fn only_clients_with_the_password_are_admitted(cores: &str) {
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

/// The public nkey of a user, in the notation of NATS tools.
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

fn a_client_that_signs_the_nonce_of_its_connection_is_admitted(cores: &str) {
    let key = SigningKey::from_bytes(&[5; 32]);
    let stranger = SigningKey::from_bytes(&[6; 32]);
    let public = public_nkey(&key);
    let config = format!("[[auth.users]]\nnkey = \"{public}\"\nsubscribe = [\"mine\"]\n{USERS}");
    let broker = Broker::start_with(cores, &config);
    let addr = broker.nats.expect("NATS clients are served");
    let nonce_of = |nats: &Nats| nats.info["nonce"].as_str().expect("INFO has a nonce").to_owned();
    let sign = |key: &SigningKey, nonce: &str| key.sign(nonce.as_bytes()).to_bytes();

    // Clients write signatures in either alphabet of base64.
    for encode in
        [|bytes: &[u8]| BASE64URL_NOPAD.encode(bytes), |bytes: &[u8]| BASE64.encode(bytes)]
    {
        let nats = Nats::silent(addr);
        let signature = encode(&sign(&key, &nonce_of(&nats)));
        let mut nats = nats.logged_in(&connect(json!({"nkey": public, "sig": signature})));
        nats.subscribe("mine", "1");
        nats.send("SUB yours 2\r\n");
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
        nats.send(&format!("CONNECT {}\r\n", connect(fields)));
        nats.expect_last_error(VIOLATION);
    }
    // Others still have their passwords.
    drop(let_in(&broker, admin()));
    broker.stop();
}

fn users_reach_their_topics_and_are_refused_others(cores: &str) {
    let broker = Broker::start_with(cores, USERS);
    let mut admin = let_in(&broker, admin());
    admin.subscribe(">", "all");
    let mut eu = let_in(&broker, eu());
    for (line, violation) in [
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
        eu.send(line);
        eu.expect_error(&format!("Permissions Violation for {violation}"));
    }
    eu.subscribe("eu.*", "1");
    eu.publish("eu.a", b"allowed");
    assert_eq!(eu.message().text(), "allowed");
    assert_eq!(admin.message().text(), "allowed");
    admin.ping();
    // The requester needs permission for its inbox only.
    eu.subscribe("_INBOX.eu.*", "2");
    eu.publish_with("eu.ask", "_INBOX.eu.1", b"", b"?");
    assert_eq!(eu.message().text(), "?");
    let request = admin.message();
    admin.publish(request.reply.as_deref().expect("a request"), b"answer");
    assert_eq!(eu.message().text(), "answer");
    // A client that logs in as another user has the permissions of that user.
    eu.send(&format!("CONNECT {}\r\n", connect(json!({"user": "admin", "pass": "pw-admin"}))));
    eu.subscribe("us.*", "3");
    eu.send(&format!("CONNECT {}\r\n", connect(json!({"user": "admin", "pass": "wrong"}))));
    eu.expect_last_error(VIOLATION);
    drop((eu, admin));
    broker.stop();
}

/// Goal: neither a plain subscription nor a member of a group is sent a denied topic, and no gap is
/// reported; in a group a member with the permission gets the message.
fn a_wildcard_subscription_is_not_sent_denied_topics_of_any_publisher(cores: &str) {
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
    let blip = options.connect(&broker.server()).expect("valid credentials");
    for subject in SUBJECTS {
        nats.publish(subject, b"by nats");
        assert_eq!(nats.message().subject, subject);
        blip.topic(subject).expect("permitted").publish(b"by blip").expect("permitted");
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
    let blip_eu = options.connect(&broker.server()).expect("valid credentials");
    blip_eu.subscribe("news.>", Default::default()).expect("permitted");
    nats.publish("news.secret", b"not for all");
    nats.publish("news.open", b"for all");
    match blip_eu.recv().expect("one comes") {
        Event::Messages(messages) => {
            let texts: Vec<&[u8]> = messages.iter().map(|message| message.payload).collect();
            assert_eq!((&**messages.topic(), texts), ("news.open", vec![&b"for all"[..]]));
        }
        other => panic!("a message was due, got {other:?}"),
    }
    eu.send("PING\r\n");
    assert!(matches!(eu.expect(), ServerLine::Message(_)));
    assert_eq!(eu.expect(), ServerLine::Pong);
    drop((eu, eu_member, admin_member, nats, blip, blip_eu));
    broker.stop();
}

/// Goal: a default of `block` gives nobody a power that the configuration does not give.
fn block_by_default_is_for_those_who_may_block_and_drop_oldest_for_others(cores: &str) {
    let config = format!("{USERS}block = [\"news.*\"]\n[queues]\noverflow_policy = \"block\"\n");
    let broker = Broker::start_with(cores, &config);
    let mut eu = let_in(&broker, eu());
    eu.subscribe("news.a", "1");
    eu.subscribe("eu.a", "2");
    let mut admin = let_in(&broker, admin());
    admin.subscribe("news.b", "1");
    let eu_blip = ClientOptions::new().user("eu", "pw-eu").connect(&broker.server());
    let eu_blip = eu_blip.expect("valid credentials");
    let blocks = SubscribeOptions::new().overflow(Overflow::Block);
    eu_blip.subscribe("news.c", SubscribeOptions::new()).expect("permitted");
    eu_blip.subscribe("news.d", blocks.clone()).expect("permitted");
    eu_blip.subscribe("eu.b", SubscribeOptions::new()).expect("permitted");
    let refused = eu_blip.subscribe("eu.c", blocks).expect_err("eu may not block there");
    let refused = refused.to_string();
    for words in ["eu.c", "overflow 3 (block)", "[[auth.users]]"] {
        assert!(refused.contains(words), "{refused}");
    }
    let list = broker.json("/api/v1/subscriptions");
    let rows = list["rows"].as_array().expect("a list").iter();
    let mut found: Vec<_> = rows
        .map(|row| (row["pattern"].as_str().unwrap(), row["overflow"].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    let wanted = [
        ("eu.a", "drop_oldest"),
        ("eu.b", "drop_oldest"),
        ("news.a", "block"),
        ("news.b", "drop_oldest"),
        ("news.c", "block"),
        ("news.d", "block"),
    ];
    assert_eq!(found, wanted);
    drop((eu, admin, eu_blip));
    broker.stop();
}
