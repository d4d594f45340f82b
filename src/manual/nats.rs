//! NATS clients: what they can count on here, and what differs from nats-server.
//!
//! The broker listens on `[nats] bind_addr`, 127.0.0.1:4222 by default, for clients of the NATS
//! client protocol. They connect unmodified: `.ci/run` runs async-nats, nats-py and nats.js against it,
//! and `tests/nats/differential.py` plays the same sessions to it and to nats-server 2.15.1 and
//! compares what comes back. Topics, patterns, queues, groups and users are the same for both
//! protocols, so a message published by either reaches subscribers of both.
//!
//! # What a message is in the other protocol
//!
//! | NATS | BLIP/1 |
//! |---|---|
//! | subject | topic |
//! | payload | payload of one record; PUB is a frame with one record |
//! | reply subject | the first header `reply-to` |
//! | `Name: value` lines of a header block | headers, in order |
//! | a header block of any other shape: a status line, no space after the colon, a name with blanks | headers `nats-headers`, which hold the block byte for byte |
//! | queue group | group: members of both protocols on one pattern share its messages |
//!
//! A NATS subscriber gets the header block that a NATS publisher wrote, byte for byte. Names and
//! values of BLIP/1 headers that would break a line are written with what breaks it replaced, see
//! [`nats::message`](crate::nats::message). A client that did not say `headers` in CONNECT gets
//! messages without them.
//!
//! Messages of NATS clients have `delivery.default_ttl_ms` to live.
//!
//! # Order, and what PONG means
//!
//! - The order of one publisher is kept over all subjects that begin with the same token: what is
//!   published to `orders.eu` and `orders.us` reaches a subscription to `orders.*` in that order. Subjects
//!   that begin differently may have different owners, and on several cores no order between them;
//!   with `server.cores` one core, or `delivery.fanout_shards = 1`, there is one over all.
//! - Messages under different subscriptions of one connection may come in another order than with
//!   nats-server: each subscription has a queue of its own.
//! - Commands of one connection take effect in their order: a SUB does not get what the same
//!   connection published before it, an UNSUB does not take away what was published before it.
//! - PONG says that everything the connection sent before its PING has taken effect on all cores:
//!   subscriptions are in force, messages are with whoever subscribed to them, and its own messages
//!   stand before the PONG.
//!
//! # Subjects that are not kept
//!
//! A topic has a sequence and a log, which cost memory for as long as the broker runs. Subjects that
//! begin with `_INBOX.` or `$SYS.`, and those that are no topic (longer than 1,024 bytes, with wildcard
//! tokens, white space or control characters), pass without becoming one: subscribers get
//! their messages, nothing stays. Beyond `limits.max_topics` the same holds for every new subject. Kept
//! messages can be asked for with BLIP/1 only.
//!
//! # Slow consumers
//!
//! A subscription may have `nats.subscriber_capacity` messages and `queues.subscriber_bytes` bytes
//! queued. Beyond that `queues.overflow_policy` decides:
//!
//! | policy | what happens to a NATS subscription |
//! |---|---|
//! | `drop_oldest`, `drop_new`, `latest` | it loses messages, and is told which |
//! | `block` | publishers of its subjects wait, NATS clients too; subjects that are not kept lose the oldest |
//! | `disconnect` | `-ERR 'Slow Consumer'`, and the connection is closed: what nats-server does |
//!
//! A queue group under `block` or `disconnect` loses the oldest: no member is to blame.
//!
//! What a subscription missed is published on `$SYS.GAP.<client id>`; a client knows its id from
//! INFO, a monitor subscribes to `$SYS.GAP.>`:
//!
//! ```json
//! {"client_id":7,"sid":"1","subject":"orders.eu","first":1201,"messages":300,"reason":"overflow"}
//! ```
//!
//! `first` is the sequence in the topic of the first message missed. Of subjects that are not kept all are
//! told together, with the subscription's own subject and 0 for `first`. `reason` is `overflow`,
//! `expired` or `conflated`. It is told when the connection takes messages again, before those behind the
//! gap are sent, and it is not an `-ERR`, because nats.go and nats-py close for good on one they do
//! not know. A listener to `$SYS.GAP` that is too slow itself is not told of that.
//!
//! Over `limits.memory_max` messages of NATS clients are dropped and counted
//! (`blipmq_dropped_messages_total`, reason `refused_for_memory`): the protocol has no answer that a client would survive.
//!
//! A member of a queue group that says UNSUB is still sent what it was dealt, as with nats-server, so that
//! it can drain; if its connection ends before, that is lost. A member whose connection ends without
//! UNSUB leaves what it was not sent to the others.
//!
//! # Errors
//!
//! Texts are those of nats-server; each is in [`nats::error`](crate::nats::error). What is queued for
//! a connection is sent before the error that closes it. Malformed arguments close without a word, as
//! there.
//!
//! # What differs from nats-server, and why
//!
//! | here | why |
//! |---|---|
//! | subjects are UTF-8; others are `Invalid Subject` or `Invalid Publish Subject` | topics of BLIP/1 are text |
//! | `$SYS.` may be subscribed to; publishes are refused, requests get no responders | these subjects are the broker's own |
//! | headers of a message are at most 65,535 bytes, counted with 3 bytes for each | a record of BLIP/1 has a length of 16 bits for them |
//! | a listener on `a.*` in group `q` and one on `a.b` in group `q` share messages as there, unless BLIP/1 clients are members: those groups are each of their own | PROTOCOL.md: members of one group on one pattern |
//! | members of a group are dealt messages in turn; there it is chance | fairness that can be tested |
//! | the first PING comes after `nats.ping_interval_ms`, not after two seconds | nothing is measured with it |
//! | `version` in INFO is 2.10.0-blipmq | clients and programs take it for that of nats-server; `server_name` says who it is, as blipmq/0.1.0 |
//! | one INFO, and another when the broker stops (`ldm`) | there are no accounts and no cluster to tell of |
//! | HMSG from a client is `Unknown Protocol Operation` | it is one |
//!
//! `go`, the version of the compiler of nats-server, is not in INFO. The Python package `nats-core` (not
//! nats-py) reads it without asking whether it is there, and cannot connect.
//!
//! Not here: permissions of a subject in one queue group alone, `allow_responses`, message tracing, JetStream, accounts and JWT, clustering, leaf nodes, the monitoring port, and TLS so far.
//! Requests to `$JS.API.` get no responders, so that clients fail at once and say why.
