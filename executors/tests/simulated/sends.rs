//! Sends that are short, late, or fail.

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
    for error in [ECONNRESET, EPIPE, ENOMEM, ENOBUFS, ECANCELED] {
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
