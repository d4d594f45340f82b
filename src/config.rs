//! The configuration: TOML text to checked settings.
//!
//! Called by the command line at the start. The broker gets [`Settings`] and never sees the text.
//! The caller reads the file: text comes in, settings or a [`ConfigError`] go out.
//!
//! | to learn | read |
//! |---|---|
//! | which keys there are, their ranges and meaning | [`keys`] |
//! | how text becomes settings | `parse` |
//! | which problems a file can have, and their error texts | [`problem`] |
//! | which keys conflict with each other | [`conflict`] |
//! | which clients may connect, and how secrets are kept out of texts | [`auth`], `parse/users` |
//! | which certificates there are, and who has to use TLS | [`tls`], `parse/certificates` |
//! | which listeners other machines can reach without a login or encryption | [`exposure`] |
//! | how a list of cores is written | [`cores`] |
//! | which hashes a password or a token may be | [`hash`] |
//! | what a reload changes, and what only a restart changes | [`change`] |
//! | how settings become text again | `print` |
//!
//! # Always true
//! - A key is described once, in [`keys::KEYS`]; parsing, printing and error texts follow from it.
//! - All problems of a file are reported at once, one line each.
//! - Printed [`Settings`] parse to the same settings, but for secrets: their printed placeholder is
//!   refused.

pub mod auth;
pub mod change;
pub mod conflict;
pub mod cores;
pub mod exposure;
pub mod hash;
pub mod keys;
mod logging;
mod parse;
mod print;
pub mod problem;
pub mod tls;

use std::net::SocketAddr;

use crate::limits;

pub use auth::{Auth, Login, Secret, SecretSource, User, UserLimits};
pub use change::Change;
pub use conflict::Conflict;
pub use cores::{parse_cores, parse_cores_or_all};
pub use exposure::Exposure;
pub use logging::{LogFormat, LogLevel, Logging};
pub use problem::ConfigError;
pub use tls::{ClientCerts, NatsHandshakeFirst, Tls, TlsMode, TlsVersion};

/// The checked configuration. `Settings::default()` is the meaning of an empty file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// `[server]`
    pub server: Server,
    /// `[nats]`
    pub nats: Nats,
    /// `[tls]`
    pub tls: Tls,
    /// `[auth]`
    pub auth: Auth,
    /// `[queues]`
    pub queues: Queues,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[limits]`
    pub limits: Limits,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[logging]`
    pub logging: Logging,
}

impl Settings {
    /// Messages that the shortest queue of a subscription holds, unless its client asked for less.
    pub fn subscriber_capacity_min(&self) -> u32 {
        match self.nats.enabled {
            true => self.nats.subscriber_capacity.min(self.queues.subscriber_capacity),
            false => self.queues.subscriber_capacity,
        }
    }

    /// Where clients that are told an address connect, as far as it is configured.
    pub fn advertised_addr(&self) -> SocketAddr {
        self.nats.bind_addr
    }

    /// The user that clients without credentials are, if their protocol knows such clients.
    pub fn no_auth_user(&self) -> Option<&str> {
        self.nats.no_auth_user.as_deref()
    }

    /// Parses and checks the text of a configuration file. `file_name` is for error texts only.
    ///
    /// ```
    /// use blipmq::config::Settings;
    ///
    /// let settings = Settings::parse("blipmq.toml", "[delivery]\nmax_batch = 32\n").unwrap();
    /// assert_eq!(settings.delivery.max_batch, 32);
    ///
    /// let error = Settings::parse("blipmq.toml", "[delivery]\nmax_bach = 32\n").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "blipmq.toml:2: [delivery] max_bach is not a known key; did you mean max_batch?"
    /// );
    /// ```
    pub fn parse(file_name: &str, text: &str) -> Result<Settings, ConfigError> {
        parse::parse(file_name, text, &auth::NoSecretSource)
    }

    /// The same for a text that may name files and variables which have its secrets.
    pub fn parse_with(
        file_name: &str,
        text: &str,
        secrets: &dyn SecretSource,
    ) -> Result<Settings, ConfigError> {
        parse::parse(file_name, text, secrets)
    }

    /// The addresses to listen on, each with its key as `table.key`; those of disabled listeners are
    /// left out.
    pub fn bind_addrs(&self) -> Vec<(&'static str, SocketAddr)> {
        let all = [
            ("server.bind_addr", self.server.bind_addr, true),
            ("nats.bind_addr", self.nats.bind_addr, self.nats.enabled),
            ("metrics.bind_addr", self.metrics.bind_addr, self.metrics.enabled),
        ];
        let enabled = all.into_iter().filter(|(.., is_enabled)| *is_enabled);
        enabled.map(|(key, address, _)| (key, address)).collect()
    }

