//! Edge cases one by one, each in a world as small as possible. Everything that random worlds check
//! is checked here as well.

use blipmq::config::OverflowPolicy;

use super::actor::leave;
use super::client::{Options, State};
use super::ledger::GAP_PREFIX;
use super::world::NatsWorld;
use crate::plan::Plan;
use crate::random::Random;
use crate::wire::ClientEnd;
use crate::world::World;

pub const USUAL: Options =
    Options { verbose: false, echo: true, headers: true, no_responders: true };

pub fn world(cores: usize, change: impl FnOnce(&mut Plan)) -> NatsWorld {
    let mut plan = Plan { cores, ..Plan::default() };
    change(&mut plan);
    NatsWorld::of(World::of_records(7, plan, Random::with_seed(7), "BLIPMQ_NATS_SEED"))
}

/// Connects a client that has sent CONNECT.
pub fn connect(world: &mut NatsWorld, core: usize, options: Options) -> usize {
    let client = world.client(core, false, 1 << 20);
    world.write(client, |client, _, out| client.connect(out, options));
    client
}

pub fn subscribe(
    world: &mut NatsWorld,
    client: usize,
    pattern: &str,
    queue: Option<&str>,
) -> usize {
    let index =
        world.write(client, |client, ledger, out| client.subscribe(out, ledger, pattern, queue));
    world.write(client, |client, _, out| client.ping(out));
    world.run_until_idle();
    assert!(world.ledger.subscriptions[index].confirmed.is_some(), "the PONG confirms the SUB");
    index
}

pub fn publish(world: &mut NatsWorld, client: usize, subject: &str, times: usize) {
    for _ in 0..times {
        world.write(client, |client, ledger, out| {
            client.publish(out, ledger, subject, None, b"", b"");
        });
    }
}

pub fn got(world: &NatsWorld, subscription: usize) -> &[usize] {
    &world.ledger.subscriptions[subscription].got
}

/// A subject that a core owns.
fn subject_on(world: &NatsWorld, core: usize) -> String {
    world.world.topic_on(core)
}

#[test]
fn commands_of_one_write_take_effect_in_order_whichever_core_owns_the_subject() {
    for owner in 0..3 {
        let mut world = world(3, |plan| plan.mesh_delay_ticks = 0..=20);
        let subject = subject_on(&world, owner);
        let client = connect(&mut world, 0, USUAL);
        let index = world.write(client, |client, ledger, out| {
            client.publish(out, ledger, &subject, None, b"", b"before");
            let index = client.subscribe(out, ledger, &subject, None);
            client.publish(out, ledger, &subject, None, b"", b"between");
            client.publish(out, ledger, &subject, None, b"", b"between");
            client.unsubscribe(out, ledger, index);
            client.publish(out, ledger, &subject, None, b"", b"after");
            index
        });
        world.run_until_idle();
        assert_eq!(got(&world, index), [1, 2]);
        world.end();
    }
}

#[test]
fn unsub_with_a_maximum_delivers_exactly_that_many_even_within_one_batch() {
    for max in [1, 3, 7] {
        let mut world = world(2, |_| {});
        let subject = subject_on(&world, 1);
        let client = connect(&mut world, 0, USUAL);
        let index = world.write(client, |client, ledger, out| {
            let index = client.subscribe(out, ledger, &subject, None);
            client.limit(out, ledger, index, max);
            for _ in 0..20 {
                client.publish(out, ledger, &subject, None, b"", b"");
            }
            index
        });
        world.run_until_idle();
        assert_eq!(got(&world, index).len() as u64, max);
        world.end();
    }
}

/// Goal: a client that sends CONNECT again starts over: its subscriptions are dropped, and new ones
/// work.
#[test]
fn a_second_connect_drops_subscriptions_after_earlier_messages_were_delivered() {
    let mut world = world(2, |plan| plan.mesh_delay_ticks = 0..=10);
    let client = connect(&mut world, 0, USUAL);
    let subject = subject_on(&world, 1);
    let first = subscribe(&mut world, client, &subject, None);
    let member = subscribe(&mut world, client, &subject, Some("g"));
    let second = world.write(client, |client, ledger, out| {
        client.publish(out, ledger, &subject, None, b"", b"");
        client.connect(out, Options { verbose: true, ..USUAL });
        for index in [first, member] {
            client.ends(ledger, index);
        }
        client.publish(out, ledger, &subject, None, b"", b"");
        let index = client.subscribe(out, ledger, &subject, None);
        client.publish(out, ledger, &subject, None, b"", b"");
        client.ping(out);
        index
    });
    world.run_until_idle();
    assert_eq!(got(&world, first), [0]);
    assert_eq!(got(&world, second), [2]);
    world.end();
}

