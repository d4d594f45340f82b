//! Sample answers of a broker for the tests of this folder, with hostile names.

use std::time::{Duration, Instant};

use super::poll::{Lists, Poll};
use crate::cli::admin::model::*;

/// A name that would clear the screen, set the title and reverse the text.
pub const HOSTILE: &str = "orders.\x1b[2J\x1b]0;owned\x07\u{9b}31m.\r\n\u{202e}live";

fn text(text: &str) -> Printable {
    Printable::new(text)
}

pub fn status() -> Status {
    Status {
        name: text("blipmq"),
        version: text("0.1.0"),
        server_id: text("9F3A5C7E12B4D680"),
        pid: 4242,
        state: text("ready"),
        uptime_seconds: 11_523.0,
        addresses: Addresses {
            blip: text("127.0.0.1:7878"),
            nats: Some(text("127.0.0.1:4222")),
            metrics: text("127.0.0.1:9090"),
        },
        cpus: vec![0, 1],
        shards: 4,
        process: Process {
            cpu_seconds: 1.5,
            resident_bytes: 20_000_000,
            open_files: 40,
            open_files_max: 1_048_576,
            threads: 4,
        },
        limits: vec![
            limit("connections", 9_200, 10_000, "", "server.max_connections"),
            limit("memory", 1_610_612_736, 2_147_483_648, "bytes", "limits.memory_max"),
            limit("topics", 3, 1_000_000, "", "limits.max_topics"),
            limit("open_files", 40, 1_048_576, "", "ulimit -n"),
        ],
        latency: Latency {
            p50_seconds: Some(0.000_020),
            p90_seconds: Some(0.000_045),
            p99_seconds: Some(0.000_9),
            p999_seconds: Some(0.012),
        },
    }
}

fn limit(name: &str, used: u64, limit: u64, unit: &str, key: &str) -> Limit {
    Limit { name: text(name), used, limit, unit: text(unit), key: text(key) }
}

/// Returns `count` cores at the `poll`th poll; polls are a second apart.
pub fn cores(count: u32, poll: u64) -> Cores {
    Cores {
        now_unix_seconds: 1_790_000_000.0 + poll as f64,
        cores: (0..count).map(|at| core(at, poll)).collect(),
    }
}

fn core(core: u32, poll: u64) -> Core {
    let each = poll * (u64::from(core) + 1);
    Core {
        core,
        cpu: core + 2,
        answered: core != 200,
        counters: Counters {
            published_messages: 12_300 * each,
            published_bytes: 1_230_000 * each,
            delivered_messages: 590_000 * each,
            dropped_oldest_messages: 70 * each,
            dropped_new_messages: 0,
            dropped_connection_full_messages: 0,
            reclaimed_messages: 0,
            conflated_messages: 5 * each,
            expired_before_enqueue_messages: 0,
            expired_in_queue_messages: 2 * each,
            dropped_disconnected_messages: 0,
            refused_messages: 0,
            refused_for_memory_messages: 0,
            publishers_blocked: 0,
            flushed_bytes: 61_000_000 * each,
            connections_opened: 3 * each,
            connections_closed: each,
            mesh_letters_sent: 4_100 * each,
            mesh_full: each,
            turns: 9_000 * each,
            enters: 9_000 * each,
            receive_buffer_shortages: 0,
        },
        asleep_seconds: 0.25 * poll as f64,
        gauges: Gauges {
            connections: 12 + u64::from(core),
            nats_connections: 2,
            subscriptions: 30,
            topics: 5,
            blocked_topics: 0,
            mesh_waiting_letters: 0,
        },
        accept_to_send: Histogram {
            upper: vec![0.000_01, 0.000_02, 0.000_04, 0.001, 0.1],
            counts: [0, 500, 400, 95, 5, 0].map(|count| count * each).to_vec(),
            sum: 0.0,
        },
        send_messages: Histogram {
            upper: vec![1.0, 64.0, 4_096.0],
            counts: [0, 1_000, 0, 0].map(|count| count * each).to_vec(),
            sum: 48_000.0 * each as f64,
        },
        enter_sends: Histogram {
            upper: vec![1.0, 16.0],
            counts: [0, 100, 0].map(|count| count * each).to_vec(),
            sum: 750.0 * each as f64,
        },
    }
}

