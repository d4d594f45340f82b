//! The deterministic simulator: several cores of the server, each the real relay and the real driver
//! of `executors` over a simulated ring; a kernel that delays and fails, a mesh that delays,
//! connections that split, stall and vanish, clocks that jump; all from one seed. Everything that a
//! client reads is checked against the promises of the broker.
//!
//! ```text
//! cargo test --test simulation                               a few hundred seeds
//! BLIPMQ_SIM_SEEDS=100000 cargo test --test simulation       more of them
//! BLIPMQ_SEED=0x5eed cargo test --test simulation -- --nocapture seeds   one, with its steps
//! ```
//!
//! | to learn | read |
//! |---|---|
//! | what one step of a world does | `world`, `cores`, `mesh` |
//! | what the kernel does | `wire` |
//! | who compares passwords | `passwords` |
//! | what clients do | `behaviour`, `conversation` |
//! | what is checked when a client reads | `receive`, `addressed`, `silence` |
//! | what is checked as the world moves on | `always` |
//! | what is checked at the end | `promises`, `owed`, against `truth` |
//! | how tight the bounds of a world are | `plan` |
//! | how each promise is tested alone | `scenarios`, `scenarios_ends`, `scenarios_options` |

mod addressed;
mod always;
mod behaviour;
#[path = "../../src/server/passwords/compare.rs"]
mod compare;
mod conversation;
mod cores;
mod mesh;
mod nats;
mod owed;
mod passwords;
mod plan;
mod promises;
mod random;
mod receive;
#[path = "../../src/server/relay.rs"]
mod relay;
mod scenarios;
mod scenarios_block;
mod scenarios_ends;
mod scenarios_options;
mod scenarios_turns;
mod silence;
mod truth;
mod watch;
mod wire;
mod world;

/// The number of seeds, unless `BLIPMQ_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 300;

/// Goal: every promise of the broker holds under any faults and any load.
/// Method: many random worlds; `BLIPMQ_SEED` runs one of them and prints its steps.
#[test]
fn every_promise_holds_for_all_seeds() {
    if let Some(seed) = number_in("BLIPMQ_SEED") {
        behaviour::run_seed(seed);
        return;
    }
    let first = number_in("BLIPMQ_SIM_FIRST").unwrap_or(0);
    for seed in first..first + number_in("BLIPMQ_SIM_SEEDS").unwrap_or(SEEDS) {
        print_digest("blip", seed, &behaviour::run_seed(seed));
    }
}

/// Goal: the same where every login waits for a hash that is computed elsewhere.
#[test]
fn every_promise_holds_where_logins_wait_for_hashes() {
    let mut compared = 0;
    for seed in 0..SEEDS / 6 {
        compared += behaviour::run_seed_with_hashes(seed).passwords.compared;
    }
    assert!(compared > 0, "no login waited");
}

/// Goal: the random worlds reach every bound of the broker and of the kernel.
#[test]
fn the_seeds_reach_every_bound() {
    let mut reached = [0; 19];
    for seed in 0..SEEDS {
        let world = behaviour::run_seed(seed);
        let wires = || world.wires.iter();
        reached[0] += world.pauses;
        reached[1] += world.starved;
        reached[2] += wires().map(|wire| wire.short_sends).sum::<u64>();
        reached[3] += wires().map(|wire| wire.early_cancels).sum::<u64>();
        for core in &world.cores {
            let counters = &core.counters;
            let counted = [
                &counters.dropped_oldest_messages,
                &counters.dropped_new_messages,
                &counters.expired_before_enqueue_messages,
                &counters.expired_in_queue_messages,
                &counters.dropped_disconnected_messages,
                &counters.refused_messages,
                &counters.mesh_full,
                &counters.errors_sent,
                &counters.conflated_messages,
                &counters.publishers_blocked,
                &counters.evicted_slices,
                &counters.refused_for_memory_messages,
                &counters.dropped_connection_full_messages,
                &counters.reclaimed_messages,
                &counters.stale_connections,
            ];
            for (sum, counter) in reached[4..].iter_mut().zip(counted) {
                *sum += counter.get();
            }
        }
    }
    println!("pauses, starved, short sends, early cancels, then counters: {reached:?}");
    assert!(reached.iter().all(|count| *count > 0), "{reached:?}");
}

#[test]
fn equal_seeds_make_equal_worlds() {
    for seed in 0..5 {
        let [one, other] = [behaviour::run_seed(seed), behaviour::run_seed(seed)];
        assert_eq!((one.tick, one.turns, one.digest), (other.tick, other.turns, other.digest));
        assert_eq!(one.random.next_of(), other.random.next_of());
    }
}

/// Prints the digest of a world if `BLIPMQ_SIM_DIGESTS` is set, to compare two versions of the
/// broker.
fn print_digest(kind: &str, seed: u64, world: &world::World) {
    if std::env::var_os("BLIPMQ_SIM_DIGESTS").is_some() {
        println!("{kind} {seed:#x} {} {} {:016x}", world.tick, world.turns, world.digest);
    }
}

/// A number from an environment variable, decimal or hexadecimal with 0x.
fn number_in(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = match text.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16),
        None => text.parse(),
    };
    Some(number.unwrap_or_else(|_| panic!("{variable} is `{text}`, not a number")))
}
