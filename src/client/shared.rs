//! The state that callers, the reading thread and the writing thread share, and how they wait for each
//! other.
//!
//! Called by all three. There are two locks, of the conversation and of the queue of events; no thread
//! waits while holding both.
//!
//! # Always true
//! - A wait ends: with its answer, with the end of the client, or when no byte moved for
//!   `request_timeout`.
//! - The writer is woken only if it sleeps: while it writes, publishing costs no system call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::conversation::{Conversation, Seen};
use crate::events::{Event, EventQueue};
use crate::link::Link;
use crate::{ClientError, ServerInfo};
use blipmq_protocol::encode;

pub(crate) struct Shared {
    conversation: Mutex<Conversation>,
    /// Wakes callers and the reader when the conversation has changed.
    changed: Condvar,
    /// Wakes the writer when there is something to write, or will never be.
    writer_wakes: Condvar,
    pub(crate) events: EventQueue,
    /// Changes together with the conversation's epoch, under its lock.
    link: Mutex<Arc<Link>>,
    pub(crate) request_timeout: Duration,
    /// Counts reads and writes, so that a wait can distinguish slow from stuck.
    moved: AtomicU64,
}

/// How a call waits.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    /// The call, for the text of its error.
    pub(crate) what: &'static str,
    /// When to give up, whether or not bytes move.
    pub(crate) until: Option<Instant>,
    /// Whether the answer comes from another client, so that no byte needs to move.
    pub(crate) for_others: bool,
}

impl Wait {
    /// Waits for an answer of the broker.
    pub(crate) fn new(what: &'static str) -> Wait {
        Wait { what, until: None, for_others: false }
    }

    pub(crate) fn until(self, until: Option<Instant>) -> Wait {
        Wait { until, ..self }
    }
}

impl Shared {
    pub(crate) fn new(
        conversation: Conversation,
        events: EventQueue,
        link: Link,
        request_timeout: Duration,
    ) -> Shared {
        Shared {
            conversation: Mutex::new(conversation),
            changed: Condvar::new(),
            writer_wakes: Condvar::new(),
            events,
            link: Mutex::new(Arc::new(link)),
            request_timeout,
            moved: AtomicU64::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Conversation> {
        self.conversation.lock().expect("nothing panics while it holds the conversation")
    }

    /// Locks the conversation for a caller that sends something.
    pub(crate) fn lock_to_send(&self) -> Result<MutexGuard<'_, Conversation>, ClientError> {
        let conversation = self.lock();
        conversation.check_open()?;
        Ok(conversation)
    }

    /// Like [`lock_to_send`](Self::lock_to_send), and waits until there is room for a message.
    pub(crate) fn lock_to_publish(&self) -> Result<MutexGuard<'_, Conversation>, ClientError> {
        let conversation = self.lock_to_send()?;
        if conversation.has_room() {
            return Ok(conversation);
        }
        let wait = Wait::new("publish");
        let (conversation, room) = self.wait(conversation, wait, |now| match now.closing {
            true => Some(Err(ClientError::Closed)),
            false => now.has_room().then_some(Ok(())),
        });
        room.map(|()| conversation)
    }

    /// Unlocks the conversation after something to send was appended.
    pub(crate) fn send(&self, mut conversation: MutexGuard<'_, Conversation>) {
        if std::mem::take(&mut conversation.writer_sleeps) {
            drop(conversation);
            self.writer_wakes.notify_one();
        }
    }

    /// Unlocks the conversation after a change that others may wait for, and that may have appended
    /// something to send.
    pub(crate) fn answer(&self, mut conversation: MutexGuard<'_, Conversation>) {
        let is_awaited = conversation.waiting > 0;
        let wakes_writer = conversation.writer_sleeps && !conversation.out.is_empty();
        if wakes_writer {
            conversation.writer_sleeps = false;
        }
        let wakers = std::mem::take(&mut conversation.wakers);
        drop(conversation);
        wakers.into_iter().for_each(Waker::wake);
        if is_awaited {
            self.changed.notify_all();
        }
        if wakes_writer {
            self.writer_wakes.notify_one();
        }
    }