pub fn subscription(connection: &str, lost: u64) -> Subscription {
    Subscription {
        connection: Some(text(connection)),
        address: Some(text("10.1.2.3:50123")),
        protocol: Some(text("blip")),
        subscription: text("7"),
        pattern: text("orders.>"),
        group: None,
        overflow: text("drop_oldest"),
        state: text("in_force"),
        queued_messages: 2_048,
        messages_max: 2_048,
        queued_bytes: 204_800,
        bytes_max: 67_108_864,
        lag_seconds: 1.25,
        delivered_messages: 5_000,
        dropped_messages: lost,
        dropped: Dropped {
            overflow_oldest: lost,
            overflow_new: 0,
            connection_full: 0,
            reclaimed: 0,
            conflated: 0,
            expired: 0,
        },
        holds_up_topics: 0,
    }
}

fn connection(name: &str) -> Connection {
    Connection {
        connection: text(name),
        core: 0,
        address: text("[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:50123"),
        protocol: text("nats"),
        state: text("open"),
        paused: Some(text("mesh")),
        age_seconds: 3_700.0,
        subscriptions: 2,
        queued_messages: 12,
        queued_bytes: 4_096,
        lag_seconds: 0.002,
        published_messages: 1_234_567,
        delivered_messages: 3,
        dropped_messages: 0,
    }
}

fn topic(name: &str, rate_per_second: f64) -> Topic {
    Topic {
        topic: text(name),
        core: 1,
        rate_per_second,
        published_messages: 1_234_567,
        kept_messages: 100,
        kept_bytes: 10_240,
        blocked: false,
        idle_seconds: 0.1,
    }
}

fn page<Row>(rows: Vec<Row>) -> Page<Row> {
    Page { total: rows.len() as u64, offset: 0, unanswered_cores: Vec::new(), rows }
}

/// Returns a whole poll of a busy broker, the `poll`th one.
pub fn poll(count: u32, poll: u64) -> Poll {
    let mut slow = subscription("1-3-9", 12_345 * poll);
    slow.pattern = text(HOSTILE);
    slow.group = Some(text("workers\x1b[0m"));
    let mut expires = subscription("0-12-3", 3);
    expires.dropped = Dropped {
        overflow_oldest: 0,
        overflow_new: 0,
        connection_full: 0,
        reclaimed: 0,
        conflated: 1,
        expired: 2,
    };
    expires.queued_messages = 0;
    expires.queued_bytes = 0;
    expires.lag_seconds = 0.0;
    let mut status = status();
    status.process.cpu_seconds = 1.53 * poll as f64;
    Poll {
        // Only the broker's clock matters for rates.
        at: Instant::now() + Duration::from_secs(poll),
        status,
        cores: cores(count, poll),
        lists: Lists {
            subscriptions: Some(page(vec![slow, expires])),
            topics: Some(page(vec![
                topic(HOSTILE, 12_345.6),
                topic("株価.東京.日経平均.今日.終値.非常に長い名前の話題です.全部は入らない", 12.5),
                topic("orders.eu", 0.0),
            ])),
            connections: Some(page(vec![connection("0-12-3"), connection("1-3-9")])),
        },
    }
}

/// Returns a poll of an idle broker.
pub fn empty(poll: u64) -> Poll {
    let mut status = status();
    status.latency = Latency::default();
    status.addresses.nats = None;
    status.process.cpu_seconds = 0.0;
    for limit in &mut status.limits {
        limit.used = 0;
    }
    let mut cores = cores(2, 0);
    cores.now_unix_seconds += poll as f64;
    for core in &mut cores.cores {
        core.asleep_seconds = poll as f64;
        core.gauges = Gauges::default();
    }
    Poll {
        at: Instant::now() + Duration::from_secs(poll),
        status,
        cores,
        lists: Lists {
            subscriptions: Some(page(Vec::new())),
            topics: Some(page(Vec::new())),
            connections: Some(page(Vec::new())),
        },
    }
}
