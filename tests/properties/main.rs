//! Fast code compared with naive code, for generated input. A failure prints the smallest input that
//! still fails.
//!
//! ```text
//! cargo test --test properties                            256 inputs each
//! PROPTEST_CASES=100000 cargo test --test properties      more inputs
//! ```
//!
//! | to learn | read |
//! |---|---|
//! | which patterns match which topics | `patterns` |
//! | which subscriptions a topic reaches | `targets` |
//! | which messages are lost when a queue is full | `queues`, compared with `list` |
//! | how losses are recorded | `gaps` |
//! | which messages a topic retains | `logs` |
//! | how bytes of NATS clients are parsed and encoded | `nats` |
//! | what errors of a broken configuration file show | `secrets` |
//! | how a frame is cut | `frames`, which also makes frames for the others |

mod frames;
mod gaps;
mod list;
mod logs;
mod nats;
mod patterns;
mod queues;
mod secrets;
mod targets;

use proptest::test_runner::Config;

/// No file of failures: a regression test for each is worth more.
pub fn config() -> Config {
    Config { failure_persistence: None, ..Config::default() }
}
