//! The pages over HTTP, with cores that are played by threads or missing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::SystemTime;

use blipmq::broker::Wire;
use blipmq::broker::inspect::Answer;
use blipmq::broker::memory::Memory;
use blipmq::config::{Secret, Settings};
use executors::Observed;

use super::*;
use crate::server::control::{self, Command, Control, Fill};
use crate::server::listeners::{Addresses, Listener};
use crate::server::node::Core;
use crate::server::reload::Configuration;

/// A node of two cores and what they are asked.
fn node_of(settings: Settings) -> (Arc<Node>, Vec<Receiver<Command>>) {
    let (senders, receivers) = control::channels(2);
    let cores = [5, 7].map(|cpu| Core { cpu, counters: Arc::default(), turns: Arc::default() });
    let address = SocketAddr::from(([127, 0, 0, 1], 7));
    let blip = Listener { name: "blip", title: "BLIP", address, frontend: Wire::Blip };
    let node = Node {
        server_id: 0xab,
        started: SystemTime::now(),
        addresses: Addresses { clients: [blip].into(), metrics: Some(address) },
        shards: 4,
        cores: cores.to_vec(),
        control: Control::new(senders, |_| {}),
        memory: Memory::new(1 << 20),
        topics: Arc::default(),
        configuration: Arc::new(Configuration::new(None, settings)),
        draining: AtomicBool::new(false),
    };
    (Arc::new(node), receivers)
}

/// Answers as a core would that has nothing.
fn play_core(commands: Receiver<Command>) {
    std::thread::spawn(move || {
        while let Ok(command) = commands.recv() {
            match command {
                Command::Ping(reply) | Command::Reload(_, reply) => reply(()),
                Command::Fill(reply) => {
                    reply(Fill { mesh_waiting_letters: 3, receive_buffers_free: 200 });
                }
                Command::Inspect(_, reply) => reply(Answer { total: 2, rows: vec![] }),
            }
        }
    });
}

/// Pages of a node whose cores answer, or those of them that are left.
struct Served {
    node: Arc<Node>,
    addr: SocketAddr,
    handle: AdminHandle,
    _silent: Vec<Receiver<Command>>,
}

impl Served {
    fn new(settings: Settings, answering: usize) -> Served {
        let (node, mut receivers) = node_of(settings);
        receivers.drain(..answering).for_each(play_core);
        let server = any_port();
        let addr = server.local_addr();
        let handle = server.serve(node.clone()).unwrap();
        Served { node, addr, handle, _silent: receivers }
    }

    fn get(&self, path: &str) -> (String, String) {
        fetched(self.addr, &format!("GET {path}"), "")
    }

    fn json(&self, path: &str) -> Value {
        let (head, body) = self.get(path);
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        serde_json::from_str(&body).unwrap()
    }
}

fn any_port() -> AdminServer {
    AdminServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
}

