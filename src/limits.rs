//! Every bound of the broker, and the relations between bounds.
//!
//! A configurable bound has its default and its allowed range here; `config` checks the range and names
//! it in the error. A fixed bound has its reason beside it. The bounds of the wire protocol are those
//! of `protocol::limits`.

use std::ops::RangeInclusive;

#[doc(inline)]
pub use crate::protocol::limits::{
    FRAME_HEADER_LEN, FRAME_OVERHEAD_MAX, HELLO_LEN_MAX, MESSAGE_LEN_MAX, MESSAGES_HEADER_LEN,
    RECORD_HEADER_LEN, TOPIC_ID_MAX, TOPIC_LEN_MAX, frame_len_max,
};

/// Longest line of a NATS client without its end, as in nats-server.
pub const NATS_CONTROL_LINE_MAX: usize = 4_096;

/// Cores one broker can run on: the width of a `CoreSet`.
pub const CORES_MAX: usize = 256;
/// Highest CPU number `server.cores` may name: an affinity mask of glibc has 1,024 bits.
pub const CPU_NUMBER_MAX: usize = 1_023;
/// Shards one broker can have.
pub const SHARDS_MAX: u16 = 4_096;

/// `server.max_connections`
pub const CONNECTIONS_DEFAULT: u32 = 10_000;
/// `server.max_connections`
pub const CONNECTIONS_RANGE: RangeInclusive<u64> = 1..=1_000_000;
/// `server.max_message_size_bytes`
pub const MESSAGE_LEN_DEFAULT: u32 = 1 << 20;
/// `server.max_message_size_bytes`
pub const MESSAGE_LEN_RANGE: RangeInclusive<u64> = 1..=MESSAGE_LEN_MAX as u64;
/// `server.auth_timeout_ms`
pub const AUTH_TIMEOUT_MS_DEFAULT: u32 = 5_000;
/// `server.drain_timeout_ms`
pub const DRAIN_TIMEOUT_MS_DEFAULT: u32 = 10_000;
/// `server.drain_spread_ms`: a broker with 10,000 clients closes 5 connections each millisecond.
pub const DRAIN_SPREAD_MS_DEFAULT: u32 = 2_000;
/// `server.drain_spread_ms`; 0 closes every connection as soon as it has received everything.
pub const DRAIN_SPREAD_MS_RANGE: RangeInclusive<u64> = 0..=3_600_000;
/// `server.lame_duck_ms`: as long as nats-server waits before it closes the first connection.
pub const LAME_DUCK_MS_DEFAULT: u32 = 10_000;
/// `server.lame_duck_ms`; 0 stops at once.
pub const LAME_DUCK_MS_RANGE: RangeInclusive<u64> = 0..=3_600_000;
/// The most that a stop spreads the closing of connections over, for each connection: every broker can
/// accept clients that reconnect at this rate.
pub const DRAIN_SPREAD_NS_EACH: u64 = 1_000_000;
/// `server.write_timeout_ms`: ten minutes, in which a laptop may sleep or a process be stopped.
pub const WRITE_TIMEOUT_MS_DEFAULT: u32 = 600_000;
/// `server.write_timeout_ms`; 0 means that a peer may take nothing for ever.
pub const WRITE_TIMEOUT_MS_RANGE: RangeInclusive<u64> = 0..=86_400_000;
/// `server.busy_poll_us`: about the CPU time of a sleep and a wake-up, so that polling in vain at most
/// doubles that cost.
pub const BUSY_POLL_US_DEFAULT: u32 = 40;
/// `server.busy_poll_us`; 0 means never.
pub const BUSY_POLL_US_RANGE: RangeInclusive<u64> = 0..=1_000;
/// Range of every timeout.
pub const TIMEOUT_MS_RANGE: RangeInclusive<u64> = 1..=3_600_000;
/// `tls.handshake_timeout_ms`
pub const HANDSHAKE_TIMEOUT_MS_DEFAULT: u32 = 5_000;
/// `tls.record_bytes`: as many as the protocol allows.
pub const RECORD_BYTES_DEFAULT: u32 = 16_384;
/// `tls.record_bytes`; the lower end is the least that a client can ask for in TLS itself.
pub const RECORD_BYTES_RANGE: RangeInclusive<u64> = 512..=16_384;

