//! One thread of the generator: publishes messages at its pace and receives deliveries.
//!
//! Started by `round`. Next on the path: `publisher` for messages to send, `tracker` for deliveries.
//!
//! # Always true
//! - No message causes an allocation, and no read or write blocks.
//! - A thread sleeps only when it has nothing to do until a socket, the clock or another thread
//!   wakes it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::codec::{Answer, Sink};
use super::connect::Connection;
use super::publisher::Publisher;
use super::shared::{Counters, Pace, Shared};
use super::tracker::SequenceTracker;

/// The most epoll events handled at once.
const EVENTS_MAX: usize = 512;
/// The longest sleep. Other threads wake a sleeping thread; this bounds a wake-up that is lost.
const IDLE_SLEEP: Duration = Duration::from_millis(100);
const WAKE_TOKEN: u64 = u64::MAX;

/// A subscribing connection.
#[derive(Debug)]
pub struct Subscriber {
    pub number: usize,
    pub connection: Connection,
    pub tracker: SequenceTracker,
}

pub struct Worker {
    pub number: usize,
    pub shared: Arc<Shared>,
    pub publishers: Vec<Publisher>,
    pub subscribers: Vec<Subscriber>,
    /// Connections whose subscriptions match no published message.
    pub bystanders: Vec<Connection>,
    pub buffer_len: usize,
}

/// The result of a thread.
#[derive(Debug)]
pub struct WorkerResult {
    pub publishers: Vec<Publisher>,
    pub subscribers: Vec<Subscriber>,
    /// Messages received on connections without a matching subscription.
    pub strays: u64,
    pub latency: Histogram<u64>,
    pub failure: Option<String>,
}

pub fn histogram() -> Histogram<u64> {
    // Up to an hour in nanoseconds, with three significant digits.
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("the bounds are constants")
}

