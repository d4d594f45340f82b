//! A session of BLIP/1 in hex, frame by frame.
//!
//! The second part of the chapter [`protocol`](super::protocol); `blipmq help protocol` prints both.
//!
//! # A session, byte by byte
//!
//! A client subscribes to `orders.*`, publishes two messages in one frame to `orders.eu`, receives that
//! frame, and makes a mistake. The server has one core and the default configuration. After CLOSE the
//! server ends the connection. A test sends these bytes to a broker and compares its answers with these.
//! Flags 5 of MESSAGES ask for an ACK (bit 0) and announce headers (bit 2).
//!
//! ```text
//! client sends HELLO
//!   1a 00 00 00 01 00 00 00             | frame_len 26, kind 0x01
//!   42 4c 49 50                         | magic
//!   01 00 00 00                         | version 1, auth kind 0
//!   04 00 64 65 6d 6f                   | client name "demo"
//!   00 00 00 00                         | no token or user, no password
//! server sends WELCOME
//!   2e 00 00 00 81 00 00 00             | frame_len 46, kind 0x81
//!   01 00 00 00                         | version 1, core 0
//!   01 00 02 00                         | 1 core, 2 shards
//!   00 00 10 00                         | message_len_max 1048576
//!   2d 00 11 00                         | frame_len_max 1114157
//!   cb e7 fa 0d 4f 0f 9c 0d             | server id, another one at each start
//!   0c 00 62 6c 69 70 6d 71 2f 30 2e 31 | "blipmq/0.1.0"
//!   2e 30
//! client sends SUBSCRIBE
//!   28 00 00 00 03 00 00 00             | frame_len 40, kind 0x03
//!   01 00 00 00                         | subscription 1
//!   01 00 00 00                         | overflow 1, start 0 (live)
//!   64 00 00 00 00 00 00 00 00 00 00 00 | capacity 100, start argument 0
//!   08 00 6f 72 64 65 72 73 2e 2a       | pattern "orders.*"
//!   00 00                               | no group
//! server sends SUBSCRIBED
//!   0c 00 00 00 83 00 00 00             | frame_len 12, kind 0x83
//!   01 00 00 00                         | subscription 1
//! client sends OPEN
//!   17 00 00 00 02 00 00 00             | frame_len 23, kind 0x02
//!   01 00 00 00                         | request 1
//!   09 00 6f 72 64 65 72 73 2e 65 75    | topic "orders.eu"
//! server sends TOPIC
//!   25 00 00 00 82 00 00 00             | frame_len 37, kind 0x82
//!   01 00 00 00 01 00 00 00             | request 1, topic id 1
//!   01 00 00 00 00 00 00 00 00 00       | next sequence 1, ordered by core 0
//!   09 00 6f 72 64 65 72 73 2e 65 75    | topic "orders.eu"
//! client sends MESSAGES
//!   5a 00 00 00 10 05 02 00             | frame_len 90, flags 5, 2 messages
//!   01 00 00 80 00 00 00 00             | provisional id, subscription 0
//!   07 00 00 00 00 00 00 00             | publish id 7
//!   00 00 00 00 00 00 00 00             | timestamp 0
//!   00 00 00 00 00 00 00 00             | ttl_ms 0, no crc
//!   0c 00 00 00 6f 6e 65 20 65 73 70 72 | 12 bytes: "one espresso"
//!   65 73 73 6f
//!   1e 00 00 80 19 00                   | 30 bytes, of which 25 of headers
//!   08 72 65 70 6c 79 2d 74 6f          | name "reply-to"
//!   0e 00 6f 72 64 65 72 73 2e 72 65 70 | value "orders.replies"
//!   6c 69 65 73
//!   74 77 6f                            | payload "two"
//! server sends ACK
//!   20 00 00 00 85 00 00 00             | frame_len 32, kind 0x85
//!   01 00 00 00 07 00 00 00 00 00 00 00 | topic id 1, publish id 7
//!   01 00 00 00 00 00 00 00 02 00 00 00 | first sequence 1, 2 messages
//! server sends MESSAGES
//!   5a 00 00 00 10 05 02 00             | frame_len 90, flags 5, 2 messages
//!   01 00 00 00 00 00 00 00             | topic id 1, subscription 0 (live)
//!   01 00 00 00 00 00 00 00             | sequence of the first message: 1
//!   c9 43 35 a4 10 e6 ec 18             | timestamp, nanoseconds since 1970
//!   00 00 00 00 00 00 00 00             | ttl_ms 0, no crc
//!   0c 00 00 00 6f 6e 65 20 65 73 70 72 | 12 bytes: "one espresso"
//!   65 73 73 6f
//!   1e 00 00 80 19 00                   | 30 bytes, of which 25 of headers
//!   08 72 65 70 6c 79 2d 74 6f          | name "reply-to"
//!   0e 00 6f 72 64 65 72 73 2e 72 65 70 | value "orders.replies"
//!   6c 69 65 73
//!   74 77 6f                            | payload "two"
//! client sends UNSUBSCRIBE
//!   0c 00 00 00 04 00 00 00             | frame_len 12, kind 0x04
//!   09 00 00 00                         | subscription 9, which does not exist
//! server sends ERROR
//!   3f 00 00 00 8e 00 00 00             | frame_len 63, flags 0: not fatal
//!   09 00 00 00 c8 0f                   | subscription 9, code 4040
//!   2f 00 73 75 62 73 63 72 69 70 74 69 | text
//!   6f 6e 20 39 20 69 73 20 6e 6f 74 20
//!   69 6e 20 75 73 65 20 6f 6e 20 74 68
//!   69 73 20 63 6f 6e 6e 65 63 74 69 6f
//!   6e
//! client sends CLOSE
//!   08 00 00 00 07 00 00 00             | frame_len 8, kind 0x07
//! ```
