//! Reloading: the configuration file is read again, and what a broker that runs can take of it is
//! applied.
//!
//! Called by `server` on SIGHUP. What was loaded when, and what came of the last reload, is in
//! [`Configuration`], which the admin pages show.
//!
//! # Always true
//! - Nothing is applied of a file in which anything is wrong: all that can fail comes before the first
//!   core is told.
//! - A core applies all of it in one of its turns.
//! - No secret is in what is logged or shown.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant, SystemTime};

use blipmq::config::Settings;
use executors::control::Tuning;
use executors::preflight;

use super::control::{Command, Control};
use super::refusal;

/// How long a core may take to answer, before and while it is reloaded.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before a core with too many commands is told once more.
const REST: Duration = Duration::from_millis(1);

/// Reads the settings again, or says what is wrong with them, a line each.
type Read = Box<dyn Fn() -> Result<Settings, String> + Send + Sync>;

/// Where the settings come from, and how to read them again.
pub struct Source {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// The file and the flags of the command line, which win over it.
    pub read: Read,
}

/// What is in force, and how it came to be.
pub struct Configuration {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    settings: Arc<Settings>,
    loaded: SystemTime,
    applied: u64,
    refused: u64,
    last: Option<Reload>,
}

/// The configuration at one point in time, for whoever shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The file it comes from.
    pub file: Option<PathBuf>,
    /// When what is in force was read.
    pub loaded: SystemTime,
    /// Reloads that were applied.
    pub applied: u64,
    /// Reloads that were refused.
    pub refused: u64,
    /// The last one.
    pub last: Option<Reload>,
}

/// What came of a reload.
#[derive(Debug, Clone, PartialEq)]
pub struct Reload {
    /// From 1; the next has the next number, whatever comes of it.
    pub number: u64,
    /// When it was done.
    pub at: SystemTime,
    /// Keys that have other values since.
    pub applied: Vec<String>,
    /// Keys that differ in the file, and stay as they are until the next start.
    pub needs_restart: Vec<String>,
    /// What is wrong; then nothing was changed.
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
    /// As it is at the start.
    pub fn new(file: Option<PathBuf>, settings: Settings) -> Configuration {
        let state = State {
            settings: Arc::new(settings),
            loaded: SystemTime::now(),
            applied: 0,
            refused: 0,
            last: None,
        };
        Configuration { file, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics with it")
    }

    /// What is in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.state().settings.clone()
    }

    /// How it came to be.
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

