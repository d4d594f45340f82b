//! What clients of a NATS world have written and read, in the order of events.
//!
//! The checks rely only on what clients can observe: what a client writes after a read happens
//! after what was read. So they hold for every broker that keeps the promises.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::truth::matches;

pub type Verdict = Result<(), String>;

/// Prefix of the subjects on which gaps are reported.
pub const GAP_PREFIX: &str = "$SYS.GAP.";

/// Number of digits at the start of a payload, which are the number of the message.
const NUMBER_LEN: usize = 8;

/// A message that a client has written.
#[derive(Clone)]
pub struct Message {
    /// The wire of the publisher.
    pub publisher: usize,
    /// The number of the command, counted by the publisher.
    pub command: u64,
    pub subject: String,
    pub reply: Option<String>,
    /// The headers as NATS clients get them.
    pub headers: Vec<u8>,
    pub payload: Vec<u8>,
    pub written: u64,
    /// When the publisher has read the confirmation.
    pub confirmed: Option<u64>,
    /// Whether some subscriber has got the message.
    pub seen: bool,
    /// Whether the publisher gets a 503 if there is no subscription.
    pub wants_responder: bool,
    /// Number of 503s that the publisher got.
    pub unheard: u32,
    /// The sequence in its topic, as the witness has seen.
    pub sequence: Option<u64>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("publisher", &self.publisher)
            .field("command", &self.command)
            .field("subject", &self.subject)
            .field("reply", &self.reply)
            .field("payload_len", &self.payload.len())
            .field("written", &self.written)
            .field("confirmed", &self.confirmed)
            .field("seen", &self.seen)
            .field("unheard", &self.unheard)
            .field("sequence", &self.sequence)
            .finish()
    }
}

/// A subscription made by SUB.
pub struct Subscription {
    /// The wire of the client.
    pub client: usize,
    pub sid: String,
    pub pattern: String,
    pub queue: Option<String>,
    pub command: u64,
    /// When the client has read that the subscription is active.
    pub confirmed: Option<u64>,
    /// The maximum of an UNSUB in the same write as SUB.
    pub max: Option<u64>,
    /// The number of the command that ended the subscription.
    pub ended: Option<u64>,
    /// Whether the client has read the confirmation of the end.
    pub end_confirmed: bool,
    /// Messages that the client has read.
    pub got: Vec<usize>,
    /// Number of messages of the broker itself that came.
    pub of_system: u64,
    got_set: BTreeSet<usize>,
    /// The last message, by publisher and subject.
    last: BTreeMap<(usize, String), usize>,
    /// Messages that were due before a PONG and did not come; they must be reported as missed.
    pub late: BTreeSet<usize>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("client", &self.client)
            .field("sid", &self.sid)
            .field("pattern", &self.pattern)
            .field("queue", &self.queue)
            .field("command", &self.command)
            .field("confirmed", &self.confirmed)
            .field("max", &self.max)
            .field("ended", &self.ended)
            .field("end_confirmed", &self.end_confirmed)
            .field("got", &self.got)
            .field("late", &self.late)
            .finish()
    }
}

impl Subscription {
    pub fn has(&self, message: usize) -> bool {
        self.got_set.contains(&message)
    }
}

/// A gap that was reported to the monitor.
#[derive(Debug)]
pub struct Gap {
    pub client_id: u64,
    pub sid: String,
    pub subject: String,
    pub first: u64,
    pub messages: u64,
}

#[derive(Default)]
pub struct Ledger {
    pub clock: u64,
    pub messages: Vec<Message>,
    pub subscriptions: Vec<Subscription>,
    pub gaps: Vec<Gap>,
    /// Subjects of ephemeral topics.
    pub ephemeral: BTreeSet<String>,
    /// Queue groups that some member has left.
    pub queues_left: BTreeSet<String>,
    /// Queue groups with a member that got an older message after a later one.
    pub queues_out_of_order: BTreeSet<String>,
    /// Number of messages that the witness missed, as GAPs reported.
    pub witness_missed: u64,
}

/// A message as a client reads it.
pub struct Delivered<'a> {
    pub subject: &'a str,
    pub reply: Option<&'a str>,
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

impl Ledger {
    pub fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Adds a message that is about to be written; returns its number.
    pub fn message(&mut self, message: Message, filler: &[u8]) -> usize {
        let number = self.messages.len();
        let mut payload = format!("{number:0NUMBER_LEN$}").into_bytes();
        payload.extend_from_slice(filler);
        self.messages.push(Message { payload, ..message });
        number
    }

