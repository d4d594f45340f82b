//! Each promise alone, in a world as small as possible. Everything that random worlds check while a
//! client reads is checked here as well.

use blipmq::config::OverflowPolicy;
use blipmq::protocol::{CoreId, GapReason};

use crate::conversation::{Publish, Seen};
use crate::plan::Plan;
use crate::world::{Client, World};

pub const ZERO: CoreId = CoreId(0);
pub const ONE: CoreId = CoreId(1);

pub fn message(payload: &str) -> Seen {
    Seen::Message(payload.to_string())
}

pub fn gap(first: u64, messages: u64, reason: GapReason) -> Seen {
    Seen::Gap { first, messages, reason }
}

pub fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Publishes payloads as one burst that arrives in one turn.
pub fn publish_numbers(world: &mut World, client: Client, topic: &str, payloads: &[String]) {
    for payload in payloads {
        world.publish(client, topic, payload, 0);
    }
    world.run_until_idle();
}

/// A subscriber that has stopped reading with a send of `first` in flight, so that later messages
/// stay in the queue.
pub fn stalled_subscriber(world: &mut World, topic: &str, overflow: u8, capacity: u32) -> Client {
    let subscriber = world.connect(ZERO);
    world.add_subscription(subscriber, topic, overflow, capacity);
    world.run_until_idle();
    world.stall(subscriber, 1);
    world.publish_each(ZERO, topic, ["first"]);
    world.run_until_idle();
    subscriber
}

/// Goal: one publisher's order survives the mesh.
/// Method: two cores; the mesh delivers late but never reorders.
#[test]
fn order_of_one_publisher_survives_a_late_mesh() {
    let mut world = World::with_seed(0x5eed).cores(2).mesh_delay_ticks(1..=50);
    let topic = world.topic_on(0);
    let subscriber = world.subscribe(ONE, &topic);
    world.publish_each(ONE, &topic, ["a", "b", "c"]);
    world.run_until_idle();
    assert_eq!(world.received(subscriber), ["a", "b", "c"]);
    world.end();
}

#[test]
fn order_survives_the_switch_from_a_provisional_to_a_real_topic_id() {
    let mut world = World::with_seed(2).cores(2).mesh_delay_ticks(0..=20);
    let topic = world.topic_on(1);
    let subscriber = world.subscribe(ZERO, &topic);
    let publisher = world.connect(ZERO);
    let payloads = numbers(1..=100);
    for payload in &payloads {
        // Under the request until TOPIC has come, then under the id.
        world.publish(publisher, &topic, payload, 0);
        world.step();
    }
    world.run_until_idle();
    assert_eq!(world.received(subscriber), payloads);
    world.end();
}

#[test]
fn a_slow_subscriber_fills_only_its_own_queue() {
    let mut world = World::with_seed(3).settings(|settings| {
        settings.queues.subscriber_capacity = 16;
        settings.delivery.max_batch = 4;
    });
    let slow = stalled_subscriber(&mut world, "a", 0, 0);
    let fast = world.subscribe(ZERO, "a");
    let publisher = world.connect(ZERO);
    let payloads = numbers(1..=100);
    publish_numbers(&mut world, publisher, "a", &payloads);
    assert_eq!(world.received(fast), payloads);
    world.resume(slow);
    world.run_until_idle();
    let expected: Vec<Seen> = [message("first"), gap(2, 84, GapReason::Overflow)]
        .into_iter()
        .chain(numbers(85..=100).iter().map(|payload| message(payload)))
        .collect();
    assert_eq!(world.seen(slow), expected);
    world.end();
}

#[test]
fn drop_oldest_reports_exactly_what_was_dropped() {
    let mut world = World::with_seed(4);
    let subscriber = stalled_subscriber(&mut world, "a", 1, 3);
    let publisher = world.connect(ZERO);
    publish_numbers(&mut world, publisher, "a", &numbers(1..=5));
    world.resume(subscriber);
    world.run_until_idle();
    let dropped = gap(2, 2, GapReason::Overflow);
    let expected = [message("first"), dropped, message("3"), message("4"), message("5")];
    assert_eq!(world.seen(subscriber), expected);
    world.end();
}

