//! `[logging]`: how much is logged, and how a line looks.

use super::Choice;

/// How much is logged. Each level includes those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Failures that keep the broker from working.
    Error,
    /// Conditions that an operator should look at.
    Warn,
    /// Changes of state.
    Info,
    /// Every connection.
    Debug,
    /// All other events.
    Trace,
}

impl Choice for LogLevel {
    const NAMES: &'static [(&'static str, LogLevel)] = &[
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
}

/// The format of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For programs: a JSON object.
    Json,
}

impl Choice for LogFormat {
    const NAMES: &'static [(&'static str, LogFormat)] =
        &[("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];
}

/// `[logging]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// The format of a line.
    pub format: LogFormat,
}

impl Default for Logging {
    fn default() -> Logging {
        Logging { level: LogLevel::Info, format: LogFormat::Pretty }
    }
}
