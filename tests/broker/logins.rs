//! Logins that wait for a hash, which is compared elsewhere, and wrong ones, which are refused after a
//! while.

use blipmq::broker::counters::Counters;
use blipmq::broker::{LoginFailure, PasswordCheck};
use blipmq::protocol::decode::{self, ServerFrame};

use super::*;

/// Two users; what is compared here is made up by the test.
const USERS: &str = "[[auth.users]]\nuser = \"eu\"\n\
    password = \"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"\n\
    [[auth.users]]\nuser = \"us\"\npassword = \"plain\"\n";

pub struct World {
    pub broker: Broker,
    pub port: InMemory,
    counters: Arc<Counters>,
    /// What each slot was sent, the last bytes included.
    pub read: BTreeMap<u32, Vec<u8>>,
    pub closed: Vec<u32>,
}

impl World {
    pub fn new(config: &str) -> World {
        let settings = Settings::parse("blipmq.toml", config).expect(config);
        let counters: Arc<Counters> = Arc::default();
        let cluster = Cluster::new(1, 1, Arc::new(settings));
        let broker = Broker::new(CoreId(0), cluster, counters.clone());
        let port = InMemory::default();
        World { broker, port, counters, read: BTreeMap::new(), closed: Vec::new() }
    }

    pub fn connect(&mut self, ms: u64, slot: u32, protocol: Protocol, bytes: &[u8]) {
        self.broker.connected(at(ms), id(slot), Peer { protocol, ..PEER }, true);
        self.broker.received(at(ms), id(slot), bytes);
        self.run(ms);
    }

    /// Takes turns until nothing follows; every send is complete at once.
    pub fn run(&mut self, ms: u64) {
        loop {
            let busy = turn(&mut self.broker, at(ms), &mut self.port);
            self.broker.audit();
            let sends = std::mem::take(&mut self.port.sends);
            for (connection, ranges) in &sends {
                let read = self.read.entry(connection.slot.0).or_default();
                ranges.iter().for_each(|range| read.extend_from_slice(range));
                self.broker.sent(at(ms), *connection);
            }
            for (connection, last) in std::mem::take(&mut self.port.closes) {
                self.read.entry(connection.slot.0).or_default().extend_from_slice(&last);
                self.closed.push(connection.slot.0);
                self.broker.closed(connection);
            }
            if !busy && sends.is_empty() {
                return;
            }
        }
    }

    pub fn text(&self, slot: u32) -> String {
        String::from_utf8_lossy(self.read.get(&slot).map_or(&[][..], Vec::as_slice)).into_owned()
    }

    /// The code and the text of the ERROR that a client of BLIP/1 was sent.
    fn error(&self, slot: u32) -> Option<(u16, String)> {
        let mut bytes = self.read.get(&slot).map_or(&[][..], Vec::as_slice);
        while let Ok(Some(frame)) = decode::next_frame(bytes, u32::MAX) {
            if let Ok(ServerFrame::Error { code, text, .. }) = decode::server_frame(frame) {
                return Some((code, text.to_owned()));
            }
            bytes = &bytes[frame.len()..];
        }
        None
    }

    fn check(&mut self) -> PasswordCheck {
        assert_eq!(self.port.checks.len(), 1, "{:?}", self.port.checks);
        self.port.checks.remove(0)
    }

    fn failures(&self, failure: LoginFailure) -> u64 {
        self.counters.login_failures[failure as usize].get()
    }

    pub fn reload(&mut self, ms: u64, config: &str) {
        let settings = Settings::parse("blipmq.toml", config).expect(config);
        self.broker.reload(at(ms), Arc::new(settings));
        self.run(ms);
    }
}

pub fn nats(user: &str, password: &str) -> Vec<u8> {
    format!("CONNECT {{\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\n").into_bytes()
}

pub fn blip(user: &str, password: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::hello(&mut bytes, &Hello { auth_kind: 2, client_name: "", user, password });
    bytes
}

fn login(protocol: Protocol, user: &str, password: &str) -> Vec<u8> {
    match protocol {
        Protocol::Blip => blip(user, password),
        Protocol::Nats => nats(user, password),
    }
}

#[test]
fn nothing_behind_a_login_is_served_before_its_password_was_found_right() {
    let mut world = World::new(USERS);
    world.connect(0, 0, Protocol::Nats, &[&nats("eu", "U*U")[..], b"SUB a 1\r\nPING\r\n"].concat());
    world.broker.received(at(0), id(0), b"PUB a 2\r\nhi\r\nPING\r\n");
    world.connect(0, 1, Protocol::Blip, &blip("eu", "U*U"));
    world.run(0);
    assert!(!world.text(0).contains("+OK") && !world.read.contains_key(&1));
    let check = world.check();
    assert_eq!(check.secret(), "U*U", "both wait for the same");
    world.broker.password_checked(at(50), check.id, true);
    world.run(50);
    let text = world.text(0);
    let behind_info = text.split_once("\r\n").expect("INFO is a line").1;
    let expected = "+OK\r\n+OK\r\nPONG\r\n+OK\r\nMSG a 1 2\r\nhi\r\nPONG\r\n";
    assert_eq!(behind_info, expected);
    let welcome =
        decode::next_frame(&world.read[&1], u32::MAX).expect("a frame").expect("a whole one");
    assert!(matches!(decode::server_frame(welcome), Ok(ServerFrame::Welcome(_))));
    assert!(world.port.checks.is_empty() && world.closed.is_empty());
}

