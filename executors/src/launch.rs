//! Starting one pinned executor per core, and stopping all of them.
//!
//! Called after `preflight` and `placement`. Executors are started one by one, and
//! each says that it runs before the next starts: a failure is reported with its core.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};

use crate::control::{Stop, StopHandle, Tuning, WakeHandle};
use crate::driver::Driver;
use crate::error::StartError;
use crate::executor::Executor;
use crate::mesh;
use crate::placement;
use crate::ring::Ring;
use crate::ring::data::DataRing;
use crate::seat::{Seat, Shared, seats};
use crate::service::Service;
use crate::waker::Waker;

/// Longer than any process runs: glommio 0.9.0 must never find that a task has run for too long.
/// When this timer fires after glommio armed it and before it ran the first task (the thread lost
/// its CPU in between), `run_task_queues` says that there was nothing to run, and the executor
/// sleeps although its driver is ready. No other thread knows that it has to be woken: the core is dead. At
/// 1 ms this happened within seconds on a machine with more threads than CPUs.
/// glommio's own timers fire the same way, so none may be used on these executors either.
const PREEMPT_TIMER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// How the cores are to run.
pub struct Plan {
    /// CPU numbers, as `placement::choose` gave them.
    pub cpus: Vec<usize>,
    /// From `listener::bind`; the service hears of each connection by which of them it came.
    pub listeners: Vec<TcpListener>,
    /// Connections at once, over all cores.
    pub connections_max: u32,
    /// Messages in flight per ordered pair of cores and lane.
    pub messages_max: usize,
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

/// How the executors ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Everything accepted was delivered to every peer that kept reading.
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
    let shared = Shared {
        wakers: wakers(&plan.cpus)?,
        tuning: Tuning::new(plan.connections_max, plan.busy_poll),
        stop: Stop::new(),
        linger: plan.linger,
    };
    let mut running = Running {
        stop: StopHandle { stop: shared.stop.clone(), wakers: shared.wakers.clone() },
        tuning: shared.tuning.clone(),
        threads: vec![],
    };
    let ends = mesh::build::<S::Message>(shared.wakers.clone(), S::LANES, plan.messages_max);
    let seats = seats(&shared, ends, plan.listeners.len());
    // All of core 0.
    let mut listeners = Some(plan.listeners);
    for (core, (cpu, seat)) in plan.cpus.into_iter().zip(seats).enumerate() {
        let service = service.clone();
        let listeners = listeners.take().unwrap_or_default();
        match start(cpu, seat, listeners, move || service(core)) {
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

fn wakers(cpus: &[usize]) -> Result<Arc<[Arc<Waker>]>, StartError> {
    let waker = |&cpu| match Waker::new() {
        Ok(waker) => Ok(Arc::new(waker)),
        Err(source) => Err(StartError::Core { cpu, what: "eventfd", source }),
    };
    cpus.iter().map(waker).collect()
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

type RealSeat<S> = Seat<<S as Service>::Message, <DataRing as Ring>::Socket>;

fn start<S, F>(
    cpu: usize,
    seat: RealSeat<S>,
    listeners: Vec<TcpListener>,
    service: F,
) -> Result<JoinHandle<bool>, StartError>
where
    S: Service + 'static,
    F: FnOnce() -> S + Send + 'static,
{
    let (started, wait) = mpsc::channel();
    let body = move || {
        let _guard = AbortOnPanic;
        match prepare(cpu, seat, listeners, service) {
            Ok((executor, core)) => {
                started.send(Ok(())).expect("`start` waits");
                match executor.run(core.run()) {
                    Ok(drained) => drained,
                    // Without its ring this core is dead, and the others would wait for it. Not
                    // logged: the thread that writes the log may not get to it before the end.
                    Err(error) => panic!(
                        "the data ring of CPU {cpu} failed, the process cannot go on: {error}"
                    ),
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
        .map_err(|source| StartError::Core { cpu, what: "starting a thread", source })?;
    wait.recv().expect("the thread says how its start went")?;
    Ok(thread)
}

/// Pins the thread, and makes what runs on it.
fn prepare<S: Service>(
    cpu: usize,
    seat: RealSeat<S>,
    listeners: Vec<TcpListener>,
    service: impl FnOnce() -> S,
) -> Result<(LocalExecutor, Executor<S>), StartError> {
    let failed = |what| move |source| StartError::Core { cpu, what, source };
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
        .map_err(|error| failed("glommio's executor")(io::Error::other(error.to_string())))?;
    let mut ring = DataRing::new(seat.waker.clone()).map_err(failed("the data ring"))?;
    for (listener, socket) in listeners.into_iter().enumerate() {
        ring.listen(listener as u32, socket);
    }
    Ok((executor, Executor::new(Driver::new(service(), ring, seat))))
}