    /// Notes what came of a reload: other settings in force, or what is wrong.
    fn note(&self, outcome: Result<Accepted, Vec<String>>) -> Reload {
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

/// Settings in which nothing is wrong.
#[derive(Debug)]
struct Accepted {
    settings: Arc<Settings>,
    applied: Vec<String>,
    needs_restart: Vec<String>,
}

/// What can be taken of new settings by a broker in which `old` is in force.
fn accept(old: &Settings, new: &Settings) -> Result<Accepted, Vec<String>> {
    let settings = old.reloaded(new);
    // Two keys can go together in the file and not while one of them waits for a restart.
    let conflicts = settings.conflicts();
    if !conflicts.is_empty() {
        let text = |conflict: &dyn fmt::Display| {
            format!("as long as nothing is restarted this does not go together: {conflict}")
        };
        return Err(conflicts.iter().map(|conflict| text(conflict)).collect());
    }
    let names = |by_reload: bool| -> Vec<String> {
        let changes = old.diff(new).into_iter();
        let changes = changes.filter(|change| change.applies.by_reload() == by_reload);
        changes.map(|change| change.to_string()).collect()
    };
    let (applied, needs_restart) = (names(true), names(false));
    Ok(Accepted { settings: Arc::new(settings), applied, needs_restart })
}

/// Reloads a broker that runs.
pub struct Reloader {
    /// Where the settings come from.
    pub source: Source,
    /// What is in force.
    pub configuration: Arc<Configuration>,
    /// Reaches the cores.
    pub control: Control,
    /// What the executors do by themselves.
    pub tuning: Arc<Tuning>,
}

impl Reloader {
    /// Reads the file again and applies what can be applied; tells what came of it.
    pub fn reload(&self) -> Reload {
        let outcome = self.check().inspect(|accepted| self.apply(&accepted.settings));
        self.configuration.note(outcome)
    }

    /// Everything that can fail.
    fn check(&self) -> Result<Accepted, Vec<String>> {
        if self.source.file.is_none() {
            return Err(vec![
                "there is no file to read: the broker was started without --config".to_owned(),
            ]);
        }
        let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let new = (self.source.read)().map_err(lines)?;
        let old = self.configuration.settings();
        let accepted = accept(&old, &new)?;
        let max_connections = accepted.settings.server.max_connections;
        if max_connections != old.server.max_connections {
            preflight::open_files(self.control.cores(), max_connections)
                .map_err(|error| lines(refusal::text(&error)))?;
        }
        let stuck = wait_for_all(&self.control, PATIENCE, Command::Ping);
        match stuck.is_empty() {
            true => Ok(accepted),
            false => Err(vec![format!(
                "core {} does not answer, so it could not be told; look at its CPU, then reload again",
                listed(&stuck)
            )]),
        }
    }

    fn apply(&self, settings: &Arc<Settings>) {
        let stuck =
            wait_for_all(&self.control, PATIENCE, |reply| Command::Reload(settings.clone(), reply));
        if !stuck.is_empty() {
            tracing::error!(
                "core {} answered before the reload and does not now; it applies it in its next turn",
                listed(&stuck)
            );
        }
        self.tuning.set_connections_max(settings.server.max_connections);
        self.tuning.set_busy_poll(Duration::from_micros(settings.server.busy_poll_us.into()));
    }
}

fn listed(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// Gives every core a command and waits for their answers; returns the cores that gave none in time.
pub fn wait_for_all(
    control: &Control,
    patience: Duration,
    command: impl Fn(Box<dyn FnOnce(()) + Send>) -> Command,
) -> Vec<usize> {
    let deadline = Instant::now() + patience;
    let (sender, answers) = mpsc::channel();
    let mut waiting: Vec<usize> = (0..control.cores()).collect();
    for core in 0..control.cores() {
        loop {
            let sender = sender.clone();
            let reply = Box::new(move |()| {
                let _ = sender.send(core);
            });
            if control.tell(core, command(reply)).is_ok() || Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(REST);
        }
    }
    drop(sender);
    while !waiting.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        match answers.recv_timeout(left) {
            Ok(core) => waiting.retain(|other| *other != core),
            // In time or not: nobody is left who could answer.
            Err(_) => break,
        }
    }
    waiting
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;

    use super::*;
    use crate::server::control;

    fn settings(text: &str) -> Settings {
        Settings::parse("blipmq.toml", text).expect(text)
    }

    #[test]
    fn what_a_broker_that_runs_cannot_take_is_named_and_left_as_it_is() {
        let new = settings("[delivery]\nmax_batch = 7\nfanout_shards = 4\n");
        let accepted = accept(&Settings::default(), &new).expect("nothing is wrong");
        assert_eq!(accepted.applied, ["delivery.max_batch"]);
        assert_eq!(accepted.needs_restart, ["delivery.fanout_shards"]);
        assert_eq!(*accepted.settings, settings("[delivery]\nmax_batch = 7\n"));
    }

    #[test]
    fn keys_that_go_together_only_after_a_restart_are_refused() {
        let old = settings("[metrics]\nbind_addr = \"0.0.0.0:9090\"\ntoken = \"t\"\n");
        let new = settings("[metrics]\nbind_addr = \"127.0.0.1:9090\"\n");
        let errors = accept(&old, &new).expect_err("it would be open to everybody until then");
        assert!(errors.len() == 1 && errors[0].contains("[metrics] token"), "{errors:?}");
    }

    #[test]
    fn reloads_are_counted_and_the_last_one_is_remembered() {
        let configuration = Configuration::new(None, Settings::default());
        assert_eq!(configuration.snapshot().last, None);
        let accepted = accept(&Settings::default(), &settings("[delivery]\nmax_batch = 7\n"));
        let first = configuration.note(accepted);
        assert_eq!((first.number, first.outcome()), (1, "applied"));
        let second = configuration.note(Err(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!((second.number, second.outcome()), (2, "refused"));
        assert_eq!(second.to_string(), "nothing was changed: a; b");
        let snapshot = configuration.snapshot();
        assert_eq!((snapshot.applied, snapshot.refused), (1, 1));
        assert_eq!((snapshot.loaded, snapshot.last), (first.at, Some(second)));
        assert_eq!(configuration.settings().delivery.max_batch, 7);
    }

    /// Control of cores that are played by a thread each, if it is to answer.
    fn cores(answering: &[bool]) -> (Control, Vec<Receiver<Command>>) {
        let (senders, receivers) = control::channels(answering.len());
        let mut stuck = Vec::new();
        for (answers, receiver) in answering.iter().zip(receivers) {
            if !answers {
                stuck.push(receiver);
                continue;
            }
            std::thread::spawn(move || {
                for command in receiver {
                    if let Command::Ping(reply) = command {
                        reply(());
                    }
                }
            });
        }
        (Control::new(senders, |_| {}), stuck)
    }

    #[test]
    fn cores_that_do_not_answer_are_named() {
        let (control, _stuck) = cores(&[true, false, true]);
        let patience = Duration::from_millis(100);
        assert_eq!(wait_for_all(&control, patience, Command::Ping), [1]);
        let (control, _) = cores(&[true, true]);
        assert_eq!(wait_for_all(&control, PATIENCE, Command::Ping), [0; 0]);
    }

    #[test]
    fn a_core_that_has_ended_is_not_waited_for() {
        let (control, stuck) = cores(&[true, false]);
        drop(stuck);
        let begun = Instant::now();
        let patience = Duration::from_millis(20);
        assert_eq!(wait_for_all(&control, patience, Command::Ping), [1]);
        assert!(begun.elapsed() >= patience, "it is told again until then");
    }
}