/// `nats.subscriber_capacity`, in messages. NATS has no GAP, so a client cannot know which messages were
/// dropped; the queue is therefore as large as clients expect: `queues.subscriber_bytes` is the bound of
/// nats-server.
pub const NATS_SUBSCRIBER_CAPACITY_DEFAULT: u32 = 1_048_576;
/// `server.ping_interval_ms`: with [`PINGS_DEFAULT`] a client that hangs is closed within two minutes, and
/// one that stands still for one minute is not.
pub const PING_INTERVAL_MS_DEFAULT: u32 = 30_000;
/// `server.ping_interval_ms`; 0 means that no PING is sent.
pub const PING_INTERVAL_MS_RANGE: RangeInclusive<u64> = 0..=3_600_000;
/// `server.pings_max`
pub const PINGS_DEFAULT: u32 = 2;
/// `nats.ping_interval_ms`, as in nats-server.
pub const NATS_PING_INTERVAL_MS_DEFAULT: u32 = 120_000;
/// `nats.pings_max`, as in nats-server.
pub const NATS_PINGS_DEFAULT: u32 = 2;
/// `server.pings_max` and `nats.pings_max`
pub const PINGS_RANGE: RangeInclusive<u64> = 1..=1_000;

/// `queues.topic_capacity`, in messages.
pub const TOPIC_CAPACITY_DEFAULT: u32 = 10_000;
/// `queues.topic_capacity`; 0 retains none.
pub const TOPIC_CAPACITY_RANGE: RangeInclusive<u64> = 0..=16_777_216;
/// `queues.topic_bytes`
pub const TOPIC_BYTES_DEFAULT: u64 = 16 << 20;
/// `queues.topic_bytes`
pub const TOPIC_BYTES_RANGE: RangeInclusive<u64> = 0..=(64 << 30);
/// `queues.topic_idle_timeout_ms`
pub const TOPIC_IDLE_TIMEOUT_MS_DEFAULT: u32 = 600_000;
/// `queues.block_timeout_ms`
pub const BLOCK_TIMEOUT_MS_DEFAULT: u32 = 10_000;
/// `queues.block_min_rate`, in bytes a second.
pub const BLOCK_MIN_RATE_DEFAULT: u32 = 1_024;
/// `queues.block_min_rate`; 0 demands none.
pub const BLOCK_MIN_RATE_RANGE: RangeInclusive<u64> = 0..=u32::MAX as u64;
/// `queues.subscriber_capacity`, in messages.
pub const SUBSCRIBER_CAPACITY_DEFAULT: u32 = 2_048;
/// `queues.subscriber_capacity`
pub const CAPACITY_RANGE: RangeInclusive<u64> = 1..=16_777_216;
/// `queues.subscriber_bytes`: bytes one subscription may have queued.
pub const SUBSCRIBER_BYTES_DEFAULT: u64 = 64 << 20;
/// `queues.subscriber_bytes`
pub const SUBSCRIBER_BYTES_RANGE: RangeInclusive<u64> = 4_096..=(64 << 30);

/// `queues.connection_bytes`: bytes all subscriptions of one connection may have queued together, with 96 for
/// each entry of a queue (what one batch brought a subscription), as
/// `max_pending` of nats-server.
pub const CONNECTION_BYTES_DEFAULT: u64 = 64 << 20;
/// `queues.connection_bytes`
pub const CONNECTION_BYTES_RANGE: RangeInclusive<u64> = SUBSCRIBER_BYTES_RANGE;

/// `delivery.max_batch`, in messages.
pub const BATCH_DEFAULT: u32 = 512;
/// `delivery.max_batch`; the upper end is the most messages one MESSAGES frame can count.
pub const BATCH_RANGE: RangeInclusive<u64> = 1..=65_535;
/// `delivery.fanout_shards`; 0 means twice the cores.
pub const SHARDS_RANGE: RangeInclusive<u64> = 0..=SHARDS_MAX as u64;
/// `delivery.default_ttl_ms`; 0 means messages do not expire.
pub const TTL_MS_RANGE: RangeInclusive<u64> = 0..=u32::MAX as u64;