    /// Notes that bytes were read or written.
    pub(crate) fn move_on(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    /// Hands events to the caller; waits while the caller has too many of them. A PING behind them is not
    /// read then, so the broker is told meanwhile that the client is there.
    pub(crate) fn push_events(&self, events: &mut Vec<Event>) {
        self.events.push_all(events, || {
            let mut conversation = self.lock();
            if conversation.writable && !conversation.closing && conversation.out_has_room() {
                encode::pong(conversation.out.control(), 0);
                self.send(conversation);
            }
        });
    }

    /// Waits until `done` has a result.
    pub(crate) fn wait<'a, T>(
        &'a self,
        mut conversation: MutexGuard<'a, Conversation>,
        wait: Wait,
        mut done: impl FnMut(&mut Conversation) -> Option<Result<T, ClientError>>,
    ) -> (MutexGuard<'a, Conversation>, Result<T, ClientError>) {
        let started = Instant::now();
        let mut moved = self.moved.load(Ordering::Relaxed);
        let mut still_since = started;
        loop {
            // The answer comes first: it may have arrived just before the end.
            if let Some(result) = done(&mut conversation) {
                return (conversation, result);
            }
            if let Some(ended) = &conversation.ended {
                let ended = ended.clone();
                return (conversation, Err(ended));
            }
            let now = Instant::now();
            let moved_now = self.moved.load(Ordering::Relaxed);
            if moved_now != moved {
                (moved, still_since) = (moved_now, now);
            }
            let still = now.duration_since(still_since);
            let mut left = match wait.for_others {
                true => Duration::MAX,
                false => self.request_timeout.saturating_sub(still),
            };
            if let Some(until) = wait.until {
                left = left.min(until.saturating_duration_since(now));
            }
            if left.is_zero() {
                let waited = now.duration_since(started);
                return (conversation, Err(self.timeout(wait.what, waited)));
            }
            conversation.waiting += 1;
            let waited = self.changed.wait_timeout(conversation, left);
            conversation = waited.expect("nothing panics while it holds the conversation").0;
            conversation.waiting -= 1;
        }
    }

    /// Returns the number of reads and writes.
    #[cfg(feature = "tokio")]
    pub(crate) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    pub(crate) fn timeout(&self, what: &'static str, waited: Duration) -> ClientError {
        let remedy = if self.events.reader_waits() {
            "events wait for this client to receive them, and the answer is behind them: receive \
             from another thread, or raise `events_max` and `event_bytes_max`"
        } else {
            "check that the broker runs and can be reached, or raise the timeout"
        };
        ClientError::Timeout { what, waited, remedy }
    }

    /// Takes the next batch for the writer, and returns where to write it; sleeps until there is one.
    /// Returns `None` when there will never be another.
    pub(crate) fn take_outgoing(&self, batch: &mut Vec<u8>) -> Option<(Arc<Link>, u64)> {
        let mut conversation = self.lock();
        loop {
            if conversation.ended.is_some() {
                return None;
            }
            if conversation.writable && !conversation.out.is_empty() {
                conversation.take_outgoing(batch);
                let (link, epoch) = (self.link(), conversation.epoch);
                self.answer(conversation);
                return Some((link, epoch));
            }
            conversation.writer_sleeps = true;
            let woken = self.writer_wakes.wait(conversation);
            conversation = woken.expect("nothing panics while it holds the conversation");
            conversation.writer_sleeps = false;
        }
    }

    /// Notes that the connection of this epoch takes no more bytes.
    pub(crate) fn stop_writing(&self, epoch: u64) {
        let mut conversation = self.lock();
        if conversation.epoch == epoch {
            conversation.writable = false;
            self.events.lift_bounds();
        }
    }

    pub(crate) fn link(&self) -> Arc<Link> {
        self.link.lock().expect("nothing panics while it holds the link").clone()
    }

    /// Ends the current connection, but not the client.
    pub(crate) fn shut_down(&self) {
        self.link().shut_down();
    }

    /// Continues over a new connection.
    pub(crate) fn renew(
        &self,
        link: Link,
        server: Arc<ServerInfo>,
        seen: impl Fn(&str) -> Option<Seen>,
    ) {
        let mut conversation = self.lock();
        *self.link.lock().expect("nothing panics while it holds the link") = Arc::new(link);
        conversation.renew(server, seen);
        self.events.restore_bounds();
        self.move_on();
        self.answer(conversation);
    }

    /// Sleeps; returns `false` if the caller closes meanwhile.
    pub(crate) fn sleep(&self, delay: Duration) -> bool {
        let until = Instant::now() + delay;
        let mut conversation = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if conversation.closing || conversation.ended.is_some() || left.is_zero() {
                return !conversation.closing && conversation.ended.is_none();
            }
            let waited = self.changed.wait_timeout(conversation, left);
            conversation = waited.expect("nothing panics while it holds the conversation").0;
        }
    }

    /// Sends CLOSE, once. A client that is not connected ends at once.
    pub(crate) fn close(&self) {
        let mut conversation = self.lock();
        conversation.close();
        self.send(conversation);
        // Threads that sleep or wait for room have to see that, too.
        self.changed.notify_all();
        self.answer(self.lock());
    }

    /// Ends the client. Every call reports the first cause.
    pub(crate) fn end(&self, cause: ClientError) {
        let mut conversation = self.lock();
        let cause = conversation.ended.get_or_insert(cause).clone();
        self.answer(conversation);
        self.changed.notify_all();
        self.writer_wakes.notify_all();
        self.shut_down();
        self.events.end(cause);
    }
}