impl Worker {
    /// Runs until the round ends or a connection fails.
    pub fn run(self) -> WorkerResult {
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
        WorkerResult { publishers, subscribers, strays, latency, failure }
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
        // By default the kernel may extend every sleep by 50 us.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        let cannot = |error| format!("cannot watch sockets: {error}");
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(cannot)?;
        self.watch_all(&epoll, counters).map_err(cannot)?;
        let mut events = Vec::with_capacity(EVENTS_MAX);
        while !shared.ended.load(Ordering::Acquire) {
            let sleep = self.publish(&epoll, shared, counters)?;
            let timeout = Timespec::try_from(sleep).expect("a short sleep");
            match epoll::wait(&epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(cannot(error)),
            }
            counters.asleep.store(false, Ordering::SeqCst);
            let delivered = self.delivered;
            for event in events.drain(..) {
                self.handle_event(&epoll, shared, counters, event.data.u64(), event.flags)?;
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
            epoll::add(epoll, &connection.wire.socket, data(token), epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    /// Publishes the messages that are due or allowed. Returns how long none will be.
    fn publish(
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
            // Set before the cells are read: progress after the read then wakes this thread.
            counters.asleep.store(true, Ordering::SeqCst);
            std::sync::atomic::fence(Ordering::SeqCst);
        }
        let mut sleep_until = now + IDLE_SLEEP.as_nanos() as u64;
        let (mut published, mut owed) = (0, 0);
        for (token, publisher) in (0..).zip(&mut self.worker.publishers) {
            if shared.pace == Pace::RoundTrip
                && let Some(sent_at) = publisher.finish_round_trip(&shared.cells)
                && sent_at >= shared.times.measure
            {
                self.latency.saturating_record(self.last_arrival.saturating_sub(sent_at));
            }
            let was_blocked = publisher.is_blocked();
            let step = publisher.publish(shared, now);
            (published, owed) = (published + step.published, owed + step.owed);
            publisher.flush().map_err(|error| publisher.describe_error(&error))?;
            // For a full socket epoll reports when it has room; until then there is nothing to do.
            if !publisher.is_blocked() {
                sleep_until = sleep_until.min(step.next_ns);
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

    fn handle_event(
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
        let publishers = self.worker.publishers.len();
        let subscribers = self.worker.subscribers.len();
        match token as usize {
            index if index < publishers => self.handle_publisher(epoll, token, flags),
            index if index < publishers + subscribers => self.receive(shared, index - publishers),
            index => self.receive_stray(index - publishers - subscribers),
        }
    }

    fn handle_publisher(
        &mut self,
        epoll: &OwnedFd,
        token: u64,
        flags: epoll::EventFlags,
    ) -> Result<(), String> {
        let publisher = &mut self.worker.publishers[token as usize];
        if publisher.is_blocked() && flags.intersects(epoll::EventFlags::OUT) {
            publisher.flush().map_err(|error| publisher.describe_error(&error))?;
            if !publisher.is_blocked() {
                rearm(epoll, publisher, token)?;
            }
        }
        if flags.intersects(!epoll::EventFlags::OUT) {
            let strays = publisher.read(&mut self.buffer);
            self.strays += strays.map_err(|error| publisher.describe_error(&error))?;
        }
        Ok(())
    }

    fn receive(&mut self, shared: &Shared, index: usize) -> Result<(), String> {
        let Subscriber { number, connection, tracker } = &mut self.worker.subscribers[index];
        let describe_error = |error| format!("subscriber {number}: {error}");
        let Some(len) = connection.read(&mut self.buffer).map_err(describe_error)? else {
            return Ok(());
        };
        let now = shared.now_ns();
        self.last_arrival = now;
        let mut arrivals = Arrivals {
            tracker,
            latency: &mut self.latency,
            shared,
            now,
            delivered: 0,
            settled: 0,
            replies: Vec::new(),
        };
        connection.decode(&self.buffer[..len], &mut arrivals).map_err(describe_error)?;
        let Arrivals { delivered, settled, replies, .. } = arrivals;
        self.delivered += delivered;
        self.settled += settled;
        send_replies(connection, &replies).map_err(describe_error)
    }

    fn receive_stray(&mut self, index: usize) -> Result<(), String> {
        let bystander = &mut self.worker.bystanders[index];
        let mut strays = Strays::default();
        let describe_error = |error| format!("a connection without traffic: {error}");
        if let Some(len) = bystander.read(&mut self.buffer).map_err(describe_error)? {
            bystander.decode(&self.buffer[..len], &mut strays).map_err(describe_error)?;
        }
        self.strays += strays.messages;
        send_replies(bystander, &strays.replies).map_err(describe_error)
    }
}

/// Wakes the other threads, whose publishers may wait for deliveries to subscribers of this one.
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

/// Watches a publisher's socket for room if it is full.
fn rearm(epoll: &OwnedFd, publisher: &Publisher, token: u64) -> Result<(), String> {
    let mut flags = epoll::EventFlags::IN;
    flags.set(epoll::EventFlags::OUT, publisher.is_blocked());
    let data = epoll::EventData::new_u64(token);
    epoll::modify(epoll, publisher.connection.wire.socket.as_fd(), data, flags)
        .map_err(|error| format!("cannot watch sockets: {error}"))
}

/// Sends the answers to PINGs. Subscribers send nothing else, so the socket has room for them.
pub fn send_replies(connection: &mut Connection, bytes: &[u8]) -> Result<(), String> {
    use std::io::Write;
    if bytes.is_empty() {
        return Ok(());
    }
    let wire = &mut connection.wire;
    wire.write_all(bytes)
        .and_then(|()| wire.flush())
        .map_err(|error| format!("cannot answer a PING: {error}"))
}

/// Records the deliveries to one subscriber.
struct Arrivals<'a> {
    tracker: &'a mut SequenceTracker,
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
        let Some((header, position)) = self.tracker.record(payload) else { return };
        self.settled += u64::from(position.settled);
        self.shared.cells[position.cell as usize].store(position.expected, Ordering::Relaxed);
        // With a window, one message of 64 is sample enough; on a schedule, each counts.
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
        self.tracker.gap_messages += messages;
    }

    fn answer(&mut self, _: Answer) {}

    fn reply(&mut self, bytes: &[u8]) {
        self.replies.extend_from_slice(bytes);
    }
}

/// Counts messages on connections that should receive none.
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
