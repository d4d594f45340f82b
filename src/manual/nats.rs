//! NATS clients: what they can rely on here, and what differs from nats-server.
//!
//! The broker listens on `[nats] bind_addr`, 127.0.0.1:4222 by default, for clients of the NATS client
//! protocol. These clients connect unmodified: `.ci/run` runs async-nats, nats-py and nats.js against
//! the broker, and `tests/nats/differential.py` plays the same sessions to the broker and to nats-server
//! 2.15.1 and compares the answers. Topics, patterns, queues, groups and users are the same for both
//! protocols, so a message published over either protocol reaches subscribers of both.
//!
//! # What a message is in the other protocol
//!
//! | NATS | BLIP/1 |
//! |---|---|
//! | subject | topic |
//! | payload | payload of one record; a PUB is a frame with one record |
//! | reply subject | the first header `reply-to` |
//! | `Name: value` lines of a header block | headers, in order |
//! | a header block of any other shape: a status line, no space after the colon, a name with blanks | headers named `nats-headers`, which hold the block byte for byte |
//! | queue group | group: members of both protocols on one pattern share its messages |
//!
//! A NATS subscriber gets the header block that a NATS publisher wrote, byte for byte. In names and
//! values of BLIP/1 headers the broker replaces characters that would break a line, see
//! [`nats::message`](crate::nats::message). A client without `headers` in its CONNECT gets messages
//! without headers.
//!
//! The time to live of messages from NATS clients is `delivery.default_ttl_ms`.
//!
//! # Order, and what PONG means
//!
//! - The order of one publisher is kept over all subjects with the same first token: messages published
//!   to `orders.eu` and `orders.us` reach a subscription to `orders.*` in the order of publishing.
//!   Subjects with different first tokens may have different owners, and on several cores there is no
//!   order between them. With `server.cores` one core, or `delivery.fanout_shards = 1`, one order covers
//!   all subjects.
//! - Messages of different subscriptions of one connection may come in another order than with
//!   nats-server: each subscription has a queue of its own.
//! - Commands of one connection take effect in their order: a SUB does not get messages that the same
//!   connection published before it, and an UNSUB does not take away messages published before it.
//! - PONG says that everything the connection sent before its PING has taken effect on all cores:
//!   subscriptions are active, messages are with their subscribers, and the connection's own messages
//!   come before the PONG.
//!
//! # Ephemeral subjects
//!
//! A topic has a sequence and a log, which cost memory until the topic was idle for
//! `queues.topic_idle_timeout_ms` with nobody subscribed to it. Ephemeral are subjects that begin with
//! `_INBOX.` or `$SYS.`; subjects that a request named for its answer within the last minute and that are
//! no topics yet, whatever their prefix; and subjects that are not legal topics (longer than 1,024 bytes,
//! with wildcard tokens, white space or control characters). Subscribers get their messages, and nothing
//! is retained. BLIP/1 clients do not get messages of subjects that are not legal topics: the broker
//! counts these as `refused`. Beyond `limits.max_topics` every new subject is ephemeral. Only BLIP/1
//! clients can ask for retained messages.
//!
//! # Slow consumers
//!
//! A subscription may have `nats.subscriber_capacity` messages and `queues.subscriber_bytes` bytes
//! queued. Beyond that `queues.overflow_policy` decides:
//!
//! | policy | what happens to a NATS subscription |
//! |---|---|
//! | `drop_oldest`, `drop_new`, `latest` | messages are dropped, and a report on `$SYS.GAP` names them |
//! | `block` | publishers of its subjects wait, NATS clients too; of ephemeral subjects, and for clients without the right to `block`, the oldest messages are dropped |
//! | `disconnect` | `-ERR 'Slow Consumer'`, and the connection is closed, as with nats-server |
//!
//! A queue group under `block` or `disconnect` loses the oldest messages, because no single member is at
//! fault.
//!
//! The broker publishes what a subscription missed on `$SYS.GAP.<client id>`. A client knows its id from
//! INFO; a monitor subscribes to `$SYS.GAP.>`:
//!
//! ```json
//! {"client_id":7,"sid":"1","subject":"orders.eu","first":1201,"messages":300,"reason":"overflow"}
//! ```
//!
//! `first` is the sequence in the topic of the first missed message. Ephemeral subjects are reported
//! together, with the subscription's own subject and 0 for `first`. `reason` is `overflow`, `expired` or
//! `conflated`. The report is sent when the connection takes messages again, before the messages behind
//! the gap. Other connections get only reports about subjects that their user may subscribe to. The report
//! is not an `-ERR`, because nats.go and nats-py close for good on an error that they do not know. If a
//! subscription to `$SYS.GAP` is itself too slow, what it missed is not reported, nor is what
//! subscriptions miss while the broker stops: the metrics count both.
//!
//! Above `limits.memory_max` messages of NATS clients are dropped and counted
//! (`blipmq_dropped_messages_total`, reason `refused_for_memory`): the protocol has no answer that a
//! client would survive.
//!
//! A member of a queue group that sends UNSUB still gets what it was dealt, as with nats-server, so that
//! the member can drain; if its connection ends before that, those messages are lost. If the connection
//! of a member ends without UNSUB, the other members get what was not sent to that member.
//!
//! # Errors
//!
//! The texts are those of nats-server; [`nats::error`](crate::nats::error) has all of them. What is
//! queued for a connection is sent before the error that closes it. Malformed arguments close the
//! connection without an error, as with nats-server.
//!
//! # What differs from nats-server, and why
//!
//! | here | why |
//! |---|---|
//! | subjects are UTF-8; all others are refused with `Invalid Subject` or `Invalid Publish Subject` | topics of BLIP/1 are text |
//! | clients may subscribe to `$SYS.` by name, and as with nats-server `>` does not include it; publishes are refused, requests get "no responders" | these subjects are the broker's own |
//! | subjects have at most `limits.max_pattern_tokens` tokens: a PUB beyond is `Invalid Publish Subject`, a SUB gets the words of nats-server with `max_subscription_tokens` | matching takes time and memory for each token |
//! | headers of a message have at most 65,535 bytes, with 3 bytes counted for each header | a record of BLIP/1 has a 16-bit length for headers |
//! | a subscription to `a.*` in group `q` and one to `a.b` in group `q` share messages as with nats-server, unless BLIP/1 clients are members: then each pattern is a group of its own | a group of BLIP/1 is a name on one pattern, see [`protocol`](super::protocol) |
//! | members of a group get messages in turn; nats-server chooses at random | fairness that can be tested |
//! | `-ERR` for a wrong login comes after 100 ms, then later each time | who guesses is slowed down, see [`identity`](super::identity) |
//! | the first PING comes after `nats.ping_interval_ms`, not after two seconds | the broker measures nothing with it |
//! | whatever a client sends starts the count of its unanswered PINGs over, in nats-server only PONG does | a client that sends something is there |
//! | `version` in INFO is 2.10.0-blipmq | clients and programs take this version for that of nats-server; `server_name` names the broker, as blipmq/0.1.0 |
//! | `go` in INFO is `rust` | the field is the compiler of the server; the Python package `nats-core` cannot connect without the field |
//! | one INFO, and another when the broker stops (`ldm`) | there are no accounts and no cluster to announce |
//! | HMSG from a client is `Unknown Protocol Operation` | only servers send HMSG |
//!
//! `no_auth_user`, `allow_responses` and permissions for a subject in a queue group are as in nats-server, see
//! [`identity`](super::identity); a reload that changes permissions ends the subscriptions that these do not
//! allow any more, and keeps the connection.
//!
//! Not supported: message tracing, JetStream, accounts and JWT, clustering, leaf nodes and the monitoring
//! port. Requests to `$JS.API.` get "no responders", so that clients fail at once and say why.
