//! The same client with `async` functions, for programs on tokio; feature `tokio`.
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
//! It is a thin face of the blocking client: a connection has the same two threads, which read and
//! write, and the same state. Only how a caller waits differs, so batching, windows, requests and
//! reconnecting are not written twice. What the blocking functions say of themselves holds here too.
//!
//! # Always true
//! - No function blocks the runtime's threads. Those that never wait are not `async`.
//! - Every future can be dropped: an event not returned stays, a message is published or is not,
//!   a subscription nobody waits for any more is ended, a request gives its slot back.

use std::borrow::Borrow;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ::tokio::task::{consume_budget, spawn_blocking};
use ::tokio::time::timeout_at;

use crate::conversation::{Answer, Conversation};
use crate::outgoing::{Place, Record};
use crate::request::{PendingRequest, reply_options, reply_topic};
use crate::shared::{Shared, Wait};
use crate::{
    ClientError, ClientOptions, Event, Message, OwnedMessage, PublishOptions, Published,
    ServerInfo, SubscribeOptions, Subscription,
};

/// A connection to a broker. Cheap to clone; every clone is the same connection, from any task.
///
/// Dropping the last clone sends what was published and closes, in the background.
/// [`flush`](Self::flush) or [`close`](Self::close) first where it matters.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    /// Taken when this is dropped.
    client: Option<crate::Client>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let client = self.client.take();
        // The end of a client waits a little for the broker, which no task may. Without a thread
        // for it, it is dropped with the closure, here.
        let _ = std::thread::Builder::new().name("blipmq-drop".to_owned()).spawn(|| drop(client));
    }
}

impl Client {
    /// Connects to `host:port` with the default options.
    pub async fn connect(addr: &str) -> Result<Client, ClientError> {
        Client::connect_with(ClientOptions::new(), addr).await
    }

