//! How connections end, and the broker: CLOSE, bad input, a stop.

use blipmq::protocol::CoreId;

use crate::conversation::Asks;
use crate::scenarios::{ZERO, numbers, publish_numbers, stalled_subscriber};
use crate::wire::{ClientEnd, Phase};
use crate::world::World;

#[test]
fn close_delivers_what_is_queued() {
    let mut world = World::with_seed(14).settings(|settings| settings.delivery.max_batch = 2);
    let subscriber = stalled_subscriber(&mut world, "a", 0, 0);
    let publisher = world.connect(ZERO);
    publish_numbers(&mut world, publisher, "a", &numbers(1..=9));
    world.close(subscriber);
    world.run_until_idle();
    world.resume(subscriber);
    world.run_until_idle();
    let expected: Vec<String> = ["first".to_string()].into_iter().chain(numbers(1..=9)).collect();
    assert_eq!(world.received(subscriber), expected);
    assert_eq!(world.wires[subscriber.0].phase, Phase::Gone);
    world.end();
}

/// Goal: CLOSE promises what is queued, however many turns it takes to close all subscriptions.
/// Method: each turn closes one of them.
#[test]
fn close_delivers_what_is_queued_to_each_of_many_subscriptions() {
    let mut world = World::with_seed(17).ends_per_turn(1);
    let subscriber = stalled_subscriber(&mut world, "a.0", 0, 0);
    for topic in 1..9 {
        world.add_subscription(subscriber, &format!("a.{topic}"), 0, 0);
    }
    world.run_until_idle();
    let publisher = world.connect(ZERO);
    for topic in 1..9 {
        world.publish(publisher, &format!("a.{topic}"), "queued", 0);
    }
    world.run_until_idle();
    world.close(subscriber);
    world.run_until_idle();
    world.resume(subscriber);
    world.run_until_idle();
    assert_eq!(world.received(subscriber).len(), 9);
    assert_eq!(world.wires[subscriber.0].phase, Phase::Gone);
    world.end();
}

/// Found by the simulator: the end of the client's half cut off what CLOSE had promised.
#[test]
fn close_delivers_what_is_queued_to_a_client_that_has_shut_its_half_too() {
    let mut world = World::with_seed(15).settings(|settings| settings.delivery.max_batch = 2);
    let subscriber = stalled_subscriber(&mut world, "a", 0, 0);
    let publisher = world.connect(ZERO);
    publish_numbers(&mut world, publisher, "a", &numbers(1..=9));
    world.close(subscriber);
    world.wires[subscriber.0].client_end = ClientEnd::HalfClosed;
    world.run_until_idle();
    world.resume(subscriber);
    world.run_until_idle();
    assert_eq!(world.received(subscriber).len(), 10);
    world.end();
}

/// Found by the simulator: after UNSUBSCRIBE and CLOSE there was no UNSUBSCRIBED.
#[test]
fn unsubscribe_is_answered_when_close_follows() {
    let mut world = World::with_seed(16);
    let subscriber = stalled_subscriber(&mut world, "a", 0, 0);
    world.publish_each(ZERO, "a", ["second"]);
    world.run_until_idle();
    let id = *world.conversations[subscriber.0].subscriptions.keys().next().expect("one");
    world.unsubscribe(subscriber, id);
    world.close(subscriber);
    world.run_until_idle();
    world.resume(subscriber);
    world.run_until_idle();
    assert_eq!(world.received(subscriber), ["first", "second"]);
    assert!(world.conversations[subscriber.0].subscriptions[&id].unsubscribed);
    world.end();
}

#[test]
fn stop_delivers_what_was_accepted_on_every_core() {
    let mut world = World::with_seed(17)
        .cores(3)
        .mesh_delay_ticks(0..=20)
        .settings(|settings| settings.delivery.max_batch = 3);
    let topics = [0, 1, 2].map(|core| world.topic_on(core));
    let subscribers = [0, 1, 2].map(|core| world.subscribe(CoreId(core), ">"));
    for topic in &topics {
        let publisher = world.connect(ZERO);
        for payload in numbers(1..=50) {
            world.publish(publisher, topic, &payload, 0);
        }
    }
    for _ in 0..10 {
        world.step();
    }
    world.stop();
    world.run_until_idle();
    let accepted: usize = world.truth.topics.iter().map(|topic| topic.accepted.len()).sum();
    assert!(accepted > 0, "the stop came after the first messages");
    for subscriber in subscribers {
        assert_eq!(world.received(subscriber).len(), accepted);
        assert!(world.conversations[subscriber.0].goodbye);
    }
    world.end();
}

#[test]
fn bad_input_ends_its_own_connection_and_no_other() {
    let mut world = World::with_seed(18);
    let bystander = world.subscribe(ZERO, "a");
    let offender = world.subscribe(ZERO, "a");
    let bytes = [3, 0, 0, 0];
    let upstream = &mut world.wires[offender.0].upstream;
    let sent = crate::conversation::Sent::Fatal(4000);
    world.conversations[offender.0].raw(upstream, &bytes, sent);
    world.publish_each(ZERO, "a", ["on"]);
    world.run_until_idle();
    assert_eq!(world.conversations[offender.0].fatal, Some(4000));
    assert_eq!(world.wires[offender.0].phase, Phase::Gone);
    assert_eq!(world.received(bystander), ["on"]);
    world.end();
}

/// Goal: a member of a group that hangs keeps no jobs from the others, on whatever cores they are.
/// Method: one member's socket is full when it stands still, with one job under way; the other answers PINGs.
#[test]
fn a_member_that_hangs_is_closed_and_the_other_gets_what_was_queued_for_it() {
    for hung_core in 0..2 {
        let world = World::with_seed(19).cores(2).mesh_delay_ticks(0..=3);
        let mut world = world.settings(|settings| settings.delivery.max_batch = 1);
        let members = [hung_core, 1 - hung_core].map(|core| {
            let member = world.connect(CoreId(core));
            world.add(member, "jobs", Asks { group: "workers", ..Asks::default() });
            member
        });
        world.run_until_idle();
        let [hung, other] = members;
        world.stall(hung, 0);
        let publisher =
            world.publish_each(ZERO, "jobs", numbers(1..=40).iter().map(String::as_str));
        world.run_until_idle();
        let before = world.received(other).len();
        assert!(before <= 20, "{before}: the hung member has jobs of its own");
        // Clocks move on for two minutes, and after each second those that are there are heard.
        for _ in 0..121 {
            world.advance_ms(1_000);
            world.run_until_idle();
        }
        assert_eq!(
            world.conversations[other.0].asked, 1,
            "it answers, and is asked anew each time"
        );
        assert_eq!(world.received(other).len(), 39, "all but the one under way to the hung one");
        // Not even the reason got through to it.
        world.conversations[hung.0].abandoned = true;
        assert_eq!(world.wires[hung.0].phase, Phase::Gone);
        assert_eq!(world.wires[publisher.0].phase, Phase::Open);
        world.end();
    }
}
