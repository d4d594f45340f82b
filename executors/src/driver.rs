//! The driver: the one task of an executor. Runs turns while there is work, sleeps when there is none.
//!
//! A turn is: submit and reap with one system call, tell the service what arrived, let it answer.
//! Under load turns grow, and with them what one system call carries; there is no timer.
//!
//! # Always true
//! - A core that sleeps is woken by a completion, a letter, or an accepted socket: it looks at all
//!   three once more after it has switched its wakers on.
//! - Arrivals of a connection are handed on in order, its end last.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Receiver;
use glommio::io::BufferedFile;

use crate::ring::buffers::BufferId;
use crate::launch::Tuning;
use crate::listener::{Accepted, Accepting, Balance};
use crate::mesh::{MeshEnd, Waker};
use crate::ring::data::{Completion, DataRing, Operation, Tally};
use crate::socket::{Phase, Receive, Socket};
use crate::{ConnectionId, Io, Now, Observed, Service, clock};

/// A core that has waited this long on its data ring leaves the rest of its sleep to glommio.
const NAP_MAX: Duration = Duration::from_millis(100);

/// Looks at the ring and the mesh between two at the clock, which costs as much.
const LOOKS_PER_CLOCK_READING: u32 = 16;

/// How long accepting rests after the process ran out of descriptors or memory.
const ACCEPT_REST_NS: u64 = 100_000_000;

/// What a core needs to run, made by `launch`.
pub(crate) struct Seat<L> {
    pub(crate) core: usize,
    pub(crate) waker: Arc<Waker>,
    pub(crate) mesh: MeshEnd<L>,
    pub(crate) accepted: Receiver<Accepted>,
    pub(crate) balance: Arc<Balance>,
    pub(crate) stop: Arc<Stop>,
    pub(crate) tuning: Arc<Tuning>,
    /// Core 0 accepts for all.
    pub(crate) accepting: Option<Accepting>,
}

/// The stop of all cores.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) wanted: AtomicBool,
    /// Said together with `wanted`.
    pub(crate) drain_timeout_ns: AtomicU64,
    /// How long closing connections may linger, also when nothing stops.
    pub(crate) linger_ns: u64,
}

/// What arrived and was not handed on yet.
enum Arrival {
    Bytes { slot: u32, buffer: BufferId, len: usize },
    End { slot: u32 },
}

pub(crate) struct Driver<S: Service> {
    service: S,
    io: Io<S::Letter>,
    seat_core: usize,
    waker: Arc<Waker>,
    accepted: Receiver<Accepted>,
    balance: Arc<Balance>,
    accepting: Option<Accepting>,
    accept_rests_until_ns: Option<u64>,
    stop: Arc<Stop>,
    drain_deadline_ns: Option<u64>,
    arrivals: VecDeque<Arrival>,
    /// Connections whose receive ended for want of a buffer.
    starved: VecDeque<ConnectionId>,
    completions: Vec<Completion>,
    /// When the timeout under way comes.
    timeout_at_ns: Option<u64>,
    tuning: Arc<Tuning>,
    /// The last one came soon.
    arrival_expected: bool,
}

impl<S: Service> Driver<S> {
    /// Makes the data ring: on the executor's own thread, as the kernel demands.
    pub(crate) fn new(service: S, seat: Seat<S::Letter>) -> io::Result<Driver<S>> {
        let ring = DataRing::new(seat.waker.raw_fd())?;
        Ok(Driver {
            service,
            io: Io::new(ring, seat.mesh, seat.stop.linger_ns),
            seat_core: seat.core,
            waker: seat.waker,
            accepted: seat.accepted,
            balance: seat.balance,
            accepting: seat.accepting,
            accept_rests_until_ns: None,
            stop: seat.stop,
            drain_deadline_ns: None,
            arrivals: VecDeque::new(),
            starved: VecDeque::new(),
            completions: Vec::new(),
            timeout_at_ns: None,
            tuning: seat.tuning,
            arrival_expected: false,
        })
    }

