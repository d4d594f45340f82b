//! The admin pages: metrics for Prometheus, health checks, lists as JSON, and a dashboard.
//!
//! Started by `server` before the cores, so that a taken port is told before anything runs. It has
//! one thread of its own, named `admin`, pinned nowhere; the data cores bump counters that it reads,
//! and answer questions between their turns.
//!
//! | path | file |
//! |---|---|
//! | `/`, and what that loads | `dashboard` |
//! | `/metrics` | `families` |
//! | `/healthz`, `/readyz` | here |
//! | `/api/v1/status`, `/api/v1/cores` | `status` |
//! | `/api/v1/connections`, `subscriptions`, `topics` | `query`, `lists` |
//! | questions to the cores | `ask` |
//!
//! # Always true
//! - Nothing here changes the broker.
//! - A page takes no lock that a core takes, and writes no counter.
//! - Stopping never waits for a client of the pages, however slowly it reads.
//! - The pages hold few connections, each for one answer and a bounded time: see `bounded`.

mod ask;
mod bounded;
mod dashboard;
mod families;
mod lists;
mod query;
mod status;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use blipmq::broker::auth::is_same;
use blipmq::broker::inspect::{List, Question, SubscriptionsBy};
use prometheus::{TEXT_FORMAT, TextEncoder};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::node::Node;
use bounded::Bounded;
use families::{Asked, WORST};
use query::{Kind, Page};

/// Connections to the pages at once. Prometheus needs one, a dashboard a few.
const CONNECTIONS_MAX: usize = 32;
/// Time for one request and its answer; Prometheus gives up after 10 s as well.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(10);

/// The pages, listening but not answering yet.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    local_addr: SocketAddr,
    runtime: Runtime,
}

/// The pages, answering. Dropping it ends them without waiting for their thread.
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
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// Its thread cannot be had.
    #[error(
        "cannot start the thread of the admin pages: {source}; raise the limits on processes and \
         open files (ulimit -u, ulimit -n), or do without: `[metrics] enabled = false`"
    )]
    Thread {
        /// What the system says.
        source: std::io::Error,
    },
}

impl AdminServer {
    /// Takes the address. Connections wait until [`AdminServer::serve`] answers them.
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

    /// Where the pages are; the port that was given if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers from now on.
    pub fn serve(self, node: Arc<Node>) -> Result<AdminHandle, AdminError> {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || self.run(router(node), stopped))
            .map_err(|source| AdminError::Thread { source })?;
        Ok(AdminHandle { stop, thread })
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
            get(|State(node): Shared| async move { Json(status::status(&node)) }),
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
        .layer(middleware::map_response(finish))
        .with_state(node)
}

type Shared = State<Arc<Node>>;

/// An answer that is an error.
fn refusal(status: StatusCode, error: impl Into<Value>) -> Response {
    (status, Json(json!({ "error": error.into() }))).into_response()
}

async fn metrics(State(node): Shared) -> impl IntoResponse {
    let worst = |by| {
        let question =
            Question { list: List::Subscriptions(by), ascending: false, rows_max: WORST };
        ask::list(&node.control, question)
    };
    let (fills, lag, queued, dropped) = tokio::join!(
        ask::how_full(&node.control),
        worst(SubscriptionsBy::Lag),
        worst(SubscriptionsBy::QueuedBytes),
        worst(SubscriptionsBy::Dropped),
    );
    let asked = Asked {
        fills,
        lag: lag.0.rows,
        queued_bytes: queued.0.rows,
        dropped: dropped.0.rows,
        now_ns: executors::Now::read().monotonic_ns,
    };
    let text = TextEncoder::new()
        .encode_to_string(&families::all(&node, &asked))
        .expect("every family has a name, a type and metrics");
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], text)
}

/// Whether every core does its turns.
async fn health(State(node): Shared) -> Response {
    let run = ask::whether_they_run(&node.control).await;
    let stuck: Vec<String> = run
        .iter()
        .enumerate()
        .filter(|(_, runs)| !**runs)
        .map(|(core, _)| core.to_string())
        .collect();
    match stuck.is_empty() {
        true => "ok\n".into_response(),
        false => {
            let cores = stuck.join(", ");
            let text =
                format!("no answer within {} s from core {cores}\n", ask::PATIENCE.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

/// Whether clients should come here.
async fn readiness(State(node): Shared) -> Response {
    match node.is_ready() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response(),
    }
}

async fn cores(State(node): Shared) -> Json<Value> {
    let fills = ask::how_full(&node.control).await;
    Json(status::cores(&node, &fills, executors::Now::read().monotonic_ns))
}

async fn list(State(node): Shared, uri: Uri, kind: Kind) -> Response {
    match Page::parse(kind, uri.query().unwrap_or("")) {
        Ok(page) => {
            let (answer, unanswered) = ask::list(&node.control, page.question).await;
            Json(lists::page(page, answer, unanswered)).into_response()
        }
        Err(error) => refusal(StatusCode::BAD_REQUEST, error),
    }
}

/// Lets nobody in without the token, if there is one.
async fn check_token(State(node): Shared, request: Request, next: Next) -> Response {
    let settings = node.settings();
    let Some(token) = &settings.metrics.token else { return next.run(request).await };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match given.and_then(|given| given.strip_prefix("Bearer ")) {
        Some(given) if is_same(given.trim(), token) => next.run(request).await,
        _ => {
            let error =
                "this needs the token of `[metrics] token`: send `Authorization: Bearer TOKEN`";
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
            (challenge, refusal(StatusCode::UNAUTHORIZED, error)).into_response()
        }
    }
}

async fn not_found(uri: Uri) -> Response {
    let error = format!(
        "there is no {}; there are /, /metrics, /healthz, /readyz, and below /api/v1/: status, cores, \
         connections, subscriptions, topics",
        uri.path()
    );
    refusal(StatusCode::NOT_FOUND, error)
}

async fn not_allowed(method: Method) -> Response {
    let error = format!("{method} is not served: everything here is for reading, use GET");
    refusal(StatusCode::METHOD_NOT_ALLOWED, error)
}

/// What every answer has.
async fn finish(mut response: Response) -> Response {
    let headers = response.headers_mut();
    // One answer per connection: an idle one would hold a place until its lifetime ends.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