    /// Whether clients connect from this machine only.
    pub fn is_local(&self) -> bool {
        let Settings { server, nats, .. } = self;
        let is_local = |address: SocketAddr| address.ip().is_loopback();
        is_local(server.bind_addr) && (!nats.enabled || is_local(nats.bind_addr))
    }

    /// Keys that are each in range and conflict with each other.
    ///
    /// `parse` returns settings without conflicts; check again after flags have changed settings.
    pub fn conflicts(&self) -> Vec<Conflict> {
        conflict::conflicts(self)
    }
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The address at which BLIP/1 clients connect.
    pub bind_addr: SocketAddr,
    /// Why other machines may reach the broker without a login or encryption.
    pub insecure: Option<String>,
    /// CPU numbers to run on, ascending; `None` means every CPU that this process may use.
    pub cores: Option<Vec<usize>>,
    /// Connections at once, over all cores.
    pub max_connections: u32,
    /// Longest payload of a message.
    pub max_message_size_bytes: u32,
    /// Time from connecting to HELLO.
    pub auth_timeout_ms: u32,
    /// Time a stop may take to deliver accepted messages.
    pub drain_timeout_ms: u32,
    /// Time over which a stop spreads the closing of connections.
    pub drain_spread_ms: u32,
    /// Time between SIGUSR2 and the stop, for clients to leave; 0 means none.
    pub lame_duck_ms: u32,
    /// How long a peer may take nothing of what it is sent; 0 means for ever.
    pub write_timeout_ms: u32,
    /// Silence after which a BLIP/1 client is sent PING; 0 means never.
    pub ping_interval_ms: u32,
    /// Unanswered PINGs after which a BLIP/1 client is disconnected.
    pub pings_max: u32,
    /// Time a core that expects an arrival polls for it before it sleeps; 0 means not at all.
    pub busy_poll_us: u32,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            bind_addr: SocketAddr::from(([127, 0, 0, 1], 7878)),
            insecure: None,
            cores: None,
            max_connections: limits::CONNECTIONS_DEFAULT,
            max_message_size_bytes: limits::MESSAGE_LEN_DEFAULT,
            auth_timeout_ms: limits::AUTH_TIMEOUT_MS_DEFAULT,
            drain_timeout_ms: limits::DRAIN_TIMEOUT_MS_DEFAULT,
            drain_spread_ms: limits::DRAIN_SPREAD_MS_DEFAULT,
            lame_duck_ms: limits::LAME_DUCK_MS_DEFAULT,
            write_timeout_ms: limits::WRITE_TIMEOUT_MS_DEFAULT,
            ping_interval_ms: limits::PING_INTERVAL_MS_DEFAULT,
            pings_max: limits::PINGS_DEFAULT,
            busy_poll_us: limits::BUSY_POLL_US_DEFAULT,
        }
    }
}

/// `[nats]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nats {
    /// Whether NATS clients are served.
    pub enabled: bool,
    /// The address at which NATS clients connect.
    pub bind_addr: SocketAddr,
    /// Messages that one subscription of a NATS client may have queued.
    pub subscriber_capacity: u32,
    /// Silence after which a client is sent PING.
    pub ping_interval_ms: u32,
    /// Unanswered PINGs after which a client is disconnected.
    pub pings_max: u32,
    /// The user that clients without credentials are.
    pub no_auth_user: Option<String>,
}

impl Default for Nats {
    fn default() -> Nats {
        Nats {
            enabled: true,
            bind_addr: SocketAddr::from(([127, 0, 0, 1], 4222)),
            subscriber_capacity: limits::NATS_SUBSCRIBER_CAPACITY_DEFAULT,
            ping_interval_ms: limits::NATS_PING_INTERVAL_MS_DEFAULT,
            pings_max: limits::NATS_PINGS_DEFAULT,
            no_auth_user: None,
        }
    }
}

/// A setting that is one of a few words.
pub trait Choice: Copy + PartialEq + 'static {
    /// Every choice, with its name in files.
    const NAMES: &'static [(&'static str, Self)];

    /// The name in files.
    fn name(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, choice)| *choice == self);
        named.expect("every choice has a name").0
    }

    /// The choice with this name.
    fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, choice)| *choice)
    }
}

/// What happens to a subscription's messages when its queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverflowPolicy {
    /// `drop_oldest`: the oldest queued messages are dropped.
    DropOldest,
    /// `drop_new`: new messages are dropped until there is room.
    DropNew,
    /// `block`: the topic's publishers wait until there is room.
    Block,
    /// `disconnect`: the subscriber is disconnected.
    Disconnect,
    /// `latest`: only the newest message of each topic stays queued.
    Latest,
}

