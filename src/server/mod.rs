//! The broker process: where sockets and the I/O-free broker meet. Binary only, and thin.
//!
//! Called by `cli::serve` with checked settings. [`run`] refuses to start with one clear line, or
//! runs until it is told to stop and then drains. What signals ask for is in [`run`] too.

mod admin;
mod control;
mod node;
pub mod process;
mod relay;
pub mod reload;
mod turns;

use std::fmt::Display;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use blipmq::broker::{Broker, Cluster, SERVER_NAME};
use blipmq::config::Settings;
use blipmq::limits;
use blipmq::protocol::CoreId;
use executors::launch::{Plan, Running, Stopped, launch};
use executors::listener::Purpose;
use executors::signals::{Asked, Signals};
use executors::{listener, placement, preflight};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use admin::{AdminHandle, AdminServer};
use control::Control;
use node::{Addresses, Core, Node};
use relay::Relay;
use reload::{Configuration, Reloader, Source};

const _: () = assert!(placement::CORES_MAX == limits::CORES_MAX);

const CLIENTS: Purpose = Purpose { of: "clients", change: "--bind or `[server] bind_addr`" };
const NATS_CLIENTS: Purpose = Purpose {
    of: "NATS clients",
    change: "--nats-bind or `[nats] bind_addr`, or do without NATS: `[nats] enabled = false`",
};

/// What runs between the start and the stop.
struct Broking {
    running: Running,
    node: Arc<Node>,
    reloader: Reloader,
    admin: Option<AdminHandle>,
}

/// Runs the broker until it is told to stop.
pub fn run(settings: Settings, source: Source) -> ExitCode {
    // glommio warns of limits that only its file I/O would need; `preflight` checks ours.
    let levels = Targets::new().with_default(Level::INFO).with_target("glommio", Level::ERROR);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(lines.with_filter(levels)).init();
    // Before any thread starts: threads inherit what is blocked.
    let signals = match Signals::block() {
        Ok(signals) => signals,
        Err(error) => return refuse(format!("cannot block signals: {error}")),
    };
    let broking = match start(settings, source) {
        Ok(broking) => broking,
        Err(error) => return refuse(error),
    };
    let mut stops = 0;
    loop {
        match signals.wait() {
            Ok(Asked::Reload) => reload(&broking.reloader),
            Ok(Asked::LameDuck) => {
                tracing::info!("SIGUSR2: stopping, SIGTERM twice to stop at once");
                break;
            }
            Ok(Asked::Stop(signal)) => {
                stops += 1;
                tracing::info!("{signal}: stopping, once more to stop at once");
                break;
            }
            Err(error) => {
                tracing::error!("cannot wait for signals: {error}; stopping");
                break;
            }
        }
    }
    broking.node.draining.store(true, Ordering::Relaxed);
    let drain_timeout_ms = broking.node.settings().server.drain_timeout_ms;
    broking.running.stop_handle().stop(Duration::from_millis(drain_timeout_ms.into()));
    // Nobody waits for this thread: it ends with the process, or ends it.
    std::thread::spawn(move || while_stopping(&signals, stops));
    match broking.running.join() {
        Stopped::Drained => tracing::info!("stopped, everything accepted was delivered"),
        Stopped::TimedOut => tracing::warn!(
            "stopped after server.drain_timeout_ms: subscribers that did not read were cut off"
        ),
    }
    if let Some(admin) = broking.admin {
        admin.stop();
    }
    ExitCode::SUCCESS
}

fn reload(reloader: &Reloader) {
    let reload = reloader.reload();
    match reload.errors.is_empty() {
        true => tracing::info!("SIGHUP: {reload}"),
        false => tracing::error!("SIGHUP: {reload}"),
    }
}

/// Hears of further signals during the stop, `stops` of which asked for it.
fn while_stopping(signals: &Signals, mut stops: u32) {
    while let Ok(asked) = signals.wait() {
        match asked {
            Asked::Reload => tracing::warn!("SIGHUP: not reloaded, the broker is stopping"),
            Asked::LameDuck => {}
            Asked::Stop(signal) => {
                stops += 1;
                if stops == 2 {
                    tracing::warn!("{signal} again: stopped without delivering the rest");
                    std::process::exit(1);
                }
            }
        }
    }
}

fn refuse(error: impl Display) -> ExitCode {
    eprintln!("blipmq: {error}");
    ExitCode::FAILURE
}

fn start(settings: Settings, source: Source) -> Result<Broking, Box<dyn std::error::Error>> {
    let cpus = placement::choose(settings.server.cores.as_deref())?;
    preflight::check(cpus.len(), settings.server.max_connections)?;
    // In the order of `relay::LISTENERS`.
    let mut listeners = vec![listener::bind(settings.server.bind_addr, CLIENTS)?];
    if settings.nats.enabled {
        listeners.push(listener::bind(settings.nats.bind_addr, NATS_CLIENTS)?);
    }
    let blip_addr = listeners[0].local_addr()?;
    let nats_addr = listeners.get(1).map(|nats| nats.local_addr()).transpose()?;
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
    if let Some(nats_addr) = nats_addr {
        cluster.nats_addr = nats_addr;
    }
    rustix::rand::getrandom(&mut cluster.nonce_key, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| format!("the system gives no random bytes: {error}"))?;
    let (memory, topics, shards) = (cluster.memory.clone(), cluster.topics.clone(), cluster.shards);
    let cpu_list = placement::print(&cpus);
    let plan = Plan {
        cpus,
        listeners,
        connections_max: max_connections,
        letters_max: limits::MESH_LETTERS_MAX,
        linger: Duration::from_millis(limits::LINGER_MS),
        busy_poll,
    };
    let (senders, receivers) = control::channels(cores.len());
    // Each core takes its own, on its own thread.
    let receivers: Arc<[_]> = receivers.into_iter().map(|end| Mutex::new(Some(end))).collect();
    let of_cores = cores.clone();
    let running = launch(plan, move |core| {
        let Core { counters, turns, .. } = of_cores[core].clone();
        let broker = Broker::new(CoreId(core as u16), cluster.clone(), counters);
        let commands = receivers[core].lock().expect("taking one does not panic").take();
        Relay::new(broker, commands.expect("a core is made once"), turns)
    })?;
    let wake = running.wake_handle();
    let control = Control::new(senders, move |core| wake.wake(core));
    let metrics_addr = admin.as_ref().map(AdminServer::local_addr);
    let node = Arc::new(Node {
        server_id,
        started: SystemTime::now(),
        addresses: Addresses { blip: blip_addr, nats: nats_addr, metrics: metrics_addr },
        shards,
        cores,
        control: control.clone(),
        memory,
        topics,
        configuration: configuration.clone(),
        draining: AtomicBool::new(false),
    });
    let admin = admin.map(|server| server.serve(node.clone())).transpose()?;
    // On stdout, and only when clients can connect: scripts wait for this line.
    println!("{SERVER_NAME} is ready on {}, cores {cpu_list}, {shards} shards", node.addresses);
    std::io::stdout().flush()?;
    let reloader = Reloader { source, configuration, control, tuning: running.tuning() };
    Ok(Broking { running, node, reloader, admin })
}
