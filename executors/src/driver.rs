//! The driver of one core: runs turns over a ring, real or simulated.
//!
//! A turn is: reap, hand the service what arrived, let it answer. What the turn queued is submitted
//! with one system call. Under load turns grow, and with them what one system call carries; there is
//! no timer. Called by `executor`, which sleeps when there is nothing to do, and by `simulated`.
//!
//! # Always true
//! - A core that sleeps is woken by a completion, a mesh message, an accepted socket or a stop:
//!   [`Driver::fall_asleep`] looks at all of them once more after it has switched its waker on.
//! - A core without work sleeps, whatever its kernel reports: an enter that was in vain is not
//!   repeated.
//! - Arrivals of a connection are handed on in order, its end last.

mod accepting;
mod arrivals;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use crate::accept::{Accepted, Accepting, Balance};
use crate::clock::Now;
use crate::control::{Stop, Tuning};
use crate::io::Io;
use crate::ring::{Completion, Ring, Tally, is_shortage};
use crate::seat::Seat;
use crate::service::{Observed, Service, Shortage};
use crate::waker::Waker;

/// What a step has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is more to do at once.
    Again,
    /// There is nothing to do.
    Idle,
    /// There is more to do once the kernel has memory for it.
    Short,
    /// The stop is complete; true if everything accepted was delivered in time.
    Over(bool),
}

pub(crate) struct Driver<S: Service, R: Ring> {
    pub(crate) service: S,
    pub(crate) io: Io<S::Message, R>,
    core: usize,
    pub(crate) waker: Arc<Waker>,
    accepted: Receiver<Accepted<R::Socket>>,
    balance: Arc<Balance>,
    accepting: Option<Accepting<R::Socket>>,
    accept_rests_until_ns: Option<u64>,
    stop: Arc<Stop>,
    /// No connection is accepted any more.
    refuses: bool,
    drain_deadline_ns: Option<u64>,
    /// The stop is complete but for what is being released; whether it was in time.
    ending: Option<bool>,
    /// Slots of connections that something arrived on, in turn.
    waiting: VecDeque<u32>,
    /// Receive buffers that are left to connections which did not have to wait for one.
    buffers_kept: usize,
    /// When the timeout under way comes.
    timeout_at_ns: Option<u64>,
    /// The last enter had nothing to submit and brought no completion.
    entered_in_vain: bool,
    pub(crate) tuning: Arc<Tuning>,
}

impl<S: Service, R: Ring> Driver<S, R> {
    /// A driver that accepts connections if its seat is to. The ring has the listeners.
    pub(crate) fn new(service: S, ring: R, seat: Seat<S::Message, R::Socket>) -> Driver<S, R> {
        let buffers_kept = ring.buffers_free() / 4;
        let mut driver = Driver {
            service,
            io: Io::new(ring, seat.mesh, seat.linger_ns),
            core: seat.core,
            waker: seat.waker,
            accepted: seat.accepted,
            balance: seat.balance,
            accepting: seat.accepting,
            accept_rests_until_ns: None,
            stop: seat.stop,
            refuses: false,
            drain_deadline_ns: None,
            ending: None,
            waiting: VecDeque::new(),
            buffers_kept,
            timeout_at_ns: None,
            entered_in_vain: false,
            tuning: seat.tuning,
        };
        driver.accept();
        driver
    }

