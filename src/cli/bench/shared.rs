//! State shared by the threads of a round: pace, times, and the counters of each thread.
//!
//! Created by `round`; used by `worker`, `publisher` and `watch`.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};

/// When messages are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Whenever a topic has fewer than this many messages in flight.
    Window(u32),
    /// One message at a time; the next when all subscribers have received it.
    RoundTrip,
    /// On a schedule.
    Rate { messages_per_s: u64, spin: bool },
}

/// The times of a round, in nanoseconds on the generator's clock.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub start: u64,
    pub measure: u64,
    pub stop: u64,
}

/// The state shared by the threads of one round.
#[derive(Debug)]
pub struct Shared {
    pub epoch: Instant,
    pub pace: Pace,
    pub times: Times,
    /// By cell: the next sequence that the subscriber expects.
    pub cells: Vec<AtomicU32>,
    pub ended: AtomicBool,
    pub threads: Vec<Counters>,
}

/// The counters and flags of one thread, read by the others.
#[derive(Debug)]
pub struct Counters {
    pub published: AtomicU64,
    /// Deliveries that the messages published by this thread must lead to.
    pub owed: AtomicU64,
    pub delivered: AtomicU64,
    /// Deliveries whose outcome is known: in order, or missing.
    pub settled: AtomicU64,
    pub publishing: AtomicBool,
    pub failed: AtomicBool,
    pub asleep: AtomicBool,
    pub waker: OwnedFd,
}

impl Counters {
    pub fn new() -> Result<Counters, String> {
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let waker = waker.map_err(|error| format!("cannot create an eventfd: {error}"))?;
        Ok(Counters {
            published: AtomicU64::new(0),
            owed: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            publishing: AtomicBool::new(true),
            failed: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            waker,
        })
    }

    pub fn wake(&self) {
        let _ = rustix::io::write(&self.waker, &1u64.to_ne_bytes());
    }
}

impl Shared {
    pub fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    pub fn sum(&self, counter: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.threads.iter().map(|thread| counter(thread).load(Ordering::Relaxed)).sum()
    }
}
