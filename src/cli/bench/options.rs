//! The options of `blipmq bench` and their ranges.
//!
//! Called by `mod`. Next on the path: `round::Load`.

use std::path::PathBuf;
use std::time::Duration;

use blipmq::config;
use clap::{Args, value_parser};

use super::super::tls::TlsArgs;
use super::round::Load;
use super::shared::Pace;
use super::target::{self, Target};
use super::tracker::HEADER_LEN;

/// The default number of rounds when several targets are compared.
const ROUNDS_COMPARING: usize = 5;

/// The options of all modes that measure messages.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Brokers to measure: blip://host:port, nats://[user:password@|token@]host:port,
    /// redis://[user:password@]host:port, or raw://host:port for `blipmq bench mirror`. Over TLS:
    /// blips://, tls:// for NATS, tls+first:// for NATS with TLS before INFO, rediss://. All subscribers
    /// decrypt and check every message then too.
    #[arg(required = true, value_name = "URL")]
    pub urls: Vec<Target>,
    /// Length of the measurement in seconds, 0.1 to 3600.
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = parse_secs)]
    secs: Duration,
    /// Seconds of load before the measurement, 0 to 600.
    #[arg(long, value_name = "SECS", default_value = "1", value_parser = parse_warmup)]
    warmup: Duration,
    /// Payload size in bytes, 16 to 67108864; the first 16 are publisher, sequence and time.
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = value_parser!(u32).range(16..=64 << 20))]
    size: u32,
    /// Rounds per target; targets take turns. Default 1, and 5 with several URLs.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000))]
    rounds: Option<u32>,
    /// Pattern subscriptions that match nothing, on an additional connection.
    #[arg(long, value_name = "N", default_value = "0", value_parser = value_parser!(u32).range(0..=1_000_000))]
    patterns: u32,
    /// Additional idle connections, each with a subscription to a topic of its own.
    #[arg(long, value_name = "N", default_value = "0", value_parser = value_parser!(u32).range(0..=1_000_000))]
    idle_conns: u32,
    /// CPUs to run this generator on, such as 1 or 2-3; without this option, no thread is pinned.
    #[arg(long, value_name = "LIST", value_parser = parse_cpus)]
    cpu: Option<Cpus>,
    /// The broker's process id, to measure its CPU time and memory; give one for each URL, in order.
    #[arg(long = "pid", value_name = "PID", value_parser = value_parser!(u32).range(1..))]
    pids: Vec<u32>,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Write the latency histogram, in microseconds, in HdrHistogram's text format; with several URLs
    /// to one file each, with the scheme before the extension.
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
    /// Plot latency by percentile, and deliveries over time.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArgs,
}

/// The shape of the load.
#[derive(Debug, Clone, Args)]
struct Shape {
    /// Number of publishing connections.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=4_096))]
    pubs: u32,
    /// Number of subscribing connections.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=65_536))]
    subs: u32,
    /// Number of topics, distributed over publishers and subscribers; if there are fewer topics than
    /// connections, connections share topics.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=1_000_000))]
    topics: u32,
    /// Number of generator threads.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=256))]
    threads: u32,
}

#[derive(Debug, Clone, Args)]
pub struct Throughput {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    shape: Shape,
    /// The most messages of a topic in flight to its slowest subscriber.
    #[arg(long, value_name = "N", default_value = "1024", value_parser = value_parser!(u32).range(1..=1_000_000))]
    window: u32,
    /// Messages per published MESSAGES frame; only for blip://.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=65_535))]
    batch: u32,
}

#[derive(Debug, Clone, Args)]
pub struct Latency {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    shape: Shape,
    /// Messages per second, over all publishers.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=100_000_000))]
    rate: u64,
    /// Poll instead of sleeping until the next message is due: more precise, but each thread uses a
    /// whole CPU.
    #[arg(long)]
    spin: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Rtt {
    #[command(flatten)]
    pub common: Common,
    /// Number of subscribing connections; each must receive a message before the next is published.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=65_536))]
    subs: u32,
}

/// A list given as one argument; clap would read a plain `Vec` as several arguments.
#[derive(Debug, Clone)]
pub struct Cpus(pub Vec<usize>);

pub fn parse_cpus(text: &str) -> Result<Cpus, String> {
    config::parse_cores(text).map(Cpus)
}

pub fn parse_secs(text: &str) -> Result<Duration, String> {
    parse_seconds(text, 0.1, 3_600.0)
}

fn parse_warmup(text: &str) -> Result<Duration, String> {
    parse_seconds(text, 0.0, 600.0)
}

fn parse_seconds(text: &str, min: f64, max: f64) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (min..=max).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("give seconds from {min} to {max}, such as 2 or 0.5")),
    }
}

