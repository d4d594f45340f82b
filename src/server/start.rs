//! The start of the broker: checks, sockets, cores and admin pages, in this order.
//!
//! Called by [`run`](super::run). The sockets of clients and of the admin pages are bound before any
//! core runs, so that a port in use is reported by a broker that does nothing yet.

use std::error::Error;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime};

use blipmq::broker::{Broker, Cluster, Protocol, SERVER_NAME};
use blipmq::config::Settings;
use blipmq::limits;
use blipmq::protocol::CoreId;
use executors::launch::{Plan, Running, launch};
use executors::{placement, preflight};

use super::admin::{AdminHandle, AdminServer};
use super::control::{self, Control};
use super::desk::Desk;
use super::listeners::{Addresses, Bound, ENDPOINTS, Listener, families};
use super::node::{Core, Node};
use super::passwords;
use super::relay::Relay;
use super::reload::{Configuration, Reloader, Source};
use super::tls;
use super::tls::sessions::Sessions;

/// How long the start waits for stdout to accept the ready line.
const READY_LINE_TIMEOUT: Duration = Duration::from_secs(1);

/// The broker between its start and its stop.
pub struct RunningBroker {
    pub executors: Running,
    pub node: Arc<Node>,
    pub reloader: Reloader,
    pub admin: Option<AdminHandle>,
}

/// Starts the broker; the error is one line for the operator.
pub fn start(
    settings: Settings,
    source: Source,
    log_lines_lost: Arc<AtomicU64>,
) -> Result<RunningBroker, Box<dyn Error>> {
    log_exposure(&settings);
    let cpus = placement::choose(settings.server.cores.as_deref())?;
    preflight::check(cpus.len(), settings.server.max_connections)?;
    let Bound { sockets, rows: listeners } = Bound::bind(ENDPOINTS, &settings)?;
    let admin = match settings.metrics.enabled {
        true => Some(AdminServer::bind(settings.metrics.bind_addr)?),
        false => None,
    };
    let protocols: Arc<[Protocol]> = listeners.iter().map(|listener| listener.frontend).collect();
    let tls = source.read_tls(&settings, &protocols, None).map_err(|wrong| wrong.join("\n"))?;
    let configuration = Arc::new(Configuration::new(source.file.clone(), settings, tls));
    let cluster = new_cluster(cpus.len(), &listeners, configuration.settings())?;
    let cpu_list = placement::print(&cpus);
    let cores: Vec<Core> = cpus.iter().map(|cpu| Core::new(*cpu)).collect();
    let plan = new_plan(cpus, sockets, &cluster.settings);
    let (executors, control) = launch_cores(plan, &cluster, &cores, &protocols, &configuration)?;
    let limits = &cluster.settings.limits;
    executors.tuning().set_address_limits(
        limits.max_connections_per_address,
        limits.max_new_connections_per_address,
    );
    let metrics = admin.as_ref().map(AdminServer::local_addr);
    let metrics_tls = cluster.settings.metrics.tls;
    let node = Arc::new(Node {
        server_id: cluster.server_id,
        started: SystemTime::now(),
        ready_since: Instant::now(),
        addresses: Addresses { clients: listeners, metrics, metrics_tls },
        shards: cluster.shards,
        cores,
        control: control.clone(),
        memory: cluster.memory,
        topics: cluster.topics,
        configuration: configuration.clone(),
        draining: AtomicBool::new(false),
        page_handshakes: Arc::default(),
        log_lines_lost,
    });
    let admin = admin.map(|server| server.serve(node.clone())).transpose()?;
    tls::listeners::log(&configuration.tls().listeners, &node.addresses.clients);
    tls::expiry::log(&configuration.tls().dated);
    let watched = configuration.clone();
    tls::expiry::log_daily(move || watched.tls());
    report_ready(&node, &cpu_list);
    let reloader =
        Reloader { source, configuration, control, protocols, tuning: executors.tuning() };
    Ok(RunningBroker { executors, node, reloader, admin })
}

/// What the brokers of all cores share.
fn new_cluster(
    cores: usize,
    listeners: &[Listener],
    settings: Arc<Settings>,
) -> Result<Cluster, String> {
    // The system seeds RandomState: enough to tell one start from another.
    let server_id = RandomState::new().build_hasher().finish();
    let mut cluster = Cluster::new(cores as u16, server_id, settings);
    if let Some(nats) = listeners.iter().find(|listener| listener.frontend == Protocol::Nats) {
        cluster.advertised_addr = nats.address;
    }
    rustix::rand::getrandom(&mut cluster.nonce_key, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| format!("the system gives no random bytes: {error}"))?;
    Ok(cluster)
}

