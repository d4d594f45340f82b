//! What other threads may do to running executors: change how they run, wake them, stop them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::waker::Waker;

/// What can be changed while the executors run.
#[derive(Debug)]
pub struct Tuning {
    connections_max: AtomicU32,
    connections_per_address_max: AtomicU32,
    new_per_second_per_address_max: AtomicU32,
    busy_poll_ns: AtomicU64,
}

impl Tuning {
    pub(crate) fn new(connections_max: u32, busy_poll: Duration) -> Arc<Tuning> {
        let busy_poll_ns = AtomicU64::new(busy_poll.as_nanos() as u64);
        Arc::new(Tuning {
            connections_max: AtomicU32::new(connections_max),
            connections_per_address_max: AtomicU32::new(0),
            new_per_second_per_address_max: AtomicU32::new(0),
            busy_poll_ns,
        })
    }

    /// Sets the limit of connections over all cores. Connections beyond a lower limit stay.
    pub fn set_connections_max(&self, connections_max: u32) {
        self.connections_max.store(connections_max, Ordering::Relaxed);
    }

    /// Sets the limits of each address: connections at once, and new ones a second. 0 is no limit.
    pub fn set_address_limits(&self, connections_max: u32, new_per_second_max: u32) {
        self.connections_per_address_max.store(connections_max, Ordering::Relaxed);
        self.new_per_second_per_address_max.store(new_per_second_max, Ordering::Relaxed);
    }

    /// Sets how long a core that expects an arrival looks for it before it sleeps.
    pub fn set_busy_poll(&self, busy_poll: Duration) {
        self.busy_poll_ns.store(busy_poll.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn connections_max(&self) -> u32 {
        self.connections_max.load(Ordering::Relaxed)
    }

    pub(crate) fn connections_per_address_max(&self) -> u32 {
        self.connections_per_address_max.load(Ordering::Relaxed)
    }

    pub(crate) fn new_per_second_per_address_max(&self) -> u32 {
        self.new_per_second_per_address_max.load(Ordering::Relaxed)
    }

    pub(crate) fn busy_poll_ns(&self) -> u64 {
        self.busy_poll_ns.load(Ordering::Relaxed)
    }
}

/// The stop of all cores.
#[derive(Debug)]
pub(crate) struct Stop {
    /// No connection is accepted any more.
    refuses: AtomicBool,
    wanted: AtomicBool,
    /// Set before `wanted`.
    drain_timeout_ns: AtomicU64,
}

impl Stop {
    pub(crate) fn new() -> Arc<Stop> {
        Arc::new(Stop {
            refuses: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            drain_timeout_ns: AtomicU64::new(0),
        })
    }

    /// Whether the listeners are to be closed: before a stop, or because of one.
    pub(crate) fn refuses(&self) -> bool {
        self.refuses.load(Ordering::Acquire) || self.wanted.load(Ordering::Acquire)
    }

    /// How long draining may take, once a stop is wanted.
    pub(crate) fn drain_timeout_ns(&self) -> Option<u64> {
        let wanted = self.wanted.load(Ordering::Acquire);
        wanted.then(|| self.drain_timeout_ns.load(Ordering::Relaxed))
    }
}

/// Stops the executors from any thread.
#[derive(Clone)]
pub struct StopHandle {
    pub(crate) stop: Arc<Stop>,
    pub(crate) wakers: Arc<[Arc<Waker>]>,
}

impl StopHandle {
    /// Closes the listeners; returns at once. Connections that are open stay, and are served.
    pub fn refuse_connections(&self) {
        self.stop.refuses.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        for waker in self.wakers.iter() {
            waker.wake();
        }
    }

    /// Begins the stop; returns at once. Peers that do not read are cut off after `drain_timeout`.
    pub fn stop(&self, drain_timeout: Duration) {
        let drain_timeout_ns = drain_timeout.as_nanos() as u64;
        self.stop.drain_timeout_ns.store(drain_timeout_ns, Ordering::Relaxed);
        self.stop.wanted.store(true, Ordering::Release);
        self.wake();
    }
}

/// Wakes executors from any thread.
#[derive(Clone)]
pub struct WakeHandle {
    pub(crate) wakers: Arc<[Arc<Waker>]>,
}

impl WakeHandle {
    /// Makes a core run a turn if it sleeps. What that turn is to find must be there already.
    pub fn wake(&self, core: usize) {
        self.wakers[core].wake();
    }
}
