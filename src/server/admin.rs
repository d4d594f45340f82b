//! The admin pages: metrics for Prometheus, health checks, lists as JSON, and a dashboard.
//!
//! Bound by `start` before the cores run, so that a port in use is reported before anything runs. The
//! pages have one thread of their own, named `admin` and pinned nowhere. It reads the counters of the
//! cores, and the cores answer its questions between their turns.
//!
//! | path | file |
//! |---|---|
//! | `/`, and the files it loads | `dashboard` |
//! | `/metrics` | `families` |
//! | `/healthz`, `/readyz` | here |
//! | `/api/v1/status`, `/api/v1/cores` | `status` |
//! | `/api/v1/connections`, `subscriptions`, `topics` | `query`, `lists` |
//! | questions to the cores | `ask` |
//!
//! # Always true
//! - Nothing here changes the broker.
//! - A page takes no lock that a core takes, and writes no counter.
//! - A stop never waits for an HTTP client, however slowly the client reads.
//! - The pages hold few connections, each for one answer and a bounded time, and a probe always finds a
//!   place among them: see `bounded`.

mod ask;
mod bounded;
mod dashboard;
mod families;
mod lists;
mod places;
mod query;
mod status;
mod stream;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::IncomingStream;
use blipmq::broker::inspect::{List, Question, SubscriptionsBy};
use blipmq::broker::is_same;
use prometheus::{TEXT_FORMAT, TextEncoder};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::node::Node;
use crate::printable;
use bounded::{Bounded, Bounds};
use families::{Answers, WORST};
use query::{Kind, Page};
use stream::Reader;

/// What HTTP clients may do. Prometheus needs one connection, a dashboard a few; the default scrape
/// timeout of Prometheus is 10 s as well.
const BOUNDS: Bounds = Bounds {
    connections_max: 32,
    head_timeout: Duration::from_secs(2),
    lifetime: Duration::from_secs(10),
};

/// The pages, listening but not answering yet.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    local_addr: SocketAddr,
    runtime: Runtime,
}

/// The pages, answering. Dropping the handle ends the pages without waiting for their thread.
#[derive(Debug)]
pub struct AdminHandle {
    // Dropping the sender is the signal.
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Why the pages cannot be served. The broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address cannot be listened on.
    #[error(
        "cannot serve metrics on {addr}: {source}; choose another address with `[metrics] \
         bind_addr` or `--metrics-bind`, or do without: `[metrics] enabled = false`"
    )]
    Bind { addr: SocketAddr, source: std::io::Error },
    /// The system refuses the thread or its event loop.
    #[error(
        "cannot start the thread of the admin pages: {source}; raise the limits on processes and \
         open files (ulimit -u, ulimit -n), or do without: `[metrics] enabled = false`"
    )]
    Thread { source: std::io::Error },
}

impl AdminServer {
    /// Binds the address. Connections wait until [`AdminServer::serve`].
    pub fn bind(addr: SocketAddr) -> Result<AdminServer, AdminError> {
        let listener =
            TcpListener::bind(addr).map_err(|source| AdminError::Bind { addr, source })?;
        listener.set_nonblocking(true).map_err(|source| AdminError::Bind { addr, source })?;
        let local_addr =
            listener.local_addr().map_err(|source| AdminError::Bind { addr, source })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| AdminError::Thread { source })?;
        Ok(AdminServer { listener, local_addr, runtime })
    }

    /// The bound address: the port that the system chose if the settings say port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Starts to answer.
    pub fn serve(self, node: Arc<Node>) -> Result<AdminHandle, AdminError> {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || self.run(node, stopped))
            .map_err(|source| AdminError::Thread { source })?;
        Ok(AdminHandle { stop, thread })
    }

    fn run(self, node: Arc<Node>, stopped: oneshot::Receiver<()>) {
        let (configuration, handshakes) =
            (node.configuration.clone(), node.page_handshakes.clone());
        let terms = Box::new(move || configuration.tls().pages.clone());
        let router = router(node);
        self.runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener)
                .expect("a bound, non-blocking listener joins the runtime");
            let listener = Bounded::new(listener, BOUNDS, (terms, handshakes));
            let router = router.into_make_service_with_connect_info::<ReadBy>();
            // Not axum's graceful shutdown, which waits for clients: a stop must not.
            tokio::select! {
                _ = stopped => {}
                _ = axum::serve(listener, router) => {}
            }
        });
    }
}

impl AdminHandle {
    /// Ends the pages and waits for their thread.
    pub fn stop(self) {
        drop(self.stop);
        self.thread.join().expect("the admin pages do not panic");
    }
}

