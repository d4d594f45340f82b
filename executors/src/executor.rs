//! The loop of a real core: steps of the driver, and its sleeps.
//!
//! Called by `launch`, as the one task of a glommio executor.

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::time::Duration;

use glommio::io::BufferedFile;

use crate::clock;
use crate::driver::{Driver, Step};
use crate::ring::Ring;
use crate::ring::data::DataRing;
use crate::service::{Observed, Service};

/// A core that has waited this long on its data ring leaves the rest of its sleep to glommio.
const NAP_MAX: Duration = Duration::from_millis(100);

/// How long a core rests after the kernel had no memory for its requests.
const SHORTAGE_REST: Duration = Duration::from_millis(1);

/// Looks at the ring and the mesh between two at the clock, which costs as much.
const LOOKS_PER_CLOCK_READING: u32 = 16;

pub(crate) struct Executor<S: Service> {
    driver: Driver<S, DataRing>,
    /// The last arrival came soon.
    arrival_expected: bool,
}

impl<S: Service> Executor<S> {
    pub(crate) fn new(driver: Driver<S, DataRing>) -> Executor<S> {
        Executor { driver, arrival_expected: false }
    }

    /// Runs until the stop is complete. True if everything accepted was delivered in time.
    pub(crate) async fn run(mut self) -> io::Result<bool> {
        let eventfd = self.driver.waker.eventfd().try_clone()?.into_raw_fd();
        // SAFETY: the duplicate is open and owned by nothing else; glommio closes it.
        let eventfd = unsafe { BufferedFile::from_raw_fd(eventfd) };
        // Limit: the driver is the only task of its executor, and outside a slumber lets no other
        // run; see `PREEMPT_TIMER` in `launch` before adding one.
        let drained = loop {
            match self.driver.step()? {
                Step::Again => {}
                // Nothing wakes a core that cannot even wait on its ring.
                Step::Short => std::thread::sleep(SHORTAGE_REST),
                Step::Idle => {
                    if !self.nap()? {
                        self.slumber(&eventfd).await?;
                    }
                }
                Step::Over(drained) => break drained,
            }
        };
        eventfd.close().await.map_err(io::Error::from)?;
        Ok(drained)
    }

    /// Waits for something to do, on the data ring; false if nothing came in time. A core that is
    /// woken often sleeps like this: one system call, where glommio needs several.
    fn nap(&mut self) -> io::Result<bool> {
        let begun_ns = clock::monotonic_ns();
        let busy_poll_ns = self.driver.tuning.busy_poll_ns();
        // Work that the kernel reports, and that an enter did not find, is not polled for: the report
        // may be stale, and would end every poll at once.
        if self.arrival_expected
            && !self.driver.io.ring.has_deferred()
            && self.busy_poll(begun_ns, busy_poll_ns)
        {
            return Ok(true);
        }
        let polled_in_vain = std::mem::take(&mut self.arrival_expected);
        let mut woken = true;
        if self.driver.fall_asleep() {
            self.observe(|at_ns| Observed::Sleeps { at_ns });
            woken = self.driver.io.ring.wait(NAP_MAX)?;
            self.driver.waker.awake();
        }
        // Part of a sleep is the waking itself: an arrival that was looked for would be seen sooner.
        let woke_ns = self.observe(|at_ns| Observed::Woke { at_ns });
        self.driver.observe_entered();
        self.arrival_expected = !polled_in_vain && woke_ns - begun_ns < 2 * busy_poll_ns;
        Ok(woken)
    }

    /// Looks for an arrival or a mesh message; false if none came in time.
    fn busy_poll(&mut self, begun_ns: u64, busy_poll_ns: u64) -> bool {
        while clock::monotonic_ns() - begun_ns < busy_poll_ns {
            for _ in 0..LOOKS_PER_CLOCK_READING {
                if self.driver.io.ring.has_news() || self.driver.has_mail() {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
        false
    }

    /// Gives the thread to glommio, until the data ring has a completion or the waker rings.
    ///
    /// Both write to one eventfd, which glommio reads. To read an eventfd of the ring's own, and learn
    /// of wakes by the ring's watch of the waker's, would be simpler, but Linux 6.18 forgets an
    /// eventfd's second signal that comes from within a write to another.
    async fn slumber(&mut self, eventfd: &BufferedFile) -> io::Result<()> {
        self.driver.io.ring.set_eventfd_enabled(true);
        self.driver.enter()?;
        if self.driver.io.ring.has_deferred() {
            // glommio would not do the work, if there is some. If the report is stale, new work takes
            // it back: the ring of the bell is some.
            self.driver.waker.ring();
        } else if self.driver.fall_asleep() {
            self.observe(|at_ns| Observed::Sleeps { at_ns });
            // Never in a select: a cancelled read could swallow the wake.
            eventfd.read_at(0, 8).await.map_err(io::Error::from)?;
            self.observe(|at_ns| Observed::Woke { at_ns });
            self.driver.waker.awake();
        }
        self.driver.io.ring.set_eventfd_enabled(false);
        Ok(())
    }

    fn observe(&mut self, observed: impl FnOnce(u64) -> Observed) -> u64 {
        let at_ns = clock::monotonic_ns();
        self.driver.service.observe(observed(at_ns));
        at_ns
    }
}

#[cfg(test)]
mod tests;
