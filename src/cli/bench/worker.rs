//! One thread of the generator: publishes what is due or allowed, and takes what arrives.
//!
//! Started by `round`. Next on the path: `publisher` for what it sends, `account` for what comes.
//!
//! # Always true
//! - Nothing is allocated for a message, and no read or write blocks.
//! - It sleeps only when there is nothing to do until a socket, a clock or another thread says so.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::account::Account;
use super::codec::{Answer, Sink};
use super::connect::Connection;
use super::publisher::Publisher;
use super::shared::{Counters, Pace, Shared};

/// Events taken at once.
const EVENTS_MAX: usize = 512;
/// How long it sleeps when nothing is due: others wake it, this is for what nobody foresaw.
const IDLE_SLEEP: Duration = Duration::from_millis(100);
const WAKE_TOKEN: u64 = u64::MAX;

/// A connection that takes messages.
#[derive(Debug)]
pub struct Subscriber {
    pub number: usize,
    pub connection: Connection,
    pub account: Account,
}

pub struct Worker {
    pub number: usize,
    pub shared: Arc<Shared>,
    pub publishers: Vec<Publisher>,
    pub subscribers: Vec<Subscriber>,
    /// They have subscriptions that nothing is published for.
    pub bystanders: Vec<Connection>,
    pub buffer_len: usize,
}

/// What a thread leaves.
#[derive(Debug)]
pub struct Done {
    pub publishers: Vec<Publisher>,
    pub subscribers: Vec<Subscriber>,
    /// Messages that came to bystanders.
    pub strays: u64,
    pub latency: Histogram<u64>,
    pub failure: Option<String>,
}

pub fn histogram() -> Histogram<u64> {
    // An hour in nanoseconds; three digits.
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("the bounds are constants")
}

impl Worker {
    /// Until the round ends or a connection does.
    pub fn run(self) -> Done {
        let shared = self.shared.clone();
        let counters = &shared.threads[self.number];
        let mut running = Running {
            latency: histogram(),
            buffer: vec![0; self.buffer_len],
            strays: 0,
            publishing: true,
            delivered: 0,
            settled: 0,
            last_arrival: 0,
            worker: self,
        };
        let failure = running.run(&shared, counters).err();
        counters.publishing.store(false, Ordering::Release);
        counters.failed.store(failure.is_some(), Ordering::Release);
        let Running { worker, strays, latency, .. } = running;
        let Worker { publishers, subscribers, .. } = worker;
        Done { publishers, subscribers, strays, latency, failure }
    }
}

struct Running {
    worker: Worker,
    latency: Histogram<u64>,
    buffer: Vec<u8>,
    strays: u64,
    publishing: bool,
    delivered: u64,
    settled: u64,
    last_arrival: u64,
}

impl Running {
    fn run(&mut self, shared: &Shared, counters: &Counters) -> Result<(), String> {
        // Otherwise the kernel may add 50 us to every sleep.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        let cannot = |error| format!("cannot watch sockets: {error}");
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(cannot)?;
        self.watch_all(&epoll, counters).map_err(cannot)?;
        let mut events = Vec::with_capacity(EVENTS_MAX);
        while !shared.ended.load(Ordering::Acquire) {
            let sleep = self.publish_all(&epoll, shared, counters)?;
            let timeout = Timespec::try_from(sleep).expect("it is short");
            match epoll::wait(&epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(cannot(error)),
            }
            counters.asleep.store(false, Ordering::SeqCst);
            let delivered = self.delivered;
            for event in events.drain(..) {
                self.event(&epoll, shared, counters, event.data.u64(), event.flags)?;
            }
            if self.delivered != delivered {
                counters.delivered.store(self.delivered, Ordering::Relaxed);
                counters.settled.store(self.settled, Ordering::Release);
                wake_others(shared, counters);
            }
        }
        Ok(())
    }

