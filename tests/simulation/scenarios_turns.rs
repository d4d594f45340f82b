//! What takes several turns: replays in several parts, and input that waits for a full mesh.

use crate::conversation::{Asks, Publish};
use crate::scenarios::ZERO;
use crate::world::World;

const TOPICS: usize = 20;

/// Goal: live messages of a connection stay in order while its subscriptions are answered.
/// Method: the earlier subscription is answered in as many parts as there are topics, the later one
/// asks for a topic in the middle alone. Found by random worlds: the later one was answered at once and was
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
    let middle = format!("a.{}", TOPICS / 2);
    world.add(subscriber, &middle, asks);
    for number in 0..3 * TOPICS {
        world.publish(publisher, &middle, &number.to_string(), 0);
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

/// Goal: what waits for another core is bounded.
/// Method: a lane with one place, whose messages are on their way for long; a connection publishes much
/// more than may wait.
#[test]
fn a_connection_that_feeds_a_full_mesh_is_not_read() {
    const PUBLISHED_BYTES: usize = 20 << 20;
    // What is on its way, what waits, what a turn takes, and the receive buffers.
    const TAKEN_BYTES_MAX: usize = 6 << 20;
    let mut world =
        World::with_seed(3).cores(2).mesh_messages_max(1).mesh_delay_ticks(2_000..=2_000);
    let topic = world.topic_on(1);
    let publisher = world.publish_each(ZERO, &topic, ["the first"]);
    world.run_until_idle();
    let topic = world.topic(&topic);
    let payloads = [vec![b'x'; 100 << 10]];
    for _ in 0..PUBLISHED_BYTES / payloads[0].len() {
        let publish = Publish { topic, by_id: true, payloads: &payloads, ttl_ms: 0, flags: 0 };
        world.write_publish(publisher.0, publish);
    }
    for _ in 0..1_500 {
        world.step();
    }
    let unread = world.wires[publisher.0].upstream.len();
    assert!(unread > PUBLISHED_BYTES - TAKEN_BYTES_MAX, "{unread} bytes were not read");
    world.end();
}

/// Goal: a stop answers what was asked before it.
/// Method: the stop comes while a replay is under way that takes as many turns as there are topics.
#[test]
fn a_stop_waits_for_replays_under_way() {
    let world = World::with_seed(4).settings(|settings| settings.server.drain_spread_ms = 0);
    let mut world = world.replay_topics_per_turn(1);
    let publisher = world.connect(ZERO);
    for topic in 0..TOPICS {
        world.publish(publisher, &format!("a.{topic}"), "kept", 0);
    }
    world.run_until_idle();
    let subscriber = world.connect(ZERO);
    world.run_until_idle();
    world.add(subscriber, "a.*", Asks { start: 1, argument: 10, ..Asks::default() });
    while !world.wires[subscriber.0].upstream.is_empty() {
        world.step();
    }
    world.step();
    world.stop();
    world.run_until_idle();
    assert_eq!(world.received(subscriber).len(), TOPICS);
    world.end();
}
