//! `blipmq reload`: tells a broker of this machine to read its configuration again, and what came of it.
//!
//! Called by `cli`. The broker is told by SIGHUP; which process it is, and what it did, says its admin
//! API.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use super::Outcome;
use super::admin::model::{Printable, Reload as Done};
use super::admin::{Admin, AdminArgs, AdminError};

pub const EXAMPLES: &str = "Examples:
  blipmq reload                                   the broker of this machine
  blipmq reload --metrics 127.0.0.1:9091          the one with its metrics there
  blipmq reload --pid 4711                        where its own number is another one,
                                                  as of a broker in a container

It ends with status 0 when the file was applied, and with 1 when anything in it is wrong, since then
nothing is changed, or when the broker cannot be reached. Keys that need a restart are named.";

/// Longer than a broker waits for its cores.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked meanwhile.
const REST: Duration = Duration::from_millis(25);

/// Make a broker read its configuration again, and tell what it applied.
#[derive(Debug, Args)]
pub struct Reload {
    #[command(flatten)]
    admin: AdminArgs,
    /// The broker's process, if it is not the number that the broker itself tells.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

impl Reload {
    pub fn run(self) -> Outcome {
        let admin = Admin::new(self.admin);
        let before = admin.configured().map_err(|error| error.to_string())?;
        let pid = self.pid.unwrap_or(before.pid);
        hang_up(pid)?;
        let done = wait_for(&admin, pid, before.configuration.reloads)?;
        report(&done)
    }
}

/// Sends SIGHUP to a broker. Any other program would most likely be ended by it.
fn hang_up(pid: u32) -> Result<(), String> {
    let comm = Path::new("/proc").join(pid.to_string()).join("comm");
    let name = fs::read_to_string(&comm).map_err(|_| {
        format!(
            "there is no process {pid} on this machine: run this where the broker runs, or name its \
             process with --pid"
        )
    })?;
    if name.trim() != "blipmq" {
        return Err(format!(
            "process {pid} of this machine is `{}`, no blipmq: run this where the broker runs, or \
             name its process with --pid",
            Printable::new(name.trim())
        ));
    }
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let process = process.ok_or_else(|| format!("{pid} is no number of a process"))?;
    kill_process(process, Signal::HUP).map_err(|error| {
        format!(
            "cannot send SIGHUP to process {pid}: {error}; run this as the broker's user or root"
        )
    })
}

/// Waits until the broker has done more reloads than before.
fn wait_for(admin: &Admin, pid: u32, before: u64) -> Result<Done, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match admin.configured() {
            Ok(now) => {
                let newer = now.configuration.last_reload.filter(|reload| reload.number > before);
                if let Some(reload) = newer {
                    return Ok(reload);
                }
            }
            Err(error @ (AdminError::TokenMissing { .. } | AdminError::TokenWrong { .. })) => {
                return Err(format!(
                    "the broker was told, and now it wants another token: {error}"
                ));
            }
            Err(error) => return Err(format!("the broker was told, and then: {error}")),
        }
        if Instant::now() >= deadline {
            return Err(format!(
                "process {pid} was sent SIGHUP and has not reloaded within {} s: is it the broker at \
                 {}? Its log tells more",
                PATIENCE.as_secs(),
                admin.base()
            ));
        }
        thread::sleep(REST);
    }
}

fn report(done: &Done) -> Outcome {
    let listed = |keys: &[Printable]| keys.iter().map(|key| &**key).collect::<Vec<_>>().join(", ");
    if &*done.outcome != "applied" {
        let errors: Vec<&str> = done.errors.iter().map(|error| &**error).collect();
        return Err(format!("nothing was changed:\n{}", errors.join("\n")));
    }
    let mut told = match done.applied.is_empty() {
        true => "nothing to apply\n".to_owned(),
        false => format!("applied: {}\n", listed(&done.applied)),
    };
    if !done.needs_restart.is_empty() {
        told += &format!("changed, but needs a restart: {}\n", listed(&done.needs_restart));
    }
    match io::stdout().lock().write_all(told.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("cannot write to stdout: {error}")),
    }
}
