//! Fuzzing and property tests: what is generated, how to run it, what it found.
//!
//! Three kinds of generated input, each where it is strongest:
//!
//! | kind | input | where |
//! |---|---|---|
//! | simulator | worlds of cores, clients and faults, from one seed | `tests/simulation/` |
//! | property tests | operations on one structure, against a naive one | `tests/properties/` |
//! | fuzz targets | bytes, led by which code they reach | `fuzz/` |
//!
//! # Property tests
//!
//! ```text
//! cargo test --test properties                            256 inputs each
//! PROPTEST_CASES=20000 cargo test --test properties       more of them
//! ```
//!
//! | fast | naive | what must agree |
//! |---|---|---|
//! | `pattern::Matcher` | a list of patterns, each matched by definition | what a topic finds while patterns come and go; nothing is left when all are gone |
//! | `Subscriptions::take_targets` | a search through all subscriptions | one target for each connection, the earliest in force |
//! | `Queue` and `overflow::enqueue`, for each policy | a list of frames | who is queued, dropped, conflated or refused; each message comes out once, in order, or in one gap before what follows it; bounds and counts |
//! | `Gaps` | a list of runs | what continues a run extends it, the rest waits in order |
//! | `Log` | a list of all messages | what is kept, and what each start gives |
//! | `Portion::keep_last`, `messages::last_messages` | the shape the frames were made from | the last messages, one frame cut, no CRC on a cut frame |
//!
//! # Fuzz targets
//!
//! `cargo fuzz` wants a nightly compiler for its sanitizer; `RUSTC_BOOTSTRAP=1` lets the stable one
//! do. The seeds are made from the conformance vectors and the configuration files.
//!
//! ```text
//! cargo install cargo-fuzz --locked
//! cargo run --manifest-path fuzz/Cargo.toml --example seeds
//! RUSTC_BOOTSTRAP=1 cargo fuzz run session -- -max_total_time=600
//! RUSTC_BOOTSTRAP=1 cargo fuzz run session fuzz/artifacts/session/crash-...     one input again
//! ```
//!
//! | target | input | what must hold |
//! |---|---|---|
//! | `decode` | bytes as frames of clients and of servers | no panic; what decodes is written as the same bytes; splits change nothing; what `messages::check` passes can be read, stamped and cut |
//! | `session` | bytes and frames of one or two connections, into brokers of one or two cores with generous or tight bounds | no panic, and `Broker::audit` after every turn; whole frames out, WELCOME first, nothing after a fatal ERROR, TOPIC before its messages, a GAP before every skipped sequence; when peers read again everything drains, and a stop ends |
//! | `config` | text as a configuration | no panic; what is accepted prints to what parses equal |
//! | `pattern` | lines of patterns and topics | the matcher finds what a list finds |
//!
//! `.ci/run` runs each target for 20 seconds.
