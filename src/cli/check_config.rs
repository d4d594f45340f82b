//! `blipmq check-config`: whether a file is valid, and every setting it leads to.
//!
//! Called by `cli`.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::path::PathBuf;

use blipmq::config::{Delivery, Limits, Metrics, OverflowPolicy, Queues, Server, Settings};
use clap::Args;

use super::{Outcome, serve};

/// Check a configuration file and print every setting it leads to.
#[derive(Debug, Args)]
pub struct CheckConfig {
    /// The file.
    file: PathBuf,
}

impl CheckConfig {
    pub fn run(self) -> Outcome {
        let settings = serve::read_settings(&self.file)?;
        let text = format!("{} is valid\n{}", self.file.display(), Effective(&settings));
        match io::stdout().lock().write_all(text.as_bytes()) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| format!("cannot write to stdout: {error}")),
        }
    }
}

/// Settings as a file would say them. Every structure is taken apart in full, so that a new key
/// without a line here does not compile.
struct Effective<'a>(&'a Settings);

impl Display for Effective<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { server, queues, delivery, limits, metrics } = self.0;
        let Server {
            bind_addr,
            cores,
            max_connections,
            max_message_size_bytes,
            auth_timeout_ms,
            drain_timeout_ms,
        } = server;
        writeln!(f, "\n[server]")?;
        writeln!(f, "bind_addr = \"{bind_addr}\"")?;
        match cores {
            Some(cores) => writeln!(f, "cores = {cores:?}")?,
            None => writeln!(f, "# cores: every CPU this process may use")?,
        }
        writeln!(f, "max_connections = {max_connections}")?;
        writeln!(f, "max_message_size_bytes = {max_message_size_bytes}")?;
        writeln!(f, "auth_timeout_ms = {auth_timeout_ms}")?;
        writeln!(f, "drain_timeout_ms = {drain_timeout_ms}")?;

        let Queues { topic_capacity, subscriber_capacity, subscriber_bytes, overflow_policy } =
            queues;
        let overflow_policy = match overflow_policy {
            OverflowPolicy::DropOldest => "drop_oldest",
            OverflowPolicy::DropNew => "drop_new",
        };
        writeln!(f, "\n[queues]")?;
        writeln!(f, "topic_capacity = {topic_capacity}")?;
        writeln!(f, "subscriber_capacity = {subscriber_capacity}")?;
        writeln!(f, "subscriber_bytes = {subscriber_bytes}")?;
        writeln!(f, "overflow_policy = \"{overflow_policy}\"")?;

        let Delivery { max_batch, fanout_shards, default_ttl_ms } = delivery;
        writeln!(f, "\n[delivery]")?;
        writeln!(f, "max_batch = {max_batch}")?;
        writeln!(f, "fanout_shards = {fanout_shards}")?;
        writeln!(f, "default_ttl_ms = {default_ttl_ms}")?;

        let Limits { max_topics, max_subscriptions_per_connection } = limits;
        writeln!(f, "\n[limits]")?;
        writeln!(f, "max_topics = {max_topics}")?;
        writeln!(f, "max_subscriptions_per_connection = {max_subscriptions_per_connection}")?;

        let Metrics { enabled, bind_addr } = metrics;
        writeln!(f, "\n[metrics]")?;
        writeln!(f, "enabled = {enabled}")?;
        writeln!(f, "bind_addr = \"{bind_addr}\"")
    }
}