#[test]
fn drop_new_reports_exactly_what_was_not_queued() {
    let mut world = World::with_seed(5);
    let subscriber = stalled_subscriber(&mut world, "a", 2, 3);
    let publisher = world.connect(ZERO);
    publish_numbers(&mut world, publisher, "a", &numbers(1..=5));
    world.resume(subscriber);
    world.run_until_idle();
    let dropped = gap(5, 2, GapReason::Overflow);
    let expected = [message("first"), message("1"), message("2"), message("3"), dropped];
    assert_eq!(world.seen(subscriber), expected);
    publish_numbers(&mut world, publisher, "a", &numbers(6..=6));
    assert_eq!(world.seen(subscriber).last(), Some(&message("6")));
    world.end();
}

#[test]
fn a_message_that_expires_in_a_queue_becomes_a_gap() {
    let mut world = World::with_seed(6);
    let subscriber = stalled_subscriber(&mut world, "a", 0, 0);
    let publisher = world.connect(ZERO);
    for (payload, ttl_ms) in [("short", 5_000), ("long", 0)] {
        world.publish(publisher, "a", payload, ttl_ms);
    }
    world.run_until_idle();
    world.advance_ms(5_000);
    world.resume(subscriber);
    world.run_until_idle();
    let expected = [message("first"), gap(2, 1, GapReason::Expired), message("long")];
    assert_eq!(world.seen(subscriber), expected);
    assert_eq!(world.cores[0].counters.expired_in_queue_messages.get(), 1);
    world.end();
}

#[test]
fn a_message_that_expires_in_the_mesh_is_never_queued() {
    let mut world = World::with_seed(7).cores(2).mesh_delay_ticks(100..=100);
    let topic = world.topic_on(1);
    let subscriber = world.subscribe(ZERO, &topic);
    let publisher = world.connect(ONE);
    world.publish(publisher, &topic, "short", 1);
    // A hundred ticks of the mesh are about ten milliseconds.
    world.run_until_idle();
    world.publish(publisher, &topic, "long", 0);
    world.run_until_idle();
    assert_eq!(world.seen(subscriber), [gap(1, 1, GapReason::Expired), message("long")]);
    assert_eq!(world.cores[0].counters.expired_before_enqueue_messages.get(), 1);
    assert_eq!(world.cores[0].counters.expired_in_queue_messages.get(), 0);
    world.end();
}

/// Goal: a topic that moves from one subscription to the next loses no message and keeps its order.
/// Method: two subscriptions match, and the earlier one ends while its queue is full.
#[test]
fn unsubscribing_the_earlier_of_two_keeps_the_stream_gapless() {
    let mut world = World::with_seed(8).settings(|settings| settings.delivery.max_batch = 2);
    let subscriber = world.connect(ZERO);
    let earlier = world.add_subscription(subscriber, "a.*", 0, 0);
    world.add_subscription(subscriber, "a.b", 0, 0);
    world.run_until_idle();
    world.stall(subscriber, 1);
    let publisher = world.connect(ZERO);
    publish_numbers(&mut world, publisher, "a.b", &numbers(1..=10));
    world.unsubscribe(subscriber, earlier);
    world.run_until_idle();
    publish_numbers(&mut world, publisher, "a.b", &numbers(11..=20));
    world.resume(subscriber);
    world.run_until_idle();
    assert_eq!(world.received(subscriber), numbers(1..=20));
    world.end();
}

