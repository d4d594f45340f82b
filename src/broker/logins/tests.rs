use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::broker::auth::Comparison;
use crate::broker::ids::CheckId;
use crate::broker::ids::{ConnectionId, Slot};
use crate::broker::permissions::Permissions;
use crate::config::hash::Hash;
use crate::limits::{
    LOGIN_DELAY_MS, LOGIN_DELAY_MS_MAX, LOGIN_DELAYS_MS_MAX, LOGIN_FAILURES_MAX,
    PASSWORD_CHECKS_OF_ADDRESS_MAX, PASSWORDS_REMEMBERED_MAX,
};

const HASH: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

fn hash() -> Hash {
    Hash::parse(HASH).expect("a hash").expect("a whole one")
}

fn at(ms: u64) -> Now {
    Now { monotonic_ns: ms * 1_000_000, unix_ns: 0 }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn user(name: &str) -> Identity {
    Identity::User(name.into())
}

fn connection(slot: u32) -> ConnectionId {
    ConnectionId { slot: Slot(slot), generation: 0 }
}

/// Has a connection wait for the comparison of a user's secret.
fn ask(logins: &mut Logins, slot: u32, from: &str, name: &str, secret: &str) -> Option<CheckId> {
    let hash = Arc::new(hash());
    let mac = logins.mac(&user(name), secret, &hash);
    let permissions = Some(Arc::new(Permissions::unlimited()));
    let comparison = Comparison { identity: user(name), hash, permissions };
    logins.checks.ask(connection(slot), address(from), comparison, secret, mac)
}

#[test]
fn equal_secrets_that_wait_at_once_are_compared_once() {
    let mut logins = Logins::new([7; 32]);
    let ids: Vec<_> =
        (0..5_000).map(|slot| ask(&mut logins, slot, "10.0.0.1", "eu", "p")).collect();
    assert!(ids.iter().all(|id| id.is_some() && *id == ids[0]));
    let other = ask(&mut logins, 5_000, "10.0.0.1", "eu", "q");
    let asked = logins.checks.take_asked();
    assert_eq!(asked.iter().map(|check| Some(check.id)).collect::<Vec<_>>(), [ids[0], other]);
    assert_eq!(asked[0].secret(), "p");
    let finished = logins.checks.finish(asked[0].id).expect("it was asked for");
    assert_eq!(finished.waiting.len(), 5_000);
    assert!(logins.checks.finish(asked[0].id).is_none(), "it is answered once");
}

#[test]
fn a_comparison_that_nobody_waits_for_any_more_is_not_wanted() {
    let mut logins = Logins::new([7; 32]);
    let id = ask(&mut logins, 0, "10.0.0.1", "eu", "p").expect("there is room");
    ask(&mut logins, 1, "10.0.0.1", "eu", "p");
    let check = logins.checks.take_asked().pop().expect("it is asked for");
    logins.checks.leave(id, connection(0));
    assert!(check.is_wanted() && logins.checks.has(id, connection(1)));
    logins.checks.leave(id, connection(1));
    assert!(!check.is_wanted() && logins.checks.finish(id).is_none());
    let id = ask(&mut logins, 2, "10.0.0.1", "eu", "p").expect("there is room");
    let check = logins.checks.take_asked().pop().expect("it is asked for");
    logins.stop();
    assert!(!check.is_wanted() && logins.checks.finish(id).is_none());
}

#[test]
fn one_address_leaves_comparisons_for_others() {
    let mut logins = Logins::new([7; 32]);
    for slot in 0..PASSWORD_CHECKS_OF_ADDRESS_MAX as u32 {
        assert!(ask(&mut logins, slot, "10.0.0.1", "eu", &slot.to_string()).is_some());
    }
    assert!(ask(&mut logins, 900, "10.0.0.1", "eu", "another").is_none());
    assert!(ask(&mut logins, 901, "10.0.0.1", "eu", "0").is_some(), "that one is under way");
    assert!(ask(&mut logins, 902, "10.0.0.2", "eu", "another").is_some());
}

#[test]
fn a_remembered_secret_is_that_of_its_user_its_hash_and_its_process() {
    let logins = Logins::new([7; 32]);
    let mac = logins.mac(&user("eu"), "p", &hash());
    for other in [
        logins.mac(&user("eu"), "q", &hash()),
        logins.mac(&user("us"), "p", &hash()),
        logins.mac(&user("eup"), "", &hash()),
        logins.mac(&Identity::Token, "p", &hash()),
        logins.mac(&user("eu"), "p", &hash().decoy()),
        Logins::new([8; 32]).mac(&user("eu"), "p", &hash()),
    ] {
        assert_ne!(mac, other);
    }
    assert_eq!(mac, Logins::new([7; 32]).mac(&user("eu"), "p", &hash()));
}

#[test]
fn remembered_secrets_are_bounded_and_forgotten_when_theirs_changes() {
    let mut logins = Logins::new([7; 32]);
    let macs: Vec<Mac> = (0..=PASSWORDS_REMEMBERED_MAX)
        .map(|number| logins.mac(&user("eu"), &number.to_string(), &hash()))
        .collect();
    for mac in &macs {
        logins.remember(*mac, user("eu"));
        logins.remember(*mac, user("eu"));
    }
    assert!(!logins.has_been_right(&macs[0]), "the oldest made room");
    assert!(macs[1..].iter().all(|mac| logins.has_been_right(mac)));
    let us = logins.mac(&user("us"), "p", &hash());
    logins.remember(us, user("us"));
    logins.forget(|identity| *identity == user("eu"));
    assert!(logins.has_been_right(&us));
    assert!(!macs.iter().any(|mac| logins.has_been_right(mac)));
}

#[test]
fn the_refusal_of_a_wrong_login_is_held_back_twice_as_long_each_time_up_to_a_bound() {
    let mut logins = Logins::new([7; 32]);
    let here = address("10.0.0.1");
    let mut expected_ms = LOGIN_DELAY_MS;
    // Each one after the delay of the one before, as a client that waits for its refusal does.
    let mut now_ms = 0;
    for _ in 0..20 {
        assert!(!logins.is_throttled(at(now_ms), here, "eu"));
        let delay = logins.failed(at(now_ms), here, Some(&user("eu")));
        assert_eq!(delay, Duration::from_millis(expected_ms));
        now_ms += expected_ms;
        expected_ms = (2 * expected_ms).min(LOGIN_DELAY_MS_MAX);
    }
    logins.succeeded(here, "eu");
    let delay = logins.failed(at(now_ms), here, Some(&user("eu")));
    assert_eq!(delay, Duration::from_millis(LOGIN_DELAY_MS), "a right one ends the row");
    let later = at(now_ms + 2 * LOGIN_DELAYS_MS_MAX);
    logins.failed(later, here, Some(&user("eu")));
    assert_eq!(logins.failed(later, here, Some(&user("us"))).as_millis() as u64, LOGIN_DELAY_MS);
}

/// Goal: a client that tries one user on many connections at once gains nothing, and others behind its
/// address lose nothing.
#[test]
fn one_user_is_tried_from_one_address_at_most_once_in_the_longest_delay() {
    let mut logins = Logins::new([7; 32]);
    let here = address("10.0.0.1");
    let mut tried = 0;
    const SECONDS: u64 = 3_600;
    for ms in (0..SECONDS * 1_000).step_by(10) {
        if !logins.is_throttled(at(ms), here, "eu") {
            logins.failed(at(ms), here, Some(&user("eu")));
            tried += 1;
        }
        assert!(!logins.is_throttled(at(ms), here, "us"), "another user behind the same address");
        assert!(!logins.is_throttled(at(ms), address("10.0.0.2"), "eu"), "another address");
    }
    let bound = (SECONDS * 1_000 + LOGIN_DELAYS_MS_MAX) / LOGIN_DELAY_MS_MAX;
    // The first ones wait for less.
    assert!((bound..bound + 8).contains(&tried), "{tried} tries, the bound is {bound}");
}

#[test]
fn addresses_of_one_ipv6_network_are_one_and_mapped_ones_are_those_of_ipv4() {
    let mut logins = Logins::new([7; 32]);
    for _ in 0..50 {
        logins.failed(at(0), address("2001:db8::1"), Some(&user("eu")));
        logins.failed(at(0), address("::ffff:10.0.0.1"), Some(&user("eu")));
    }
    for (text, is_throttled) in [
        ("2001:db8::ffff:1", true),
        ("2001:db8:0:1::1", false),
        ("10.0.0.1", true),
        ("::ffff:10.0.0.2", false),
        ("10.0.0.2", false),
    ] {
        assert_eq!(logins.is_throttled(at(0), address(text), "eu"), is_throttled, "{text}");
    }
}

#[test]
fn users_that_failed_are_bounded_and_the_oldest_is_forgotten_first() {
    let mut logins = Logins::new([7; 32]);
    let here = address("10.0.0.1");
    for _ in 0..50 {
        logins.failed(at(0), here, Some(&user("eu")));
    }
    for number in 1..LOGIN_FAILURES_MAX {
        logins.failed(at(0), here, Some(&user(&number.to_string())));
    }
    assert!(logins.is_throttled(at(0), here, "eu"));
    logins.failed(at(0), here, Some(&user("one more")));
    assert!(!logins.is_throttled(at(0), here, "eu"));
}