impl Choice for OverflowPolicy {
    const NAMES: &'static [(&'static str, OverflowPolicy)] = &[
        ("drop_oldest", OverflowPolicy::DropOldest),
        ("drop_new", OverflowPolicy::DropNew),
        ("block", OverflowPolicy::Block),
        ("disconnect", OverflowPolicy::Disconnect),
        ("latest", OverflowPolicy::Latest),
    ];
}

/// `[queues]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queues {
    /// Messages a topic retains for replay.
    pub topic_capacity: u32,
    /// Bytes a topic retains for replay.
    pub topic_bytes: u64,
    /// Time without messages after which the retained messages of a topic are evicted.
    pub topic_idle_timeout_ms: u32,
    /// Messages one subscription may have queued.
    pub subscriber_capacity: u32,
    /// Bytes one subscription may have queued.
    pub subscriber_bytes: u64,
    /// Bytes all subscriptions of one connection may have queued together, with 96 for each entry.
    pub connection_bytes: u64,
    /// The policy of subscriptions that choose none.
    pub overflow_policy: OverflowPolicy,
    /// Time that publishers wait for a subscriber that reads nothing.
    pub block_timeout_ms: u32,
    /// Bytes a second that a subscriber has to take while publishers wait for it; 0 demands none.
    pub block_min_rate: u32,
}

impl Default for Queues {
    fn default() -> Queues {
        Queues {
            topic_capacity: limits::TOPIC_CAPACITY_DEFAULT,
            topic_bytes: limits::TOPIC_BYTES_DEFAULT,
            topic_idle_timeout_ms: limits::TOPIC_IDLE_TIMEOUT_MS_DEFAULT,
            subscriber_capacity: limits::SUBSCRIBER_CAPACITY_DEFAULT,
            subscriber_bytes: limits::SUBSCRIBER_BYTES_DEFAULT,
            connection_bytes: limits::CONNECTION_BYTES_DEFAULT,
            overflow_policy: OverflowPolicy::DropOldest,
            block_timeout_ms: limits::BLOCK_TIMEOUT_MS_DEFAULT,
            block_min_rate: limits::BLOCK_MIN_RATE_DEFAULT,
        }
    }
}

/// `[delivery]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Messages gathered per connection and turn.
    pub max_batch: u32,
    /// Shards that topics are hashed to; 0 means twice the cores.
    pub fanout_shards: u16,
    /// The time to live of messages that say 0; 0 means that they do not expire.
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
    /// Bytes of messages held at once, over all cores.
    pub memory_max: u64,
    /// Topics at once, over all cores.
    pub max_topics: u32,
    /// Topics that one connection opened and did not publish to.
    pub max_topics_per_connection: u32,
    /// Subscriptions of one connection.
    pub max_subscriptions_per_connection: u32,
    /// Subscriptions at once, over all cores.
    pub max_subscriptions: u32,
    /// Subscriptions of one connection that one message may reach.
    pub max_fan_out_per_connection: u32,
    /// Connections of one address at once; 0 means no limit.
    pub max_connections_per_address: u32,
    /// New connections of one address a second; 0 means no limit.
    pub max_new_connections_per_address: u32,
    /// Connections at once whose clients have not logged in; 0 means half of what logged-in ones leave.
    pub max_connections_before_login: u32,
    /// Messages one connection may publish a second; 0 means no limit.
    pub max_publish_messages_per_second: u32,
    /// Bytes one connection may publish a second; 0 means no limit.
    pub max_publish_bytes_per_second: u64,
    /// Tokens of a pattern or topic.
    pub max_pattern_tokens: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_max: limits::MEMORY_DEFAULT,
            max_topics: limits::TOPICS_DEFAULT,
            max_topics_per_connection: limits::TOPICS_PER_CONNECTION_DEFAULT,
            max_subscriptions_per_connection: limits::SUBSCRIPTIONS_DEFAULT,
            max_subscriptions: limits::SUBSCRIPTIONS_IN_ALL_DEFAULT,
            max_fan_out_per_connection: limits::SUBSCRIPTIONS_DEFAULT,
            max_connections_per_address: 0,
            max_new_connections_per_address: 0,
            max_connections_before_login: 0,
            max_publish_messages_per_second: 0,
            max_publish_bytes_per_second: 0,
            max_pattern_tokens: limits::PATTERN_TOKENS_DEFAULT,
        }
    }
}

/// `[metrics]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Whether the admin pages are served.
    pub enabled: bool,
    /// The address of the admin pages.
    pub bind_addr: SocketAddr,
    /// The token that requests must carry.
    pub token: Option<Secret>,
    /// Whether the admin pages are served over TLS.
    pub tls: bool,
    /// Whether their clients show certificates.
    pub client_certs: ClientCerts,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let bind_addr = SocketAddr::from(([127, 0, 0, 1], 9090));
        let client_certs = ClientCerts::None;
        Metrics { enabled: true, bind_addr, token: None, tls: false, client_certs }
    }
}
