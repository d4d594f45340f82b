//! A service whose connections do what their first byte asks for, and what tests need around it.

// Each file of tests uses its own part of this.
#![allow(dead_code)]

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use executors::launch::{Plan, Running, Stopped, launch};
use executors::listener::Purpose;
use executors::{ConnectionId, Io, Now, Ring, Service, listener, placement, preflight};

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
/// How often a service looks for commands of its test.
const TICK_NS: u64 = 2_000_000;
/// Bytes to echo that stop the reading of a connection.
const ECHO_BYTES_MAX: usize = 1 << 20;

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

#[derive(Default)]
struct Session {
    mode: Option<u8>,
    outgoing: Vec<Bytes>,
    outgoing_bytes: usize,
    in_flight: bool,
    ended: bool,
    paused_turns: u64,
    full: bool,
    /// Close at once, with these bytes.
    close: Option<Bytes>,
    closing: bool,
}

/// The service.
struct Asked {
    core: usize,
    events: Sender<Event>,
    shared: Arc<Shared>,
    sessions: HashMap<ConnectionId, Session>,
    dirty: Vec<ConnectionId>,
    random: Random,
    stopping: bool,
    tick_ns: u64,
}

impl Asked {
    fn new(core: usize, events: Sender<Event>, shared: Arc<Shared>) -> Asked {
        Asked {
            core,
            events,
            shared,
            sessions: HashMap::new(),
            dirty: Vec::new(),
            random: Random::new(core as u64),
            stopping: false,
            tick_ns: 0,
        }
    }

    fn session(&mut self, connection: ConnectionId) -> &mut Session {
        self.dirty.push(connection);
        self.sessions.get_mut(&connection).expect("only connections that were reported")
    }

    fn step<R: Ring>(&mut self, now: Now, io: &mut Io<(), R>, connection: ConnectionId) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        if session.closing {
            return;
        }
        if !session.in_flight && !session.outgoing.is_empty() && session.close.is_none() {
            session.in_flight = true;
            session.outgoing_bytes = 0;
            io.send(connection, &mut session.outgoing);
            assert!(session.outgoing.is_empty());
        }
        let full = session.outgoing_bytes > ECHO_BYTES_MAX;
        if session.mode == Some(STUTTER) && session.paused_turns == 0 {
            match self.random.below(4) {
                0 => {
                    io.pause(connection);
                    io.resume(connection);
                }
                1 => session.paused_turns = 1 + self.random.below(8),
                2 => {
                    io.pause(connection);
                    io.resume(connection);
                    session.paused_turns = 1;
                }
                _ => {}
            }
            if session.paused_turns > 0 {
                io.pause(connection);
                self.dirty.push(connection);
            }
        } else if session.paused_turns > 0 {
            session.paused_turns -= 1;
            if session.paused_turns == 0 && !full {
                io.resume(connection);
            } else {
                self.dirty.push(connection);
            }
            session.paused_turns = session.paused_turns.max(u64::from(full));
        } else if full != session.full {
            session.full = full;
            if full { io.pause(connection) } else { io.resume(connection) }
        }
        let empty = session.outgoing.is_empty() && !session.in_flight;
        if session.close.is_none() && empty && (session.ended || self.stopping) {
            session.close = Some(Bytes::new());
        }
        if let Some(last) = session.close.take() {
            session.closing = true;
            io.close(now, connection, last);
        }
    }
}

impl Service for Asked {
    type Message = ();

    const LANES: usize = 1;

    fn connected(
        &mut self,
        _: Now,
        connection: ConnectionId,
        _: SocketAddr,
        listener: usize,
        admission: executors::Admission,
    ) {
        let admitted = admission == executors::Admission::Admitted;
        let close = (!admitted).then_some(Bytes::from_static(TOO_MANY));
        let known = self.sessions.insert(connection, Session { close, ..Session::default() });
        assert!(known.is_none(), "an id is given out once");
        self.dirty.push(connection);
        let core = self.core;
        let _ = self.events.send(Event::Connected { core, connection, listener, admitted });
    }

    fn received(&mut self, _: Now, connection: ConnectionId, mut bytes: &[u8]) {
        let session = self.session(connection);
        assert!(!session.ended && !session.closing && !bytes.is_empty());
        if session.mode.is_none() {
            session.mode = Some(bytes[0]);
            bytes = &bytes[1..];
            match session.mode {
                Some(FLOOD) => session.outgoing.push(flood(FLOOD_LEN).into()),
                Some(PIECES) => {
                    let flood = Bytes::from(flood(FLOOD_LEN));
                    let pieces = (0..FLOOD_LEN).step_by(FLOOD_LEN / 4_096);
                    let piece = |at| flood.slice(at..at + FLOOD_LEN / 4_096);
                    session.outgoing.extend(pieces.map(piece));
                }
                Some(CLOSE) => session.close = Some(Bytes::from_static(LAST)),
                _ => {}
            }
        }
        match session.mode {
            Some(ECHO | STUTTER) if !bytes.is_empty() => {
                session.outgoing_bytes += bytes.len();
                session.outgoing.push(Bytes::copy_from_slice(bytes));
            }
            Some(FLOOD) if !bytes.is_empty() => session.close = Some(Bytes::from_static(LAST)),
            _ => {}
        }
    }

    fn broken(&mut self, _: Now, connection: ConnectionId) {
        let session = self.session(connection);
        assert!(session.in_flight && !session.closing, "only what was sent can fail");
        session.in_flight = false;
        session.outgoing.clear();
    }

    fn sent(&mut self, _: Now, connection: ConnectionId) {
        let session = self.session(connection);
        assert!(session.in_flight && !session.closing);
        session.in_flight = false;
    }

    fn ended(&mut self, _: Now, connection: ConnectionId) {
        let session = self.session(connection);
        assert!(!session.ended && !session.closing, "an end is handed on once");
        session.ended = true;
    }

    fn closed(&mut self, connection: ConnectionId) {
        self.sessions.remove(&connection).expect("an id is void once");
        let _ = self.events.send(Event::Closed { core: self.core, connection });
    }

    fn wants_input(&self) -> bool {
        !self.shared.hold.load(Ordering::Relaxed)
    }

    fn turn<R: Ring>(&mut self, now: Now, io: &mut Io<(), R>) -> bool {
        self.shared.turns.fetch_add(1, Ordering::Relaxed);
        self.tick_ns = now.monotonic_ns + TICK_NS;
        self.shared.close.lock().expect("no test panics with it").retain(|&(core, connection)| {
            if core == self.core {
                let session = self.sessions.get_mut(&connection).expect("tests close what is open");
                session.close = Some(Bytes::from_static(LAST));
                self.dirty.push(connection);
            }
            core != self.core
        });
        for connection in std::mem::take(&mut self.dirty) {
            self.step(now, io, connection);
        }
        !self.dirty.is_empty()
    }

    fn next_deadline(&self) -> Option<u64> {
        Some(self.tick_ns)
    }

    fn stop(&mut self, _: Now) {
        self.stopping = true;
        self.dirty.extend(self.sessions.keys());
    }

    fn is_stopped(&self) -> bool {
        self.stopping && self.sessions.is_empty()
    }
}
