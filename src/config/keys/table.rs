//! The table of all keys.

use super::{Applies, Form, Key, tls};
use crate::config::{Choice, ClientCerts, LogFormat, LogLevel, OverflowPolicy};
use crate::limits;

/// Every key, by table, in the order in which they are printed.
pub static KEYS: [Key; 64] = [
    other!(
        server.bind_addr,
        Address,
        Restart,
        "Address for BLIP/1 clients. Port 0 takes any free port."
    ),
    Key {
        table: "server",
        name: "insecure",
        doc: "Why other machines may reach a listener without a login, or without encryption although there\n\
              is a login. Without a reason the broker does not start then; the reason is logged at every\n\
              start.",
        applies: Applies::Live,
        form: Form::Text {
            get: |settings| &settings.server.insecure,
            set: |settings, reason| settings.server.insecure = reason,
        },
    },
    Key {
        table: "server",
        name: "cores",
        doc: "CPU numbers to run on, one executor each, like \"0,2-3\".\n\
              \"all\" means every CPU that this process may use (taskset, numactl, cgroup).",
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
        "Time a new client has to log in, in milliseconds."
    ),
    number!(
        server.drain_timeout_ms: u32,
        limits::TIMEOUT_MS_RANGE,
        Live,
        "Time a stop may take to deliver accepted messages, in milliseconds."
    ),
    number!(
        server.drain_spread_ms: u32,
        limits::DRAIN_SPREAD_MS_RANGE,
        Live,
        "Time over which a stop spreads the closing of connections that have received everything, in\n\
         milliseconds, so that not all clients reconnect at once. At most 1 ms for each connection of\n\
         a core, and half of the rest of drain_timeout_ms; 0 closes them at once."
    ),
    number!(
        server.lame_duck_ms: u32,
        limits::LAME_DUCK_MS_RANGE,
        Live,
        "Time between SIGUSR2 and the stop, in milliseconds: new connections are refused at once, NATS\n\
         clients are told to leave, and in the second half the connections that are left are closed\n\
         one after the other. 0 stops at once."
    ),
    number!(
        server.write_timeout_ms: u32,
        limits::WRITE_TIMEOUT_MS_RANGE,
        Live,
        "Time a client may take nothing of what it is sent, in milliseconds; then its connection is\n\
         closed. 0 means for ever."
    ),
    number!(
        server.ping_interval_ms: u32,
        limits::PING_INTERVAL_MS_RANGE,
        Live,
        "Silence after which a BLIP/1 connection is sent PING, in milliseconds. 0 sends none, and keeps\n\
         connections whose clients hang or are cut off."
    ),
    number!(
        server.pings_max: u32,
        limits::PINGS_RANGE,
        Live,
        "Unanswered PINGs after which a BLIP/1 connection is closed. A member of a group that hangs gets\n\
         messages until then."
    ),
    number!(
        server.busy_poll_us: u32,
        limits::BUSY_POLL_US_RANGE,
        Live,
        "Time a core whose last sleeps were short polls for the next arrival before it sleeps again,\n\
         in microseconds; 0 means not at all. A core without traffic always sleeps."
    ),
    other!(nats.enabled, Flag, Restart, "Whether clients of the NATS protocol are served too."),
    other!(
        nats.bind_addr,
        Address,
        Restart,
        "Address for NATS clients. Port 0 takes any free port."
    ),
    number!(
        nats.subscriber_capacity: u32,
        limits::CAPACITY_RANGE,
        NewSubscriptions,
        "Messages one NATS subscription may have queued: NATS clients expect that they may fall far\n\
         behind. queues.subscriber_bytes bounds their bytes."
    ),
    number!(
        nats.ping_interval_ms: u32,
        limits::TIMEOUT_MS_RANGE,
        Live,
        "Silence after which a NATS connection is sent PING, in milliseconds."
    ),
    number!(
        nats.pings_max: u32,
        limits::PINGS_RANGE,
        Live,
        "Unanswered PINGs after which a NATS connection is closed as stale."
    ),
    Key {
        table: "nats",
        name: "no_auth_user",
        doc: "The user, by name or nkey, that NATS clients without credentials are. BLIP/1 has none.",
        applies: Applies::Live,
        form: Form::Name {
            get: |settings| &settings.nats.no_auth_user,
            set: |settings, user| settings.nats.no_auth_user = user,
        },
    },
    tls::CERT_FILE,
    tls::KEY_FILE,
    tls::CLIENT_CA_FILE,
    tls::CLIENT_CERTS,
    tls::CRL_FILE,
    tls::MIN_VERSION,
    tls::BLIP,
    tls::NATS,
    tls::NATS_HANDSHAKE_FIRST,
    tls::HANDSHAKE_TIMEOUT_MS,
    tls::RECORD_BYTES,
    Key {
        table: "auth",
        name: "token",
        doc: "Token that every client must bring, for all permissions, or its hash from\n\
              `blipmq hash-password`. Without a token and without users every client may connect and do\n\
              everything.",
        applies: Applies::Live,
        form: Form::Secret {
            takes_hash: true,
            get: |settings| &settings.auth.token,
            set: |settings, token| settings.auth.token = token,
        },
    },
    Key {
        table: "auth",
        name: "token_file",
        doc: "Or a file that has the token: its path, at first in $CREDENTIALS_DIRECTORY and then beside this\n\
              file if it is not absolute.",
        applies: Applies::Live,
        form: Form::SecretFile {
            instead_of: "token",
            takes_hash: true,
            get: |settings| &settings.auth.token,
            set: |settings, token| settings.auth.token = token,
        },
    },
    number!(
        queues.topic_capacity: u32,
        limits::TOPIC_CAPACITY_RANGE,
        Live,
        "Messages each topic retains for replay; 0 retains none."
    ),
    number!(
        queues.topic_bytes: u64,
        limits::TOPIC_BYTES_RANGE,
        Live,
        "Bytes each topic retains; the bound that is reached first applies."
    ),
    number!(
        queues.topic_idle_timeout_ms: u32,
        limits::TIMEOUT_MS_RANGE,
        Live,
        "Time without messages after which a topic's retained messages are evicted, in milliseconds."
    ),
    number!(
        queues.subscriber_capacity: u32,
        limits::CAPACITY_RANGE,
        NewSubscriptions,
        "Messages one subscription may have queued. A client may ask for fewer, never for more."
    ),
    number!(
        queues.subscriber_bytes: u64,
        limits::SUBSCRIBER_BYTES_RANGE,
        NewSubscriptions,
        "Bytes one subscription may have queued; the bound that is reached first applies."
    ),
    number!(
        queues.connection_bytes: u64,
        limits::CONNECTION_BYTES_RANGE,
        Live,
        "Bytes all subscriptions of one connection may have queued together. A message beyond that is\n\
         dealt with by the overflow policy of the subscription that gets the message."
    ),
    choice!(
        queues.overflow_policy: OverflowPolicy,
        NewSubscriptions,
        "What happens when a subscription's queue is full, unless the subscriber chose a policy: the\n\
         oldest queued messages are dropped (\"drop_oldest\"), or the arriving ones (\"drop_new\"), or\n\
         publishers wait (\"block\"), or the subscriber is disconnected (\"disconnect\"), or only the\n\
         newest message of each topic stays queued (\"latest\"). A client without the right to block gets\n\
         \"drop_oldest\" instead of \"block\"."
    ),
    number!(
        queues.block_timeout_ms: u32,
        limits::TIMEOUT_MS_RANGE,
        Live,
        "Time publishers wait for a subscriber with \"block\" that reads nothing, in milliseconds; then\n\
         the subscriber is disconnected."
    ),
    number!(
        queues.block_min_rate: u32,
        limits::BLOCK_MIN_RATE_RANGE,
        Live,
        "Bytes a second that a connection with \"block\" has to take while publishers wait for it, on\n\
         average over block_timeout_ms of such waits, or be disconnected. 0 demands none."
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
        "Shards that topics are hashed to. 0 means twice the number of cores."
    ),
    number!(
        delivery.default_ttl_ms: u32,
        limits::TTL_MS_RANGE,
        Live,
        "Time to live of messages that name none, in milliseconds. 0 means that they do not expire."
    ),
    number!(
        limits.memory_max: u64,
        limits::MEMORY_RANGE,
        Live,
        "Bytes of queued and retained messages that the broker may hold. When they are nearly used up,\n\
         the oldest retained messages are evicted, then the connections that hold most lose their oldest\n\
         messages, down to a fair share. If that is not enough, publishes are refused."
    ),
    number!(limits.max_topics: u32, limits::TOPICS_RANGE,
        Live, "Topics at once, over all cores; and no more than half of memory_max has room for, at 700 bytes\n\
               and the name each."),
    number!(
        limits.max_topics_per_connection: u32,
        limits::TOPICS_PER_CONNECTION_RANGE,
        Live,
        "Topics one connection may have opened without publishing to them, and no more than a tenth of\n\
         those that memory_max has room for."
    ),
    number!(
        limits.max_subscriptions_per_connection: u32,
        limits::SUBSCRIPTIONS_RANGE,
        Live,
        "Subscriptions one connection may have at once."
    ),
    number!(
        limits.max_subscriptions: u32,
        limits::SUBSCRIPTIONS_IN_ALL_RANGE,
        Live,
        "Subscriptions at once, over all cores."
    ),
    number!(
        limits.max_fan_out_per_connection: u32,
        limits::SUBSCRIPTIONS_RANGE,
        Live,
        "Subscriptions of one connection that one message may reach. A connection of which one reaches\n\
         more is closed with an error. BLIP/1 connections get each message once."
    ),
    number!(
        limits.max_connections_per_address: u32,
        limits::CONNECTIONS_OF_SOME_RANGE,
        Live,
        "Connections one address may have at once; 0 means no limit. An IPv6 network of 64 bits counts\n\
         as one address. Further connections get an error and are closed."
    ),
    number!(
        limits.max_new_connections_per_address: u32,
        limits::CONNECTIONS_OF_SOME_RANGE,
        Live,
        "New connections one address may make a second; 0 means no limit. Further ones get an error and\n\
         are closed."
    ),
    number!(
        limits.max_connections_before_login: u32,
        limits::CONNECTIONS_OF_SOME_RANGE,
        Live,
        "Connections at once whose clients have not logged in, or have said nothing yet. Above this,\n\
         clients that take longer than a second are closed, the oldest of the address with most first.\n\
         0 means half of the connections that logged-in clients leave of max_connections."
    ),
    number!(
        limits.max_publish_messages_per_second: u32,
        limits::PUBLISH_MESSAGES_RANGE,
        Live,
        "Messages one connection may publish a second, of which it may save up a second; it is not read\n\
         while it has published more. 0 means no limit."
    ),
    number!(
        limits.max_publish_bytes_per_second: u64,
        limits::PUBLISH_BYTES_RANGE,
        Live,
        "Bytes one connection may publish a second, likewise. 0 means no limit."
    ),
    number!(
        limits.max_pattern_tokens: u32,
        limits::PATTERN_TOKENS_RANGE,
        Live,
        "Tokens that a pattern or a topic may have."
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
        "Address of these pages: Prometheus fetches /metrics, browsers /. Port 0 takes any free port.\n\
         An address that other machines can reach needs a token."
    ),
    Key {
        table: "metrics",
        name: "token",
        doc: "Token that requests must carry, as `Authorization: Bearer TOKEN`; health checks need none.",
        applies: Applies::Live,
        form: Form::Secret {
            takes_hash: false,
            get: |settings| &settings.metrics.token,
            set: |settings, token| settings.metrics.token = token,
        },
    },
    Key {
        table: "metrics",
        name: "token_file",
        doc: "Or a file that has the token, as auth.token_file.",
        applies: Applies::Live,
        form: Form::SecretFile {
            instead_of: "token",
            takes_hash: false,
            get: |settings| &settings.metrics.token,
            set: |settings, token| settings.metrics.token = token,
        },
    },
    other!(
        metrics.tls,
        Flag,
        Restart,
        "Whether these pages are served over TLS, as https, with tls.cert_file and its key."
    ),
    choice!(
        metrics.client_certs: ClientCerts,
        Live,
        "Whether clients of these pages are asked for a certificate of tls.client_ca_file: not (\"none\"), or\n\
         they may have one, which stands for the token (\"optional\"), or they must (\"required\"), health\n\
         checks as well."
    ),
    choice!(
        logging.level: LogLevel,
        Live,
        "How much is logged, on stderr. \"debug\" has a line for each connection."
    ),
    choice!(
        logging.format: LogFormat,
        Restart,
        "Format of a line: for people (\"pretty\"), or a JSON object (\"json\")."
    ),
];
