//! The log: lines on stderr, for people or as JSON, bounded in number and never waited for.
//!
//! Made by `server` before anything else runs. Connections and changes of state are logged, never
//! single messages.
//!
//! # Always true
//! - Whoever logs never waits: lines go to a thread of their own, and are left out, counted, if stderr
//!   takes none. A stderr that is closed or full stops nothing.
//! - A place in the code logs at most [`LINES_PER_SECOND`] lines a second; how many more there were is
//!   one line.

mod limit;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use blipmq::config::{LogFormat, LogLevel, Logging};
use tracing::Level;
use tracing_subscriber::filter::{FilterExt, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

use limit::Limiter;

/// Lines that wait for stderr.
const LINES_MAX: usize = 4_096;
/// Lines a second that one place in the code may log.
const LINES_PER_SECOND: u32 = 10;
/// How long the end of the process waits for stderr to take the last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What events about left out lines call themselves, so that they are not left out.
const LEFT_OUT: &str = "blipmq::left_out";

/// The log of the process.
#[derive(Clone)]
pub struct Logs {
    level: reload::Handle<Targets, Registry>,
    lines: Lines,
}

/// Where lines go.
#[derive(Clone)]
struct Lines {
    sender: SyncSender<Task>,
    left_out: Arc<AtomicU64>,
}

/// What the thread of the log does.
enum Task {
    /// Writes a line.
    Write(Vec<u8>),
    /// Looks after lines that were left out, in a while.
    Sweep,
    /// Says that all before was written.
    End(SyncSender<()>),
}

impl Logs {
    /// From now on what is logged is seen. Once per process.
    pub fn begin(logging: &Logging) -> io::Result<Logs> {
        let (sender, tasks) = mpsc::sync_channel(LINES_MAX);
        let lines = Lines { sender: sender.clone(), left_out: Arc::default() };
        let limiter = Limiter::new(LINES_PER_SECOND, move || {
            // If it does not fit, lines wait: the thread looks by itself after each.
            let _ = sender.try_send(Task::Sweep);
        });
        let (levels, level) = reload::Layer::new(levels(logging.level));
        let format = tracing_subscriber::fmt::layer().with_writer(lines.clone());
        let format = match logging.format {
            LogFormat::Pretty => {
                format.with_ansi(io::stderr().is_terminal()).with_target(false).boxed()
            }
            LogFormat::Json => format.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry().with(format.with_filter(levels.and(limiter.clone()))).init();
        let left_out = lines.left_out.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&tasks, &limiter, &left_out, &mut io::stderr()))?;
        Ok(Logs { level, lines })
    }

    /// From now on so much is logged.
    pub fn set_level(&self, level: LogLevel) {
        self.level.reload(levels(level)).expect("the log is there as long as the process");
    }

    /// Waits until everything is written, but not for a stderr that takes nothing.
    pub fn end(&self) {
        let deadline = Instant::now() + LAST_WORDS;
        let (done, wait) = mpsc::sync_channel(1);
        loop {
            match self.lines.sender.try_send(Task::End(done.clone())) {
                Ok(()) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let _ = wait.recv_timeout(left);
                    return;
                }
                Err(TrySendError::Full(_)) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => return,
            }
        }
    }
}

fn levels(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    // glommio warns of limits that only its file I/O would need; `preflight` checks ours. What it says
    // below that is of no use to operators.
    Targets::new().with_default(level).with_target("glommio", Level::ERROR)
}

/// The thread of the log.
fn write_lines(
    tasks: &Receiver<Task>,
    limiter: &Limiter,
    left_out: &AtomicU64,
    out: &mut dyn Write,
) {
    loop {
        let task = match limiter.sweep_in(Instant::now()) {
            Some(wait) => tasks.recv_timeout(wait),
            None => tasks.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match task {
            // Nobody may read it, and there is nobody else to tell.
            Ok(Task::Write(line)) => {
                let _ = out.write_all(&line);
            }
            Ok(Task::Sweep) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Task::End(done)) => {
                // Whatever their age: there is no later.
                limiter.sweep(Instant::now() + LAST_WORDS);
                while let Ok(Task::Write(line)) = tasks.try_recv() {
                    let _ = out.write_all(&line);
                }
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        limiter.sweep(Instant::now());
        let lines = left_out.swap(0, Ordering::Relaxed);
        if lines > 0 {
            tracing::warn!(target: LEFT_OUT, "{lines} lines were left out: stderr took none");
        }
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Lines;

    fn make_writer(&'w self) -> Lines {
        self.clone()
    }
}

impl Write for Lines {
    /// Called once a line, with all of it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Task::Write(line.to_vec())).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
