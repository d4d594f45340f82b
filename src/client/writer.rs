//! The writing thread: sends what was published while the previous write was under way.
//!
//! Started by `connect`. Takes batches from `conversation` through `shared`.

use crate::shared::Shared;
use blipmq_protocol::Kind;

/// The buffer of a batch with a very large message must not keep its memory for ever.
const BATCH_KEPT_MAX: usize = 4 << 20;

pub(crate) fn run(shared: &Shared) {
    let mut batch = Vec::new();
    while let Some((link, epoch)) = shared.take_outgoing(&mut batch) {
        // No call waits for a PONG to be sent, and a client that only says that it is there is stuck.
        let moves_on = !is_one_pong(&batch);
        let mut moved = || {
            if moves_on {
                shared.move_on();
            }
        };
        if link.send(&batch, &mut moved).is_err() {
            // The broker closed, and its reason may be in an ERROR that is read but not handled
            // yet. So the reader finds the cause, and must not be held up.
            link.shut_down_reading();
            shared.stop_writing(epoch);
        }
        batch.clear();
        batch.shrink_to(BATCH_KEPT_MAX);
    }
}

fn is_one_pong(batch: &[u8]) -> bool {
    let len = batch.first_chunk::<4>().map(|len| u32::from_le_bytes(*len) as usize);
    len == Some(batch.len()) && batch.get(4) == Some(&(Kind::Pong as u8))
}
