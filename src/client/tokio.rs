//! The client with `async` functions, for programs on tokio.
//!
//! ```no_run
//! use blipmq_client::Event;
//! use blipmq_client::tokio::Client;
//!
//! # async fn example() -> Result<(), blipmq_client::ClientError> {
//! let client = Client::connect("127.0.0.1:7878").await?;
//! client.subscribe("orders.>", Default::default()).await?;
//!
//! let orders = client.topic("orders.eu")?;
//! orders.publish(b"one espresso").await?;
//! client.flush().await?;
//!
//! if let Event::Messages(messages) = client.recv().await? {
//!     for message in messages.iter() {
//!         println!("{}: {:?}", message.topic, message.payload);
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! This client is a thin layer over the blocking one: a connection has the same two threads, which read
//! and write, and the same state. Only how a caller waits differs, so that batching, windows, requests
//! and reconnecting exist once. The documentation of the blocking functions holds here, too.
//!
//! # Always true
//! - No function blocks a thread of the runtime. Functions that never wait are not `async`.
//! - Every future can be dropped: an event that was not returned stays, a message is published or not,
//!   a subscription that nobody waits for any more is ended, a request frees its slot.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::tokio::task::{consume_budget, spawn_blocking};

use crate::conversation::{Asked, Conversation};
use crate::request::{PendingRequest, reply_options, reply_topic};
use crate::shared::{Shared, Wait};
use crate::{
    ClientError, ClientOptions, Event, Message, OwnedMessage, PublishOptions, ServerInfo,
    SubscribeOptions, Subscription,
};

mod topic;
mod wait;

pub use topic::{PublishTicket, Topic};

use wait::{publish, wait};

/// A connection to a broker. A client is cheap to clone; all clones share the connection, from any
/// task.
///
/// Dropping the last clone sends what was published and closes, in the background. Where every message
/// matters, call [`flush`](Self::flush) or [`close`](Self::close) first.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    /// `None` only while this is dropped.
    client: Option<crate::Client>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let client = self.client.take();
        // The end of a client waits a little for the broker, which no task may do. If no thread can be
        // started, the client is dropped here, with the closure.
        let _ = std::thread::Builder::new().name("blipmq-drop".to_owned()).spawn(|| drop(client));
    }
}

impl Client {
    /// Connects to `host:port` with the default options.
    pub async fn connect(addr: &str) -> Result<Client, ClientError> {
        Client::connect_with(ClientOptions::new(), addr).await
    }

