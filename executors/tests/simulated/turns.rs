//! Connections take turns, however fast each of them sends.

use executors::simulated::{Cancel, Delivery, Plan};

use super::support::World;

#[test]
fn connections_are_handed_on_one_buffer_each_in_turn() {
    let mut world = World::new(Plan { buffers: 8, buffer_len: 1, ..Plan::default() });
    let (fast, fast_connection) = world.connect();
    let (slow, slow_connection) = world.connect();
    world.core().service_mut().hold = true;
    for byte in b"12345" {
        assert_eq!(world.kernel.deliver(fast, &[*byte], true), Delivery::Taken(1));
    }
    for byte in b"ab" {
        assert_eq!(world.kernel.deliver(slow, &[*byte], true), Delivery::Taken(1));
    }
    world.run();
    world.core().service_mut().hold = false;
    world.wake();
    world.run();
    let order: Vec<u8> = world.seen().received.iter().map(|(_, bytes)| bytes[0]).collect();
    assert_eq!(order, b"1a2b345");
    assert_eq!(world.seen().received_of(fast_connection), b"12345");
    assert_eq!(world.seen().received_of(slow_connection), b"ab");
}

/// Goal: one connection does not keep the buffers of all.
/// Method: a service that wants nothing for a while, and a peer that sends all the time.
#[test]
fn a_connection_with_many_arrivals_is_received_from_again_when_half_are_handed_on() {
    let mut world = World::new(Plan { buffers: 32, buffer_len: 1, ..Plan::default() });
    let (socket, connection) = world.connect();
    world.core().service_mut().hold = true;
    let mut sent = 0;
    while world.kernel.deliver(socket, &[sent], true) == Delivery::Taken(1) {
        sent += 1;
        world.run();
        if world.kernel.cancel_of(socket) == Some(Cancel::Receive) {
            world.carry_out_cancels(socket);
            world.run();
        }
    }
    assert!(sent < 32 / 2, "{sent} buffers of 32");
    world.core().service_mut().hold = false;
    world.wake();
    world.run();
    assert!(world.kernel.is_receiving(socket));
    assert_eq!(world.kernel.deliver(socket, &[sent], true), Delivery::Taken(1));
    world.run();
    let all: Vec<u8> = (0..=sent).collect();
    assert_eq!(world.seen().received_of(connection), all);
}
