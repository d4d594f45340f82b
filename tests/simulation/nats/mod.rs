//! Worlds of NATS clients, with a few BLIP/1 clients beside them, on the same cores, mesh and wires as
//! those of `behaviour`. Clients and checker are simpler, and see only what passes over the wire.
//!
//! ```text
//! BLIPMQ_SIM_SEEDS=100000 cargo test --test simulation every_promise_to_nats
//! BLIPMQ_NATS_SEED=0x5eed cargo test --test simulation -- --nocapture every_promise_to_nats
//! ```
//!
//! | to learn | read |
//! |---|---|
//! | what clients do | `actor` |
//! | what one client writes and reads | `client`, `op`, `blip` |
//! | how a world moves on and ends | `world` |
//! | what is checked when a message is read | `ledger` |
//! | what is checked at the end | `promises` |
//! | how each promise is tested alone | `scenarios`, `scenarios_queues` |

mod actor;
mod blip;
mod client;
mod ledger;
mod op;
mod plan;
mod promises;
mod scenarios;
mod scenarios_answers;
mod scenarios_queues;
mod scenarios_sleep;
mod world;

use crate::plan::Plan;
use crate::random::Random;
use crate::world::World;
use actor::{Actor, SUBJECTS, filler};
use client::Options;
use ledger::GAP_PREFIX;
use world::NatsWorld;

/// The number of seeds, unless `BLIPMQ_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 300;

/// Runs the world of a seed to its end.
pub fn run_seed(seed: u64) -> NatsWorld {
    let mut random = Random::with_seed(seed ^ 0x4e41_5453);
    let plan = plan::plan(&mut random);
    let world = World::of_records(seed, plan, random, "BLIPMQ_NATS_SEED");
    let mut world = NatsWorld::of(world);
    let cores = world.world.plan.cores;
    let witness = world.blip(world.world.tick as usize % cores, true);
    world.write_blip(witness, |blip, _, out| blip.subscribe(out));
    let publisher_core = world.world.random.below(cores);
    let publisher = world.blip(publisher_core, false);
    let monitor_core = world.world.random.below(cores);
    let monitor = world.client(monitor_core, true, usize::MAX);
    world.clients[monitor].is_monitor = true;
    world.write(monitor, |client, ledger, out| {
        let options = Options { verbose: false, echo: true, headers: true, no_responders: false };
        client.connect(out, options);
        client.subscribe(out, ledger, &format!("{GAP_PREFIX}>"), None);
        client.ping(out);
    });
    world.run_until_idle();
    world.world.note(|| {
        let Plan { cores, settings, stop_at, .. } = &world.world.plan;
        let (queues, nats, limits) = (&settings.queues, &settings.nats, &settings.limits);
        let delivery = &settings.delivery;
        format!(
            "{cores} cores, stop at {stop_at:?}, {queues:?}, {delivery:?}, {nats:?}, {limits:?}"
        )
    });
    let mut actors: Vec<Actor> = (0..world.world.plan.clients).map(|_| Actor::default()).collect();
    for tick in 0..world.world.plan.ticks {
        if world.world.plan.stop_at == Some(tick) {
            world.world.stop();
        }
        for actor in &mut actors {
            if world.world.random.chance(50) {
                actor.act(&mut world);
            }
        }
        if world.world.random.chance(30) && !world.world.stopping {
            let subject = world.world.random.pick(&SUBJECTS);
            let filler = filler(&mut world.world.random, world.world.plan.payload_len_max);
            let reply = world.world.random.chance(30).then_some("re.ply");
            world.write_blip(publisher, |blip, ledger, out| {
                blip.publish(out, ledger, subject, reply, &filler);
            });
        }
        world.step();
    }
    world.end();
    world
}

/// Goal: every promise to NATS clients holds under any faults and any load.
/// Method: many random worlds; `BLIPMQ_NATS_SEED` runs one of them and prints its steps.
#[test]
fn every_promise_to_nats_holds_for_all_seeds() {
    if let Some(seed) = crate::number_in("BLIPMQ_NATS_SEED") {
        crate::print_digest("nats", seed, &run_seed(seed).world);
        return;
    }
    let first = crate::number_in("BLIPMQ_SIM_FIRST").unwrap_or(0);
    for seed in first..first + crate::number_in("BLIPMQ_SIM_SEEDS").unwrap_or(SEEDS) {
        crate::print_digest("nats", seed, &run_seed(seed).world);
    }
}
