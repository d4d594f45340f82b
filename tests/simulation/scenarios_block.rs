//! What a subscriber with `block` owes to the publishers that wait for it.

use crate::conversation::BLOCK;
use crate::scenarios::{ZERO, numbers, stalled_subscriber};
use crate::wire::Phase;
use crate::world::World;

/// Goal: a subscriber that takes a send now and then cannot hold publishers up for ever.
/// Method: every 4 s one send is taken, of some dozen bytes, and the timeout is 10 s.
#[test]
fn a_subscriber_that_takes_a_little_now_and_then_is_disconnected_as_too_slow() {
    let mut world = World::with_seed(61);
    let subscriber = stalled_subscriber(&mut world, "a", BLOCK, 2);
    let publisher = world.connect(ZERO);
    for payload in numbers(1..=400) {
        world.publish(publisher, "a", &payload, 0);
        world.step();
    }
    world.run_until_idle();
    assert!(world.wires[publisher.0].paused, "the publisher waits");
    for _ in 0..3 {
        world.advance_ms(4_000);
        let before_ns = world.wires[subscriber.0].last_taken_ns;
        world.resume(subscriber);
        let waits = |world: &World| {
            let wire = &world.wires[subscriber.0];
            wire.last_taken_ns == before_ns && wire.phase == Phase::Open
        };
        while waits(&world) {
            world.step();
        }
        world.stall(subscriber, 1);
        world.run_until_idle();
    }
    world.resume(subscriber);
    world.run_until_idle();
    assert_eq!(world.conversations[subscriber.0].fatal, Some(4290));
    assert!(!world.wires[publisher.0].paused, "the publisher continues");
    world.end();
}

/// Goal: a connection that nothing reaches any more blocks nobody, also where its end is not seen
/// because the connection waits for itself.
#[test]
fn a_subscriber_that_nothing_reaches_any_more_holds_nobody_up() {
    let mut world = World::with_seed(62).cores(2).mesh_delay_ticks(0..=3);
    let topic = world.topic_on(1);
    let subscriber = stalled_subscriber(&mut world, &topic, BLOCK, 2);
    let publisher = world.connect(ZERO);
    for payload in numbers(1..=100) {
        world.publish(publisher, &topic, &payload, 0);
        world.publish(subscriber, &topic, &payload, 0);
        world.step();
    }
    world.run_until_idle();
    assert!(world.wires[publisher.0].paused && world.wires[subscriber.0].paused);
    let start_ns = world.clock.read().monotonic_ns;
    world.wires[subscriber.0].broken = true;
    world.run_until_idle();
    assert!(world.clock.read().monotonic_ns < start_ns + 1_000_000_000, "no timeout has come");
    assert!(!world.wires[publisher.0].paused, "the publisher continues");
    assert_eq!(world.wires[subscriber.0].phase, Phase::Gone);
    world.end();
}
