//! Commands to the cores, from any thread: the only way anything but a client reaches a broker that
//! runs.
//!
//! Made by `server`, used by whoever asks or tells the cores something; each core's `relay` carries a
//! command out in its next turn.
//!
//! # Always true
//! - A core never waits for whoever asked: an answer nobody takes is dropped.
//! - Commands of one sender to one core are carried out in order.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};

use executors::launch::WakeHandle;

/// Commands a core may have waiting. One that has so many does not run.
const COMMANDS_MAX: usize = 256;

/// Where an answer goes. Called on the core's thread, so it hands over and does not work.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// What a core is told or asked.
pub enum Command {
    /// Whether it runs.
    Ping(Reply<()>),
}

/// A core has not carried out its last commands: it is stuck, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreBusy;

/// Reaches every core.
#[derive(Clone)]
pub struct Control {
    commands: Arc<[SyncSender<Command>]>,
    wake: WakeHandle,
}

/// The ends of `cores` cores, one each.
pub fn channels(cores: usize) -> (Vec<SyncSender<Command>>, Vec<Receiver<Command>>) {
    (0..cores).map(|_| mpsc::sync_channel(COMMANDS_MAX)).unzip()
}

impl Control {
    /// Of the senders that `channels` made, once the cores run.
    pub fn new(commands: Vec<SyncSender<Command>>, wake: WakeHandle) -> Control {
        Control { commands: commands.into(), wake }
    }

    /// How many cores there are.
    pub fn cores(&self) -> usize {
        self.commands.len()
    }

    /// Hands a command to a core, and wakes it if it sleeps.
    pub fn tell(&self, core: usize, command: Command) -> Result<(), CoreBusy> {
        self.commands[core].try_send(command).map_err(|_| CoreBusy)?;
        self.wake.wake(core);
        Ok(())
    }
}
