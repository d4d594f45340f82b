//! Request and reply: a message that names a topic of this client's inbox, and the reply to it.
//!
//! Called by the caller's threads. Next on the path: `conversation::requests`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::conversation::{CORRELATION_ID, Conversation, Request};
use crate::shared::{Shared, Wait};
use crate::{Client, ClientError, Message, OwnedMessage, PublishOptions, Topic};
use blipmq_protocol::{SubscriptionId, name};

impl Client {
    /// Publishes a request and returns the first reply.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use blipmq_client::Client;
    ///
    /// let client = Client::connect("127.0.0.1:7878")?;
    /// let reply = client.request("prices.get", "espresso", Duration::from_secs(2))?;
    /// println!("{:?}", reply.payload);
    /// # Ok::<(), blipmq_client::ClientError>(())
    /// ```
    ///
    /// Fails with [`ClientError::NoReply`] after `timeout`. The request itself expires at that time too,
    /// so that no replier works for nothing. A reply never reaches a request other than its own.
    ///
    /// Replies are not events, but come in the same stream: if this client has subscriptions, another
    /// thread has to receive meanwhile.
    pub fn request(
        &self,
        topic: &str,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> Result<OwnedMessage, ClientError> {
        self.request_with(topic, payload, PublishOptions::new(), timeout)
    }

    /// Like [`request`](Self::request), with options. A time to live among them replaces that of the
    /// timeout.
    pub fn request_with(
        &self,
        topic: &str,
        payload: impl AsRef<[u8]>,
        options: PublishOptions,
        timeout: Duration,
    ) -> Result<OwnedMessage, ClientError> {
        let until = Instant::now().checked_add(timeout);
        let shared = &self.inner.shared;
        let inbox = self.ask_for_inbox()?;
        let wait = Wait::new("request").until(until);
        shared.wait(shared.lock(), wait, |now| now.inbox_answer(inbox)).1?;

        let topic = self.topic(topic)?;
        let wait = Wait { for_others: true, ..wait };
        let pending = PendingRequest::begin(&topic, payload.as_ref(), options, timeout)?;
        let (conversation, reply) =
            shared.wait(shared.lock(), wait, |now| now.take_reply(pending.request).map(Ok));
        drop(conversation);
        reply.map_err(|failure| pending.failure(failure))
    }

    /// Returns the subscription of the inbox, which may not be active yet.
    pub(crate) fn ask_for_inbox(&self) -> Result<SubscriptionId, ClientError> {
        let mut conversation = self.inner.shared.lock_to_send()?;
        let inbox = conversation.ask_for_inbox();
        self.inner.shared.send(conversation);
        Ok(inbox)
    }

    /// Replies to a message, on the topic that its header `reply-to` names.
    ///
    /// ```no_run
    /// use blipmq_client::{Client, Event};
    ///
    /// let client = Client::connect("127.0.0.1:7878")?;
    /// client.subscribe("prices.get", Default::default())?;
    /// while let Event::Messages(requests) = client.recv()? {
    ///     for request in requests.iter() {
    ///         client.reply(&request, "3.20")?;
    ///     }
    /// }
    /// # Ok::<(), blipmq_client::ClientError>(())
    /// ```
    ///
    /// A reply costs no round trip, not even the first one to a topic. The client keeps about a thousand
    /// reply topics open and forgets the oldest ones.
    pub fn reply(
        &self,
        message: &Message<'_>,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), ClientError> {
        self.reply_with(message, payload, PublishOptions::new())
    }

    /// Like [`reply`](Self::reply), with options.
    pub fn reply_with(
        &self,
        message: &Message<'_>,
        payload: impl AsRef<[u8]>,
        options: PublishOptions,
    ) -> Result<(), ClientError> {
        let options = reply_options(message, options);
        let record = options.record(payload.as_ref(), false)?;
        let topic = reply_topic(message)?;
        let mut conversation = self.inner.shared.lock_to_publish()?;
        let index = conversation.open_reply_topic(topic);
        conversation.publish(index, record)?;
        self.inner.shared.send(conversation);
        Ok(())
    }
}

/// A request under way. Dropping it frees its slot.
pub(crate) struct PendingRequest {
    pub(crate) shared: Arc<Shared>,
    pub(crate) request: Request,
    topic: Arc<str>,
    timeout: Duration,
}

impl PendingRequest {
    fn begin(
        topic: &Topic,
        payload: &[u8],
        options: PublishOptions,
        timeout: Duration,
    ) -> Result<PendingRequest, ClientError> {
        let mut conversation = topic.shared.lock_to_publish()?;
        let pending =
            PendingRequest::begin_in(&mut conversation, topic, payload, options, timeout)?;
        topic.shared.send(conversation);
        Ok(pending)
    }

    /// Publishes the request; the caller has found room for it.
    pub(crate) fn begin_in(
        conversation: &mut Conversation,
        topic: &Topic,
        payload: &[u8],
        mut options: PublishOptions,
        timeout: Duration,
    ) -> Result<PendingRequest, ClientError> {
        if options.ttl.is_none() && timeout.as_millis() < u128::from(u32::MAX) {
            options.ttl = Some(timeout.max(Duration::from_millis(1)));
        }
        let (request, options) = conversation.begin_request(options);
        let record = options.record(payload, false);
        match record.and_then(|record| conversation.publish(topic.index, record)) {
            Ok(_) => {
                let (shared, topic) = (topic.shared.clone(), topic.name.clone());
                Ok(PendingRequest { shared, request, topic, timeout })
            }
            Err(failure) => {
                conversation.give_up(request);
                Err(failure)
            }
        }
    }

    pub(crate) fn failure(&self, failure: ClientError) -> ClientError {
        match failure {
            ClientError::Timeout { .. } => {
                ClientError::NoReply { topic: self.topic.clone(), waited: self.timeout }
            }
            failure => failure,
        }
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        self.shared.lock().give_up(self.request);
    }
}

/// Returns the topic that a message names for its reply.
pub(crate) fn reply_topic<'a>(message: &Message<'a>) -> Result<&'a str, ClientError> {
    let Some(topic) = message.reply_to() else {
        return Err(ClientError::NoReplyTopic { topic: message.topic.to_owned() });
    };
    name::check_topic(topic)
        .map_err(|error| ClientError::BadTopic { topic: topic.to_owned(), error })?;
    Ok(topic)
}

/// Adds the header by which the requester finds its request.
pub(crate) fn reply_options(message: &Message<'_>, options: PublishOptions) -> PublishOptions {
    match message.header(CORRELATION_ID) {
        Some(number) => options.header(CORRELATION_ID, number),
        None => options,
    }
}
