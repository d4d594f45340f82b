//! How a message gets through, file by file, and what holds it back.
//!
//! # Two crates, one direction
//!
//! `server -> broker -> protocol -> limits`, and `server -> executors -> glommio`. The crate
//! `executors` knows cores, sockets and channels and nothing of topics. This library knows topics
//! and does no I/O: bytes, letters and the time come in as arguments, bytes, letters and
//! [`Action`](crate::broker::Action)s go out. The two meet in the binary, in
//! `src/server/relay.rs`, which decides nothing. So the whole [`broker`](crate::broker) can be
//! driven by a simulator, a fuzzer or a benchmark without a socket.
//!
//! # The path of one message
//!
//! A publisher is connected to core A. Core B owns the topic. A subscriber is connected to core C.
//! Any of the three may be the same.
//!
//! | core | what happens | where |
//! |---|---|---|
//! | A | the kernel receives into a buffer of the core's ring of buffers | `executors`: `ring::data`, `ring::buffers` |
//! | A | the driver hands the bytes to its service | `executors`: `driver` |
//! | A | whole frames are found; what is left of a frame is kept with the connection | [`broker::receive`](crate::broker::receive), [`protocol::decode`](crate::protocol::decode) |
//! | A | lengths, records and header blocks are checked | [`protocol::messages`](crate::protocol::messages) |
//! | A | the topic id is looked up on the connection | [`broker::publish`](crate::broker::publish) |
//! | A | the frame is copied, once, behind the others that this turn brought for its topic | [`broker::ingest`](crate::broker::ingest) |
//! | A | the batch goes to the topic's owner: a call, or an entry of this turn's letter | [`broker::mesh`](crate::broker::mesh) |
//! | B | sequences, time, id and time to live are written into the frames, in place | [`broker::shard`](crate::broker::shard) |
//! | B | one reference goes to each other core that wants the topic | [`broker::interest`](crate::broker::interest) |
//! | C | one reference goes into the queue of each subscription that matches | [`broker::fan_out`](crate::broker::fan_out), [`broker::subscriptions`](crate::broker::subscriptions) |
//! | C | or, at the bound of that queue, a gap | [`broker::overflow`](crate::broker::overflow), [`broker::queue`](crate::broker::queue), [`broker::gaps`](crate::broker::gaps) |
//! | C | what is queued for a connection becomes one vectored send | [`broker::flush`](crate::broker::flush) |
//! | C | the sends of all connections go to the kernel with one system call | `executors`: `io`, `ring::data` |
//!
//! After the copy into its batch a message is never copied again in user space: stamping writes
//! into the batch, and queues, letters and sends refer to it.
//!
//! NATS clients come by a listener of their own. Their commands are read by
//! [`broker::nats`](crate::broker::nats) with the codec [`nats`](crate::nats), which writes each message as a frame
//! into the batch of its subject; from there on it is as above, until a portion for a NATS client is
//! written as text, once for all who call their subscription alike
//! ([`broker::nats::encodings`](crate::broker::nats::encodings)).
//!
//! # The turn
//!
//! A core runs turns while there is work and sleeps when there is none. No timer delays anything:
//! under load a turn finds more, and so carries more per system call.
//!
//! 1. One `io_uring_enter` submits what the last turn asked for and collects what completed.
//! 2. Completions are told to the broker: sends first make room, then bytes come in, as long as
//!    [`wants_input`](crate::broker::Broker::wants_input) says so.
//! 3. Letters of other cores are read, deliveries before requests.
//! 4. [`take_in`](crate::broker::Broker::take_in): paused connections go on if their reason is
//!    over, frames left from the last turn are parsed, deliveries and requests are served, this
//!    turn's batches are handed out.
//! 5. What there is for each other core is sent as one letter per lane, or kept if the channel is
//!    full.
//! 6. Each connection with something queued and no send under way is gathered, up to
//!    `delivery.max_batch` messages, and its send is queued on the ring.
//! 7. Pauses, resumptions and closings are carried out.
//!
//! Before it sleeps a core enables what wakes it (the ring's eventfd, and a flag that other cores
//! look at) and then runs one more turn: what came in between is found by that turn or wakes it.
//!
//! # What holds back what
//!
//! | when | then | in |
//! |---|---|---|
//! | a socket that is free has more to send than its last send took | nothing new is taken in on that core until it was sent | [`Broker::wants_input`](crate::broker::Broker::wants_input) |
//! | this turn took in a quarter of `queues.subscriber_capacity`, or [`INGEST_BYTES_PER_TURN`](crate::limits::INGEST_BYTES_PER_TURN) | whole frames wait with their connections, arrivals in their buffers | [`broker::ingest`](crate::broker::ingest) |
//! | all receive buffers of a core are waiting | the kernel keeps the bytes, and TCP slows the senders | `executors`: `ring::buffers` |
//! | another core's channel is full | letters are kept and grow | [`broker::mesh`](crate::broker::mesh) |
//! | kept requests reach [`MESH_OUTGOING_BYTES_MAX`](crate::limits::MESH_OUTGOING_BYTES_MAX) | connections that publish to that core are not read | [`broker::publish`](crate::broker::publish) |
//! | kept deliveries reach it | requests of other cores are not read, which fills their channels in turn | [`broker::mesh`](crate::broker::mesh) |
//! | answers of a connection reach [`ANSWER_BYTES_MAX`](crate::limits::ANSWER_BYTES_MAX), or its requests to other cores [`PENDING_REQUESTS_MAX`](crate::limits::PENDING_REQUESTS_MAX) | it is not read | [`broker::receive`](crate::broker::receive) |
//! | the queue of a subscription with `block` is three quarters full | publishers of its topics are not read, on every core | [`broker::block`](crate::broker::block) |
//! | `limits.memory_max` is nearly used up | the oldest kept messages go; at all of it publishes are refused | [`broker::memory`](crate::broker::memory) |
//! | the queue of a subscription is full | frames are dropped as its policy says, and a GAP tells which | [`broker::overflow`](crate::broker::overflow) |
//!
//! Deliveries are always read, whatever is full: they end in queues, which have bounds of their
//! own. So no two cores wait for each other.
//!
//! # Memory as a sum
//!
//! Per core:
//!
//! - receive buffers: 32 of 64 KiB, resident once used;
//! - one turn's batches: [`INGEST_BYTES_PER_TURN`](crate::limits::INGEST_BYTES_PER_TURN) and at most
//!   one more frame;
//! - for each other core and lane, [`MESH_LETTERS_MAX`](crate::limits::MESH_LETTERS_MAX) letters and
//!   what is kept back: [`MESH_OUTGOING_BYTES_MAX`](crate::limits::MESH_OUTGOING_BYTES_MAX) and at
//!   most one more turn.
//!
//! Per connection: its state; the beginning of a frame, at most as long as the longest frame; its
//! answers; the send under way, at most [`SEND_BYTES_MAX`](crate::limits::SEND_BYTES_MAX) or one
//! frame.
//!
//! Per subscription: at most `queues.subscriber_capacity` messages and `queues.subscriber_bytes`,
//! or one frame if that alone is more. Bytes that several queues refer to exist once, but a queue
//! that is the last to refer to a part of a batch keeps all of it, at most
//! [`INGEST_BATCH_BYTES_MAX`](crate::limits::INGEST_BATCH_BYTES_MAX) or one frame. And at most
//! [`GAP_RUNS_MAX`](crate::limits::GAP_RUNS_MAX) gaps that were not told yet.
//!
//! Per topic: its name and its next sequence, and what it keeps: `queues.topic_capacity` messages and
//! `queues.topic_bytes`, the first of both to be reached, and at most one batch more.
//!
//! Over all cores: `limits.memory_max` for all messages in queues and kept ones together, each counted
//! once, and the entries of queues that refer to them.
