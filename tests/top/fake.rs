//! A fake of a broker's admin endpoint: gives the answers that a test sets, and records the requests.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Maps a path, with its query, to an answer.
type Answers = dyn Fn(&str) -> Reply + Send + Sync;

pub enum Reply {
    Http(u16, String),
    /// Bytes that are sent unchanged.
    Raw(Vec<u8>),
}

/// A fake endpoint, which listens until the process ends.
pub struct Fake {
    pub url: String,
    /// The first lines and headers of all requests.
    requests: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Arc<Answers>>>,
}

impl Fake {
    pub fn start(answers: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a listening socket"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answers: Arc<Mutex<Arc<Answers>>> = Arc::new(Mutex::new(Arc::new(answers)));
        let (recorded, current) = (requests.clone(), answers.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // An error is fine: the client may have disconnected.
                let _ = serve(stream.expect("a connection"), &recorded, &current);
            }
        });
        Fake { url, requests, answers }
    }

    pub fn broker() -> Fake {
        let broker = Broker::default();
        Fake::start(move |path| broker.answer(path))
    }

    /// Replaces the answers.
    pub fn set_answers(&self, answers: impl Fn(&str) -> Reply + Send + Sync + 'static) {
        *self.answers.lock().expect("no panic") = Arc::new(answers);
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

fn serve(
    mut stream: TcpStream,
    recorded: &Mutex<Vec<String>>,
    answers: &Mutex<Arc<Answers>>,
) -> std::io::Result<()> {
    let mut request = String::new();
    let mut lines = BufReader::new(&stream);
    while lines.read_line(&mut request)? > 2 {}
    let path = request.split(' ').nth(1).expect("a path").to_owned();
    recorded.lock().expect("no panic").push(request);
    let answers = answers.lock().expect("no panic").clone();
    match answers(&path) {
        Reply::Raw(bytes) => stream.write_all(&bytes),
        Reply::Http(status, body) => write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        ),
    }
}

/// Answers in the format of the API, with counters that grow with every request for the cores.
pub struct Broker {
    server_id: &'static str,
    polls: Mutex<u64>,
}

impl Default for Broker {
    fn default() -> Broker {
        Broker::with_id("9F3A5C7E12B4D680")
    }
}

/// A name that would clear the screen and set the title.
pub const HOSTILE: &str = "orders.\u{1b}[2J\u{1b}]0;owned\u{7}";

impl Broker {
    /// Creates a broker with another id, as after a restart.
    pub fn with_id(server_id: &'static str) -> Broker {
        Broker { server_id, polls: Mutex::default() }
    }