/// `limits.memory_max`, in bytes.
pub const MEMORY_DEFAULT: u64 = 2 << 30;
/// `limits.memory_max`
pub const MEMORY_RANGE: RangeInclusive<u64> = (1 << 20)..=(1 << 50);
/// `limits.max_topics`, over all cores.
pub const TOPICS_DEFAULT: u32 = 1_000_000;
/// `limits.max_topics`; the upper half of all ids is for ephemeral topics.
pub const TOPICS_RANGE: RangeInclusive<u64> = 1..=TOPIC_ID_MAX as u64 / 2;
/// `limits.max_subscriptions_per_connection`, and `limits.max_fan_out_per_connection`: all of them.
pub const SUBSCRIPTIONS_DEFAULT: u32 = 100_000;
/// `limits.max_subscriptions_per_connection` and `limits.max_fan_out_per_connection`
pub const SUBSCRIPTIONS_RANGE: RangeInclusive<u64> = 1..=16_777_216;
/// `limits.max_subscriptions`, over all cores: those of a hundred connections that have all they may.
pub const SUBSCRIPTIONS_IN_ALL_DEFAULT: u32 = 10_000_000;
/// `limits.max_subscriptions`
pub const SUBSCRIPTIONS_IN_ALL_RANGE: RangeInclusive<u64> = 1..=u32::MAX as u64;
/// `limits.max_connections_per_address`, `limits.max_new_connections_per_address` and
/// `limits.max_connections_before_login`; 0 is described at each.
pub const CONNECTIONS_OF_SOME_RANGE: RangeInclusive<u64> = 0..=1_000_000;
/// Connections before login that each core leaves alone, however few connections it may have.
pub const BEFORE_LOGIN_MIN: usize = 4;
/// How long a client may take to log in, however many others wait for its place: longer than any that
/// means to log in takes, also when thousands reconnect at once.
pub const BEFORE_LOGIN_MS: u64 = 1_000;
/// How often a core looks for clients that keep places without logging in.
pub const BEFORE_LOGIN_LOOK_MS: u64 = 250;
/// Clients that are closed for that at a look.
pub const BEFORE_LOGIN_CLOSED_MAX: usize = 256;
/// Bytes of a password or a token that is read from a file, from the environment or to be hashed.
pub const SECRET_BYTES_MAX: usize = 1_024;
/// Answers that `allow_responses` of a user may allow for one request.
pub const RESPONSES_MAX: u32 = 1_000_000;
/// How long after a request they may be allowed, in milliseconds.
pub const RESPONSES_EXPIRE_MS_MAX: u32 = 3_600_000;
/// Requests of one connection that may be answered because of that; the oldest make room.
pub const RESPONSES_TRACKED_MAX: usize = 4_096;
/// Memory that a hash of argon2id in the configuration may fill, in KiB.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 64 * 1_024;
/// How often such a hash may go through its memory.
pub const ARGON2_PASSES_MAX: u32 = 10;
/// Lanes that such a hash may have.
pub const ARGON2_LANES_MAX: u32 = 4;
/// The least cost of a bcrypt hash.
pub const BCRYPT_COST_MIN: u32 = 4;
/// The cost that a bcrypt hash in the configuration may have.
pub const BCRYPT_COST_MAX: u32 = 13;
/// Passwords over all cores that wait to be compared with a hash. A login beyond is refused, unchecked, until
/// one of them is compared.
pub const PASSWORD_CHECKS_MAX: usize = 64;
/// Of those the ones that one address may have on one core, so that the others are left for others.
pub const PASSWORD_CHECKS_OF_ADDRESS_MAX: usize = PASSWORD_CHECKS_MAX / 2;
/// Right passwords that a core remembers, by a keyed hash, so that each is compared once.
pub const PASSWORDS_REMEMBERED_MAX: usize = 4_096;
/// How long the refusal of a wrong login is held back the first time; each time twice as long.
pub const LOGIN_DELAY_MS: u64 = 100;
/// How long it is held back at most.
pub const LOGIN_DELAY_MS_MAX: u64 = 5_000;
/// What wrong logins of one user from one address may add up to, each with its delay, before further
/// logins of that user from there are not checked for a while.
pub const LOGIN_DELAYS_MS_MAX: u64 = 20_000;
/// Users and addresses whose wrong logins a core remembers.
pub const LOGIN_FAILURES_MAX: usize = 8_192;
/// `limits.max_publish_messages_per_second`; 0 means no limit.
pub const PUBLISH_MESSAGES_RANGE: RangeInclusive<u64> = 0..=u32::MAX as u64;
/// `limits.max_publish_bytes_per_second`; 0 means no limit.
pub const PUBLISH_BYTES_RANGE: RangeInclusive<u64> = 0..=(1 << 50);
/// `limits.max_topics_per_connection`: a tenth of all topics.
pub const TOPICS_PER_CONNECTION_DEFAULT: u32 = 100_000;
/// `limits.max_topics_per_connection`
pub const TOPICS_PER_CONNECTION_RANGE: RangeInclusive<u64> = 1..=OPENS_PER_CONNECTION_MAX as u64;
/// `limits.max_pattern_tokens`: the work of matching and the memory of a pattern grow with its tokens.
pub const PATTERN_TOKENS_DEFAULT: u32 = 32;
/// `limits.max_pattern_tokens`; the longest topic has no more.
pub const PATTERN_TOKENS_RANGE: RangeInclusive<u64> = 1..=TOPIC_LEN_MAX as u64 / 2;
/// Refused OPENs of one connection that are remembered, so that frames sent behind them are refused for the
/// same reason: more than a client sends before it reads.
pub const REFUSED_OPENS_MAX: u32 = 65_536;
/// OPENs of one connection that are remembered by request number.
pub const OPENS_PER_CONNECTION_MAX: usize = 1_000_000;

