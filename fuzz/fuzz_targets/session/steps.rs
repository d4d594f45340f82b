//! Turns bytes of the input into steps.
//!
//! | tag & 15 | step | then |
//! |---|---|---|
//! | 0 to 4 | raw bytes | length, bytes |
//! | 5 | a frame around raw bytes | kind, flags, count, length, bytes |
//! | 6, 7, 8 | MESSAGES | topic, count, flags, TTL, payload lengths |
//! | 9 | OPEN | request, topic |
//! | 10, 11 | SUBSCRIBE | id, overflow and start, argument, capacity, pattern, group |
//! | 12 | UNSUBSCRIBE | id |
//! | 13 | time passes | exponent |
//! | 14 | the peer stalls, or reads again | |
//! | 15 | CLOSE, PING, the end of the input, the stop of the broker, or one core takes a turn | which |
//!
//! Bit 4 of the tag is the connection; with bit 5 the cores take a turn after the step, with bit 6
//! as many as they need.

use blipmq::protocol::decode::Subscribe;
use blipmq::protocol::frame::{FLAG_HEADERS, PROVISIONAL, RECORD_HAS_HEADERS};
use blipmq::protocol::{RequestId, SubscriptionId, encode};
use bytes::BufMut;

use crate::world::World;

const TOPICS: [&str; 6] = ["a", "b", "a.b", "a.b.c", "$SYS.a", "a..b"];
const PATTERNS: [&str; 8] = ["a", "a.b", "*", ">", "a.*", "a.>", "*.b", "b"];

/// What is left of the input.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    pub fn u8(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// The next byte, or 0 at the end.
    fn byte(&mut self) -> u8 {
        self.u8().unwrap_or(0)
    }

    /// As many bytes as the next byte says; 255 means all that are left.
    fn bytes(&mut self) -> &[u8] {
        let len = match self.byte() {
            255 => self.0.len(),
            len => usize::from(len).min(self.0.len()),
        };
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }
}

pub fn step(world: &mut World, tag: u8, input: &mut Input<'_>) {
    let connection = usize::from(tag >> 4 & 1);
    let mut out = Vec::new();
    match tag & 15 {
        0..=4 => out.extend_from_slice(input.bytes()),
        5 => {
            let [kind, flags, count] = [input.byte(), input.byte(), input.byte()];
            let body = input.bytes();
            out.put_u32_le(body.len() as u32 + 8);
            out.extend_from_slice(&[kind, flags, count, 0]);
            out.extend_from_slice(body);
        }
        6..=8 => messages(input, &mut out),
        9 => {
            let request = RequestId(u32::from(input.byte() & 7));
            encode::open(&mut out, request, TOPICS[usize::from(input.byte()) % TOPICS.len()]);
        }
        10 | 11 => subscribe(input, &mut out),
        12 => encode::unsubscribe(&mut out, SubscriptionId(u32::from(input.byte() & 7))),
        13 => world.pass(1 << (input.byte() % 37)),
        14 => world.stall(connection),
        _ => match input.byte() & 7 {
            0 => encode::close(&mut out),
            1 => world.end(connection),
            2 => world.stop(),
            3 | 4 => world.turn_alone(connection),
            _ => encode::ping(&mut out, 7),
        },
    }
    if !out.is_empty() {
        world.send(connection, &out);
    }
    if tag & 0x20 != 0 {
        world.turn();
    }
    if tag & 0x40 != 0 {
        world.settle();
    }
}

fn messages(input: &mut Input<'_>, out: &mut Vec<u8>) {
    let topic = input.byte();
    let topic = match topic >> 7 {
        0 => u32::from(topic & 15),
        _ => PROVISIONAL | u32::from(topic & 7),
    };
    let count = input.byte() % 6;
    let flags = input.byte() & 7;
    let ttl_ms = u32::from(input.byte() % 4);
    let publish_id = u64::from(input.byte());
    let mut records = Vec::new();
    for _ in 0..count {
        let len = input.byte();
        let headers: &[u8] = match len & 7 {
            7 if flags & FLAG_HEADERS != 0 => b"\x06\0\x01k\x02\0vv",
            _ => b"",
        };
        let payload = vec![b'x'; usize::from(len)];
        let bit = if headers.is_empty() { 0 } else { RECORD_HAS_HEADERS };
        records.put_u32_le((headers.len() + payload.len()) as u32 | bit);
        records.extend_from_slice(headers);
        records.extend_from_slice(&payload);
    }
    out.put_u32_le(40 + records.len() as u32);
    out.extend_from_slice(&[0x10, flags, count, 0]);
    out.put_u32_le(topic);
    out.put_u32_le(0);
    out.put_u64_le(publish_id);
    out.put_u64_le(0);
    out.put_u32_le(ttl_ms);
    out.put_u32_le(0);
    out.extend_from_slice(&records);
}

fn subscribe(input: &mut Input<'_>, out: &mut Vec<u8>) {
    let id = input.byte();
    let options = input.byte();
    let subscribe = Subscribe {
        subscription: SubscriptionId(u32::from(id & 7)),
        overflow: options % 7,
        start: options / 7 % 4,
        start_argument: u64::from(input.byte()),
        capacity: u32::from(input.byte() % 8),
        pattern: PATTERNS[usize::from(input.byte()) % PATTERNS.len()],
        group: ["", "", "", "", "g", "h"][usize::from(id >> 3) % 6],
    };
    encode::subscribe(out, &subscribe);
}
