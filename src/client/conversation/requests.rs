//! Requests that wait for their replies, and topics to reply to, without sockets or clocks.
//!
//! A client has one inbox, `_INBOX.<token>.*`, and as many topics below it as requests were under
//! way at once: a broker never forgets a topic, so each request takes the lowest free slot. Because
//! slots are used again, a request carries a number in the header `correlation-id`, which the reply
//! repeats.
//!
//! # Always true
//! - A reply reaches its own request or none. A reply without the number, of a program that knows
//!   `reply-to` alone, counts only if no earlier request of the slot can still be answered.
//! - There are at most `REPLY_TOPICS_MAX` reply topics, plus those whose id or write is still due.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Asked, Conversation};
use crate::options::PublishOptions;
use crate::received::{Messages, OwnedMessage};
use crate::{ClientError, SubscribeOptions, Subscription};
use blipmq_protocol::SubscriptionId;
use blipmq_protocol::frame::PROVISIONAL;

/// The header that a reply repeats from its request.
pub(crate) const CORRELATION_ID: &str = "correlation-id";
/// Reply topics that stay open, for requesters that ask again.
pub(super) const REPLY_TOPICS_MAX: usize = 1_024;
/// Reply topics that are examined for one to forget, before one more is kept.
const FORGET_TRIES: usize = 8;

pub(super) struct Requests {
    /// `_INBOX.<token>.`
    prefix: String,
    inbox: Option<Subscription>,
    slots: Vec<Slot>,
    next_correlation: u64,
    /// Indexes of the reply topics, the oldest first.
    pub(super) reply_topics: VecDeque<usize>,
}

#[derive(Default)]
struct Slot {
    /// 0 when no request has the slot.
    correlation: u64,
    /// Whether a request of this slot was given up, so that its reply may come late.
    was_given_up: bool,
    reply: Option<OwnedMessage>,
}

/// A request under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    slot: usize,
    correlation: u64,
}

impl Requests {
    pub(super) fn new(token: u64) -> Requests {
        Requests {
            prefix: format!("_INBOX.{token:016x}."),
            inbox: None,
            slots: Vec::new(),
            next_correlation: 1,
            reply_topics: VecDeque::new(),
        }
    }

    pub(super) fn is_inbox(&self, id: SubscriptionId) -> bool {
        self.inbox.as_ref().is_some_and(|inbox| inbox.id == id)
    }

    /// Forgets an inbox that was refused: the next request asks for it again.
    pub(super) fn forget_inbox(&mut self, id: SubscriptionId) {
        self.inbox.take_if(|inbox| inbox.id == id);
    }
}

impl Conversation {
    /// Returns the slot of a topic, if the topic belongs to the inbox.
    pub(crate) fn inbox_slot(&self, topic: &str) -> Option<usize> {
        topic.strip_prefix(&self.requests.prefix)?.parse().ok()
    }

    /// Subscribes to the inbox, the first time. The answer is due before the first request.
    pub(crate) fn ask_for_inbox(&mut self) -> SubscriptionId {
        if let Some(inbox) = &self.requests.inbox {
            return inbox.id;
        }
        let pattern = format!("{}*", self.requests.prefix);
        let inbox = self.subscribe(&pattern, SubscribeOptions::new(), Asked::ByCall);
        self.requests.inbox.insert(inbox).id
    }

    /// Returns the answer to the inbox's SUBSCRIBE. After a refusal, the next request asks again.
    pub(crate) fn inbox_answer(&mut self, id: SubscriptionId) -> Option<Result<(), ClientError>> {
        let answer = self.take_answer(id)?;
        if answer.is_err() {
            self.requests.inbox = None;
        }
        Some(answer)
    }

    /// Takes a slot for a request, and adds the headers by which its reply is found.
    pub(crate) fn begin_request(&mut self, options: PublishOptions) -> (Request, PublishOptions) {
        let requests = &mut self.requests;
        let free = requests.slots.iter().position(|slot| slot.correlation == 0);
        let slot = free.unwrap_or_else(|| {
            requests.slots.push(Slot::default());
            requests.slots.len() - 1
        });
        let correlation = requests.next_correlation;
        requests.next_correlation += 1;
        requests.slots[slot].correlation = correlation;
        let options = options
            .reply_to(format!("{}{slot}", requests.prefix))
            .header(CORRELATION_ID, correlation.to_string());
        (Request { slot, correlation }, options)
    }

    /// Takes the reply and frees the slot.
    pub(crate) fn take_reply(&mut self, request: Request) -> Option<OwnedMessage> {
        let slot = &mut self.requests.slots[request.slot];
        let reply = slot.reply.take()?;
        slot.correlation = 0;
        Some(reply)
    }

