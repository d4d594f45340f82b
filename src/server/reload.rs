//! Reloading: reads the configuration file again, and applies the keys that a running broker can
//! change.
//!
//! Called by `server` on SIGHUP. [`Configuration`] knows which settings are active and how the last
//! reload ended, and the admin pages show it.
//!
//! # Always true
//! - Nothing is applied from a file with an error: every step that can fail comes before the first core
//!   is reloaded.
//! - A core applies all changes in one of its turns.
//! - Neither the log nor a page shows a secret.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant, SystemTime};

use blipmq::broker::Protocol;
use blipmq::config::Settings;
use executors::control::Tuning;
use executors::preflight;

use super::control::{Command, Control};
use super::refusal;
use super::tls::expiry;
use super::tls::fault::WrongFile;
use super::tls::listeners::Active;

/// How long a core may take to answer, before and during its reload.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before a command is sent again to a core with too many waiting commands.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// Reads the settings again; the error has one line for each problem.
type ReadSettings = Box<dyn Fn() -> Result<Settings, String> + Send + Sync>;

/// Where the settings come from, and how to read them again.
pub struct Source {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// The folder at which relative paths in the file begin.
    pub folder: PathBuf,
    /// The file and the flags of the command line, which win over it.
    pub read: ReadSettings,
}

impl Source {
    /// Reads the files that settings name, for listeners of these protocols. What tickets skip is
    /// compared with the terms before.
    pub fn read_tls(
        &self,
        settings: &Settings,
        protocols: &[Protocol],
        before: Option<&Active>,
    ) -> Result<Active, Vec<String>> {
        let texts = |wrong: Vec<WrongFile>| wrong.iter().map(ToString::to_string).collect();
        Active::read(settings, &self.folder, protocols, before).map_err(texts)
    }
}

/// The active settings, and the reloads so far.
pub struct Configuration {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    settings: Arc<Settings>,
    tls: Arc<Active>,
    loaded: SystemTime,
    applied: u64,
    refused: u64,
    last: Option<Reload>,
}

/// The reloads up to one moment, for the admin pages.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
    /// When the active settings were read.
    pub loaded: SystemTime,
    /// Reloads that were applied.
    pub applied: u64,
    /// Reloads that were refused.
    pub refused: u64,
    /// The last reload.
    pub last: Option<Reload>,
}

/// The outcome of a reload.
#[derive(Debug, Clone, PartialEq)]
pub struct Reload {
    /// Counted from 1, refused reloads included.
    pub number: u64,
    pub at: SystemTime,
    /// Keys that the reload changed.
    pub applied: Vec<String>,
    /// Keys that differ in the file, and keep their values until the next start.
    pub needs_restart: Vec<String>,
    /// What is wrong with the file; then the reload changed nothing.
    pub errors: Vec<String>,
}

impl Reload {
    /// `applied` or `refused`.
    pub fn outcome(&self) -> &'static str {
        if self.errors.is_empty() { "applied" } else { "refused" }
    }
}

impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.errors.is_empty() {
            return write!(f, "nothing was changed: {}", self.errors.join("; "));
        }
        match self.applied.is_empty() {
            true => f.write_str("nothing to apply")?,
            false => write!(f, "applied {}", self.applied.join(", "))?,
        }
        match self.needs_restart.is_empty() {
            true => Ok(()),
            false => write!(f, "; changed, but needs a restart: {}", self.needs_restart.join(", ")),
        }
    }
}

