//! The description of every key: its table, name, form, range and meaning, each said once.
//!
//! Used by `parse` to read a file, by `print` to write one, and by `problem` for its texts.
//!
//! # Always true
//! - A key's table and name are the names of its fields in [`Settings`].
//! - `set` is only called with what the key's form allows; `parse` checks first.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::auth::{PermissionLists, Secret};
use super::{Choice, LogFormat, LogLevel, OverflowPolicy, Settings};
use crate::limits;

/// One key of the configuration file.
#[derive(Debug)]
pub struct Key {
    /// The table it stands in, without brackets.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it means, as full sentences, one line each.
    pub doc: &'static str,
    /// When a change of it takes effect.
    pub applies: Applies,
    /// What may be written, and where it goes.
    pub form: Form,
}

/// When a change of a key takes effect in a broker that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// With a reload, for everything.
    Live,
    /// With a reload, for subscriptions that are made after it; those that are there keep what they
    /// were given.
    NewSubscriptions,
    /// With the next start.
    Restart,
}

impl Applies {
    /// Whether a reload is enough.
    pub fn by_reload(self) -> bool {
        self != Applies::Restart
    }

    /// In words, to stand in a table.
    pub fn name(self) -> &'static str {
        match self {
            Applies::Live => "by reload",
            Applies::NewSubscriptions => "by reload, for new subscriptions",
            Applies::Restart => "by restart",
        }
    }
}

/// What a key's value may be, and the place of it in [`Settings`].
#[derive(Debug)]
pub enum Form {
    /// A whole number.
    Number {
        /// What is allowed.
        range: RangeInclusive<u64>,
        /// Reads it.
        get: fn(&Settings) -> u64,
        /// Changes it.
        set: fn(&mut Settings, u64),
    },
    /// `true` or `false`.
    Flag {
        /// Reads it.
        get: fn(&Settings) -> bool,
        /// Changes it.
        set: fn(&mut Settings, bool),
    },
    /// An IP address with a port, as a string.
    Address {
        /// Reads it.
        get: fn(&Settings) -> SocketAddr,
        /// Changes it.
        set: fn(&mut Settings, SocketAddr),
    },
    /// A list of CPU numbers, as a string.
    Cores {
        /// Reads it.
        get: fn(&Settings) -> &Option<Vec<usize>>,
        /// Changes it.
        set: fn(&mut Settings, Option<Vec<usize>>),
    },
    /// One of a few words, as a string.
    Choice {
        /// What is allowed.
        names: fn() -> Vec<&'static str>,
        /// Reads it.
        get: fn(&Settings) -> &'static str,
        /// Changes it, to one of the names.
        set: fn(&mut Settings, &str),
    },
    /// A secret, as a string. Absent unless it is set, and never printed.
    Secret {
        /// Reads it.
        get: fn(&Settings) -> &Option<Secret>,
        /// Changes it.
        set: fn(&mut Settings, Option<Secret>),
    },
}

/// One key of `[[auth.users]]`, the table that may stand more than once.
#[derive(Debug)]
pub struct UserKey {
    /// Its name.
    pub name: &'static str,
    /// What it means, as full sentences, one line each.
    pub doc: &'static str,
    /// An example, as it may stand in a file.
    pub example: &'static str,
    /// What may be written.
    pub form: UserForm,
}

/// What a key of `[[auth.users]]` may be.
#[derive(Debug)]
pub enum UserForm {
    /// A name, as a string.
    Name,
    /// A password, as a string.
    Password,
    /// A public nkey, as a string.
    Nkey,
    /// A list of patterns.
    Patterns {
        /// Reads it.
        get: fn(&PermissionLists) -> &Option<Vec<String>>,
        /// Changes it.
        set: fn(&mut PermissionLists, Vec<String>),
    },
}

impl UserKey {
    /// What may be written, in words, to follow "must be".
    pub fn allowed(&self) -> &'static str {
        match self.form {
            UserForm::Name => "a name in quotes, like \"eu\"",
            UserForm::Password => "a password in quotes",
            UserForm::Nkey => "a user's public nkey in quotes, which begins with U",
            UserForm::Patterns { .. } => "a list of patterns in quotes, like [\"orders.>\"]",
        }
    }
}

