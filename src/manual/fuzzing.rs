//! Fuzzing and property tests: what is generated, how to run it, what it found.
//!
//! Three kinds of generated input, each used where it is strongest:
//!
//! | kind | input | where |
//! |---|---|---|
//! | simulator | worlds of cores, clients and faults of the kernel, from one seed: [`simulator`](super::simulator) | `tests/simulation/` |
//! | property tests | operations on one structure, compared with a naive one | `tests/properties/` |
//! | fuzz targets | bytes, guided by the code that they reach | `fuzz/` |
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
//! | the matcher of patterns | a list of patterns, each matched by definition | what a topic finds while patterns come and go; nothing is left when all are gone |
//! | the targets of a topic | a search through all subscriptions | one target for each connection, the earliest active subscription |
//! | queues with each overflow policy | a list of frames | which frames are queued, dropped, conflated or refused; each message comes out once, in order, or in one gap before the next message; bounds and counts |
//! | gaps | a list of runs | what continues a run extends it, the rest waits in order |
//! | the log of a topic | a list of all messages | what is retained, and what each start gives |
//! | the last messages of a slice, `messages::last_messages` | the shape that the frames were made from | the last messages, one frame cut, no CRC on a cut frame |
//! | `nats::command::parse` | PUB by its definition | what is read, wherever reads split the bytes |
//! | `nats::message` | the line that nats-server would write | one NATS client gets what another publishes |
//!
//! # Fuzz targets
//!
//! The sanitizer of `cargo fuzz` needs a nightly compiler; `RUSTC_BOOTSTRAP=1` makes the stable compiler
//! accept it. The seeds are made from the conformance vectors and the configuration files.
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
//! | `tls` | any bytes at any moment of a connection with TLS, in any pieces | no panic; a correct client is served whatever the pieces; the layer still closes |
//! | `decode` | bytes as frames of clients and of servers | no panic; what decodes is written as the same bytes; splits change nothing; frames that pass `messages::check` can be read, stamped and cut |
//! | `session` | bytes and frames of one or two connections, into brokers of one or two cores with generous or tight bounds | no panic, and the audit of the broker after every turn; whole frames out, WELCOME first, nothing after a fatal ERROR, TOPIC before its messages, a GAP before every skipped sequence; when peers read again everything drains, and a stop ends |
//! | `config` | text as a configuration | no panic; an accepted text prints to a text that parses equal |
//! | `pattern` | lines of patterns and topics | the matcher finds what a list finds |
//! | `nats` | bytes as commands of NATS clients, and as frames for them | no panic; splits change nothing; what is published is delivered with the same reply subject, headers and payload; whatever headers a frame has, the lines of NATS stay whole |
//!
//! `session` runs the same turn as the binary, over a port of its own.
//!
//! `.ci/run` builds the targets without `cargo fuzz`, with the flags that it would give, and runs each for
//! 15 seconds; `.ci/long` runs each for 600, and each property with 20,000 inputs. libFuzzer gets a fresh
//! seed, which is printed; `.ci/long SEED` takes a given one.
//!
//! # The long runs
//!
//! 2026-11-24, Rust 1.95.0, AddressSanitizer, debug assertions and overflow checks on, from the seeds
//! above; a virtual machine of 2 cores (AMD EPYC) shared with other builds, `nice`d. Edges are what
//! libFuzzer reports as `cov` at the first and the last input. The second run of `session` overlapped
//! the others. The last five minutes of `decode` and `config` ran side by side, as did the two runs of
//! edae3e8. The run of `nats` began with what a first minute had found. The command of each:
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
//! | `session` | a subscription that asked for retained messages was placed before an ended subscription that still had messages queued: later messages of a topic overtook older ones |
//! | property of `block` | a short queue was nearly full only beyond its bound (three quarters of 5 were 6): so publishers were not stopped in time |
//! | writing `decode` | a HELLO frame too short for its magic was refused as 4000 or as 4001, depending on whether bytes behind it had arrived |
//!
//! # Do they find anything?
//!
//! These bugs were planted in the covered code, found by the property tests at 256 inputs, and removed
//! again:
//!
//! | planted | found by |
//! |---|---|
//! | the latest subscription of a connection wins, not the earliest | `targets` |
//! | the log retains one slice too many | `logs` |
//! | a conflated message keeps its place although a gap came after it | `queues`, `latest` |
//! | `drop_oldest` does not shorten a slice that is larger than the queue | `queues`, `drop_oldest` |
//! | empty nodes stay in the tree of patterns | `patterns` |
//! | a cut frame keeps its CRC flag | `frames` |
//! | a NATS header block with a line `nats-headers` is not delivered whole | `nats` |
//! | a NATS payload that ends before the LF of its line break is refused | `nats` |
//! | a gap extends one of another reason | `queues`, three policies |
//! | the place of a topic's last gap does not count the gaps that were taken | `gaps` |
