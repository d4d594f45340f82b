//! Replays that are answered in several parts, each promise in a world as small as can be.

use crate::conversation::Asks;
use crate::scenarios::ZERO;
use crate::world::World;

const TOPICS: usize = 20;

/// Goal: live messages of a connection stay in order while its subscriptions are answered.
/// Method: the earlier subscription is answered in as many parts as there are topics, the later one
/// asks for the last topic alone. Found by random worlds: the later one was answered at once and was
/// given live messages of the topic, of which the earlier one was given later ones and sent them first.
#[test]
fn a_subscription_is_answered_behind_earlier_ones_of_its_connection() {
    let mut world = World::with_seed(1).replay_topics_per_turn(1);
    let publisher = world.connect(ZERO);
    for topic in 0..TOPICS {
        world.publish(publisher, &format!("a.{topic}"), "kept", 0);
    }
    world.run_until_idle();
    let subscriber = world.connect(ZERO);
    let asks = Asks { start: 1, argument: 10, ..Asks::default() };
    world.add(subscriber, "a.*", asks);
    let last = format!("a.{}", TOPICS - 1);
    world.add(subscriber, &last, asks);
    for number in 0..3 * TOPICS {
        world.publish(publisher, &last, &number.to_string(), 0);
        world.step();
    }
    world.end();
}

/// Goal: a client that asks for everything delays no other.
/// Method: a pattern is answered in many parts; a literal name of another connection is answered
/// before the walk is over.
#[test]
fn a_long_replay_does_not_delay_the_replay_of_another_connection() {
    let mut world = World::with_seed(2).replay_topics_per_turn(1);
    let publisher = world.connect(ZERO);
    for topic in 0..TOPICS {
        world.publish(publisher, &format!("a.{topic}"), "kept", 0);
    }
    world.run_until_idle();
    let asks = Asks { start: 1, argument: 10, ..Asks::default() };
    let (slow, quick) = (world.connect(ZERO), world.connect(ZERO));
    world.run_until_idle();
    world.add(slow, "a.*", asks);
    while !world.wires[slow.0].upstream.is_empty() {
        world.step();
    }
    world.add(quick, "a.0", asks);
    while world.seen(quick).is_empty() {
        world.step();
        assert!(world.seen(slow).is_empty(), "the longer replay is over first");
    }
    world.end();
}
