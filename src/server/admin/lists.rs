//! Lists as JSON: connections, subscriptions, topics.

use blipmq::broker::ConnectionId;
use blipmq::broker::inspect::{Answer, ConnectionRow, Row, State, SubscriptionRow, TopicRow};
use blipmq::broker::inspect::{Hold, Phase};
use blipmq::config::Choice;
use blipmq::protocol::CoreId;
use serde_json::{Value, json};

use super::query::Page;
use crate::printable;

/// Longest page, in bytes of its rows. Names are bounded, but their escapes can make long rows.
const ROWS_BYTES_MAX: usize = 4 << 20;

/// A page of a list, from the answers of the cores. A page that would be too long ends with an earlier
/// row; the next page begins behind that.
pub fn page(page: Page, answer: Answer, unanswered: Vec<usize>) -> Value {
    let found = answer.rows.len().saturating_sub(page.offset);
    let mut rows = Vec::new();
    let mut bytes = 0;
    for ranked in answer.rows.into_iter().skip(page.offset) {
        let row = match ranked.row {
            Row::Connection(row) => connection(&row),
            Row::Subscription(row) => subscription(&row),
            Row::Topic(row) => topic(&row),
        };
        bytes += written_bytes(&row);
        if bytes > ROWS_BYTES_MAX && !rows.is_empty() {
            break;
        }
        rows.push(row);
    }
    json!({
        "total": answer.total,
        "offset": page.offset,
        "limit": page.limit,
        "sort": page.sort,
        "order": if page.question.ascending { "asc" } else { "desc" },
        "unanswered_cores": unanswered,
        "cut": rows.len() < found,
        "rows": rows,
    })
}

/// The length of a row in the page.
fn written_bytes(row: &Value) -> usize {
    let mut json = Vec::new();
    printable::write_json(&mut json, row).expect("writing to a vector succeeds");
    json.len()
}

fn connection(row: &ConnectionRow) -> Value {
    json!({
        "connection": connection_name(row.core, row.connection),
        "core": row.core.0,
        "address": row.address.to_string(),
        "protocol": row.protocol.name(),
        "nats_client_id": row.client_number,
        "state": match row.phase {
            Phase::AwaitHello => "hello",
            Phase::Open => "open",
            Phase::Finishing => "finishing",
            Phase::Closing => "closing",
        },
        "paused": row.held_for.map(|why| match why {
            Hold::Answers => "answers",
            Hold::Mesh(_) => "mesh",
            Hold::Blocked(_) => "blocked",
            Hold::Fence => "fence",
            Hold::Memory => "memory",
            Hold::Rate => "rate",
        }),
        "age_seconds": seconds(row.age_ns),
        "subscriptions": row.subscriptions,
        "queued_messages": row.queued.messages,
        "queued_bytes": row.queued.bytes,
        "lag_seconds": seconds(row.queued.lag_ns),
        "published_messages": row.traffic.published_messages,
        "published_bytes": row.traffic.published_bytes,
        "delivered_messages": row.traffic.delivered_messages,
        "delivered_bytes": row.traffic.delivered_bytes,
        "dropped_messages": row.dropped_messages,
        "input_deferred": row.input_deferred,
    })
}

fn subscription(row: &SubscriptionRow) -> Value {
    let connection = row.connection.as_ref();
    json!({
        "connection": connection.map(|(connection, ..)| connection_name(row.core, *connection)),
        "core": row.core.0,
        "address": connection.map(|(_, address, _)| address.to_string()),
        "protocol": connection.map(|(.., wire)| wire.name()),
        "subscription": row.name,
        "pattern": &*row.pattern,
        "group": row.group.as_deref(),
        "overflow": row.policy.name(),
        "state": match row.state {
            State::Joining => "joining",
            State::Active => "in_force",
            State::Ending => "ending",
        },
        "queued_messages": row.queued.messages,
        "messages_max": row.bounds.messages_max,
        "queued_bytes": row.queued.bytes,
        "bytes_max": row.bounds.bytes_max,
        "lag_seconds": seconds(row.queued.lag_ns),
        "delivered_messages": row.delivered_messages,
        "dropped_messages": row.lost.messages(),
        "dropped": {
            "overflow_oldest": row.lost.overflow_oldest,
            "overflow_new": row.lost.overflow_new,
            "connection_full": row.lost.connection_full,
            "reclaimed": row.lost.reclaimed,
            "conflated": row.lost.conflated,
            "expired": row.lost.expired,
        },
        "holds_up_topics": row.blocked_topics,
    })
}

fn topic(row: &TopicRow) -> Value {
    json!({
        "topic": &*row.topic,
        "core": row.core.0,
        "rate_per_second": row.rate_per_second,
        "published_messages": row.published_messages,
        "published_bytes": row.published_bytes,
        "kept_messages": row.retained_messages,
        "kept_bytes": row.retained_bytes,
        "blocked": row.blocked,
        "idle_seconds": row.idle_ns.map(seconds),
    })
}

/// The name of a connection, unique as long as the broker runs.
fn connection_name(core: CoreId, connection: ConnectionId) -> String {
    format!("{}-{}-{}", core.0, connection.slot.0, connection.generation)
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
