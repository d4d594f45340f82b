//! Commands to the cores, from any thread: the only way anything but a client reaches a broker that
//! runs.
//!
//! Made by `server`, used by whoever asks or tells the cores something; each core's `desk` carries a
//! command out in its next turn.
//!
//! # Always true
//! - A core never waits for whoever asked: an answer nobody takes is dropped.
//! - Commands of one sender to one core are carried out in order.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};

use blipmq::broker::inspect::{Answer, Question};
use blipmq::config::Settings;

/// Commands a core may have waiting. One that has so many does not run.
const COMMANDS_MAX: usize = 256;

/// Where an answer goes. Called on the core's thread, so it hands over and does not work.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// What a core is told or asked.
pub enum Command {
    /// Whether it runs.
    Ping(Reply<()>),
    /// To work by other settings.
    Reload(Arc<Settings>, Reply<()>),
    /// How full it is.
    Fill(Reply<Fill>),
    /// What it has.
    Inspect(Question, Reply<Answer>),
}

/// How full a core is, where only it can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Letters from other cores that wait to be read.
    pub mesh_waiting_letters: usize,
    /// Receive buffers the kernel may fill.
    pub receive_buffers_free: usize,
}

/// A core has not carried out its last commands: it is stuck, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreBusy;

/// Reaches every core.
#[derive(Clone)]
pub struct Control {
    commands: Arc<[SyncSender<Command>]>,
    wake: Arc<dyn Fn(usize) + Send + Sync>,
}

/// The ends of `cores` cores, one each.
pub fn channels(cores: usize) -> (Vec<SyncSender<Command>>, Vec<Receiver<Command>>) {
    (0..cores).map(|_| mpsc::sync_channel(COMMANDS_MAX)).unzip()
}

impl Control {
    /// Of the senders that `channels` made, once the cores run. `wake` wakes a core if it sleeps.
    pub fn new(
        commands: Vec<SyncSender<Command>>,
        wake: impl Fn(usize) + Send + Sync + 'static,
    ) -> Control {
        Control { commands: commands.into(), wake: Arc::new(wake) }
    }

    /// How many cores there are.
    pub fn cores(&self) -> usize {
        self.commands.len()
    }

    /// Hands a command to a core, and wakes it if it sleeps.
    pub fn tell(&self, core: usize, command: Command) -> Result<(), CoreBusy> {
        self.commands[core].try_send(command).map_err(|_| CoreBusy)?;
        (self.wake)(core);
        Ok(())
    }
}
