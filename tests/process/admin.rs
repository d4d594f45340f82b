//! The admin pages of the real binary: connections, subscriptions, topics, and losses.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use blipmq::protocol::decode::{ServerFrame, Subscribe};
use blipmq::protocol::{SubscriptionId, encode};
use serde_json::Value;

use super::{on_one_and_two_cores, topic_on_each_core};
use crate::support::nats::Nats;
use crate::support::running::{Broker, Running, blipmq};
use crate::support::wire::Wire;

on_one_and_two_cores! {
    a_stalled_subscriber_is_first_in_the_list_with_its_losses_and_their_reasons,
    connections_of_both_protocols_are_listed_with_their_traffic,
    topics_of_all_cores_are_sorted_together_and_paged,
    sent_messages_are_in_the_histograms,
    health_checks_and_status_describe_a_running_broker,
    names_of_clients_are_escaped_in_the_log_in_pages_and_in_sub,
    top_shows_the_queue_of_a_group,
    names_of_groups_are_bounded_and_so_is_a_page_of_the_longest,
}

fn rows(list: &Value) -> &[Value] {
    list["rows"].as_array().expect("a list has rows")
}

fn a_stalled_subscriber_is_first_in_the_list_with_its_losses_and_their_reasons(cores: &str) {
    const CAPACITY: u32 = 16;
    let broker = Broker::start(cores);
    let mut stalled = Wire::narrow(broker.addr).welcomed();
    stalled.subscribe_with(7, "busy.>", 1, CAPACITY);
    let mut reads = Wire::connect(broker.addr);
    reads.subscribe(1, "quiet.*");
    let mut publisher = Wire::connect(broker.addr);
    let (topic, ..) = publisher.open(1, "busy.topic");
    // Many more messages than sockets hold.
    for _ in 0..400 {
        publisher.publish(topic, &[&[0; 32 * 1_024]]);
    }
    publisher.ping();
    let dropped = broker.wait_for_metric(
        "blipmq_dropped_messages_total",
        "reason=\"overflow_oldest\"",
        |dropped| dropped > 0,
    );
    let list = broker.json("/api/v1/subscriptions");
    assert_eq!((&list["total"], &list["sort"]), (&2.into(), &"dropped".into()));
    assert_eq!(list["unanswered_cores"], Value::Array(vec![]));
    let first = &rows(&list)[0];
    assert_eq!((&first["pattern"], &first["subscription"]), (&"busy.>".into(), &"7".into()));
    let address = stalled.stream.local_addr().unwrap().to_string();
    assert_eq!((&first["address"], &first["protocol"]), (&address.into(), &"blip".into()));
    assert_eq!((&first["overflow"], &first["state"]), (&"drop_oldest".into(), &"in_force".into()));
    assert_eq!((&first["messages_max"], &first["group"]), (&CAPACITY.into(), &Value::Null));
    let queued = first["queued_messages"].as_u64().unwrap();
    assert!((1..=u64::from(CAPACITY)).contains(&queued), "{first}");
    assert!(first["queued_bytes"].as_u64().unwrap() > queued * 32 * 1_024, "{first}");
    assert!(first["lag_seconds"].as_f64().unwrap() > 0.0, "{first}");
    // This subscriber alone dropped messages, before or after the metric was read.
    assert!(first["dropped_messages"].as_u64().unwrap() >= dropped, "{first}");
    assert_eq!(first["dropped"]["overflow_oldest"], first["dropped_messages"]);
    assert_eq!(rows(&list)[1]["dropped_messages"], 0);
    let worst = broker.metric("blipmq_worst_subscription_dropped_messages", "rank=\"1\"");
    assert_eq!(first["dropped_messages"], worst);
    assert!(broker.metric("blipmq_queue_overflows_total", "policy=\"drop_oldest\"") > 0);
    for sort in ["lag", "queued_bytes", "queued_messages"] {
        let list = broker.json(&format!("/api/v1/subscriptions?sort={sort}&limit=1"));
        assert_eq!(
            (rows(&list).len(), &rows(&list)[0]["pattern"]),
            (1, &"busy.>".into()),
            "{sort}"
        );
        let list = broker.json(&format!("/api/v1/subscriptions?sort={sort}&order=asc&limit=1"));
        assert_eq!(rows(&list)[0]["pattern"], "quiet.*", "{sort}");
    }
    drop(stalled);
}