/// Head and body of one answer.
fn fetched(addr: SocketAddr, request_line: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    let request = format!("{request_line} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

#[test]
fn the_status_names_every_endpoint_and_a_disabled_one_has_no_address() {
    let served = Served::new(Settings::default(), 2);
    let addresses = &served.json("/api/v1/status")["addresses"];
    let expected = json!({ "blip": "127.0.0.1:7", "nats": null, "metrics": "127.0.0.1:7" });
    assert_eq!(addresses, &expected);
    served.handle.stop();
}

/// Goal: no counter is forgotten, read twice or put under another's name, neither for Prometheus nor
/// as JSON.
/// Method: each counter of core 1 gets a number of its own, core 0 stays at zero.
#[test]
fn every_counter_shows_under_its_own_name_and_core() {
    let served = Served::new(Settings::default(), 2);
    let core = &served.node.cores[1];
    let (one, turns) = (&core.counters, &core.turns);
    for (number, counter) in [
        (1, &one.published_messages),
        (2, &one.published_bytes),
        (3, &one.enqueued_messages),
        (4, &one.delivered_messages),
        (5, &one.dropped_oldest_messages),
        (6, &one.dropped_new_messages),
        (7, &one.expired_before_enqueue_messages),
        (8, &one.expired_in_queue_messages),
        (9, &one.dropped_disconnected_messages),
        (10, &one.refused_messages),
        (11, &one.queue_overflows[0]),
        (26, &one.queue_overflows[1]),
        (27, &one.queue_overflows[2]),
        (28, &one.queue_overflows[3]),
        (29, &one.queue_overflows[4]),
        (12, &one.flushes),
        (13, &one.flushed_bytes),
        (14, &one.errors_sent),
        (100, &one.connections_opened),
        (16, &one.connections_closed),
        (17, &one.subscriptions),
        (18, &one.topics),
        (19, &one.mesh_letters_sent),
        (20, &one.mesh_full),
        (21, &one.conflated_messages),
        (22, &one.refused_for_memory_messages),
        (23, &one.publishers_blocked),
        (24, &one.evicted_portions),
        (50, &one.nats_connections_opened),
        (15, &one.nats_connections_closed),
        (25, &one.no_responders),
        (30, &one.logins_refused),
        (31, &one.blocked_topics),
        (32, &turns.turns),
        (33, &turns.enters),
        (34, &turns.buffer_shortages),
    ] {
        counter.add(number);
    }
    let (_, text) = served.get("/metrics");
    let of_core = |core: &str| {
        let label = format!("core=\"{core}\"");
        let of_it = |line: &&str| line.contains(&label) && !line.contains("_bucket{");
        let mut lines: Vec<String> = text.lines().filter(of_it).map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(
        of_core("1"),
        [
            "blipmq_accept_to_send_seconds_count{core=\"1\"} 0",
            "blipmq_accept_to_send_seconds_sum{core=\"1\"} 0",
            "blipmq_asleep_seconds_total{core=\"1\"} 0",
            "blipmq_blocked_topics{core=\"1\"} 31",
            "blipmq_connections_closed_total{core=\"1\"} 16",
            "blipmq_connections_opened_total{core=\"1\"} 100",
            "blipmq_connections{core=\"1\"} 84",
            "blipmq_delivered_messages_total{core=\"1\"} 4",
            "blipmq_dropped_messages_total{core=\"1\",reason=\"conflated\"} 21",
            "blipmq_dropped_messages_total{core=\"1\",reason=\"disconnected\"} 9",
            "blipmq_dropped_messages_total{core=\"1\",reason=\"expired_before_enqueue\"} 7",
            "blipmq_dropped_messages_total{core=\"1\",reason=\"expired_in_queue\"} 8",
            "blipmq_dropped_messages_total{core=\"1\",reason=\"overflow_new\"} 6",
            "blipmq_dropped_messages_total{core=\"1\",reason=\"overflow_oldest\"} 5",
            "blipmq_dropped_messages_total{core=\"1\",reason=\"refused\"} 10",
            "blipmq_dropped_messages_total{core=\"1\",reason=\"refused_for_memory\"} 22",
            "blipmq_enqueued_messages_total{core=\"1\"} 3",
            "blipmq_enter_sends_count{core=\"1\"} 0",
            "blipmq_enter_sends_sum{core=\"1\"} 0",
            "blipmq_enters_total{core=\"1\"} 33",
            "blipmq_errors_sent_total{core=\"1\"} 14",
            "blipmq_flushed_bytes_total{core=\"1\"} 13",
            "blipmq_flushes_total{core=\"1\"} 12",
            "blipmq_kept_evictions_total{core=\"1\"} 24",
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
            "blipmq_receive_buffer_shortages_total{core=\"1\"} 34",
            "blipmq_receive_buffers_free{core=\"1\"} 200",
            "blipmq_send_bytes_count{core=\"1\"} 0",
            "blipmq_send_bytes_sum{core=\"1\"} 0",
            "blipmq_send_messages_count{core=\"1\"} 0",
            "blipmq_send_messages_sum{core=\"1\"} 0",
            "blipmq_subscriptions{core=\"1\"} 17",
            "blipmq_topics{core=\"1\"} 18",
            "blipmq_ttl_drops_total{core=\"1\"} 15",
            "blipmq_turns_total{core=\"1\"} 32",
        ]
    );
    let fills = ["blipmq_mesh_waiting_letters{", "blipmq_receive_buffers_free{"];
    for line in of_core("0") {
        let asked = fills.iter().any(|name| line.starts_with(name));
        assert!(asked || line.ends_with(" 0"), "{line}");
    }

    let cores = served.json("/api/v1/cores");
    let counted = cores["cores"][1]["counters"].as_object().unwrap();
    let mut numbers: Vec<u64> = counted.values().map(|number| number.as_u64().unwrap()).collect();
    numbers.sort_unstable();
    let singles = (1..=25).filter(|number| ![11, 15, 17, 18].contains(number));
    let mut expected: Vec<u64> =
        singles.chain([11 + 26 + 27 + 28 + 29, 30, 32, 33, 34, 100]).collect();
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

#[test]
fn every_family_has_its_type_and_help_and_only_counters_end_in_total() {
    let served = Served::new(Settings::default(), 2);
    let (_, text) = served.get("/metrics");
    let mut families = 0;
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let [name, kind] = line["# TYPE ".len()..].split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
        assert!(text.contains(&format!("# HELP {name} ")), "{line}");
        families += 1;
    }
    // Asleep, dropped and overflows, two that cores tell, fifteen of the process.
    assert_eq!(families, families::PER_CORE.len() + families::HISTOGRAMS.len() + 5 + 15);
    served.handle.stop();
}

#[test]
fn histograms_add_up_over_their_buckets_and_to_the_percentiles_of_the_status() {
    let served = Served::new(Settings::default(), 2);
    let latency = &served.node.cores[0].counters.accept_to_send_us;
    latency.record(40, 98);
    latency.record(3_000, 1);
    served.node.cores[1].counters.accept_to_send_us.record(u64::MAX >> 20, 1);
    let (_, text) = served.get("/metrics");
    for line in [
        "blipmq_accept_to_send_seconds_bucket{core=\"0\",le=\"0.000001\"} 0",
        "blipmq_accept_to_send_seconds_bucket{core=\"0\",le=\"0.000032\"} 0",
        "blipmq_accept_to_send_seconds_bucket{core=\"0\",le=\"0.000064\"} 98",
        "blipmq_accept_to_send_seconds_bucket{core=\"0\",le=\"0.004096\"} 99",
        "blipmq_accept_to_send_seconds_bucket{core=\"0\",le=\"+Inf\"} 99",
        "blipmq_accept_to_send_seconds_sum{core=\"0\"} 0.00692",
        "blipmq_accept_to_send_seconds_bucket{core=\"1\",le=\"16.777216\"} 0",
        "blipmq_accept_to_send_seconds_bucket{core=\"1\",le=\"+Inf\"} 1",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "there is no {line} in {text}");
    }
    let latency = &served.json("/api/v1/status")["latency"];
    assert_eq!((&latency["p50_seconds"], &latency["p90_seconds"]), (&json!(4e-5), &json!(4e-5)));
    assert_eq!(
        (&latency["p99_seconds"], &latency["p999_seconds"]),
        (&json!(0.003072), &json!(16.777216))
    );
    let of_core = &served.json("/api/v1/cores")["cores"][0]["accept_to_send"];
    let counts = of_core["counts"].as_array().unwrap();
    assert_eq!(counts.len(), of_core["upper_seconds"].as_array().unwrap().len() + 1);
    assert_eq!(counts.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 99);
    served.handle.stop();
}

#[test]
fn a_core_that_sleeps_is_asleep_while_it_does() {
    let served = Served::new(Settings::default(), 2);
    let now_ns = executors::Now::read().monotonic_ns;
    served.node.cores[0].turns.observe(Observed::Sleeps { at_ns: now_ns - 5_000_000_000 });
    let cores = served.json("/api/v1/cores");
    assert!(cores["cores"][0]["asleep_seconds"].as_f64().unwrap() >= 5.0);
    assert_eq!(cores["cores"][1]["asleep_seconds"], 0.0);
    served.handle.stop();
}

#[test]
fn a_core_that_does_not_answer_is_told_and_keeps_nothing_else_away() {
    let served = Served::new(Settings::default(), 1);
    let (head, body) = served.get("/healthz");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(body, "no answer within 1 s from core 1\n");
    let list = served.json("/api/v1/topics?limit=5");
    assert_eq!((&list["unanswered_cores"], &list["total"]), (&json!([1]), &json!(2)));
    let cores = served.json("/api/v1/cores");
    let answered = [0, 1].map(|core| cores["cores"][core]["answered"].as_bool().unwrap());
    assert_eq!(answered, [true, false]);
    assert_eq!(cores["cores"][1]["gauges"]["mesh_waiting_letters"], Value::Null);
    let (_, text) = served.get("/metrics");
    assert!(text.contains("blipmq_receive_buffers_free{core=\"0\"} 200\n"), "{text}");
    assert!(!text.contains("blipmq_receive_buffers_free{core=\"1\"}"), "{text}");
    served.handle.stop();
}

#[test]
fn a_broker_that_drains_is_alive_and_not_ready() {
    let served = Served::new(Settings::default(), 2);
    assert_eq!(served.get("/readyz").1, "ready\n");
    assert_eq!(served.json("/api/v1/status")["state"], "ready");
    served.node.draining.store(true, Ordering::Relaxed);
    let (head, body) = served.get("/readyz");
    assert!(head.starts_with("HTTP/1.1 503 ") && body == "draining\n", "{head} {body}");
    assert_eq!(served.get("/healthz").1, "ok\n");
    assert_eq!(served.json("/api/v1/status")["state"], "draining");
    assert!(served.get("/metrics").1.contains("\nblipmq_ready 0\n"));
    served.handle.stop();
}

#[test]
fn with_a_token_only_health_checks_and_the_empty_dashboard_need_none() {
    let mut settings = Settings::default();
    settings.metrics.token = Some(Secret::new("s3cret"));
    let served = Served::new(settings, 2);
    let guarded = ["/metrics", "/api/v1/status", "/api/v1/topics?sort=x", "/nothing"];
    for path in guarded {
        for headers in ["", "Authorization: Bearer s3cre\r\n", "Authorization: Basic s3cret\r\n"] {
            let (head, body) = fetched(served.addr, &format!("GET {path}"), headers);
            assert!(head.starts_with("HTTP/1.1 401 "), "{path} {headers} {head}");
            assert!(head.contains("www-authenticate: Bearer"), "{head}");
            assert!(body.contains("[metrics] token") && !body.contains("s3cret"), "{body}");
        }
    }
    let header = "Authorization: Bearer s3cret\r\n";
    let statuses = guarded.map(|path| {
        let (head, _) = fetched(served.addr, &format!("GET {path}"), header);
        head["HTTP/1.1 ".len()..][..3].to_owned()
    });
    assert_eq!(statuses, ["200", "200", "400", "404"]);
    for path in ["/", "/healthz", "/readyz"] {
        assert!(served.get(path).0.starts_with("HTTP/1.1 200 OK"), "{path}");
    }
    served.handle.stop();
}

#[test]
fn what_is_not_there_or_not_served_is_answered_with_what_is() {
    let served = Served::new(Settings::default(), 2);
    let error = |request_line: &str, status: &str| {
        let (head, body) = fetched(served.addr, request_line, "");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request_line}: {head}");
        assert!(head.contains("connection: close"), "{head}");
        let body: Value = serde_json::from_str(&body).unwrap();
        body["error"].as_str().unwrap().to_owned()
    };
    assert!(error("GET /metric?x=1", "404").starts_with("there is no /metric; there are /, /metr"));
    assert!(error("POST /metrics", "405").contains("POST is not served"));
    assert!(error("DELETE /api/v1/connections", "405").contains("use GET"));
    assert!(error("GET /api/v1/connections?limit=x", "400").starts_with("limit=x: use a whole"));
    let (head, body) = fetched(served.addr, "HEAD /metrics", "");
    assert!(head.starts_with("HTTP/1.1 200 OK") && body.is_empty(), "{head}");
    served.handle.stop();
}

#[test]
fn a_taken_port_is_told_with_the_keys_and_flags_that_change_it() {
    let first = any_port();
    let addr = first.local_addr();
    let error = AdminServer::bind(addr).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "cannot serve metrics on {addr}: Address already in use (os error 98); choose \
             another address with `[metrics] bind_addr` or `--metrics-bind`, or do without: \
             `[metrics] enabled = false`"
        )
    );
}

#[test]
fn a_stop_does_not_wait_for_clients() {
    let served = Served::new(Settings::default(), 2);
    let mut silent = TcpStream::connect(served.addr).unwrap();
    let mut half = TcpStream::connect(served.addr).unwrap();
    half.write_all(b"GET /metrics HTT").unwrap();
    // An answer proves that the pages run, and that both are accepted before it.
    served.get("/readyz");
    served.handle.stop();
    let mut rest = Vec::new();
    // A reset is an end as well: half a request was never read to its end.
    let _ = silent.read_to_end(&mut rest);
    let _ = half.read_to_end(&mut rest);
    assert!(rest.is_empty());
}
