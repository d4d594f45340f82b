//! The real driver without a kernel, for simulators: several cores in one thread, whose kernel,
//! clock, mesh and peers are played by the caller.
//!
//! A [`Machine`] has a [`Core`] for each executor of a real process, with the same
//! [`Service`], the same driver and the same mesh. What a core asks of its kernel
//! waits in the [`Kernel`] until the caller completes it: late, in part, or with an error. Mesh
//! messages wait on their way until the caller lets them arrive. Nothing happens but by a call, so
//! the same calls give the same machine.
//!
//! ```
//! use executors::simulated::{Machine, Plan, Step};
//! # use executors::{ConnectionId, Io, Now, Ring, Service};
//! # struct Quiet;
//! # impl Service for Quiet {
//! #     type Message = ();
//! #     const LANES: usize = 1;
//! #     fn connected(&mut self, _: Now, _: ConnectionId, _: std::net::SocketAddr, _: usize, _: executors::Admission) {}
//! #     fn received(&mut self, _: Now, _: ConnectionId, _: &[u8]) {}
//! #     fn sent(&mut self, _: Now, _: ConnectionId) {}
//! #     fn broken(&mut self, _: Now, _: ConnectionId) {}
//! #     fn ended(&mut self, _: Now, _: ConnectionId) {}
//! #     fn closed(&mut self, _: ConnectionId) {}
//! #     fn wants_input(&self) -> bool { true }
//! #     fn turn<R: Ring>(&mut self, _: Now, _: &mut Io<(), R>) -> bool { false }
//! #     fn next_deadline(&self) -> Option<u64> { None }
//! #     fn stop(&mut self, _: Now) {}
//! #     fn is_stopped(&self) -> bool { true }
//! # }
//! let mut machine = Machine::new(Plan::default(), |_core| Quiet);
//! while machine.core(0).step() != Step::Asleep {}
//! let socket = machine.kernel().accept(0, Some(([127, 0, 0, 1], 1).into()), true);
//! assert!(machine.core(0).is_awake());
//! while machine.core(0).step() != Step::Asleep {}
//! assert!(machine.kernel().is_receiving(socket));
//! ```
//!
//! # Always true
//! - A core that sleeps is awake again only by a completion or by its waker: a simulator that steps
//!   cores only while [`Core::is_awake`] finds every wake-up that is missing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::control::{Stop, StopHandle, Tuning, WakeHandle};
use crate::driver::{self, Driver};
use crate::launch::Stopped;
use crate::mesh::{self, Transits};
use crate::ring::Ring;
use crate::ring::simulated::{SimulatedRing, Socket};
use crate::seat::{Shared, seats};
use crate::service::Service;
use crate::waker::Waker;

pub use crate::ring::kernel::{Cancel, Deferred, Delivery, Kernel, SocketId};

/// How the simulated cores are to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many cores there are.
    pub cores: usize,
    /// How many listeners core 0 has.
    pub listeners: usize,
    /// Connections at once, over all cores.
    pub connections_max: u32,
    /// Messages in flight per ordered pair of cores and lane.
    pub messages_max: usize,
    /// After its last byte a connection is kept this long for the peer to close too.
    pub linger: Duration,
    /// Receive buffers of a core.
    pub buffers: usize,
    /// Bytes of a receive buffer.
    pub buffer_len: usize,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            cores: 1,
            listeners: 1,
            connections_max: 1_000,
            messages_max: 16,
            linger: Duration::from_secs(2),
            buffers: 32,
            buffer_len: 64 * 1024,
        }
    }
}

/// Several cores in one thread.
pub struct Machine<S: Service> {
    cores: Vec<Core<S>>,
    kernel: Kernel,
    transits: Transits,
    stop: StopHandle,
    tuning: Arc<Tuning>,
}

/// One core: the driver of a real one, a step at a time.
pub struct Core<S: Service> {
    state: State<S>,
    kernel: Kernel,
    number: usize,
    /// The last turn found nothing to do.
    idle: bool,
    asleep: bool,
}

enum State<S: Service> {
    Running(Box<Driver<S, SimulatedRing>>),
    /// The service alone is left, to be looked at.
    Over(S, Stopped),
    /// Between the two.
    Ending,
}

/// What a step of a core has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The core goes on.
    Again,
    /// The core has found nothing to do. The next step looks once more, and sleeps.
    Idle,
    /// The core sleeps until it is woken.
    Asleep,
    /// The core has stopped.
    Stopped(Stopped),
}

