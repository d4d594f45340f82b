//! A machine with a service that does what its test says, and notes what it is called with.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use executors::simulated::{Core, Kernel, Machine, Plan, SocketId, Step};
use executors::{Admission, ConnectionId, Io, Now, Observed, Ring, Service, Shortage};

// Error numbers of Linux, as the kernel would give them.
pub const ENOMEM: i32 = 12;
pub const ENFILE: i32 = 23;
pub const EMFILE: i32 = 24;
pub const EPIPE: i32 = 32;
pub const ECONNRESET: i32 = 104;
pub const ENOBUFS: i32 = 105;
pub const ETIMEDOUT: i32 = 110;
pub const ECANCELED: i32 = 125;

pub const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// Steps after which a core that does not come to rest counts as busy for good.
const STEPS_MAX: usize = 10_000;

/// What a test has its service do in the next turn.
pub enum Order {
    Send(ConnectionId, Vec<Vec<u8>>),
    Pause(ConnectionId),
    Resume(ConnectionId),
    Close(ConnectionId, Vec<u8>),
    Abort(ConnectionId),
    /// A mesh message to another core.
    Post(usize, u32),
    /// When to run next, in nanoseconds.
    Deadline(u64),
}

/// What a service was called with.
#[derive(Default)]
pub struct Seen {
    pub connected: Vec<(ConnectionId, bool)>,
    pub received: Vec<(ConnectionId, Vec<u8>)>,
    pub sent: Vec<ConnectionId>,
    pub broken: Vec<ConnectionId>,
    pub ended: Vec<ConnectionId>,
    pub closed: Vec<ConnectionId>,
    pub messages: Vec<u32>,
    pub full: Vec<u32>,
    pub starved: usize,
    pub short: Vec<Shortage>,
    pub vanished: Vec<ConnectionId>,
    /// System calls.
    pub calls: u32,
}

