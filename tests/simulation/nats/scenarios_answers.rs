//! What the broker answers by itself: that nobody listens to a request, and PONG behind everything that
//! came before it.

use super::ledger::Ledger;
use super::scenarios::{USUAL, connect, got, subscribe, world};
use super::world::NatsWorld;
use crate::plan::Plan;

/// A name of a group that a core coordinates.
fn group_on(world: &NatsWorld, core: usize) -> String {
    let cluster = &world.world.cluster;
    let is_there =
        |name: &String| usize::from(cluster.core_of(cluster.shard_of_name(name)).0) == core;
    (0..).map(|number| format!("g{number}")).find(is_there).expect("some name hashes to the core")
}

/// Requests that got the answer that nobody listens.
fn unheard(ledger: &Ledger) -> usize {
    ledger.messages.iter().filter(|message| message.unheard > 0).count()
}

/// Goal: whether a request reaches anybody is decided for each, also if several come at once.
/// Method: a subscriber of any core takes some of the requests of one write, as a subscription of its own
/// or as the only member of a group.
#[test]
fn requests_beyond_what_a_subscriber_takes_are_answered_one_by_one() {
    for cores in [1, 3] {
        for (owner, of_subscriber) in
            (0..cores).flat_map(|owner| (0..cores).map(move |core| (owner, core)))
        {
            for coordinator in [None, Some(0), Some(cores - 1)] {
                let mut world = world(cores, |plan| plan.mesh_delay_ticks = 0..=10);
                let subject = world.world.topic_on(owner);
                let group = coordinator.map(|core| group_on(&world, core));
                let subscriber = connect(&mut world, of_subscriber, USUAL);
                let index = world.write(subscriber, |client, ledger, out| {
                    let index = client.subscribe(out, ledger, &subject, group.as_deref());
                    client.limit(out, ledger, index, 2);
                    client.ping(out);
                    index
                });
                world.run_until_idle();
                let requester = connect(&mut world, 0, USUAL);
                world.write(requester, |client, ledger, out| {
                    client.subscribe(out, ledger, "in.*", None);
                    for number in 0..5 {
                        let reply = format!("in.{number}");
                        client.publish(out, ledger, &subject, Some(&reply), b"", b"");
                    }
                    client.ping(out);
                });
                world.run_until_idle();
                let case = format!(
                    "{cores} cores, owner {owner}, subscriber {of_subscriber}, {coordinator:?}"
                );
                assert_eq!(got(&world, index), [0, 1], "{case}");
                assert_eq!(unheard(&world.ledger), 3, "{case}");
                world.end();
            }
        }
    }
}

/// Goal: a message that its publisher gets back through a group comes before the PONG that follows it.
/// Method: owner, coordinator and member on any core, the lanes of the mesh delayed each for itself.
#[test]
fn a_pong_comes_behind_what_came_back_through_a_group() {
    for (owner, coordinator) in (0..3).flat_map(|owner| (0..3).map(move |core| (owner, core))) {
        let slow = |plan: &mut Plan| plan.mesh_delay_ticks = 0..=20;
        let mut world = world(3, slow);
        let subject = world.world.topic_on(owner);
        let group = group_on(&world, coordinator);
        let client = connect(&mut world, 0, USUAL);
        subscribe(&mut world, client, &subject, Some(&group));
        for _ in 0..20 {
            world.write(client, |client, ledger, out| {
                client.publish(out, ledger, &subject, None, b"", b"");
                client.ping(out);
            });
            world.run_until_idle();
        }
        let wire = world.clients[client].wire;
        let record = world.world.wires[wire].record.as_ref().expect("the wire has a record");
        let text = String::from_utf8_lossy(&record.sent);
        let lines: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split(' ').next())
            .filter(|verb| matches!(*verb, "MSG" | "PONG"))
            .collect();
        // The PONG of the SUB, and then in turn.
        let expected = [&["PONG"][..], &["MSG", "PONG"].repeat(20)].concat();
        assert_eq!(lines, expected, "owner {owner}, coordinator {coordinator}");
        world.end();
    }
}