fn connections_of_both_protocols_are_listed_with_their_traffic(cores: &str) {
    let broker = Broker::start(cores);
    let mut blip = Wire::connect(broker.addr);
    blip.subscribe(1, "all.>");
    blip.subscribe(2, "more");
    let mut nats = Nats::connect(broker.nats.expect("the listener is enabled"));
    let client_id = nats.client_id();
    for _ in 0..5 {
        nats.publish("all.of", b"payload");
    }
    nats.ping();
    let mut received = 0;
    while received < 5 {
        received += blip.expect().messages().map_or(0, |(_, all)| all.len());
    }
    // The answer to a later PING proves that everything sent before is counted.
    blip.ping();
    let list = broker.json("/api/v1/connections?sort=published");
    assert_eq!(list["total"], 2);
    let [first, second] = rows(&list) else { panic!("{list}") };
    assert_eq!((&first["protocol"], &first["nats_client_id"]), (&"nats".into(), &client_id.into()));
    assert_eq!((&first["published_messages"], &first["subscriptions"]), (&5.into(), &0.into()));
    assert!(first["published_bytes"].as_u64().unwrap() >= 5 * 7, "{first}");
    assert_eq!((&second["protocol"], &second["nats_client_id"]), (&"blip".into(), &Value::Null));
    assert_eq!((&second["delivered_messages"], &second["subscriptions"]), (&5.into(), &2.into()));
    assert!(second["delivered_bytes"].as_u64().unwrap() >= 5 * 7, "{second}");
    for row in [first, second] {
        assert_eq!((&row["state"], &row["paused"]), (&"open".into(), &Value::Null));
        assert!(row["age_seconds"].as_f64().unwrap() > 0.0, "{row}");
        assert_eq!(row["dropped_messages"], 0);
    }
}

fn topics_of_all_cores_are_sorted_together_and_paged(cores: &str) {
    let broker = Broker::start(cores);
    let topics = topic_on_each_core(broker.addr, cores, "paged");
    let made = broker.json("/api/v1/topics?limit=1")["total"].as_u64().unwrap();
    let mut publisher = Wire::connect(broker.addr);
    for (number, topic) in topics.iter().enumerate() {
        let payloads = vec![&b"payload"[..]; 10 * (number + 1)];
        publisher.open_and_publish(1_000 + number as u32, topic, &payloads);
    }
    publisher.ping();
    // The core of the publisher answers a PING; the other core may be a turn later.
    broker.wait_for_metric("blipmq_published_messages_total", "", |published| {
        published == (1..=topics.len() as u64).map(|number| 10 * number).sum::<u64>()
    });
    let list = broker.json("/api/v1/topics?sort=published");
    assert_eq!(list["total"], made);
    for (row, (number, topic)) in rows(&list).iter().zip(topics.iter().enumerate().rev()) {
        assert_eq!((&row["topic"], &row["core"]), (&topic.as_str().into(), &number.into()));
        let messages = Value::from(10 * (number + 1));
        assert_eq!((&row["published_messages"], &row["kept_messages"]), (&messages, &messages));
        assert_eq!((&row["published_bytes"], &row["blocked"]), (&row["kept_bytes"], &false.into()));
    }
    let by_name = broker.json("/api/v1/topics?sort=name&order=asc&limit=1000");
    let names: Vec<&str> =
        rows(&by_name).iter().map(|row| row["topic"].as_str().unwrap()).collect();
    assert!(names.is_sorted() && names.len() as u64 == made, "{names:?}");
    let mut paged = Vec::new();
    while (paged.len() as u64) < made {
        let offset = paged.len();
        let page =
            broker.json(&format!("/api/v1/topics?sort=name&order=asc&limit=2&offset={offset}"));
        assert!(!rows(&page).is_empty(), "{page}");
        paged.extend(rows(&page).iter().map(|row| row["topic"].as_str().unwrap().to_owned()));
    }
    assert_eq!(paged, names);
}

