//! A topic to publish to, and the confirmations of messages, with `async` functions.

use std::borrow::Borrow;
use std::sync::Arc;

use super::wait::{publish, wait};
use crate::conversation::Answer;
use crate::outgoing::{Place, Record};
use crate::shared::Wait;
use crate::{ClientError, PublishOptions, Published};

/// A topic to publish to, from any task. A topic is cheap to clone.
#[derive(Clone, Debug)]
pub struct Topic {
    topic: crate::Topic,
}

impl Topic {
    pub(super) fn of(topic: crate::Topic) -> Topic {
        Topic { topic }
    }

    pub(super) fn blocking(&self) -> &crate::Topic {
        &self.topic
    }

    /// Returns the name of the topic.
    pub fn name(&self) -> &Arc<str> {
        self.topic.name()
    }

    /// Publishes one message with the default options; waits while the outgoing buffer or the
    /// window is full.
    pub async fn publish(&self, payload: impl AsRef<[u8]>) -> Result<(), ClientError> {
        self.publish_with(payload, PublishOptions::new()).await
    }

    /// Like [`publish`](Self::publish), with options.
    pub async fn publish_with(
        &self,
        payload: impl AsRef<[u8]>,
        options: impl Borrow<PublishOptions>,
    ) -> Result<(), ClientError> {
        let record = options.borrow().record(payload.as_ref(), false)?;
        self.publish_record(record).await.map(|_| ())
    }

    /// Publishes one message and returns the sequence that the broker gave to it.
    pub async fn publish_acked(
        &self,
        payload: impl AsRef<[u8]>,
        options: impl Borrow<PublishOptions>,
    ) -> Result<Published, ClientError> {
        self.begin_publish_acked(payload, options).await?.wait().await
    }

    /// Publishes one message, and returns a ticket for the broker's confirmation without waiting for it.
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

/// A ticket for the broker's confirmation of one message. Dropping the ticket has no effect on the
/// message.
#[derive(Debug)]
pub struct PublishTicket {
    ticket: crate::PublishTicket,
}

impl PublishTicket {
    /// Waits for the confirmation.
    pub async fn wait(&self) -> Result<Published, ClientError> {
        wait(&self.ticket.topic.shared, Wait::new("publish"), |_| self.ticket.try_wait()).await
    }

    /// Returns the confirmation if it has arrived.
    pub fn try_wait(&self) -> Option<Result<Published, ClientError>> {
        self.ticket.try_wait()
    }
}
