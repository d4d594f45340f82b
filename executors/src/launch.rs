//! Starting one pinned executor per core, and stopping all of them.
//!
//! Called by the binary after `preflight` and `placement`. Executors are started one by one, and
//! each says that it runs before the next starts: a failure is reported with its core.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement, PoolPlacement};

use crate::driver::{Driver, Seat, Stop};
use crate::listener::{Accepting, Balance, Dealer};
use crate::mesh::Waker;
use crate::{Service, StartError, mesh, placement};

/// Longer than any process runs: glommio 0.9.0 must never find that a task has run for too long.
/// When this timer fires after glommio armed it and before it ran the first task (the thread lost
/// its CPU in between), `run_task_queues` says that there was nothing to run, and the executor
/// sleeps although its driver is ready. Nobody knows that it has to be woken: the core is dead. At
/// 1 ms this happened within seconds on a machine with more threads than CPUs.
/// glommio's own timers fire the same way, so none may be used on these executors either.
const PREEMPT_TIMER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// How the cores are to run.
pub struct Plan {
    /// CPU numbers, as `placement::choose` gave them.
    pub cpus: Vec<usize>,
    /// From `listener::bind`; a connection is told which of them it came by.
    pub listeners: Vec<TcpListener>,
    /// Connections at once, over all cores.
    pub connections_max: u32,
    /// Letters in flight per ordered pair of cores and lane.
    pub letters_max: usize,
    /// After its last byte a connection is kept this long for the peer to close too.
    pub linger: Duration,
    /// A core whose last sleep was shorter than twice this looks for so long before it sleeps.
    pub busy_poll: Duration,
}

/// The running executors.
pub struct Running {
    stop: StopHandle,
    tuning: Arc<Tuning>,
    threads: Vec<JoinHandle<bool>>,
}

/// Stops the executors from any thread.
#[derive(Clone)]
pub struct StopHandle {
    stop: Arc<Stop>,
    wakers: Arc<[Arc<Waker>]>,
}

/// What can be changed while the executors run.
#[derive(Debug)]
pub struct Tuning {
    pub(crate) connections_max: AtomicU32,
    pub(crate) busy_poll_ns: AtomicU64,
}

impl Tuning {
    pub(crate) fn new(connections_max: u32, busy_poll: Duration) -> Arc<Tuning> {
        let busy_poll_ns = AtomicU64::new(busy_poll.as_nanos() as u64);
        Arc::new(Tuning { connections_max: AtomicU32::new(connections_max), busy_poll_ns })
    }

    /// Connections at once, over all cores. Those that are there stay, however many they are.
    pub fn set_connections_max(&self, connections_max: u32) {
        self.connections_max.store(connections_max, Ordering::Relaxed);
    }