    pub fn answer(&self, path: &str) -> Reply {
        let value = match path.split('?').next().expect("a path") {
            "/api/v1/status" => self.status(),
            "/api/v1/cores" => {
                let mut polls = self.polls.lock().expect("no panic");
                *polls += 1;
                cores(*polls)
            }
            "/api/v1/subscriptions" => list(subscription()),
            "/api/v1/topics" => list(json!({"topic": HOSTILE, "core": 0, "rate_per_second": 12.5,
                "published_messages": 100, "published_bytes": 1000, "kept_messages": 10,
                "kept_bytes": 100, "blocked": false, "idle_seconds": 0.5})),
            "/api/v1/connections" => list(connection()),
            _ => return Reply::Http(404, r#"{"error":"there is no such path"}"#.to_owned()),
        };
        Reply::Http(200, value.to_string())
    }

    fn status(&self) -> Value {
        let now = unix_seconds();
        json!({"name": "blipmq", "version": "0.1.0", "server_id": self.server_id, "pid": 123,
            "state": "ready", "now_unix_seconds": now, "started_unix_seconds": now - 61.5,
            "uptime_seconds": 61.5,
            "addresses": {"blip": "127.0.0.1:7878", "nats": null, "metrics": "127.0.0.1:9090"},
            "cpus": [0, 1], "shards": 4,
            "process": {"cpu_seconds": 1.5, "resident_bytes": 20_000_000, "open_files": 40,
                "open_files_max": 1_048_576, "threads": 4},
            "configuration": {"file": null, "loaded_unix_seconds": now, "reloads": 0,
                "last_reload": null},
            "limits": [
                {"name": "connections", "used": 3, "limit": 10_000, "unit": "",
                    "key": "server.max_connections"},
                {"name": "memory", "used": 1_048_576, "limit": 2_147_483_648u64, "unit": "bytes",
                    "key": "limits.memory_max"}],
            "totals": counters(1),
            "latency": {"p50_seconds": 0.00002, "p90_seconds": 0.00004, "p99_seconds": 0.0009,
                "p999_seconds": 0.012}})
    }
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs_f64()
}

fn counters(polls: u64) -> Value {
    json!({"published_messages": 1000 * polls, "published_bytes": 64_000 * polls,
        "enqueued_messages": 0, "delivered_messages": 48_000 * polls,
        "dropped_oldest_messages": 10 * polls, "dropped_new_messages": 0,
        "dropped_connection_full_messages": 0, "reclaimed_messages": 0,
        "reclaimed_connections": 0, "conflated_messages": 0,
        "expired_before_enqueue_messages": 0, "expired_in_queue_messages": 0,
        "dropped_disconnected_messages": 0, "refused_messages": 0,
        "refused_for_memory_messages": 0, "queue_overflows": 0, "publishers_blocked": 0,
        "evicted_portions": 0, "flushes": 0, "flushed_bytes": 64_000 * polls, "errors_sent": 0,
        "logins_refused": 0, "no_responders": 0, "connections_opened": 3, "connections_closed": 0,
        "mesh_letters_sent": polls, "mesh_full": 0, "turns": 900 * polls, "enters": 900 * polls,
        "receive_buffer_shortages": 0})
}

fn cores(polls: u64) -> Value {
    let core = |core: u64| {
        json!({"core": core, "cpu": core, "answered": true, "counters": counters(polls),
            "asleep_seconds": 0.0,
            "gauges": {"connections": 2, "nats_connections": 0, "subscriptions": 1, "topics": 1,
                "blocked_topics": 0, "mesh_waiting_letters": 0, "receive_buffers_free": 9},
            "accept_to_send": {"upper_seconds": [0.001, 0.002, 0.004],
                "counts": [0, 0, 100 * polls, 0], "sum_seconds": 0.3},
            "send_messages": {"upper": [1, 64], "counts": [0, 10 * polls, 0],
                "sum": 480 * polls},
            "send_bytes": {"upper": [64], "counts": [0, 0], "sum": 0},
            "enter_sends": {"upper": [1, 2, 4], "counts": [0, 0, 5 * polls, 0],
                "sum": 15 * polls}})
    };
    json!({"now_unix_seconds": unix_seconds(), "cores": [core(0), core(1)]})
}

fn subscription() -> Value {
    json!({"connection": "0-12-3", "core": 0, "address": "127.0.0.1:5555", "protocol": "blip",
        "subscription": "7", "pattern": HOSTILE, "group": null, "overflow": "drop_oldest",
        "state": "in_force", "queued_messages": 1024, "messages_max": 2048, "queued_bytes": 0,
        "bytes_max": 67_108_864, "lag_seconds": 0.25, "delivered_messages": 0,
        "dropped_messages": 12, "dropped": {"overflow_oldest": 12, "overflow_new": 0, "connection_full": 0,
            "reclaimed": 0,
            "conflated": 0, "expired": 0}, "holds_up_topics": 0})
}

fn connection() -> Value {
    json!({"connection": "0-12-3", "core": 0, "address": "127.0.0.1:5555", "protocol": "nats",
        "nats_client_id": 5, "state": "open", "paused": null, "age_seconds": 1.5,
        "subscriptions": 2, "queued_messages": 0, "queued_bytes": 0, "lag_seconds": 0.0,
        "published_messages": 0, "published_bytes": 0, "delivered_messages": 0,
        "delivered_bytes": 0, "dropped_messages": 0})
}

fn list(row: Value) -> Value {
    json!({"total": 1, "offset": 0, "limit": 50, "sort": "x", "order": "desc",
        "unanswered_cores": [], "rows": [row]})
}