#[test]
fn a_right_password_is_compared_once_until_a_reload_changes_its_user() {
    let mut world = World::new(USERS);
    for slot in 0..100 {
        let protocol = if slot % 2 == 0 { Protocol::Nats } else { Protocol::Blip };
        world.connect(0, slot, protocol, &login(protocol, "eu", "U*U"));
    }
    let check = world.check();
    world.broker.password_checked(at(1), check.id, true);
    world.run(1);
    world.connect(2, 100, Protocol::Blip, &blip("eu", "U*U"));
    assert!(world.port.checks.is_empty() && world.read.contains_key(&100));
    // Another user changes.
    world.reload(3, &USERS.replace("plain", "other"));
    world.connect(4, 101, Protocol::Blip, &blip("eu", "U*U"));
    assert!(world.port.checks.is_empty() && world.read.contains_key(&101));
    world.reload(5, &USERS.replace("yOeW", "yOeO"));
    world.connect(6, 102, Protocol::Blip, &blip("eu", "U*U"));
    world.check();
    assert!(!world.read.contains_key(&102));
}

/// Goal: a client that guesses learns neither from the words nor from the delay what it guessed right.
#[test]
fn an_unknown_user_and_a_wrong_password_are_refused_alike_and_not_at_once() {
    for protocol in [Protocol::Nats, Protocol::Blip] {
        let mut answers = Vec::new();
        for (user, failure) in
            [("eu", LoginFailure::WrongPassword), ("nobody-0", LoginFailure::UnknownUser)]
        {
            // One kind of secret only, so that each name has its work.
            let mut world =
                World::new(USERS.split("[[auth.users]]\nuser = \"us\"").next().unwrap());
            world.connect(0, 0, protocol, &login(protocol, user, "wrong"));
            let before = world.text(0);
            let check = world.check();
            // Even a right answer is none for who does not exist.
            world.broker.password_checked(at(10), check.id, user != "eu");
            world.run(10);
            assert_eq!(world.text(0), before, "the refusal is held back");
            let due_ns = world.broker.next_deadline_ns().expect("for so long");
            world.run(due_ns / MS);
            assert_eq!(world.closed, [0]);
            assert_eq!((world.failures(failure), world.counters.logins_refused.get()), (1, 1));
            let [Notice { event: Event::LoginRefused { why, failed }, .. }] =
                &world.port.notices[..]
            else {
                panic!("{:?}", world.port.notices);
            };
            assert_eq!(failed.failure, failure);
            assert_eq!(failed.user.as_deref(), (user == "eu").then_some("eu"));
            assert!(!why.contains("wrong\"") && !why.contains(user));
            answers.push((due_ns, world.text(0).split_off(before.len())));
        }
        assert_eq!(answers[0], answers[1]);
        let text = &answers[0].1;
        assert!(text.contains("Authorization Violation") || text.contains("auth kind 2"), "{text}");
    }
}

#[test]
fn plain_passwords_are_refused_after_the_same_delay_and_right_ones_at_once() {
    let mut world = World::new("[[auth.users]]\nuser = \"us\"\npassword = \"plain\"\n");
    world.connect(0, 0, Protocol::Blip, &blip("us", "wrong"));
    world.connect(0, 1, Protocol::Blip, &blip("nobody", "wrong"));
    world.connect(0, 2, Protocol::Blip, &blip("us", "plain"));
    assert!(world.read.contains_key(&2), "others of that user and address are not held back");
    assert!(world.closed.is_empty());
    world.run(99);
    assert!(world.closed.is_empty());
    world.run(100);
    assert_eq!(world.closed, [0, 1]);
    assert_eq!(world.error(0), world.error(1));
    assert_eq!(world.error(0).expect("an ERROR").0, 4010);
}

/// Goal: the time that a client has to log in is not used up by our queue.
#[test]
fn a_login_does_not_time_out_while_its_password_waits_to_be_compared() {
    let mut world = World::new(&format!("{USERS}[server]\nauth_timeout_ms = 1000\n"));
    world.connect(0, 0, Protocol::Blip, &blip("eu", "U*U"));
    world.connect(0, 1, Protocol::Blip, b"");
    world.run(60_000);
    assert_eq!(world.closed, [1], "only who gave no credentials");
    assert_eq!(world.failures(LoginFailure::TooLate), 1);
    let check = world.check();
    world.broker.password_checked(at(60_000), check.id, true);
    world.run(60_000);
    assert!(world.read.contains_key(&0));
}