/// A list of patterns: its field name is its name.
macro_rules! patterns {
    ($name:ident, $example:expr, $doc:expr) => {
        UserKey {
            name: stringify!($name),
            doc: $doc,
            example: $example,
            form: UserForm::Patterns {
                get: |lists| &lists.$name,
                set: |lists, patterns| lists.$name = Some(patterns),
            },
        }
    };
}

/// Every key of `[[auth.users]]`, in the order they are printed.
pub static USER_KEYS: [UserKey; 7] = [
    UserKey {
        name: "user",
        doc: "Its name, for clients that bring a password.",
        example: "\"eu\"",
        form: UserForm::Name,
    },
    UserKey {
        name: "password",
        doc: "Its password.",
        example: "\"...\"",
        form: UserForm::Password,
    },
    UserKey {
        name: "nkey",
        doc: "Or, instead of both, its public nkey: NATS clients prove that they have the seed.",
        example: "\"U...\"",
        form: UserForm::Nkey,
    },
    patterns!(
        publish,
        "[\"orders.eu.>\", \"_INBOX.>\"]",
        "Topics it may publish to; without this list all, with an empty one none."
    ),
    patterns!(
        publish_deny,
        "[\"orders.eu.secret\"]",
        "Topics it may not publish to, though they are in the list above."
    ),
    patterns!(
        subscribe,
        "[\"orders.>\", \"_INBOX.>\"]",
        "Patterns it may subscribe to, and narrower ones; without this list all, with an empty one\n\
         none."
    ),
    patterns!(
        subscribe_deny,
        "[\"orders.*.secret\"]",
        "Topics it is never sent, though a pattern it subscribed to matches them."
    ),
];

/// The tables, in the order they are printed.
pub const TABLES: [&str; 8] =
    ["server", "nats", "auth", "queues", "delivery", "limits", "metrics", "logging"];

impl Key {
    /// The key with this name in this table.
    pub fn find(table: &str, name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.table == table && key.name == name)
    }

    /// What may be written, in words, to follow "must be".
    pub fn allowed(&self) -> String {
        match &self.form {
            Form::Number { range, .. } => {
                format!("a whole number from {} to {}", range.start(), range.end())
            }
            Form::Flag { .. } => "true or false".to_owned(),
            Form::Address { .. } => {
                "an IP address and a port in quotes, like \"127.0.0.1:7878\" or \"[::1]:7878\""
                    .to_owned()
            }
            Form::Cores { .. } => format!(
                "CPU numbers from 0 to {} in quotes, like \"0,2-3\", or \"all\"",
                limits::CPU_NUMBER_MAX
            ),
            Form::Secret { .. } => "a string in quotes that is not empty".to_owned(),
            Form::Choice { names, .. } => {
                let quoted = names().into_iter().map(|name| format!("\"{name}\""));
                quoted.collect::<Vec<_>>().join(" or ")
            }
        }
    }
}

/// A number: its field names are its table and name.
macro_rules! number {
    ($table:ident . $name:ident: $int:ty, $range:expr, $applies:ident, $doc:expr) => {
        Key {
            table: stringify!($table),
            name: stringify!($name),
            doc: $doc,
            applies: Applies::$applies,
            form: Form::Number {
                range: $range,
                get: |settings| u64::from(settings.$table.$name),
                set: |settings, number| {
                    settings.$table.$name =
                        <$int>::try_from(number).expect("a key's range fits its field");
                },
            },
        }
    };
}

/// One of a few words: its field names are its table and name.
macro_rules! choice {
    ($table:ident . $name:ident: $choice:ty, $applies:ident, $doc:expr) => {
        Key {
            table: stringify!($table),
            name: stringify!($name),
            doc: $doc,
            applies: Applies::$applies,
            form: Form::Choice {
                names: || <$choice>::NAMES.iter().map(|(name, _)| *name).collect(),
                get: |settings| settings.$table.$name.name(),
                set: |settings, name| {
                    settings.$table.$name = <$choice>::named(name).expect("only names are set");
                },
            },
        }
    };
}

/// A key of another form: its field names are its table and name.
macro_rules! other {
    ($table:ident . $name:ident, $form:ident, $applies:ident, $doc:expr) => {
        Key {
            table: stringify!($table),
            name: stringify!($name),
            doc: $doc,
            applies: Applies::$applies,
            form: Form::$form {
                get: |settings| settings.$table.$name,
                set: |settings, value| settings.$table.$name = value,
            },
        }
    };
}