/// Found by the simulator: the later of two ended subscriptions was sent first.
#[test]
fn subscriptions_that_end_one_after_the_other_are_sent_in_that_order() {
    let mut world = World::with_seed(9).settings(|settings| settings.delivery.max_batch = 2);
    let subscriber = world.connect(ZERO);
    let subscriptions =
        ["a.*", "a.b", ">"].map(|pattern| world.add_subscription(subscriber, pattern, 0, 0));
    world.run_until_idle();
    world.stall(subscriber, 1);
    let publisher = world.connect(ZERO);
    publish_numbers(&mut world, publisher, "a.b", &numbers(1..=10));
    world.unsubscribe(subscriber, subscriptions[0]);
    world.run_until_idle();
    publish_numbers(&mut world, publisher, "a.b", &numbers(11..=20));
    world.unsubscribe(subscriber, subscriptions[1]);
    world.run_until_idle();
    publish_numbers(&mut world, publisher, "a.b", &numbers(21..=30));
    world.resume(subscriber);
    world.run_until_idle();
    assert_eq!(world.received(subscriber), numbers(1..=30));
    world.end();
}

/// Found by the simulator: a subscription that was requested first and became active last took the
/// topic over, and its messages overtook those queued under the other subscription.
#[test]
fn a_subscription_that_becomes_active_later_does_not_take_a_topic_over() {
    let mut world = World::with_seed(10)
        .cores(2)
        .mesh_delay_ticks(50..=50)
        .settings(|settings| settings.delivery.max_batch = 2);
    let topic = world.topic_on(0);
    let publisher = world.connect(ZERO);
    world.publish(publisher, &topic, "before", 0);
    let subscriber = world.connect(ZERO);
    world.run_until_idle();
    // The pattern waits for the other core, the topic itself does not.
    world.add_subscription(subscriber, ">", 0, 0);
    world.add_subscription(subscriber, &topic, 0, 0);
    for _ in 0..20 {
        world.step();
    }
    world.stall(subscriber, 1);
    let payloads = numbers(1..=200);
    for payload in &payloads {
        world.publish(publisher, &topic, payload, 0);
        world.step();
    }
    world.run_until_idle();
    world.resume(subscriber);
    world.run_until_idle();
    assert_eq!(world.received(subscriber), payloads);
    world.end();
}

#[test]
fn nothing_accepted_after_subscribed_is_missed_on_another_core() {
    for seed in 0..50 {
        let mut world = World::with_seed(seed).cores(2).mesh_delay_ticks(0..=30);
        let topic = world.topic_on(1);
        let publisher = world.connect(ONE);
        let subscriber = world.connect(ZERO);
        world.add_subscription(subscriber, &topic, 0, 0);
        for payload in numbers(1..=100) {
            world.publish(publisher, &topic, &payload, 0);
            world.step();
        }
        world.run_until_idle();
        let received = world.received(subscriber);
        let first: u32 =
            received.first().expect("some messages came after SUBSCRIBED").parse().unwrap();
        assert_eq!(received, numbers(first..=100));
        // `end` checks that what was accepted after SUBSCRIBED has come.
        world.end();
    }
}

/// Goal: cores whose lanes to each other are all full make progress.
/// Method: lanes of one mesh message, large messages both ways, every message to both cores.
#[test]
fn two_cores_with_full_mesh_lanes_do_not_deadlock() {
    let mut world = World::with_seed(12).cores(2).mesh_messages_max(1).mesh_delay_ticks(5..=20);
    let topics = [world.topic_on(0), world.topic_on(1)];
    let subscribers = [ZERO, ONE].map(|core| world.subscribe(core, ">"));
    for core in [0, 1] {
        let publisher = world.connect(CoreId(core as u16));
        let topic = world.topic(&topics[1 - core]);
        for _ in 0..30 {
            let payloads = [vec![b'x'; 400 * 1_024]];
            let publish = Publish { topic, by_id: true, payloads: &payloads, ttl_ms: 0, flags: 0 };
            world.write_publish(publisher.0, publish);
        }
    }
    world.run_until_idle();
    for subscriber in subscribers {
        assert_eq!(world.received(subscriber).len(), 60);
    }
    let full = |core: usize| world.cores[core].counters.mesh_full.get();
    assert!(full(0) > 0 && full(1) > 0, "the lanes were full");
    world.end();
}

