//! Receives that end, race with their cancel, or find no buffer.

use std::time::Duration;

use executors::Shortage;
use executors::simulated::{Cancel, Delivery, Plan};

use super::support::{ECANCELED, ECONNRESET, ENOMEM, ETIMEDOUT, Order, World};

#[test]
fn a_receive_that_fails_ends_its_connection_behind_what_arrived() {
    for error in [ECONNRESET, ETIMEDOUT] {
        let mut world = World::new(Plan::default());
        let (socket, connection) = world.connect();
        world.kernel.deliver(socket, b"last words", true);
        world.kernel.fail_receive(socket, error);
        world.run();
        assert_eq!(world.seen().received_of(connection), b"last words");
        assert_eq!(world.seen().ended, [connection], "error {error}");
        assert!(!world.kernel.is_receiving(socket), "nothing more can come");
        world.order(Order::Close(connection, b"not heard".to_vec()));
        world.run();
        assert_eq!(world.kernel.sending(socket), None, "the peer is gone");
        assert!(world.kernel.is_closed(socket));
    }
}

#[test]
fn a_receive_that_the_kernel_ends_without_reason_is_asked_for_again() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    for _ in 0..3 {
        assert_eq!(world.kernel.deliver(socket, b"x", false), Delivery::Taken(1));
        assert!(!world.kernel.is_receiving(socket));
        world.run();
        assert!(world.kernel.is_receiving(socket));
    }
    assert_eq!(world.seen().received_of(connection), b"xxx");
}

/// Goal: a pause holds, whatever completes before its cancel, and a resume that comes before the
/// cancel is carried out is not lost.
#[test]
fn a_cancel_that_races_with_arrivals_loses_and_repeats_nothing() {
    for (early, late) in [(true, false), (false, true), (true, true), (false, false)] {
        let mut world = World::new(Plan::default());
        let (socket, connection) = world.connect();
        world.order(Order::Pause(connection));
        world.run();
        assert_eq!(world.kernel.cancel_of(socket), Some(Cancel::Receive));
        if early {
            world.kernel.deliver(socket, b"early ", true);
        }
        if late {
            // The cancel completes first, what it cancels in a later turn.
            world.kernel.answer_cancel(socket);
            world.run();
            world.kernel.deliver(socket, b"late ", true);
        }
        world.order(Order::Resume(connection));
        world.run();
        assert!(world.kernel.is_receiving(socket), "the receive is still to be cancelled");
        if late {
            world.kernel.fail_receive(socket, ECANCELED);
        } else {
            world.carry_out_cancels(socket);
        }
        world.run();
        assert!(world.kernel.is_receiving(socket), "resumed");
        world.kernel.deliver(socket, b"then", true);
        world.run();
        let parts = [if early { "early " } else { "" }, if late { "late " } else { "" }, "then"];
        assert_eq!(world.seen().received_of(connection), parts.concat().as_bytes());
    }
}

#[test]
fn a_connection_that_is_paused_is_not_received_on_until_it_is_resumed() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    world.order(Order::Pause(connection));
    world.run();
    world.carry_out_cancels(socket);
    world.run();
    assert_eq!(world.kernel.deliver(socket, b"x", true), Delivery::NotRead);
    world.order(Order::Resume(connection));
    world.run();
    assert_eq!(world.kernel.deliver(socket, b"x", true), Delivery::Taken(1));
}

/// Goal: no connection is forgotten that found no receive buffer.
/// Method: more connections than buffers, a service that wants nothing for a while.
#[test]
fn connections_that_starve_for_a_buffer_are_served_when_there_is_one() {
    const CONNECTIONS: usize = 20;
    let mut world = World::new(Plan { buffers: 3, buffer_len: 4, ..Plan::default() });
    let connections: Vec<_> = (0..CONNECTIONS).map(|_| world.connect()).collect();
    world.core().service_mut().hold = true;
    let mut left: Vec<Vec<u8>> = vec![b"0123456789".to_vec(); CONNECTIONS];
    let mut starved = 0;
    for round in 0..1_000 {
        if round == 50 {
            world.core().service_mut().hold = false;
            world.wake();
        }
        for ((socket, _), left) in connections.iter().zip(&mut left) {
            match if left.is_empty() {
                None
            } else {
                Some(world.kernel.deliver(*socket, left, true))
            } {
                Some(Delivery::Taken(len)) => drop(left.drain(..len)),
                Some(Delivery::Starved) => starved += 1,
                Some(Delivery::NotRead) | None => {}
            }
        }
        world.run();
    }
    assert!(starved > CONNECTIONS, "{starved}");
    assert_eq!(world.seen().starved, starved);
    for (socket, connection) in connections {
        assert_eq!(world.seen().received_of(connection), b"0123456789");
        assert!(world.kernel.is_receiving(socket));
    }
}

