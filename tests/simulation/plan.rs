//! The plan of a world: how many cores and clients, and how tight every bound is.

use std::ops::RangeInclusive;
use std::time::Duration;

use blipmq::broker::Protocol;
use blipmq::config::{OverflowPolicy, Settings};
use blipmq::limits::{ENDS_PER_TURN, LINGER_MS, REPEATS_PER_TURN, REPLAY_TOPICS_PER_TURN};
use executors::simulated;

use crate::random::Random;

pub struct Plan {
    pub cores: usize,
    pub mesh_messages_max: usize,
    pub mesh_delay_ticks: RangeInclusive<u64>,
    pub settings: Settings,
    pub clients: usize,
    /// How long clients act at random.
    pub ticks: u64,
    /// The tick in which all cores stop; without it connections are closed one by one.
    pub stop_at: Option<u64>,
    /// Monotonic time that passes in a tick.
    pub tick_ns: RangeInclusive<u64>,
    pub wall_jumps: bool,
    /// Large payloads fill mesh messages and answers.
    pub payload_len_max: usize,
    pub frame_messages_max: usize,
    /// Of a hundred actions of a client.
    pub fault_percent: u64,
    /// Of a hundred ticks, those in which an awake core takes a turn.
    pub turn_percent: u64,
    /// Receive buffers of a core, and their bytes.
    pub buffers: usize,
    pub buffer_len: usize,
    /// Topics that a turn looks at for a replay.
    pub replay_topics_per_turn: usize,
    /// Subscriptions that a turn ends when all of a connection end at once.
    pub ends_per_turn: usize,
    /// Times that a turn gives a connection a slice once more, before other slices wait.
    pub repeats_per_turn: usize,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            cores: 1,
            mesh_messages_max: 4,
            mesh_delay_ticks: 0..=0,
            settings: Settings::default(),
            clients: 0,
            ticks: 0,
            stop_at: None,
            tick_ns: 1_000..=200_000,
            wall_jumps: false,
            payload_len_max: 64,
            frame_messages_max: 1,
            fault_percent: 0,
            turn_percent: 100,
            buffers: 32,
            buffer_len: 64 * 1_024,
            replay_topics_per_turn: REPLAY_TOPICS_PER_TURN,
            ends_per_turn: ENDS_PER_TURN,
            repeats_per_turn: REPEATS_PER_TURN,
        }
    }
}

impl Plan {
    pub fn random(random: &mut Random) -> Plan {
        let heavy = random.chance(4);
        let ticks = if heavy { 60 } else { random.within(30..=300) };
        let mut settings = Settings::default();
        settings.server.max_message_size_bytes = if heavy { 512 * 1_024 } else { 2_048 };
        settings.server.max_connections = random.pick(&[3, 1_000, 1_000, 1_000]);
        settings.server.auth_timeout_ms = random.pick(&[2, 5_000, 5_000]);
        settings.queues.subscriber_capacity = random.pick(&[1, 2, 4, 8, 16, 32, 64, 1_024]);
        settings.queues.subscriber_bytes = if heavy { 64 << 20 } else { 1 << 20 };
        if random.chance(20) {
            settings.queues.subscriber_bytes = 4_096;
        }
        settings.queues.overflow_policy = random.pick(&[
            OverflowPolicy::DropOldest,
            OverflowPolicy::DropNew,
            OverflowPolicy::Block,
            OverflowPolicy::Disconnect,
            OverflowPolicy::Latest,
        ]);
        // The world checks 4290 by time alone; scenarios check the rate.
        settings.queues.block_min_rate = 0;
        settings.queues.block_timeout_ms = random.pick(&[3, 50, 10_000, 10_000]);
        settings.queues.topic_capacity = random.pick(&[0, 1, 5, 40, 10_000]);
        settings.queues.topic_bytes = random.pick(&[300, 16 << 20, 16 << 20]);
        settings.queues.topic_idle_timeout_ms = random.pick(&[5, 600_000, 600_000, 600_000]);
        if random.chance(15) {
            settings.limits.memory_max = random.within(2_000..=30_000);
        }
        settings.delivery.max_batch = random.pick(&[1, 2, 4, 16, 256]);
        settings.delivery.fanout_shards = random.pick(&[0, 0, 1, 3, 8]);
        settings.delivery.default_ttl_ms = random.pick(&[0, 0, 0, 3]);
        settings.limits.max_topics = random.pick(&[4, 1_000, 1_000, 1_000]);
        settings.limits.max_subscriptions_per_connection = random.pick(&[2, 1_000, 1_000]);
        settings.server.drain_spread_ms = random.pick(&[0, 2_000, 2_000]);
        settings.queues.connection_bytes = Plan::random_connection_bytes(random);
        (settings.server.ping_interval_ms, settings.server.pings_max) = Plan::random_pings(random);
        Plan {
            cores: if heavy { 2 } else { random.pick(&[1, 2, 2, 3, 4]) },
            mesh_messages_max: random.pick(&[1, 1, 2, 8]),
            mesh_delay_ticks: random.pick(&[0, 0, 3])..=random.pick(&[3, 10, 50]),
            settings,
            clients: random.within(2..=10) as usize,
            ticks,
            stop_at: random.chance(40).then(|| random.within(ticks / 2..=ticks)),
            tick_ns: 1_000..=random.pick(&[10_000, 500_000, 2_000_000]),
            wall_jumps: random.chance(30),
            payload_len_max: if heavy { 500 * 1_024 } else { random.pick(&[0, 20, 2_000]) },
            frame_messages_max: if heavy { 1 } else { random.pick(&[1, 3, 12]) },
            fault_percent: random.pick(&[0, 5, 15]),
            turn_percent: random.pick(&[20, 60, 100]),
            buffers: random.pick(&[1, 2, 32]),
            buffer_len: if heavy { 64 * 1_024 } else { random.pick(&[300, 64 * 1_024]) },
            replay_topics_per_turn: Plan::random_replay_topics(random),
            ends_per_turn: Plan::random_ends(random),
            repeats_per_turn: Plan::random_repeats(random),
        }
    }

