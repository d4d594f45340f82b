//! Every bound that BLIP/1 itself sets.
//!
//! The broker's own bounds, and those that can be configured, are in `blipmq::limits`.

/// Bytes every frame starts with.
pub const FRAME_HEADER_LEN: usize = 8;
/// Bytes of a MESSAGES frame before its first record.
pub const MESSAGES_HEADER_LEN: usize = 40;
/// Bytes of a record before its payload or headers.
pub const RECORD_HEADER_LEN: usize = 4;

/// Longest topic or pattern, in bytes of UTF-8.
pub const TOPIC_LEN_MAX: usize = 1_024;
/// Longest name of a group, in bytes of UTF-8.
pub const GROUP_LEN_MAX: usize = TOPIC_LEN_MAX;
/// Longest frame accepted before HELLO: the client is not known yet, and gets little memory.
pub const HELLO_LEN_MAX: u32 = 16 * 1_024;
/// Topic ids are 31 bits on the wire, because the top bit marks a provisional one.
pub const TOPIC_ID_MAX: u32 = 0x7fff_ffff;

/// Longest payload that any broker can be configured to accept. A frame with such a payload and the
/// largest header block is still well below the 4 GiB that `frame_len` can express.
pub const MESSAGE_LEN_MAX: u32 = 256 << 20;
/// Most bytes that a frame with one message adds to the payload: header, record, and the largest
/// header block (its length field has 16 bits).
pub const FRAME_OVERHEAD_MAX: u64 = (MESSAGES_HEADER_LEN + RECORD_HEADER_LEN + 2 + 65_535) as u64;

const _: () = assert!(HELLO_LEN_MAX as usize > FRAME_HEADER_LEN);
const _: () = assert!(MESSAGE_LEN_MAX as u64 + FRAME_OVERHEAD_MAX < TOPIC_ID_MAX as u64);

/// Longest frame for a given longest message: room for one such message with the largest header
/// block, which also lets small messages share a frame.
pub const fn frame_len_max(message_len_max: u32) -> u32 {
    message_len_max + FRAME_OVERHEAD_MAX as u32
}
