//! The `blipmq` command.

// Nothing calls it yet.
#[allow(dead_code)]
mod server;

fn main() {}
