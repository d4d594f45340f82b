//! Stops, with everything that may still be under way.

use std::time::Duration;

use executors::launch::Stopped;
use executors::simulated::{Cancel, Plan};

use super::support::{ECANCELED, Order, PEER, World};

#[test]
fn a_stop_closes_the_listeners_and_ends_when_every_connection_is_gone() {
    let mut world = World::new(Plan { cores: 2, listeners: 2, ..Plan::default() });
    let (socket, connection) = world.connect();
    world.stop(Duration::from_secs(9));
    world.run();
    for listener in 0..2 {
        assert!(!world.kernel.is_listener_closed(listener), "its accept is under way");
        assert!(world.kernel.carry_out_accept_cancel(listener));
    }
    world.run();
    assert!(world.kernel.is_listener_closed(0) && world.kernel.is_listener_closed(1));
    let late = world.machine.connect_to(0, 0, PEER);
    assert!(world.kernel.is_closed(late), "connections are refused");
    assert_eq!(world.machine.cores()[1].stopped(), Some(Stopped::Drained));
    assert_eq!(world.machine.cores()[0].stopped(), None);
    world.order(Order::Close(connection, Vec::new()));
    world.run();
    world.kernel.deliver_end(socket);
    world.run();
    assert_eq!(world.machine.cores()[0].stopped(), Some(Stopped::Drained));
}

/// Goal: a connection that is accepted while the core stops is closed, and the listener after it.
#[test]
fn a_cancel_of_an_accept_that_races_with_a_connection_leaks_neither() {
    let mut world = World::new(Plan::default());
    let (last, connection) = world.connect();
    world.stop(Duration::from_secs(9));
    world.run();
    let socket = world.kernel.accept(0, Some(PEER), true);
    world.kernel.answer_accept_cancel(0);
    world.run();
    assert!(world.kernel.is_closed(socket), "it is served by none");
    world.kernel.fail_accept(0, ECANCELED);
    world.run();
    assert!(world.kernel.is_listener_closed(0));
    world.order(Order::Close(connection, Vec::new()));
    world.run();
    world.kernel.deliver_end(last);
    world.run();
    assert_eq!(world.machine.cores()[0].stopped(), Some(Stopped::Drained));
}

#[test]
fn the_drain_timeout_cuts_off_and_waits_for_every_completion() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.order(Order::Send(connection, vec![vec![1; 1_000]]));
    world.run();
    world.stop(Duration::from_secs(1));
    world.run();
    world.kernel.carry_out_accept_cancel(0);
    // Bytes that are never handed on are among what has to be put away.
    world.core().service_mut().hold = true;
    world.kernel.deliver(socket, b"x", true);
    world.run();
    world.advance(Duration::from_secs(1));
    world.step(10);
    assert_eq!(world.machine.cores()[0].stopped(), None, "completions are to come");
    assert_eq!(world.kernel.cancel_of(socket), Some(Cancel::Everything));
    world.carry_out_cancels(socket);
    world.step(3);
    assert_eq!(world.machine.cores()[0].stopped(), Some(Stopped::TimedOut));
    assert!(world.kernel.is_closed(socket));
}

/// Goal: a stop waits until everything is delivered, and not for what the peers do then.
/// Method: peers that never end, the linger time of an hour.
#[test]
fn a_stop_waits_for_delivery_and_not_for_the_end_of_the_peer() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let mut world = World::new(Plan { listeners: 0, linger: HOUR, ..Plan::default() });
    let (early, refused) = world.connect();
    world.order(Order::Close(refused, b"go away".to_vec()));
    let (late, served) = world.connect();
    world.stop(2 * HOUR);
    world.order(Order::Close(served, b"bye".to_vec()));
    world.run();
    for socket in [early, late] {
        world.advance(Duration::from_secs(1));
        world.run();
        assert_eq!(world.machine.cores()[0].stopped(), None, "not all is sent");
        world.kernel.take(socket, 100);
        world.kernel.complete_send(socket);
        world.run();
        world.advance(Duration::from_secs(1));
        world.run();
        assert!(world.kernel.is_write_shut(socket) && !world.kernel.is_closed(socket));
        assert_eq!(world.kernel.cancel_of(socket), None, "the peer may have to be sent it again");
        world.kernel.acknowledge(socket);
        world.advance(Duration::from_millis(64));
        world.run();
        world.carry_out_cancels(socket);
        world.run();
        assert!(world.kernel.is_closed(socket));
    }
    assert_eq!(world.machine.cores()[0].stopped(), Some(Stopped::Drained));
}
