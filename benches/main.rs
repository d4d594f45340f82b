//! Benchmarks of the broker's parts, without sockets. Each checks its own answer.
//!
//! `cargo bench` runs all, `cargo bench -- fan_out` one group. With `BLIPMQ_QUICK_BENCH=1` samples
//! are so few and short that the numbers mean nothing: it only shows that every benchmark runs.
//!
//! One binary for all: linking with LTO takes longer than most of the measuring.

mod decode;
mod fan_out;
mod inspect;
mod mesh_hop;
mod nats;
mod queue;
mod support;
mod topic_match;
mod ttl;

fn main() {
    let mut criterion = support::criterion();
    decode::bench(&mut criterion);
    topic_match::bench(&mut criterion);
    queue::bench(&mut criterion);
    fan_out::bench(&mut criterion);
    ttl::bench(&mut criterion);
    mesh_hop::bench(&mut criterion);
    nats::bench(&mut criterion);
    inspect::bench(&mut criterion);
    criterion.final_summary();
}
