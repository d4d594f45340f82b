//! The writing thread: sends what was published while the previous write was under way.
//!
//! Started by `connect`. Takes batches from `conversation` through `shared`.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};

use crate::shared::Shared;
use blipmq_protocol::Kind;

/// The buffer of a batch with a very large message must not keep its memory for ever.
const BATCH_KEPT_MAX: usize = 4 << 20;

pub(crate) fn run(shared: &Shared) {
    let mut batch = Vec::new();
    while let Some((stream, epoch)) = shared.take_outgoing(&mut batch) {
        if !write(shared, &stream, &batch) {
            // The broker closed, and its reason may be in an ERROR that is read but not handled
            // yet. So the reader finds the cause, and must not be held up.
            let _ = stream.shutdown(Shutdown::Read);
            shared.stop_writing(epoch);
        }
        batch.clear();
        batch.shrink_to(BATCH_KEPT_MAX);
    }
}

fn write(shared: &Shared, mut stream: &TcpStream, mut batch: &[u8]) -> bool {
    // No call waits for a PONG to be sent, and a client that only says that it is there is stuck.
    let moves_on = !is_one_pong(batch);
    while !batch.is_empty() {
        match stream.write(batch) {
            Ok(written) if written > 0 => {
                batch = &batch[written..];
                if moves_on {
                    shared.move_on();
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return false,
        }
    }
    true
}

fn is_one_pong(batch: &[u8]) -> bool {
    let len = batch.first_chunk::<4>().map(|len| u32::from_le_bytes(*len) as usize);
    len == Some(batch.len()) && batch.get(4) == Some(&(Kind::Pong as u8))
}
