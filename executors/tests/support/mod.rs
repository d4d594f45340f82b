//! A service whose connections do what their first byte asks for, and what tests need around it.

// Each file of tests uses its own part of this.
#![allow(dead_code)]

mod asked;

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asked::Asked;
use executors::launch::{Plan, Running, Stopped, launch};
use executors::listener::Purpose;
use executors::{ConnectionId, listener, placement, preflight};

/// What comes is sent back.
pub const ECHO: u8 = b'e';
/// The same, and reading is paused and resumed at random meanwhile.
pub const STUTTER: u8 = b's';
/// [`FLOOD_LEN`] bytes are sent at once; the next byte closes, whatever is still under way.
pub const FLOOD: u8 = b'f';
/// [`FLOOD_LEN`] bytes are sent in more pieces than the kernel takes in one send.
pub const PIECES: u8 = b'p';
/// [`LAST`] is sent and the connection closed at once.
pub const CLOSE: u8 = b'c';

/// More than socket buffers hold, so that the send stays under way until the peer reads.
pub const FLOOD_LEN: usize = 16 << 20;
pub const LAST: &[u8] = b"the last bytes";
pub const TOO_MANY: &[u8] = b"too many";

/// A test that waits longer has hung; nothing else depends on this.
const HUNG: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    Connected { core: usize, connection: ConnectionId, listener: usize, admitted: bool },
    Closed { core: usize, connection: ConnectionId },
}

/// What tests and services share.
#[derive(Default)]
pub struct Shared {
    /// Services want no input while this is set.
    pub hold: AtomicBool,
    pub turns: AtomicU64,
    /// Connections to close at once.
    pub close: Mutex<Vec<(usize, ConnectionId)>>,
}

/// A running set of executors with the service of this file.
pub struct World {
    pub address: SocketAddr,
    /// Of the second listener.
    pub other_address: SocketAddr,
    pub events: Receiver<Event>,
    pub shared: Arc<Shared>,
    /// Closed while the test waited for something else.
    gone: RefCell<HashSet<(usize, ConnectionId)>>,
    running: Running,
    drain_timeout: Duration,
}

impl World {
    pub fn start(cores: usize, connections_max: u32, drain_timeout: Duration) -> World {
        let (sender, events) = mpsc::channel();
        let shared = Arc::<Shared>::default();
        let (shared_too, sender) = (shared.clone(), Mutex::new(sender));
        // `launch` wants a cloneable maker of services.
        let sender = Arc::new(sender);
        let plan = plan(cores, connections_max);
        let address_of = |listener: &TcpListener| listener.local_addr().expect("bound");
        let [address, other_address] = [0, 1].map(|index| address_of(&plan.listeners[index]));
        let running = launch(plan, move |core| {
            let events = sender.lock().expect("no test panics with it").clone();
            Asked::new(core, events, shared_too.clone())
        });
        let running = running.expect("the executors start");
        World {
            address,
            other_address,
            events,
            shared,
            gone: RefCell::default(),
            running,
            drain_timeout,
        }
    }

    /// A connection that asks for `mode`.
    pub fn connect(&self, mode: u8) -> TcpStream {
        connect(self.address, mode)
    }

    pub fn event(&self) -> Event {
        self.events.recv_timeout(HUNG).expect("something happens before the test counts as hung")
    }

    /// Waits for the next connection of a service; others may close meanwhile.
    pub fn connected(&self) -> (usize, ConnectionId, bool) {
        loop {
            match self.event() {
                Event::Connected { core, connection, admitted, .. } => {
                    return (core, connection, admitted);
                }
                Event::Closed { core, connection } => {
                    self.gone.borrow_mut().insert((core, connection));
                }
            }
        }
    }

    /// Waits until a connection is gone.
    pub fn wait_closed(&self, core: usize, connection: ConnectionId) {
        while !self.gone.borrow_mut().remove(&(core, connection)) {
            if let Event::Closed { core, connection } = self.event() {
                self.gone.borrow_mut().insert((core, connection));
            }
        }
    }

    /// Waits until every core has looked at its sockets several times.
    pub fn wait_turns(&self, turns: u64) {
        let until = self.shared.turns.load(Ordering::Relaxed) + turns;
        while self.shared.turns.load(Ordering::Relaxed) < until {
            std::thread::yield_now();
        }
    }

    /// Stops and joins.
    pub fn stop(self) -> Stopped {
        self.running.stop_handle().stop(self.drain_timeout);
        join(self.running)
    }
}

pub fn plan(cores: usize, connections_max: u32) -> Plan {
    let allowed = placement::choose(None).expect("this process runs somewhere");
    // On a machine with one core two executors share it.
    let cpus: Vec<usize> = allowed.iter().copied().cycle().take(cores).collect();
    preflight::check(cores, 4_096).expect("this machine can run the tests");
    let purpose = Purpose { of: "clients", change: "another" };
    let bind = || listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), purpose);
    let listeners = (0..2).map(|_| bind().expect("a free port")).collect();
    Plan {
        cpus,
        listeners,
        connections_max,
        messages_max: 4,
        linger: Duration::from_secs(2),
        busy_poll: Duration::from_micros(40),
    }
}

/// The part of a `Service` that has to do with connections, of a test without connections.
#[allow(unused_macros)]
macro_rules! without_connections {
    () => {
        fn connected(
            &mut self,
            _: Now,
            _: ConnectionId,
            _: SocketAddr,
            _: usize,
            _: executors::Admission,
        ) {
        }
        fn received(&mut self, _: Now, _: ConnectionId, _: &[u8]) {}
        fn sent(&mut self, _: Now, _: ConnectionId) {}
        fn broken(&mut self, _: Now, _: ConnectionId) {}
        fn ended(&mut self, _: Now, _: ConnectionId) {}
        fn closed(&mut self, _: ConnectionId) {}

        fn wants_input(&self) -> bool {
            true
        }
    };
}
#[allow(unused_imports)]
pub(crate) use without_connections;

/// The part of a `Service` that has to do with the stop, of a test that notes it in `stopping` and has
/// nothing to drain.
#[allow(unused_macros)]
macro_rules! stopped_at_once {
    () => {
        fn stop(&mut self, _: Now) {
            self.stopping = true;
        }

        fn is_stopped(&self) -> bool {
            self.stopping
        }
    };
}
#[allow(unused_imports)]
pub(crate) use stopped_at_once;

/// Joins, or fails when that takes too long.
pub fn join(running: Running) -> Stopped {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || done.send(running.join()));
    wait.recv_timeout(HUNG).expect("the executors stop")
}

pub fn connect(address: SocketAddr, mode: u8) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(HUNG)).expect("a timeout can be set");
    stream.set_write_timeout(Some(HUNG)).expect("a timeout can be set");
    stream.write_all(&[mode]).expect("a new connection takes a byte");
    stream
}

/// A connection that ends with a reset when it is dropped.
pub fn reset_on_drop(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("lingering can be set");
}

/// Numbers that are the same in every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(2).wrapping_add(1))
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(251) as u8).collect()
    }
}

/// What a flood consists of: every byte shows where it is.
pub fn flood(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}
