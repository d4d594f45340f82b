//! The blocking face of a connection: what a caller does with it, except publishing.
//!
//! Called by the caller's threads. Next on the path: `shared`, then `conversation`.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use blipmq_protocol::{SubscriptionId, name};

use crate::conversation::Asked;
use crate::shared::{Shared, Wait};
use crate::{ClientError, ClientOptions, Event, SubscribeOptions, Topic};

/// Time that dropping a client waits for what was published to leave and for the broker to close.
const DROP_WAIT: Duration = Duration::from_millis(250);

/// A connection to a broker. Cheap to clone; every clone is the same connection, from any thread.
///
/// Dropping the last clone sends what was published and closes, for which it waits a quarter of a
/// second at most. [`flush`](Self::flush) or [`close`](Self::close) first where it matters.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the broker said of itself in WELCOME.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Name and version.
    pub server: String,
    /// New at every start of the broker: sequences of topics start over with it.
    pub server_id: u64,
    /// The core that serves this connection.
    pub core: u16,
    /// Cores of the broker.
    pub cores: u16,
    /// Shards of the broker.
    pub shards: u16,
    /// Longest payload it takes.
    pub message_len_max: u32,
    /// Longest frame it takes.
    pub frame_len_max: u32,
}

impl Client {
    /// Connects to `host:port` with the default options.
    pub fn connect(addr: &str) -> Result<Client, ClientError> {
        ClientOptions::new().connect(addr)
    }

    /// What the broker said of itself.
    pub fn server_info(&self) -> Arc<ServerInfo> {
        self.inner.shared.lock().server.clone()
    }

    /// A topic to publish to. Costs no round trip: if the broker refuses the topic, a later
    /// `publish`, the next [`flush`](Self::flush) and an [`Event::Error`] say so. The same name
    /// twice is the same topic.
    pub fn topic(&self, topic: &str) -> Result<Topic, ClientError> {
        name::check_topic(topic)
            .map_err(|error| ClientError::BadTopic { topic: topic.to_owned(), error })?;
        let mut conversation = self.inner.shared.lock_to_send()?;
        let (index, name) = conversation.open(topic);
        self.inner.shared.send(conversation);
        Ok(Topic { shared: self.inner.shared.clone(), index, name })
    }

    /// Returns when the broker has taken everything published before, by any thread; an error if
    /// it refused some of it.
    pub fn flush(&self) -> Result<(), ClientError> {
        self.flush_until(None)
    }

    /// As [`flush`](Self::flush), and gives up after `timeout` even if the broker is making
    /// progress. A later flush covers the same messages.
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

    /// Subscribes to a pattern and returns when that is in force: every message accepted from here
    /// on arrives, or is reported in an [`Event::Gap`]. In patterns `*` stands for one token and
    /// `>`, at the end, for one or more.
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

    /// Nobody waits for the answer any more.
    pub(crate) fn abandon(&self, subscription: &Subscription) {
        let mut conversation = self.inner.shared.lock();
        if conversation.check_open().is_ok() {
            conversation.abandon(subscription.id);
            self.inner.shared.send(conversation);
        }
    }

    /// As [`subscribe`](Self::subscribe) without waiting: the answer comes as an
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

    /// Ends a subscription and returns when the broker has: what was sent before may still be
    /// among the events.
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

    /// The next event; waits for it. After the last one, the reason why the connection ended.
    pub fn recv(&self) -> Result<Event, ClientError> {
        self.inner.shared.events.pop(None).map(|event| event.expect("waits for ever"))
    }

    /// The next event, or `None` after `timeout`.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Event>, ClientError> {
        self.inner.shared.events.pop(Instant::now().checked_add(timeout))
    }

    /// The next event if there is one already.
    pub fn try_recv(&self) -> Result<Option<Event>, ClientError> {
        self.recv_timeout(Duration::ZERO)
    }

    /// Asks the broker to send what it has queued for this client and to close. Receive until
    /// [`ClientError::Closed`] to have all of it. Nothing can be published any more.
    pub fn begin_close(&self) {
        self.inner.shared.close();
    }

    /// Closes, and returns when the broker has taken everything published and has closed too.
    /// Events not received yet are dropped, also for other clones; use
    /// [`begin_close`](Self::begin_close) to have them.
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
        // Nobody is left to tell. What must arrive was flushed, or closed, before.
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

/// A subscription of one client, to end it with [`Client::unsubscribe`]. Dropping it changes
/// nothing: its messages come to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) pattern: Arc<str>,
}

impl Subscription {
    /// The pattern subscribed to.
    pub fn pattern(&self) -> &Arc<str> {
        &self.pattern
    }

    /// Whether the other handle is of the same client too: then they share one allocation.
    pub(crate) fn is_same(&self, other: &Subscription) -> bool {
        self.id == other.id && Arc::ptr_eq(&self.pattern, &other.pattern)
    }
}
