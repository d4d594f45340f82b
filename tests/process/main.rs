//! The real binary over TCP: what many connections see of it, on one core and on two.
//!
//! | to learn | read |
//! |---|---|
//! | order, completeness, patterns, crossing cores, many connections | `delivery` |
//! | what is lost, and whether that is told exactly | `losses` |
//! | whom a stalled subscriber costs something, for each policy | `policies` |
//! | publishers that wait for subscribers, also for themselves | `blocked` |
//! | what publishers that ask are told | `acks` |
//! | what an operator is shown | `admin` |
//! | credentials and permissions | `auth` |
//! | kept messages, and how live ones join them | `replay` |
//! | groups | `groups` |
//! | the memory of the process | `memory` |
//! | clients that misbehave, and what others notice | `hostile` |
//! | clients that vanish | `vanishing` |
//! | the configuration, read again | `reload` |
//! | supervisors, the log, and a stdout or stderr that takes nothing | `operations` |
//! | starting, refusing to start, stopping | `lifecycle` |
//! | NATS clients, alone and together with those of BLIP/1 | `nats` |
//! | `blipmq pub` and `blipmq sub` | `pipe` |
//!
//! Nothing here depends on how fast the machine is: tests wait for frames, lines and metrics. Where
//! time has to pass (TTL), it passes at least.

#[path = "../support/mod.rs"]
mod support;

mod account;
mod acks;
mod admin;
mod auth;
mod blocked;
mod delivery;
mod groups;
mod hostile;
mod lifecycle;
mod losses;
mod memory;
mod nats;
mod operations;
mod pipe;
mod policies;
mod reload;
mod replay;
mod vanishing;

use support::running;

/// Makes each function a test on one core and a test on two; it gets the value of `--cores`.
macro_rules! on_one_and_two_cores {
    ($($name:ident),* $(,)?) => {
        mod on_one_core {
            $(#[test] fn $name() { crate::with_cores(1, super::$name); })*
        }
        mod on_two_cores {
            $(#[test] fn $name() { crate::with_cores(2, super::$name); })*
        }
    };
}
pub(crate) use on_one_and_two_cores;

fn with_cores(count: usize, test: fn(&str)) {
    if let Some(cores) = running::cores(count) {
        test(&cores);
    }
}

/// A new topic that each core owns, by core.
fn topic_on_each_core(addr: std::net::SocketAddr, cores: &str, prefix: &str) -> Vec<String> {
    let count = cores.split(',').count();
    let mut wire = support::wire::Wire::connect(addr);
    let mut found = vec![None; count];
    for request in 1.. {
        let name = format!("{prefix}{request}.{request}");
        let (_, next, owner) = wire.open(request, &name);
        if next == 1 {
            found[usize::from(owner)].get_or_insert(name);
        }
        if found.iter().all(Option::is_some) {
            break;
        }
        assert!(request < 1_000, "shards are dealt to all cores");
    }
    found.into_iter().flatten().collect()
}
