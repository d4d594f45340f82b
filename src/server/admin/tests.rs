//! The pages over HTTP, with cores that threads play, or that do not answer.

mod counters;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Instant, SystemTime};

use blipmq::broker::Protocol;
use blipmq::broker::inspect::Answer;
use blipmq::broker::memory::Memory;
use blipmq::config::{Secret, Settings};
use executors::Observed;

use super::*;
use crate::server::control::{self, Command, Control, Fill};
use crate::server::listeners::{Addresses, Listener};
use crate::server::node::Core;
use crate::server::reload::Configuration;
use crate::server::tls::listeners::Active;

/// A node of two cores, and the receiving ends of their commands.
fn node_of(settings: Settings) -> (Arc<Node>, Vec<Receiver<Command>>) {
    let (senders, receivers) = control::channels(2);
    let cores = [5, 7].map(Core::new);
    let address = SocketAddr::from(([127, 0, 0, 1], 7));
    let blip = Listener { name: "blip", title: "BLIP", address, frontend: Protocol::Blip };
    let node = Node {
        server_id: 0xab,
        // A clock that was wrong then, and was set since.
        started: SystemTime::UNIX_EPOCH,
        ready_since: Instant::now(),
        addresses: Addresses { clients: [blip].into(), metrics: Some(address), metrics_tls: false },
        shards: 4,
        cores: cores.to_vec(),
        control: Control::new(senders, |_| {}),
        memory: Memory::new(1 << 20),
        topics: Arc::default(),
        configuration: Arc::new(Configuration::new(None, settings, Active::default())),
        draining: AtomicBool::new(false),
        page_handshakes: Arc::default(),
        log_lines_lost: Arc::default(),
    };
    (Arc::new(node), receivers)
}

/// Plays a core without connections.
fn play_core(commands: Receiver<Command>) {
    std::thread::spawn(move || {
        while let Ok(command) = commands.recv() {
            match command {
                Command::Ping(reply) | Command::Reload(.., reply) => reply(()),
                Command::LameDuck(_) | Command::PasswordChecked(..) => {}
                Command::Fill(reply) => {
                    reply(Fill { mesh_waiting_messages: 3, receive_buffers_free: 200 });
                }
                Command::Inspect(_, reply) => reply(Answer { total: 2, rows: vec![] }),
            }
        }
    });
}

/// The pages of a node, some of whose cores may not answer.
struct Served {
    node: Arc<Node>,
    addr: SocketAddr,
    handle: AdminHandle,
    /// The cores that do not answer.
    _silent: Vec<Receiver<Command>>,
}

impl Served {
    fn new(settings: Settings, answering_cores: usize) -> Served {
        let (node, mut receivers) = node_of(settings);
        receivers.drain(..answering_cores).for_each(play_core);
        let server = any_port();
        let addr = server.local_addr();
        let handle = server.serve(node.clone()).unwrap();
        Served { node, addr, handle, _silent: receivers }
    }