impl Seen {
    pub fn received_of(&self, connection: ConnectionId) -> Vec<u8> {
        let of = self.received.iter().filter(|(of, _)| *of == connection);
        of.flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

#[derive(Default)]
pub struct Obedient {
    pub seen: Seen,
    pub orders: VecDeque<Order>,
    /// Wants no input.
    pub hold: bool,
    /// Connections with a send in flight.
    sending: Vec<ConnectionId>,
    open: Vec<ConnectionId>,
    deadline_ns: Option<u64>,
    stopping: bool,
}

impl Service for Obedient {
    type Message = u32;

    const LANES: usize = 1;

    fn connected(
        &mut self,
        _: Now,
        connection: ConnectionId,
        _: SocketAddr,
        _: usize,
        admission: Admission,
    ) {
        let admitted = admission == Admission::Admitted;
        assert!(!self.open.contains(&connection), "an id is given out once");
        self.open.push(connection);
        self.seen.connected.push((connection, admitted));
    }

    fn received(&mut self, _: Now, connection: ConnectionId, bytes: &[u8]) {
        assert!(!self.hold && self.open.contains(&connection));
        self.seen.received.push((connection, bytes.to_vec()));
    }

    fn sent(&mut self, _: Now, connection: ConnectionId) {
        let at = self.sending.iter().position(|of| *of == connection).expect("it sends");
        self.sending.remove(at);
        self.seen.sent.push(connection);
    }

    fn broken(&mut self, _: Now, connection: ConnectionId) {
        let at = self.sending.iter().position(|of| *of == connection).expect("it sends");
        self.sending.remove(at);
        self.seen.broken.push(connection);
    }

    fn ended(&mut self, _: Now, connection: ConnectionId) {
        assert!(self.open.contains(&connection) && !self.seen.ended.contains(&connection));
        self.seen.ended.push(connection);
    }

    fn vanished(&mut self, _: Now, connection: ConnectionId) {
        assert!(self.open.contains(&connection) && !self.seen.vanished.contains(&connection));
        self.seen.vanished.push(connection);
    }

    fn closed(&mut self, connection: ConnectionId) {
        let at = self.open.iter().position(|of| *of == connection).expect("it is open");
        self.open.remove(at);
        self.seen.closed.push(connection);
    }

    fn wants_input(&self) -> bool {
        !self.hold
    }

    fn turn<R: Ring>(&mut self, now: Now, io: &mut Io<u32, R>) -> bool {
        let mut busy = false;
        self.deadline_ns.take_if(|at_ns| *at_ns <= now.monotonic_ns);
        for from in (0..io.mesh().cores()).filter(|from| *from != io.mesh().core()) {
            // One at a time, as a busy core would.
            if let Some(message) = io.mesh().try_recv(from, 0) {
                self.seen.messages.push(message);
                busy = true;
            }
        }
        for _ in 0..self.orders.len() {
            match self.orders.pop_front().expect("counted") {
                Order::Send(connection, parts) => {
                    if self.sending.contains(&connection) {
                        self.orders.push_back(Order::Send(connection, parts));
                        continue;
                    }
                    self.sending.push(connection);
                    io.send(connection, &mut parts.into_iter().map(Bytes::from).collect());
                }
                Order::Pause(connection) => io.pause(connection),
                Order::Resume(connection) => io.resume(connection),
                Order::Close(connection, last) => {
                    self.sending.retain(|of| *of != connection);
                    io.close(now, connection, last.into());
                }
                Order::Abort(connection) => io.abort(connection),
                Order::Post(core, message) => {
                    if let Err(message) = io.mesh().try_send(core, 0, message) {
                        // Kept in order.
                        self.orders.push_front(Order::Post(core, message));
                        break;
                    }
                }
                Order::Deadline(at_ns) => self.deadline_ns = Some(at_ns),
            }
        }
        busy
    }

    fn next_deadline(&self) -> Option<u64> {
        self.deadline_ns
    }

    fn stop(&mut self, _: Now) {
        self.stopping = true;
    }

    fn is_stopped(&self) -> bool {
        self.stopping && self.open.is_empty()
    }

    fn observe(&mut self, observed: Observed) {
        match observed {
            Observed::Starved => self.seen.starved += 1,
            Observed::Short { what } => self.seen.short.push(what),
            Observed::Full { connections } => self.seen.full.push(connections),
            Observed::Entered { calls, .. } => self.seen.calls += calls,
            Observed::Sleeps { .. } | Observed::Woke { .. } => {}
        }
    }
}

pub struct World {
    pub machine: Machine<Obedient>,
    pub kernel: Kernel,
    now: Now,
}

impl World {
    pub fn new(plan: Plan) -> World {
        let machine = Machine::new(plan, |_| Obedient::default());
        let kernel = machine.kernel().clone();
        World { machine, kernel, now: Now { monotonic_ns: 0, unix_ns: 0 } }
    }

    pub fn core(&mut self) -> &mut Core<Obedient> {
        self.machine.core(0)
    }

    pub fn seen(&self) -> &Seen {
        self.seen_of(0)
    }

    pub fn seen_of(&self, core: usize) -> &Seen {
        &self.machine.cores()[core].service().seen
    }

    /// A connection of core 0 by listener 0, which the core has been given.
    pub fn connect(&mut self) -> (SocketId, ConnectionId) {
        let socket = self.machine.connect_to(0, 0, PEER);
        self.run();
        (socket, self.seen().connected.last().expect("it is connected").0)
    }

    pub fn order(&mut self, order: Order) {
        self.order_on(0, order);
    }

    pub fn order_on(&mut self, core: usize, order: Order) {
        self.machine.core(core).service_mut().orders.push_back(order);
        self.machine.wake_handle().wake(core);
    }

    pub fn wake(&mut self) {
        (0..self.machine.cores().len()).for_each(|core| self.machine.wake_handle().wake(core));
    }

    pub fn is_awake(&mut self, core: usize) -> bool {
        self.machine.core(core).is_awake()
    }

    /// Runs every core until all sleep or have stopped.
    pub fn run(&mut self) {
        for _ in 0..3 {
            (0..self.machine.cores().len()).for_each(|core| self.run_one(core));
        }
    }

    pub fn run_one(&mut self, core: usize) {
        let core = self.machine.core(core);
        let mut steps = 0;
        while core.is_awake() && !matches!(core.step(), Step::Asleep | Step::Stopped(_)) {
            steps += 1;
            assert!(steps < STEPS_MAX, "the core does not come to rest");
        }
    }

    /// Steps of core 0, whatever comes of them.
    pub fn step(&mut self, steps: u32) {
        for _ in 0..steps {
            self.machine.core(0).step();
        }
    }

    pub fn advance(&mut self, time: Duration) {
        self.now.monotonic_ns += time.as_nanos() as u64;
        self.kernel.set_now(self.now);
    }

    pub fn carry_out_cancels(&mut self, socket: SocketId) {
        while self.kernel.carry_out_cancel(socket) {}
    }

    pub fn stop(&mut self, drain_timeout: Duration) {
        self.machine.stop_handle().stop(drain_timeout);
    }
}
