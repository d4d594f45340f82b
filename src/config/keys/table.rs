//! The table of all keys.

use super::{Applies, Form, Key};
use crate::config::{Choice, LogFormat, LogLevel, OverflowPolicy};
use crate::limits;

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
