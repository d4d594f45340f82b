//! The time between SIGUSR2 and the stop: clients leave, and those that stay are served.
//!
//! Called by [`run`](super::run). The cores close the connections; see `Broker::begin_lame_duck`.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use executors::signals::{Asked, Signals};

use super::control::Command;
use super::log_reopen;
use super::node::connections;
use super::notify::Supervisor;
use super::start::RunningBroker;

/// How often it is looked whether all clients have left.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Lets clients leave, until none is left, the time is over or a signal asks for the stop. Returns when
/// such a signal came.
pub fn run(signals: &Signals, broker: &RunningBroker, supervisor: &Supervisor) -> Option<Instant> {
    let settings = broker.node.settings();
    let time_ms = settings.server.lame_duck_ms;
    if time_ms == 0 {
        tracing::info!("SIGUSR2: stopping; send SIGTERM twice to stop at once");
        return None;
    }
    tracing::info!(
        "SIGUSR2: clients leave within server.lame_duck_ms = {time_ms}, then the broker stops; send \
         SIGTERM to stop now"
    );
    broker.node.draining.store(true, Ordering::Relaxed);
    let drain_timeout = Duration::from_millis(settings.server.drain_timeout_ms.into());
    let time = Duration::from_millis(time_ms.into());
    supervisor.notify_stopping(time + drain_timeout);
    broker.executors.stop_handle().refuse_connections();
    for core in 0..broker.node.control.cores() {
        if broker.node.control.send(core, Command::LameDuck(time_ms)).is_err() {
            tracing::error!("core {core} does not answer: its clients are closed by the stop");
        }
    }
    let begun = Instant::now();
    while begun.elapsed() < time && broker.node.sum(|core| connections(&core.counters)) > 0 {
        let left = time.saturating_sub(begun.elapsed()).min(LOOK_INTERVAL);
        match signals.wait_for(left) {
            Ok(None | Some(Asked::Drain)) => {}
            Ok(Some(Asked::Reload)) => {
                tracing::warn!("SIGHUP: not reloaded, the broker is stopping");
            }
            Ok(Some(Asked::ReopenLog)) => log_reopen(),
            Ok(Some(Asked::Stop(signal))) => {
                tracing::info!("{signal}: stopping; send it again to stop at once");
                return Some(Instant::now());
            }
            Err(error) => {
                tracing::error!("cannot wait for signals: {error}; stopping");
                return Some(Instant::now());
            }
        }
    }
    None
}
