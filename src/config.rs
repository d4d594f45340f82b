//! The configuration: TOML text to checked settings.
//!
//! Called by the command line at start. The broker gets [`Settings`] and never sees the text.

use std::net::SocketAddr;

use crate::limits;

/// Everything that can be configured, checked. `Settings::default()` is what an empty file means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// `[server]`
    pub server: Server,
    /// `[queues]`
    pub queues: Queues,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[limits]`
    pub limits: Limits,
    /// `[metrics]`
    pub metrics: Metrics,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where clients connect.
    pub bind_addr: SocketAddr,
    /// CPU numbers to run on, ascending; `None` is every one this process is allowed.
    pub cores: Option<Vec<usize>>,
    /// Connections at once, over all cores.
    pub max_connections: u32,
    /// Longest payload.
    pub max_message_size_bytes: u32,
    /// Time from connecting to HELLO.
    pub auth_timeout_ms: u32,
    /// Time a stop may take to deliver what was accepted.
    pub drain_timeout_ms: u32,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            bind_addr: SocketAddr::from(([127, 0, 0, 1], 7878)),
            cores: None,
            max_connections: limits::CONNECTIONS_DEFAULT,
            max_message_size_bytes: limits::MESSAGE_LEN_DEFAULT,
            auth_timeout_ms: limits::AUTH_TIMEOUT_MS_DEFAULT,
            drain_timeout_ms: limits::DRAIN_TIMEOUT_MS_DEFAULT,
        }
    }
}

/// What happens to a subscription's messages when its queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverflowPolicy {
    /// `drop_oldest`: its oldest queued messages go.
    DropOldest,
    /// `drop_new`: new messages are not queued until there is room.
    DropNew,
}

/// `[queues]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queues {
    /// Messages a topic keeps for replay.
    pub topic_capacity: u32,
    /// Messages one subscription may have queued.
    pub subscriber_capacity: u32,
    /// Bytes one subscription may have queued.
    pub subscriber_bytes: u64,
    /// For subscriptions that choose none.
    pub overflow_policy: OverflowPolicy,
}

impl Default for Queues {
    fn default() -> Queues {
        Queues {
            topic_capacity: limits::TOPIC_CAPACITY_DEFAULT,
            subscriber_capacity: limits::SUBSCRIBER_CAPACITY_DEFAULT,
            subscriber_bytes: limits::SUBSCRIBER_BYTES_DEFAULT,
            overflow_policy: OverflowPolicy::DropOldest,
        }
    }
}

/// `[delivery]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Messages gathered per connection and turn.
    pub max_batch: u32,
    /// Shards that topics are hashed to; 0 is twice the cores.
    pub fanout_shards: u16,
    /// For messages that say 0; 0 is for ever.
    pub default_ttl_ms: u32,
}

impl Default for Delivery {
    fn default() -> Delivery {
        Delivery { max_batch: limits::BATCH_DEFAULT, fanout_shards: 0, default_ttl_ms: 0 }
    }
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Topics at once, over all cores.
    pub max_topics: u32,
    /// Subscriptions of one connection.
    pub max_subscriptions_per_connection: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_topics: limits::TOPICS_DEFAULT,
            max_subscriptions_per_connection: limits::SUBSCRIPTIONS_DEFAULT,
        }
    }
}

/// `[metrics]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Whether the page is served at all.
    pub enabled: bool,
    /// Where Prometheus fetches it.
    pub bind_addr: SocketAddr,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics { enabled: true, bind_addr: SocketAddr::from(([127, 0, 0, 1], 9090)) }
    }
}

// --- Placeholders of branch `client`: the real ones are written on another branch and win. ---

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Settings {
    /// Reads a configuration.
    pub fn parse(file_name: &str, text: &str) -> Result<Settings, ConfigError> {
        match text.lines().find(|line| !line.trim().is_empty()) {
            None => Ok(Settings::default()),
            Some(line) => Err(ConfigError(format!("{file_name}: unknown key `{line}`"))),
        }
    }
}

/// Reads a list of CPU numbers.
pub fn parse_cores(text: &str) -> Result<Vec<usize>, String> {
    let core = |part: &str| part.parse().map_err(|_| format!("`{part}` is not a CPU number"));
    text.split(',').map(core).collect()
}
