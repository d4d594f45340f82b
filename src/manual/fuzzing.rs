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
//! | `nats::command::parse` | PUB by its definition | what is read, wherever reads split it |
//! | `nats::message` | the line nats-server would write | what one client of NATS publishes, another gets |
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
//! | `nats` | bytes as commands of NATS clients, and as frames for them | no panic; splits change nothing; what is published is delivered with the same reply subject, headers and payload; whatever headers a frame has, the lines of NATS stay whole |
//!
//! `.ci/run` runs each target for 20 seconds, and 2,000 worlds of the simulator beyond those of
//! the tests.
//!
//! # The long runs
//!
//! 2026-11-24, Rust 1.95.0, AddressSanitizer, debug assertions and overflow checks on, from the seeds
//! above; a virtual machine of 2 cores (AMD EPYC) shared with other builds, `nice`d. Edges are what
//! libFuzzer reports as `cov` at the first and the last input. The second run of `session` overlapped
//! the others, and the last five minutes of `decode` and `config` ran side by side, as did the two of edae3e8. That
//! of `nats` began with what a first minute had found. The command of each:
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run TARGET -- -max_total_time=SECONDS -timeout=20 -print_final_stats=1
//! ```
//!
//! | target | commit | seconds | executions | edges | crashes |
//! |---|---|---|---|---|---|
//! | `session` | 7d05a07 | until the crash | 12,955 | | 1: `Broker::audit`, below |
//! | `session` | c67d5f4 | 601 | 225,467 | 5,232 to 5,574 | none |
//! | `decode` | 7d05a07 | 301 and 301 | 791,297 and 231,597 | 910 to 1,052 | none |
//! | `config` | 7d05a07 | 241 and 301 | 191,964 and 73,410 | 2,972 to 3,755 | none |
//! | `pattern` | 7d05a07 | 241 | 330,804 | 1,196 to 1,219 | none |
//! | `config` | edae3e8 | 601 | 581,357 | 3,428 to 3,993 | none |
//! | `pattern` | edae3e8 | 601 | 1,288,720 | 1,157 to 1,229 | none |
//! | `nats` | 1bc7599 | 61 | 547,336 | 1,950 to 2,092 | none |
//!
//! # What was found
//!
//! Each has a test in `tests/regressions.rs`.
//!
//! | by | what |
//! |---|---|
//! | `session` | a subscription that asked for kept messages was put before one that had ended with messages queued: later messages of a topic overtook older ones |
//! | property of `block` | a short queue was nearly full only beyond its bound (three quarters of 5 were 6): publishers were not stopped in time |
//! | writing `decode` | a HELLO frame too short for its magic was refused as 4000 or 4001, by whether bytes behind it had arrived |
//!
//! # Do they find anything?
//!
//! Planted in the code they cover, found by the property tests at 256 inputs, and taken
//! out again:
//!
//! | planted | found by |
//! |---|---|
//! | the latest subscription of a connection wins, not the earliest | `targets` |
//! | the log keeps one portion more than it must | `logs` |
//! | a conflated message keeps its place although a gap came behind it | `queues`, `latest` |
//! | `drop_oldest` does not shorten a portion that is larger than the queue | `queues`, `drop_oldest` |
//! | empty nodes stay in the tree of patterns | `patterns` |
//! | a cut frame keeps its CRC flag | `frames` |
//! | a NATS header block with a line `nats-headers` is not kept whole | `nats` |
//! | a NATS payload that ends before the LF of its line break is refused | `nats` |
//! | a gap extends one of another reason | `queues`, three policies |
//! | the place of a topic's last gap does not count those that were taken | `gaps` |
