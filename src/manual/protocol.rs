//! What PROTOCOL.md leaves open, and how this broker decides it.
//!
//! A client author can rely on this chapter as on PROTOCOL.md. `tests/vectors/` has rows for most
//! of it.
//!
//! # Before HELLO
//!
//! - Whatever is wrong before HELLO is told as 4001, because it most often is another protocol on
//!   the wrong port: another kind of frame, an impossible length, no magic. The first bytes are
//!   judged as they come, so nobody has to send a whole frame to be refused.
//! - A HELLO with the right magic whose body is malformed is 4000; one of another version is 4001.
//! - A frame longer than [`HELLO_LEN_MAX`](crate::limits::HELLO_LEN_MAX) is refused before HELLO,
//!   whatever it announces.
//! - Auth kinds 1 and 2 are refused with a fatal 4010: credentials are not served yet, and a client
//!   that sent some must not believe that they were checked.
//! - No HELLO within `server.auth_timeout_ms` is 4010. A second HELLO is 4000.
//!
//! # OPEN and request numbers
//!
//! - A request number may be used again once its TOPIC or its ERROR came. While the first OPEN of a
//!   number is pending, a second is 4090, and the first goes on.
//! - Frames under the provisional id of a refused OPEN are dropped without a further ERROR; the
//!   metrics count them. A provisional id that no OPEN made is 4040.
//! - A topic id is known to a connection if a TOPIC told it, whether that answered an OPEN or came
//!   unsolicited. Any other is 4040, even if the topic exists.
//! - A topic under `$SYS.` is 4030.
//!
//! # MESSAGES
//!
//! - `subscription` and `timestamp` of a publisher are ignored and written by the broker, whatever
//!   they were. `sequence` is the publish id and is overwritten too.
//! - Header blocks are checked: a name or value that does not fit its block is 4000. What the names
//!   mean is not looked at.
//! - `crc` is neither checked nor computed. It is the publisher's word to the subscriber.
//! - A frame with the ACK flag is refused with a non-fatal 4220 and *not* published, since ACK is
//!   not served yet. A PING behind a frame tells when the frame was taken in.
//!
//! # Queues, frames and GAPs
//!
//! - The frame is the unit of everything that happens to messages after they were published: a
//!   frame is delivered whole or dropped whole, because its `crc` covers all its records. A
//!   publisher that wants messages dropped one by one sends them in frames of one.
//! - A queue without messages takes one frame, however small the queue: a frame of more messages
//!   than `capacity` could be delivered to nobody otherwise.
//! - An expired message has had its sequence: it is told in a GAP with reason 2, if any subscription
//!   wanted it.
//! - Time to live is counted from the moment the frame was received.
//! - A GAP may cover messages of several frames; consecutive gaps of one topic and one reason may
//!   come as one GAP. Its `subscription` is 0.
//! - A TOPIC precedes the first GAP of a topic as it does the first message.
//! - A subscriber that is behind by more than [`GAP_RUNS_MAX`](crate::limits::GAP_RUNS_MAX) separate
//!   gaps is disconnected with 4290: what it lost could not be told in full any more.
//!
//! # Order on a connection
//!
//! - Answers (WELCOME, TOPIC, SUBSCRIBED, PONG, ERROR) are sent before messages that are queued:
//!   a PONG says that what came before the PING was taken in, not that everything queued was sent.
//! - What is queued for a subscription is sent before its UNSUBSCRIBED. The subscription's number is
//!   in use until then: a SUBSCRIBE with it is 4090, a second UNSUBSCRIBE is 4040.
//! - Several subscriptions of a connection take turns; the order within a topic is kept.
//!
//! # The end of a connection
//!
//! - A peer that ends its side (half-close) ends the connection: what it sent before is taken in,
//!   what is queued for it is lost and counted. CLOSE is the way to get the rest.
//! - CLOSE: subscriptions get nothing that is published after it, what is queued is sent, then the
//!   connection is closed. No UNSUBSCRIBED is sent, and what a client sends after CLOSE is ignored.
//! - After a fatal ERROR, too, the write side is shut and the connection read until the peer closes,
//!   for two seconds at most, so that no reset overtakes the ERROR.
//! - At a stop clients get GOODBYE and everything that was accepted; what they send is not read any
//!   more. New connections are told 5030.
//!
//! # Not served yet
//!
//! Overflow 3 to 5, starts 1 and 2, groups and ACK are refused with a non-fatal 4220 that says what
//! to use instead.
