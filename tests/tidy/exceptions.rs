//! Exceptions from the rules, each with its reason. These lists only shrink: an exception without need
//! fails its test, and the commit of a new one has to argue for it.

use crate::lengths::{LongFile, LongFunction};
use crate::names::Allowed;

/// Functions longer than [`FUNCTION_LINES_MAX`](crate::lengths::FUNCTION_LINES_MAX), by file and name.
pub const LONG_FUNCTIONS: &[LongFunction] = &[];

/// Files longer than [`FILE_LINES_MAX`](crate::lengths::FILE_LINES_MAX).
pub const LONG_FILES: &[LongFile] = &[
    ("benches/report.py", "one program of one file, copied and run as it is"),
    ("src/server/admin/dashboard/dashboard.css", "a style sheet, which has no functions to move"),
    ("tests/nats/clients/nats_js.mjs", "one claim after the other, as in nats_py.py"),
    ("tests/nats/clients/nats_py.py", "one claim after the other, as in nats_js.mjs"),
];

/// Names of runtimes outside `executors/`.
pub const RUNTIMES: &[Allowed] =
    &[("src/server/logs.rs", "glommio", "the target by which its lines are kept out of the log")];

/// Names of protocols in the broker, outside its frontends.
pub const PROTOCOLS: &[Allowed] =
    &[("src/broker/inspect/tests.rs", "nats", "lists show clients, which speak some protocol")];
