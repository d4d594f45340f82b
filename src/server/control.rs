//! Commands to the cores, from any thread: the only way for anything but a client to reach a running
//! broker.
//!
//! Made by `start`. Used by the admin pages, reloads and the watchdog; each core's `desk` carries a
//! command out in its next turn.
//!
//! # Always true
//! - A core never waits for the thread that sent a command: an answer that nobody receives is dropped.
//! - Commands of one sender to one core are carried out in order.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};

use blipmq::broker::CheckId;
use blipmq::broker::inspect::{Answer, Question};
use blipmq::config::Settings;

/// Commands that may wait for a core. A core with so many waiting commands does not run.
const COMMANDS_MAX: usize = 256;

/// Where an answer goes. Called on the core's thread, so it may only hand the answer over.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// What a core is asked to do.
pub enum Command {
    /// Answer: the core does its turns.
    Ping(Reply<()>),
    /// Apply these settings.
    Reload(Arc<Settings>, Reply<()>),
    /// Let clients leave, over so many milliseconds.
    LameDuck(u32),
    /// Report how full its queues and buffers are.
    Fill(Reply<Fill>),
    /// A password was compared with its hash, and is right or not.
    PasswordChecked(CheckId, bool),
    /// List connections, subscriptions or topics.
    Inspect(Question, Reply<Answer>),
}

/// How full a core is, where only the core itself knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Mesh messages from other cores that wait to be read.
    pub mesh_waiting_messages: usize,
    /// Receive buffers the kernel may fill.
    pub receive_buffers_free: usize,
}

/// A core has too many waiting commands: it is stuck, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreBusy;

/// The sending ends of all cores.
#[derive(Clone)]
pub struct Control {
    commands: Arc<[SyncSender<Command>]>,
    wake: Arc<dyn Fn(usize) + Send + Sync>,
}

/// A command channel for each core.
pub fn channels(cores: usize) -> (Vec<SyncSender<Command>>, Vec<Receiver<Command>>) {
    (0..cores).map(|_| mpsc::sync_channel(COMMANDS_MAX)).unzip()
}

impl Control {
    /// Joins the senders of [`channels`]. `wake` wakes a core if it sleeps.
    pub fn new(
        commands: Vec<SyncSender<Command>>,
        wake: impl Fn(usize) + Send + Sync + 'static,
    ) -> Control {
        Control { commands: commands.into(), wake: Arc::new(wake) }
    }

    pub fn cores(&self) -> usize {
        self.commands.len()
    }

    /// Sends a command to a core, and wakes the core if it sleeps.
    pub fn send(&self, core: usize, command: Command) -> Result<(), CoreBusy> {
        self.commands[core].try_send(command).map_err(|_| CoreBusy)?;
        (self.wake)(core);
        Ok(())
    }
}
