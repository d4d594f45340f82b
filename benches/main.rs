//! Benchmarks of the broker's parts, without sockets. Each benchmark checks its result.
//!
//! `cargo bench` runs all groups, `cargo bench -- fan_out` only one. With `BLIPMQ_QUICK_BENCH=1` there
//! are so few and short samples that the numbers mean nothing, only that every benchmark runs.
//!
//! All benchmarks are in one binary, because linking with LTO takes longer than most of them.

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