impl<S: Service> Machine<S> {
    /// A machine at time 0. `service` makes the service of a core.
    pub fn new(plan: Plan, mut service: impl FnMut(usize) -> S) -> Machine<S> {
        let Plan { cores, listeners, .. } = plan;
        let kernel = Kernel::new(cores, listeners, plan.buffers, plan.buffer_len);
        let shared = Shared {
            wakers: (0..cores).map(|_| Arc::new(Waker::simulated())).collect(),
            tuning: Tuning::new(plan.connections_max, Duration::ZERO),
            stop: Stop::new(),
            linger: plan.linger,
        };
        let wakers = shared.wakers.clone();
        let (ends, transits) =
            mesh::build_simulated::<S::Message>(wakers.clone(), S::LANES, plan.messages_max);
        let seats = seats(&shared, ends, listeners).into_iter().enumerate();
        let cores = seats.map(|(number, seat)| {
            let mut ring = SimulatedRing::new(kernel.clone(), number);
            let listeners = if number == 0 { listeners } else { 0 };
            (0..listeners).for_each(|listener| ring.listen(listener as u32, ()));
            let state = State::Running(Box::new(Driver::new(service(number), ring, seat)));
            Core { state, kernel: kernel.clone(), number, idle: false, asleep: false }
        });
        let cores = cores.collect();
        let stop = StopHandle { stop: shared.stop, wakers };
        Machine { cores, kernel, transits, stop, tuning: shared.tuning }
    }

    /// The kernel of all cores.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// One core.
    pub fn core(&mut self, core: usize) -> &mut Core<S> {
        &mut self.cores[core]
    }

    /// All cores.
    pub fn cores(&self) -> &[Core<S>] {
        &self.cores
    }

    /// A handle that stops the cores.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// A handle that wakes cores.
    pub fn wake_handle(&self) -> WakeHandle {
        WakeHandle { wakers: self.stop.wakers.clone() }
    }

    /// What can be changed while the cores run.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// Accepts a connection of a listener and gives it to one core, whatever the others have. Once
    /// core 0 has closed its listeners the connection is closed at once.
    pub fn connect_to(&mut self, core: usize, listener: usize, peer: SocketAddr) -> SocketId {
        let id = self.kernel.socket_of(Some(peer));
        let socket = Socket::new(self.kernel.clone(), id);
        if let State::Running(driver) = &mut self.cores[0].state {
            driver.deal_to(socket, listener, core);
        }
        id
    }

    // --- The mesh ---

    /// Mesh messages of a lane that were sent and have not arrived.
    pub fn under_way(&self, from: usize, to: usize, lane: usize) -> usize {
        self.transits.under_way(from, to, lane)
    }

    /// Lets the oldest mesh message of a lane arrive, and the wake that follows it.
    pub fn arrive(&self, from: usize, to: usize, lane: usize) {
        self.transits.arrive(from, to, lane);
    }

    /// Lets all mesh messages arrive that were sent.
    pub fn arrive_all(&self) {
        let (cores, lanes) = (self.transits.cores(), self.transits.lanes());
        for (from, to) in (0..cores).flat_map(|from| (0..cores).map(move |to| (from, to))) {
            for lane in 0..lanes {
                (0..self.under_way(from, to, lane)).for_each(|_| self.arrive(from, to, lane));
            }
        }
    }
}

impl<S: Service> Core<S> {
    /// One step: a turn of the driver, or the last look before sleeping. A step of a core that
    /// sleeps wakes it, as a signal would.
    pub fn step(&mut self) -> Step {
        let driver = match &mut self.state {
            State::Running(driver) => driver,
            State::Over(_, stopped) => return Step::Stopped(*stopped),
            State::Ending => unreachable!("a core that is over has its service"),
        };
        if std::mem::take(&mut self.asleep) {
            driver.waker.silence();
            driver.waker.awake();
        }
        if std::mem::take(&mut self.idle) {
            self.asleep = driver.fall_asleep();
            return if self.asleep { Step::Asleep } else { Step::Again };
        }
        match driver.step().expect("a simulated ring does not fail") {
            driver::Step::Again | driver::Step::Short => Step::Again,
            driver::Step::Idle => {
                self.idle = true;
                Step::Idle
            }
            driver::Step::Over(drained) => {
                let stopped = if drained { Stopped::Drained } else { Stopped::TimedOut };
                if let State::Running(driver) = std::mem::replace(&mut self.state, State::Ending) {
                    self.state = State::Over(driver.into_service(), stopped);
                }
                Step::Stopped(stopped)
            }
        }
    }

    /// Whether a step is to come: the core does not sleep, or something has woken it.
    pub fn is_awake(&self) -> bool {
        let State::Running(driver) = &self.state else { return false };
        !self.asleep || self.kernel.has_completions(self.number) || driver.waker.is_rung()
    }

    /// Mesh messages for this core that have arrived and were not read.
    pub fn mesh_waiting(&self) -> usize {
        match &self.state {
            State::Running(driver) => driver.io.mesh().waiting(),
            State::Over(..) | State::Ending => 0,
        }
    }

    /// The service, also when the core has stopped.
    pub fn service(&self) -> &S {
        match &self.state {
            State::Running(driver) => &driver.service,
            State::Over(service, _) => service,
            State::Ending => unreachable!("a core that is over has its service"),
        }
    }

    /// The service, to be changed between two steps.
    pub fn service_mut(&mut self) -> &mut S {
        match &mut self.state {
            State::Running(driver) => &mut driver.service,
            State::Over(service, _) => service,
            State::Ending => unreachable!("a core that is over has its service"),
        }
    }

    /// How the core has stopped, if it has.
    pub fn stopped(&self) -> Option<Stopped> {
        match &self.state {
            State::Over(_, stopped) => Some(*stopped),
            State::Running(_) | State::Ending => None,
        }
    }
}
