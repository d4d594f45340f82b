//! The broker process: where sockets and the I/O-free broker meet. Binary only, and thin.
//!
//! Called by `cli::serve` with checked settings. [`run`] refuses to start with one clear line, or
//! runs until a signal asks for a stop and then drains.
//!
//! | to learn | read |
//! |---|---|
//! | in which order the broker starts | `start` |
//! | which protocol is served at which address | `listeners` |
//! | how a core and its executor work together | `relay` |
//! | how other threads reach a core | `control` |
//! | where passwords are compared with hashes | `passwords` |
//! | what a reload changes | `reload` |
//! | how clients leave before a stop | `lame_duck` |
//! | what an operator sees | `admin`, `logs`, `notify` |

mod admin;
mod control;
mod desk;
mod lame_duck;
mod listeners;
mod logs;
mod node;
mod notify;
pub mod passwords;
pub mod process;
mod refusal;
mod relay;
pub mod reload;
mod start;
pub mod tls;
mod turns;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use blipmq::config::Settings;
use blipmq::limits;
use executors::launch::Stopped;
use executors::placement;
use executors::signals::{Asked, Signals};

use logs::Logs;
use notify::Supervisor;
use reload::Source;
use start::{RunningBroker, start};

const _: () = assert!(placement::CORES_MAX == limits::CORES_MAX);

/// A signal to stop that comes sooner after another is the same one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// Runs the broker until a signal asks for a stop, and drains it.
pub fn run(settings: Settings, source: Source) -> ExitCode {
    // Before any thread starts: threads inherit the blocked signals.
    let signals = match Signals::block() {
        Ok(signals) => signals,
        Err(error) => return refuse_start(format!("cannot block signals: {error}")),
    };
    let logs = match Logs::start(&settings.logging) {
        Ok(logs) => logs,
        Err(error) => return refuse_start(format!("cannot start the thread of the log: {error}")),
    };
    let supervisor = Supervisor::from_environment();
    let broker = match start(settings, source, logs.lines_lost()) {
        Ok(broker) => broker,
        Err(error) => {
            logs.flush();
            return match error.downcast_ref() {
                Some(error) => refuse_start(refusal::text(error)),
                None => refuse_start(error),
            };
        }
    };
    supervisor.notify_ready(&format!("ready on {}", broker.node.addresses));
    supervisor.start_watchdog(&broker.node);
    let stop_signal = serve_signals_until_stop(&signals, &broker, &logs, &supervisor);
    broker.node.draining.store(true, Ordering::Relaxed);
    let drain_timeout_ms = broker.node.settings().server.drain_timeout_ms;
    let drain_timeout = Duration::from_millis(drain_timeout_ms.into());
    supervisor.notify_stopping(drain_timeout);
    broker.executors.stop_handle().stop(drain_timeout);
    // Never joined: the thread ends with the process, or ends the process.
    let drain_logs = logs.clone();
    std::thread::spawn(move || serve_signals_of_drain(&signals, &drain_logs, stop_signal));
    match broker.executors.join() {
        Stopped::Drained => tracing::info!("stopped, everything accepted was delivered"),
        Stopped::TimedOut => tracing::warn!(
            "stopped after server.drain_timeout_ms: subscribers that did not read were cut off"
        ),
    }
    if let Some(admin) = broker.admin {
        admin.stop();
    }
    logs.flush();
    ExitCode::SUCCESS
}

/// Serves signals until the broker is to stop. Returns when a signal came that stops the broker at once
/// when it comes twice.
fn serve_signals_until_stop(
    signals: &Signals,
    broker: &RunningBroker,
    logs: &Logs,
    supervisor: &Supervisor,
) -> Option<Instant> {
    loop {
        match signals.wait() {
            Ok(Asked::Reload) => {
                supervisor.notify_reloading();
                let reload = broker.reloader.reload();
                logs.set_level(broker.node.settings().logging.level);
                match reload.errors.is_empty() {
                    true => tracing::info!("reloaded: {reload}"),
                    false => tracing::error!("not reloaded: {reload}"),
                }
                supervisor.notify_ready(&format!("reload {}: {reload}", reload.outcome()));
            }
            Ok(Asked::ReopenLog) => log_reopen(),
            Ok(Asked::Drain) => return lame_duck::run(signals, broker, supervisor),
            Ok(Asked::Stop(signal)) => {
                tracing::info!("{signal}: stopping; send it again to stop at once");
                return Some(Instant::now());
            }
            Err(error) => {
                tracing::error!("cannot wait for signals: {error}; stopping");
                return Some(Instant::now());
            }
        }
    }
}

/// Serves signals during the drain. `first` is when a signal came that stops the broker at once when it
/// comes twice.
fn serve_signals_of_drain(signals: &Signals, logs: &Logs, mut first: Option<Instant>) {
    while let Ok(asked) = signals.wait() {
        match asked {
            Asked::Reload => tracing::warn!("SIGHUP: not reloaded, the broker is stopping"),
            Asked::ReopenLog => log_reopen(),
            Asked::Drain => {}
            Asked::Stop(signal) => match first {
                None => first = Some(Instant::now()),
                // A supervisor may signal the process and its group.
                Some(first) if first.elapsed() < SAME_SIGNAL => {}
                Some(_) => {
                    tracing::warn!("{signal} again: stopped without delivering the rest");
                    logs.flush();
                    std::process::exit(1);
                }
            },
        }
    }
}

/// Logs the answer to a request to open the log again.
fn log_reopen() {
    tracing::info!("SIGUSR1: the log goes to stderr, there is no file to open again");
}

/// Prints why the broker does not start. A failure to print is ignored: nobody may be reading stderr.
fn refuse_start(error: impl Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "blipmq: {error}");
    ExitCode::FAILURE
}
