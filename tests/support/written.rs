//! Frames as clients write them.
//!
//! Used by `wire`, and by tests of a broker without sockets.

#![allow(dead_code, reason = "each test binary uses its part")]

use blipmq::protocol::decode::Subscribe;
use blipmq::protocol::frame::FLAG_ACK;
use blipmq::protocol::messages::Header;
use blipmq::protocol::{SubscriptionId, encode};

pub fn encode_subscribe(
    out: &mut Vec<u8>,
    subscription: u32,
    pattern: &str,
    overflow: u8,
    capacity: u32,
) {
    encode::subscribe(out, &Subscribe { overflow, capacity, ..wanting(subscription, pattern) });
}

/// A live subscription with the defaults of the server; callers change single fields.
pub fn wanting(subscription: u32, pattern: &str) -> Subscribe<'_> {
    Subscribe::live(SubscriptionId(subscription), pattern)
}

/// Appends a MESSAGES frame that asks for an ACK.
pub fn encode_with_ack(out: &mut Vec<u8>, topic: u32, publish_id: u64, payloads: &[&[u8]]) {
    let at = out.len();
    encode_messages(out, topic, 0, payloads);
    out[at + 5] = FLAG_ACK;
    out[at + 16..at + 24].copy_from_slice(&publish_id.to_le_bytes());
}

/// Appends a MESSAGES frame as a publisher writes it.
pub fn encode_messages(out: &mut Vec<u8>, topic: u32, ttl_ms: u32, payloads: &[&[u8]]) {
    let records_len: usize = payloads.iter().map(|payload| 4 + payload.len()).sum();
    let header = Header {
        frame_len: (40 + records_len) as u32,
        flags: 0,
        count: payloads.len() as u16,
        topic,
        subscription: 0,
        sequence: 0,
        timestamp: 0,
        ttl_ms,
        crc: 0,
    };
    out.extend_from_slice(&header.to_bytes());
    for payload in payloads {
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        out.extend_from_slice(payload);
    }
}
