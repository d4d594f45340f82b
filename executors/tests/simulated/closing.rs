//! Closing, and when a slot is free.

use std::time::Duration;

use executors::simulated::{Cancel, Plan};

use super::support::{ECANCELED, ECONNRESET, Order, World};

/// Goal: a slot is not reused while a completion that names it is to come.
/// Method: a close whose cancel, receive and send complete one by one, in every order.
#[test]
fn a_slot_is_free_only_with_its_last_completion() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut world = World::new(Plan::default());
        let (socket, connection) = world.connect();
        world.order(Order::Send(connection, vec![vec![7; 100]]));
        world.order(Order::Close(connection, b"bye".to_vec()));
        world.run();
        world.kernel.take(socket, 10);
        world.advance(Duration::from_secs(3));
        world.run();
        assert_eq!(world.kernel.cancel_of(socket), Some(Cancel::Everything));
        for what in order {
            assert!(!world.kernel.is_closed(socket) && world.seen().closed.is_empty());
            match what {
                0 => world.kernel.answer_cancel(socket),
                // A part had left: the rest must not be sent.
                1 => assert!(world.kernel.complete_send(socket)),
                _ => assert!(world.kernel.fail_receive(socket, ECANCELED)),
            }
            world.run();
            assert_eq!(world.kernel.sending(socket).is_some(), !order_has_come(order, 1, what));
        }
        assert!(world.kernel.is_closed(socket), "order {order:?}");
        assert_eq!(world.seen().closed, [connection]);
        let (_, next) = world.connect();
        assert_eq!((next.slot, next.generation), (connection.slot, connection.generation + 1));
    }
}

/// Whether `wanted` comes in `order` before `now` or with it.
fn order_has_come(order: [u8; 3], wanted: u8, now: u8) -> bool {
    let place = |what| order.iter().position(|of| *of == what);
    place(wanted) <= place(now)
}

/// Goal: a slot is not reused while something that arrived on it waits to be handed on.
#[test]
fn a_slot_is_free_only_when_its_arrivals_are_put_away() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.core().service_mut().hold = true;
    world.kernel.deliver(socket, b"x", true);
    world.order(Order::Close(connection, Vec::new()));
    world.run();
    world.kernel.fail_receive(socket, ECONNRESET);
    world.advance(Duration::from_secs(3));
    world.run();
    assert!(!world.kernel.is_closed(socket) && world.seen().closed.is_empty());
    world.core().service_mut().hold = false;
    world.wake();
    world.run();
    assert!(world.kernel.is_closed(socket));
    assert_eq!(world.seen().received_of(connection), b"", "the service has closed it before");
    assert_eq!(world.seen().closed, [connection]);
}

#[test]
fn a_connection_that_is_closed_while_it_is_paused_sees_the_end_of_its_peer() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.order(Order::Pause(connection));
    world.run();
    world.carry_out_cancels(socket);
    world.run();
    world.order(Order::Close(connection, Vec::new()));
    world.run();
    assert!(world.kernel.deliver_end(socket), "it is read");
    world.run();
    world.carry_out_cancels(socket);
    world.run();
    assert!(world.kernel.is_closed(socket));
}

#[test]
fn last_bytes_go_out_behind_the_send_in_flight_and_before_the_end() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.order(Order::Send(connection, vec![b"first ".to_vec()]));
    world.order(Order::Close(connection, b"last".to_vec()));
    world.run();
    let mut received = world.kernel.take(socket, 3);
    world.kernel.complete_send(socket);
    world.run();
    assert!(!world.kernel.is_write_shut(socket));
    received.extend(world.kernel.take(socket, 100));
    world.kernel.complete_send(socket);
    world.run();
    received.extend(world.kernel.take(socket, 100));
    assert!(!world.kernel.is_write_shut(socket), "the last bytes are under way");
    world.kernel.complete_send(socket);
    world.run();
    assert_eq!(received, b"first last");
    assert!(world.kernel.is_write_shut(socket) && !world.kernel.is_closed(socket));
    // What still comes is thrown away, then the peer's end frees the connection.
    world.kernel.deliver(socket, b"too late", true);
    world.run();
    world.kernel.deliver_end(socket);
    world.run();
    assert!(world.kernel.is_closed(socket));
    assert_eq!(world.seen().received_of(connection), b"");
    assert_eq!((world.seen().ended.len(), world.seen().closed.len()), (0, 1));
}

/// Goal: memory that a peer does not take is free at once, not after the linger time.
#[test]
fn a_closed_connection_that_is_aborted_gives_up_its_send_and_its_last_bytes() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.order(Order::Send(connection, vec![vec![7; 100]]));
    world.run();
    world.order(Order::Close(connection, b"bye".to_vec()));
    world.order(Order::Abort(connection));
    world.run();
    assert_eq!(world.kernel.cancel_of(socket), Some(Cancel::Everything));
    world.carry_out_cancels(socket);
    world.run();
    assert!(world.kernel.is_closed(socket), "no time has passed");
    assert_eq!(world.seen().closed, [connection]);
}
