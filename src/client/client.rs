//! The client: everything that a caller does with a connection, except publishing.
//!
//! Called by the caller's threads. Next on the path: `shared`, then `conversation`.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use blipmq_protocol::name;

use crate::conversation::Asked;
use crate::shared::{Shared, Wait};
use crate::{ClientError, ClientOptions, Event, ServerInfo, SubscribeOptions, Subscription, Topic};

/// Time that dropping a client waits for published messages to leave and for the broker to close.
const DROP_WAIT: Duration = Duration::from_millis(250);

/// A connection to a broker. A client is cheap to clone; all clones share the connection, from any
/// thread.
///
/// Dropping the last clone sends what was published and closes, but waits for that at most a quarter
/// of a second. Where every message matters, call [`flush`](Self::flush) or [`close`](Self::close)
/// first.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Client {
    /// Connects to `host:port` with the default options.
    pub fn connect(addr: &str) -> Result<Client, ClientError> {
        ClientOptions::new().connect(addr)
    }

    /// Returns what the broker announced when the client connected, the last time.
    pub fn server_info(&self) -> Arc<ServerInfo> {
        self.inner.shared.lock().server.clone()
    }

    /// Opens a topic to publish to, without a round trip: if the broker refuses the topic, a later
    /// `publish`, the next [`flush`](Self::flush) and an [`Event::Error`] report that. Opening a topic
    /// again returns a handle of the same one.
    pub fn topic(&self, topic: &str) -> Result<Topic, ClientError> {
        name::check_topic(topic)
            .map_err(|error| ClientError::BadTopic { topic: topic.to_owned(), error })?;
        let mut conversation = self.inner.shared.lock_to_send()?;
        let (index, name) = conversation.open(topic);
        self.inner.shared.send(conversation);
        Ok(Topic { shared: self.inner.shared.clone(), index, name })
    }

    /// Returns when the broker has accepted everything published before, by any thread. Fails if the
    /// broker refused some of it.
    pub fn flush(&self) -> Result<(), ClientError> {
        self.flush_until(None)
    }

    /// Like [`flush`](Self::flush), but fails after `timeout` even if the broker makes progress. A later
    /// flush covers the same messages.
    pub fn flush_timeout(&self, timeout: Duration) -> Result<(), ClientError> {
        self.flush_until(Instant::now().checked_add(timeout))
    }

    fn flush_until(&self, until: Option<Instant>) -> Result<(), ClientError> {
        let flush = self.begin_flush()?;
        let shared = &self.inner.shared;
        let wait = Wait::new("flush").until(until);
        shared.wait(shared.lock(), wait, |now| now.is_ponged(flush.ping).then_some(Ok(()))).1?;
        self.end_flush(flush)
    }

    pub(crate) fn begin_flush(&self) -> Result<Flush, ClientError> {
        let mut conversation = self.inner.shared.lock_to_send()?;
        let first_failure = conversation.failures_unreported();
        let ping = conversation.ping();
        self.inner.shared.send(conversation);
        Ok(Flush { first_failure, ping })
    }

    pub(crate) fn end_flush(&self, flush: Flush) -> Result<(), ClientError> {
        let mut conversation = self.inner.shared.lock();
        conversation.report_failure(flush.first_failure).map_or(Ok(()), Err)
    }

    /// Subscribes to a pattern and returns when the subscription is active: every message that the
    /// broker accepts from then on arrives or is reported in an [`Event::Gap`]. In a pattern `*` stands
    /// for one token and `>`, as the last, for one or more.
    pub fn subscribe(
        &self,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, ClientError> {
        let subscription = self.ask_to_subscribe(pattern, options, Asked::ByCall)?;
        let wait = Wait::new("subscribe");
        let answer = self.wait_for_answer(&subscription, wait);
        if let Err(ClientError::Timeout { .. }) = answer {
            self.abandon(&subscription);
        }
        answer.map(|()| subscription)
    }

    /// Ends a subscription whose answer nobody waits for any more.
    pub(crate) fn abandon(&self, subscription: &Subscription) {
        let mut conversation = self.inner.shared.lock();
        if conversation.check_open().is_ok() {
            conversation.abandon(subscription.id);
            self.inner.shared.send(conversation);
        }
    }

    /// Like [`subscribe`](Self::subscribe), but does not wait: the answer comes as an
    /// [`Event::Subscribed`], or an [`Event::Error`] with [`ClientError::PatternRefused`], in its
    /// place among the messages.
    pub fn begin_subscribe(
        &self,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, ClientError> {
        self.ask_to_subscribe(pattern, options, Asked::ForEvent)
    }

    pub(crate) fn ask_to_subscribe(
        &self,
        pattern: &str,
        options: SubscribeOptions,
        asked: Asked,
    ) -> Result<Subscription, ClientError> {
        name::check_pattern(pattern)
            .map_err(|error| ClientError::BadPattern { pattern: pattern.to_owned(), error })?;
        options.check()?;
        let mut conversation = self.inner.shared.lock_to_send()?;
        let subscription = conversation.subscribe(pattern, options, asked);
        self.inner.shared.send(conversation);
        Ok(subscription)
    }

    /// Ends a subscription and returns when the broker has confirmed that. Messages that the broker sent
    /// before may still be among the events.
    pub fn unsubscribe(&self, subscription: &Subscription) -> Result<(), ClientError> {
        self.ask_to_unsubscribe(subscription)?;
        self.wait_for_answer(subscription, Wait::new("unsubscribe"))
    }

    pub(crate) fn ask_to_unsubscribe(
        &self,
        subscription: &Subscription,
    ) -> Result<(), ClientError> {
        let mut conversation = self.inner.shared.lock_to_send()?;
        conversation.unsubscribe(subscription)?;
        self.inner.shared.send(conversation);
        Ok(())
    }

    fn wait_for_answer(&self, subscription: &Subscription, wait: Wait) -> Result<(), ClientError> {
        let shared = &self.inner.shared;
        shared.wait(shared.lock(), wait, |now| now.take_answer(subscription.id)).1
    }

    /// Waits for the next event. After the last event, fails with the reason why the client ended.
    pub fn recv(&self) -> Result<Event, ClientError> {
        self.inner.shared.events.pop(None).map(|event| event.expect("waits for ever"))
    }

    /// Waits for the next event, or returns `None` after `timeout`.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Event>, ClientError> {
        self.inner.shared.events.pop(Instant::now().checked_add(timeout))
    }

    /// Returns the next event if there is one already.
    pub fn try_recv(&self) -> Result<Option<Event>, ClientError> {
        self.recv_timeout(Duration::ZERO)
    }

    /// Asks the broker to send what is queued for this client, then to close. Receive until
    /// [`ClientError::Closed`] to get all of that. Publishing fails from here on.
    pub fn begin_close(&self) {
        self.inner.shared.close();
    }

    /// Closes the connection, and returns when the broker has accepted everything published and has
    /// closed too. Events that were not received are dropped, also for other clones; use
    /// [`begin_close`](Self::begin_close) to get them.
    pub fn close(&self) -> Result<(), ClientError> {
        self.close_until(None)
    }

    fn close_until(&self, until: Option<Instant>) -> Result<(), ClientError> {
        self.inner.close(until)?;
        self.end_close()
    }

    pub(crate) fn end_close(&self) -> Result<(), ClientError> {
        let mut conversation = self.inner.shared.lock();
        let first_failure = conversation.failures_unreported();
        conversation.report_failure(first_failure).map_or(Ok(()), Err)
    }
}

/// A flush that waits for its PONG.
pub(crate) struct Flush {
    first_failure: usize,
    pub(crate) ping: u64,
}

impl Inner {
    fn close(&self, until: Option<Instant>) -> Result<(), ClientError> {
        self.shared.events.discard();
        self.shared.close();
        let wait = Wait::new("close").until(until);
        let (conversation, closed) =
            self.shared.wait(self.shared.lock(), wait, |now| match now.ended {
                Some(ClientError::Closed) => Some(Ok(())),
                _ => None,
            });
        drop(conversation);
        closed
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody is left who could be told of a failure. Callers flush or close where that matters.
        let _ = self.close(Instant::now().checked_add(DROP_WAIT));
        // Between two connections the reader may be waiting for the system to connect.
        let is_connected = self.shared.lock().writable;
        self.shared.end(ClientError::Closed);
        if !is_connected {
            return;
        }
        let threads = self.threads.get_mut().expect("nothing panics while it holds the threads");
        for thread in threads.drain(..) {
            // A panic there was printed already, and must not become an abort here.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.server_info()).finish_non_exhaustive()
    }
}