/// Assigns the processes to the targets, in order: one each, or none at all.
pub fn assign_pids(pids: &[u32], targets: usize) -> Result<Vec<Option<u32>>, String> {
    if pids.is_empty() {
        return Ok(vec![None; targets]);
    }
    if pids.len() != targets {
        return Err(format!(
            "{} --pid for {targets} URLs: give one for each URL, in order, or none",
            pids.len()
        ));
    }
    Ok(pids.iter().copied().map(Some).collect())
}

impl Common {
    /// Returns the targets. Over TLS each connection has a full handshake.
    pub fn targets(&self) -> Result<Vec<Target>, String> {
        target::secured(&self.urls, &self.tls, false)
    }

    pub fn pids(&self) -> Result<Vec<Option<u32>>, String> {
        assign_pids(&self.pids, self.urls.len())
    }

    pub fn rounds(&self) -> usize {
        let default = if self.urls.len() > 1 { ROUNDS_COMPARING } else { 1 };
        self.rounds.map_or(default, |rounds| rounds as usize)
    }

    fn load(&self, shape: &Shape, pace: Pace, batch: u32) -> Load {
        assert!(
            self.size as usize >= HEADER_LEN,
            "the range of --size starts at the header's length"
        );
        Load {
            publishers: shape.pubs as usize,
            subscribers: shape.subs as usize,
            topics: shape.topics as usize,
            payload_len: self.size as usize,
            batch: batch as usize,
            pace,
            warmup: self.warmup,
            measured: self.secs,
            patterns: self.patterns as usize,
            idle_connections: self.idle_conns as usize,
            threads: shape.threads as usize,
            cpus: self.cpu.clone().map(|cpus| cpus.0).unwrap_or_default(),
        }
    }
}

impl Throughput {
    pub fn load(&self) -> Result<Load, String> {
        let (size, batch, window) = (self.common.size, self.batch, self.window);
        if batch > window {
            return Err(format!(
                "a --batch of {batch} does not fit into a --window of {window}: raise the window, or \
                 lower the batch"
            ));
        }
        let frame_len = u64::from(batch) * (u64::from(size) + 4);
        if batch > 1 && frame_len > 64 << 20 {
            return Err(format!(
                "a --batch of {batch} messages of {size} bytes is {frame_len} bytes, the limit is \
                 {}: lower one of them",
                64 << 20
            ));
        }
        Ok(self.common.load(&self.shape, Pace::Window(window), batch))
    }
}

impl Latency {
    pub fn load(&self) -> Result<Load, String> {
        let pace = Pace::Rate { messages_per_s: self.rate, spin: self.spin };
        Ok(self.common.load(&self.shape, pace, 1))
    }
}

impl Rtt {
    pub fn load(&self) -> Result<Load, String> {
        let shape = Shape { pubs: 1, subs: self.subs, topics: 1, threads: 1 };
        Ok(self.common.load(&shape, Pace::RoundTrip, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_fractions_within_a_range() {
        assert_eq!(parse_secs("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_warmup("0"), Ok(Duration::ZERO));
        for bad in ["0", "3601", "-1", "NaN", "inf", "x", ""] {
            assert!(parse_secs(bad).unwrap_err().contains("0.1 to 3600"), "{bad}");
        }
    }

    #[test]
    fn processes_are_given_for_all_targets_or_none() {
        assert_eq!(assign_pids(&[], 2), Ok(vec![None, None]));
        assert_eq!(assign_pids(&[7, 8], 2), Ok(vec![Some(7), Some(8)]));
        assert!(assign_pids(&[7], 2).unwrap_err().contains("1 --pid for 2 URLs"));
    }
}