fn new_plan(cpus: Vec<usize>, sockets: Vec<TcpListener>, settings: &Settings) -> Plan {
    Plan {
        cpus,
        listeners: sockets,
        connections_max: settings.server.max_connections,
        messages_max: limits::MESH_MESSAGES_MAX,
        linger: Duration::from_millis(limits::LINGER_MS),
        busy_poll: Duration::from_micros(settings.server.busy_poll_us.into()),
    }
}

/// Starts an executor per core, each with a relay and its broker.
fn launch_cores(
    plan: Plan,
    cluster: &Cluster,
    cores: &[Core],
    protocols: &Arc<[Protocol]>,
    configuration: &Configuration,
) -> Result<(Running, Control), Box<dyn Error>> {
    let (senders, receivers) = control::channels(cores.len());
    let passwords = passwords::Queue::new();
    let of_cores = passwords.of_cores(cores.len());
    // Each core takes its own receiver, on its own thread.
    let receivers: Arc<[_]> = receivers.into_iter().map(|end| Mutex::new(Some(end))).collect();
    let (protocols, terms) = (protocols.clone(), configuration.tls().listeners.clone());
    let (cluster, cores) = (cluster.clone(), cores.to_vec());
    let executors = launch(plan, move |core| {
        let Core { counters, turns, tls, .. } = cores[core].clone();
        let between = Sessions::new(terms.clone(), tls, cluster.memory.clone());
        let broker = Broker::new(CoreId(core as u16), cluster.clone(), counters);
        let commands = receivers[core].lock().expect("taking one does not panic").take();
        let commands = commands.expect("a core is made once");
        let beside = Desk::new(commands, turns, of_cores[core].clone());
        Relay { broker, protocols: protocols.clone(), between, beside }
    })?;
    let wake = executors.wake_handle();
    let control = Control::new(senders, move |core| wake.wake(core));
    passwords
        .serve(control.clone())
        .map_err(|error| format!("cannot start the thread that checks passwords: {error}"))?;
    Ok((executors, control))
}

/// Logs what is open to other machines, and why the operator says that it may be.
fn log_exposure(settings: &Settings) {
    let reason = settings.server.insecure.as_deref();
    if let Some(plain) = settings.plain_pages() {
        tracing::warn!(reason, "{plain}");
    }
    let Some(reason) = reason else { return };
    for exposure in settings.exposures() {
        tracing::warn!(reason, "{}", exposure.what());
    }
}

/// Reports that clients can connect, on stdout and, unless that is the same terminal or journal, in the
/// log.
fn report_ready(node: &Node, cpu_list: &str) {
    let Node { addresses, shards, .. } = node;
    let file = node.configuration.snapshot().file;
    let file = file.map_or("none".to_owned(), |file| file.display().to_string());
    let version = env!("CARGO_PKG_VERSION");
    let metrics = addresses.metrics.into_iter();
    for address in addresses.clients.iter().map(|listener| listener.address).chain(metrics) {
        if let Some(families) = families(address) {
            tracing::info!("{address} serves {families}");
        }
    }
    if !stdout_is_stderr() {
        tracing::info!(
            version,
            cores = cpu_list,
            shards,
            configuration = file,
            "ready on {addresses}"
        );
    }
    print_ready_line(format!(
        "{SERVER_NAME} is ready on {addresses}, cores {cpu_list}, {shards} shards"
    ));
}

/// Whether stdout and stderr are one stream, in which both lines would be seen.
fn stdout_is_stderr() -> bool {
    let identity = |path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let stdout = identity("/proc/self/fd/1");
    stdout.is_some() && stdout == identity("/proc/self/fd/2")
}

/// Prints the line that scripts wait for, from a thread of its own: a stdout that accepts no data must
/// not keep the broker from receiving signals.
fn print_ready_line(line: String) {
    let (sender, printed) = mpsc::channel();
    let print = move || {
        let mut stdout = std::io::stdout();
        let _ = sender.send(writeln!(stdout, "{line}").and_then(|()| stdout.flush()));
    };
    let thread = std::thread::Builder::new().name("ready".to_owned()).spawn(print);
    let failure = match thread.map(|_| printed.recv_timeout(READY_LINE_TIMEOUT)) {
        Ok(Ok(Ok(()))) => return,
        Ok(Ok(Err(error))) | Err(error) => error.to_string(),
        Ok(Err(_)) => "stdout accepts no data".to_owned(),
    };
    tracing::warn!("cannot print the ready line on stdout: {failure}");
}
