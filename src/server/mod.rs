//! The broker process: where sockets and the I/O-free broker meet. Binary only, and thin.
//!
//! Called by `cli::serve` with checked settings. [`run`] refuses to start with one clear line, or
//! runs until SIGINT or SIGTERM and then drains.

mod admin;
mod control;
mod node;
pub mod process;
mod relay;
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
use executors::signals::StopSignals;
use executors::{listener, placement, preflight};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use admin::{AdminHandle, AdminServer};
use control::Control;
use node::{Addresses, Core, Node};
use relay::Relay;

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
    admin: Option<AdminHandle>,
}

/// Runs the broker until it is told to stop.
pub fn run(settings: Settings) -> ExitCode {
    // glommio warns of limits that only its file I/O would need; `preflight` checks ours.
    let levels = Targets::new().with_default(Level::INFO).with_target("glommio", Level::ERROR);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(lines.with_filter(levels)).init();
    // Before any thread starts: threads inherit what is blocked.
    let signals = match StopSignals::block() {
        Ok(signals) => signals,
        Err(error) => return refuse(format!("cannot block SIGINT and SIGTERM: {error}")),
    };
    let broking = match start(settings) {
        Ok(broking) => broking,
        Err(error) => return refuse(error),
    };
    match signals.wait() {
        Ok(signal) => tracing::info!("{signal}: stopping, once more to stop at once"),
        Err(error) => tracing::error!("cannot wait for signals: {error}; stopping"),
    }
    broking.node.draining.store(true, Ordering::Relaxed);
    broking.running.stop_handle().stop();
    // Nobody waits for this thread: it ends with the process, or ends it.
    std::thread::spawn(move || {
        if let Ok(signal) = signals.wait() {
            tracing::warn!("{signal} again: stopped without delivering the rest");
            std::process::exit(1);
        }
    });
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

fn refuse(error: impl Display) -> ExitCode {
    eprintln!("blipmq: {error}");
    ExitCode::FAILURE
}

fn start(settings: Settings) -> Result<Broking, Box<dyn std::error::Error>> {
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

    let settings = Arc::new(settings);
    let of_core = |cpu: &usize| Core { cpu: *cpu, counters: Arc::default(), turns: Arc::default() };
    let cores: Vec<Core> = cpus.iter().map(of_core).collect();
    // RandomState is seeded by the system: enough to tell one start from another.
    let server_id = RandomState::new().build_hasher().finish();
    let max_connections = settings.server.max_connections;
    let drain_timeout = Duration::from_millis(settings.server.drain_timeout_ms.into());
    let busy_poll = Duration::from_micros(settings.server.busy_poll_us.into());
    let mut cluster = Cluster::new(cpus.len() as u16, server_id, settings.clone());
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
        drain_timeout,
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
    let metrics_addr = admin.as_ref().map(AdminServer::local_addr);
    let node = Arc::new(Node {
        server_id,
        started: SystemTime::now(),
        addresses: Addresses { blip: blip_addr, nats: nats_addr, metrics: metrics_addr },
        shards,
        cores,
        control: Control::new(senders, move |core| wake.wake(core)),
        memory,
        topics,
        settings,
        draining: AtomicBool::new(false),
    });
    let admin = admin.map(|server| server.serve(node.clone())).transpose()?;
    // On stdout, and only when clients can connect: scripts wait for this line.
    println!("{SERVER_NAME} is ready on {}, cores {cpu_list}, {shards} shards", node.addresses);
    std::io::stdout().flush()?;
    Ok(Broking { running, node, admin })
}