fn router(node: Arc<Node>) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route(
            "/api/v1/status",
            get(|State(node): Shared| async move { json_answer(&status::status(&node)) }),
        )
        .route("/api/v1/cores", get(cores))
        .route("/api/v1/connections", get(|node, uri| list(node, uri, Kind::Connections)))
        .route("/api/v1/subscriptions", get(|node, uri| list(node, uri, Kind::Subscriptions)))
        .route("/api/v1/topics", get(|node, uri| list(node, uri, Kind::Topics)))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn_with_state(node.clone(), check_token));
    dashboard::add_to(Router::new())
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .fallback_service(guarded.with_state(node.clone()))
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::map_response(add_headers))
        .with_state(node)
}

type Shared = State<Arc<Node>>;

/// An answer in JSON. Names of clients are escaped: operators read pages in terminals too.
fn json_answer(value: &Value) -> Response {
    let mut body = Vec::new();
    printable::write_json(&mut body, value).expect("writing to a vector succeeds");
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// An answer with a JSON error.
fn error_answer(status: StatusCode, error: impl Into<Value>) -> Response {
    (status, json_answer(&json!({ "error": error.into() }))).into_response()
}

async fn metrics(State(node): Shared) -> impl IntoResponse {
    let worst = |by| {
        let question =
            Question { list: List::Subscriptions(by), ascending: false, rows_max: WORST };
        ask::list(&node.control, question)
    };
    let (fills, lag, queued, dropped) = tokio::join!(
        ask::fills(&node.control),
        worst(SubscriptionsBy::Lag),
        worst(SubscriptionsBy::QueuedBytes),
        worst(SubscriptionsBy::Dropped),
    );
    let answers = Answers {
        fills,
        lag: lag.0.rows,
        queued_bytes: queued.0.rows,
        dropped: dropped.0.rows,
        now_ns: executors::Now::read().monotonic_ns,
    };
    let text = TextEncoder::new()
        .encode_to_string(&families::all(&node, &answers))
        .expect("every family has a name, a type and metrics");
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], text)
}

/// Answers whether every core does its turns.
async fn health(State(node): Shared) -> Response {
    let stuck = ask::unanswered_cores(&node.control).await;
    if stuck.is_empty() {
        return "ok\n".into_response();
    }
    let cores = stuck.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let seconds = ask::ANSWER_TIMEOUT.as_secs();
    let text = format!("no answer within {seconds} s from core {cores}\n");
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// Answers whether clients should be sent to this broker.
async fn readiness(State(node): Shared) -> Response {
    match node.is_ready() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response(),
    }
}

async fn cores(State(node): Shared) -> Response {
    let fills = ask::fills(&node.control).await;
    json_answer(&status::cores(&node, &fills, executors::Now::read().monotonic_ns))
}

async fn list(State(node): Shared, uri: Uri, kind: Kind) -> Response {
    match Page::parse(kind, uri.query().unwrap_or("")) {
        Ok(page) => {
            let (answer, unanswered) = ask::list(&node.control, page.question).await;
            json_answer(&lists::page(page, answer, unanswered))
        }
        Err(error) => error_answer(StatusCode::BAD_REQUEST, error),
    }
}

/// Who reads a page.
#[derive(Debug, Clone)]
struct ReadBy(Arc<Reader>);

impl Connected<IncomingStream<'_, Bounded>> for ReadBy {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> ReadBy {
        ReadBy(stream.io().reader())
    }
}

/// Refuses requests without the token, if there is one, and without a certificate.
async fn check_token(
    State(node): Shared,
    ConnectInfo(ReadBy(reader)): ConnectInfo<ReadBy>,
    request: Request,
    next: Next,
) -> Response {
    let settings = node.settings();
    let Some(token) = settings.metrics.token.as_ref().filter(|_| !reader.has_certificate()) else {
        return next.run(request).await;
    };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    // Names of schemes are the same in any case.
    let bearer = given.and_then(|given| given.trim().split_once(' '));
    match bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
        Some((_, given)) if is_same(given.trim(), token) => next.run(request).await,
        _ => {
            let error = "this page needs `[metrics] token`: send `Authorization: Bearer TOKEN`";
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
            (challenge, error_answer(StatusCode::UNAUTHORIZED, error)).into_response()
        }
    }
}

async fn not_found(uri: Uri) -> Response {
    let error = format!(
        "there is no {}; there are /, /metrics, /healthz, /readyz, and below /api/v1/: status, cores, \
         connections, subscriptions, topics",
        uri.path()
    );
    error_answer(StatusCode::NOT_FOUND, error)
}

async fn not_allowed(method: Method) -> Response {
    let error = format!("{method} is not served: all pages are read-only, use GET");
    error_answer(StatusCode::METHOD_NOT_ALLOWED, error)
}

/// Adds the headers that every answer has.
async fn add_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    // One answer per connection: an idle connection would hold a place until its lifetime ends.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
