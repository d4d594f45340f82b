//! The real binary over TCP, with many connections, on one core and on two.
//!
//! | to learn | read |
//! |---|---|
//! | order, completeness, patterns, crossing cores, many connections | `delivery` |
//! | which messages are lost, and how exactly losses are reported | `losses` |
//! | what a stalled subscriber costs others, for each policy | `policies` |
//! | publishers that wait for subscribers, also for themselves | `blocked` |
//! | acknowledgements of publishes | `acks` |
//! | the admin pages | `admin` |
//! | the admin pages over TLS | `pages` |
//! | credentials and permissions | `auth` |
//! | retained messages, and how live ones follow them | `replay` |
//! | groups | `groups` |
//! | the memory of the process | `memory` |
//! | what one connection may hold, and who pays when memory is short | `shares` |
//! | clients that misbehave, and their effect on others | `hostile` |
//! | clients that vanish | `vanishing` |
//! | the configuration, read again | `reload` |
//! | files of certificates that cannot be used, renewals | `certificates` |
//! | supervisors, the log, and a stdout or stderr that accepts no data | `operations` |
//! | starting, refusing to start, stopping | `lifecycle` |
//! | refusing to be open to other machines by accident | `exposure` |
//! | signals that ask for nothing, a log that cannot be written | `signals` |
//! | clients that leave before a stop | `lame_duck` |
//! | places for connections, and what keeps none | `places` |
//! | NATS clients, alone and together with BLIP/1 clients | `nats` |
//! | `blipmq pub` and `blipmq sub` | `pipe` |
//!
//! No test depends on the speed of the machine: tests wait for frames, lines and metrics. Where time has
//! to pass (TTL), at least that much passes.

#[path = "../support/mod.rs"]
mod support;

mod account;
mod acks;
mod admin;
mod auth;
mod blocked;
mod certificates;
mod delivery;
mod exposure;
mod groups;
mod hostile;
mod lame_duck;
mod lifecycle;
mod losses;
mod memory;
mod nats;
mod operations;
mod pages;
mod pipe;
mod places;
mod policies;
mod reload;
mod replay;
mod secrets;
mod shares;
mod signals;
mod topics;
mod vanishing;

use support::running;

/// Makes each function a test on one core and a test on two, and passes it the value of `--cores`.
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
        assert!(request < 1_000, "all cores own shards");
    }
    found.into_iter().flatten().collect()
}
