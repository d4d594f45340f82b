//! The sharp corners one by one, each in a world as small as can be. Everything that random worlds
//! check is checked here as well.

use blipmq::config::OverflowPolicy;

use super::NatsWorld;
use super::client::{Options, State};
use super::ledger::GAP_PREFIX;
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

/// A client that has said CONNECT.
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
    assert!(world.ledger.subscriptions[index].confirmed.is_some(), "a PONG says it is in force");
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

/// A subject that this core owns.
fn subject_on(world: &NatsWorld, core: usize) -> String {
    world.world.topic_on(core)
}

#[test]
fn commands_of_one_write_take_effect_in_their_order_wherever_their_subject_lives() {
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
fn a_limit_gives_exactly_so_many_also_of_one_batch() {
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

/// Goal: a group whose last member has had enough while it is dealt to ends there, and the next one
/// of its name begins anew.
#[test]
fn a_group_ends_with_the_last_member_that_has_had_enough() {
    for core in 0..2 {
        let mut world = world(2, |plan| plan.mesh_delay_ticks = 0..=10);
        let client = connect(&mut world, core, USUAL);
        let member = world.write(client, |client, ledger, out| {
            let index = client.subscribe(out, ledger, "a", Some("g"));
            client.limit(out, ledger, index, 2);
            index
        });
        publish(&mut world, client, "a", 5);
        world.run_until_idle();
        assert_eq!(got(&world, member).len(), 2);
        let next = subscribe(&mut world, client, "a", Some("g"));
        publish(&mut world, client, "a", 3);
        world.run_until_idle();
        assert_eq!(got(&world, next).len(), 3);
        world.end();
    }
}

#[test]
fn members_share_messages_over_several_patterns_and_with_one_that_publishes_without_echo() {
    let mut world = world(2, |_| {});
    let silent = connect(&mut world, 0, Options { echo: false, ..USUAL });
    let other = connect(&mut world, 1, USUAL);
    let own = subscribe(&mut world, silent, "a.*", Some("g"));
    let one = subscribe(&mut world, other, "*.b", Some("g"));
    publish(&mut world, silent, "a.b", 20);
    world.run_until_idle();
    assert_eq!((got(&world, own).len(), got(&world, one).len()), (0, 20));
    world.end();
}

/// Goal: who introduces itself again has none of its subscriptions any more, and can make new ones.
#[test]
fn a_second_connect_begins_once_more_behind_what_was_published() {
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
            super::leave(&mut world, client);
            let wire = world.clients[client].wire;
            way(&mut world.world.wires[wire]);
            // Another takes its place, and answers to the first must not reach it.
            let other = connect(&mut world, 0, USUAL);
            subscribe(&mut world, other, &subject, None);
            world.end();
        }
    }
}

/// Goal: an offence waits for what its own connection published, and is told behind it.
#[test]
fn an_offence_is_told_behind_what_the_connection_had_published_to_itself() {
    for verbose in [false, true] {
        let mut world = world(2, |plan| plan.mesh_delay_ticks = 5..=20);
        let subject = subject_on(&world, 1);
        let near = subject_on(&world, 0);
        let client = connect(&mut world, 0, Options { verbose, ..USUAL });
        let index = subscribe(&mut world, client, ">", None);
        world.write(client, |client, ledger, out| {
            // The first comes back at once, and its send is over before the others are here.
            client.publish(out, ledger, &near, None, b"", b"");
            for _ in 0..10 {
                client.publish(out, ledger, &subject, None, b"", b"");
            }
            client.offend(out, ledger, b"NONSENSE\r\n", Some("Unknown Protocol Operation"));
        });
        world.run_until_idle();
        assert_eq!(got(&world, index).len(), 11);
        assert_eq!(world.clients[client].state, State::Closed);
        world.end();
    }
}

/// Goal: a stop while fences are out leaves nobody waiting, and what was accepted arrives.
#[test]
fn a_stop_ends_while_fences_are_out() {
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
            client.offend(out, ledger, b"NONSENSE\r\n", Some("Unknown Protocol Operation"));
        });
        for _ in 0..tick {
            world.step();
        }
        world.world.stop();
        world.end();
    }
}

/// Goal: fences get through a mesh that is full, behind what they wait for.
#[test]
fn a_fence_is_asked_through_a_full_mesh() {
    let mut world = world(4, |plan| {
        plan.letters_max = 1;
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

/// Goal: a PONG counts no later messages of one subscription for earlier ones of another.
/// Method: a client that stalls with two queues, one long, one that goes on growing.
#[test]
fn a_pong_is_behind_every_queue_though_others_grow() {
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

/// Goal: the PONG of a verbose client that waits for its queue comes once, whatever ends meanwhile.
#[test]
fn a_subscription_that_ends_by_its_limit_brings_no_second_pong() {
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

/// Goal: a client that breaks while its PONG waits for its queue is read to its end, and closed.
#[test]
fn a_connection_that_breaks_waits_for_no_pong() {
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
        super::leave(&mut world, client);
        world.world.wires[wire].broken = true;
        world.end();
    }
}

#[test]
fn what_a_slow_subscription_misses_is_told_to_the_monitor() {
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
        let told: u64 = world.ledger.gaps.iter().map(|gap| gap.messages).sum();
        assert_eq!(told + got(&world, index).len() as u64, 50, "{policy:?}");
        world.end();
    }
}

#[test]
fn a_request_that_nobody_listens_to_is_told_once_before_the_pong() {
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
