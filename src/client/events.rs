//! Events on their way from the reading thread to the caller: a bounded queue.
//!
//! Filled by `reader`, emptied by the caller through `Client::recv` and its relatives. While the queue
//! is full the reader waits, the socket fills, and the broker sees a slow subscriber: GAP frames
//! report what such a subscriber loses, and memory here stays bounded.
//!
//! # Always true
//! - Events come out in the order the broker sent them.
//! - The end of the connection comes behind the last event, and again for every later call.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::Waker;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::received::Messages;
use crate::{ClientError, Subscription};
use blipmq_protocol as protocol;

/// What the broker sent to a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Messages of one topic, in their order.
    Messages(Messages),
    /// Messages that this client should have received and will not.
    Gap(Gap),
    /// A subscription that `begin_subscribe` asked for is active.
    Subscribed(Subscription),
    /// The connection has ended, and the client reconnects: see
    /// [`ClientOptions::reconnect`](crate::ClientOptions::reconnect).
    Disconnected {
        /// Why the connection ended.
        cause: ClientError,
        /// The number of messages that were sent and not confirmed: the broker may or may not have
        /// them. The next `flush` reports them too.
        unconfirmed: u64,
    },
    /// The client is connected again, and asks for its subscriptions again. An
    /// [`Event::Resubscribed`] for each follows.
    Reconnected {
        /// Whether the broker is the same process. If not, sequences start over with 1, and the
        /// messages that the other process retained are gone.
        same_server: bool,
    },
    /// A subscription is active again after a reconnect.
    Resubscribed {
        /// The subscription.
        subscription: Subscription,
        /// Whether the subscription continues behind its last message; a gap reports what the broker no
        /// longer retains. If not, the messages published meanwhile are missing, see
        /// [`GapReason::Disconnected`].
        resumed: bool,
    },
    /// The broker refused something that no call waits for; the connection continues. While the event
    /// queue is full, these events are dropped, for the sake of clients that never receive: `flush`
    /// reports the same errors.
    Error(ClientError),
    /// The broker is stopping. The messages in its queues follow, then the connection ends: reconnect
    /// later, or to another broker.
    Goodbye {
        /// The broker's reason.
        reason: Arc<str>,
    },
}

/// Messages of one topic that this client should have received and will not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The topic of the messages.
    pub topic: Arc<str>,
    /// The sequence of the first missed message.
    pub first: u64,
    /// The number of missed messages.
    pub messages: u64,
    /// Why they were missed.
    pub reason: GapReason,
    /// The subscription that missed them; `None` for every plain subscription that matches the topic.
    pub subscription: Option<Subscription>,
}

/// Why messages were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// The queue of the subscription was full.
    Overflow,
    /// The time to live of the messages was over.
    Expired,
    /// The topic no longer retains the messages.
    NoLongerKept,
    /// A newer message of the topic took the place of the messages.
    Conflated,
    /// The messages arrived, but their checksum does not match.
    Corrupt,
    /// The messages were published while there was no connection. The client reports them when the
    /// next message of the topic arrives.
    Disconnected,
}

impl GapReason {
    pub(crate) fn of(reason: protocol::GapReason) -> GapReason {
        match reason {
            protocol::GapReason::Overflow => GapReason::Overflow,
            protocol::GapReason::Expired => GapReason::Expired,
            protocol::GapReason::NoLongerKept => GapReason::NoLongerKept,
            protocol::GapReason::Conflated => GapReason::Conflated,
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GapReason::Overflow => "queue overflow",
            GapReason::Expired => "expired",
            GapReason::NoLongerKept => "no longer kept",
            GapReason::Conflated => "conflated",
            GapReason::Corrupt => "their checksum does not match",
            GapReason::Disconnected => "published while not connected",
        })
    }
}

impl Gap {
    /// Returns the sequence of the last missed message.
    pub fn last(&self) -> u64 {
        self.first.saturating_add(self.messages.saturating_sub(1))
    }
}

pub(crate) struct EventQueue {
    queue: Mutex<Queue>,
    filled: Condvar,
    emptied: Condvar,
    events_max: usize,
    event_bytes_max: usize,
    /// The time between two signs of life while the queue is full.
    heard_interval: Duration,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    bytes: usize,
    receivers_wait: usize,
    /// Wakers of tasks that wait to receive.
    wakers: Vec<Waker>,
    reader_waits: bool,
    /// The bounds are lifted: the connection is dead, and only the socket's last bytes can follow.
    unbounded: bool,
    /// Nobody receives any more.
    discarding: bool,
    ended: Option<ClientError>,
}

