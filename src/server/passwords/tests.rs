use std::sync::Arc;
use std::sync::mpsc::channel;

use blipmq::broker::port::InMemory;
use blipmq::broker::{Broker, Cluster, ConnectionId, Now, Peer, Protocol, Slot, turn};
use blipmq::config::Settings;
use blipmq::config::hash::Hash;
use blipmq::protocol::decode::Hello;
use blipmq::protocol::{CoreId, encode};
use bytes::BytesMut;

use super::compare::is_right;
use super::*;
use crate::server::control;

/// What other programs made: the test vectors of the reference implementation of argon2, and those of
/// crypt_blowfish for bcrypt, the last with a password that is longer than bcrypt looks at.
const VECTORS: [(&str, &str); 4] = [
    (
        "password",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    ),
    (
        "password",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    ),
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    (
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are \
         ignored",
        "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
    ),
];

#[test]
fn hashes_of_other_programs_are_right_for_their_password_and_no_other() {
    for (password, hash) in VECTORS {
        let hash = Hash::parse(hash).expect(hash).expect("a whole one");
        assert!(is_right(password, &hash), "{password}");
        assert!(!is_right(&format!(" {password}"), &hash) && !is_right("", &hash));
        assert!(!is_right(password, &hash.decoy()), "nothing is right for a decoy");
    }
}

/// The comparison that a broker asks for when a client logs in.
fn asked(password: &str) -> PasswordCheck {
    let (_, hash) = VECTORS[0];
    let text = format!("[[auth.users]]\nuser = \"eu\"\npassword = \"{hash}\"\n");
    let settings = Arc::new(Settings::parse("blipmq.toml", &text).expect("settings"));
    let mut broker = Broker::new(CoreId(0), Cluster::new(1, 7, settings), Arc::default());
    let (now, mut port) = (Now { monotonic_ns: 1, unix_ns: 1 }, InMemory::default());
    let connection = ConnectionId { slot: Slot(0), generation: 0 };
    let peer = Peer { protocol: Protocol::Blip, address: "127.0.0.1:1".parse().unwrap() };
    broker.connected(now, connection, peer, true);
    let mut hello = BytesMut::new();
    encode::hello(&mut hello, &Hello { auth_kind: 2, client_name: "", user: "eu", password });
    broker.received(now, connection, &hello);
    turn::turn(&mut broker, now, &mut port);
    port.checks.pop().expect("the broker compares no hash itself")
}

/// Goal: the answer reaches the core that asked, and says whether the password is right.
#[test]
fn each_core_is_answered_what_it_asked() {
    let queue = Queue::new();
    let cores = queue.of_cores(2);
    let (senders, receivers) = control::channels(2);
    queue.serve(Control::new(senders, |_| {})).expect("a thread starts");
    for (core, password, expected) in
        [(0, "password", true), (1, "passwort", false), (1, "password", true)]
    {
        let check = asked(password);
        let id = check.id;
        cores[core].check(check).expect("there is room");
        match receivers[core].recv().expect("an answer") {
            Command::PasswordChecked(answered, is_right) => {
                assert_eq!((answered, is_right), (id, expected), "{password}");
            }
            _ => panic!("another command"),
        }
    }
}

/// Goal: beyond the bound a core gets its question back, and waits for nothing.
#[test]
fn no_more_than_the_bound_wait_and_the_core_is_told() {
    let queue = Queue::new();
    let cores = queue.of_cores(1);
    let check = asked("password");
    for _ in 0..PASSWORD_CHECKS_MAX {
        cores[0].check(check.clone()).expect("there is room");
    }
    assert_eq!(cores[0].check(check.clone()).map_err(|check| check.id), Err(check.id));
}

/// Goal: a password that nobody waits for any more costs nothing, and is not answered.
#[test]
fn a_check_that_nobody_wants_is_skipped() {
    let (senders, receivers) = control::channels(1);
    let (sender, receiver) = channel();
    let queue = Queue::new();
    let cores = queue.of_cores(1);
    let unwanted = asked("password");
    unwanted.give_up();
    cores[0].check(unwanted).expect("there is room");
    let wanted = asked("password");
    cores[0].check(wanted).expect("there is room");
    drop(cores);
    // The thread ends when no core is left; all answers are there then.
    let Queue { sender: of_queue, receiver: asked } = queue;
    drop(of_queue);
    let thread = std::thread::spawn(move || {
        serve(&asked, &Control::new(senders, |_| {}));
        sender.send(()).expect("the test waits");
    });
    receiver.recv().expect("the thread ends");
    thread.join().expect("and does not panic");
    assert_eq!(receivers[0].iter().count(), 1);
}
