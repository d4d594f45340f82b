//! Edge cases of queue groups, each in a world as small as possible.

use super::actor::leave;
use super::client::Options;
use super::ledger::GAP_PREFIX;
use super::scenarios::{USUAL, connect, got, publish, subscribe, world};
use crate::wire::ClientEnd;

/// Goal: a group ends when its last member reaches its maximum while it is dealt to, and the next
/// group of the name starts over.
#[test]
fn a_group_ends_when_its_last_member_reaches_its_maximum() {
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
fn members_share_messages_across_patterns_and_never_with_a_publisher_without_echo() {
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

/// Goal: the checker finds the gap of a member that vanished before reading INFO, and so never knew
/// the client id in that gap.
/// Method: half of a group's messages expire with such a member, which is reported to the monitor,
/// and the other member stays.
#[test]
fn what_a_member_misses_that_never_reads_info_is_reported_to_the_monitor() {
    let mut world = world(2, |plan| {
        plan.settings.delivery.default_ttl_ms = 3;
        plan.settings.nats.subscriber_capacity = 1_000;
    });
    let witness = world.blip(1, true);
    world.write_blip(witness, |blip, _, out| blip.subscribe(out));
    let monitor = world.client(1, true, usize::MAX);
    world.clients[monitor].is_monitor = true;
    world.write(monitor, |client, _, out| client.connect(out, USUAL));
    subscribe(&mut world, monitor, &format!("{GAP_PREFIX}>"), None);
    let reader = connect(&mut world, 0, USUAL);
    let read = subscribe(&mut world, reader, "a", Some("g"));
    let vanishing = world.client(1, false, 1);
    let wire = world.clients[vanishing].wire;
    world.world.wires[wire].stalled = true;
    world.write(vanishing, |client, ledger, out| {
        client.connect(out, USUAL);
        client.subscribe(out, ledger, "a", Some("g"));
    });
    world.run_until_idle();
    publish(&mut world, reader, "a", 20);
    world.run_until_idle();
    assert_eq!(got(&world, read).len(), 10, "members take turns");
    world.world.advance_ms(4);
    // The kernel of the client accepts what comes, and the client never reads it.
    leave(&mut world, vanishing);
    world.world.wires[wire].stalled = false;
    world.run_until_idle();
    assert_eq!(world.clients[vanishing].client_id, 0, "INFO came too late");
    let reader_id = world.clients[reader].client_id;
    let missed = world.ledger.gaps.iter().filter(|gap| gap.client_id != reader_id);
    assert_eq!(missed.map(|gap| gap.messages).sum::<u64>(), 10);
    world.world.wires[wire].client_end = ClientEnd::Closed;
    world.end();
}
