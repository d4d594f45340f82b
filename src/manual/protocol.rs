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
//! - A broker without `[auth]` refuses auth kinds 1 and 2 with a fatal 4010: nobody would check
//!   them, and a client must not believe that somebody did. One with `[auth]` refuses kind 0.
//! - No HELLO within `server.auth_timeout_ms` is 4010. A second HELLO is 4000.
//!
//! # Credentials and permissions
//!
//! - Auth kind 1 is compared with `[auth] token`, kind 2 with user and password of `[[auth.users]]`.
//!   What is wrong is not told: an unknown user and a wrong password are the same fatal 4010. Users
//!   with an nkey connect over the NATS protocol alone, since HELLO has nothing to sign.
//! - A topic that the user may not publish to: 4030 to the OPEN, and its frames are dropped as those
//!   of any refused OPEN. A frame to the id of such a topic, told by an unsolicited TOPIC, is 4030
//!   with request 0, was not published and gets no ACK.
//! - A pattern that is not within one that is allowed, or all of which is denied: 4030 to the
//!   SUBSCRIBE, and the number stays free. Two allowed patterns do not add up to a wider one.
//! - A pattern of which a part is denied is in force without that part: no message, TOPIC or GAP of
//!   it is sent. That holds for plain subscriptions that start live. With a group, or with start 1 or
//!   2, such a pattern is refused with 4030.
//! - A bad topic or pattern is told (4220) before a permission that is missing.
//! - None of these but 4010 ends the connection.
//!
//! # OPEN and request numbers
//!
//! - A request number may be used again once its TOPIC or its ERROR came. While the first OPEN of a
//!   number is pending, a second is 4090, and the first goes on.
//! - Frames under the provisional id of a refused OPEN are dropped without a further ERROR; the
//!   metrics count them. A provisional id that no OPEN made is 4040.
//! - A topic id is known to a connection if a TOPIC told it, whether that answered an OPEN or came
//!   unsolicited. Any other is 4040, even if the topic exists.
//! - A topic under `$SYS.` is 4030, whatever the user may.
//!
//! # MESSAGES
//!
//! - `subscription` and `timestamp` of a publisher are ignored and written by the broker, whatever
//!   they were. `sequence` is the publish id and is overwritten too.
//! - Header blocks are checked: a name or value that does not fit its block is 4000. What the names
//!   mean is not looked at.
//! - `crc` is neither checked nor computed. It is the publisher's word to the subscriber.
//! - One ACK per frame that asks, when the topic's owner has given the sequences: in the order of the
//!   frames within a topic, in any order between topics. Subscribers see the flag as it was sent.
//! - A frame that is refused (4040, 4291, a refused OPEN) gets no ACK, only the ERROR.
//! - A frame is refused with a non-fatal 4291, request 0, while `limits.memory_max` is used up. It was
//!   not published and takes no sequence; the connection stays, and it may be sent again.
//!
//! # Queues, frames and GAPs
//!
//! - The frame is the unit of nearly everything that happens to messages after they were published:
//!   a frame is delivered whole or dropped whole, because its `crc` covers all its records. A
//!   publisher that wants messages dropped one by one sends them in frames of one.
//! - Two things cut a frame: `latest`, which keeps its last message only, and a start inside it. What
//!   is left has no CRC flag, since nobody has the checksum of it. Frames that are not cut keep it.
//! - A queue without messages takes one frame, however small the queue: a frame of more messages
//!   than `capacity` could be delivered to nobody otherwise.
//! - An expired message has had its sequence: it is told in a GAP with reason 2, if any subscription
//!   wanted it.
//! - Time to live is counted from the moment the frame was received.
//! - A GAP may cover messages of several frames; consecutive gaps of one topic and one reason may
//!   come as one GAP. Its `subscription` is that of the messages it stands for.
//! - A TOPIC precedes the first GAP of a topic as it does the first message.
//! - A subscriber that is behind by more than [`GAP_RUNS_MAX`](crate::limits::GAP_RUNS_MAX) separate
//!   gaps is disconnected with 4290: what it lost could not be told in full any more.
//!
//! # The five policies
//!
//! - `capacity` bounds live messages. What is replayed is beside it, bounded by
//!   `queues.subscriber_bytes`; where not all fits, the oldest are told in a GAP with reason 1.
//! - `block`: publishers of a topic wait from three quarters of the queue on until it is half empty.
//!   What was on its way between cores is queued beyond the bound, never dropped. Only MESSAGES to
//!   that topic hold a connection up, then all that it sends behind them: whoever must not wait
//!   publishes on a connection of its own. What is sent *to* such a connection goes on.
//! - A subscriber that blocks and takes nothing for `queues.block_timeout_ms` is disconnected with
//!   4290, so that two that wait for each other do not wait for ever.
//! - `disconnect`: the ERROR 4290 names the subscription. It is sent behind the send that is under
//!   way; a client that reads neither within two seconds may see only the end of the connection.
//! - `latest`: `capacity` counts topics then. A message that gave way is in a GAP with reason 4, right
//!   before the newer one; a topic that gave way to others, in one with reason 1.
//!
//! # Starts
//!
//! - What is kept comes in frames whose `subscription` is that of the SUBSCRIBE, after SUBSCRIBED and
//!   before any live message of the subscription. Live frames have `subscription` 0 again.
//! - Another subscription of the connection that matches as well goes on as before: a message may
//!   come once replayed, for one, and once live, for the other.
//! - Start 1: fewer are kept than asked for is no loss, and no GAP. An argument of 0 is live.
//! - Start 2: 0 is 1. A sequence that is no longer kept gives a GAP with reason 3 up to the oldest kept;
//!   one beyond the next message is live. A pattern applies the same number to every topic.
//! - At least `queues.topic_capacity` messages are kept if `queues.topic_bytes` has room: batches go
//!   whole, so there may be a few more. Kept messages whose time to live is over are told with reason 2.
//!
//! # Groups
//!
//! - A group is a pattern and a name: one name under two patterns is two groups. (Not so for NATS clients
//!   among themselves, see [`nats`](super::nats).)
//! - Members get frames in turn, whole; a member that holds its `capacity` is passed over until it was
//!   sent some. Frames and GAPs have its `subscription`. Which member is told of a GAP is open.
//! - The first member's overflow policy holds for the queue of the group, which has the server's
//!   `queues.subscriber_capacity`. Policies `block` and `disconnect` and starts other than live are
//!   refused with a non-fatal 4220.
//! - A member that unsubscribes, or whose connection ends, hands on what it was not sent. What was sent
//!   to a connection that ended may or may not have arrived, and is not sent again: at most once. After
//!   CLOSE it is sent what it was dealt.
//! - When the last member leaves, what the group had left is dropped and counted.
//! - Each member gets the messages of a topic in order, but for those that another one handed on.
//!
//! # Topics that pass
//!
//! - A subject of NATS clients that is not kept, such as an inbox, has a new id for each batch, and a TOPIC
//!   before it; its sequence begins at 1 each time. A GAP of such topics names the first and counts all.
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