    /// One turn, and the system call that submits what it queued; or a part of the end.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        // A core that never runs out of work stops too.
        if self.ending.is_none() && self.begin_end() {
            return Ok(Step::Again);
        }
        if let Some(drained) = self.ending {
            return Ok(if self.release_everything()? { Step::Over(drained) } else { Step::Again });
        }
        if self.turn() {
            return Ok(if self.enter()? { Step::Again } else { Step::Short });
        }
        Ok(Step::Idle)
    }

    /// The last look before sleeping, with the waker switched on; false if there is work after all.
    pub(crate) fn fall_asleep(&mut self) -> bool {
        self.waker.about_to_sleep();
        let has_work = self.turn() || self.is_stopped().is_some();
        if has_work {
            self.waker.awake();
        }
        !has_work
    }

    /// Drops everything but the service, as the end of a process would.
    pub(crate) fn into_service(self) -> S {
        self.service
    }

    /// Whether an accepted socket or a mesh message waits.
    pub(crate) fn has_mail(&self) -> bool {
        self.io.mesh.has_messages() || !self.accepted.is_empty()
    }

    /// Submits what is queued, and lets the kernel post what completed; false if the kernel is short of
    /// memory.
    pub(crate) fn enter(&mut self) -> io::Result<bool> {
        let had_queued = self.io.ring.has_queued();
        let entered = self.io.ring.enter();
        self.entered_in_vain = !had_queued && self.io.ring.ready() == 0;
        self.observe_entered();
        if let Ok(false) = entered {
            self.service.observe(Observed::Short { what: Shortage::Enter });
        }
        entered
    }

    pub(crate) fn observe_entered(&mut self) {
        let Tally { calls, sends } = self.io.ring.take_tally();
        if calls > 0 {
            self.service.observe(Observed::Entered { calls, sends });
        }
    }

    /// One turn: everything that has come, and what follows from it. Returns whether there is more
    /// to do at once, or something to submit.
    fn turn(&mut self) -> bool {
        let now = self.reap();
        self.take_accepted(now);
        self.begin_refusing();
        self.begin_stop(now);
        self.hand_on(now);
        self.io.end_rests(now);
        while let Some(connection) = self.io.take_vanished(now) {
            self.service.vanished(now, connection);
        }
        let mut busy = self.service.turn(now, &mut self.io);
        busy |= !self.waiting.is_empty() && self.service.wants_input();
        self.io.cut_off(now);
        busy |= self.remove_released();
        self.arm_timeout(now);
        busy || self.io.ring.has_queued() || self.may_have_deferred()
    }

    /// Whether the kernel may have put work off that one more enter would do. Once an enter was in
    /// vain only waiting on the ring shows whether there is such work: the wait does all of it.
    fn may_have_deferred(&mut self) -> bool {
        !self.entered_in_vain && self.io.ring.has_deferred()
    }

    /// Handles the completions posted so far; returns the time of the turn.
    fn reap(&mut self) -> Now {
        let ready = self.io.ring.ready();
        let now = self.io.ring.now();
        self.entered_in_vain &= ready == 0;
        for _ in 0..ready {
            if let Some(completion) = self.io.ring.reap() {
                self.completed(now, completion);
            }
        }
        now
    }

    fn completed(&mut self, now: Now, completion: Completion<R::Socket>) {
        match completion {
            Completion::Accepted { listener, result, more } => {
                self.accept_completed(now, listener, result, more);
            }
            Completion::AcceptCancelled { listener } => {
                self.io.ring.close_listener(listener);
                if let Some(accepting) = &mut self.accepting
                    && accepting.closed(listener)
                {
                    self.accepting = None;
                }
            }
            Completion::Received { slot, result, more } => {
                self.receive_completed(slot, result, more);
            }
            Completion::Watched { slot, result } => self.io.watched(slot, result),
            Completion::Sent { slot, result } => self.send_completed(now, slot, result),
            Completion::Cancelled { slot } => self.io.finish_release(slot),
            Completion::Timeout => self.timeout_at_ns = None,
        }
    }

    fn send_completed(&mut self, now: Now, slot: u32, result: Result<bool, i32>) {
        if result.is_err_and(is_shortage) {
            self.service.observe(Observed::Short { what: Shortage::Send });
        }
        if self.io.send_completed(slot, result) {
            let (connection, socket) = self.io.sockets.at(slot);
            if socket.broken {
                self.service.broken(now, connection);
                self.end(slot);
            } else {
                self.service.sent(now, connection);
            }
        }
    }

    fn remove_released(&mut self) -> bool {
        let busy = !self.io.released.is_empty();
        for connection in std::mem::take(&mut self.io.released) {
            let place = self.io.remove(connection);
            self.balance.left(self.core, place);
            self.service.closed(connection);
        }
        busy
    }

    fn arm_timeout(&mut self, now: Now) {
        if let Some(at) = self.accept_rests_until_ns
            && at <= now.monotonic_ns
        {
            self.accept_rests_until_ns = None;
            self.accept();
        }
        let deadlines = [
            self.service.next_deadline(),
            self.io.next_deadline(),
            self.drain_deadline_ns,
            self.accept_rests_until_ns,
        ];
        let Some(soonest) = deadlines.into_iter().flatten().min() else { return };
        match self.timeout_at_ns {
            Some(at) if at <= soonest => return,
            Some(_) => self.io.ring.move_timeout(soonest),
            None => self.io.ring.timeout(soonest),
        }
        self.timeout_at_ns = Some(soonest);
    }

    fn begin_stop(&mut self, now: Now) {
        if self.drain_deadline_ns.is_some() {
            return;
        }
        let Some(drain_timeout_ns) = self.stop.drain_timeout_ns() else { return };
        self.drain_deadline_ns = Some(now.monotonic_ns + drain_timeout_ns);
        self.io.begin_stop(now);
        self.service.stop(now);
    }

    /// Whether the stop is complete, and if so whether it was in time.
    fn is_stopped(&self) -> Option<bool> {
        let deadline = self.drain_deadline_ns?;
        if self.service.is_stopped() && self.io.sockets.len() == 0 {
            return Some(true);
        }
        (self.io.ring.now().monotonic_ns >= deadline).then_some(false)
    }

    /// Cancels everything that is left, if the stop is complete; returns whether it is.
    fn begin_end(&mut self) -> bool {
        self.ending = self.is_stopped();
        if self.ending.is_some() {
            for connection in self.io.sockets.ids() {
                self.io.release(connection.slot);
            }
        }
        self.ending.is_some()
    }

    /// Frees what is left, as far as its completions have come; returns whether all is free.
    fn release_everything(&mut self) -> io::Result<bool> {
        if self.io.sockets.len() == 0 {
            return Ok(true);
        }
        self.io.ring.enter()?;
        self.reap();
        for slot in std::mem::take(&mut self.waiting) {
            self.drop_arrivals(slot);
        }
        self.remove_released();
        Ok(self.io.sockets.len() == 0)
    }
}
