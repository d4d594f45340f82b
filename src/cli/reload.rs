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
        let admin = Admin::new(self.admin);
        let before = admin.configuration().map_err(|error| error.to_string())?;
        let pid = self.pid.unwrap_or(before.pid);
        send_sighup(pid)?;
        let result = wait_for_reload(&admin, pid, before.configuration.reloads)?;
        report(&result)
    }
}

/// Sends SIGHUP to a process, if that is a broker: SIGHUP would end most other programs.
fn send_sighup(pid: u32) -> Result<(), String> {
    let comm = Path::new("/proc").join(pid.to_string()).join("comm");
    let name = fs::read_to_string(&comm).map_err(|_| {
        format!(
            "there is no process {pid} on this machine: run this command where the broker runs, or \
             give its process id with --pid"
        )
    })?;
    if name.trim() != "blipmq" {
        return Err(format!(
            "process {pid} on this machine is `{}`, not blipmq: run this command where the broker \
             runs, or give its process id with --pid",
            Printable::new(name.trim())
        ));
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