    /// How long a core that expects an arrival looks for it before it sleeps.
    pub fn set_busy_poll(&self, busy_poll: Duration) {
        self.busy_poll_ns.store(busy_poll.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl StopHandle {
    /// Begins the stop; returns at once. Whoever does not read is cut off after `drain_timeout`.
    pub fn stop(&self, drain_timeout: Duration) {
        let drain_timeout_ns = drain_timeout.as_nanos() as u64;
        self.stop.drain_timeout_ns.store(drain_timeout_ns, Ordering::Relaxed);
        self.stop.wanted.store(true, Ordering::Release);
        for waker in self.wakers.iter() {
            waker.wake();
        }
    }
}

/// Wakes executors from any thread.
#[derive(Clone)]
pub struct WakeHandle {
    wakers: Arc<[Arc<Waker>]>,
}

impl WakeHandle {
    /// Makes a core run a turn if it sleeps. What that turn is to find must be there already.
    pub fn wake(&self, core: usize) {
        self.wakers[core].wake();
    }
}

/// How the executors ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Everything accepted was delivered to whoever kept reading.
    Drained,
    /// The drain timeout cut connections off.
    TimedOut,
}

/// Starts the executors. `service` makes the service of a core, on that core's thread, so that its
/// memory is near.
pub fn launch<S, F>(plan: Plan, service: F) -> Result<Running, StartError>
where
    S: Service + 'static,
    F: Fn(usize) -> S + Clone + Send + 'static,
{
    let cores = plan.cpus.len();
    let wakers: Arc<[Arc<Waker>]> = plan
        .cpus
        .iter()
        .map(|&cpu| match Waker::new() {
            Ok(waker) => Ok(Arc::new(waker)),
            Err(source) => Err(StartError::Core { cpu, what: "eventfd", source }),
        })
        .collect::<Result<_, _>>()?;
    let stop = Arc::new(Stop {
        wanted: AtomicBool::new(false),
        drain_timeout_ns: AtomicU64::new(0),
        linger_ns: plan.linger.as_nanos() as u64,
    });
    let balance = Balance::new(cores);
    let tuning = Tuning::new(plan.connections_max, plan.busy_poll);
    let (dealer, accepted) = Dealer::new(tuning.clone(), balance.clone(), wakers.clone());
    let mut accepting = Some(Accepting::new(plan.listeners, dealer));
    let mut running = Running {
        stop: StopHandle { stop: stop.clone(), wakers: wakers.clone() },
        tuning: tuning.clone(),
        threads: vec![],
    };
    let ends = mesh::build::<S::Letter>(wakers.clone(), S::LANES, plan.letters_max);
    for (core, ((cpu, mesh), accepted)) in plan.cpus.into_iter().zip(ends).zip(accepted).enumerate()
    {
        let seat = Seat {
            core,
            waker: wakers[core].clone(),
            mesh,
            accepted,
            balance: balance.clone(),
            stop: stop.clone(),
            tuning: tuning.clone(),
            accepting: accepting.take(),
        };
        let service = service.clone();
        let started = start(cpu, seat, move || service(core));
        match started {
            Ok(thread) => running.threads.push(thread),
            Err(error) => {
                running.stop.stop(Duration::ZERO);
                running.join();
                return Err(error);
            }
        }
    }
    Ok(running)
}

impl Running {
    /// A handle that stops the executors.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Changes how they run.
    pub fn tuning(&self) -> Arc<Tuning> {
        self.tuning.clone()
    }

    /// A handle that wakes the executors.
    pub fn wake_handle(&self) -> WakeHandle {
        WakeHandle { wakers: self.stop.wakers.clone() }
    }

    /// Waits until every executor has ended.
    pub fn join(self) -> Stopped {
        let drained = self.threads.into_iter().fold(true, |drained, thread| {
            drained & thread.join().expect("a panic on an executor aborts the process")
        });
        if drained { Stopped::Drained } else { Stopped::TimedOut }
    }
}

/// A panic would leave this core dead and the others half alive, waiting for it.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

fn start<S, F>(
    cpu: usize,
    seat: Seat<S::Letter>,
    service: F,
) -> Result<JoinHandle<bool>, StartError>
where
    S: Service + 'static,
    F: FnOnce() -> S + Send + 'static,
{
    let (started, wait) = mpsc::channel();
    let core_error = |what, source| StartError::Core { cpu, what, source };
    let body = move || {
        let _guard = AbortOnPanic;
        let prepare = || {
            // Pinned before glommio allocates, so that its memory is this core's.
            placement::pin(cpu)?;
            let executor = LocalExecutorBuilder::new(Placement::Unbound)
                .name(&format!("executor-{cpu}"))
                .preempt_timer(PREEMPT_TIMER)
                .ring_depth(64)
                // Only the sleep on the eventfd reads through glommio.
                .io_memory(64 << 10)
                .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
                .make()
                .map_err(|error| StartError::Core {
                    cpu,
                    what: "glommio's executor",
                    source: io::Error::other(error.to_string()),
                })?;
            let driver = Driver::new(service(), seat).map_err(|source| StartError::Core {
                cpu,
                what: "the data ring",
                source,
            })?;
            Ok((executor, driver))
        };
        match prepare() {
            Ok((executor, driver)) => {
                started.send(Ok(())).expect("`start` waits");
                match executor.run(driver.run()) {
                    Ok(drained) => drained,
                    Err(error) => {
                        // Without its ring this core is dead, and the others would wait for it. Not
                        // logged: whoever writes the log may not get to it before the end.
                        panic!(
                            "the data ring of CPU {cpu} failed, the broker cannot go on: {error}"
                        );
                    }
                }
            }
            Err(error) => {
                started.send(Err(error)).expect("`start` waits");
                true
            }
        }
    };
    let thread = thread::Builder::new()
        .name(format!("executor-{cpu}"))
        .spawn(body)
        .map_err(|source| core_error("starting a thread", source))?;
    wait.recv().expect("the thread says how its start went")?;
    Ok(thread)
}
