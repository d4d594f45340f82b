//! The broker process: where sockets and the I/O-free broker meet. Binary only, and thin.
//!
//! Called by `cli::serve` with checked settings. [`run`] refuses to start with one clear line, or
//! runs until it is told to stop and then drains. What signals ask for is in [`run`] too.

mod admin;
mod control;
mod listeners;
mod logs;
mod node;
mod notify;
pub mod process;
mod relay;
pub mod reload;
mod turns;

use std::fmt::Display;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime};

use blipmq::broker::{Broker, Cluster, SERVER_NAME, Wire};
use blipmq::config::Settings;
use blipmq::limits;
use blipmq::protocol::CoreId;
use executors::launch::{Plan, Running, Stopped, launch};
use executors::signals::{Asked, Signals};
use executors::{placement, preflight};

use admin::{AdminHandle, AdminServer};
use control::Control;
use listeners::{Addresses, Bound, ENDPOINTS};
use logs::Logs;
use node::{Core, Node};
use notify::Supervisor;
use relay::Relay;
use reload::{Configuration, Reloader, Source};

const _: () = assert!(placement::CORES_MAX == limits::CORES_MAX);

/// How long the line on stdout may take.
const READY_PATIENCE: Duration = Duration::from_secs(1);

/// What runs between the start and the stop.
struct Broking {
    running: Running,
    node: Arc<Node>,
    reloader: Reloader,
    admin: Option<AdminHandle>,
}

/// Runs the broker until it is told to stop.
pub fn run(settings: Settings, source: Source) -> ExitCode {
    // Before any thread starts: threads inherit what is blocked.
    let signals = match Signals::block() {
        Ok(signals) => signals,
        Err(error) => return refuse(format!("cannot block signals: {error}")),
    };
    let logs = match Logs::begin(&settings.logging) {
        Ok(logs) => logs,
        Err(error) => return refuse(format!("cannot start the thread of the log: {error}")),
    };
    let supervisor = Supervisor::from_environment();
    let broking = match start(settings, source) {
        Ok(broking) => broking,
        Err(error) => {
            logs.end();
            return refuse(error);
        }
    };
    supervisor.ready(&format!("ready on {}", broking.node.addresses));
    supervisor.watch(&broking.node);
    let stops = run_until_stop(&signals, &broking, &logs, &supervisor);
    broking.node.draining.store(true, Ordering::Relaxed);
    let drain_timeout_ms = broking.node.settings().server.drain_timeout_ms;
    let drain_timeout = Duration::from_millis(drain_timeout_ms.into());
    supervisor.stopping(drain_timeout);
    broking.running.stop_handle().stop(drain_timeout);
    // Nobody waits for this thread: it ends with the process, or ends it.
    let logs_too = logs.clone();
    std::thread::spawn(move || while_stopping(&signals, &logs_too, stops));
    match broking.running.join() {
        Stopped::Drained => tracing::info!("stopped, everything accepted was delivered"),
        Stopped::TimedOut => tracing::warn!(
            "stopped after server.drain_timeout_ms: subscribers that did not read were cut off"
        ),
    }
    if let Some(admin) = broking.admin {
        admin.stop();
    }
    logs.end();
    ExitCode::SUCCESS
}

/// Serves signals until one asks for a stop; returns how many of those that stop at once when they come
/// twice have come.
fn run_until_stop(
    signals: &Signals,
    broking: &Broking,
    logs: &Logs,
    supervisor: &Supervisor,
) -> u32 {
    loop {
        match signals.wait() {
            Ok(Asked::Reload) => {
                supervisor.reloading();
                let reload = broking.reloader.reload();
                logs.set_level(broking.node.settings().logging.level);
                match reload.errors.is_empty() {
                    true => tracing::info!("reloaded: {reload}"),
                    false => tracing::error!("not reloaded: {reload}"),
                }
                supervisor.ready(&format!("reload {}: {reload}", reload.outcome()));
            }
            Ok(Asked::LameDuck) => {
                tracing::info!("SIGUSR2: stopping, SIGTERM twice to stop at once");
                return 0;
            }
            Ok(Asked::Stop(signal)) => {
                tracing::info!("{signal}: stopping, once more to stop at once");
                return 1;
            }
            Err(error) => {
                tracing::error!("cannot wait for signals: {error}; stopping");
                return 1;
            }
        }
    }
}

/// Hears of further signals during the stop, `stops` of which asked for it.
fn while_stopping(signals: &Signals, logs: &Logs, mut stops: u32) {
    while let Ok(asked) = signals.wait() {
        match asked {
            Asked::Reload => tracing::warn!("SIGHUP: not reloaded, the broker is stopping"),
            Asked::LameDuck => {}
            Asked::Stop(signal) => {
                stops += 1;
                if stops == 2 {
                    tracing::warn!("{signal} again: stopped without delivering the rest");
                    logs.end();
                    std::process::exit(1);
                }
            }
        }
    }
}

