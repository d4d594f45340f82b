//! Exceptions from the rules, each with its reason. These lists only shrink: an exception without need
//! fails its test, and the commit of a new one has to argue for it.

use crate::lengths::{LongFile, LongFunction};
use crate::names::Allowed;

/// Functions longer than [`FUNCTION_LINES_MAX`](crate::lengths::FUNCTION_LINES_MAX), by file and name.
pub const LONG_FUNCTIONS: &[LongFunction] = &[
    ("src/broker/fan_out.rs", "fan_out", "is cut when the broker gets its rooms"),
    ("src/broker/flush.rs", "gather", "is cut when the broker gets its rooms"),
    ("src/broker/nats/subscribe.rs", "nats_subscribe", "is cut when the broker gets its rooms"),
    ("src/cli/bench/round.rs", "watch", "to be cut: one loop that waits and decides"),
    (
        "src/config/parse/tests.rs",
        "each_kind_of_problem_is_told_in_one_line_that_says_what_to_do",
        "a table of problems and texts",
    ),
    (
        "src/config/parse/users/tests.rs",
        "each_mistake_is_told_with_its_line_and_what_to_do",
        "a table of mistakes and texts",
    ),
    ("src/server/admin/families.rs", "of_cores", "a table of metrics"),
    ("src/server/admin/families.rs", "of_process", "a table of metrics"),
    (
        "src/server/admin/tests.rs",
        "every_counter_shows_under_its_own_name_and_core",
        "a table of counters and names",
    ),
    ("src/server/mod.rs", "start", "to be cut: all of starting, step by step"),
    (
        "tests/process/delivery.rs",
        "two_publishers_and_many_subscribers_share_one_order_of_every_topic",
        "to be cut: one scene of three acts",
    ),
    ("tests/simulation/nats/promises.rs", "plain", "to be cut: all promises to one subscriber"),
    ("tests/simulation/nats/promises.rs", "queues", "to be cut: all promises to one queue group"),
    ("tests/simulation/receive.rs", "frame", "one match over all frames"),
];

/// Files longer than [`FILE_LINES_MAX`](crate::lengths::FILE_LINES_MAX).
pub const LONG_FILES: &[LongFile] = &[
    ("benches/report.py", "one program of one file, copied and run as it is"),
    ("executors/src/driver.rs", "to be cut: the ring becomes a parameter"),
    ("executors/tests/support/mod.rs", "to be cut: a service and its clients"),
    ("src/broker/groups.rs", "is cut when the broker gets its rooms"),
    ("src/broker/ingest.rs", "its tests are 60 lines of it"),
    ("src/broker/mod.rs", "is cut when the broker gets its rooms"),
    ("src/broker/queue.rs", "is cut when the broker gets its rooms"),
    ("src/cli/bench/round.rs", "to be cut: connecting and watching"),
    ("src/cli/bench/worker.rs", "to be cut: publishing and taking"),
    ("src/cli/top/state.rs", "its tests are 110 lines of it"),
    ("src/client/conversation.rs", "its tests are 140 lines of it"),
    ("src/client/outgoing.rs", "to be cut: batches and their bounds"),
    ("src/client/tokio.rs", "one wrapper for each method of the blocking client"),
    ("src/config/keys.rs", "one table of all keys"),
    ("src/config/problem.rs", "one table of all problems and their texts"),
    ("src/protocol/decode.rs", "one reader for each frame"),
    ("src/protocol/messages.rs", "its tests are 90 lines of it"),
    ("src/server/admin/dashboard/dashboard.css", "a style sheet, which has no functions to move"),
    ("src/server/admin/dashboard/panels.css", "a style sheet, which has no functions to move"),
    ("src/server/admin/families.rs", "one table of all metrics"),
    ("src/server/admin/tests.rs", "one line too many"),
    ("tests/bench/main.rs", "to be cut: runs and documents"),
    ("tests/cli.rs", "to be cut: a file for each command"),
    ("tests/client.rs", "to be cut: paths and failures"),
    ("tests/deploy/running.py", "five lines too many"),
    ("tests/nats/clients/nats_js.mjs", "one claim after the other, as in nats_py.py"),
    ("tests/nats/clients/nats_py.py", "one claim after the other, as in nats_js.mjs"),
    ("tests/simulation/driver.rs", "goes away when the simulator runs the real turn"),
    ("tests/simulation/nats/client.rs", "to be cut: what it writes, what it reads"),
    ("tests/simulation/nats/mod.rs", "to be cut: worlds and their plans"),
    ("tests/simulation/scenarios.rs", "one scene after the other"),
    ("tests/simulation/world.rs", "to be cut: clocks, clients and cores"),
];

/// Names of runtimes outside `executors/`.
pub const RUNTIMES: &[Allowed] =
    &[("src/server/logs.rs", "glommio", "the target by which its lines are kept out of the log")];

/// Names of protocols in the broker, outside its frontends.
pub const PROTOCOLS: &[Allowed] = &[];

/// Files and folders of the broker from the time before its rooms. The rules of rooms leave them out; a
/// file that moves into a room is struck from this list, and is bound by the rules from then on.
pub const FLAT: &[&str] = &[
    "src/broker/audit.rs",
    "src/broker/auth.rs",
    "src/broker/block.rs",
    "src/broker/counters.rs",
    "src/broker/drain.rs",
    "src/broker/fan_out.rs",
    "src/broker/flush.rs",
    "src/broker/gaps.rs",
    "src/broker/groups.rs",
    "src/broker/histogram.rs",
    "src/broker/ingest.rs",
    "src/broker/inspect.rs",
    "src/broker/inspect/",
    "src/broker/interest.rs",
    "src/broker/letter.rs",
    "src/broker/log.rs",
    "src/broker/members.rs",
    "src/broker/memory.rs",
    "src/broker/mesh.rs",
    "src/broker/mod.rs",
    "src/broker/nats/",
    "src/broker/notice.rs",
    "src/broker/overflow.rs",
    "src/broker/pattern.rs",
    "src/broker/permissions.rs",
    "src/broker/portion.rs",
    "src/broker/publish.rs",
    "src/broker/queue.rs",
    "src/broker/receive.rs",
    "src/broker/reload.rs",
    "src/broker/replay.rs",
    "src/broker/session.rs",
    "src/broker/shard.rs",
    "src/broker/subscribe.rs",
    "src/broker/subscriptions.rs",
    "src/broker/topic.rs",
];
