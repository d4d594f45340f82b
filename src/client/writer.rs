//! The writing thread: sends what was published while the previous write was under way.
//!
//! Started by `connect`. Takes from `conversation` through `shared`.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;

use super::shared::Shared;

/// A batch with one very large message must not keep its memory for ever.
const BATCH_KEPT_MAX: usize = 4 << 20;

pub(super) fn run(shared: &Shared) {
    let mut batch = Vec::new();
    while shared.take_outgoing(&mut batch) {
        if !write(shared, &batch) {
            return;
        }
        batch.clear();
        batch.shrink_to(BATCH_KEPT_MAX);
    }
}

fn write(shared: &Shared, mut batch: &[u8]) -> bool {
    while !batch.is_empty() {
        match (&shared.stream).write(batch) {
            Ok(written) if written > 0 => {
                batch = &batch[written..];
                shared.move_on();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => {
                // The broker closed, and its reason may be on the way here, in an ERROR that is
                // read but not handled. So the reader finds the cause, and must not be held up.
                let _ = shared.stream.shutdown(Shutdown::Read);
                shared.events.lift_bounds();
                return false;
            }
        }
    }
    true
}