/// Goal: nothing is left of a connection that ends while it waits for a fence.
#[test]
fn a_connection_may_end_in_every_way_while_it_waits_for_other_cores() {
    let ways: [fn(&mut crate::wire::Wire); 3] = [
        |wire| wire.broken = true,
        |wire| wire.client_end = ClientEnd::Closed,
        |wire| wire.client_end = ClientEnd::HalfClosed,
    ];
    for way in ways {
        for verbose in [false, true] {
            let mut world = world(3, |plan| plan.mesh_delay_ticks = 30..=40);
            let client = connect(&mut world, 0, Options { verbose, ..USUAL });
            let subject = subject_on(&world, 1);
            world.write(client, |client, ledger, out| {
                client.subscribe(out, ledger, ">", None);
                client.subscribe(out, ledger, "a", Some("g"));
                client.publish(out, ledger, &subject, None, b"", b"");
                client.ping(out);
                client.publish(out, ledger, &subject, None, b"", b"");
            });
            for _ in 0..10 {
                world.step();
            }
            leave(&mut world, client);
            let wire = world.clients[client].wire;
            way(&mut world.world.wires[wire]);
            // Another client takes the slot, and must not get answers to the first one.
            let other = connect(&mut world, 0, USUAL);
            subscribe(&mut world, other, &subject, None);
            world.end();
        }
    }
}

/// Goal: the error of an offence comes after the messages that the connection published to itself.
#[test]
fn an_error_comes_after_the_messages_that_the_connection_published_to_itself() {
    for verbose in [false, true] {
        let mut world = world(2, |plan| plan.mesh_delay_ticks = 5..=20);
        let subject = subject_on(&world, 1);
        let near = subject_on(&world, 0);
        let client = connect(&mut world, 0, Options { verbose, ..USUAL });
        let index = subscribe(&mut world, client, ">", None);
        world.write(client, |client, ledger, out| {
            // The first message comes back at once, and is sent before the others arrive.
            client.publish(out, ledger, &near, None, b"", b"");
            for _ in 0..10 {
                client.publish(out, ledger, &subject, None, b"", b"");
            }
            client.send_offence(out, ledger, b"NONSENSE\r\n", Some("Unknown Protocol Operation"));
        });
        world.run_until_idle();
        assert_eq!(got(&world, index).len(), 11);
        assert_eq!(world.clients[client].state, State::Closed);
        world.end();
    }
}

/// Goal: a stop while fences are pending ends, and what was accepted is delivered.
#[test]
fn a_stop_ends_while_fences_are_pending() {
    for tick in 0..30 {
        let mut world = world(3, |plan| plan.mesh_delay_ticks = 3..=12);
        let subject = subject_on(&world, 2);
        let subscriber = connect(&mut world, 1, USUAL);
        subscribe(&mut world, subscriber, ">", None);
        let client = connect(&mut world, 0, Options { verbose: tick % 2 == 0, ..USUAL });
        world.write(client, |client, ledger, out| {
            client.subscribe(out, ledger, "*", None);
            client.subscribe(out, ledger, &subject, Some("g"));
            for _ in 0..3 {
                client.publish(out, ledger, &subject, None, b"", b"");
                client.ping(out);
            }
            client.send_offence(out, ledger, b"NONSENSE\r\n", Some("Unknown Protocol Operation"));
        });
        for _ in 0..tick {
            world.step();
        }
        world.world.stop();
        world.end();
    }
}

/// Goal: fences get through a full mesh, after what they wait for.
#[test]
fn a_fence_gets_through_a_full_mesh() {
    let mut world = world(4, |plan| {
        plan.mesh_messages_max = 1;
        plan.mesh_delay_ticks = 5..=30;
    });
    let clients: Vec<usize> = (0..4).map(|core| connect(&mut world, core, USUAL)).collect();
    let indices: Vec<usize> =
        clients.iter().map(|client| subscribe(&mut world, *client, ">", None)).collect();
    for _ in 0..10 {
        for client in &clients {
            for owner in 0..4 {
                let subject = subject_on(&world, owner);
                publish(&mut world, *client, &subject, 2);
                world.write(*client, |client, _, out| client.ping(out));
            }
        }
        world.step();
    }
    world.run_until_idle();
    for index in indices {
        assert_eq!(got(&world, index).len(), 4 * 10 * 4 * 2);
    }
    world.end();
}

