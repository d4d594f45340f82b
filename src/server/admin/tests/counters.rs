//! No counter is forgotten, read twice or put under another's name, neither for Prometheus nor as JSON.

use blipmq::broker::Protocol;

use super::*;

/// A node whose core 1 has counted a number of its own in every counter, and whose core 0 nothing.
fn counted() -> Served {
    let served = Served::new(Settings::default(), 2);
    let Core { counters, turns, .. } = &served.node.cores[1];
    for (number, counter) in [
        (1, &counters.published_messages),
        (2, &counters.published_bytes),
        (3, &counters.enqueued_messages),
        (4, &counters.delivered_messages),
        (5, &counters.dropped_oldest_messages),
        (6, &counters.dropped_new_messages),
        (7, &counters.expired_before_enqueue_messages),
        (8, &counters.expired_in_queue_messages),
        (9, &counters.dropped_disconnected_messages),
        (10, &counters.refused_messages),
        (11, &counters.queue_overflows[0]),
        (26, &counters.queue_overflows[1]),
        (27, &counters.queue_overflows[2]),
        (28, &counters.queue_overflows[3]),
        (29, &counters.queue_overflows[4]),
        (12, &counters.flushes),
        (13, &counters.flushed_bytes),
        (14, &counters.errors_sent),
        (100, &counters.connections_opened),
        (16, &counters.connections_closed),
        (17, &counters.subscriptions),
        (18, &counters.topics),
        (19, &counters.mesh_messages_sent),
        (20, &counters.mesh_full),
        (21, &counters.conflated_messages),
        (22, &counters.refused_for_memory_messages),
        (23, &counters.publishers_blocked),
        (24, &counters.evicted_slices),
        (50, counters.opened_by(Protocol::Nats as usize)),
        (15, counters.closed_by(Protocol::Nats as usize)),
        (25, &counters.no_responders),
        (30, &counters.logins_refused),
        (35, &counters.dropped_connection_full_messages),
        (36, &counters.reclaimed_messages),
        (37, &counters.reclaimed_connections),
        (31, &counters.blocked_topics),
        (32, &turns.turns),
        (33, &turns.enters),
        (34, &turns.buffer_shortages),
        (38, &counters.input_deferred),
        (60, &counters.rate_limited),
        (61, &counters.send_timeouts),
        (62, &counters.stale_connections),
        (46, &counters.refused_connections[0]),
        (47, &counters.refused_connections[1]),
        (48, &counters.refused_connections[2]),
        (49, &counters.refused_connections[3]),
        (71, &counters.login_failures[0]),
        (72, &counters.login_failures[1]),
        (73, &counters.login_failures[2]),
        (74, &counters.login_failures[3]),
        (75, &counters.login_failures[4]),
        (76, &counters.login_failures[5]),
        (77, &counters.login_failures[6]),
        (78, &counters.login_failures[7]),
        (79, &counters.login_failures[8]),
        (80, &counters.login_failures[9]),
        (40, &turns.shortages[0]),
        (41, &turns.shortages[1]),
        (42, &turns.shortages[2]),
        (43, &turns.shortages[3]),
    ] {
        counter.add(number);
    }
    served
}

