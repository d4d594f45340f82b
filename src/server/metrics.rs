//! The metrics page: what every core counts, as text for Prometheus.
//!
//! Started by `server` before the cores, so that a taken port is told before anything runs. It has
//! one thread of its own, named `metrics`; the data cores only bump the counters it reads.
//!
//! # Always true
//! - Reading never slows a core: the page takes no lock and writes no counter.
//! - Stopping never waits for a client of the page, however slowly it reads.
//! - The page holds few connections, each for one answer and a bounded time: see `bounded`.

mod bounded;
mod families;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::get;
use blipmq::broker::counters::Counters;
use blipmq::broker::memory::Memory;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use bounded::Bounded;
use families::registry;

/// Connections to the page at once. Prometheus needs one; the rest is for curious people.
const CONNECTIONS_MAX: usize = 32;
/// Time for one request and its answer; Prometheus gives up after 10 s as well.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(10);

/// The page, listening but not answering yet.
#[derive(Debug)]
pub struct MetricsServer {
    listener: TcpListener,
    local_addr: SocketAddr,
    runtime: Runtime,
}

/// What the page tells besides the counters.
#[derive(Debug, Clone)]
pub struct Info {
    /// The broker's version.
    pub version: &'static str,
    /// `[server] max_connections`.
    pub max_connections: u32,
    /// What all cores hold, and `[limits] memory_max`.
    pub memory: Memory,
}

/// The page, answering. Dropping it ends the page without waiting for its thread.
#[derive(Debug)]
pub struct MetricsHandle {
    // Dropping the sender is the signal.
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Why the page cannot be served. The broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The address cannot be listened on.
    #[error(
        "cannot serve metrics on {addr}: {source}; choose another address with `[metrics] \
         bind_addr` or `--metrics-bind`, or do without: `[metrics] enabled = false`"
    )]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// Its thread cannot be had.
    #[error(
        "cannot start the thread of the metrics page: {source}; raise the limits on processes and \
         open files (ulimit -u, ulimit -n), or do without: `[metrics] enabled = false`"
    )]
    Thread {
        /// What the system says.
        source: std::io::Error,
    },
}

impl MetricsServer {
    /// Takes the address. Connections wait until [`MetricsServer::serve`] answers them.
    pub fn bind(addr: SocketAddr) -> Result<MetricsServer, MetricsError> {
        let listener =
            TcpListener::bind(addr).map_err(|source| MetricsError::Bind { addr, source })?;
        listener.set_nonblocking(true).map_err(|source| MetricsError::Bind { addr, source })?;
        let local_addr =
            listener.local_addr().map_err(|source| MetricsError::Bind { addr, source })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| MetricsError::Thread { source })?;
        Ok(MetricsServer { listener, local_addr, runtime })
    }

    /// Where the page is; the port that was given if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers from now on. `counters` are those of core 0, core 1, and so on.
    pub fn serve(
        self,
        counters: Vec<Arc<Counters>>,
        info: Info,
    ) -> Result<MetricsHandle, MetricsError> {
        let router = router(registry(counters, info));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || self.run(router, stopped))
            .map_err(|source| MetricsError::Thread { source })?;
        Ok(MetricsHandle { stop, thread })
    }

    fn run(self, router: Router, stopped: oneshot::Receiver<()>) {
        self.runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener)
                .expect("a bound, non-blocking listener joins the runtime");
            let listener = Bounded::new(listener, CONNECTIONS_MAX, CONNECTION_LIFETIME);
            // Not axum's graceful shutdown: that waits for clients, and a stop must not.
            tokio::select! {
                _ = stopped => {}
                _ = axum::serve(listener, router) => {}
            }
        });
    }
}

impl MetricsHandle {
    /// Ends the page and waits for its thread.
    pub fn stop(self) {
        drop(self.stop);
        self.thread.join().expect("the metrics page does not panic");
    }
}

fn router(registry: Registry) -> Router {
    Router::new()
        .route("/", get(|| async { "BlipMQ: the metrics are at /metrics\n" }))
        .route("/metrics", get(page))
        .fallback(not_found)
        // One answer per connection: an idle one would hold a place until its lifetime ends.
        .layer(axum::middleware::map_response(close_after))
        .with_state(registry)
}

async fn page(State(registry): State<Registry>) -> impl IntoResponse {
    let text = TextEncoder::new()
        .encode_to_string(&registry.gather())
        .expect("every family has a name, a type and metrics");
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], text)
}

async fn not_found(uri: Uri) -> impl IntoResponse {
    (StatusCode::NOT_FOUND, format!("there is no {}; the metrics are at /metrics\n", uri.path()))
}