/// One line on stderr, which nobody may be reading.
fn refuse(error: impl Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "blipmq: {error}");
    ExitCode::FAILURE
}

/// Says on stdout that clients can connect: scripts wait for this line. On a thread of its own, because
/// a stdout that takes nothing must not keep the broker from hearing signals.
fn say_ready(line: String) {
    let (said, wait) = mpsc::channel();
    let say = move || {
        let mut stdout = std::io::stdout();
        let _ = said.send(writeln!(stdout, "{line}").and_then(|()| stdout.flush()));
    };
    let begun = std::thread::Builder::new().name("ready".to_owned()).spawn(say);
    let failure = match begun.map(|_| wait.recv_timeout(READY_PATIENCE)) {
        Ok(Ok(Ok(()))) => return,
        Ok(Ok(Err(error))) | Err(error) => error.to_string(),
        Ok(Err(_)) => "it takes nothing".to_owned(),
    };
    tracing::warn!(
        "the line that tells scripts that clients can connect is not on stdout: {failure}"
    );
}

fn start(settings: Settings, source: Source) -> Result<Broking, Box<dyn std::error::Error>> {
    let cpus = placement::choose(settings.server.cores.as_deref())?;
    preflight::check(cpus.len(), settings.server.max_connections)?;
    let Bound { sockets, rows: listeners } = Bound::bind(&ENDPOINTS, &settings)?;
    let admin = match settings.metrics.enabled {
        true => Some(AdminServer::bind(settings.metrics.bind_addr)?),
        false => None,
    };

    let configuration = Arc::new(Configuration::new(source.file.clone(), settings));
    let settings = configuration.settings();
    let of_core = |cpu: &usize| Core { cpu: *cpu, counters: Arc::default(), turns: Arc::default() };
    let cores: Vec<Core> = cpus.iter().map(of_core).collect();
    // RandomState is seeded by the system: enough to tell one start from another.
    let server_id = RandomState::new().build_hasher().finish();
    let max_connections = settings.server.max_connections;
    let busy_poll = Duration::from_micros(settings.server.busy_poll_us.into());
    let mut cluster = Cluster::new(cpus.len() as u16, server_id, settings);
    if let Some(nats) = listeners.iter().find(|listener| listener.frontend == Wire::Nats) {
        cluster.nats_addr = nats.address;
    }
    rustix::rand::getrandom(&mut cluster.nonce_key, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| format!("the system gives no random bytes: {error}"))?;
    let (memory, topics, shards) = (cluster.memory.clone(), cluster.topics.clone(), cluster.shards);
    let cpu_list = placement::print(&cpus);
    let plan = Plan {
        cpus,
        listeners: sockets,
        connections_max: max_connections,
        letters_max: limits::MESH_LETTERS_MAX,
        linger: Duration::from_millis(limits::LINGER_MS),
        busy_poll,
    };
    let (senders, receivers) = control::channels(cores.len());
    // Each core takes its own, on its own thread.
    let receivers: Arc<[_]> = receivers.into_iter().map(|end| Mutex::new(Some(end))).collect();
    let of_cores = cores.clone();
    let of_connections = listeners.clone();
    let running = launch(plan, move |core| {
        let Core { counters, turns, .. } = of_cores[core].clone();
        let broker = Broker::new(CoreId(core as u16), cluster.clone(), counters);
        let commands = receivers[core].lock().expect("taking one does not panic").take();
        let commands = commands.expect("a core is made once");
        Relay::new(broker, of_connections.clone(), commands, turns)
    })?;
    let wake = running.wake_handle();
    let control = Control::new(senders, move |core| wake.wake(core));
    let metrics = admin.as_ref().map(AdminServer::local_addr);
    let node = Arc::new(Node {
        server_id,
        started: SystemTime::now(),
        addresses: Addresses { clients: listeners, metrics },
        shards,
        cores,
        control: control.clone(),
        memory,
        topics,
        configuration: configuration.clone(),
        draining: AtomicBool::new(false),
    });
    let admin = admin.map(|server| server.serve(node.clone())).transpose()?;
    let file = configuration.snapshot().file;
    let file = file.map_or("none".to_owned(), |file| file.display().to_string());
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(
        version,
        cores = cpu_list,
        shards,
        configuration = file,
        "ready on {}",
        node.addresses
    );
    say_ready(format!(
        "{SERVER_NAME} is ready on {}, cores {cpu_list}, {shards} shards",
        node.addresses
    ));
    let reloader = Reloader { source, configuration, control, tuning: running.tuning() };
    Ok(Broking { running, node, reloader, admin })
}
