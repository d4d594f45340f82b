//! `blipmq reload`: makes a broker on this machine reread its configuration, and reports the result.
//!
//! Called by `cli`. The broker's admin API gives its process id and, after a SIGHUP, the result of
//! the reload.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use super::Outcome;
use super::admin::model::{Printable, ReloadResult};
use super::admin::{Admin, AdminArgs, AdminError};

pub const EXAMPLES: &str = "Examples:
  blipmq reload                                   the broker on this machine
  blipmq reload --metrics 127.0.0.1:9091          the broker with this metrics address
  blipmq reload --pid 4711                        a broker that knows its process by another id,
                                                  such as one in a container

Exit status: 0 if the file was applied; 1 if the file is invalid, in which case nothing changes, or
if the broker cannot be reached. Changed keys that need a restart are listed.";

/// The time limit of a reload: longer than a broker waits for its cores.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The time between two requests for the result.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Make a broker reread its configuration, and report what changed.
#[derive(Debug, Args)]
pub struct Reload {
    #[command(flatten)]
    admin: AdminArgs,
    /// The broker's process id, if it differs from the id that the broker reports.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

impl Reload {
    pub fn run(self) -> Outcome {
        let admin = Admin::new(self.admin)?;
        let before = admin.configuration().map_err(|error| error.to_string())?;
        let pid = self.pid.unwrap_or(before.pid);
        send_sighup(pid)?;
        let result = wait_for_reload(&admin, pid, before.configuration.reloads)?;
        report(&result)
    }
}

/// In the program of every blipmq of any name, because this command searches for the text.
const MARK: &str = "blipmq: this program reads its configuration again on SIGHUP";

/// Whether a process is a broker, as far as SIGHUP is concerned.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// The program is blipmq, and waits for SIGHUP as only a broker does.
    Broker,
    /// SIGHUP may end the process.
    NoBroker,
    /// The program cannot be read.
    Unknown(String),
}

/// Looks at a process, whatever its program is called.
fn target(process: &Path, name: &str) -> Target {
    // A broker blocks SIGHUP in all threads and fetches it; the client commands of blipmq do not.
    if !thread_blocks_sighup(process) {
        return Target::NoBroker;
    }
    // Not by its path: the file may have been replaced by a newer one since the broker started.
    match fs::read(process.join("exe")) {
        Ok(program) if contains(&program, MARK.as_bytes()) => Target::Broker,
        Ok(_) => Target::NoBroker,
        // As of a program with capabilities, which only root may look at.
        Err(_) if name == "blipmq" => Target::Broker,
        Err(error) => Target::Unknown(error.to_string()),
    }
}

/// Whether any thread of a process blocks SIGHUP. The thread that waits for the signal does not seem to.
fn thread_blocks_sighup(process: &Path) -> bool {
    let Ok(threads) = fs::read_dir(process.join("task")) else { return false };
    threads.flatten().any(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        let blocked = blocked.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        blocked.is_some_and(|mask| mask & 1 << (Signal::HUP.as_raw() - 1) != 0)
    })
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    // Most bytes of a program are not this one.
    let mut starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == wanted[0]);
    starts.any(|(at, _)| bytes[at..].starts_with(wanted))
}

/// Sends SIGHUP to a process, if that is a broker: SIGHUP would end most other programs.
fn send_sighup(pid: u32) -> Result<(), String> {
    let folder = Path::new("/proc").join(pid.to_string());
    let name = fs::read_to_string(folder.join("comm")).map_err(|_| {
        format!(
            "there is no process {pid} on this machine: run this command where the broker runs, or \
             give its process id with --pid"
        )
    })?;
    match target(&folder, name.trim()) {
        Target::Broker => {}
        Target::NoBroker => {
            return Err(format!(
                "process {pid} on this machine is `{}`, not blipmq as a broker: run this command \
                 where the broker runs, or give its process id with --pid",
                Printable::new(name.trim())
            ));
        }
        Target::Unknown(error) => {
            return Err(format!(
                "cannot read the program of process {pid}: {error}; run this command as the \
                 broker's user or root"
            ));
        }
    }
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let process = process.ok_or_else(|| format!("{pid} is not a valid process id"))?;
    kill_process(process, Signal::HUP).map_err(|error| {
        format!(
            "cannot send SIGHUP to process {pid}: {error}; run this command as the broker's user or \
             root"
        )
    })
}

/// Waits until the broker reports a reload after the first `before` ones.
fn wait_for_reload(admin: &Admin, pid: u32, before: u64) -> Result<ReloadResult, String> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match admin.configuration() {
            Ok(now) => {
                let newer = now.configuration.last_reload.filter(|reload| reload.number > before);
                if let Some(reload) = newer {
                    return Ok(reload);
                }
            }
            Err(error @ (AdminError::TokenMissing { .. } | AdminError::TokenWrong { .. })) => {
                return Err(format!(
                    "the broker got SIGHUP, and now it requires another token: {error}"
                ));
            }
            Err(error) => return Err(format!("after SIGHUP, {error}")),
        }
        if Instant::now() >= deadline {
            return Err(format!(
                "process {pid} got SIGHUP but did not reload within {} s: is it the broker at {}? See \
                 its log",
                TIMEOUT.as_secs(),
                admin.base()
            ));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn report(result: &ReloadResult) -> Outcome {
    let listed = |keys: &[Printable]| keys.iter().map(|key| &**key).collect::<Vec<_>>().join(", ");
    if &*result.outcome != "applied" {
        let errors: Vec<&str> = result.errors.iter().map(|error| &**error).collect();
        return Err(format!("nothing was changed:\n{}", errors.join("\n")));
    }
    let mut text = match result.applied.is_empty() {
        true => "nothing to apply\n".to_owned(),
        false => format!("applied: {}\n", listed(&result.applied)),
    };
    if !result.needs_restart.is_empty() {
        text += &format!("changed, but needs a restart: {}\n", listed(&result.needs_restart));
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        // The reader closed the pipe early, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("cannot write to stdout: {error}")),
    }
}
