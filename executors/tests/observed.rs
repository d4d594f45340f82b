//! What a service observes of its core, and how other threads wake the core.

mod support;

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use executors::launch::{Stopped, launch};
use executors::{ConnectionId, Io, Now, Observed, Ring, Service};

/// Answers numbers with themselves, and notes what it observes.
struct Echo {
    numbers: Receiver<u64>,
    answers: Sender<u64>,
    observed: Sender<Observed>,
    stopping: bool,
}

impl Service for Echo {
    type Message = ();

    const LANES: usize = 1;

    support::without_connections!();

    fn turn<R: Ring>(&mut self, _: Now, _: &mut Io<(), R>) -> bool {
        while let Ok(number) = self.numbers.try_recv() {
            let _ = self.answers.send(number);
        }
        false
    }

    fn next_deadline(&self) -> Option<u64> {
        None
    }

    support::stopped_at_once!();

    fn observe(&mut self, observed: Observed) {
        let _ = self.observed.send(observed);
    }
}

/// Goal: no wake is lost, from whatever sleep; and sleeps are observed in pairs that do not overlap.
/// Method: numbers are answered after rests that are shorter than a nap, and longer.
#[test]
fn other_threads_wake_a_core_from_every_sleep_and_its_service_observes_each() {
    let (numbers, of_core) = mpsc::channel();
    let (answers, wait) = mpsc::channel();
    let (observed, seen) = mpsc::channel();
    let echo = Echo { numbers: of_core, answers, observed, stopping: false };
    let echo = Arc::new(Mutex::new(Some(echo)));
    let running = launch(support::plan(1, 1), move |_| {
        echo.lock().expect("no thread panics with it").take().expect("there is one core")
    });
    let running = running.expect("the executors start");
    let wake = running.wake_handle();
    for number in 0..600 {
        // Longer than a core waits on its data ring before it leaves its sleep to glommio.
        let rest_ms = if number % 200 == 0 { 150 } else { number % 3 };
        std::thread::sleep(Duration::from_millis(rest_ms));
        numbers.send(number).expect("the core runs");
        wake.wake(0);
        let answer = wait.recv_timeout(Duration::from_secs(120)).expect("no wake is lost");
        assert_eq!(answer, number);
    }
    running.stop_handle().stop(Duration::from_secs(60));
    assert_eq!(support::join(running), Stopped::Drained);

    let (mut asleep_since, mut last_ns, mut sleeps, mut calls) = (None, 0, 0, 0);
    for observed in seen.iter() {
        match observed {
            Observed::Sleeps { at_ns } => {
                assert!(asleep_since.is_none() && at_ns >= last_ns, "it sleeps once at a time");
                (asleep_since, last_ns) = (Some(at_ns), at_ns);
            }
            Observed::Woke { at_ns } => {
                assert!(at_ns >= last_ns);
                sleeps += u32::from(asleep_since.take().is_some());
                last_ns = at_ns;
            }
            Observed::Entered { calls: some, sends } => {
                assert!(some > 0 && sends == 0);
                calls += some;
            }
            Observed::Short { .. } => {}
            Observed::Starved | Observed::Full { .. } => panic!("nothing is connected"),
        }
    }
    assert_eq!(asleep_since, None);
    assert!(sleeps > 0 && calls > 0);
}
