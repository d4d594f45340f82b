//! Settings to TOML: the whole configuration with its comments, as `config/mixed.toml` shows it.
//!
//! # Always true
//! - What is printed parses to the same settings.

use std::fmt;

use super::keys::{Form, KEYS, OVERFLOW_NAMES, TABLES};
use super::{Settings, cores};

impl fmt::Display for Settings {
    /// A complete TOML file: every key, with its meaning and range above it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, table) in TABLES.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            writeln!(f, "{gap}[{table}]")?;
            for key in KEYS.iter().filter(|key| key.table == *table) {
                for line in key.doc.lines() {
                    writeln!(f, "# {line}")?;
                }
                if let Form::Number { range, .. } = &key.form {
                    writeln!(f, "# From {} to {}.", range.start(), range.end())?;
                }
                writeln!(f, "{} = {}", key.name, value(self, &key.form))?;
            }
        }
        Ok(())
    }
}

/// No value needs escaping: strings here are addresses, digits and names of ours.
fn value(settings: &Settings, form: &Form) -> String {
    match form {
        Form::Number { get, .. } => get(settings).to_string(),
        Form::Flag { get, .. } => get(settings).to_string(),
        Form::Address { get, .. } => format!("\"{}\"", get(settings)),
        Form::Cores { get, .. } => match get(settings) {
            None => "\"all\"".to_owned(),
            Some(list) => format!("\"{}\"", cores::to_text(list)),
        },
        Form::Overflow { get, .. } => {
            let policy = get(settings);
            let (name, _) = OVERFLOW_NAMES
                .iter()
                .find(|(_, named)| *named == policy)
                .expect("every overflow policy has a name");
            format!("\"{name}\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Delivery, Limits, Metrics, Nats, OverflowPolicy, Queues, Server};
    use super::*;

    #[test]
    fn printed_defaults_parse_to_the_defaults() {
        let text = Settings::default().to_string();
        assert_eq!(Settings::parse("printed", &text), Ok(Settings::default()));
    }

    #[test]
    fn printed_settings_parse_to_the_same_settings() {
        let settings = Settings {
            server: Server {
                bind_addr: "[::1]:1".parse().unwrap(),
                cores: Some(vec![0, 2, 3, 9]),
                max_connections: 2,
                max_message_size_bytes: 3,
                auth_timeout_ms: 4,
                drain_timeout_ms: 5,
                busy_poll_us: 16,
            },
            nats: Nats {
                enabled: false,
                bind_addr: "[::1]:2".parse().unwrap(),
                subscriber_capacity: 17,
                ping_interval_ms: 18,
                pings_max: 19,
            },
            queues: Queues {
                topic_bytes: 13 << 20,
                topic_idle_timeout_ms: 14,
                block_timeout_ms: 15,
                topic_capacity: 6,
                subscriber_capacity: 7,
                subscriber_bytes: 8_000_000_000,
                overflow_policy: OverflowPolicy::DropNew,
            },
            delivery: Delivery { max_batch: 9, fanout_shards: 10, default_ttl_ms: u32::MAX },
            limits: Limits {
                memory_max: 1 << 33,
                max_topics: 11,
                max_subscriptions_per_connection: 12,
            },
            metrics: Metrics { enabled: false, bind_addr: "0.0.0.0:0".parse().unwrap() },
        };
        assert_eq!(Settings::parse("printed", &settings.to_string()), Ok(settings));
    }

    #[test]
    fn every_key_is_printed_with_a_comment_above_it() {
        let text = Settings::default().to_string();
        let lines: Vec<&str> = text.lines().collect();
        for key in &KEYS {
            let start = format!("{} = ", key.name);
            let at = lines.iter().position(|line| line.starts_with(&start)).expect(key.name);
            assert!(lines[at - 1].starts_with("# "), "{} has no comment", key.name);
        }
    }
}