    /// Runs until the stop is complete. True if everything accepted was delivered in time.
    pub(crate) async fn run(mut self) -> io::Result<bool> {
        let eventfd = self.waker.eventfd()?.into_raw_fd();
        // SAFETY: the duplicate is open and owned by nothing else; glommio closes it.
        let eventfd = unsafe { BufferedFile::from_raw_fd(eventfd) };
        self.io.ring.watch(self.waker.raw_fd());
        self.accept();
        // A core that never runs out of work stops too.
        // Limit: the driver is the only task of its executor, and outside a slumber lets no other
        // run; see `PREEMPT_TIMER` in `launch` before adding one.
        let drained = loop {
            if let Some(drained) = self.stopped() {
                break drained;
            }
            if self.turn()? {
                self.enter()?;
            } else if !self.nap()? {
                self.slumber(&eventfd).await?;
            }
        };
        self.release_everything()?;
        eventfd.close().await.map_err(io::Error::from)?;
        Ok(drained)
    }

    /// Waits for something to do, on the data ring; false if nothing came in time. A core that is
    /// woken often sleeps like this: one system call, where glommio needs several.
    fn nap(&mut self) -> io::Result<bool> {
        let begun_ns = clock::monotonic_ns();
        let busy_poll_ns = self.tuning.busy_poll_ns.load(Ordering::Relaxed);
        if self.arrival_expected && self.busy_poll(begun_ns, busy_poll_ns) {
            return Ok(true);
        }
        let polled_in_vain = std::mem::take(&mut self.arrival_expected);
        self.waker.about_to_sleep();
        let mut woken = self.has_work()?;
        if !woken {
            self.service.observe(Observed::Sleeps { at_ns: clock::monotonic_ns() });
            woken = self.io.ring.wait(NAP_MAX)?;
        }
        self.waker.awake();
        // Part of a sleep is the waking itself: an arrival that was looked for would be seen sooner.
        let woke_ns = clock::monotonic_ns();
        let slept_ns = woke_ns - begun_ns;
        self.service.observe(Observed::Woke { at_ns: woke_ns });
        self.tell_entered();
        self.arrival_expected = !polled_in_vain && slept_ns < 2 * busy_poll_ns;
        Ok(woken)
    }

