//! The wire protocol BLIP/1: all that an independent client needs.
//!
//! BLIP/1 runs over TCP, or over TLS on TCP, on the same port: a client begins with HELLO, or with the hello
//! of TLS, and may offer the ALPN protocol `blip/1`. It is binary and little-endian, and the broker pushes messages to subscribers. *The bytes that a publisher sends are
//! the bytes that a subscriber receives*: the broker stamps a few header fields in place and forwards
//! the frame. It never encodes a message again for a BLIP/1 subscriber.
//!
//! This chapter is the contract. `tests/vectors/*.txt` have rows for most of it: bytes to send, and what
//! a broker must answer. A session in hex is in [`protocol_session`](super::protocol_session), which
//! `blipmq help protocol` prints behind this chapter.
//!
//! # Frames
//!
//! Everything on the wire is a frame, in both directions. Every frame starts with the same 8 bytes:
//!
//! | offset | type | field | meaning |
//! |--:|---|---|---|
//! | 0 | u32 | `frame_len` | bytes of the whole frame, these 8 included |
//! | 4 | u8 | `kind` | see below |
//! | 5 | u8 | `flags` | depend on the kind; bits that this chapter does not name are 0 |
//! | 6 | u16 | `count` | messages in a MESSAGES frame, 0 in every other kind |
//!
//! A frame is malformed if it is shorter than 8 bytes, has an unknown kind or unknown flag bits, has a
//! count without being MESSAGES, or has a body that does not end exactly at `frame_len`. So is a frame
//! of a kind that only servers send, if a client sends it. The broker answers a malformed frame with a
//! fatal ERROR 4000, and a frame longer than the `frame_len_max` of WELCOME with a fatal ERROR 4130, as
//! soon as it has seen the length. Where TCP splits the bytes never matters. After a fatal ERROR the
//! server closes this connection, and no other one.
//!
//! `string16` is a u16 length, then that many bytes of UTF-8. Text that is not UTF-8 is malformed.
//!
//! # Kinds and their bodies
//!
//! A body begins at offset 8. Its fields follow each other without padding.
//!
//! ```text
//! 0x01 HELLO            client, the first frame
//!      u32              magic: the bytes "BLIP"
//!      u16              version: 1
//!      u16              auth kind: 0 none, 1 token, 2 user and password
//!      string16         client name, for logs and pages; may be empty
//!      string16         token or user; empty with auth kind 0
//!      string16         password; empty unless auth kind is 2
//! 0x02 OPEN             client: asks for the id of a topic
//!      u32              request: 1 to 2147483647, chosen by the client
//!      string16         topic, without wildcards
//! 0x03 SUBSCRIBE        client: asks for the messages of a pattern
//!      u32              subscription: chosen by the client, not 0
//!      u8               overflow: 0 to 5
//!      u8               start: 0 to 2
//!      u16              reserved: 0
//!      u32              capacity in messages; 0 is the server's
//!      u64              start argument
//!      string16         pattern
//!      string16         group, at most 1,024 bytes; empty for none
//! 0x04 UNSUBSCRIBE      client
//!      u32              subscription
//! 0x05 PING             client or server
//!      u64              opaque
//! 0x06 PONG             client or server: the answer to PING
//!      u64              opaque, as in the PING
//! 0x07 CLOSE            client: send what is queued, then close; no body
//! 0x10 MESSAGES         client and server: see "MESSAGES"
//! 0x81 WELCOME          server: the answer to HELLO
//!      u16              version: 1
//!      u16              core that serves this connection
//!      u16              cores of the broker
//!      u16              shards of the broker
//!      u32              message_len_max: longest payload
//!      u32              frame_len_max: longest frame
//!      u64              server id: new at every start of the broker
//!      string16         name and version of the server
//! 0x82 TOPIC            server: names a topic id
//!      u32              request of the OPEN; 0 if it is unsolicited
//!      u32              topic id: 1 to 2147483647
//!      u64              sequence that the topic's next message will get
//!      u16              core that orders the topic
//!      string16         topic
//! 0x83 SUBSCRIBED       server: the subscription is active
//!      u32              subscription
//! 0x84 UNSUBSCRIBED     server: no message of the subscription follows
//!      u32              subscription
//! 0x85 ACK              server: a frame that asked for it was accepted
//!      u32              topic id
//!      u64              publish id, as the publisher wrote it
//!      u64              sequence of the frame's first message
//!      u32              messages accepted
//! 0x86 GAP              server: messages that this subscriber missed
//!      u32              topic id
//!      u32              subscription; 0 as in MESSAGES
//!      u64              first missed sequence
//!      u64              messages missed
//!      u8               reason: 1 to 4, see "Sequences and GAPs"
//! 0x8e ERROR            server: flag bit 0 is "fatal, the connection closes"
//!      u32              request or subscription concerned; else 0
//!      u16              code: see "Error codes"
//!      string16         text: what happened, the numbers, what to do
//! 0x8f GOODBYE          server: it is stopping; reconnect later or elsewhere
//!      string16         reason
//! ```
//!
//! A PONG without a PING is ignored. A client answers each PING with PONG: see "The end of a connection".
//!
//! # HELLO and WELCOME
//!
//! The client sends HELLO first. The server answers with WELCOME or a fatal ERROR. The client may send
//! further frames behind HELLO without waiting.
//!
//! - Anything else before HELLO is a fatal 4001, whatever is wrong with it, because it is mostly another
//!   protocol on the wrong port: another kind of frame, an impossible length, no magic. The broker
//!   judges the first bytes as they arrive. The first frame has at most 16,384 bytes.
//! - A HELLO with the right magic and a malformed body is 4000; one with another version is 4001. A
//!   second HELLO is 4000.
//! - No HELLO within `server.auth_timeout_ms` is 4010.
//! - A broker without `[auth]` refuses auth kinds 1 and 2 with a fatal 4010, because it could not check
//!   the credentials and a client must not believe that it did. A broker with `[auth]` refuses kind 0.
//! - The broker compares auth kind 1 with `[auth] token`, and kind 2 with user and password of
//!   `[[auth.users]]`. Wrong credentials are a fatal 4010. The text does not say whether the user or the
//!   password was wrong. Users with an nkey connect over NATS only, since HELLO has nothing to sign.
//!
//! # Topics and patterns
//!
//! A topic has 1 to 1,024 bytes of UTF-8: tokens separated by `.`, none of them empty, without white
//! space and control characters (as Unicode defines both). In a pattern the token `*` stands for exactly
//! one token, and `>` as the last token for one or more. `*` and `>` are wild only as whole tokens: `a*`
//! is literal. Clients may subscribe to topics that begin with `$SYS.`, but never publish to them
//! (4030). A pattern whose first token is a wildcard does not match these topics.
//!
//! # MESSAGES
//!
//! One frame carries 1 to 65,535 messages of one topic. "Same" means as the publisher wrote it.
//!
//! | offset | type | field | a publisher writes | a subscriber reads |
//! |--:|---|---|---|---|
//! | 0 | u32 | `frame_len` | bytes of the frame | same |
//! | 4 | u8 | `kind` | 0x10 | same |
//! | 5 | u8 | `flags` | bit 0: wants an ACK; bit 1: `crc` is set; bit 2: some records carry headers | same |
//! | 6 | u16 | `count` | messages in the frame, at least 1 | same |
//! | 8 | u32 | `topic` | the topic id, or `0x80000000` plus the request of an OPEN | *stamped*: the topic id |
//! | 12 | u32 | `subscription` | 0 | *stamped*: 0 for every plain live subscription of the connection that matches; else the one subscription meant (groups, replay) |
//! | 16 | u64 | `sequence` | publish id: any number, returned in the ACK | *stamped*: sequence of the first message; the others follow by one |
//! | 24 | u64 | `timestamp` | 0 | *stamped*: nanoseconds since the Unix epoch when the broker accepted the frame |
//! | 32 | u32 | `ttl_ms` | time to live, 0 for the server's default | same, or the default (*stamped*); 0 is for ever |
//! | 36 | u32 | `crc` | with flag bit 1: CRC-32C of all bytes from offset 40 | same |
//! | 40 | | records | `count` records, back to back | same |
//!
//! A record is a u32 `len`, then `len` bytes of payload. An empty payload is a valid message. If the top
//! bit of `len` is set, which needs flag bit 2, its low 31 bits count all of the following:
//!
//! ```text
//! u16              length of the header block
//! header block     headers, back to back: u8 length of the name, name,
//!                  u16 length of the value, value
//! payload          the rest of the record
//! ```
//!
//! Names and values are any bytes. The header `reply-to` carries the topic to answer on. Between BLIP/1
//! clients the broker interprets no name; [`nats`](super::nats) says what NATS clients get.
//!
//! The broker checks every frame: the records end exactly at `frame_len`, header blocks are whole (else
//! 4000), and no payload is longer than `message_len_max` (else 4130). The broker neither checks nor
//! computes `crc`, which is the publisher's word to the subscriber, end to end. It ignores and
//! overwrites what a publisher writes into `subscription` and `timestamp`.
//!
//! # Publishing
//!
//! - OPEN a topic, take the id from TOPIC, write the id into MESSAGES. A topic id is never reused while
//!   the server runs.
//! - A publisher need not wait for TOPIC. Until then, and later too, `0x80000000` plus the request of
//!   its OPEN is a *provisional id*, which the broker replaces. So a new topic, or an answer to a
//!   `reply-to`, costs no extra round trip.
//! - If an OPEN is refused, the frames under its provisional id are refused with it, by that one ERROR.
//!   The metrics count them. A provisional id without an OPEN is 4040.
//! - A request number may be used again after its TOPIC or ERROR. While its OPEN is pending, a second
//!   OPEN is 4090 and the first one goes on. The broker remembers 1,000,000 numbers of a connection; a
//!   further number is 4291, like an OPEN beyond `limits.max_topics`, or beyond
//!   `limits.max_topics_per_connection` topics that the connection opened and did not publish to.
//! - A topic that nobody subscribes to is removed when it was idle for `queues.topic_idle_timeout_ms`. A
//!   frame under its id is refused with a non-fatal 4040, request 0, and ACKs of such frames say that 0
//!   messages were accepted. An OPEN makes another topic of the name, with another id and sequences
//!   from 1.
//! - The OPEN of a name for answers (one that begins with `_INBOX.`, or that a request named in `reply-to`
//!   within the last minute) makes no topic. TOPIC has an id for this connection alone, and sequences begin
//!   again with each batch. The broker remembers the last 4,096 such ids of a connection.
//! - A topic or pattern with more tokens than `limits.max_pattern_tokens` is 4220.
//! - A connection may use a topic id that any TOPIC named to it, also an unsolicited one. Any other id
//!   is 4040, even if the topic exists.
//! - Each frame with flag bit 0 gets one ACK when the topic's owner has assigned its sequences. ACKs of
//!   one topic come in the order of its frames; between topics the order is open. Subscribers see the
//!   flag too. A frame that is refused (4030, 4040, 4291, a refused OPEN) gets no ACK, unless its
//!   topic was removed.
//! - While `limits.memory_max` is used up, a frame is refused with a non-fatal 4291, request 0. That
//!   frame was not published and has no sequence; the client may send it again.
//! - For low latency send one message per frame. A client library puts into one frame, or one write,
//!   what its caller published while the previous write was under way.
//! - A publisher that subscribes to its own topic receives its own messages.
//!
//! # Subscribing
//!
//! A subscription number must not be in use on the connection (4090). More subscriptions than
//! `limits.max_subscriptions_per_connection`, or `limits.max_subscriptions` of all connections, are 4291.
//! `overflow` says what happens when the
//! subscription's queue is full:
//!
//! | overflow | when the queue is full |
//! |---|---|
//! | 0 | `queues.overflow_policy` of the server; `drop_oldest` if that is `block` and the client may not block |
//! | 1 `drop_oldest` | the oldest queued messages are dropped, and a GAP reports them |
//! | 2 `drop_new` | new messages are not queued until there is room, and a GAP reports them |
//! | 3 `block` | publishers of the topic are not read until there is room; nothing is lost. The client needs the right to `block`, see [permissions](#permissions) |
//! | 4 `disconnect` | fatal ERROR 4290, slow subscriber |
//! | 5 `latest` | only the newest message of each topic stays queued (conflation) |
//!
//! | start | the first message delivered | start argument |
//! |---|---|---|
//! | 0 live | the next message accepted | ignored |
//! | 1 last | retained messages, then live ones | how many retained messages, at most |
//! | 2 sequence | from that sequence if it is retained; else GAP (reason 3), then the oldest retained | the sequence |
//!
//! `capacity` 0 is the server's `queues.subscriber_capacity`. A client may ask for less, never for more:
//! a larger number is cut. Other values of `overflow` and `start` are a non-fatal 4220.
//!
//! *Every message that the broker accepts after it sent SUBSCRIBED is delivered or reported in a GAP.*
//!
//! # Sequences and GAPs
//!
//! | reason of a GAP | the messages were not delivered because |
//! |---|---|
//! | 1 overflow | the subscription's queue was full |
//! | 2 expired | their time to live was over |
//! | 3 no longer retained | the topic's log no longer has them |
//! | 4 conflated | a newer message of the topic took their place |
//!
//! - The sequence of a topic starts at 1 and rises by one per message, in one order that all subscribers
//!   see. If a subscriber's messages skip sequences, a GAP has reported them first: silent loss is a
//!   defect. Sequences live as long as the server process; a new server id means a restart.
//! - A connection receives a message once with `subscription` 0, however many of its plain subscriptions
//!   match. The options of the earliest of them decide how the message is queued.
//! - An unsolicited TOPIC, with request 0, precedes the first message or GAP of a topic that the
//!   connection did not OPEN.
//! - The frame is the unit of delivery: a frame is delivered whole or dropped whole, because its `crc`
//!   covers all records. A publisher that wants messages dropped one by one sends one message per frame.
//! - Two things cut a frame: `latest` keeps the last message only, and a start may lie inside a frame. A
//!   cut frame has no CRC flag, because nobody computed that checksum. Other frames keep theirs.
//! - An empty queue takes one frame of any size. Otherwise a frame with more messages than `capacity`
//!   could never be delivered.
//! - Time to live counts from the moment the broker received the frame. An expired message has its
//!   sequence: a GAP with reason 2 reports it if a subscription wanted it.
//! - One GAP may cover messages of several frames; the broker may merge consecutive gaps of one topic
//!   and one reason. The `subscription` of a GAP is that of the messages that the GAP stands for.
//! - A subscriber that is behind by more than 16,384 separate gaps is disconnected with 4290, because
//!   the broker can no longer report in full what was lost.
//!
//! # The overflow policies in detail
//!
//! - `capacity` bounds live messages. Replayed messages are counted apart, bounded by
//!   `queues.subscriber_bytes`; where not all of them fit, a GAP with reason 1 reports the oldest.
//! - `block`: publishers of a topic wait from three quarters of the queue on until it is half empty.
//!   Messages on their way between cores are queued beyond the bound, never dropped. Only MESSAGES to
//!   that topic hold a connection up, and then everything that the connection sends behind them: use
//!   another connection for what must not wait. The broker goes on sending *to* such a connection.
//! - A subscriber with `block` that takes nothing for `queues.block_timeout_ms` is disconnected with
//!   4290, so that two connections that wait for each other do not wait for ever. So is one that takes
//!   less than `queues.block_min_rate` bytes a second while publishers wait for it, as soon as they have
//!   waited for `queues.block_timeout_ms` in all. A subscriber to which nothing can be sent any more
//!   blocks nobody.
//! - `disconnect`: ERROR 4290 names the subscription. The ERROR goes out behind the send that is under
//!   way; a client that reads neither within two seconds may see only the end of the connection.
//! - `latest`: `capacity` counts topics. A GAP with reason 4, right before the newer message, reports a
//!   conflated one. A GAP with reason 1 reports a topic that was dropped to make room for other topics.
//!
//! # Starts in detail
//!
//! - Retained messages come after SUBSCRIBED and before any live message of the subscription, in frames
//!   whose `subscription` is the number of the SUBSCRIBE. Live frames have `subscription` 0 again.
//! - Another subscription of the connection that matches as well goes on as before. A message may come
//!   twice: replayed for one, live for the other.
//! - Start 1: fewer retained messages than asked for are no loss, and no GAP. An argument of 0 is live.
//! - Start 2: an argument of 0 means 1. If the sequence is no longer retained, a GAP with reason 3
//!   covers everything up to the oldest retained message. A sequence beyond the next message is live.
//!   For a pattern the number applies to every topic.
//! - A topic retains at least `queues.topic_capacity` messages if `queues.topic_bytes` has room. Batches
//!   are evicted whole, so there may be a few more. A GAP with reason 2 reports retained messages that
//!   have expired.
//!
//! # Groups
//!
//! - Members of one group on one pattern share its messages: each message goes to exactly one member, to
//!   one that has room if any has. One name under two patterns is two groups (NATS clients differ, see
//!   [`nats`](super::nats)).
//! - Members get whole frames in turn. A member whose `capacity` is used up is passed over until some of
//!   its messages are sent. Frames and GAPs carry the member's `subscription`. Which member gets a GAP
//!   is open.
//! - The first member's overflow policy applies to the queue of the group, which has the server's
//!   `queues.subscriber_capacity`. `block`, `disconnect` and starts other than live are refused with a
//!   non-fatal 4220.
//! - A member that unsubscribes, or whose connection ends, hands on what was not sent to it. What was
//!   sent to a connection that ended may or may not have arrived and is not sent again: at most once.
//!   After CLOSE a member still gets what it was dealt. A member that hangs gets messages until the
//!   broker closes its connection.
//! - When the last member leaves, the rest of the group's queue is dropped and counted.
//! - Each member gets the messages of a topic in order, except for messages that another member handed
//!   on.
//!
//! # Permissions
//!
//! Only a user of `[[auth.users]]` can lack a permission, except that to `block`. A 4030 never ends the
//! connection.
//!
//! - An OPEN of a topic that the user may not publish to is 4030, and the frames of that OPEN are
//!   dropped. A frame to such a topic under an id of an unsolicited TOPIC is 4030 with request 0; it is
//!   not published and gets no ACK.
//! - A SUBSCRIBE is 4030 if no single allowed pattern covers its pattern, or if all of it is denied. Two
//!   allowed patterns do not add up to a wider one. The subscription number stays free.
//! - A SUBSCRIBE with overflow 3 (`block`) is 4030 if the client may not hold up the publishers of all
//!   topics that its pattern matches. A user may within a single pattern of its list `block`; clients with
//!   the token may; without `[auth]` clients may if all listeners for clients are bound to loopback.
//! - If only a part of a pattern is denied, the subscription is active without that part: no message,
//!   TOPIC or GAP of it is sent. That holds for plain live subscriptions. With a group, or with start 1
//!   or 2, such a pattern is 4030.
//! - A reload can take a permission from a user that is connected. An ERROR 4030 about an active subscription
//!   ends it: what is queued follows, then UNSUBSCRIBED. If the user may publish otherwise than before, ids of
//!   topics that were opened are 4040 until the topic is opened again.
//! - A bad topic or pattern (4220) is reported before a missing permission. OPEN of a topic under
//!   `$SYS.` is 4030 for every user.
//!
//! # Order on a connection
//!
//! - The broker sends answers (WELCOME, TOPIC, SUBSCRIBED, ACK, PONG, ERROR) before queued messages. So
//!   PONG says that the broker has taken in what came before the PING, not that it has sent everything
//!   queued. TOPIC, SUBSCRIBED and UNSUBSCRIBED come from the cores that own topics and may overtake
//!   each other.
//! - What is queued for a subscription is sent before its UNSUBSCRIBED. Until then its number is in use:
//!   a SUBSCRIBE with that number is 4090, a second UNSUBSCRIBE 4040.
//! - Several subscriptions of a connection take turns. The order within a topic is kept.
//! - A NATS subject that is not retained, such as an inbox, has a new topic id for each batch, named by
//!   a TOPIC before it, and its sequence begins at 1 each time. One GAP names the first such topic and
//!   counts all.
//!
//! # The end of a connection
//!
//! - CLOSE: subscriptions get nothing that is published after it, what is queued is sent, then the
//!   server closes. There is no UNSUBSCRIBED, and what a client sends after CLOSE is ignored.
//! - A client that ends its side of the TCP connection (half-close) ends the connection: what the client
//!   sent before is taken in; what is queued for it is lost and counted. Use CLOSE to get the rest.
//! - A client that sends nothing for `server.ping_interval_ms` gets a PING, and another one each time
//!   after that. When `server.pings_max` PINGs are not answered and nothing else came either, the connection
//!   ends with ERROR 4080. Whatever a client sends starts this over, so one that cannot read for a while may
//!   send PONGs unasked. The broker sends no PING before HELLO, after CLOSE, at a stop, or while it does not
//!   read the connection, and does not close one that takes what was stuck in its full socket.
//! - After a fatal ERROR the server shuts its write side and reads until the client closes, for two
//!   seconds at most, so that no TCP reset overtakes the ERROR. The server ignores what it reads.
//! - At a stop clients get GOODBYE, then everything that was accepted, then the end. The server no
//!   longer reads what they send. New connections get ERROR 5030.
//!
//! # Error codes
//!
//! | code | meaning | fatal |
//! |--:|---|---|
//! | 4000 | malformed frame | yes |
//! | 4001 | not a BLIP/1 client, or an unsupported version | yes |
//! | 4010 | authentication failed, timed out, or was revoked by a reload | yes |
//! | 4030 | not allowed to publish or subscribe here | no |
//! | 4040 | unknown topic id, request or subscription | no |
//! | 4080 | PINGs were not answered, and nothing else came | yes |
//! | 4090 | subscription or request number already in use | no |
//! | 4130 | message or frame too large | yes |
//! | 4220 | bad topic, pattern or option | no |
//! | 4260 | TLS is required: the client spoke plain text | yes |
//! | 4290 | slow subscriber | yes |
//! | 4291 | a limit is reached: connections, also of one address or user, or logins (fatal), or topics, subscriptions, memory | both |
//! | 5030 | the server is stopping | yes |