impl EventQueue {
    pub(crate) fn new(
        events_max: usize,
        event_bytes_max: usize,
        heard_interval: Duration,
    ) -> EventQueue {
        EventQueue {
            queue: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            events_max,
            event_bytes_max,
            heard_interval,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing panics while it holds the queue")
    }

    /// Moves `events` into the queue; waits while the queue is full, and calls `be_heard` now and then
    /// meanwhile.
    pub(crate) fn push_all(&self, events: &mut Vec<Event>, be_heard: impl Fn()) {
        if events.is_empty() {
            return;
        }
        let mut queue = self.lock();
        for event in events.drain(..) {
            loop {
                let full =
                    queue.events.len() >= self.events_max || queue.bytes >= self.event_bytes_max;
                if !full || queue.unbounded || queue.discarding {
                    break;
                }
                if matches!(event, Event::Error(_)) {
                    break;
                }
                queue.reader_waits = true;
                self.wake_receivers(&mut queue);
                let waited = self.emptied.wait_timeout(queue, self.heard_interval);
                let (waited, result) = waited.expect("nothing panics while it holds the queue");
                queue = waited;
                if result.timed_out() {
                    drop(queue);
                    be_heard();
                    queue = self.lock();
                }
                queue.reader_waits = false;
            }
            let dropped_error =
                matches!(event, Event::Error(_)) && queue.events.len() >= self.events_max;
            if !queue.discarding && !dropped_error {
                queue.bytes += bytes_of(&event);
                queue.events.push_back(event);
            }
        }
        self.wake_receivers(&mut queue);
    }

    fn wake_receivers(&self, queue: &mut Queue) {
        if queue.receivers_wait > 0 {
            self.filled.notify_all();
        }
        queue.wakers.drain(..).for_each(Waker::wake);
    }

    /// Waits for the next event until `until`, or without a bound. Returns `None` at that time.
    pub(crate) fn pop(&self, until: Option<Instant>) -> Result<Option<Event>, ClientError> {
        let mut queue = self.lock();
        loop {
            if let Some(found) = self.take(&mut queue) {
                return found.map(Some);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            queue.receivers_wait += 1;
            queue = match left {
                None => self.filled.wait(queue).expect("nothing panics while it holds the queue"),
                Some(left) => {
                    let waited = self.filled.wait_timeout(queue, left);
                    waited.expect("nothing panics while it holds the queue").0
                }
            };
            queue.receivers_wait -= 1;
        }
    }

    /// Returns the next event or the end; otherwise the queue wakes `context` when there is one.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_pop(&self, context: &mut Context<'_>) -> Poll<Result<Event, ClientError>> {
        let mut queue = self.lock();
        match self.take(&mut queue) {
            Some(found) => Poll::Ready(found),
            None => {
                if !queue.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    queue.wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn take(&self, queue: &mut Queue) -> Option<Result<Event, ClientError>> {
        let Some(event) = queue.events.pop_front() else {
            return queue.ended.clone().map(Err);
        };
        queue.bytes -= bytes_of(&event);
        // At half, not at once: otherwise the two threads would take turns with every event.
        if queue.reader_waits
            && queue.events.len() <= self.events_max / 2
            && queue.bytes <= self.event_bytes_max / 2
        {
            self.emptied.notify_one();
        }
        Some(Ok(event))
    }

    /// Drops the queued events and all further ones, because nobody receives any more.
    pub(crate) fn discard(&self) {
        let mut queue = self.lock();
        queue.discarding = true;
        queue.events.clear();
        queue.bytes = 0;
        self.emptied.notify_all();
    }

    /// Lifts the bounds. The connection is dead, so that only the bytes in the socket can still come.
    /// The reader must get to their end without waiting for a caller, because callers wait for the
    /// reason of the end.
    pub(crate) fn lift_bounds(&self) {
        self.lock().unbounded = true;
        self.emptied.notify_all();
    }

    /// Restores the bounds for a new connection.
    pub(crate) fn restore_bounds(&self) {
        self.lock().unbounded = false;
    }

    pub(crate) fn end(&self, ended: ClientError) {
        let mut queue = self.lock();
        queue.ended.get_or_insert(ended);
        queue.unbounded = true;
        self.emptied.notify_all();
        self.filled.notify_all();
        queue.wakers.drain(..).for_each(Waker::wake);
    }

    /// Returns whether the connection is stalled because the caller takes no events.
    pub(crate) fn reader_waits(&self) -> bool {
        self.lock().reader_waits
    }
}

fn bytes_of(event: &Event) -> usize {
    match event {
        Event::Messages(messages) => Bytes::len(&messages.frame),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