#[test]
fn a_password_whose_client_has_gone_is_not_wanted_any_more() {
    type End = fn(&mut Broker, ConnectionId);
    let ends: [End; 2] = [
        |broker, connection| broker.ended(at(1), connection),
        |broker, connection| broker.vanished(at(1), connection),
    ];
    for end in ends {
        let mut world = World::new(USERS);
        world.connect(0, 0, Protocol::Nats, &nats("eu", "U*U"));
        let check = world.check();
        assert!(check.is_wanted());
        end(&mut world.broker, id(0));
        world.run(1);
        assert!(!check.is_wanted() && world.closed == [0]);
        world.broker.password_checked(at(2), check.id, true);
        world.run(2);
    }
}

/// Goal: a client that sends everything and shuts its half is served, also where its login waits.
#[test]
fn what_a_client_sent_behind_its_login_is_served_though_it_sends_no_more() {
    let mut world = World::new(USERS);
    world.connect(0, 0, Protocol::Nats, &nats("us", "plain"));
    world.broker.received(at(0), id(0), b"SUB a 1\r\n");
    world.connect(0, 1, Protocol::Nats, &[&nats("eu", "U*U")[..], b"PUB a 2\r\nhi\r\n"].concat());
    world.broker.ended(at(1), id(1));
    world.run(1);
    let check = world.check();
    assert!(check.is_wanted());
    world.broker.password_checked(at(2), check.id, true);
    world.run(2);
    assert!(world.text(0).ends_with("MSG a 1 2\r\nhi\r\n"), "{}", world.text(0));
    assert_eq!(world.closed, [1]);
}

/// Goal: a login that finds too many others waiting is refused in words behind which clients try again.
#[test]
fn a_login_that_cannot_wait_is_refused_for_now() {
    let mut world = World::new(USERS);
    world.port.checks_max = 0;
    world.connect(0, 0, Protocol::Nats, &nats("eu", "U*U"));
    world.connect(0, 1, Protocol::Blip, &blip("eu", "U*U"));
    assert_eq!(world.closed, [0, 1]);
    assert!(
        world.text(0).ends_with("-ERR 'maximum connections exceeded'\r\n"),
        "{}",
        world.text(0)
    );
    assert_eq!(world.error(1).expect("an ERROR").0, 4291);
    assert_eq!(world.failures(LoginFailure::Busy), 2);
    assert_eq!(world.counters.logins_refused.get(), 0, "nobody looked at its credentials");
    world.port.checks_max = 1;
    world.connect(1, 2, Protocol::Nats, &nats("eu", "U*U"));
    world.check();
}

#[test]
fn beyond_many_wrong_logins_of_a_user_from_an_address_none_of_these_is_checked_for_a_while() {
    let mut world = World::new(
        "[[auth.users]]\nuser = \"us\"\npassword = \"plain\"\n\
                                [[auth.users]]\nuser = \"as\"\npassword = \"plain\"\n",
    );
    for slot in 0..20 {
        world.connect(0, slot, Protocol::Blip, &blip("us", &slot.to_string()));
    }
    let throttled = world.failures(LoginFailure::Throttled);
    assert!((5..15).contains(&throttled), "{throttled}");
    world.connect(0, 20, Protocol::Blip, &blip("us", "plain"));
    assert_eq!(world.error(20).expect("an ERROR").0, 4291, "not even the right one");
    world.connect(0, 21, Protocol::Blip, &blip("as", "plain"));
    assert!(world.error(21).is_none() && world.read.contains_key(&21), "another user is");
    world.run(60_000);
    world.connect(60_000, 22, Protocol::Blip, &blip("us", "plain"));
    assert!(world.error(22).is_none() && world.read.contains_key(&22));
}

#[test]
fn a_right_answer_that_a_reload_has_overtaken_grants_nothing() {
    let mut world = World::new(USERS);
    world.connect(0, 0, Protocol::Blip, &blip("eu", "U*U"));
    let check = world.check();
    world.reload(1, &USERS.replace("yOeW", "yOeO"));
    world.broker.password_checked(at(2), check.id, true);
    world.run(2);
    assert!(!world.read.contains_key(&0));
    world.run(10_000);
    assert_eq!(world.error(0).expect("an ERROR").0, 4010);
}

#[test]
fn a_stop_does_not_wait_for_passwords() {
    let mut world = World::new(USERS);
    world.connect(0, 0, Protocol::Blip, &blip("eu", "U*U"));
    // A client that says CONNECT again as another user waits, too.
    world.connect(0, 1, Protocol::Nats, &[nats("us", "plain"), nats("eu", "U*U")].concat());
    let check = world.check();
    world.broker.stop(at(1));
    for ms in 1..3_000 {
        world.run(ms);
    }
    assert!(!check.is_wanted() && world.broker.is_stopped());
    assert_eq!(world.closed.len(), 2);
    world.broker.password_checked(at(4_000), check.id, true);
}