/// Ephemeral topics that one connection opened and that are remembered. Clients remember fewer.
pub const EPHEMERAL_OPENS_MAX: usize = 4_096;
/// Names for answers to requests under way that one core remembers, each 8 bytes.
pub const REPLY_NAMES_MAX: usize = 65_536;
/// Time that a name for answers is remembered at least.
pub const REPLY_NAMES_NS: u64 = 60_000_000_000;

/// Bytes one vectored send gathers at most, unless a single frame is larger: beyond this the system call
/// costs little compared to the copy.
pub const SEND_BYTES_MAX: usize = 256 * 1_024;
/// Ranges one vectored send gathers at most; the kernel's own bound (UIO_MAXIOV) is 1,024.
pub const SEND_RANGES_MAX: usize = 512;
/// Bytes of answers (TOPIC, PONG, ERROR ...) that may wait for a connection. Above this the connection is
/// not read until the client reads some: a client that asks without reading slows itself.
pub const ANSWER_BYTES_MAX: usize = 64 * 1_024;
/// Requests of one connection that may wait for another core's answer. At this number the connection is
/// not read.
pub const PENDING_REQUESTS_MAX: u32 = 4_096;
/// Topics that one turn looks at for all replays: about 50 us.
pub const REPLAY_TOPICS_PER_TURN: usize = 512;
/// Topics that one turn looks at because they were idle for too long, together with the slices that it evicts
/// of them: about 100 us. A topic is evicted whole.
pub const TOPICS_TENDED_PER_TURN: usize = 256;
/// Slices of replays that may be under way to a connection from a core when another of its replays begins:
/// about 3 MiB beside their frames, which the topics' logs hold as well.
pub const REPLAY_UNSENT_SLICES_MAX: u64 = 16_384;
/// Subscriptions that one turn ends when all of a connection end at once: about 300 us.
pub const ENDS_PER_TURN: usize = 512;
/// Times that one turn gives a connection a slice once more, for another of its subscriptions: about 1 ms.
/// A connection with one subscription to a topic counts for none.
pub const REPEATS_PER_TURN: usize = 8_192;
/// Slices that one turn takes from those who hold most when memory is short: about 100 us.
pub const RECLAIMED_PER_TURN_MAX: usize = 512;
/// Retained slices that one turn evicts when memory is short.
pub const EVICTED_PER_TURN_MAX: usize = 1_024;
/// How long a publish waits at most for memory that is being reclaimed, before it is refused.
pub const RECLAIM_WAIT_MS: u32 = 500;
/// Runs of missed messages remembered for one subscription that cannot be reported yet. A subscriber that
/// is behind by more runs is disconnected, because its losses could no longer be reported in full.
pub const GAP_RUNS_MAX: usize = 16_384;

/// Commands of one connection that publish nothing (subscribe, open, ping, what is refused) that a core
/// serves in a turn, which the slowest of them make some 0.3 ms of: the others wait for the next turn.
pub const COMMANDS_PER_TURN: u32 = 128;
/// The same for all connections of a core.
pub const TURN_COMMANDS_MAX: u32 = 1_024;
/// Bytes of a connection that may wait because it had its share of a turn. Above this the connection is
/// not read.
pub const UNSERVED_BYTES_MAX: usize = 64 * 1_024;

/// Bytes of frames one ingest batch gathers before it is closed.
pub const INGEST_BATCH_BYTES_MAX: usize = 128 * 1_024;
/// Bytes of frames a core takes in between two fan-outs.
pub const INGEST_BYTES_PER_TURN: usize = 512 * 1_024;

/// Mesh messages in flight per ordered pair of cores and lane. One mesh message has all that a core had
/// for another in one turn, so this bounds turns, and the next bound bytes.
pub const MESH_MESSAGES_MAX: usize = 16;
/// Bytes a core holds for another core whose channel is full, before it stops reading the connections
/// that feed them.
pub const MESH_OUTGOING_BYTES_MAX: usize = 1 << 20;

/// Time that a connection stays open after its last byte, for the peer to read and close: closing at once
/// would let a reset overtake the last ERROR.
pub const LINGER_MS: u64 = 2_000;

const _: () = assert!(CORES_MAX <= CPU_NUMBER_MAX + 1);
const _: () = assert!(SEND_RANGES_MAX <= 1_024);
const _: () = assert!(COMMANDS_PER_TURN <= TURN_COMMANDS_MAX / 2);
const _: () = assert!(INGEST_BATCH_BYTES_MAX <= INGEST_BYTES_PER_TURN);
