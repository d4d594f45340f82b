//! What a reload takes from a user ends, and what it leaves goes on; and the rights of NATS clients that
//! nats-server has as well.

use blipmq::broker::turn::turn;
use blipmq::config::Settings;
use blipmq::limits::ENDS_PER_TURN;
use blipmq::protocol::decode::{self, ServerFrame};

use super::logins::{World, blip, nats};
use super::*;

fn user(lists: &str) -> String {
    format!("[[auth.users]]\nuser = \"eu\"\npassword = \"pw\"\n{lists}\n")
}

impl World {
    /// What a NATS client was sent since the last look, without INFO.
    fn news(&mut self, slot: u32) -> String {
        let bytes = self.read.remove(&slot).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines()
            .filter(|line| !line.starts_with("INFO"))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    fn say(&mut self, ms: u64, slot: u32, commands: &str) {
        self.broker.received(at(ms), id(slot), commands.as_bytes());
        self.run(ms);
    }

    fn log_in(&mut self, slot: u32, commands: &str) {
        let connect = "CONNECT {\"verbose\":false,\"user\":\"eu\",\"pass\":\"pw\"}\r\n";
        self.connect(0, slot, Protocol::Nats, format!("{connect}{commands}").as_bytes());
        self.news(slot);
    }
}

#[test]
fn a_reload_ends_what_a_nats_client_may_not_have_and_keeps_the_connection() {
    let mut world = World::new(&user(""));
    world.log_in(0, "SUB a.> 1\r\nSUB b.> 2\r\nSUB a.b team 3\r\nSUB b.c team 4\r\n");
    world.reload(
        1,
        &user("subscribe = [\"b.>\"]\nsubscribe_deny = [\"b.secret\"]\npublish = [\"a\"]"),
    );
    // In any order, as from nats-server.
    let news = world.news(0);
    let mut told: Vec<&str> = news.lines().collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "-ERR 'Permissions Violation for Subscription to \"a.>\" (sid \"1\")'",
            "-ERR 'Permissions Violation for Subscription to \"a.b\" using queue \"team\" (sid \"3\")'",
        ]
    );
    assert!(world.closed.is_empty());
    world.say(2, 0, "PUB b.x 1\r\nx\r\nPING\r\n");
    assert_eq!(world.news(0), "-ERR 'Permissions Violation for Publish to \"b.x\"'\nPONG\n");
    // Another user publishes what it may have, and what is left out now, also where that was sent before.
    world.reload(3, &user("subscribe = [\"b.>\"]\nsubscribe_deny = [\"b.secret\"]"));
    world.say(4, 0, "PUB b.secret 1\r\nx\r\nPUB b.x 1\r\ny\r\nPUB a.b 1\r\nz\r\nPING\r\n");
    assert_eq!(world.news(0), "MSG b.x 2 1\ny\nPONG\n");
    // And what a reload gives back is sent again.
    world.reload(5, &user(""));
    world.say(6, 0, "PUB b.secret 1\r\nx\r\nPING\r\n");
    assert_eq!(world.news(0), "MSG b.secret 2 1\nx\nPONG\n");
    // Other credentials are another matter.
    world.reload(7, &user("").replace("pw", "new"));
    assert!(world.news(0).contains("User Authentication Revoked") && world.closed == [0]);
}

#[test]
fn very_many_subscriptions_that_a_reload_takes_end_over_several_turns() {
    const SUBSCRIPTIONS: usize = 2_000;
    let mut world = World::new(&user(""));
    let all: String =
        (0..SUBSCRIPTIONS).map(|number| format!("SUB a.{number} {number}\r\n")).collect();
    world.log_in(0, &format!("{all}SUB b.> b\r\n"));
    let settings = Settings::parse("blipmq.toml", &user("subscribe = [\"b.>\"]")).expect("valid");
    world.broker.reload(at(1), settings.into());
    let mut told = Vec::new();
    while turn(&mut world.broker, at(1), &mut world.port) || !world.port.sends.is_empty() {
        let mut of_turn = Vec::new();
        for (connection, ranges) in std::mem::take(&mut world.port.sends) {
            of_turn.extend(ranges.concat());
            world.broker.sent(at(1), connection);
        }
        told.push(String::from_utf8(of_turn).expect("text").matches("-ERR").count());
    }
    assert_eq!(told.iter().sum::<usize>(), SUBSCRIPTIONS, "and the one that is allowed goes on");
    assert!(told.iter().all(|ends| *ends <= ENDS_PER_TURN), "{told:?}");
    world.say(2, 0, "PUB a.7 1\r\nx\r\nPUB b.x 1\r\ny\r\nPING\r\n");
    assert_eq!(world.news(0), "MSG b.x b 1\ny\nPONG\n");
}

