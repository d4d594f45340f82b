//! Accepting, its errors, and the limit of connections.

use std::time::Duration;

use executors::simulated::{Plan, SocketId};
use executors::{ConnectionId, Shortage};

use super::support::{EMFILE, ENFILE, ENOBUFS, ENOMEM, Order, PEER, World};

/// Whether there was a place for the connection that came last.
fn last_is_admitted(world: &World) -> Option<bool> {
    world.seen().connected.last().map(|(_, admitted)| *admitted)
}

/// Both ends of a connection close.
fn leave(world: &mut World, socket: SocketId, connection: ConnectionId) {
    world.order(Order::Close(connection, Vec::new()));
    world.run();
    world.kernel.deliver_end(socket);
    world.run();
}

#[test]
fn accepting_rests_after_a_shortage_and_goes_on_by_itself() {
    for error in [EMFILE, ENFILE, ENOMEM, ENOBUFS] {
        let mut world = World::new(Plan { listeners: 2, ..Plan::default() });
        world.run();
        world.kernel.fail_accept(1, error);
        world.run();
        assert_eq!(world.seen().short, [Shortage::Accept]);
        assert!(!world.kernel.is_accepting(1), "error {error}");
        // The other listener goes on, and does not end the rest of this one.
        world.kernel.accept(0, Some(PEER), false);
        world.run();
        assert!(!world.kernel.is_accepting(0) && !world.kernel.is_accepting(1));
        world.advance(Duration::from_millis(99));
        world.run();
        assert!(!world.kernel.is_accepting(1));
        world.advance(Duration::from_millis(1));
        world.run();
        assert!(world.kernel.is_accepting(0) && world.kernel.is_accepting(1), "error {error}");
        assert_eq!(world.seen().connected.len(), 1);
    }
}

#[test]
fn a_peer_that_is_gone_when_it_is_accepted_is_closed_unheard() {
    let mut world = World::new(Plan::default());
    world.run();
    let socket = world.kernel.accept(0, None, true);
    world.run();
    assert!(world.kernel.is_closed(socket));
    assert!(world.seen().connected.is_empty());
}

#[test]
fn connections_over_the_limit_are_not_admitted_and_reported_once_a_second() {
    let mut world = World::new(Plan { connections_max: 2, ..Plan::default() });
    for number in 0..5 {
        world.connect();
        assert_eq!(last_is_admitted(&world), Some(number < 2));
    }
    assert_eq!(world.seen().full, [2]);
    world.advance(Duration::from_secs(2));
    world.connect();
    assert_eq!(world.seen().full, [2, 2]);
}

/// Goal: connections that are refused keep no place from others, however long their peers keep them.
#[test]
fn a_connection_that_is_refused_holds_no_place() {
    let mut world = World::new(Plan { connections_max: 1, ..Plan::default() });
    let (socket, first) = world.connect();
    let refused: Vec<_> = (0..100).map(|_| world.machine.connect_to(0, 0, PEER)).collect();
    world.run();
    let refused = refused.into_iter().filter(|socket| !world.kernel.is_closed(*socket)).count();
    assert_eq!(refused, 64, "more are closed unheard");
    leave(&mut world, socket, first);
    world.connect();
    assert_eq!(last_is_admitted(&world), Some(true));
}

#[test]
fn listeners_are_closed_before_a_stop_if_that_is_wanted_and_connections_stay() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.machine.stop_handle().refuse_connections();
    world.run();
    assert!(world.kernel.carry_out_accept_cancel(0));
    world.run();
    assert!(world.kernel.is_listener_closed(0));
    world.kernel.deliver(socket, b"x", true);
    world.run();
    assert_eq!(world.seen().received_of(connection), b"x");
    world.stop(Duration::from_secs(9));
    world.order(Order::Close(connection, Vec::new()));
    world.run();
    assert!(!world.kernel.is_accept_cancelled(0), "once is enough");
    world.kernel.deliver_end(socket);
    world.run();
    assert!(world.machine.cores()[0].stopped().is_some());
}

#[test]
fn an_address_has_no_more_connections_than_it_may() {
    let mut world = World::new(Plan::default());
    world.machine.tuning().set_address_limits(1, 0);
    let (socket, first) = world.connect();
    world.connect();
    assert_eq!(last_is_admitted(&world), Some(false));
    leave(&mut world, socket, first);
    world.connect();
    assert_eq!(last_is_admitted(&world), Some(true));
}
