//! Comparing passwords with their hashes, on a thread of its own: each takes tens of milliseconds, which
//! no core has.
//!
//! Asked by each core's `desk`; the answer goes back as a command. Made by `start`.
//!
//! # Always true
//! - A core never waits for this thread: what does not fit into the queue is returned to it.
//! - One password is compared at a time, with a low priority: a storm of logins takes at most one CPU, and
//!   that only from threads which have nothing to deliver.

pub mod compare;

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use blipmq::broker::PasswordCheck;
use blipmq::limits::PASSWORD_CHECKS_MAX;

use super::control::{Command, Control};

/// The priority of the thread: half of what others have, and less than that of any core.
const NICE: i32 = 10;
/// The pause before an answer is sent again to a core with too many waiting commands.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);
/// Right passwords that are not compared again when another core asks for the same.
const REMEMBERED_MAX: usize = 256;

/// A check, and the core that asks.
type Asked = (usize, PasswordCheck);

/// The queue of the thread, before it runs.
pub struct Queue {
    sender: SyncSender<Asked>,
    receiver: Receiver<Asked>,
}

/// Where a core asks.
#[derive(Clone)]
pub struct Passwords {
    core: usize,
    sender: SyncSender<Asked>,
}

impl Queue {
    pub fn new() -> Queue {
        let (sender, receiver) = mpsc::sync_channel(PASSWORD_CHECKS_MAX);
        Queue { sender, receiver }
    }

    /// Where the cores ask, by their number.
    pub fn of_cores(&self, cores: usize) -> Vec<Passwords> {
        (0..cores).map(|core| Passwords { core, sender: self.sender.clone() }).collect()
    }

    /// Starts the thread, which ends when no core is left that could ask.
    pub fn serve(self, control: Control) -> io::Result<()> {
        let Queue { receiver, .. } = self;
        let serve = move || {
            // Only this thread. Where that is refused, the thread has the priority of all others.
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                tracing::warn!(
                    "cannot lower the priority of the thread that checks passwords: {error}"
                );
            }
            serve(&receiver, &control);
        };
        std::thread::Builder::new().name("passwords".to_owned()).spawn(serve).map(drop)
    }
}

impl Passwords {
    /// Asks for a comparison; returned if too many wait.
    pub fn check(&self, check: PasswordCheck) -> Result<(), PasswordCheck> {
        self.sender.try_send((self.core, check)).map_err(|error| match error {
            mpsc::TrySendError::Full((_, check)) | mpsc::TrySendError::Disconnected((_, check)) => {
                check
            }
        })
    }
}

fn serve(receiver: &Receiver<Asked>, control: &Control) {
    let mut right: VecDeque<_> = VecDeque::new();
    for (core, check) in receiver {
        if !check.is_wanted() {
            continue;
        }
        let was_right = right.contains(&check.mac);
        let is_right = was_right || compare::is_right(check.secret(), &check.hash);
        if is_right && !was_right {
            right.push_back(check.mac);
            if right.len() > REMEMBERED_MAX {
                right.pop_front();
            }
        }
        let id = check.id;
        while check.is_wanted()
            && control.send(core, Command::PasswordChecked(id, is_right)).is_err()
        {
            std::thread::sleep(RETRY_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests;