    /// Connects to `host:port` and returns when the broker said WELCOME.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect_with(options: ClientOptions, addr: &str) -> Result<Client, ClientError> {
        let addr = addr.to_owned();
        let connecting = spawn_blocking(move || options.connect(&addr)).await;
        // The runtime ends, or somebody's panic is passed on.
        let client = connecting.map_err(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => ClientError::Closed,
        })??;
        Ok(Client { handle: Arc::new(Handle { client: Some(client) }) })
    }

    fn blocking(&self) -> &crate::Client {
        self.handle.client.as_ref().expect("it is taken only by `drop`")
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.blocking().inner.shared
    }

    /// What the broker said of itself.
    pub fn server_info(&self) -> Arc<ServerInfo> {
        self.blocking().server_info()
    }

    /// A topic to publish to: see [`Client::topic`](crate::Client::topic).
    pub fn topic(&self, topic: &str) -> Result<Topic, ClientError> {
        Ok(Topic { topic: self.blocking().topic(topic)? })
    }

    /// Returns when the broker has taken everything published before: see
    /// [`Client::flush`](crate::Client::flush).
    pub async fn flush(&self) -> Result<(), ClientError> {
        let flush = self.blocking().begin_flush()?;
        let ping = flush.ping;
        let is_ponged = |now: &mut Conversation| now.is_ponged(ping).then_some(Ok(()));
        wait(self.shared(), Wait::new("flush"), is_ponged).await?;
        self.blocking().end_flush(flush)
    }

    /// Subscribes to a pattern and returns when that is in force: see
    /// [`Client::subscribe`](crate::Client::subscribe).
    pub async fn subscribe(
        &self,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, ClientError> {
        let asked = crate::Asked::ByCall;
        let subscription = self.blocking().ask_to_subscribe(pattern, options, asked)?;
        let mut asking = Asking { client: self, subscription: Some(subscription.clone()) };
        let answer = self.answer(&subscription, "subscribe").await;
        if !matches!(answer, Err(ClientError::Timeout { .. })) {
            asking.subscription = None;
        }
        answer.map(|()| subscription)
    }

    /// As [`subscribe`](Self::subscribe) without waiting: see
    /// [`Client::begin_subscribe`](crate::Client::begin_subscribe).
    pub fn begin_subscribe(
        &self,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, ClientError> {
        self.blocking().begin_subscribe(pattern, options)
    }

    /// Ends a subscription and returns when the broker has: see
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

    /// The next event; waits for it. After the last one, the reason why the client ended.
    pub async fn recv(&self) -> Result<Event, ClientError> {
        // A queue that never runs empty must not keep the other tasks of the thread waiting.
        consume_budget().await;
        poll_fn(|context| self.shared().events.poll_pop(context)).await
    }

    /// The next event if there is one already.
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

    /// As [`request`](Self::request), with options.
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
        let (topic, payload) = (&topic.topic, payload.as_ref());
        let pending = publish(shared, |now| {
            PendingRequest::begin_in(now, topic, payload, options.clone(), timeout)
        })
        .await?;
        let until = Wait { for_others: true, ..until };
        let reply = wait(shared, until, |now| now.take_reply(pending.request).map(Ok)).await;
        reply.map_err(|failure| pending.failure(failure))
    }

    /// Answers a message on the topic it names: see [`Client::reply`](crate::Client::reply).
    pub async fn reply(
        &self,
        message: &Message<'_>,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), ClientError> {
        self.reply_with(message, payload, PublishOptions::new()).await
    }

    /// As [`reply`](Self::reply), with options.
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

    /// Asks the broker to send what it has queued for this client and to close: see
    /// [`Client::begin_close`](crate::Client::begin_close).
    pub fn begin_close(&self) {
        self.blocking().begin_close();
    }

    /// Closes, and returns when the broker has taken everything published and has closed too: see
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

/// A subscription whose answer somebody waits for; dropped before, nobody does any more.
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

/// A topic of one client, to publish to. Cheap to clone; from any task.
#[derive(Clone, Debug)]
pub struct Topic {
    topic: crate::Topic,
}

impl Topic {
    /// The topic's name.
    pub fn name(&self) -> &Arc<str> {
        self.topic.name()
    }

    /// Publishes one message with the default options; waits while the outgoing buffer or the
    /// window is full.
    pub async fn publish(&self, payload: impl AsRef<[u8]>) -> Result<(), ClientError> {
        self.publish_with(payload, PublishOptions::new()).await
    }

    /// As [`publish`](Self::publish), with options.
    pub async fn publish_with(
        &self,
        payload: impl AsRef<[u8]>,
        options: impl Borrow<PublishOptions>,
    ) -> Result<(), ClientError> {
        let record = options.borrow().record(payload.as_ref(), false)?;
        self.publish_record(record).await.map(|_| ())
    }

    /// Publishes one message and returns the sequence that the broker gave it.
    pub async fn publish_acked(
        &self,
        payload: impl AsRef<[u8]>,
        options: impl Borrow<PublishOptions>,
    ) -> Result<Published, ClientError> {
        self.begin_publish_acked(payload, options).await?.wait().await
    }

    /// Publishes one message without waiting for the broker's answer, which the ticket gets.
    pub async fn begin_publish_acked(
        &self,
        payload: impl AsRef<[u8]>,
        options: impl Borrow<PublishOptions>,
    ) -> Result<PublishTicket, ClientError> {
        let record = options.borrow().record(payload.as_ref(), true)?;
        let (place, answer) = self.publish_record(record).await?.expect("an ACK was asked for");
        let topic = self.topic.clone();
        Ok(PublishTicket { ticket: crate::PublishTicket { topic, place, answer } })
    }

    async fn publish_record(
        &self,
        record: Record<'_>,
    ) -> Result<Option<(Place, Answer)>, ClientError> {
        let index = self.topic.index;
        publish(&self.topic.shared, |now| {
            let place = now.publish(index, record)?;
            Ok(place.map(|place| (place, now.answer_of(index, place))))
        })
        .await
    }
}

/// The broker's answer to one message, which may be on the way. Dropping it changes nothing.
#[derive(Debug)]
pub struct PublishTicket {
    ticket: crate::PublishTicket,
}

impl PublishTicket {
    /// Waits for the answer.
    pub async fn wait(&self) -> Result<Published, ClientError> {
        wait(&self.ticket.topic.shared, Wait::new("publish"), |_| self.ticket.try_wait()).await
    }

    /// The answer if it is there.
    pub fn try_wait(&self) -> Option<Result<Published, ClientError>> {
        self.ticket.try_wait()
    }
}

/// Does `publish` once there is room.
async fn publish<T>(
    shared: &Shared,
    mut publish: impl FnMut(&mut Conversation) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    // A broker that takes all at once must not keep the other tasks of the thread waiting.
    consume_budget().await;
    let published = wait(shared, Wait::new("publish"), |now| match now.check_open() {
        Err(end) => Some(Err(end)),
        Ok(()) => now.has_room().then(|| publish(now)),
    });
    let published = published.await?;
    shared.send(shared.lock());
    Ok(published)
}

/// Waits until `done` has a result, as `Shared::wait` does, without a thread.
async fn wait<T>(
    shared: &Shared,
    wait: Wait,
    mut done: impl FnMut(&mut Conversation) -> Option<Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let started = Instant::now();
    loop {
        let moved = shared.moved();
        let answer = poll_fn(|context| {
            let mut conversation = shared.lock();
            // The answer first: it may have come just before the end.
            if let Some(result) = done(&mut conversation) {
                return Poll::Ready(result);
            }
            if let Some(ended) = &conversation.ended {
                return Poll::Ready(Err(ended.clone()));
            }
            let wakers = &mut conversation.wakers;
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            Poll::Pending
        });
        let still_until = match wait.for_others {
            true => None,
            false => Instant::now().checked_add(shared.request_timeout),
        };
        let Some(deadline) = [wait.until, still_until].into_iter().flatten().min() else {
            return answer.await;
        };
        if let Ok(result) = timeout_at(deadline.into(), answer).await {
            return result;
        }
        let is_over = wait.until.is_some_and(|until| until <= Instant::now());
        if is_over || shared.moved() == moved {
            return Err(shared.timeout(wait.what, started.elapsed()));
        }
    }
}