    /// The number of a message, by its payload.
    pub fn number_of(&self, payload: &[u8]) -> Result<usize, String> {
        let digits = payload.get(..NUMBER_LEN).and_then(|digits| std::str::from_utf8(digits).ok());
        let number = digits.and_then(|digits| digits.parse().ok());
        let number = number.filter(|number| *number < self.messages.len());
        number.ok_or_else(|| format!("a message that no client wrote: {payload:?}"))
    }

    pub fn subscribe(
        &mut self,
        client: usize,
        command: u64,
        sid: &str,
        pattern: &str,
        queue: Option<&str>,
    ) -> usize {
        self.subscriptions.push(Subscription {
            client,
            sid: sid.to_string(),
            pattern: pattern.to_string(),
            queue: queue.map(str::to_string),
            command,
            confirmed: None,
            max: None,
            ended: None,
            end_confirmed: false,
            got: Vec::new(),
            of_system: 0,
            got_set: BTreeSet::new(),
            last: BTreeMap::new(),
            late: BTreeSet::new(),
        });
        self.subscriptions.len() - 1
    }

    /// Checks a message that a client has read for one of its subscriptions. `echo` and `headers`
    /// are the options of CONNECT.
    pub fn deliver(
        &mut self,
        index: usize,
        (echo, headers): (bool, bool),
        delivered: &Delivered<'_>,
    ) -> Result<usize, String> {
        let number = self.number_of(delivered.payload)?;
        let subscription = &mut self.subscriptions[index];
        let message = &mut self.messages[number];
        let is_new = subscription.got_set.insert(number);
        let (own, message_seen) = (&*subscription, &*message);
        let wrong = |what: &str| Err(format!("{what}: {message_seen:?} to {own:?}"));
        if delivered.subject != message.subject
            || delivered.reply != message.reply.as_deref()
            || delivered.payload != message.payload
            || delivered.headers != if headers { &message.headers[..] } else { b"" }
        {
            return wrong("not as it was published");
        }
        if !matches(&subscription.pattern, &message.subject) {
            return wrong("not what was subscribed to");
        }
        let is_own = message.publisher == subscription.client;
        if is_own && !echo {
            return wrong("its own, which it does not want");
        }
        // Messages that wait for a group may go to members that join later.
        if is_own && subscription.queue.is_none() && message.command < subscription.command {
            return wrong("published before the SUB");
        }
        if is_own && subscription.ended.is_some_and(|ended| message.command > ended) {
            return wrong("published after the UNSUB");
        }
        if subscription.end_confirmed {
            return wrong("after the UNSUB was confirmed");
        }
        if subscription.late.contains(&number) {
            return wrong("after the PONG that follows it");
        }
        if !is_new {
            return wrong("once more");
        }
        let key = (message.publisher, message.subject.clone());
        let last = subscription.last.insert(key, number);
        if last.is_some_and(|last| last > number) {
            match &subscription.queue {
                // Allowed if some member has left, which is checked at the end.
                Some(queue) => self.queues_out_of_order.insert(queue.clone()),
                None => return Err(format!("{number} after {last:?}, to {subscription:?}")),
            };
        }
        subscription.got.push(number);
        // A read of the broker may end between SUB and UNSUB, and messages may come between the
        // two.
        let was_limited = subscription.confirmed.is_some_and(|at| at < message.written);
        if was_limited && subscription.max.is_some_and(|max| subscription.got.len() as u64 > max) {
            return Err(format!("more than it asked for: {subscription:?}"));
        }
        message.seen = true;
        Ok(number)
    }

    /// Adds a gap report that the monitor has read.
    pub fn report_gap(&mut self, subject: &str, payload: &[u8]) -> Verdict {
        let document: Value =
            serde_json::from_slice(payload).map_err(|error| format!("no JSON: {error}"))?;
        let number = |key: &str| {
            document[key].as_u64().ok_or_else(|| format!("no number `{key}` in {document}"))
        };
        let text = |key: &str| {
            let text = document[key].as_str().ok_or_else(|| format!("no `{key}` in {document}"));
            text.map(str::to_string)
        };
        let gap = Gap {
            client_id: number("client_id")?,
            sid: text("sid")?,
            subject: text("subject")?,
            first: number("first")?,
            messages: number("messages")?,
        };
        let reason = text("reason")?;
        if subject != format!("{GAP_PREFIX}{}", gap.client_id)
            || gap.messages == 0
            || !["overflow", "expired", "conflated"].contains(&&*reason)
        {
            return Err(format!("on {subject}: {document}"));
        }
        self.gaps.push(gap);
        Ok(())
    }
}
