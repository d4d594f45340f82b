//! What travels through the broker: batches on their way to the core that orders them, slices of
//! batches from there on, and gaps where a slice did not arrive.
//!
//! Made by `topics`, queued by `delivery`, carried by `mesh`. This room has no state.
//!
//! # Always true
//! - A message is copied once, from the receive buffer into a batch; everything later refers to it.

mod batch;
mod gap;
mod slice;
mod topic_name;

pub use batch::{Ack, Batch, Destination, Requester, Unheard, WantsAck};
pub use gap::Gap;
pub use slice::{NotTo, Publisher, Slice};
pub use topic_name::{EPHEMERAL, TopicKey, TopicName};

#[cfg(test)]
pub(in crate::broker) mod tests {
    use std::sync::Arc;

    use bytes::BytesMut;

    use super::*;
    use crate::protocol::messages::Header;
    use crate::protocol::{CoreId, Sequence, TopicId};

    /// A topic under a number.
    pub fn named(id: u32) -> Arc<TopicName> {
        let name = format!("topic.{id}").into();
        Arc::new(TopicName { id: TopicId(id), owner: CoreId(0), name })
    }

    /// Frames of `counts` messages each; sequences from `first`.
    pub fn slice(first: u64, counts: &[u16]) -> Slice {
        let mut frames = BytesMut::new();
        for count in counts {
            let records = vec![0; 4 * usize::from(*count)];
            let header = Header {
                frame_len: (40 + records.len()) as u32,
                flags: 0,
                count: *count,
                topic: 1,
                subscription: 0,
                sequence: 0,
                timestamp: 0,
                ttl_ms: 0,
                crc: 0,
            };
            frames.extend_from_slice(&header.to_bytes());
            frames.extend_from_slice(&records);
        }
        Slice {
            topic: named(1),
            subscription: 0,
            first: Sequence(first),
            messages: counts.iter().map(|count| u32::from(*count)).sum(),
            received_ns: 0,
            deadline_ns: u64::MAX,
            not_to: None,
            frames: frames.freeze(),
        }
    }
}
