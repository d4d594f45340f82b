//! Executors on real rings, counted by their system calls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};

use glommio::LocalExecutor;

use super::*;
use crate::clock::Now;
use crate::connection::ConnectionId;
use crate::control::{Stop, StopHandle, Tuning};
use crate::io::Io;
use crate::mesh;
use crate::ring::data::tests::report_deferred;
use crate::seat::{Shared, seats};
use crate::service::Admission;
use crate::waker::Waker;

/// Sends what is observed; has no connections.
struct Watched {
    observed: Sender<Observed>,
    stopping: bool,
}

impl Service for Watched {
    type Message = ();

    const LANES: usize = 1;

    fn connected(&mut self, _: Now, _: ConnectionId, _: SocketAddr, _: usize, _: Admission) {}
    fn received(&mut self, _: Now, _: ConnectionId, _: &[u8]) {}
    fn sent(&mut self, _: Now, _: ConnectionId) {}
    fn broken(&mut self, _: Now, _: ConnectionId) {}
    fn ended(&mut self, _: Now, _: ConnectionId) {}
    fn closed(&mut self, _: ConnectionId) {}

    fn wants_input(&self) -> bool {
        true
    }

    fn turn<R: Ring>(&mut self, _: Now, _: &mut Io<(), R>) -> bool {
        false
    }

    fn next_deadline(&self) -> Option<u64> {
        None
    }

    fn stop(&mut self, _: Now) {
        self.stopping = true;
    }

    fn is_stopped(&self) -> bool {
        self.stopping
    }

    fn observe(&mut self, observed: Observed) {
        let _ = self.observed.send(observed);
    }
}

fn shared(busy_poll: Duration) -> Shared {
    Shared {
        wakers: Arc::new([Arc::new(Waker::new().expect("an eventfd"))]),
        tuning: Tuning::new(1, busy_poll),
        stop: Stop::new(),
        linger: Duration::ZERO,
    }
}

/// Goal: a core without work sleeps although its kernel goes on reporting work, whether the core polls
/// for arrivals or not; and the report ends.
/// Method: the flag of the kernel is set by the test, over no work. What the core does is counted in
/// system calls: a core that enters until the flag is cleared makes millions.
#[test]
fn a_report_of_work_that_is_not_there_keeps_no_core_awake() {
    for busy_poll in [Duration::ZERO, Duration::from_secs(1)] {
        let shared = shared(busy_poll);
        let stop = StopHandle { stop: shared.stop.clone(), wakers: shared.wakers.clone() };
        let (observed, seen) = mpsc::channel();
        let core = std::thread::spawn(move || {
            let mut ends = mesh::build::<()>(shared.wakers.clone(), 1, 1);
            ends.truncate(1);
            let seat = seats(&shared, ends, 0).remove(0);
            let ring = DataRing::new(seat.waker.clone()).expect("a ring");
            let mut driver = Driver::new(Watched { observed, stopping: false }, ring, seat);
            driver.enter().expect("the watch of the waker is submitted");
            report_deferred(&driver.io.ring);
            assert!(driver.io.ring.has_deferred());
            let mut executor = Executor::new(driver);
            // As after an arrival that came soon.
            executor.arrival_expected = true;
            LocalExecutor::default().run(executor.run()).expect("the ring works")
        });
        let (mut sleeps, mut calls) = (0, 0);
        for observed in seen.iter() {
            match observed {
                Observed::Sleeps { .. } => sleeps += 1,
                Observed::Entered { calls: some, .. } => calls += some,
                _ => {}
            }
            assert!(calls < 100, "{calls} system calls and {sleeps} sleeps without any work");
            // Naps until the report is taken back, and the sleep after them.
            if sleeps == 6 {
                stop.stop(Duration::from_secs(60));
            }
        }
        assert!(core.join().expect("no assertion fails"));
    }
}
