//! What all cores of one broker agree on: settings, identity, budgets, and which core owns what.
//!
//! Made once at the start; every room has a clone, or is handed a reference.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::memory::Memory;
use super::message::Destination;
use crate::config::Settings;
use crate::limits::{self, CORES_MAX};
use crate::protocol::{CoreId, ShardId, TopicId};

/// What all cores of one broker agree on.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Number of cores.
    pub cores: u16,
    /// Number of shards that topics are hashed to.
    pub shards: u16,
    /// Identifies one run of the broker: new at every start.
    pub server_id: u64,
    /// The key that nonces for nkey users are derived from, and what right passwords are remembered by.
    /// Must be set to cryptographic randomness if any user has an nkey or a hashed password.
    pub nonce_key: [u8; 32],
    /// The configuration.
    pub settings: Arc<Settings>,
    /// The memory budget of all cores, for `limits.memory_max`.
    pub memory: Memory,
    /// Number of topics of all cores, for `limits.max_topics`.
    pub topics: Arc<AtomicU32>,
    /// Number of subscriptions of all cores that may match a gap report: without any, none is
    /// published.
    pub gap_listeners: Arc<AtomicU32>,
    /// Topics that one turn looks at for all replays. The simulator chooses fewer, so that worlds of few
    /// topics have replays of several turns.
    pub replay_topics_per_turn: usize,
    /// Whether topics that nobody uses are removed. The simulator keeps them where its checker counts on
    /// one life of each topic.
    pub removes_idle_topics: bool,
    /// Slices of replays that may be under way to a connection when another replay of it begins. The
    /// simulator chooses fewer.
    pub replay_unsent_max: u64,
    /// Subscriptions that one turn ends when all of a connection end at once. The simulator chooses
    /// fewer, so that connections of few subscriptions end over several turns.
    pub ends_per_turn: usize,
    /// The address that is advertised to clients, with the actual port if port 0 was configured.
    pub advertised_addr: SocketAddr,
}

impl Cluster {
    /// The cluster of a broker. `server_id` must be random: clients detect a restart by it.
    pub fn new(cores: u16, server_id: u64, settings: Arc<Settings>) -> Cluster {
        let shards = match settings.delivery.fanout_shards {
            0 => (cores * 2).min(limits::SHARDS_MAX),
            shards => shards,
        };
        let memory = Memory::of_cores(settings.limits.memory_max, cores);
        let advertised_addr = settings.advertised_addr();
        let nonce_key = [0; 32];
        let topics = Arc::default();
        Cluster {
            cores,
            shards,
            server_id,
            nonce_key,
            settings,
            memory,
            topics,
            gap_listeners: Arc::default(),
            replay_topics_per_turn: limits::REPLAY_TOPICS_PER_TURN,
            removes_idle_topics: true,
            replay_unsent_max: limits::REPLAY_UNSENT_SLICES_MAX,
            ends_per_turn: limits::ENDS_PER_TURN,
            advertised_addr,
        }
    }

    /// The shard of a topic: a hash of the first token, the same on every core. So topics with the
    /// same first token have one owner, and what one publisher sends to several of them stays in
    /// order.
    pub fn shard_of_name(&self, topic: &str) -> ShardId {
        // FNV-1a, folded: names are short, and an attacker gains nothing from topics that share a
        // shard.
        let first_token = topic.bytes().take_while(|byte| *byte != b'.');
        let hash = first_token.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        ShardId(((hash ^ (hash >> 32)) % u64::from(self.shards)) as u16)
    }

    /// The shard of a topic id: ids are assigned to shards in turn.
    pub fn shard_of_id(&self, topic: TopicId) -> ShardId {
        ShardId(((topic.0 - 1) % u32::from(self.shards)) as u16)
    }

    /// The shard of a batch's destination.
    pub fn shard_of(&self, destination: &Destination) -> ShardId {
        match destination {
            Destination::Topic(topic) => self.shard_of_id(*topic),
            Destination::Opened(name) | Destination::Name(name) | Destination::Ephemeral(name) => {
                self.shard_of_name(name)
            }
        }
    }

    /// The other cores, ascending.
    pub fn others(&self, core: CoreId) -> impl Iterator<Item = CoreId> + use<> {
        (0..self.cores).map(CoreId).filter(move |other| *other != core)
    }

    /// The core that runs a shard.
    pub fn core_of(&self, shard: ShardId) -> CoreId {
        CoreId(shard.0 % self.cores)
    }
}

/// A set of cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CoreSet([u64; CORES_MAX / 64]);

impl CoreSet {
    /// Adds a core.
    pub fn insert(&mut self, core: CoreId) {
        self.0[usize::from(core.0) / 64] |= 1 << (core.0 % 64);
    }

    /// Whether the set has a core.
    pub fn contains(self, core: CoreId) -> bool {
        self.0[usize::from(core.0) / 64] & (1 << (core.0 % 64)) != 0
    }

    /// Removes a core.
    pub fn remove(&mut self, core: CoreId) {
        self.0[usize::from(core.0) / 64] &= !(1 << (core.0 % 64));
    }

    /// Number of cores in the set.
    pub fn len(self) -> u16 {
        self.0.iter().map(|word| word.count_ones() as u16).sum()
    }

    /// The cores of the set, ascending.
    pub fn iter(self) -> impl Iterator<Item = CoreId> {
        self.0.into_iter().enumerate().flat_map(|(index, mut word)| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros())?;
                word &= word - 1;
                Some(CoreId((index * 64) as u16 + bit as u16))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_set_yields_exactly_the_cores_that_were_inserted() {
        let mut set = CoreSet::default();
        for core in [255, 0, 63, 64, 130] {
            set.insert(CoreId(core));
        }
        let cores: Vec<u16> = set.iter().map(|core| core.0).collect();
        assert_eq!(cores, [0, 63, 64, 130, 255]);
    }
}