/// Goal: connections that send without pause take turns, and one that sends little waits for none of them.
#[test]
fn who_sends_little_finds_a_buffer_while_many_send_without_pause() {
    let mut world = World::new(Plan { buffers: 8, buffer_len: 4, ..Plan::default() });
    let many: Vec<_> = (0..20).map(|_| world.connect()).collect();
    let (light, lights) = world.connect();
    let mut taken = 0;
    for round in 0..300 {
        world.step(1);
        for (socket, _) in &many {
            world.kernel.deliver(*socket, b"full and more", true);
            world.carry_out_cancels(*socket);
        }
        match world.kernel.deliver(light, b"x", true) {
            Delivery::Taken(len) => taken += len,
            other => assert!(round < 20, "round {round}: {other:?}"),
        }
    }
    world.run();
    assert_eq!(world.seen().received_of(lights).len(), taken);
    let of_many = many.iter().map(|(_, connection)| world.seen().received_of(*connection).len());
    let (least, most) = (of_many.clone().min(), of_many.max());
    assert!(least > Some(200) && most <= least.map(|least| 2 * least), "{least:?} {most:?}");
}

/// Goal: connections that no longer want a buffer do not keep the next ones from theirs.
/// Method: many starve, of which the first ones are paused before there is a buffer. Found by the
/// simulator of the broker, with connections that were gone.
#[test]
fn connections_that_starved_and_want_nothing_by_now_keep_none_waiting() {
    let mut world = World::new(Plan { buffers: 1, ..Plan::default() });
    let connections: Vec<_> = (0..6).map(|_| world.connect()).collect();
    world.core().service_mut().hold = true;
    assert_eq!(world.kernel.deliver(connections[0].0, b"x", true), Delivery::Taken(1));
    for (socket, _) in &connections[1..] {
        assert_eq!(world.kernel.deliver(*socket, b"x", true), Delivery::Starved);
    }
    world.run();
    for (_, connection) in &connections[1..5] {
        world.order(Order::Pause(*connection));
    }
    world.run();
    world.core().service_mut().hold = false;
    world.wake();
    world.run();
    assert!(world.kernel.is_receiving(connections[5].0));
}

#[test]
fn a_connection_that_starved_may_be_closed_and_its_slot_reused_before_it_is_fed() {
    let mut world = World::new(Plan { buffers: 1, ..Plan::default() });
    let (first, _) = world.connect();
    let (second, starving) = world.connect();
    world.core().service_mut().hold = true;
    assert_eq!(world.kernel.deliver(first, b"x", true), Delivery::Taken(1));
    assert_eq!(world.kernel.deliver(second, b"x", true), Delivery::Starved);
    world.run();
    world.order(Order::Close(starving, b"bye".to_vec()));
    world.run();
    world.kernel.take(second, 100);
    world.kernel.complete_send(second);
    world.run();
    assert!(world.kernel.is_write_shut(second) && !world.kernel.is_closed(second));
    // Without a buffer its end cannot be seen: it is cut off.
    world.advance(Duration::from_secs(3));
    world.run();
    world.carry_out_cancels(second);
    world.run();
    assert!(world.kernel.is_closed(second));
    let (third, replacement) = world.connect();
    assert_eq!(replacement.slot, starving.slot);
    assert_eq!(replacement.generation, starving.generation + 1);
    world.core().service_mut().hold = false;
    world.wake();
    world.run();
    assert_eq!(world.kernel.deliver(third, b"new", true), Delivery::Taken(3));
    world.run();
    assert_eq!(world.seen().received_of(replacement), b"new");
}

#[test]
fn a_receive_without_memory_is_counted_and_asked_for_again_after_a_rest() {
    let mut world = World::new(Plan::default());
    let (socket, connection) = world.connect();
    for round in 1..3 {
        assert!(world.kernel.fail_receive(socket, ENOMEM));
        world.run();
        assert_eq!(world.seen().short, vec![Shortage::Receive; round]);
        assert!(!world.kernel.is_receiving(socket));
        // Whatever else happens does not end the rest.
        world.order(Order::Pause(connection));
        world.order(Order::Resume(connection));
        world.advance(Duration::from_millis(99));
        world.run();
        assert!(!world.kernel.is_receiving(socket));
        world.advance(Duration::from_millis(1));
        world.run();
        assert!(world.kernel.is_receiving(socket));
    }
    world.kernel.deliver(socket, b"x", true);
    world.run();
    assert_eq!(world.seen().received_of(connection), b"x");
    assert!(world.seen().ended.is_empty());
}

/// Goal: a connection whose peer sends as fast as it can leaves most receive buffers to the others.
/// Method: a service that wants nothing for a while, and a receive that goes on as long as nobody
/// cancels it.
#[test]
fn one_connection_fills_a_quarter_of_the_receive_buffers_at_most() {
    let mut world = World::new(Plan { buffers: 32, buffer_len: 4, ..Plan::default() });
    let (flooding, connection) = world.connect();
    let (quiet, other) = world.connect();
    world.core().service_mut().hold = true;
    let mut taken = 0;
    for _ in 0..100 {
        if let Delivery::Taken(len) = world.kernel.deliver(flooding, b"flood", true) {
            taken += len;
        }
        world.run();
        world.carry_out_cancels(flooding);
        world.run();
    }
    assert_eq!(taken, 8 * 4, "8 of 32 buffers");
    assert_eq!(world.kernel.deliver(quiet, b"x", true), Delivery::Taken(1));
    world.core().service_mut().hold = false;
    world.wake();
    world.run();
    assert_eq!(world.seen().received_of(connection), b"floo".repeat(8));
    assert_eq!(world.seen().received_of(other), b"x");
    assert!(world.kernel.is_receiving(flooding), "there is room again");
    assert_eq!(world.seen().starved, 0);
}
