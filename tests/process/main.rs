//! The real binary over TCP: what many connections see of it, on one core and on two.
//!
//! | to learn | read |
//! |---|---|
//! | order, completeness, patterns, crossing cores, many connections | `delivery` |
//! | what is lost, and whether that is told exactly | `losses` |
//! | clients that misbehave, and what others notice | `hostile` |
//! | starting, refusing to start, stopping | `lifecycle` |
//! | `blipmq pub` and `blipmq sub` | `pipe` |
//!
//! Nothing here depends on how fast the machine is: tests wait for frames, lines and metrics. Where
//! time has to pass (TTL), it passes at least.

#[path = "../support/mod.rs"]
mod support;

mod account;
mod delivery;
mod hostile;
mod lifecycle;
mod losses;
mod pipe;

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