async fn close_after(mut response: axum::response::Response) -> axum::response::Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn info() -> Info {
        Info { version: "1.2.3", max_connections: 77, memory: Memory::new(1 << 20) }
    }

    fn rendered(counters: Vec<Arc<Counters>>) -> String {
        TextEncoder::new().encode_to_string(&registry(counters, info()).gather()).unwrap()
    }

    fn two_cores() -> Vec<Arc<Counters>> {
        vec![Arc::default(), Arc::default()]
    }

    fn any_port() -> MetricsServer {
        MetricsServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
    }

    /// Head and body of one answer.
    fn fetched(addr: SocketAddr, request_line: &str) -> (String, String) {
        let mut stream = TcpStream::connect(addr).unwrap();
        let request = format!("{request_line} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    }

    /// Goal: no counter is forgotten, read twice or put under another's name.
    /// Method: each counter of core 1 gets a number of its own, core 0 stays at zero.
    #[test]
    fn every_counter_shows_under_its_own_name_and_core() {
        let counters = two_cores();
        let one = &counters[1];
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
            (11, &one.queue_overflows),
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
        ] {
            counter.add(number);
        }
        let text = rendered(counters);
        let mut samples: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.contains("core=\"0\""))
            .collect();
        samples.sort_unstable();
        assert_eq!(
            samples,
            [
                "blipmq_build_info{version=\"1.2.3\"} 1",
                "blipmq_connections_closed_total{core=\"1\"} 16",
                "blipmq_connections_limit 77",
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
                "blipmq_errors_sent_total{core=\"1\"} 14",
                "blipmq_flushed_bytes_total{core=\"1\"} 13",
                "blipmq_flushes_total{core=\"1\"} 12",
                "blipmq_kept_evictions_total{core=\"1\"} 24",
                "blipmq_memory_held_bytes 0",
                "blipmq_memory_limit_bytes 1048576",
                "blipmq_mesh_full_total{core=\"1\"} 20",
                "blipmq_mesh_letters_sent_total{core=\"1\"} 19",
                "blipmq_nats_connections{core=\"1\"} 35",
                "blipmq_nats_no_responders_total{core=\"1\"} 25",
                "blipmq_published_bytes_total{core=\"1\"} 2",
                "blipmq_published_messages_total{core=\"1\"} 1",
                "blipmq_publishers_blocked_total{core=\"1\"} 23",
                "blipmq_queue_overflows_total{core=\"1\"} 11",
                "blipmq_subscriptions{core=\"1\"} 17",
                "blipmq_topics{core=\"1\"} 18",
                "blipmq_ttl_drops_total{core=\"1\"} 15",
            ]
        );
        for line in text.lines().filter(|line| line.contains("core=\"0\"")) {
            assert!(line.ends_with(" 0"), "{line}");
        }
    }

    #[test]
    fn every_family_has_its_type_and_help_and_only_counters_end_in_total() {
        let text = rendered(two_cores());
        let mut families = 0;
        for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
            let [name, kind] = line["# TYPE ".len()..].split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            assert_eq!(kind, if name.ends_with("_total") { "counter" } else { "gauge" }, "{line}");
            assert!(text.contains(&format!("# HELP {name} ")), "{line}");
            families += 1;
        }
        assert_eq!(families, families::PER_CORE.len() + 5);
    }

    #[test]
    fn the_page_answers_over_http_with_what_the_cores_count_meanwhile() {
        let server = any_port();
        let addr = server.local_addr();
        let counters = two_cores();
        let handle = server.serve(counters.clone(), info()).unwrap();
        let (head, body) = fetched(addr, "GET /metrics");
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.contains("\nblipmq_published_messages_total{core=\"0\"} 0\n"), "{body}");
        counters[0].published_messages.add(5);
        let (_, body) = fetched(addr, "GET /metrics");
        assert!(body.contains("\nblipmq_published_messages_total{core=\"0\"} 5\n"), "{body}");
        assert!(head.contains("connection: close"), "{head}");
        handle.stop();
    }

    #[test]
    fn other_paths_point_to_the_page() {
        let server = any_port();
        let addr = server.local_addr();
        let handle = server.serve(two_cores(), info()).unwrap();
        let (head, body) = fetched(addr, "GET /");
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert_eq!(body, "BlipMQ: the metrics are at /metrics\n");
        let (head, body) = fetched(addr, "GET /metric?x=1");
        assert!(head.starts_with("HTTP/1.1 404 Not Found"), "{head}");
        assert_eq!(body, "there is no /metric; the metrics are at /metrics\n");
        let (head, _) = fetched(addr, "POST /metrics");
        assert!(head.starts_with("HTTP/1.1 405 Method Not Allowed"), "{head}");
        handle.stop();
    }

    #[test]
    fn a_taken_port_is_told_with_the_keys_and_flags_that_change_it() {
        let first = any_port();
        let addr = first.local_addr();
        let error = MetricsServer::bind(addr).unwrap_err().to_string();
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
        let server = any_port();
        let addr = server.local_addr();
        let handle = server.serve(two_cores(), info()).unwrap();
        let mut silent = TcpStream::connect(addr).unwrap();
        let mut half = TcpStream::connect(addr).unwrap();
        half.write_all(b"GET /metrics HTT").unwrap();
        // An answer proves that the page runs, and that both are accepted before it.
        fetched(addr, "GET /");
        handle.stop();
        let mut rest = Vec::new();
        // A reset is an end as well: half a request was never read to its end.
        let _ = silent.read_to_end(&mut rest);
        let _ = half.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
}
