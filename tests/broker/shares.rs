//! What one client may have served in a turn while others wait.

use std::sync::Arc;

use blipmq::broker::counters::Counters;
use blipmq::broker::port::InMemory;
use blipmq::broker::turn::turn;
use blipmq::broker::{Broker, Cluster};
use blipmq::config::Settings;
use blipmq::limits::{COMMANDS_PER_TURN, TURN_COMMANDS_MAX};
use blipmq::protocol::CoreId;

use super::{at, connect, id};

/// A broker with clients that are connected and have been sent what greets them.
fn serving(clients: u32) -> (Broker, InMemory, Arc<Counters>) {
    let counters = Arc::<Counters>::default();
    let cluster = Cluster::new(1, 1, Arc::new(Settings::default()));
    let mut broker = Broker::new(CoreId(0), cluster, counters.clone());
    let mut port = InMemory::default();
    for slot in 0..clients {
        connect(&mut broker, &mut port, slot, b"CONNECT {\"verbose\":false}\r\n");
        broker.sent(at(0), id(slot));
        turn(&mut broker, at(0), &mut port);
    }
    port.sends.clear();
    (broker, port, counters)
}

#[test]
fn a_client_with_many_commands_has_a_share_of_each_turn_and_all_of_them_served() {
    let (mut broker, mut port, counters) = serving(2);
    let commands: String = (0..1_000).map(|sid| format!("SUB a {sid}\r\n")).collect();
    broker.received(at(0), id(0), commands.as_bytes());
    let mut served = vec![counters.subscriptions.get()];
    broker.received(at(0), id(1), b"PUB b 2\r\nhi\r\n");
    while turn(&mut broker, at(0), &mut port) {
        assert_eq!(counters.published_messages.get(), 1, "others are served in the same turn");
        broker.go_on(at(0));
        served.push(counters.subscriptions.get());
    }
    let share = u64::from(COMMANDS_PER_TURN);
    assert!(served.windows(2).all(|two| two[1] - two[0] <= share), "{served:?}");
    assert_eq!((served[0], served.last()), (share, Some(&1_000)));
    assert_eq!(counters.input_deferred.get(), 1_000 / share);
}

#[test]
fn clients_that_have_many_commands_take_turns() {
    const CLIENTS: u32 = 40;
    let (mut broker, mut port, counters) = serving(CLIENTS);
    let commands: String =
        (0..2 * COMMANDS_PER_TURN).map(|sid| format!("SUB a {sid}\r\n")).collect();
    let mut waiting = 0..CLIENTS;
    let mut turns = 0;
    let all = u64::from(2 * COMMANDS_PER_TURN * CLIENTS);
    while counters.subscriptions.get() < all {
        let before = counters.subscriptions.get();
        broker.go_on(at(0));
        while broker.wants_input()
            && let Some(slot) = waiting.next()
        {
            broker.received(at(0), id(slot), commands.as_bytes());
        }
        turn(&mut broker, at(0), &mut port);
        let served = counters.subscriptions.get() - before;
        assert!(served <= u64::from(TURN_COMMANDS_MAX + COMMANDS_PER_TURN), "{served}");
        turns += 1;
        assert!(turns < 100, "every client gets on");
    }
}

#[test]
fn a_client_that_sends_more_than_its_share_is_not_read_until_that_is_served() {
    let (mut broker, mut port, _) = serving(1);
    let pings = b"PING\r\n".repeat(20_000);
    broker.received(at(0), id(0), &pings);
    turn(&mut broker, at(0), &mut port);
    assert_eq!(port.paused, [id(0)]);
    let mut turns = 0;
    while !port.paused.is_empty() {
        for (connection, _) in port.sends.drain(..).collect::<Vec<_>>() {
            broker.sent(at(0), connection);
        }
        broker.go_on(at(0));
        turn(&mut broker, at(0), &mut port);
        turns += 1;
        assert!(turns <= 20_000, "each turn serves some");
    }
    assert!(turns > 10_000, "a PING a turn: the answer stands behind what came before");
}
