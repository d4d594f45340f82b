//! A topic to publish to, and the answers to publishing.
//!
//! Called by the caller's threads. Next on the path: `conversation`, then `outgoing`.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::conversation::Answer;
use crate::outgoing::{Place, Record};
use crate::shared::{Shared, Wait};
use crate::{ClientError, PublishOptions};

/// A topic to publish to, from any thread. A topic is cheap to clone. Publishing fails after the last
/// clone of its client is dropped.
#[derive(Clone)]
pub struct Topic {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
    pub(crate) name: Arc<str>,
}

/// The broker's confirmation of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The place of the message in its topic, counted from 1.
    pub sequence: u64,
}

impl Topic {
    /// Returns the name of the topic.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Publishes one message with the default options; blocks while the outgoing buffer or the window
    /// is full. `Ok` means that the message will be sent; [`Client::flush`](crate::Client::flush)
    /// reports whether the broker accepted it.
    pub fn publish(&self, payload: impl AsRef<[u8]>) -> Result<(), ClientError> {
        let payload = payload.as_ref();
        let record = Record { headers: b"", payload, ttl_ms: 0, wants_ack: false };
        self.publish_record(record).map(|_| ())
    }

    /// Like [`publish`](Self::publish), with options.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use blipmq_client::{Client, PublishOptions};
    ///
    /// let client = Client::connect("127.0.0.1:7878")?;
    /// let quotes = client.topic("quotes.acme")?;
    /// quotes.publish_with("42.50", PublishOptions::new().ttl(Duration::from_millis(500)))?;
    ///
    /// let json = PublishOptions::new().header("content-type", "application/json");
    /// for quote in ["{\"bid\":42.5}", "{\"bid\":42.6}"] {
    ///     quotes.publish_with(quote, &json)?;
    /// }
    /// # client.flush()
    /// # ; Ok::<(), blipmq_client::ClientError>(())
    /// ```
    pub fn publish_with(
        &self,
        payload: impl AsRef<[u8]>,
        options: impl Borrow<PublishOptions>,
    ) -> Result<(), ClientError> {
        let record = options.borrow().record(payload.as_ref(), false)?;
        self.publish_record(record).map(|_| ())
    }

    /// Publishes one message and returns the sequence that the broker gave to it.
    ///
    /// Every call is a round trip, in which messages of several threads share frames and ACKs. A
    /// thread that need not wait for each message uses
    /// [`begin_publish_acked`](Self::begin_publish_acked).
    pub fn publish_acked(
        &self,
        payload: impl AsRef<[u8]>,
        options: impl Borrow<PublishOptions>,
    ) -> Result<Published, ClientError> {
        self.begin_publish_acked(payload, options)?.wait()
    }

    /// Publishes one message, and returns a ticket for the broker's confirmation without waiting for it.
    ///
    /// ```no_run
    /// use blipmq_client::{Client, PublishOptions};
    ///
    /// let client = Client::connect("127.0.0.1:7878")?;
    /// let orders = client.topic("orders.eu")?;
    /// let mut tickets = Vec::new();
    /// for order in ["one espresso", "two espressos"] {
    ///     tickets.push(orders.begin_publish_acked(order, PublishOptions::new())?);
    /// }
    /// for ticket in tickets {
    ///     println!("accepted as message {}", ticket.wait()?.sequence);
    /// }
    /// # Ok::<(), blipmq_client::ClientError>(())
    /// ```
    pub fn begin_publish_acked(
        &self,
        payload: impl AsRef<[u8]>,
        options: impl Borrow<PublishOptions>,
    ) -> Result<PublishTicket, ClientError> {
        let record = options.borrow().record(payload.as_ref(), true)?;
        let (place, answer) = self.publish_record(record)?.expect("an ACK was asked for");
        Ok(PublishTicket { topic: self.clone(), place, answer })
    }

    fn publish_record(&self, record: Record<'_>) -> Result<Option<(Place, Answer)>, ClientError> {
        let mut conversation = self.shared.lock_to_publish()?;
        let place = conversation.publish(self.index, record)?;
        let ticket = place.map(|place| (place, conversation.answer_of(self.index, place)));
        self.shared.send(conversation);
        Ok(ticket)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topic").field(&self.name).finish()
    }
}

/// A ticket for the broker's confirmation of one message. Dropping the ticket has no effect on the
/// message.
pub struct PublishTicket {
    pub(crate) topic: Topic,
    pub(crate) place: Place,
    pub(crate) answer: Answer,
}

impl PublishTicket {
    /// Waits for the confirmation.
    pub fn wait(&self) -> Result<Published, ClientError> {
        self.wait_until(None)
    }

    /// Like [`wait`](Self::wait), but fails after `timeout`. The broker may still accept the message.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Published, ClientError> {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    fn wait_until(&self, until: Option<Instant>) -> Result<Published, ClientError> {
        let shared = &self.topic.shared;
        shared.wait(shared.lock(), Wait::new("publish").until(until), |_| self.try_wait()).1
    }

    /// Returns the confirmation if it has arrived.
    pub fn try_wait(&self) -> Option<Result<Published, ClientError>> {
        Some(match self.answer.get()? {
            Err(failure) => Err(failure.clone()),
            Ok(taken) if u32::from(self.place.index) < taken.messages => {
                let sequence = taken.sequence.wrapping_add(u64::from(self.place.index));
                Ok(Published { sequence })
            }
            Ok(_) => Err(ClientError::NotTaken { topic: self.topic.name.clone() }),
        })
    }
}

impl fmt::Debug for PublishTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = &self.topic.name;
        f.debug_struct("PublishTicket").field("topic", topic).finish_non_exhaustive()
    }
}