/// The samples of core 1, without buckets.
const SAMPLES: [&str; 73] = [
    "blipmq_accept_to_send_seconds_count{core=\"1\"} 0",
    "blipmq_accept_to_send_seconds_sum{core=\"1\"} 0",
    "blipmq_asleep_seconds_total{core=\"1\"} 0",
    "blipmq_blocked_topics{core=\"1\"} 31",
    "blipmq_connections_closed_total{core=\"1\"} 16",
    "blipmq_connections_opened_total{core=\"1\"} 100",
    "blipmq_connections_refused_total{core=\"1\",reason=\"address\"} 47",
    "blipmq_connections_refused_total{core=\"1\",reason=\"address_rate\"} 48",
    "blipmq_connections_refused_total{core=\"1\",reason=\"before_login\"} 49",
    "blipmq_connections_refused_total{core=\"1\",reason=\"limit\"} 46",
    "blipmq_connections{core=\"1\"} 84",
    "blipmq_delivered_messages_total{core=\"1\"} 4",
    "blipmq_dropped_messages_total{core=\"1\",reason=\"conflated\"} 21",
    "blipmq_dropped_messages_total{core=\"1\",reason=\"connection_full\"} 35",
    "blipmq_dropped_messages_total{core=\"1\",reason=\"disconnected\"} 9",
    "blipmq_dropped_messages_total{core=\"1\",reason=\"expired_before_enqueue\"} 7",
    "blipmq_dropped_messages_total{core=\"1\",reason=\"expired_in_queue\"} 8",
    "blipmq_dropped_messages_total{core=\"1\",reason=\"overflow_new\"} 6",
    "blipmq_dropped_messages_total{core=\"1\",reason=\"overflow_oldest\"} 5",
    "blipmq_dropped_messages_total{core=\"1\",reason=\"reclaimed\"} 36",
    "blipmq_dropped_messages_total{core=\"1\",reason=\"refused\"} 10",
    "blipmq_dropped_messages_total{core=\"1\",reason=\"refused_for_memory\"} 22",
    "blipmq_enqueued_messages_total{core=\"1\"} 3",
    "blipmq_enter_sends_count{core=\"1\"} 0",
    "blipmq_enter_sends_sum{core=\"1\"} 0",
    "blipmq_enters_total{core=\"1\"} 33",
    "blipmq_errors_sent_total{core=\"1\"} 14",
    "blipmq_flushed_bytes_total{core=\"1\"} 13",
    "blipmq_flushes_total{core=\"1\"} 12",
    "blipmq_input_deferred_total{core=\"1\"} 38",
    "blipmq_kept_evictions_total{core=\"1\"} 24",
    "blipmq_kernel_shortages_total{core=\"1\",operation=\"accept\"} 40",
    "blipmq_kernel_shortages_total{core=\"1\",operation=\"enter\"} 43",
    "blipmq_kernel_shortages_total{core=\"1\",operation=\"receive\"} 41",
    "blipmq_kernel_shortages_total{core=\"1\",operation=\"send\"} 42",
    "blipmq_login_failures_total{core=\"1\",reason=\"busy\"} 78",
    "blipmq_login_failures_total{core=\"1\",reason=\"missing\"} 71",
    "blipmq_login_failures_total{core=\"1\",reason=\"throttled\"} 79",
    "blipmq_login_failures_total{core=\"1\",reason=\"too_late\"} 77",
    "blipmq_login_failures_total{core=\"1\",reason=\"unknown_user\"} 73",
    "blipmq_login_failures_total{core=\"1\",reason=\"wrong_certificate\"} 80",
    "blipmq_login_failures_total{core=\"1\",reason=\"wrong_kind\"} 72",
    "blipmq_login_failures_total{core=\"1\",reason=\"wrong_password\"} 74",
    "blipmq_login_failures_total{core=\"1\",reason=\"wrong_signature\"} 76",
    "blipmq_login_failures_total{core=\"1\",reason=\"wrong_token\"} 75",
    "blipmq_logins_refused_total{core=\"1\"} 30",
    "blipmq_mesh_full_total{core=\"1\"} 20",
    "blipmq_mesh_letters_sent_total{core=\"1\"} 19",
    "blipmq_mesh_waiting_letters{core=\"1\"} 3",
    "blipmq_nats_connections{core=\"1\"} 35",
    "blipmq_nats_no_responders_total{core=\"1\"} 25",
    "blipmq_published_bytes_total{core=\"1\"} 2",
    "blipmq_published_messages_total{core=\"1\"} 1",
    "blipmq_publishers_blocked_total{core=\"1\"} 23",
    "blipmq_queue_overflows_total{core=\"1\",policy=\"block\"} 27",
    "blipmq_queue_overflows_total{core=\"1\",policy=\"disconnect\"} 28",
    "blipmq_queue_overflows_total{core=\"1\",policy=\"drop_new\"} 26",
    "blipmq_queue_overflows_total{core=\"1\",policy=\"drop_oldest\"} 11",
    "blipmq_queue_overflows_total{core=\"1\",policy=\"latest\"} 29",
    "blipmq_rate_limited_total{core=\"1\"} 60",
    "blipmq_receive_buffer_shortages_total{core=\"1\"} 34",
    "blipmq_receive_buffers_free{core=\"1\"} 200",
    "blipmq_reclaimed_connections_total{core=\"1\"} 37",
    "blipmq_send_bytes_count{core=\"1\"} 0",
    "blipmq_send_bytes_sum{core=\"1\"} 0",
    "blipmq_send_messages_count{core=\"1\"} 0",
    "blipmq_send_messages_sum{core=\"1\"} 0",
    "blipmq_send_timeouts_total{core=\"1\"} 61",
    "blipmq_stale_connections_total{core=\"1\"} 62",
    "blipmq_subscriptions{core=\"1\"} 17",
    "blipmq_topics{core=\"1\"} 18",
    "blipmq_ttl_drops_total{core=\"1\"} 15",
    "blipmq_turns_total{core=\"1\"} 32",
];

#[test]
fn every_counter_shows_under_its_own_name_and_core_for_prometheus() {
    let served = counted();
    let (_, text) = served.get("/metrics");
    let samples = |core: &str| {
        let label = format!("core=\"{core}\"");
        let is_sample = |line: &&str| line.contains(&label) && !line.contains("_bucket{");
        let mut lines: Vec<String> = text.lines().filter(is_sample).map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(samples("1"), SAMPLES);
    // The cores answer with these gauges; the others are counters and zero.
    let fills = ["blipmq_mesh_waiting_letters{", "blipmq_receive_buffers_free{"];
    for line in samples("0") {
        let is_fill = fills.iter().any(|name| line.starts_with(name));
        assert!(is_fill || line.ends_with(" 0"), "{line}");
    }
    served.handle.stop();
}

#[test]
fn every_counter_shows_under_its_own_name_and_core_as_json() {
    let served = counted();
    let cores = served.json("/api/v1/cores");
    let counted = cores["cores"][1]["counters"].as_object().unwrap();
    let mut numbers: Vec<u64> = counted.values().map(|number| number.as_u64().unwrap()).collect();
    numbers.sort_unstable();
    let singles = (1..=25).filter(|number| ![11, 15, 17, 18].contains(number));
    let mut expected: Vec<u64> = singles
        .chain([11 + 26 + 27 + 28 + 29, 30, 32, 33, 34, 35, 36, 37, 38, 60, 61, 62, 100])
        .collect();
    expected.sort_unstable();
    assert_eq!(numbers, expected);
    assert_eq!(counted["queue_overflows"], 121);
    assert!(cores["cores"][0]["counters"].as_object().unwrap().values().all(|number| number == 0));
    let gauges = &cores["cores"][1]["gauges"];
    assert_eq!((&gauges["connections"], &gauges["nats_connections"]), (&json!(84), &json!(35)));
    assert_eq!((&gauges["topics"], &gauges["subscriptions"]), (&json!(18), &json!(17)));
    assert_eq!(served.json("/api/v1/status")["totals"], cores["cores"][1]["counters"]);
    served.handle.stop();
}
