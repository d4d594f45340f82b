//! The broker process as its operator sees it: what it is, where it is, what its cores count.
//!
//! Made by `server` when the cores run; read by the admin pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::SystemTime;

use blipmq::broker::counters::Counters;
use blipmq::broker::memory::Memory;
use blipmq::config::Settings;

use super::control::Control;
use super::listeners::Addresses;
use super::process::Process;
use super::reload::Configuration;
use super::turns::Turns;

/// What one core counts.
#[derive(Debug, Clone)]
pub struct Core {
    /// The CPU it is pinned to.
    pub cpu: usize,
    /// Of its broker.
    pub counters: Arc<Counters>,
    /// Of its executor.
    pub turns: Arc<Turns>,
}

/// The process.
pub struct Node {
    /// New at every start.
    pub server_id: u64,
    /// When it became ready.
    pub started: SystemTime,
    /// Where it listens.
    pub addresses: Addresses,
    /// Shards that topics are hashed to.
    pub shards: u16,
    /// Its cores, in their order.
    pub cores: Vec<Core>,
    /// Asks them.
    pub control: Control,
    /// What all cores hold.
    pub memory: Memory,
    /// Topics of all cores.
    pub topics: Arc<AtomicU32>,
    /// What is in force, and how it came to be.
    pub configuration: Arc<Configuration>,
    /// It has been told to stop.
    pub draining: AtomicBool,
}

/// A bound of the broker, and how much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What it is a bound of.
    pub name: &'static str,
    /// How much there is.
    pub used: u64,
    /// How much there may be.
    pub limit: u64,
    /// `bytes`, or nothing for things that are counted.
    pub unit: &'static str,
    /// What sets it.
    pub key: &'static str,
}

impl Node {
    /// A number over all cores.
    pub fn sum(&self, of_core: impl Fn(&Core) -> u64) -> u64 {
        self.cores.iter().map(of_core).sum()
    }

    /// Whether it goes on accepting.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// What is in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.configuration.settings()
    }

    /// Every bound over all cores.
    pub fn limits(&self, process: &Process) -> [Limit; 4] {
        let counted = |name, used, limit, key| Limit { name, used, limit, unit: "", key };
        let settings = self.settings();
        [
            counted(
                "connections",
                self.sum(|core| connections(&core.counters)),
                settings.server.max_connections.into(),
                "server.max_connections",
            ),
            Limit {
                name: "memory",
                used: self.memory.held(),
                limit: self.memory.max(),
                unit: "bytes",
                key: "limits.memory_max",
            },
            counted(
                "topics",
                self.topics.load(Ordering::Relaxed).into(),
                settings.limits.max_topics.into(),
                "limits.max_topics",
            ),
            counted("open_files", process.open_files, process.open_files_max, "ulimit -n"),
        ]
    }
}

/// Connections open now.
pub fn connections(counters: &Counters) -> u64 {
    // Closed first: what closes between both reads was opened before, so the difference cannot fall
    // below zero; saturating, because another core's stores may be seen late.
    let closed = counters.connections_closed.get();
    counters.connections_opened.get().saturating_sub(closed)
}

/// Those of them that are NATS clients.
pub fn nats_connections(counters: &Counters) -> u64 {
    let closed = counters.nats_connections_closed.get();
    counters.nats_connections_opened.get().saturating_sub(closed)
}