#[test]
fn a_reload_ends_what_a_blip_client_may_not_have_and_keeps_the_connection() {
    let mut world = World::new(&user(""));
    let mut bytes = blip("eu", "pw");
    encode::subscribe(&mut bytes, &written::wanting(1, "a.>"));
    encode::subscribe(&mut bytes, &written::wanting(2, "b.>"));
    encode::open(&mut bytes, blipmq::protocol::RequestId(1), "a.b");
    world.connect(0, 0, Protocol::Blip, &bytes);
    let frames = |bytes: &[u8]| {
        let (mut bytes, mut found) = (bytes, Vec::new());
        while let Ok(Some(frame)) = decode::next_frame(bytes, u32::MAX) {
            found.push(frame.to_vec());
            bytes = &bytes[frame.len()..];
        }
        found
    };
    let before = frames(&world.read.remove(&0).expect("it is answered"));
    let topic = before.iter().find_map(|frame| match decode::server_frame(frame) {
        Ok(ServerFrame::Topic { topic, .. }) => Some(topic),
        _ => None,
    });
    let topic = topic.expect("TOPIC answers OPEN");
    world.reload(1, &user("subscribe = [\"b.>\"]\npublish = [\"b.>\"]"));
    let told = frames(&world.read.remove(&0).expect("it is told"));
    let [error, end] = &told[..] else { panic!("{told:?}") };
    match decode::server_frame(error) {
        Ok(ServerFrame::Error { code, about, fatal, text, .. }) => {
            assert_eq!((code, about, fatal), (4030, 1, false));
            assert!(text.contains("`a.>`"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(decode::server_frame(end), Ok(ServerFrame::Unsubscribed { .. })));
    assert!(world.closed.is_empty());
    // It may publish otherwise, so it has to open again what it had opened, and is refused there.
    let mut bytes = Vec::new();
    written::encode_messages(&mut bytes, topic.0, 0, &[b"x"]);
    encode::open(&mut bytes, blipmq::protocol::RequestId(2), "a.b");
    encode::open(&mut bytes, blipmq::protocol::RequestId(3), "b.c");
    world.broker.received(at(2), id(0), &bytes);
    world.run(2);
    let codes: Vec<_> = frames(&world.read.remove(&0).expect("it is answered"))
        .iter()
        .map(|frame| match decode::server_frame(frame) {
            Ok(ServerFrame::Error { code, .. }) => code,
            Ok(ServerFrame::Topic { .. }) => 0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(codes, [4040, 4030, 0]);
}

#[test]
fn clients_without_credentials_are_the_user_for_them_if_they_speak_nats() {
    let config = format!(
        "[nats]\nno_auth_user = \"guest\"\n{}[[auth.users]]\nuser = \"guest\"\npassword = \"pw-guest\"\n\
         publish = [\"open.>\"]\n",
        user("")
    );
    let mut world = World::new(&config);
    world.connect(0, 0, Protocol::Nats, b"CONNECT {\"verbose\":false}\r\n");
    assert!(!world.text(0).contains("auth_required\":true"), "{}", world.text(0));
    world.connect(0, 1, Protocol::Nats, b"PING\r\n");
    for slot in [0, 1] {
        world.news(slot);
        world.say(1, slot, "PUB secret 0\r\n\r\nPUB open.a 0\r\n\r\nPING\r\n");
        let news = world.news(slot).replace("+OK\n", "");
        assert_eq!(news, "-ERR 'Permissions Violation for Publish to \"secret\"'\nPONG\n");
    }
    // Whoever gives some is asked for the right ones, and BLIP/1 has no such user.
    world.connect(2, 2, Protocol::Nats, &nats("eu", "wrong"));
    world.connect(2, 3, Protocol::Nats, b"CONNECT {\"pass\":\"pw\"}\r\n");
    let mut hello = Vec::new();
    let anonymous = Hello { auth_kind: 0, client_name: "", user: "", password: "" };
    encode::hello(&mut hello, &anonymous);
    world.connect(2, 4, Protocol::Blip, &hello);
    world.run(1_000);
    world.closed.sort_unstable();
    assert_eq!(world.closed, [2, 3, 4]);
}

#[test]
fn who_may_answer_requests_publishes_only_where_these_are_answered() {
    let mut world = World::new(&format!(
        "{}[[auth.users]]\nuser = \"us\"\npassword = \"pw\"\n",
        user("allow_responses = { max = 2, expires_ms = 1000 }\npublish = [\"own\"]")
    ));
    world.log_in(0, "SUB service 1\r\n");
    let connect =
        "CONNECT {\"verbose\":false,\"user\":\"us\",\"pass\":\"pw\"}\r\nSUB _INBOX.> 1\r\n";
    world.connect(0, 1, Protocol::Nats, connect.as_bytes());
    world.say(0, 0, "PUB _INBOX.a 0\r\n\r\n");
    assert_eq!(world.news(0), "-ERR 'Permissions Violation for Publish to \"_INBOX.a\"'\n");
    world.say(1, 1, "PUB service _INBOX.a 1\r\n?\r\nPUB service own 0\r\n\r\n");
    world.news(0);
    world.news(1);
    // Three answers at once, of which two are allowed, and one to another.
    let answer = "PUB _INBOX.a 1\r\n!\r\n";
    world.say(2, 0, &format!("{}PUB _INBOX.b 1\r\n!\r\n", answer.repeat(3)));
    assert_eq!(
        world.news(0),
        "-ERR 'Permissions Violation for Publish to \"_INBOX.a\"'\n\
         -ERR 'Permissions Violation for Publish to \"_INBOX.b\"'\n"
    );
    assert_eq!(world.news(1), "MSG _INBOX.a 1 1\n!\n".repeat(2));
    world.say(3, 1, "PUB service _INBOX.c 0\r\n\r\n");
    world.news(0);
    world.say(1_003, 0, "PUB _INBOX.c 0\r\n\r\nPUB own 0\r\n\r\nPING\r\n");
    assert_eq!(world.news(0), "-ERR 'Permissions Violation for Publish to \"_INBOX.c\"'\nPONG\n");
}

#[test]
fn a_member_of_a_group_needs_the_right_to_that_group() {
    let lists = "subscribe = [\"a.*\", \"jobs workers\"]\nsubscribe_deny = [\"a.b bad\"]";
    let mut world = World::new(&user(lists));
    world.log_in(0, "");
    world.say(1, 0, "SUB jobs workers 1\r\nSUB a.b good 2\r\nSUB a.b 3\r\nPING\r\n");
    assert_eq!(world.news(0), "PONG\n");
    world.say(1, 0, "SUB jobs 4\r\nSUB jobs other 5\r\nSUB a.b bad 6\r\nPING\r\n");
    let violation = |of: &str| format!("-ERR 'Permissions Violation for Subscription to {of}'\n");
    let violations = ["\"jobs\"", "\"jobs\" using queue \"other\"", "\"a.b\" using queue \"bad\""];
    assert_eq!(world.news(0), violations.map(violation).concat() + "PONG\n");
    let mut bytes = blip("eu", "pw");
    for (number, (pattern, group)) in
        [("jobs", "workers"), ("jobs", ""), ("a.b", "bad")].into_iter().enumerate()
    {
        let subscribe = Subscribe { group, ..written::wanting(number as u32 + 1, pattern) };
        encode::subscribe(&mut bytes, &subscribe);
    }
    world.connect(2, 1, Protocol::Blip, &bytes);
    let mut refused = Vec::new();
    let mut rest = &world.read[&1][..];
    while let Ok(Some(frame)) = decode::next_frame(rest, u32::MAX) {
        if let Ok(ServerFrame::Error { code, about, .. }) = decode::server_frame(frame) {
            refused.push((code, about));
        }
        rest = &rest[frame.len()..];
    }
    assert_eq!(refused, [(4030, 2), (4030, 3)]);
}