    /// Connects to `host:port` and returns when the broker has welcomed the client.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect_with(options: ClientOptions, addr: &str) -> Result<Client, ClientError> {
        let addr = addr.to_owned();
        let connecting = spawn_blocking(move || options.connect(&addr)).await;
        // Either the runtime ends, or a panic is passed on.
        let client = connecting.map_err(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => ClientError::Closed,
        })??;
        Ok(Client { handle: Arc::new(Handle { client: Some(client) }) })
    }

    fn blocking(&self) -> &crate::Client {
        self.handle.client.as_ref().expect("only `drop` takes the client")
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.blocking().inner.shared
    }

    /// Returns what the broker announced when the client connected, the last time.
    pub fn server_info(&self) -> Arc<ServerInfo> {
        self.blocking().server_info()
    }

    /// Opens a topic to publish to: see [`Client::topic`](crate::Client::topic).
    pub fn topic(&self, topic: &str) -> Result<Topic, ClientError> {
        Ok(Topic::of(self.blocking().topic(topic)?))
    }

    /// Returns when the broker has accepted everything published before: see
    /// [`Client::flush`](crate::Client::flush).
    pub async fn flush(&self) -> Result<(), ClientError> {
        let flush = self.blocking().begin_flush()?;
        let ping = flush.ping;
        let is_ponged = |now: &mut Conversation| now.is_ponged(ping).then_some(Ok(()));
        wait(self.shared(), Wait::new("flush"), is_ponged).await?;
        self.blocking().end_flush(flush)
    }

    /// Subscribes to a pattern and returns when the subscription is active: see
    /// [`Client::subscribe`](crate::Client::subscribe).
    pub async fn subscribe(
        &self,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, ClientError> {
        let asked = Asked::ByCall;
        let subscription = self.blocking().ask_to_subscribe(pattern, options, asked)?;
        let mut asking = Asking { client: self, subscription: Some(subscription.clone()) };
        let answer = self.answer(&subscription, "subscribe").await;
        if !matches!(answer, Err(ClientError::Timeout { .. })) {
            asking.subscription = None;
        }
        answer.map(|()| subscription)
    }

    /// Like [`subscribe`](Self::subscribe), but does not wait: see
    /// [`Client::begin_subscribe`](crate::Client::begin_subscribe).
    pub fn begin_subscribe(
        &self,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, ClientError> {
        self.blocking().begin_subscribe(pattern, options)
    }

    /// Ends a subscription and returns when the broker has confirmed that: see
    /// [`Client::unsubscribe`](crate::Client::unsubscribe).
    pub async fn unsubscribe(&self, subscription: &Subscription) -> Result<(), ClientError> {
        self.blocking().ask_to_unsubscribe(subscription)?;
        self.answer(subscription, "unsubscribe").await
    }

    async fn answer(
        &self,
        subscription: &Subscription,
        what: &'static str,
    ) -> Result<(), ClientError> {
        let id = subscription.id;
        wait(self.shared(), Wait::new(what), |now| now.take_answer(id)).await
    }

    /// Waits for the next event. After the last event, fails with the reason why the client ended.
    pub async fn recv(&self) -> Result<Event, ClientError> {
        // A queue that never becomes empty must not keep the other tasks of the thread waiting.
        consume_budget().await;
        poll_fn(|context| self.shared().events.poll_pop(context)).await
    }

    /// Returns the next event if there is one already.
    pub fn try_recv(&self) -> Result<Option<Event>, ClientError> {
        self.blocking().try_recv()
    }

    /// Publishes a request and returns the first reply: see
    /// [`Client::request`](crate::Client::request).
    pub async fn request(
        &self,
        topic: &str,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> Result<OwnedMessage, ClientError> {
        self.request_with(topic, payload, PublishOptions::new(), timeout).await
    }

    /// Like [`request`](Self::request), with options.
    pub async fn request_with(
        &self,
        topic: &str,
        payload: impl AsRef<[u8]>,
        options: PublishOptions,
        timeout: Duration,
    ) -> Result<OwnedMessage, ClientError> {
        let shared = self.shared();
        let until = Wait::new("request").until(Instant::now().checked_add(timeout));
        let inbox = self.blocking().ask_for_inbox()?;
        wait(shared, until, |now| now.inbox_answer(inbox)).await?;

        let topic = self.topic(topic)?;
        let (topic, payload) = (topic.blocking(), payload.as_ref());
        let pending = publish(shared, |now| {
            PendingRequest::begin_in(now, topic, payload, options.clone(), timeout)
        })
        .await?;
        let until = Wait { for_others: true, ..until };
        let reply = wait(shared, until, |now| now.take_reply(pending.request).map(Ok)).await;
        reply.map_err(|failure| pending.failure(failure))
    }

    /// Replies to a message, on the topic that it names: see [`Client::reply`](crate::Client::reply).
    pub async fn reply(
        &self,
        message: &Message<'_>,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), ClientError> {
        self.reply_with(message, payload, PublishOptions::new()).await
    }

    /// Like [`reply`](Self::reply), with options.
    pub async fn reply_with(
        &self,
        message: &Message<'_>,
        payload: impl AsRef<[u8]>,
        options: PublishOptions,
    ) -> Result<(), ClientError> {
        let options = reply_options(message, options);
        let record = options.record(payload.as_ref(), false)?;
        let topic = reply_topic(message)?;
        publish(self.shared(), |now| {
            let index = now.open_reply_topic(topic);
            now.publish(index, record)
        })
        .await
        .map(|_| ())
    }

    /// Asks the broker to send what is queued for this client, then to close: see
    /// [`Client::begin_close`](crate::Client::begin_close).
    pub fn begin_close(&self) {
        self.blocking().begin_close();
    }

    /// Closes the connection, and returns when the broker has accepted everything published and has
    /// closed too: see
    /// [`Client::close`](crate::Client::close).
    pub async fn close(&self) -> Result<(), ClientError> {
        self.shared().events.discard();
        self.shared().close();
        let is_closed = |now: &mut Conversation| match now.ended {
            Some(ClientError::Closed) => Some(Ok(())),
            _ => None,
        };
        wait(self.shared(), Wait::new("close"), is_closed).await?;
        self.blocking().end_close()
    }
}

/// A subscription whose answer a task waits for. Dropping this before the answer ends the
/// subscription.
struct Asking<'a> {
    client: &'a Client,
    subscription: Option<Subscription>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(subscription) = self.subscription.take() {
            self.client.blocking().abandon(&subscription);
        }
    }
}