    /// Few topics a turn, so that replays take several turns though worlds have few topics. By chance of
    /// its own: the worlds of all seeds are otherwise those from before this choice.
    pub fn random_replay_topics(random: &Random) -> usize {
        let mut own = Random::with_seed(random.next_of() ^ 0x5e9_1a75);
        own.pick(&[1, 2, 3, REPLAY_TOPICS_PER_TURN])
    }

    /// Few ends a turn, so that connections of few subscriptions end over several turns. By chance of its
    /// own, as the topics of a replay.
    pub fn random_ends(random: &Random) -> usize {
        let mut own = Random::with_seed(random.next_of() ^ 0x3e_11d5);
        own.pick(&[1, 2, 5, ENDS_PER_TURN])
    }

    /// Few slices a turn for a connection with several subscriptions to a topic, so that what one turn
    /// brought is handed out over several. By chance of its own.
    pub fn random_repeats(random: &Random) -> usize {
        let mut own = Random::with_seed(random.next_of() ^ 0x4e_9ea7);
        own.pick(&[1, 2, REPEATS_PER_TURN])
    }

    /// The bound of all queues of a connection, by chance of its own.
    pub fn random_connection_bytes(random: &Random) -> u64 {
        let mut own = Random::with_seed(random.next_of() ^ 0x10c4_90f1);
        own.pick(&[4_096, 20_000, 64 << 20, 64 << 20, 64 << 20, 64 << 20])
    }

    /// After how many milliseconds a silent client is asked and how often, by chance of its own. Not so
    /// soon that PINGs and PONGs never leave a world at rest.
    pub fn random_pings(random: &Random) -> (u32, u32) {
        let mut own = Random::with_seed(random.next_of() ^ 0x50_4f4e_4721);
        own.pick(&[(0, 2), (20, 1), (20, 2), (60, 3), (30_000, 2), (30_000, 2)])
    }

    /// The machine under this world.
    pub fn machine(&self) -> simulated::Plan {
        simulated::Plan {
            cores: self.cores,
            listeners: Protocol::ALL.len(),
            connections_max: self.settings.server.max_connections,
            messages_max: self.mesh_messages_max,
            linger: Duration::from_millis(LINGER_MS),
            buffers: self.buffers,
            buffer_len: self.buffer_len,
        }
    }

    /// Whether each topic always retains as many messages as `topic_capacity` allows.
    pub fn retains_all(&self) -> bool {
        let queues = &self.settings.queues;
        queues.topic_capacity > 0
            && queues.topic_bytes >= 1 << 24
            && queues.topic_idle_timeout_ms >= 600_000
            && self.payload_len_max < 10_000
            && self.settings.limits.memory_max >= 1 << 30
    }

    /// Whether a queue of the configured capacity holds what one turn may bring, so that a client
    /// that always reads must lose nothing.
    pub fn spares_fast_readers(&self) -> bool {
        let capacity = self.settings.queues.subscriber_capacity as usize;
        let batch = self.settings.delivery.max_batch as usize;
        let bytes = (self.payload_len_max + 64) * capacity;
        self.frame_messages_max * 4 <= capacity
            && batch * 4 <= capacity
            && bytes as u64 <= self.settings.queues.subscriber_bytes
            && self.settings.queues.connection_bytes >= 1 << 20
            && self.settings.limits.memory_max >= 1 << 30
    }
}