    /// Looks for an arrival or a letter; false if none came in time.
    fn busy_poll(&mut self, begun_ns: u64, busy_poll_ns: u64) -> bool {
        while clock::monotonic_ns() - begun_ns < busy_poll_ns {
            for _ in 0..LOOKS_PER_CLOCK_READING {
                let io = &mut self.io;
                if io.ring.has_news() || io.mesh.has_letters() || !self.accepted.is_empty() {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
        false
    }

    /// Gives the thread to glommio, until the data ring has a completion or somebody wakes this core.
    ///
    /// Both write to one eventfd, which glommio reads. To read an eventfd of the ring's own, and learn
    /// of wakes by the ring's watch of the waker's, would be simpler, but Linux 6.18 forgets an
    /// eventfd's second signal that comes from within a write to another.
    async fn slumber(&mut self, eventfd: &BufferedFile) -> io::Result<()> {
        self.io.ring.set_eventfd_enabled(true);
        self.waker.about_to_sleep();
        self.enter()?;
        if !self.has_work()? {
            self.service.observe(Observed::Sleeps { at_ns: clock::monotonic_ns() });
            // Never in a select: a cancelled read could swallow the wake.
            eventfd.read_at(0, 8).await.map_err(io::Error::from)?;
            self.service.observe(Observed::Woke { at_ns: clock::monotonic_ns() });
        }
        self.waker.awake();
        self.io.ring.set_eventfd_enabled(false);
        Ok(())
    }

    /// Submits what is queued, and lets the kernel post what completed.
    fn enter(&mut self) -> io::Result<()> {
        let entered = self.io.ring.enter();
        self.tell_entered();
        entered
    }

    fn tell_entered(&mut self) {
        let Tally { calls, sends } = self.io.ring.take_tally();
        if calls > 0 {
            self.service.observe(Observed::Entered { calls, sends });
        }
    }

    /// The look at everything between `about_to_sleep` and sleeping.
    fn has_work(&mut self) -> io::Result<bool> {
        Ok(self.turn()? || self.stopped().is_some())
    }

    /// One turn: everything that has come, and what follows from it. Returns whether there is more
    /// to do at once, or something to submit.
    fn turn(&mut self) -> io::Result<bool> {
        let mut completions = std::mem::take(&mut self.completions);
        self.io.ring.reap(&mut completions);
        let now = Now::read();
        for completion in completions.drain(..) {
            self.completed(now, completion);
        }
        self.completions = completions;
        self.take_accepted(now);
        self.begin_stop(now);
        self.hand_on(now);
        let mut busy = self.service.turn(now, &mut self.io);
        busy |= !self.arrivals.is_empty() && self.service.wants_input();
        self.io.cut_off(now);
        busy |= self.remove_released();
        self.arm_timeout(now);
        Ok(busy || self.io.ring.has_queued())
    }

    fn completed(&mut self, now: Now, completion: Completion) {
        match completion.operation {
            Operation::Accept { listener } => self.accept_completed(now, listener, completion),
            Operation::Receive { slot } => self.receive_completed(slot, completion),
            Operation::Send { slot } => {
                if self.io.send_completed(slot, completion.result) {
                    let (connection, socket) = self.io.sockets.at(slot);
                    if socket.broken {
                        self.service.broken(now, connection);
                        self.end(slot);
                    } else {
                        self.service.sent(now, connection);
                    }
                }
            }
            Operation::Cancel { slot } => {
                self.io.sockets.at(slot).1.references -= 1;
                self.io.finish_release(slot);
            }
            Operation::CancelAccept { listener } => {
                // Closed only now: until here a request that names its descriptor may be queued.
                if let Some(accepting) = &mut self.accepting
                    && accepting.stopped(listener)
                {
                    self.accepting = None;
                }
            }
            Operation::Timeout => self.timeout_at_ns = None,
            Operation::MoveTimeout => {}
            Operation::Wake if completion.more => {}
            Operation::Wake => self.io.ring.watch(self.waker.raw_fd()),
        }
    }

    /// Asks for connections of the listeners that rest, unless this core does not accept or stops.
    fn accept(&mut self) {
        if self.drain_deadline_ns.is_none()
            && let Some(accepting) = &mut self.accepting
        {
            for (listener, socket) in accepting.wake() {
                self.io.ring.accept(listener, socket);
            }
        }
    }

    fn accept_completed(&mut self, now: Now, listener: u32, completion: Completion) {
        if !completion.more
            && let Some(accepting) = &mut self.accepting
        {
            accepting.rests(listener);
        }
        match completion.result {
            Ok(fd) => {
                // SAFETY: the kernel has just opened this descriptor for us, nothing else owns it.
                let socket = unsafe { OwnedFd::from_raw_fd(fd as i32) };
                if self.drain_deadline_ns.is_none()
                    && let Some(accepting) = &mut self.accepting
                {
                    accepting.dealer.deal(socket, listener as usize);
                }
            }
            Err(libc::ECANCELED) => {}
            Err(error) => {
                let error = io::Error::from_raw_os_error(error);
                tracing::warn!(%error, "accepting failed: raise the open-file limit or close connections");
                self.accept_rests_until_ns = Some(now.monotonic_ns + ACCEPT_REST_NS);
                return;
            }
        }
        // Listeners that rest after an error wait for their time.
        if self.accept_rests_until_ns.is_none() {
            self.accept();
        }
    }

    fn receive_completed(&mut self, slot: u32, completion: Completion) {
        let (connection, socket) = self.io.sockets.at(slot);
        if !completion.more {
            socket.receive = Receive::Idle;
            socket.references -= 1;
        }
        if let Some(buffer) = completion.buffer {
            let buffers = &mut self.io.ring.buffers;
            buffers.taken(buffer);
            match completion.result {
                Ok(len) if len > 0 => {
                    socket.references += 1;
                    self.arrivals.push_back(Arrival::Bytes { slot, buffer, len: len as usize });
                    if !completion.more {
                        self.io.receive(slot);
                    }
                    return;
                }
                _ => buffers.put_back(buffer),
            }
        }
        match completion.result {
            // It holds no reference: its socket may be gone before a buffer comes back.
            Err(libc::ENOBUFS) => {
                self.starved.push_back(connection);
                self.service.observe(Observed::Starved);
                self.io.finish_release(slot);
            }
            // A pause that was taken back before the kernel had stopped reading.
            Err(libc::ECANCELED) => {
                self.io.receive(slot);
                self.io.finish_release(slot);
            }
            // The peer's end.
            Ok(_) => self.end(slot),
            Err(_) => {
                socket.broken = true;
                self.end(slot);
            }
        }
    }

    /// Queues the end of a connection behind what arrived before it.
    fn end(&mut self, slot: u32) {
        let (_, socket) = self.io.sockets.at(slot);
        if !socket.ended {
            socket.ended = true;
            socket.references += 1;
            self.arrivals.push_back(Arrival::End { slot });
        }
        self.io.finish_release(slot);
    }

    /// Hands arrivals to the service as long as it wants them.
    fn hand_on(&mut self, now: Now) {
        while self.service.wants_input()
            && let Some(arrival) = self.arrivals.pop_front()
        {
            match arrival {
                Arrival::Bytes { slot, buffer, len } => {
                    let (connection, socket) = self.io.sockets.at(slot);
                    socket.references -= 1;
                    match socket.phase {
                        Phase::Open => {
                            let bytes = self.io.ring.buffers.bytes(buffer, len);
                            self.service.received(now, connection, bytes);
                        }
                        // Read only so that the peer's end is seen.
                        Phase::Closing | Phase::Releasing | Phase::Released => {}
                    }
                    self.io.ring.buffers.put_back(buffer);
                    self.io.finish_release(slot);
                }
                Arrival::End { slot } => {
                    let (connection, socket) = self.io.sockets.at(slot);
                    socket.references -= 1;
                    match socket.phase {
                        Phase::Open => self.service.ended(now, connection),
                        Phase::Closing => self.io.advance_closing(slot),
                        Phase::Releasing | Phase::Released => self.io.finish_release(slot),
                    }
                }
            }
        }
        self.feed_starved();
    }

    /// Receives again for want of a buffer: no more at a time than there are buffers, else most
    /// would only be told so once more. A turn that feeds some is busy, so the others are next.
    fn feed_starved(&mut self) {
        let fed = self.io.ring.buffers.kernel_has().min(self.starved.len());
        for connection in self.starved.drain(..fed) {
            match self.io.sockets.find(connection.slot) {
                Some((found, _)) if found == connection => self.io.receive(connection.slot),
                _ => {}
            }
        }
    }

    fn take_accepted(&mut self, now: Now) {
        while let Ok(accepted) = self.accepted.try_recv() {
            let Accepted { socket, peer, listener, admitted } = accepted;
            let connection = self.io.sockets.insert(Socket::new(socket));
            self.io.receive(connection.slot);
            self.service.connected(now, connection, peer, listener, admitted);
        }
    }

    fn remove_released(&mut self) -> bool {
        let busy = !self.io.released.is_empty();
        for connection in std::mem::take(&mut self.io.released) {
            // Dropping the socket closes it.
            let socket = self.io.sockets.remove(connection);
            assert!(socket.references == 0, "the kernel is done with a socket before it is freed");
            self.balance.left(self.seat_core);
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
        if self.drain_deadline_ns.is_some() || !self.stop.wanted.load(Ordering::Acquire) {
            return;
        }
        self.drain_deadline_ns =
            Some(now.monotonic_ns + self.stop.drain_timeout_ns.load(Ordering::Relaxed));
        for listener in self.accepting.iter().flat_map(Accepting::listeners) {
            self.io.ring.cancel_accept(listener);
        }
        self.service.stop(now);
    }

    /// Whether the stop is complete, and if so whether it was in time.
    fn stopped(&self) -> Option<bool> {
        let deadline = self.drain_deadline_ns?;
        if self.service.is_stopped() && self.io.sockets.len() == 0 {
            return Some(true);
        }
        (Now::read().monotonic_ns >= deadline).then_some(false)
    }

    /// Frees what is left: cancel, reap every completion, close.
    fn release_everything(&mut self) -> io::Result<()> {
        for connection in self.io.sockets.ids() {
            let (_, socket) = self.io.sockets.at(connection.slot);
            socket.last_bytes = Bytes::new();
            self.io.release(connection.slot);
        }
        while self.io.sockets.len() > 0 {
            self.io.ring.enter()?;
            let mut completions = std::mem::take(&mut self.completions);
            self.io.ring.reap(&mut completions);
            let now = Now::read();
            for completion in completions.drain(..) {
                self.completed(now, completion);
            }
            self.completions = completions;
            for arrival in std::mem::take(&mut self.arrivals) {
                let slot = match arrival {
                    Arrival::Bytes { slot, buffer, .. } => {
                        self.io.ring.buffers.put_back(buffer);
                        slot
                    }
                    Arrival::End { slot } => slot,
                };
                self.io.sockets.at(slot).1.references -= 1;
                self.io.finish_release(slot);
            }
            self.remove_released();
        }
        Ok(())
    }
}