/// Goal: a PONG waits for the earlier messages of every subscription, not for a number of messages.
/// Method: a client stalls with two queues, one that is long and one that keeps growing.
#[test]
fn a_pong_comes_after_what_every_queue_held_although_others_grow() {
    for verbose in [false, true] {
        let mut world = world(1, |plan| plan.settings.delivery.max_batch = 2);
        let client = connect(&mut world, 0, Options { verbose, ..USUAL });
        let other = connect(&mut world, 0, USUAL);
        subscribe(&mut world, client, "long", None);
        subscribe(&mut world, client, "grows", None);
        let wire = world.clients[client].wire;
        world.world.wires[wire].stalled = true;
        world.world.wires[wire].downstream_len_max = 1;
        publish(&mut world, client, "long", 60);
        publish(&mut world, client, "grows", 1);
        world.write(client, |client, _, out| client.ping(out));
        world.run_until_idle();
        publish(&mut world, other, "grows", 100);
        world.run_until_idle();
        world.end();
    }
}

/// Goal: the PONG of a verbose client that waits for a queue comes once, even if a subscription
/// ends.
#[test]
fn a_subscription_that_reaches_its_maximum_causes_no_second_pong() {
    let mut world = world(1, |_| {});
    let client = connect(&mut world, 0, Options { verbose: true, ..USUAL });
    let other = connect(&mut world, 0, USUAL);
    subscribe(&mut world, client, "long", None);
    world.write(client, |client, ledger, out| {
        let index = client.subscribe(out, ledger, "a", None);
        client.limit(out, ledger, index, 2);
    });
    world.run_until_idle();
    let wire = world.clients[client].wire;
    world.world.wires[wire].stalled = true;
    world.world.wires[wire].downstream_len_max = 1;
    publish(&mut world, other, "long", 10);
    world.run_until_idle();
    world.write(client, |client, _, out| client.ping(out));
    world.run_until_idle();
    publish(&mut world, other, "a", 5);
    world.run_until_idle();
    world.end();
}

/// Goal: a connection that breaks while a PONG waits for a queue is read to the end, and closed.
#[test]
fn a_broken_connection_does_not_wait_for_its_pong() {
    for verbose in [false, true] {
        let mut world = world(1, |_| {});
        let client = connect(&mut world, 0, Options { verbose, ..USUAL });
        subscribe(&mut world, client, "a", None);
        let wire = world.clients[client].wire;
        world.world.wires[wire].stalled = true;
        world.world.wires[wire].downstream_len_max = 1;
        for _ in 0..8 {
            publish(&mut world, client, "a", 5);
            world.write(client, |client, _, out| client.ping(out));
        }
        world.run_until_idle();
        leave(&mut world, client);
        world.world.wires[wire].broken = true;
        world.end();
    }
}

#[test]
fn what_a_slow_subscription_misses_is_reported_to_the_monitor() {
    for policy in [OverflowPolicy::DropOldest, OverflowPolicy::DropNew, OverflowPolicy::Latest] {
        let mut world = world(2, |plan| {
            plan.settings.nats.subscriber_capacity = 8;
            plan.settings.queues.overflow_policy = policy;
            plan.settings.delivery.max_batch = 2;
        });
        let monitor = world.client(1, true, usize::MAX);
        world.clients[monitor].is_monitor = true;
        world.write(monitor, |client, _, out| client.connect(out, USUAL));
        subscribe(&mut world, monitor, &format!("{GAP_PREFIX}>"), None);
        let slow = connect(&mut world, 0, USUAL);
        let index = subscribe(&mut world, slow, "a", None);
        let wire = world.clients[slow].wire;
        world.world.wires[wire].stalled = true;
        world.world.wires[wire].downstream_len_max = 1;
        let publisher = connect(&mut world, 1, USUAL);
        publish(&mut world, publisher, "a", 50);
        world.run_until_idle();
        world.world.wires[wire].stalled = false;
        world.run_until_idle();
        let reported: u64 = world.ledger.gaps.iter().map(|gap| gap.messages).sum();
        assert_eq!(reported + got(&world, index).len() as u64, 50, "{policy:?}");
        world.end();
    }
}

#[test]
fn a_request_without_a_subscription_gets_one_503_before_the_pong() {
    for owner in 0..2 {
        let mut world = world(2, |plan| plan.mesh_delay_ticks = 0..=10);
        let subject = subject_on(&world, owner);
        let client = connect(&mut world, 0, USUAL);
        subscribe(&mut world, client, "_INBOX.x.*", None);
        let ask = |world: &mut NatsWorld, reply: &'static str| {
            world.write(client, |client, ledger, out| {
                let asked = client.publish(out, ledger, &subject, Some(reply), b"", b"");
                client.ping(out);
                asked
            })
        };
        let unheard = ask(&mut world, "_INBOX.x.1");
        world.run_until_idle();
        let other = connect(&mut world, 1, USUAL);
        subscribe(&mut world, other, &subject, None);
        let heard = ask(&mut world, "_INBOX.x.2");
        world.run_until_idle();
        let unheard = &world.ledger.messages[unheard];
        assert!(unheard.confirmed.is_some() && unheard.unheard == 1);
        assert_eq!(world.ledger.messages[heard].unheard, 0);
        world.end();
    }
}
