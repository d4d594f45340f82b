//! Sends that are short, late, or fail.

use std::time::Duration;

use executors::Shortage;
use executors::simulated::{Delivery, Plan};

use super::support::{ECANCELED, ECONNRESET, ENOBUFS, ENOMEM, EPIPE, Order, World};

#[test]
fn a_send_that_the_kernel_takes_in_pieces_arrives_whole_and_in_order() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    let text: Vec<Vec<u8>> = (0..40u8).map(|part| vec![part; 1 + usize::from(part)]).collect();
    let expected: Vec<u8> = text.iter().flatten().copied().collect();
    world.order(Order::Send(connection, text));
    world.order(Order::Send(connection, vec![b"the next".to_vec()]));
    let mut received = Vec::new();
    for len in (1..).take_while(|len| len % 97 != 0) {
        world.run();
        assert!(world.seen().sent.is_empty(), "a part is not all");
        received.extend(world.kernel.take(socket, len));
        if received.len() == expected.len() {
            break;
        }
        // Shorter than asked, also nothing at all.
        assert!(world.kernel.complete_send(socket));
    }
    assert_eq!(received, expected);
    world.kernel.complete_send(socket);
    world.run();
    assert_eq!(world.seen().sent, [connection]);
    assert_eq!(world.kernel.take(socket, 100), b"the next");
}

#[test]
fn sends_of_a_connection_go_out_one_at_a_time_however_late_they_complete() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    for text in ["one", "two", "three"] {
        world.order(Order::Send(connection, vec![text.as_bytes().to_vec()]));
    }
    for text in ["one", "two", "three"] {
        for _ in 0..5 {
            world.run();
            assert_eq!(world.kernel.sending(socket), Some(text.len()));
        }
        assert_eq!(world.kernel.take(socket, 100), text.as_bytes());
        world.kernel.complete_send(socket);
    }
    world.run();
    assert_eq!(world.seen().sent.len(), 3);
}

/// Goal: whatever error ends a send, the service hears `broken` once, then the end, and the slot is
/// free after its close.
#[test]
fn a_send_that_fails_breaks_its_connection_and_no_other() {
    for error in [ECONNRESET, EPIPE, ECANCELED] {
        let mut world = World::new(Plan::default());
        let (socket, connection) = world.connect();
        let (other, bystander) = world.connect();
        world.order(Order::Send(connection, vec![b"lost".to_vec()]));
        world.order(Order::Send(bystander, vec![b"kept".to_vec()]));
        world.run();
        assert_eq!(world.kernel.deliver(socket, b"before", true), Delivery::Taken(6));
        assert!(world.kernel.fail_send(socket, error));
        if error == ECONNRESET {
            // The receive hears of it too: the end is one.
            assert!(world.kernel.fail_receive(socket, error));
        }
        world.run();
        assert_eq!(world.seen().broken, [connection], "error {error}");
        assert_eq!(world.seen().received_of(connection), b"before", "error {error}");
        assert_eq!(world.seen().ended, [connection], "error {error}");
        world.order(Order::Close(connection, b"not heard".to_vec()));
        world.run();
        let is_received_on = error != ECONNRESET;
        assert_eq!(world.kernel.is_closed(socket), !is_received_on, "its receive is under way");
        world.carry_out_cancels(socket);
        world.run();
        assert!(world.kernel.is_closed(socket) && !world.kernel.is_write_shut(socket));
        assert_eq!(world.seen().closed, [connection], "error {error}");
        assert_eq!(world.kernel.take(other, 100), b"kept");
    }
}

/// Goal: a kernel without memory for a moment costs no connection, and no byte.
#[test]
fn a_send_without_memory_is_counted_and_goes_on_after_a_rest() {
    for error in [ENOMEM, ENOBUFS] {
        let mut world = World::new(Plan::default());
        let (socket, connection) = world.connect();
        world.order(Order::Send(connection, vec![b"first ".to_vec(), b"second".to_vec()]));
        world.run();
        let mut received = world.kernel.take(socket, 3);
        world.kernel.complete_send(socket);
        world.run();
        world.kernel.fail_send(socket, error);
        world.run();
        assert_eq!(world.seen().short, [Shortage::Send]);
        world.advance(Duration::from_millis(99));
        world.run();
        assert_eq!(world.kernel.sending(socket), None, "it rests");
        world.advance(Duration::from_millis(1));
        world.run();
        received.extend(world.kernel.take(socket, 100));
        world.kernel.complete_send(socket);
        world.run();
        assert_eq!(received, b"first second");
        assert_eq!(world.seen().sent, [connection]);
        assert!(world.seen().broken.is_empty());
    }
}

#[test]
fn a_connection_that_is_cut_off_while_its_send_rests_is_freed() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.order(Order::Send(connection, vec![b"bytes".to_vec()]));
    world.run();
    world.order(Order::Close(connection, b"last".to_vec()));
    world.run();
    for _ in 0..21 {
        world.kernel.fail_send(socket, ENOMEM);
        world.run();
        world.advance(Duration::from_millis(100));
        if world.kernel.cancel_of(socket).is_none() {
            world.run();
        }
    }
    world.run();
    world.carry_out_cancels(socket);
    world.run();
    assert!(world.kernel.is_closed(socket));
    assert_eq!(world.seen().closed, [connection]);
}

/// Goal: requests that the kernel had no memory for go out later, in order.
#[test]
fn requests_that_the_kernel_does_not_take_stay_queued_and_are_counted() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.order(Order::Send(connection, vec![b"bytes".to_vec()]));
    world.kernel.fail_enters(0, 3);
    world.run();
    assert_eq!(world.seen().short, [Shortage::Enter; 3]);
    assert_eq!(world.kernel.take(socket, 100), b"bytes");
}