impl Configuration {
    /// The configuration of a broker that starts.
    pub fn new(file: Option<PathBuf>, settings: Settings, tls: Active) -> Configuration {
        let state = State {
            settings: Arc::new(settings),
            tls: Arc::new(tls),
            loaded: SystemTime::now(),
            applied: 0,
            refused: 0,
            last: None,
        };
        Configuration { file, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    /// The active settings.
    pub fn settings(&self) -> Arc<Settings> {
        self.state().settings.clone()
    }

    /// The active certificates, and what they make of each listener.
    pub fn tls(&self) -> Arc<Active> {
        self.state().tls.clone()
    }

    pub fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot {
            file: self.file.clone(),
            loaded: state.loaded,
            applied: state.applied,
            refused: state.refused,
            last: state.last.clone(),
        }
    }

    /// Records the outcome of a reload; accepted settings become the active ones.
    fn record(&self, outcome: Result<Accepted, Vec<String>>) -> Reload {
        let mut state = self.state();
        let mut reload = Reload {
            number: state.applied + state.refused + 1,
            at: SystemTime::now(),
            applied: Vec::new(),
            needs_restart: Vec::new(),
            errors: Vec::new(),
        };
        match outcome {
            Ok(accepted) => {
                state.applied += 1;
                state.loaded = reload.at;
                state.settings = accepted.settings;
                state.tls = accepted.tls;
                reload.applied = accepted.applied;
                reload.needs_restart = accepted.needs_restart;
            }
            Err(errors) => {
                state.refused += 1;
                reload.errors = errors;
            }
        }
        state.last = Some(reload.clone());
        reload
    }
}

/// What a reload is to apply.
#[derive(Debug)]
struct Accepted {
    /// The active settings with the changes that need no restart.
    settings: Arc<Settings>,
    /// The certificates of these settings.
    tls: Arc<Active>,
    applied: Vec<String>,
    needs_restart: Vec<String>,
}

/// Takes from new settings what a broker with `old` ones can change without a restart. `read_tls` reads
/// the files of these settings.
fn accept(
    old: &Settings,
    new: &Settings,
    old_tls: &Active,
    read_tls: impl FnOnce(&Settings) -> Result<Active, Vec<String>>,
) -> Result<Accepted, Vec<String>> {
    let settings = old.reloaded(new);
    // Two keys may agree in the file and conflict as long as one of them waits for a restart.
    let conflicts = settings.conflicts();
    if !conflicts.is_empty() {
        let text = |conflict| format!("until the next restart there is a conflict: {conflict}");
        return Err(conflicts.iter().map(text).collect());
    }
    let names = |by_reload: bool| -> Vec<String> {
        let changes = old.diff(new).into_iter();
        let changes = changes.filter(|change| change.applies.by_reload() == by_reload);
        changes.map(|change| change.to_string()).collect()
    };
    let (mut applied, needs_restart) = (names(true), names(false));
    let tls = read_tls(&settings)?;
    if tls.has_other_files(old_tls) {
        applied.push("the files of tls".to_owned());
    }
    Ok(Accepted { settings: Arc::new(settings), tls: Arc::new(tls), applied, needs_restart })
}

/// Reloads a running broker.
pub struct Reloader {
    pub source: Source,
    pub configuration: Arc<Configuration>,
    pub control: Control,
    /// The protocols of the listeners, by their index.
    pub protocols: Arc<[Protocol]>,
    /// The settings that the executors use themselves.
    pub tuning: Arc<Tuning>,
}

impl Reloader {
    /// Reads the file again, applies what needs no restart, and returns the outcome.
    pub fn reload(&self) -> Reload {
        let outcome = self.prepare().inspect(|accepted| self.apply(accepted));
        let reload = self.configuration.record(outcome);
        if reload.errors.is_empty() {
            expiry::log(&self.configuration.tls().dated);
        }
        reload
    }

    /// Carries out every step of a reload that can fail.
    fn prepare(&self) -> Result<Accepted, Vec<String>> {
        if self.source.file.is_none() {
            return Err(vec![
                "there is no file to read: the broker was started without --config".to_owned(),
            ]);
        }
        let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let new = (self.source.read)().map_err(lines)?;
        let old = self.configuration.settings();
        let old_tls = self.configuration.tls();
        let read_tls =
            |settings: &Settings| self.source.read_tls(settings, &self.protocols, Some(&old_tls));
        let accepted = accept(&old, &new, &old_tls, read_tls)?;
        let max_connections = accepted.settings.server.max_connections;
        if max_connections != old.server.max_connections {
            preflight::open_files(self.control.cores(), max_connections)
                .map_err(|error| lines(refusal::text(&error)))?;
        }
        let stuck = command_all_cores(&self.control, ANSWER_TIMEOUT, Command::Ping);
        match stuck.is_empty() {
            true => Ok(accepted),
            false => Err(vec![format!(
                "core {} does not answer, so it cannot be reloaded; look at the load of its CPU, then \
                 reload again",
                list(&stuck)
            )]),
        }
    }

    fn apply(&self, Accepted { settings, tls, .. }: &Accepted) {
        let reload = |reply| Command::Reload(settings.clone(), tls.listeners.clone(), reply);
        let stuck = command_all_cores(&self.control, ANSWER_TIMEOUT, reload);
        if !stuck.is_empty() {
            tracing::error!(
                "core {} stopped answering during the reload; it applies the reload in its next turn",
                list(&stuck)
            );
        }
        self.tuning.set_connections_max(settings.server.max_connections);
        let limits = &settings.limits;
        self.tuning.set_address_limits(
            limits.max_connections_per_address,
            limits.max_new_connections_per_address,
        );
        self.tuning.set_busy_poll(Duration::from_micros(settings.server.busy_poll_us.into()));
    }
}

fn list(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// Sends a command to every core and waits for the answers. Returns the cores that did not answer in
/// time.
pub fn command_all_cores(
    control: &Control,
    timeout: Duration,
    command: impl Fn(Box<dyn FnOnce(()) + Send>) -> Command,
) -> Vec<usize> {
    let deadline = Instant::now() + timeout;
    let (sender, answers) = mpsc::channel();
    let mut waiting: Vec<usize> = (0..control.cores()).collect();
    for core in 0..control.cores() {
        loop {
            let sender = sender.clone();
            let reply = Box::new(move |()| {
                let _ = sender.send(core);
            });
            if control.send(core, command(reply)).is_ok() || Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
    }
    drop(sender);
    while !waiting.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        match answers.recv_timeout(left) {
            Ok(core) => waiting.retain(|other| *other != core),
            // The deadline has passed, or no core is left that could answer.
            Err(_) => break,
        }
    }
    waiting
}

#[cfg(test)]
mod tests;