fn sent_messages_are_in_the_histograms(cores: &str) {
    let broker = Broker::start(cores);
    let mut subscriber = Wire::connect(broker.addr);
    subscriber.subscribe(1, "a");
    let mut publisher = Wire::connect(broker.addr);
    publisher.open_and_publish(1, "a", &[&b"payload"[..]; 100]);
    let mut received = 0;
    while received < 100 {
        received += subscriber.expect().messages().map_or(0, |(_, all)| all.len());
    }
    broker.wait_for_metric("blipmq_accept_to_send_seconds_count", "", |count| count == 100);
    broker.wait_for_metric("blipmq_send_messages_sum", "", |sum| sum == 100);
    assert!(broker.metric("blipmq_send_bytes_sum", "") >= 700);
    assert!(broker.metric("blipmq_enter_sends_count", "") > 0);
    assert!(broker.metric("blipmq_enters_total", "") > 0);
    assert!(broker.metric("blipmq_turns_total", "") > 0);
    let latency = &broker.json("/api/v1/status")["latency"];
    let percentile = |name: &str| latency[name].as_f64().unwrap();
    assert!(percentile("p50_seconds") > 0.0, "{latency}");
    assert!(percentile("p50_seconds") <= percentile("p999_seconds"), "{latency}");
}

/// Goal: nobody's terminal is changed by the names that clients choose.
/// Method: a pattern, a group and a topic that reverse the text behind them, seen everywhere.
fn names_of_clients_are_escaped_in_the_log_in_pages_and_in_sub(cores: &str) {
    const MARK: char = '\u{202e}';
    let broker = Broker::start(cores);
    let topic = format!("e{MARK}der.a");
    let mut command = blipmq(&["sub", &topic, "--format", "hex", "--count", "1"]);
    command.args(["--server", &broker.server()]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut printer = Running::start(command);
    let mut report = BufReader::new(printer.child.stderr.take().expect("a piped stream"));
    let mut line = String::new();
    report.read_line(&mut line).expect("UTF-8 output");
    assert_eq!(line, "subscribed to e\\u{202e}der.a\n");
    let mut nats = Nats::connect(broker.nats.expect("the listener is enabled"));
    nats.send(&format!("SUB all.of g{MARK} 1\r\n"));
    nats.ping();
    let mut stalled = Wire::narrow(broker.addr).welcomed();
    stalled.subscribe_with(7, &format!("e{MARK}der.>"), 1, 16);
    let mut publisher = Wire::connect(broker.addr);
    let (id, ..) = publisher.open(1, &topic);
    for _ in 0..400 {
        publisher.publish(id, &[&[0; 32 * 1_024]]);
    }
    publisher.ping();
    broker.wait_for_metric("blipmq_queue_overflows_total", "policy=\"drop_oldest\"", |n| n > 0);
    for path in ["/api/v1/subscriptions", "/api/v1/topics", "/api/v1/connections", "/metrics"] {
        assert!(!broker.get(path).1.contains(MARK), "{path}");
    }
    let list = broker.json("/api/v1/subscriptions");
    let found = |key: &str, text: &str| rows(&list).iter().any(|row| row[key] == text);
    assert!(found("pattern", &topic) && found("group", &format!("g{MARK}")), "{list}");
    let mut printed = String::new();
    let mut stdout = printer.child.stdout.take().expect("a piped stream");
    stdout.read_to_string(&mut printed).expect("UTF-8 output");
    assert!(printed.starts_with("e\\u{202e}der.a ") && !printed.contains(MARK));
    drop((nats, stalled, publisher));
    let log = broker.stop();
    assert!(log.contains(" pattern=e\\u{202e}der.>") && !log.contains(MARK), "{log}");
}

fn top_shows_the_queue_of_a_group(cores: &str) {
    let broker = Broker::start(cores);
    let mut members = [1, 2].map(|_| Nats::connect(broker.nats.expect("the listener is enabled")));
    for member in &mut members {
        member.send("SUB zz.* w 1\r\n");
        member.ping();
    }
    let list = broker.json("/api/v1/subscriptions");
    let queues = rows(&list).iter().filter(|row| row["connection"].is_null()).count();
    assert_eq!(queues, 1, "{list}");
    let url = format!("http://{}", broker.metrics.expect("the pages are served"));
    let top = blipmq(&["top", "--once", "--metrics", &url]).output().expect("the process starts");
    let text = String::from_utf8(top.stdout).expect("UTF-8 output");
    assert_eq!(top.status.code(), Some(0), "{}", String::from_utf8_lossy(&top.stderr));
    assert!(text.contains(": the queue on zz.* in w\n"), "{text}");
    assert!(text.contains(" on zz.* in w\n") && text.contains("slowest 3 of 3"), "{text}");
}

fn names_of_groups_are_bounded_and_so_is_a_page_of_the_longest(cores: &str) {
    const SUBSCRIPTIONS: u32 = 900;
    let broker = Broker::start(cores);
    let mut blip = Wire::connect(broker.addr);
    let long = "g".repeat(1_025);
    blip.send(|out| encode::subscribe(out, &member(1, "a", &long)));
    match blip.expect().decoded() {
        ServerFrame::Error { code, about, text, .. } => {
            assert_eq!((code, about), (4220, 1));
            assert!(text.contains("1025 bytes, the limit is 1024"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let mut nats = Nats::connect(broker.nats.expect("the listener is enabled"));
    nats.send(&format!("SUB a {long} 1\r\n"));
    nats.expect_error("Invalid Subject");
    // The longest names of all, in characters that pages write as escapes of six bytes for two.
    let name = "\u{ad}".repeat(512);
    for subscription in 1..=SUBSCRIPTIONS {
        blip.subscribe_to(&member(subscription, &name, &name));
    }
    nats.send(&format!("SUB {name} {name} 2\r\n"));
    nats.ping();
    let (status, page) = broker.get("/api/v1/subscriptions?limit=1000");
    assert!(status == 200 && page.len() < 5 << 20, "{} bytes", page.len());
    let mut seen = 0;
    loop {
        let page = broker.json(&format!("/api/v1/subscriptions?limit=1000&offset={seen}"));
        assert!(!rows(&page).is_empty(), "the first row is always there");
        seen += rows(&page).len() as u64;
        if page["cut"] == false {
            // Every subscription, and the queue of their group.
            assert_eq!((seen, &page["total"]), (u64::from(SUBSCRIPTIONS) + 2, &seen.into()));
            break;
        }
    }
    assert!(rows(&broker.json("/api/v1/subscriptions?limit=1000")).len() < seen as usize);
}

fn member<'a>(subscription: u32, pattern: &'a str, group: &'a str) -> Subscribe<'a> {
    Subscribe { group, ..Subscribe::live(SubscriptionId(subscription), pattern) }
}

fn health_checks_and_status_describe_a_running_broker(cores: &str) {
    let broker = Broker::start(cores);
    assert_eq!(broker.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(broker.get("/readyz"), (200, "ready\n".to_owned()));
    let status = broker.json("/api/v1/status");
    assert_eq!((&status["name"], &status["state"]), (&"blipmq".into(), &"ready".into()));
    assert_eq!(
        (&status["pid"], &status["version"]),
        (&broker.pid().into(), &env!("CARGO_PKG_VERSION").into())
    );
    assert_eq!(status["addresses"]["blip"], broker.addr.to_string());
    assert_eq!(status["addresses"]["metrics"], broker.metrics.unwrap().to_string());
    let cpus: Vec<String> =
        status["cpus"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(cpus.join(","), cores);
    let limits = status["limits"].as_array().unwrap();
    let names: Vec<&str> = limits.iter().map(|limit| limit["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["connections", "memory", "topics", "open_files"]);
    assert_eq!(limits[0]["limit"], 10_000);
    assert!(
        limits.iter().all(|limit| limit["used"].as_u64() <= limit["limit"].as_u64()),
        "{status}"
    );
    let per_core = broker.json("/api/v1/cores");
    let per_core = per_core["cores"].as_array().unwrap();
    assert_eq!(per_core.len(), cpus.len());
    assert!(per_core.iter().all(|core| core["answered"] == true), "{per_core:?}");
}