#[test]
fn a_pattern_reaches_topics_of_every_core() {
    let mut world = World::with_seed(13).cores(4).mesh_delay_ticks(0..=9);
    let topics = [0, 1, 2, 3].map(|core| world.topic_on(core));
    let subscribers = [0, 1, 2, 3].map(|core| world.subscribe(CoreId(core), "*.t"));
    for topic in &topics {
        world.publish_each(ZERO, topic, [topic.as_str()]);
    }
    world.run_until_idle();
    for subscriber in subscribers {
        let mut received = world.received(subscriber);
        received.sort();
        let mut expected = topics.each_ref().map(String::as_str);
        expected.sort();
        assert_eq!(received, expected);
    }
    world.end();
}

/// Found by reading: a core that stopped serving requests because deliveries were full went to
/// sleep once they were sent, although nothing would wake the core.
/// Method: the lane of requests is full, so that many large frames become one mesh message, which
/// takes the owner several turns; the lane of deliveries never is full.
#[test]
fn a_core_serves_all_requests_of_a_large_mesh_message_before_it_sleeps() {
    let mut world =
        World::with_seed(20).cores(2).mesh_messages_max(8).mesh_delay_ticks(1_000..=1_000);
    let topic = world.topic_on(1);
    let subscriber = world.subscribe(ZERO, &topic);
    let publishers: Vec<Client> = (0..8).map(|_| world.connect(ZERO)).collect();
    // Each of the eight knows the topic's id before the lane is full.
    for client in &publishers {
        world.publish(*client, &topic, "small", 0);
        world.run_until_idle();
    }
    let unwanted = (0..).map(|number| format!("n{number}.n")).find(|name| {
        let shard = world.cluster.shard_of_name(name);
        world.cluster.core_of(shard) == ONE
    });
    let unwanted = unwanted.expect("some name hashes to the core");
    for number in 0..8 {
        world.publish(publishers[0], &unwanted, &number.to_string(), 0);
        for _ in 0..3 {
            world.step();
        }
    }
    let topic = world.topic(&topic);
    let payloads = [vec![b'x'; 900 * 1_024]];
    for publisher in publishers {
        let publish = Publish { topic, by_id: true, payloads: &payloads, ttl_ms: 0, flags: 0 };
        world.write_publish(publisher.0, publish);
    }
    world.run_until_idle();
    assert_eq!(world.received(subscriber).len(), 16);
    world.end();
}

#[test]
fn a_subscription_without_a_policy_gets_the_configured_one() {
    for (policy, expected) in [
        (OverflowPolicy::DropOldest, [message("first"), gap(2, 1, GapReason::Overflow)]),
        (OverflowPolicy::DropNew, [message("first"), message("1")]),
    ] {
        let mut world = World::with_seed(19).settings(|s| s.queues.overflow_policy = policy);
        let subscriber = stalled_subscriber(&mut world, "a", 0, 1);
        let publisher = world.connect(ZERO);
        publish_numbers(&mut world, publisher, "a", &numbers(1..=2));
        world.resume(subscriber);
        world.run_until_idle();
        assert_eq!(world.seen(subscriber)[..2], expected);
        world.end();
    }
}

#[test]
fn random_plans_include_tight_and_generous_worlds() {
    let mut random = crate::random::Random::with_seed(1);
    let plans: Vec<Plan> = (0..200).map(|_| Plan::random(&mut random)).collect();
    for wanted in [true, false] {
        assert!(plans.iter().any(|plan| plan.spares_fast_readers() == wanted));
        assert!(plans.iter().any(|plan| plan.stop_at.is_some() == wanted));
        assert!(plans.iter().any(|plan| (plan.payload_len_max > 100_000) == wanted));
    }
}