    fn watch_all(&self, epoll: &OwnedFd, counters: &Counters) -> rustix::io::Result<()> {
        let data = |token| epoll::EventData::new_u64(token);
        epoll::add(epoll, &counters.waker, data(WAKE_TOKEN), epoll::EventFlags::IN)?;
        let Worker { publishers, subscribers, bystanders, .. } = &self.worker;
        let publishers = publishers.iter().map(|publisher| &publisher.connection);
        let subscribers = subscribers.iter().map(|subscriber| &subscriber.connection);
        let all = publishers.chain(subscribers).chain(bystanders.iter());
        for (token, connection) in (0..).zip(all) {
            epoll::add(epoll, &connection.stream, data(token), epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    /// Publishes what is due or allowed; how long nothing will be.
    fn publish_all(
        &mut self,
        epoll: &OwnedFd,
        shared: &Shared,
        counters: &Counters,
    ) -> Result<Duration, String> {
        if !self.publishing {
            return Ok(IDLE_SLEEP);
        }
        let now = shared.now_ns();
        if now >= shared.times.stop {
            self.publishing = false;
            counters.publishing.store(false, Ordering::Release);
            return Ok(IDLE_SLEEP);
        }
        if !matches!(shared.pace, Pace::Rate { .. }) && shared.threads.len() > 1 {
            // Before looking: what another thread does after the look wakes this one.
            counters.asleep.store(true, Ordering::SeqCst);
            std::sync::atomic::fence(Ordering::SeqCst);
        }
        let mut sleep_until = now + IDLE_SLEEP.as_nanos() as u64;
        let (mut published, mut owed) = (0, 0);
        for (token, publisher) in (0..).zip(&mut self.worker.publishers) {
            if shared.pace == Pace::RoundTrip
                && let Some(sent_at) = publisher.round_trip_ended(&shared.cells)
                && sent_at >= shared.times.measure
            {
                self.latency.saturating_record(self.last_arrival.saturating_sub(sent_at));
            }
            let was_blocked = publisher.is_blocked();
            let batch = publisher.publish(shared, now);
            (published, owed) = (published + batch.published, owed + batch.owed);
            publisher.flush().map_err(|error| publisher.named(&error))?;
            // A full socket says when it has room; until then nothing is worth waking for.
            if !publisher.is_blocked() {
                sleep_until = sleep_until.min(batch.next_at);
            }
            if publisher.is_blocked() != was_blocked {
                rearm(epoll, publisher, token)?;
            }
        }
        counters.published.fetch_add(published, Ordering::Relaxed);
        counters.owed.fetch_add(owed, Ordering::Release);
        match shared.pace {
            Pace::Rate { spin: true, .. } => Ok(Duration::ZERO),
            Pace::Rate { .. } => {
                let until = sleep_until.min(shared.times.stop);
                Ok(Duration::from_nanos(until.saturating_sub(shared.now_ns())))
            }
            _ => Ok(Duration::from_nanos(sleep_until - now)),
        }
    }

    fn event(
        &mut self,
        epoll: &OwnedFd,
        shared: &Shared,
        counters: &Counters,
        token: u64,
        flags: epoll::EventFlags,
    ) -> Result<(), String> {
        if token == WAKE_TOKEN {
            let _ = rustix::io::read(&counters.waker, &mut [0u8; 8]);
            return Ok(());
        }
        let Worker { publishers, subscribers, bystanders, .. } = &mut self.worker;
        let mut index = token as usize;
        if let Some(publisher) = publishers.get_mut(index) {
            if publisher.is_blocked() && flags.intersects(epoll::EventFlags::OUT) {
                publisher.flush().map_err(|error| publisher.named(&error))?;
                if !publisher.is_blocked() {
                    rearm(epoll, publisher, token)?;
                }
            }
            if flags.intersects(!epoll::EventFlags::OUT) {
                let taken = publisher.read(&mut self.buffer);
                self.strays += taken.map_err(|error| publisher.named(&error))?;
            }
            return Ok(());
        }
        index -= publishers.len();
        if let Some(subscriber) = subscribers.get_mut(index) {
            let named = |error| format!("subscriber {}: {error}", subscriber.number);
            let Some(len) = subscriber.connection.read(&mut self.buffer).map_err(named)? else {
                return Ok(());
            };
            let now = shared.now_ns();
            self.last_arrival = now;
            let mut arrivals = Arrivals {
                account: &mut subscriber.account,
                latency: &mut self.latency,
                shared,
                now,
                delivered: 0,
                settled: 0,
                replies: Vec::new(),
            };
            subscriber.connection.take(&self.buffer[..len], &mut arrivals).map_err(named)?;
            let Arrivals { delivered, settled, replies, .. } = arrivals;
            self.delivered += delivered;
            self.settled += settled;
            return reply(&subscriber.connection, &replies).map_err(named);
        }
        let bystander = &mut bystanders[index - subscribers.len()];
        let mut strays = Strays::default();
        let named = |error| format!("a connection beside: {error}");
        if let Some(len) = bystander.read(&mut self.buffer).map_err(named)? {
            bystander.take(&self.buffer[..len], &mut strays).map_err(named)?;
        }
        self.strays += strays.messages;
        reply(bystander, &strays.replies).map_err(named)
    }
}

/// Publishers wait for what subscribers of other threads have.
fn wake_others(shared: &Shared, own: &Counters) {
    if shared.threads.len() == 1 {
        return;
    }
    std::sync::atomic::fence(Ordering::SeqCst);
    for thread in &shared.threads {
        if !std::ptr::eq(thread, own) && thread.asleep.swap(false, Ordering::SeqCst) {
            thread.wake();
        }
    }
}

/// A publisher whose socket is full is told when it has room.
fn rearm(epoll: &OwnedFd, publisher: &Publisher, token: u64) -> Result<(), String> {
    let mut flags = epoll::EventFlags::IN;
    flags.set(epoll::EventFlags::OUT, publisher.is_blocked());
    let data = epoll::EventData::new_u64(token);
    epoll::modify(epoll, publisher.connection.stream.as_fd(), data, flags)
        .map_err(|error| format!("cannot watch sockets: {error}"))
}

/// Answers to a PING; a subscriber sends nothing else, so there is room.
fn reply(connection: &Connection, bytes: &[u8]) -> Result<(), String> {
    use std::io::Write;
    let mut stream = &connection.stream;
    stream.write_all(bytes).map_err(|error| format!("cannot answer a PING: {error}"))
}

/// Takes what comes to a subscriber.
struct Arrivals<'a> {
    account: &'a mut Account,
    latency: &'a mut Histogram<u64>,
    shared: &'a Shared,
    now: u64,
    delivered: u64,
    settled: u64,
    replies: Vec<u8>,
}

impl Sink for Arrivals<'_> {
    #[inline]
    fn message(&mut self, payload: &[u8]) {
        self.delivered += 1;
        let Some((header, taken)) = self.account.take(payload) else { return };
        self.settled += u64::from(taken.settled);
        self.shared.cells[taken.cell as usize].store(taken.expected, Ordering::Relaxed);
        // Under a window one of 64 is enough to tell; by the clock each counts.
        let sampled = match self.shared.pace {
            Pace::Window(_) => header.sequence.is_multiple_of(64),
            Pace::Rate { .. } => true,
            Pace::RoundTrip => false,
        };
        if sampled && header.time_ns >= self.shared.times.measure {
            self.latency.saturating_record(self.now.saturating_sub(header.time_ns));
        }
    }

    fn gap(&mut self, messages: u64) {
        self.account.told_gaps += messages;
    }

    fn answer(&mut self, _: Answer) {}

    fn reply(&mut self, bytes: &[u8]) {
        self.replies.extend_from_slice(bytes);
    }
}

/// Takes what comes to whom nothing should.
#[derive(Default)]
pub struct Strays {
    pub messages: u64,
    pub replies: Vec<u8>,
}

impl Sink for Strays {
    fn message(&mut self, _: &[u8]) {
        self.messages += 1;
    }
    fn gap(&mut self, messages: u64) {
        self.messages += messages;
    }
    fn answer(&mut self, _: Answer) {}
    fn reply(&mut self, bytes: &[u8]) {
        self.replies.extend_from_slice(bytes);
    }
}
