//! How a message gets through the broker, room by room, and what holds it back.
//!
//! # Two halves, one direction
//!
//! `server -> broker -> protocol -> limits`, and `server -> executors -> glommio`. The crate `executors`
//! has cores, sockets and channels and knows no topics. The library half of `blipmq` knows topics and
//! does no I/O: bytes, mesh messages and the time come in as arguments, and bytes, mesh messages and
//! actions go out. The two halves meet in the binary, in `src/server/relay.rs`, which decides nothing. A
//! simulator, a fuzzer or a benchmark can therefore drive the whole [`broker`](crate::broker) without a
//! socket, and all of them run the same turn as the binary.
//!
//! Two more crates stand beside these: `blipmq-protocol` in `src/protocol/` is the codec of BLIP/1, and
//! `blipmq-client` in `src/client/` depends on that codec alone.
//!
//! # The rooms of the broker
//!
//! Each folder of `src/broker/` owns its state. Rooms exchange requests and *effects*, and no `use` line
//! runs in a circle.
//!
//! | room | holds | does not know |
//! |---|---|---|
//! | `turn` | the order of one turn, and the only place that carries out effects | sockets |
//! | `port` | what the outside does for a turn: send, pause, resume, close, mesh | topics |
//! | `connections/` | slots, phases, timers, the ready list, bounds per connection | protocols |
//! | `frontends/` | one folder per protocol: bytes to requests; deliveries, gaps and refusals to bytes | each other |
//! | `topics/` | shards, topics, logs, interest, memory | connections and protocols |
//! | `delivery/` | subscriptions, queues, overflow, gaps, fan-out, groups, replay | protocols |
//! | `mesh/` | what travels between cores | what it carries |
//!
//! # The path of one message
//!
//! A publisher is connected to core A. Core B owns the topic. A subscriber is connected to core C. Any
//! of the three may be the same core.
//!
//! | core | what happens | where |
//! |---|---|---|
//! | A | the kernel receives bytes into a buffer from the core's ring of buffers | `executors`: ring, buffers |
//! | A | the driver hands the bytes to its service | `executors`: driver; `src/server/relay.rs` |
//! | A | the turn passes the bytes to the connection's frontend | `turn`, `connections/` |
//! | A | the frontend finds whole frames; the start of an incomplete frame stays with the connection | `frontends/`, [`protocol::decode`](crate::protocol::decode) |
//! | A | lengths, records and header blocks are checked | [`protocol::messages`](crate::protocol::messages) |
//! | A | the topic id is looked up on the connection | `frontends/` |
//! | A | the frame is copied, once, behind the other frames that this turn brought for its topic | `topics/` |
//! | A | the batch goes to the owner of the topic: a call, or an entry of this turn's mesh message | `mesh/` |
//! | B | sequences, time, topic id and time to live are stamped into the frames, in place | `topics/` |
//! | B | one reference goes into the topic's log, and one to each other core with interest in the topic | `topics/`, `mesh/` |
//! | C | one reference goes into the queue of each matching subscription | `delivery/` |
//! | C | or, at the bound of that queue, a gap | `delivery/` |
//! | C | what is queued for a connection becomes one vectored send | `delivery/`, `frontends/` |
//! | C | one system call hands the sends of all connections to the kernel | `executors`: driver, ring |
//!
//! After the copy into its batch a message is never copied again in user space: stamping writes into the
//! batch, and queues, mesh messages and sends refer to the batch.
//!
//! NATS clients come in through a listener of their own. Their frontend reads commands with the codec
//! [`nats`](crate::nats) and writes each message as a frame into the batch of its subject. From there on
//! the path is the same, until the frontend writes a slice for a NATS client as text: once for all
//! clients that use the same number for their subscription.
//!
//! # The turn
//!
//! A core runs turns while there is work and sleeps when there is none. No timer delays anything: under
//! load a turn finds more work, and so carries more per system call.
//!
//! 1. One `io_uring_enter` submits what the last turn asked for and collects what has completed.
//! 2. Completions reach the broker: completed sends first, since they make room, then received bytes, as
//!    long as the broker wants input.
//! 3. Mesh messages of other cores are read, deliveries before requests.
//! 4. Paused connections continue if the reason for the pause is over, frames left from the last turn
//!    are parsed, deliveries and requests are served, and the batches of this turn are handed out.
//! 5. Everything for one other core is sent as one mesh message per lane, or stays here if the channel
//!    is full.
//! 6. Each connection with something queued and no send under way is gathered, up to
//!    `delivery.max_batch` messages, and its send is queued on the ring.
//! 7. Pauses, resumptions and closings are carried out.
//!
//! Before a core sleeps it enables what wakes it (the eventfd of the ring, and a flag that other cores
//! read) and then runs one more turn. Work that arrived in between is found by that turn or wakes the
//! core.
//!
//! # What holds back what
//!
//! | when | then | in |
//! |---|---|---|
//! | a free socket has more to send than its last send took | the core takes in nothing new until that is sent | `turn` |
//! | this turn took in a quarter of `queues.subscriber_capacity`, or [`INGEST_BYTES_PER_TURN`](crate::limits::INGEST_BYTES_PER_TURN) | whole frames wait with their connections, received bytes in their buffers | `topics/` |
//! | all receive buffers of a core are in use | bytes stay in the kernel, and TCP slows the senders down | `executors` |
//! | the channel to another core is full | mesh messages stay here and grow | `mesh/` |
//! | waiting requests reach [`MESH_OUTGOING_BYTES_MAX`](crate::limits::MESH_OUTGOING_BYTES_MAX) | connections that publish to that core are not read | `mesh/`, `connections/` |
//! | waiting deliveries reach that bound | requests of other cores are not read, which fills their channels in turn | `mesh/` |
//! | the answers for a connection reach [`ANSWER_BYTES_MAX`](crate::limits::ANSWER_BYTES_MAX), or its requests to other cores [`PENDING_REQUESTS_MAX`](crate::limits::PENDING_REQUESTS_MAX) | that connection is not read | `connections/` |
//! | the queue of a subscription with `block` is three quarters full | publishers of its topics are not read, on every core | `delivery/` |
//! | `limits.memory_max` is nearly used up | the oldest retained messages are evicted; at the limit publishes are refused | `topics/` |
//! | the queue of a subscription is full | frames are dropped according to its policy, and a GAP reports which | `delivery/` |
//!
//! Deliveries are always read, whatever is full: they end in queues, which have bounds of their own. So
//! two cores never wait for each other.
//!
//! # Memory as a sum
//!
//! Per core:
//!
//! - receive buffers: 32 of 64 KiB, resident once used;
//! - the batches of one turn: [`INGEST_BYTES_PER_TURN`](crate::limits::INGEST_BYTES_PER_TURN) and at
//!   most one more frame;
//! - for each other core and lane, [`MESH_MESSAGES_MAX`](crate::limits::MESH_MESSAGES_MAX) mesh messages
//!   in the channel, and those that wait for room:
//!   [`MESH_OUTGOING_BYTES_MAX`](crate::limits::MESH_OUTGOING_BYTES_MAX) and at most one more turn.
//!
//! Per connection: its state; the start of an incomplete frame, at most as long as the longest frame;
//! its answers; the send under way, at most [`SEND_BYTES_MAX`](crate::limits::SEND_BYTES_MAX) or one
//! frame.
//!
//! Per subscription: at most `queues.subscriber_capacity` messages and `queues.subscriber_bytes`, or one
//! frame if that frame alone is larger. Bytes that several queues refer to exist once. The last queue
//! that refers to a part of a batch keeps the whole batch in memory, at most
//! [`INGEST_BATCH_BYTES_MAX`](crate::limits::INGEST_BATCH_BYTES_MAX) or one frame. A subscription also
//! has at most [`GAP_RUNS_MAX`](crate::limits::GAP_RUNS_MAX) gaps that are not reported yet.
//!
//! Per topic: its name, its next sequence, and its log: `queues.topic_capacity` messages or
//! `queues.topic_bytes`, whichever is reached first, and at most one batch more.
//!
//! Over all cores: `limits.memory_max` for all queued and retained messages together, each counted once,
//! and for the entries of queues that refer to them.