    fn get(&self, path: &str) -> (String, String) {
        fetch(self.addr, &format!("GET {path}"), "")
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
fn fetch(addr: SocketAddr, request_line: &str, headers: &str) -> (String, String) {
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

#[test]
fn uptime_does_not_follow_the_wall_clock() {
    let served = Served::new(Settings::default(), 2);
    let status = served.json("/api/v1/status");
    assert_eq!(status["started_unix_seconds"], 0.0);
    let limit = served.node.ready_since.elapsed().as_secs_f64();
    assert!(status["uptime_seconds"].as_f64().unwrap() <= limit, "{status}");
    served.handle.stop();
}

/// Goal: a supervisor's probe is answered while others hold every place.
#[test]
fn a_probe_is_served_beside_silent_connections_on_every_place() {
    let served = Served::new(Settings::default(), 2);
    let connect = || TcpStream::connect(served.addr).unwrap();
    let mut silent: Vec<_> = (0..BOUNDS.connections_max).map(|_| connect()).collect();
    let (head, body) = served.get("/healthz");
    assert!(head.starts_with("HTTP/1.1 200 OK") && body == "ok\n", "{head}");
    // The first of them was ended for the probe.
    assert_eq!(silent[0].read(&mut [0]).unwrap(), 0);
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
    // Asleep, dropped, overflows, refused, logins and shortages, two from the answers of the cores, seventeen of
    // the whole broker.
    assert_eq!(families, families::PER_CORE.len() + families::HISTOGRAMS.len() + 10 + 16);
    served.handle.stop();
}

#[test]
fn buckets_of_histograms_add_up_and_agree_with_the_percentiles_of_the_status() {
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
fn a_sleep_is_counted_while_it_lasts() {
    let served = Served::new(Settings::default(), 2);
    let now_ns = executors::Now::read().monotonic_ns;
    served.node.cores[0].turns.observe(Observed::Sleeps { at_ns: now_ns - 5_000_000_000 });
    let cores = served.json("/api/v1/cores");
    assert!(cores["cores"][0]["asleep_seconds"].as_f64().unwrap() >= 5.0);
    assert_eq!(cores["cores"][1]["asleep_seconds"], 0.0);
    served.handle.stop();
}

#[test]
fn a_core_that_does_not_answer_is_named_and_the_others_are_shown() {
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
            let (head, body) = fetch(served.addr, &format!("GET {path}"), headers);
            assert!(head.starts_with("HTTP/1.1 401 "), "{path} {headers} {head}");
            assert!(head.contains("www-authenticate: Bearer"), "{head}");
            assert!(body.contains("[metrics] token") && !body.contains("s3cret"), "{body}");
        }
    }
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR "] {
        let header = format!("Authorization: {scheme} s3cret\r\n");
        let statuses = guarded.map(|path| {
            let (head, _) = fetch(served.addr, &format!("GET {path}"), &header);
            head["HTTP/1.1 ".len()..][..3].to_owned()
        });
        assert_eq!(statuses, ["200", "200", "400", "404"], "{scheme}");
    }
    for path in ["/", "/healthz", "/readyz"] {
        assert!(served.get(path).0.starts_with("HTTP/1.1 200 OK"), "{path}");
    }
    served.handle.stop();
}

#[test]
fn an_unknown_path_or_method_is_answered_with_the_known_ones() {
    let served = Served::new(Settings::default(), 2);
    let error = |request_line: &str, status: &str| {
        let (head, body) = fetch(served.addr, request_line, "");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request_line}: {head}");
        assert!(head.contains("connection: close"), "{head}");
        let body: Value = serde_json::from_str(&body).unwrap();
        body["error"].as_str().unwrap().to_owned()
    };
    assert!(error("GET /metric?x=1", "404").starts_with("there is no /metric; there are /, /metr"));
    assert!(error("POST /metrics", "405").contains("POST is not served"));
    assert!(error("DELETE /api/v1/connections", "405").contains("use GET"));
    assert!(error("GET /api/v1/connections?limit=x", "400").starts_with("limit=x: use a whole"));
    let (head, body) = fetch(served.addr, "HEAD /metrics", "");
    assert!(head.starts_with("HTTP/1.1 200 OK") && body.is_empty(), "{head}");
    served.handle.stop();
}

#[test]
fn the_error_of_a_port_in_use_names_the_keys_and_flags_that_change_it() {
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
fn a_stop_does_not_wait_for_http_clients() {
    let served = Served::new(Settings::default(), 2);
    let mut silent = TcpStream::connect(served.addr).unwrap();
    let mut half = TcpStream::connect(served.addr).unwrap();
    half.write_all(b"GET /metrics HTT").unwrap();
    // The answer proves that the pages run and have accepted both connections before.
    served.get("/readyz");
    served.handle.stop();
    let mut rest = Vec::new();
    // A reset is an end as well: half a request was not read completely.
    let _ = silent.read_to_end(&mut rest);
    let _ = half.read_to_end(&mut rest);
    assert!(rest.is_empty());
}
