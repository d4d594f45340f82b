//! Fast code against naive code that does the same, for generated input. A failure prints the
//! smallest input that still fails.
//!
//! ```text
//! cargo test --test properties                            256 inputs each
//! PROPTEST_CASES=100000 cargo test --test properties      more of them
//! ```
//!
//! | to learn | read |
//! |---|---|
//! | which patterns match which topics | `patterns` |
//! | which subscriptions a topic reaches | `targets` |
//! | who loses what when a queue is full | `queues`, against `list` |
//! | how what was lost is noted | `gaps` |
//! | what a topic keeps | `logs` |
//! | how clients of NATS are read and written to | `nats` |
//! | how a frame is cut | `frames`, which also makes frames for the others |

mod frames;
mod gaps;
mod list;
mod logs;
mod nats;
mod patterns;
mod queues;
mod targets;

use proptest::test_runner::Config;

/// No file of failures: the test that is written from one is worth more.
pub fn config() -> Config {
    Config { failure_persistence: None, ..Config::default() }
}
