//! When a core may sleep, in worlds as small as can be.

use blipmq::broker::mesh::DELIVERIES;

use super::scenarios::{USUAL, connect, got, publish, subscribe, world};
use super::world::NatsWorld;
use crate::world::World;

/// Goal: mesh messages are read though a connection that was to be sent something first had nothing.
/// Method: its one queued message has expired. Its send completes, and a mesh message arrives, when its
/// core looks for the last time before it sleeps.
#[test]
fn a_connection_with_nothing_but_expired_messages_leaves_no_mesh_message_unread() {
    let mut world = world(2, |plan| {
        plan.settings.delivery.default_ttl_ms = 1_000;
        plan.mesh_delay_ticks = 100..=100;
    });
    let on_zero = |world: &NatsWorld, first: &str| {
        let owner = |name: &String| {
            let shard = world.world.cluster.shard_of_name(name);
            world.world.cluster.core_of(shard).0 == 0
        };
        let mut names = (0..).map(|number| format!("{first}{number}.t"));
        names.find(owner).expect("some name is hashed there")
    };
    let (stale, other) = (&*on_zero(&world, "a"), &*on_zero(&world, "b"));
    let slow = connect(&mut world, 1, USUAL);
    subscribe(&mut world, slow, stale, None);
    let quick = connect(&mut world, 1, USUAL);
    let index = subscribe(&mut world, quick, other, None);
    let wire = world.clients[slow].wire;
    world.world.wires[wire].stalled = true;
    world.world.wires[wire].downstream_len_max = 1;
    let publisher = connect(&mut world, 0, USUAL);
    for _ in 0..2 {
        publish(&mut world, publisher, stale, 1);
        world.run_until_idle();
    }
    world.world.advance_ms(2_000);
    world.run_until_idle();
    publish(&mut world, publisher, other, 1);
    while world.world.machine.under_way(0, 1, DELIVERIES) == 0 {
        world.step();
    }
    // Core 1 finds nothing to do; its next turn is the last look.
    world.world.machine.wake_handle().wake(1);
    world.world.turn(1);
    let World { wires, random, mesh, machine, .. } = &mut world.world;
    (wires[wire].fast, wires[wire].downstream_len_max) = (true, usize::MAX);
    wires[wire].send_on(random, true);
    mesh.arrive(machine, u64::MAX);
    world.world.turn(1);
    world.world.wires[wire].stalled = false;
    world.run_until_idle();
    assert_eq!(got(&world, index).len(), 1);
    world.end();
}