    /// Gives up a request whose reply nobody waits for any more.
    pub(crate) fn give_up(&mut self, request: Request) {
        let slot = &mut self.requests.slots[request.slot];
        if slot.correlation == request.correlation {
            slot.correlation = 0;
            slot.was_given_up |= slot.reply.take().is_none();
        }
    }

    /// Handles messages to a topic of the inbox.
    pub(crate) fn on_replies(&mut self, slot: usize, messages: &Messages) {
        let Some(slot) = self.requests.slots.get_mut(slot) else { return };
        for message in messages.iter() {
            let answers = match message.header(CORRELATION_ID) {
                Some(number) => number == slot.correlation.to_string().as_bytes(),
                None => !slot.was_given_up,
            };
            // The first reply counts; those of further repliers are dropped.
            if answers && slot.correlation != 0 && slot.reply.is_none() {
                slot.reply = Some(messages.owned(&message));
            }
        }
    }

    /// Opens the topic of a `reply-to`, which stays open for further replies.
    pub(crate) fn open_reply_topic(&mut self, name: &str) -> usize {
        if let Some(index) = self.topic_of_name.get(name) {
            return *index;
        }
        let forgotten = self.forget_reply_topic();
        let index = match forgotten {
            Some(index) => {
                self.reopen(index, name);
                index
            }
            None => self.open(name).0,
        };
        self.topics[index].is_for_replies = true;
        self.requests.reply_topics.push_back(index);
        index
    }

    /// Forgets a reply topic that nothing refers to, if there are enough of them. Returns its index.
    fn forget_reply_topic(&mut self) -> Option<usize> {
        let tries = match self.requests.reply_topics.len() {
            0..REPLY_TOPICS_MAX => 0,
            _ => FORGET_TRIES,
        };
        for _ in 0..tries {
            let index = self.requests.reply_topics.pop_front()?;
            let topic = &self.topics[index];
            // The caller has opened this topic too, and keeps its handle.
            if !topic.is_for_replies {
                continue;
            }
            // A request number may be used again when its OPEN is answered and no unwritten frame
            // carries it.
            let is_answered = !self.topic_of_request.contains_key(&topic.request);
            if is_answered && topic.published_in < self.batches_taken {
                let name = topic.name.clone();
                self.topic_of_name.remove(&name);
                return Some(index);
            }
            self.requests.reply_topics.push_back(index);
        }
        None
    }

    fn reopen(&mut self, index: usize, name: &str) {
        let request = self.topics[index].request;
        let name: Arc<str> = name.into();
        self.write_open(request, &name);
        self.out.set_topic(index, PROVISIONAL | request);
        self.topics[index] = super::Topic::new(name.clone(), request);
        self.topic_of_name.insert(name, index);
        self.topic_of_request.insert(request, index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::tests::conversation;
    use crate::outgoing::Record;
    use blipmq_protocol::{RequestId, TopicId};

    /// Goal: a replier to ever new requesters does not grow.
    /// Method: many times the bound, each answered by the broker and written before the next.
    #[test]
    fn topics_replied_to_are_bounded_and_request_numbers_are_used_again() {
        let mut conversation = conversation(None);
        for number in 0..5 * REPLY_TOPICS_MAX as u32 {
            let index = conversation.open_reply_topic(&format!("_INBOX.{number}.0"));
            let record = Record { headers: b"", payload: b"x", ttl_ms: 0, wants_ack: false };
            conversation.publish(index, record).unwrap();
            let mut batch = Vec::new();
            conversation.take_outgoing(&mut batch);
            let request = RequestId(conversation.topics[index].request);
            let name = conversation.topics[index].name.clone();
            conversation.on_topic(request, TopicId(number + 1), &name).unwrap();
        }
        assert_eq!(conversation.topics.len(), REPLY_TOPICS_MAX);
        assert_eq!(conversation.topic_of_name.len(), REPLY_TOPICS_MAX);
        assert_eq!(conversation.next_id, REPLY_TOPICS_MAX as u32 + 1);
    }

    #[test]
    fn topic_is_kept_while_a_frame_or_an_answer_needs_it_or_the_caller_has_it() {
        let mut conversation = conversation(None);
        for number in 0..=REPLY_TOPICS_MAX {
            conversation.open_reply_topic(&format!("_INBOX.{number}.0"));
        }
        assert_eq!(conversation.topics.len(), REPLY_TOPICS_MAX + 1, "none is answered");
        let (index, name) = conversation.open("_INBOX.0.0");
        let request = RequestId(conversation.topics[index].request);
        conversation.on_topic(request, TopicId(1), &name).unwrap();
        let mut batch = Vec::new();
        conversation.take_outgoing(&mut batch);
        for number in 0..100 {
            conversation.open_reply_topic(&format!("_INBOX.more.{number}"));
        }
        assert_eq!(conversation.open("_INBOX.0.0").0, index);
    }
}
