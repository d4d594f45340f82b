//! The answers of the admin API, as types. Unknown fields are skipped, so that answers of a newer
//! broker can be read; a missing field is an error that names the field.
//!
//! Called by `admin`. Read by `top` and `reload`.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer};

use crate::printable;

/// Text that is safe on a terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Printable(String);

impl Printable {
    pub fn new(text: &str) -> Printable {
        Printable(printable::escape(text).into_owned())
    }
}

impl Deref for Printable {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Printable> for String {
    fn from(text: Printable) -> String {
        text.0
    }
}

impl<'de> Deserialize<'de> for Printable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Printable, D::Error> {
        String::deserialize(deserializer).map(|text| Printable::new(&text))
    }
}

/// GET /api/v1/status
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    pub name: Printable,
    pub version: Printable,
    /// Different after each start of the broker.
    pub server_id: Printable,
    pub pid: u32,
    pub state: Printable,
    pub uptime_seconds: f64,
    pub addresses: Addresses,
    pub cpus: Vec<u32>,
    pub shards: u64,
    pub process: Process,
    pub limits: Vec<Limit>,
    /// Since the start of the broker.
    pub latency: Latency,
}

/// The part of the status about the configuration.
#[derive(Debug, Clone, Deserialize)]
pub struct ConfigurationStatus {
    pub pid: u32,
    pub configuration: Configuration,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Configuration {
    pub reloads: u64,
    pub last_reload: Option<ReloadResult>,
}

/// The result of a reload.
#[derive(Debug, Clone, Deserialize)]
pub struct ReloadResult {
    pub number: u64,
    pub outcome: Printable,
    pub applied: Vec<Printable>,
    pub needs_restart: Vec<Printable>,
    pub errors: Vec<Printable>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Addresses {
    pub blip: Printable,
    pub nats: Option<Printable>,
    pub metrics: Printable,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Process {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub open_files: u64,
    pub open_files_max: u64,
    pub threads: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Limit {
    pub name: Printable,
    pub used: u64,
    pub limit: u64,
    pub unit: Printable,
    pub key: Printable,
}

/// Percentiles from accept to send; `None` before the first message.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Latency {
    pub p50_seconds: Option<f64>,
    pub p90_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
    pub p999_seconds: Option<f64>,
}

/// GET /api/v1/cores
#[derive(Debug, Clone, Deserialize)]
pub struct Cores {
    pub now_unix_seconds: f64,
    pub cores: Vec<Core>,
}

impl Cores {
    /// Checks what the types do not guarantee: every histogram has one count more than bounds, and
    /// the same bounds on all cores, so that histograms can be summed.
    pub fn check(&self) -> Result<(), String> {
        for core in &self.cores {
            let first = &self.cores[0];
            let pairs = [
                ("accept_to_send", &core.accept_to_send, &first.accept_to_send),
                ("send_messages", &core.send_messages, &first.send_messages),
                ("enter_sends", &core.enter_sends, &first.enter_sends),
            ];
            for (name, histogram, first) in pairs {
                let (bounds, counts) = (histogram.upper.len(), histogram.counts.len());
                if counts != bounds + 1 {
                    let core = core.core;
                    return Err(format!(
                        "{name} of core {core} has {counts} counts for {bounds} bounds"
                    ));
                }
                if histogram.upper != first.upper {
                    return Err(format!("{name} of core {} has different bounds", core.core));
                }
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct Core {
    pub core: u32,
    pub cpu: u32,
    /// Whether the core answered in time. The broker reads counters without asking the core.
    pub answered: bool,
    pub counters: Counters,
    pub asleep_seconds: f64,
    pub gauges: Gauges,
    pub accept_to_send: Histogram,
    pub send_messages: Histogram,
    pub enter_sends: Histogram,
}

/// The counters of a core since the start of the broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Counters {
    pub published_messages: u64,
    pub published_bytes: u64,
    pub delivered_messages: u64,
    pub dropped_oldest_messages: u64,
    pub dropped_new_messages: u64,
    #[serde(default)]
    pub dropped_connection_full_messages: u64,
    #[serde(default)]
    pub reclaimed_messages: u64,
    pub conflated_messages: u64,
    pub expired_before_enqueue_messages: u64,
    pub expired_in_queue_messages: u64,
    pub dropped_disconnected_messages: u64,
    pub refused_messages: u64,
    pub refused_for_memory_messages: u64,
    pub publishers_blocked: u64,
    pub flushed_bytes: u64,
    pub connections_opened: u64,
    pub connections_closed: u64,
    pub mesh_letters_sent: u64,
    pub mesh_full: u64,
    pub turns: u64,
    pub enters: u64,
    pub receive_buffer_shortages: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Gauges {
    pub connections: u64,
    pub nats_connections: u64,
    pub subscriptions: u64,
    pub topics: u64,
    pub blocked_topics: u64,
    pub mesh_waiting_letters: u64,
}

/// The number of values in each range; not cumulative.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Histogram {
    /// The upper bound of each bucket, in ascending order.
    #[serde(alias = "upper_seconds")]
    pub upper: Vec<f64>,
    /// One count per bound, and one for values above the last bound.
    pub counts: Vec<u64>,
    #[serde(alias = "sum_seconds")]
    pub sum: f64,
}

/// A range of a list.
#[derive(Debug, Clone, Deserialize)]
pub struct Page<Row> {
    pub total: u64,
    pub offset: u64,
    /// Cores whose rows are missing because they did not answer.
    pub unanswered_cores: Vec<u32>,
    pub rows: Vec<Row>,
}

/// A row of GET /api/v1/connections
#[derive(Debug, Clone, Deserialize)]
pub struct Connection {
    pub connection: Printable,
    pub core: u32,
    pub address: Printable,
    pub protocol: Printable,
    pub state: Printable,
    pub paused: Option<Printable>,
    pub age_seconds: f64,
    pub subscriptions: u64,
    pub queued_messages: u64,
    pub queued_bytes: u64,
    pub lag_seconds: f64,
    pub published_messages: u64,
    pub delivered_messages: u64,
    pub dropped_messages: u64,
}

/// A row of GET /api/v1/subscriptions
#[derive(Debug, Clone, Deserialize)]
pub struct Subscription {
    /// `None` for the queue of a group, which belongs to no connection; likewise the next two.
    pub connection: Option<Printable>,
    pub address: Option<Printable>,
    pub protocol: Option<Printable>,
    pub subscription: Printable,
    pub pattern: Printable,
    pub group: Option<Printable>,
    pub overflow: Printable,
    pub state: Printable,
    pub queued_messages: u64,
    pub messages_max: u64,
    pub queued_bytes: u64,
    pub bytes_max: u64,
    pub lag_seconds: f64,
    pub delivered_messages: u64,
    pub dropped_messages: u64,
    pub dropped: Dropped,
    pub holds_up_topics: u64,
}

impl Subscription {
    /// The subscription and its connection, or that it is the queue of a group.
    pub fn owner(&self) -> String {
        match (&self.connection, &self.address) {
            (Some(connection), Some(address)) => {
                format!("{} of {connection} {address}", self.subscription)
            }
            _ => "the queue".to_owned(),
        }
    }
}

/// The messages that a subscription missed, by reason.
#[derive(Debug, Clone, Deserialize)]
pub struct Dropped {
    pub overflow_oldest: u64,
    pub overflow_new: u64,
    #[serde(default)]
    pub connection_full: u64,
    #[serde(default)]
    pub reclaimed: u64,
    pub conflated: u64,
    pub expired: u64,
}

/// A row of GET /api/v1/topics
#[derive(Debug, Clone, Deserialize)]
pub struct Topic {
    pub topic: Printable,
    pub core: u32,
    pub rate_per_second: f64,
    pub published_messages: u64,
    pub kept_messages: u64,
    pub kept_bytes: u64,
    pub blocked: bool,
    pub idle_seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_when_it_is_deserialized() {
        let text: Printable = serde_json::from_str(r#""a\u001b[2J""#).expect("a JSON string");
        assert_eq!(&*text, "a\\u{1b}[2J");
    }

    #[test]
    fn histograms_that_cannot_be_summed_are_refused() {
        let histogram = |upper: &[f64], counts: &[u64]| Histogram {
            upper: upper.to_vec(),
            counts: counts.to_vec(),
            sum: 0.0,
        };
        let empty = histogram(&[], &[0]);
        let core = |histogram: Histogram| Core {
            core: 3,
            cpu: 3,
            answered: true,
            counters: Counters::default(),
            asleep_seconds: 0.0,
            gauges: Gauges::default(),
            accept_to_send: histogram,
            send_messages: empty.clone(),
            enter_sends: empty.clone(),
        };
        let cores = |cores: Vec<Core>| Cores { now_unix_seconds: 0.0, cores };
        let good = core(histogram(&[1.0, 2.0], &[0, 0, 0]));
        assert_eq!(cores(vec![good.clone(), good.clone()]).check(), Ok(()));
        let short = core(histogram(&[1.0, 2.0], &[0, 0]));
        let error = cores(vec![short]).check().unwrap_err();
        assert_eq!(error, "accept_to_send of core 3 has 2 counts for 2 bounds");
        let other = core(histogram(&[1.0, 3.0], &[0, 0, 0]));
        assert!(cores(vec![good, other]).check().unwrap_err().contains("different bounds"));
    }
}
