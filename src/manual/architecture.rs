//! How a message gets through the broker, room by room, and what holds it back.
//!
//! # Two halves, one direction
//!
//! `server -> broker -> protocol`, and `server -> executors -> glommio`. The crate `executors` has cores,
//! sockets and channels and knows no topics. The library half of `blipmq` knows topics and does no I/O:
//! bytes, mesh messages and the time come in as arguments; bytes, mesh messages and actions go out. The
//! two halves meet in the binary, in `src/server/relay.rs`, which decides nothing. The simulator, the
//! fuzzer, the benchmarks and the binary all run the same function, `turn::turn`, over the same
//! [`broker`](crate::broker).
//!
//! Two more crates stand beside these: `blipmq-protocol` in `src/protocol/` is the codec of BLIP/1, and
//! `blipmq-client` in `src/client/` depends on that codec alone.
//!
//! # The rooms of the broker
//!
//! Each folder of `src/broker/` is a *room*: its fields are private, and other rooms call its methods,
//! its *doors*.
//!
//! | room | owns | knows nothing of |
//! |---|---|---|
//! | `topics/` | shards, topics, logs, interest, the batches of a turn, replays under way | connections, protocols |
//! | `delivery/` | subscriptions, queues, gaps, overflow, groups, blocks | protocols, sockets |
//! | `mesh/` | what this core has for each other core, and what arrived and waits | what its messages mean |
//! | `connections/` | slots, phases, unserved bytes, answers, holds, the ready list | protocols, subscriptions |
//! | `frontends/` | one client per connection, and what clients of one protocol share on a core | each other |
//! | `turn/` | nothing: it has the order of a turn, effects, the stop, reloads, the audit | sockets |
//!
//! Below the rooms are files that every room may use: `ids`, `clock`, `message/`, `memory`, `pattern`,
//! `permissions`, `cluster` (what all cores agree on), `counters`, `timers`. The rooms use each other in
//! one direction:
//!
//! ```text
//! ids, clock, message, memory, pattern, permissions, cluster, counters, timers
//!     < topics < delivery < mesh < frontends < turn
//!               connections    < frontends
//! ```
//!
//! Two modules stand above the rooms and implement methods of [`Broker`](crate::broker::Broker): `turn`,
//! and [`inspect`](crate::broker::inspect), which answers the admin pages. `tests/tidy/` reads the paths
//! in every file and fails if rooms form a cycle, if a room uses what is above it, or if a file outside
//! `frontends/` names a protocol.
//!
//! # Doors and effects
//!
//! A frontend gets the doors of all other rooms as one value, `frontends::Doors`, for the length of a
//! call. Rooms below the frontends have no such value, because they must not call upwards. They return
//! results, or leave *effects*:
//!
//! - `topics/` returns what became of a batch: the stamped slice, the cores that want it, ACKs that are
//!   due.
//! - `delivery/` appends to one vector of `Effect`: ask a core, reply to a core, a connection has
//!   something to send, a subscription is active, a subscriber is too slow, a cut piece of work goes on.
//! - `connections/` appends to one vector of `Action`: pause, resume or close a connection.
//!
//! Only `turn` carries effects out, in order and depth first: what follows from one effect is carried
//! out before the next. Work that goes through many subscriptions (a connection ends, a group deals what
//! it has) stops at each step that leads to effects, and puts the rest behind them as one more effect.
//! The vectors are kept and used again.
//!
//! What this core asks itself takes the way of what it asks others. An `Effect::Ask` names a core; if
//! that is this core, `turn` serves the request at once with the function that serves requests from the
//! mesh. So there is one code path, and a broker of one core tests most of what a broker of many does.
//!
//! # The path of one message
//!
//! A publisher is connected to core A. Core B owns the topic. A subscriber is connected to core C. Any
//! of the three may be the same core.
//!
//! | core | what happens | where |
//! |---|---|---|
//! | A | the kernel receives bytes into a buffer from the core's ring of buffers | `executors`: `ring` |
//! | A | the driver hands the bytes to its service, the relay | `executors`: `driver`; `src/server/relay.rs` |
//! | A | whole frames are served now, or wait with the connection | `turn/input.rs`, `connections/` |
//! | A | the frontend checks lengths, records and header blocks | `frontends/`, [`protocol`](crate::protocol), [`nats`](crate::nats) |
//! | A | the topic id is looked up on the connection; permissions were checked when the topic was opened | `frontends/` |
//! | A | the frame is copied, once, behind the other frames that this turn brought for its topic | `topics/ingest.rs` |
//! | A | the batch goes to the owner of the topic: a call, or an entry of this turn's mesh message | `turn/mesh.rs`, `mesh/` |
//! | B | sequences, time, topic id and time to live are stamped into the frames, in place | `topics/shard.rs` |
//! | B | one reference goes into the topic's log, and one to each other core with interest in the topic | `topics/`, `mesh/` |
//! | C | one reference goes into the queue of each matching subscription | `delivery/fan_out.rs` |
//! | C | or, at the bound of that queue, a gap | `delivery/overflow.rs`, `delivery/gaps.rs` |
//! | C | what is queued for a connection becomes one vectored send | `delivery/pull.rs`, `frontends/` |
//! | C | one system call hands the sends of all connections to the kernel | `executors`: `driver`, `ring` |
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
//! load a turn finds more work, and so carries more per system call. The driver of `executors` does this:
//!
//! 1. The driver reaps what has completed. Completed sends reach the broker at once, since they make
//!    room. Received bytes follow, after new connections, as long as the broker wants input.
//! 2. The server carries out commands of other threads, and a slice of the oldest question of the admin
//!    pages.
//! 3. The broker runs its turn, below.
//! 4. Closed connections are freed, and one timeout is set for the earliest deadline.
//! 5. One `io_uring_enter` submits everything that was queued on the ring.
//!
//! `turn::turn` has this order:
//!
//! 1. One mesh message of each other core and lane is read, deliveries before requests.
//! 2. Deadlines that have come are served.
//! 3. Unless a free socket still has more to send: held connections continue whose reason is over, whole
//!    frames left from earlier turns are served, then deliveries, one part of a replay, and requests.
//! 4. The batches of this turn are handed out, to topics of this core or to the mesh.
//! 5. Fences are asked for, connections whose clients asked for the end are closed, the memory budget is
//!    kept, and a stop takes its next step.
//! 6. Everything for one other core is handed over as one mesh message per lane, or stays here if the
//!    channel is full.
//! 7. Each connection with something to send and no send under way is gathered, up to
//!    `delivery.max_batch` messages, and its send is given to the port.
//! 8. Notices for the log, pauses, resumptions and closings are given to the port.
//!
//! Before a core sleeps it switches its waker on and runs one more turn. Work that arrived in between is
//! found by that turn, or wakes the core.
//!
//! # The port
//!
//! `turn::turn` is generic over [`Port`](crate::broker::port::Port): send, pause, resume, close, send and
//! receive on a lane of the mesh, and a notice. None of these fails and none waits. A connection has at
//! most one send under way; what goes wrong comes back later as a call of the broker, or as the mesh
//! message itself where a lane is full. There are four kinds of ports: that of the relay over an
//! executor (which the simulator runs too), that of the fuzz target `session`, that of the benchmarks,
//! and [`InMemory`](crate::broker::port::InMemory), a port without an outside for tests and for programs
//! that embed a broker of one core.
//!
//! # Timers
//!
//! The deadlines of a core are in one table, `timers`. Deadlines of one class (login, silence, closing,
//! idle topics) wait equally long, so each class is a queue with the soonest in front, and setting one is
//! an append. Two deadlines exist once per core: the next look at subscribers that hold publishers up,
//! and at unused texts for NATS clients. The deadline of a connection or topic is not taken back: when it
//! comes, its owner looks whether it still holds.
//! [`next_deadline_ns`](crate::broker::Broker::next_deadline_ns) is the earliest of all, and the driver
//! sets one timeout of the ring to it.
//!
//! # Replays, in parts
//!
//! A subscription that does not start live asks each core that may own its topics. A literal name is
//! looked up in the owner's table. For a pattern the owner walks its topics, at most 512 for each part of
//! the answer, or until a part refers to 1 MiB of frames. A subscription gets its first part at once;
//! after that each turn continues the one walk that has waited longest. A part says how far its walk is:
//! live messages of topics that the walk has passed reach the subscription, live messages of topics ahead
//! will be in a later part. So a core with a million topics answers over some 2,000 turns, and serves
//! everything else between two parts.
//!
//! # The executors
//!
//! A core runs a `Driver<S, R>`. `S: Service` is what runs on the core; for the server that is the
//! relay. `R: Ring` is what the driver asks of a kernel, and has two implementations:
//!
//! - the *data ring*, an io_uring of the core for all its sockets, beside the one of glommio, which pins
//!   the thread and carries long sleeps;
//! - the *simulated ring*, whose kernel is played by its caller. `executors::simulated::Machine` has
//!   several cores in one thread, with the same driver, the same service and the same mesh.
//!
//! The ring owns what is in flight: sockets, listeners, the bytes of sends, the buffers of receives.
//! Each stays until the last completion that names it has been reaped, whatever the driver does, and a
//! ring that is dropped first ends what is in flight. So no safe code, in the driver or in a service, can
//! make the kernel read or write freed memory. A service sees its core through `Io`, which only queues
//! requests.
//!
//! # What holds back what
//!
//! | when | then | in |
//! |---|---|---|
//! | a free socket has more to send than its last send took | the core takes in nothing new until that is sent | `turn/` |
//! | this turn took in a quarter of `queues.subscriber_capacity`, or [`INGEST_BYTES_PER_TURN`](crate::limits::INGEST_BYTES_PER_TURN) | whole frames wait with their connections, received bytes in their buffers | `topics/ingest.rs` |
//! | a connection has a quarter of its core's receive buffers | that connection is not received on until half of them are served | `executors` |
//! | all receive buffers of a core are in use | bytes stay in the kernel, and TCP slows the senders down | `executors` |
//! | the channel to another core is full | mesh messages stay here and grow | `mesh/` |
//! | waiting requests reach [`MESH_OUTGOING_BYTES_MAX`](crate::limits::MESH_OUTGOING_BYTES_MAX) | connections that publish to that core, subscribe or open topics are not read | `mesh/`, `connections/` |
//! | waiting deliveries reach that bound | requests of other cores are not read, which fills their channels in turn | `mesh/` |
//! | the answers for a connection reach [`ANSWER_BYTES_MAX`](crate::limits::ANSWER_BYTES_MAX), or its requests to other cores [`PENDING_REQUESTS_MAX`](crate::limits::PENDING_REQUESTS_MAX) | that connection is not read | `connections/` |
//! | the queue of a subscription with `block` is three quarters full | publishers of its topics are not read, on every core | `delivery/block.rs` |
//! | `limits.memory_max` is nearly used up | the oldest retained messages are evicted, then the connections and groups that hold most lose it; at the limit publishes wait for that, and are refused if nothing can be reclaimed | `turn/memory.rs`, `topics/retained.rs`, `delivery/reclaim.rs` |
//! | the queues of a connection are full together | the same, and the largest queues of the connection make room | `delivery/held.rs` |
//! | the queue of a subscription is full | frames are dropped according to its policy, and a GAP reports which | `delivery/overflow.rs` |
//!
//! Deliveries are always read, whatever is full: they end in queues, which have bounds of their own. So
//! two cores never wait for each other.
//!
//! An entry of a mesh message counts 64 bytes, and everything it refers to: the frames of batches and
//! slices, what a part of a replay retains, frames that a group deals, and frames that a leaving member
//! hands back.
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
//! Per connection all its queues together: `queues.connection_bytes`, or one frame if that alone is larger.
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
//! for the entries of queues that refer to them, for what connections hold besides, and for what
//! subscriptions and their patterns take (`delivery/cost.rs`).
