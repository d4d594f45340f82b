//! Any bytes from one or two connections to a broker of one or two cores: nothing panics, every
//! invariant holds, and clients are sent what the protocol allows.
//!
//! The input is a byte of options, then steps. A step is raw bytes of a connection, a frame with
//! given or generated fields, or an event: time passes, a peer stalls or leaves, the broker stops.
//! See `steps`.
#![no_main]

mod reader;
mod steps;
mod world;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = steps::Input(data);
    let Some(options) = input.u8() else { return };
    let mut world = world::World::new(options);
    while let Some(tag) = input.u8() {
        steps::step(&mut world, tag, &mut input);
    }
    world.finish();
});
