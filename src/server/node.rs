//! The broker process as an operator sees it: identity, addresses, limits, counters of the cores.
//!
//! Made by `start` when the cores run; read by the admin pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use blipmq::broker::Protocol;
use blipmq::broker::counters::Counters;
use blipmq::broker::memory::Memory;
use blipmq::config::Settings;

use super::control::Control;
use super::listeners::Addresses;
use super::process::Process;
use super::reload::Configuration;
use super::tls;
use super::turns::Turns;

/// What one core counts.
#[derive(Debug, Clone)]
pub struct Core {
    /// The CPU that the core's executor is pinned to.
    pub cpu: usize,
    /// The counters of its broker.
    pub counters: Arc<Counters>,
    /// The counters of its executor.
    pub turns: Arc<Turns>,
    /// The counters of its TLS.
    pub tls: Arc<tls::counters::Counters>,
}

impl Core {
    /// A core that has counted nothing.
    pub fn new(cpu: usize) -> Core {
        Core { cpu, counters: Arc::default(), turns: Arc::default(), tls: Arc::default() }
    }
}

/// The broker process.
pub struct Node {
    /// New at every start.
    pub server_id: u64,
    /// When the broker became ready, by the wall clock, which may be set later.
    pub started: SystemTime,
    /// When the broker became ready.
    pub ready_since: Instant,
    pub addresses: Addresses,
    /// Shards that topics are hashed to.
    pub shards: u16,
    /// The cores, by their number.
    pub cores: Vec<Core>,
    pub control: Control,
    /// Memory of messages, over all cores.
    pub memory: Memory,
    /// Topics of all cores.
    pub topics: Arc<AtomicU32>,
    pub configuration: Arc<Configuration>,
    /// A stop has begun.
    pub draining: AtomicBool,
    /// Handshakes of the admin pages.
    pub page_handshakes: Arc<tls::counters::Handshakes>,
    /// Lines of the log that could not be written.
    pub log_lines_lost: Arc<AtomicU64>,
}

/// A bound of the broker, and how much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The name of what is bounded.
    pub name: &'static str,
    pub used: u64,
    pub limit: u64,
    /// `bytes`, or empty for things that are counted.
    pub unit: &'static str,
    /// The setting of the limit: a key of the configuration, or a command.
    pub key: &'static str,
}

impl Node {
    /// The sum of a number over all cores.
    pub fn sum(&self, of_core: impl Fn(&Core) -> u64) -> u64 {
        self.cores.iter().map(of_core).sum()
    }

    /// Whether the broker accepts connections.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// The active settings.
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
    // Closed ones first: a connection that closes between the two reads was opened before, so the
    // difference cannot fall below zero. Saturating, because stores of another core may be seen late.
    let closed = counters.connections_closed.get();
    counters.connections_opened.get().saturating_sub(closed)
}

/// NATS connections open now.
pub fn nats_connections(counters: &Counters) -> u64 {
    let closed = counters.closed_by(Protocol::Nats as usize).get();
    counters.opened_by(Protocol::Nats as usize).get().saturating_sub(closed)
}
