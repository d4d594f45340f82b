//! The log: lines on stderr, for people or as JSON, bounded in number, and without waiting.
//!
//! Made by `server` before anything else runs. Connections and changes of state are logged, never
//! single messages.
//!
//! # Always true
//! - A thread that logs never waits: a thread of the log writes the lines, and lines that stderr does
//!   not accept are left out and counted. A stderr that is closed or full stops nothing.
//! - What a client sent is escaped, in both formats.
//! - A place in the code logs at most [`LINES_PER_SECOND`] lines a second; one line reports how many
//!   more there were.

mod limit;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use blipmq::config::{LogFormat, LogLevel, Logging};
use tracing::Level;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{FilterExt, Targets};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

use crate::printable;
use limit::Limiter;

/// Lines that may wait for stderr.
const LINES_MAX: usize = 4_096;
/// Lines a second that one place in the code may log.
const LINES_PER_SECOND: u32 = 10;
/// How long a flush waits for stderr to accept the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// The target of events about lines that were left out, so that those events are not left out.
const LEFT_OUT: &str = "blipmq::left_out";

/// The log of the process.
#[derive(Clone)]
pub struct Logs {
    level: reload::Handle<Targets, Registry>,
    lines: Lines,
}

/// The way of a line to the thread of the log.
#[derive(Clone)]
struct Lines {
    sender: SyncSender<Task>,
    /// Lines that found no room, and were not reported yet.
    left_out: Arc<AtomicU64>,
    /// Lines that were not written, since the start.
    lost: Arc<AtomicU64>,
}

/// A task of the thread of the log.
enum Task {
    /// Write a line.
    Write(Vec<u8>),
    /// Wait for the end of the limiter's window, and then report the lines it left out.
    Sweep,
    /// Answer when all lines before are written.
    Flush(SyncSender<()>),
}

impl Logs {
    /// Starts the log of this process. To be called once.
    pub fn start(logging: &Logging) -> io::Result<Logs> {
        let (sender, tasks) = mpsc::sync_channel(LINES_MAX);
        let (left_out, lost) = <(Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let lines =
            Lines { sender: sender.clone(), left_out: left_out.clone(), lost: lost.clone() };
        let limiter = Limiter::new(LINES_PER_SECOND, move || {
            // If the channel is full, lines wait in it, and the thread sweeps after each of them.
            let _ = sender.try_send(Task::Sweep);
        });
        let (levels, level) = reload::Layer::new(levels(logging.level));
        let format = tracing_subscriber::fmt::layer();
        let format = match logging.format {
            LogFormat::Pretty => format
                .fmt_fields(fields())
                .with_ansi(io::stderr().is_terminal())
                .with_target(false)
                .with_writer(lines.clone())
                .boxed(),
            LogFormat::Json => {
                format.json().flatten_event(true).with_writer(JsonLines(lines.clone())).boxed()
            }
        };
        tracing_subscriber::registry().with(format.with_filter(levels.and(limiter.clone()))).init();
        let mut out = Out { stderr: io::stderr(), lost, failed: 0 };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&tasks, &limiter, &left_out, &mut out))?;
        Ok(Logs { level, lines })
    }

    /// Changes how much is logged.
    pub fn set_level(&self, level: LogLevel) {
        self.level.reload(levels(level)).expect("the log lives as long as the process");
    }

    /// Lines that could not be written, since the start.
    pub fn lines_lost(&self) -> Arc<AtomicU64> {
        self.lines.lost.clone()
    }

    /// Waits until every line is written, but not for a stderr that accepts no data.
    pub fn flush(&self) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let (sender, flushed) = mpsc::sync_channel(1);
        loop {
            match self.lines.sender.try_send(Task::Flush(sender.clone())) {
                Ok(()) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let _ = flushed.recv_timeout(left);
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

/// Writes the fields of a line for people. Topics, names and reasons may be what a client sent.
fn fields() -> impl for<'w> FormatFields<'w> + 'static {
    let format = |writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug| {
        let value = format!("{value:?}");
        let value = printable::escape(&value);
        match field.name() {
            "message" => write!(writer, "{value}"),
            name => write!(writer, "{name}={value}"),
        }
    };
    debug_fn(format).delimited(" ")
}

fn levels(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    // glommio warns of limits that only its file I/O would need; `preflight` checks those of the
    // broker. Its other events are of no use to operators.
    Targets::new().with_default(level).with_target("glommio", Level::ERROR)
}

/// Where lines go.
struct Out<W> {
    stderr: W,
    lost: Arc<AtomicU64>,
    /// Lines that failed since the last one that was written.
    failed: u64,
}

impl<W: Write> Out<W> {
    /// Writes a line, or counts that the line is lost: there is nowhere else to report that. The next line
    /// that is written again is followed by a report.
    fn write(&mut self, line: &[u8]) {
        if self.stderr.write_all(line).is_err() {
            self.failed += 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match std::mem::take(&mut self.failed) {
            0 => {}
            lines => {
                tracing::warn!(target: LEFT_OUT, "{lines} lines could not be written to stderr")
            }
        }
    }
}

/// Runs the thread of the log.
fn write_lines<W: Write>(
    tasks: &Receiver<Task>,
    limiter: &Limiter,
    left_out: &AtomicU64,
    out: &mut Out<W>,
) {
    loop {
        let task = match limiter.sweep_in(Instant::now()) {
            Some(wait) => tasks.recv_timeout(wait),
            None => tasks.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match task {
            Ok(Task::Write(line)) => out.write(&line),
            Ok(Task::Sweep) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Task::Flush(flushed)) => {
                // Also lines whose window has not ended: after a flush the process may end.
                limiter.sweep(Instant::now() + FLUSH_TIMEOUT);
                while let Ok(Task::Write(line)) = tasks.try_recv() {
                    out.write(&line);
                }
                let _ = flushed.send(());
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        limiter.sweep(Instant::now());
        let lines = left_out.swap(0, Ordering::Relaxed);
        if lines > 0 {
            tracing::warn!(target: LEFT_OUT, "{lines} lines were left out: stderr accepted no data");
        }
    }
}

/// The way of a line that is JSON.
#[derive(Clone)]
struct JsonLines(Lines);

impl<'w> MakeWriter<'w> for JsonLines {
    type Writer = JsonLines;

    fn make_writer(&'w self) -> JsonLines {
        self.clone()
    }
}

impl Write for JsonLines {
    /// Called once for each line, with the whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let escaped = format!("{}\n", printable::escape_json(text.trim_end()));
        self.0.write(escaped.as_bytes()).map(|_| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Lines;

    fn make_writer(&'w self) -> Lines {
        self.clone()
    }
}

impl Write for Lines {
    /// Called once for each line, with the whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Task::Write(line.to_vec())).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refuses some lines, and then takes all.
    struct Refuses(u32, Vec<u8>);

    impl Write for Refuses {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            if self.0 > 0 {
                self.0 -= 1;
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            self.1.extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_fail_are_counted_until_one_is_written_again() {
        let mut out = Out { stderr: Refuses(2, Vec::new()), lost: Arc::default(), failed: 0 };
        out.write(b"one\n");
        out.write(b"two\n");
        assert_eq!((out.failed, out.lost.load(Ordering::Relaxed)), (2, 2));
        out.write(b"three\n");
        assert_eq!((out.failed, out.lost.load(Ordering::Relaxed)), (0, 2));
        assert_eq!(out.stderr.1, b"three\n");
    }
}
