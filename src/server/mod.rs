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
mod start;
mod turns;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use blipmq::config::Settings;
use blipmq::limits;
use executors::launch::Stopped;
use executors::placement;
use executors::signals::{Asked, Signals};

use logs::Logs;
use notify::Supervisor;
use reload::Source;
use start::{Broking, start};

const _: () = assert!(placement::CORES_MAX == limits::CORES_MAX);

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
