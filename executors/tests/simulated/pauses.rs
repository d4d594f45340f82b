//! Paused connections, and the ends of their peers.

use std::time::Duration;

use executors::simulated::Plan;

use super::support::{ECONNRESET, Order, World};

/// A world with one paused connection that is not received on any more.
fn paused() -> (World, executors::simulated::SocketId, executors::ConnectionId) {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    assert!(!world.kernel.is_watching(socket), "the receive sees the end");
    world.order(Order::Pause(connection));
    world.run();
    world.carry_out_cancels(socket);
    world.run();
    assert!(world.kernel.is_watching(socket) && !world.kernel.is_receiving(socket));
    (world, socket, connection)
}

/// Goal: a paused connection whose peer is gone keeps its place no longer than a closing one.
#[test]
fn a_peer_that_ends_while_its_connection_is_paused_is_given_up_after_the_linger_time() {
    let (mut world, socket, connection) = paused();
    assert!(world.kernel.hang_up(socket));
    world.run();
    world.advance(Duration::from_millis(1_999));
    world.run();
    assert!(world.seen().vanished.is_empty(), "it may be resumed");
    world.advance(Duration::from_millis(1));
    world.run();
    assert_eq!(world.seen().vanished, [connection]);
    world.order(Order::Close(connection, Vec::new()));
    world.run();
    world.kernel.deliver_end(socket);
    world.run();
    assert!(world.kernel.is_closed(socket));
}

/// Goal: what a peer sent before it ended is read if the pause ends in time.
#[test]
fn a_connection_that_is_resumed_after_its_peer_has_ended_is_read_to_its_end() {
    let (mut world, socket, connection) = paused();
    world.kernel.hang_up(socket);
    world.run();
    world.advance(Duration::from_millis(1_500));
    world.order(Order::Resume(connection));
    world.run();
    world.kernel.deliver(socket, b"last words", true);
    // Once more paused: the time starts again.
    world.order(Order::Pause(connection));
    world.run();
    world.carry_out_cancels(socket);
    world.run();
    world.kernel.hang_up(socket);
    world.run();
    world.advance(Duration::from_millis(1_500));
    world.run();
    assert!(world.seen().vanished.is_empty());
    world.order(Order::Resume(connection));
    world.run();
    world.kernel.deliver_end(socket);
    world.advance(Duration::from_secs(9));
    world.run();
    assert_eq!(world.seen().received_of(connection), b"last words");
    assert_eq!(world.seen().ended, [connection]);
    assert!(world.seen().vanished.is_empty(), "its end was read");
}

/// Goal: an end that a receive saw before its cancel was carried out counts as well.
#[test]
fn a_paused_connection_whose_end_was_received_is_given_up_too() {
    for error in [None, Some(ECONNRESET)] {
        let mut world = World::new(Plan::default());
        let (socket, connection) = world.connect();
        world.order(Order::Pause(connection));
        world.run();
        match error {
            None => world.kernel.deliver_end(socket),
            Some(error) => world.kernel.fail_receive(socket, error),
        };
        world.run();
        assert_eq!(world.seen().ended, [connection]);
        assert!(world.seen().vanished.is_empty());
        world.advance(Duration::from_secs(2));
        world.run();
        assert_eq!(world.seen().vanished, [connection]);
    }
}

#[test]
fn a_slot_is_free_only_when_its_watch_has_ended() {
    let (mut world, socket, connection) = paused();
    world.order(Order::Close(connection, Vec::new()));
    world.run();
    world.kernel.deliver_end(socket);
    world.run();
    world.kernel.answer_cancel(socket);
    world.run();
    assert!(!world.kernel.is_closed(socket), "the watch is under way");
    assert!(world.kernel.cancel_watch(socket));
    world.run();
    assert!(world.kernel.is_closed(socket));
}
