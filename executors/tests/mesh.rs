//! The mesh between running executors.

mod support;

use std::net::SocketAddr;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use executors::launch::{Stopped, launch};
use executors::{ConnectionId, Io, Now, Ring, Service};

const MESSAGES: u64 = 50_000;
const LANES: usize = 2;

/// Writes every other core numbered messages on every lane, and checks the numbers of theirs.
struct Writer {
    core: usize,
    cores: usize,
    /// By core and lane.
    to_send: Vec<u64>,
    to_receive: Vec<u64>,
    done: Sender<usize>,
    stopping: bool,
}

impl Service for Writer {
    type Message = (usize, usize, u64);

    const LANES: usize = LANES;

    support::without_connections!();

    /// Busy only while messages move: a core that can do nothing sleeps, and must be woken.
    fn turn<R: Ring>(&mut self, _: Now, io: &mut Io<Self::Message, R>) -> bool {
        let mut busy = false;
        for other in (0..self.cores).filter(|other| *other != self.core) {
            for lane in 0..LANES {
                let at = other * LANES + lane;
                // One at a time, so that full and empty channels alternate.
                if let Some(message) = io.mesh().try_recv(other, lane) {
                    assert_eq!(message, (other, lane, self.to_receive[at]));
                    self.to_receive[at] += 1;
                    busy = true;
                    if self.to_receive[at] == MESSAGES {
                        self.done.send(at).expect("the test waits");
                    }
                }
                while self.to_send[at] < MESSAGES
                    && io.mesh().try_send(other, lane, (self.core, lane, self.to_send[at])).is_ok()
                {
                    self.to_send[at] += 1;
                    busy = true;
                }
            }
        }
        busy
    }

    fn next_deadline(&self) -> Option<u64> {
        None
    }

    support::stopped_at_once!();
}

#[test]
fn messages_arrive_in_order_through_channels_that_are_full_most_of_the_time() {
    for cores in [2, 3] {
        let (done, wait) = mpsc::channel();
        let done = Arc::new(Mutex::new(done));
        let plan = support::plan(cores, 1);
        let running = launch(plan, move |core| Writer {
            core,
            cores,
            to_send: vec![0; cores * LANES],
            to_receive: vec![0; cores * LANES],
            done: done.lock().expect("no thread panics with it").clone(),
            stopping: false,
        });
        let running = running.expect("the executors start");
        for _ in 0..cores * (cores - 1) * LANES {
            // A lost wake-up hangs here.
            wait.recv_timeout(Duration::from_secs(120)).expect("every message arrives");
        }
        running.stop_handle().stop(Duration::from_secs(60));
        assert_eq!(support::join(running), Stopped::Drained);
    }
}

const BELLS: u64 = 5;
/// Longer than a core waits on its data ring before it leaves its sleep to glommio.
const REST_NS: u64 = 150_000_000;

/// Core 0 rings once in a while, core 1 does nothing but listen.
struct Bell {
    core: usize,
    bells: u64,
    ring_at_ns: Option<u64>,
    done: Sender<()>,
    stopping: bool,
}

impl Service for Bell {
    type Message = ();

    const LANES: usize = 1;

    support::without_connections!();

    fn turn<R: Ring>(&mut self, now: Now, io: &mut Io<(), R>) -> bool {
        if self.core == 1 {
            while io.mesh().try_recv(0, 0).is_some() {
                self.bells += 1;
                if self.bells == BELLS {
                    self.done.send(()).expect("the test waits");
                }
            }
        } else if self.bells < BELLS {
            let ring_at_ns = *self.ring_at_ns.get_or_insert(now.monotonic_ns + REST_NS);
            if ring_at_ns <= now.monotonic_ns {
                io.mesh().try_send(1, 0, ()).expect("the channel is nearly empty");
                self.bells += 1;
                self.ring_at_ns = Some(now.monotonic_ns + REST_NS);
            }
        }
        false
    }

    fn next_deadline(&self) -> Option<u64> {
        self.ring_at_ns.filter(|_| self.bells < BELLS)
    }

    support::stopped_at_once!();
}

#[test]
fn a_core_that_has_slept_long_hears_every_message() {
    let (done, wait) = mpsc::channel();
    let done = Arc::new(Mutex::new(done));
    let running = launch(support::plan(2, 1), move |core| Bell {
        core,
        bells: 0,
        ring_at_ns: None,
        done: done.lock().expect("no thread panics with it").clone(),
        stopping: false,
    });
    let running = running.expect("the executors start");
    wait.recv_timeout(Duration::from_secs(120)).expect("no wake-up is lost");
    running.stop_handle().stop(Duration::from_secs(60));
    assert_eq!(support::join(running), Stopped::Drained);
}