/// Every key there is, by table, in the order they are printed.
pub static KEYS: [Key; 32] = [
    other!(
        server.bind_addr,
        Address,
        Restart,
        "Where clients connect. Port 0 takes any free port."
    ),
    Key {
        table: "server",
        name: "cores",
        doc: "CPU numbers to run on, one executor each, like \"0,2-3\".\n\
              \"all\" is every one this process is allowed (taskset, numactl, cgroup).",
        applies: Applies::Restart,
        form: Form::Cores {
            get: |settings| &settings.server.cores,
            set: |settings, cores| settings.server.cores = cores,
        },
    },
    number!(
        server.max_connections: u32,
        limits::CONNECTIONS_RANGE,
        Live,
        "Connections at once, over all cores. Further ones get an error and are closed."
    ),
    number!(
        server.max_message_size_bytes: u32,
        limits::MESSAGE_LEN_RANGE,
        Restart,
        "Longest payload of one message, in bytes."
    ),
    number!(
        server.auth_timeout_ms: u32,
        limits::TIMEOUT_MS_RANGE,
        Live,
        "Time a new connection has to introduce itself, in milliseconds."
    ),
    number!(
        server.drain_timeout_ms: u32,
        limits::TIMEOUT_MS_RANGE,
        Live,
        "Time a stop may take to deliver what was accepted, in milliseconds."
    ),
    number!(
        server.drain_spread_ms: u32,
        limits::DRAIN_SPREAD_MS_RANGE,
        Live,
        "A stop closes connections that have everything one after the other over this time, in\n\
         milliseconds, so that not all clients come back at once. It is at most 1 ms for each\n\
         connection of a core, and half of what is left of drain_timeout_ms; 0 is at once."
    ),
    number!(
        server.busy_poll_us: u32,
        limits::BUSY_POLL_US_RANGE,
        Live,
        "Time a core whose last sleeps were short looks for the next arrival before it sleeps\n\
         again, in microseconds; 0 is never. A core without traffic always sleeps."
    ),
    other!(nats.enabled, Flag, Restart, "Whether clients of the NATS protocol are served too."),
    other!(
        nats.bind_addr,
        Address,
        Restart,
        "Where NATS clients connect. Port 0 takes any free port."
    ),
    number!(
        nats.subscriber_capacity: u32,
        limits::CAPACITY_RANGE,
        NewSubscriptions,
        "Messages one NATS subscription may have waiting: these clients count on falling far behind.\n\
         queues.subscriber_bytes bounds their bytes."
    ),
    number!(
        nats.ping_interval_ms: u32,
        limits::TIMEOUT_MS_RANGE,
        Live,
        "A NATS connection that sent nothing for this time is sent PING, in milliseconds."
    ),
    number!(
        nats.pings_max: u32,
        limits::PINGS_RANGE,
        Live,
        "Unanswered PINGs after which a NATS connection is closed as stale."
    ),
    Key {
        table: "auth",
        name: "token",
        doc: "What every client has to bring; whoever does may do everything. Without it and without\n\
              users everybody may connect and do everything.",
        applies: Applies::Live,
        form: Form::Secret {
            get: |settings| &settings.auth.token,
            set: |settings, token| settings.auth.token = token,
        },
    },
    number!(
        queues.topic_capacity: u32,
        limits::TOPIC_CAPACITY_RANGE,
        Live,
        "Messages each topic keeps for subscribers that ask for earlier ones; 0 keeps none."
    ),
    number!(
        queues.topic_bytes: u64,
        limits::TOPIC_BYTES_RANGE,
        Live,
        "Bytes each topic keeps; the first of both bounds to be reached counts."
    ),
    number!(
        queues.topic_idle_timeout_ms: u32,
        limits::TIMEOUT_MS_RANGE,
        Live,
        "A topic without messages for this time gives its kept ones up, in milliseconds."
    ),
    number!(
        queues.subscriber_capacity: u32,
        limits::CAPACITY_RANGE,
        NewSubscriptions,
        "Messages one subscription may have waiting. A client may ask for fewer, never for more."
    ),
    number!(
        queues.subscriber_bytes: u64,
        limits::SUBSCRIBER_BYTES_RANGE,
        NewSubscriptions,
        "Bytes one subscription may have waiting; the first of both bounds to be reached counts."
    ),
    choice!(
        queues.overflow_policy: OverflowPolicy,
        NewSubscriptions,
        "What happens when a subscription's queue is full, unless the subscriber chose:\n\
         its oldest waiting messages go (\"drop_oldest\"), or those that arrive (\"drop_new\"),\n\
         or publishers wait (\"block\"), or it is disconnected (\"disconnect\"),\n\
         or only the newest message of each topic waits (\"latest\")."
    ),
    number!(
        queues.block_timeout_ms: u32,
        limits::TIMEOUT_MS_RANGE,
        Live,
        "Time publishers wait for a subscriber with \"block\" that takes nothing, in milliseconds;\n\
         then it is disconnected."
    ),
    number!(
        delivery.max_batch: u32,
        limits::BATCH_RANGE,
        Live,
        "Messages sent to one connection at a time. More raises throughput, fewer lowers latency."
    ),
    number!(
        delivery.fanout_shards: u16,
        limits::SHARDS_RANGE,
        Restart,
        "Shards that topics are dealt to. 0 is twice the number of cores."
    ),
    number!(
        delivery.default_ttl_ms: u32,
        limits::TTL_MS_RANGE,
        Live,
        "Time to live of messages that name none, in milliseconds. 0 is for ever."
    ),
    number!(
        limits.memory_max: u64,
        limits::MEMORY_RANGE,
        Live,
        "Bytes of messages the broker holds at most, in queues and kept ones together. Above it the\n\
         oldest kept messages go, then publishes are refused."
    ),
    number!(limits.max_topics: u32, limits::TOPICS_RANGE,
        Live, "Topics at once, over all cores."),
    number!(
        limits.max_subscriptions_per_connection: u32,
        limits::SUBSCRIPTIONS_RANGE,
        Live,
        "Subscriptions one connection may have at once."
    ),
    other!(
        metrics.enabled,
        Flag,
        Restart,
        "Whether metrics, health checks, the API and the dashboard are served."
    ),
    other!(
        metrics.bind_addr,
        Address,
        Restart,
        "Where they are: Prometheus fetches /metrics, browsers /. Port 0 takes any free port. An\n\
         address that others can reach needs a token."
    ),
    Key {
        table: "metrics",
        name: "token",
        doc: "What whoever reads them has to bring, as `Authorization: Bearer TOKEN`; health checks\n\
              need none.",
        applies: Applies::Live,
        form: Form::Secret {
            get: |settings| &settings.metrics.token,
            set: |settings, token| settings.metrics.token = token,
        },
    },
    choice!(
        logging.level: LogLevel,
        Live,
        "How much is logged, on stderr. \"debug\" has a line for each connection."
    ),
    choice!(
        logging.format: LogFormat,
        Restart,
        "What a line looks like: for people (\"pretty\"), or a JSON object (\"json\")."
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_those_of_the_keys_in_their_order() {
        let mut tables: Vec<&str> = KEYS.iter().map(|key| key.table).collect();
        tables.dedup();
        assert_eq!(tables, TABLES);
    }

    #[test]
    fn no_key_is_described_twice() {
        for (index, key) in KEYS.iter().enumerate() {
            let twin = KEYS[..index].iter().find(|k| (k.table, k.name) == (key.table, key.name));
            assert!(twin.is_none(), "[{}] {} is described twice", key.table, key.name);
        }
    }

    #[test]
    fn every_default_lies_in_its_range() {
        let settings = Settings::default();
        for key in &KEYS {
            if let Form::Number { range, get, .. } = &key.form {
                let number = get(&settings);
                assert!(range.contains(&number), "[{}] {} is {number}", key.table, key.name);
            }
        }
    }

    #[test]
    fn both_ends_of_every_range_fit_their_field() {
        let mut settings = Settings::default();
        for key in &KEYS {
            if let Form::Number { range, get, set } = &key.form {
                for end in [*range.start(), *range.end()] {
                    set(&mut settings, end);
                    assert_eq!(get(&settings), end, "[{}] {}", key.table, key.name);
                }
            }
        }
    }
}
