//! What kind of NATS world a seed makes.

use blipmq::config::{OverflowPolicy, Settings};

use crate::plan::Plan;
use crate::random::Random;

pub fn plan(random: &mut Random) -> Plan {
    let mut settings = Settings::default();
    settings.nats.subscriber_capacity = random.pick(&[1, 4, 32, 64, 64, 1_000]);
    settings.queues.subscriber_capacity = random.pick(&[64, 64, 256, 1_024]);
    settings.queues.overflow_policy = random.pick(&[
        OverflowPolicy::DropOldest,
        OverflowPolicy::DropOldest,
        OverflowPolicy::DropNew,
        OverflowPolicy::Block,
        OverflowPolicy::Disconnect,
        OverflowPolicy::Latest,
    ]);
    settings.queues.topic_capacity = random.pick(&[0, 5, 10_000]);
    if random.chance(10) {
        // Behind what the subscriptions of all clients count for.
        settings.limits.memory_max = 100_000 + random.within(20_000..=60_000);
    }
    settings.delivery.max_batch = random.pick(&[1, 2, 4, 16]);
    settings.delivery.fanout_shards = random.pick(&[0, 0, 1, 3, 8]);
    settings.delivery.default_ttl_ms = random.pick(&[0, 0, 0, 0, 3]);
    settings.limits.max_topics = random.pick(&[2, 1_000, 1_000, 1_000]);
    let ticks = random.within(30..=250);
    Plan {
        cores: random.pick(&[1, 2, 2, 3, 4]),
        mesh_messages_max: random.pick(&[1, 1, 2, 8]),
        mesh_delay_ticks: random.pick(&[0, 0, 3])..=random.pick(&[3, 10, 50]),
        settings,
        clients: random.within(2..=8) as usize,
        ticks,
        stop_at: random.chance(30).then(|| random.within(ticks / 2..=ticks)),
        tick_ns: 1_000..=random.pick(&[10_000, 500_000, 2_000_000]),
        wall_jumps: random.chance(20),
        payload_len_max: random.pick(&[0, 20, 2_000]),
        frame_messages_max: 1,
        fault_percent: random.pick(&[0, 5, 15]),
        turn_percent: random.pick(&[20, 60, 100]),
        buffers: random.pick(&[1, 2, 32]),
        buffer_len: random.pick(&[300, 64 * 1_024]),
        replay_topics_per_turn: Plan::random_replay_topics(random),
        ends_per_turn: Plan::random_ends(random),
        repeats_per_turn: Plan::random_repeats(random),
    }
}
