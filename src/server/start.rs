//! The start of the broker.
//!
//! Called by [`run`](super::run).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime};

use blipmq::broker::{Broker, Cluster, SERVER_NAME, Wire};
use blipmq::config::Settings;
use blipmq::limits;
use blipmq::protocol::CoreId;
use executors::launch::{Plan, Running, launch};
use executors::{placement, preflight};

use super::admin::{AdminHandle, AdminServer};
use super::control::{self, Control};
use super::listeners::{Addresses, Bound, ENDPOINTS};
use super::node::{Core, Node};
use super::relay::Relay;
use super::reload::{Configuration, Reloader, Source};

/// How long the line on stdout may take.
const READY_PATIENCE: Duration = Duration::from_secs(1);

/// What runs between the start and the stop.
pub struct Broking {
    pub running: Running,
    pub node: Arc<Node>,
    pub reloader: Reloader,
    pub admin: Option<AdminHandle>,
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

pub fn start(settings: Settings, source: Source) -> Result<Broking, Box<dyn std::error::Error>> {
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
