//! Checks that NATS clients got what was owed, once the world is at rest.

mod queues;

use std::collections::BTreeMap;

use super::client::{Client, State};
use super::ledger::{Ledger, Message, Subscription, Verdict};
use crate::truth::matches;

/// What the end of a world is checked against.
pub struct Circumstances<'a> {
    pub ledger: &'a Ledger,
    pub clients: &'a [Client],
    /// What each client was sent, by wire.
    pub sent: &'a dyn Fn(usize) -> &'a [u8],
    pub stopping: bool,
    /// The broker may have refused messages because the memory budget was used up.
    pub memory_is_tight: bool,
    /// The monitor was told of every gap: its own queue has lost nothing.
    pub monitor_gets_all: bool,
    /// Number of messages that all cores have dropped, expired or conflated.
    pub dropped: u64,
}

impl Circumstances<'_> {
    pub fn hold(&self) -> Verdict {
        let reported: u64 = self.ledger.gaps.iter().map(|gap| gap.messages).sum();
        let mut unreported = 0;
        for (index, subscription) in self.ledger.subscriptions.iter().enumerate() {
            let client = self.client_of(subscription);
            if subscription.queue.is_none() && !client.is_monitor {
                unreported += self.plain(index, subscription, client)?;
            }
        }
        unreported += self.queues()?;
        let accounted = reported + unreported + self.ledger.witness_missed;
        if accounted > self.dropped || (unreported > 0 && self.monitor_gets_all) {
            return Err(format!(
                "{unreported} messages neither came nor were reported, {reported} were; {} dropped",
                self.dropped
            ));
        }
        self.requests()
    }

    fn client_of(&self, subscription: &Subscription) -> &Client {
        let found = self.clients.iter().find(|client| client.wire == subscription.client);
        found.expect("subscriptions have clients")
    }

    /// Whether the broker must have accepted a message.
    fn is_accepted(&self, message: &Message) -> bool {
        if message.seen || self.memory_is_tight || self.stopping {
            return message.seen || (message.confirmed.is_some() && !self.memory_is_tight);
        }
        let publisher = self.clients.iter().find(|client| client.wire == message.publisher);
        let stays = publisher.is_some_and(|client| client.state == State::Open);
        message.confirmed.is_some() || stays
    }

    /// Whether a message came while a subscription was certainly active.
    fn is_within(&self, message: &Message, subscription: &Subscription, echo: bool) -> bool {
        if !matches(&subscription.pattern, &message.subject) {
            return false;
        }
        if message.publisher == subscription.client {
            echo && message.command > subscription.command
                && subscription.ended.is_none_or(|ended| message.command < ended)
        } else {
            subscription.ended.is_none()
                && subscription.confirmed.is_some_and(|confirmed| confirmed < message.written)
        }
    }

    /// Checks a plain subscription; returns how many messages it missed without a report.
    fn plain(
        &self,
        index: usize,
        subscription: &Subscription,
        client: &Client,
    ) -> Result<u64, String> {
        let reported = self.reported_to(subscription, client)?;
        self.nothing_came_and_was_missed(subscription, &reported)?;
        let mut unreported = self.unreported(subscription, client, &reported);
        if let Some(max) = subscription.max {
            let had = subscription.got.len() as u64 + reported.messages + subscription.of_system;
            // Messages that were missed without a report count as well, and are not known.
            let knows_all = self.monitor_gets_all && subscription.pattern != ">";
            if had >= max || self.dropped > 0 && !knows_all {
                return Ok(0);
            }
            unreported = unreported.min(max - had);
        }
        if unreported > 0 && (self.monitor_gets_all || self.dropped == 0) {
            let what: Vec<_> = (self.ledger.messages.iter().enumerate())
                .filter(|(number, message)| {
                    !subscription.has(*number)
                        && self.is_within(message, subscription, client.options.echo)
                })
                .map(|(number, message)| (number, &message.subject, message.sequence))
                .collect();
            return Err(format!(
                "{unreported} of {what:?} neither came nor were reported to subscription {index}, \
                 {subscription:?}; reported: {:?}",
                reported.ranges
            ));
        }
        Ok(unreported)
    }

    /// The gaps that were reported for a subscription.
    fn reported_to(
        &self,
        subscription: &Subscription,
        client: &Client,
    ) -> Result<Reported<'_>, String> {
        let gaps = self
            .ledger
            .gaps
            .iter()
            .filter(|gap| gap.client_id == client.client_id && gap.sid == subscription.sid);
        let mut reported = Reported::default();
        for gap in gaps {
            // Gaps of ephemeral subjects are reported together, under the subscription's pattern.
            if gap.first == 0 && gap.subject == subscription.pattern {
                reported.messages += gap.messages;
                reported.without_subject += gap.messages;
                continue;
            }
            if !matches(&subscription.pattern, &gap.subject) {
                return Err(format!("{gap:?} of {subscription:?}"));
            }
            reported.messages += gap.messages;
            let ranges = reported.ranges.entry(&gap.subject).or_default();
            ranges.push((gap.first, gap.first + gap.messages));
        }
        Ok(reported)
    }

    fn nothing_came_and_was_missed(
        &self,
        subscription: &Subscription,
        reported: &Reported<'_>,
    ) -> Verdict {
        for number in &subscription.got {
            let message = &self.ledger.messages[*number];
            if let Some(sequence) = self.sequence_of(message)
                && reported.covers(&message.subject, sequence)
            {
                return Err(format!("{message:?} came and was missed: {subscription:?}"));
            }
        }
        Ok(())
    }

    /// How many messages a subscription was owed that neither came nor were reported.
    fn unreported(
        &self,
        subscription: &Subscription,
        client: &Client,
        reported: &Reported<'_>,
    ) -> u64 {
        let stays = client.stayed();
        // By subject, where sequences are not known.
        let mut missing: BTreeMap<&str, u64> = BTreeMap::new();
        let mut unreported = 0;
        for (number, message) in self.ledger.messages.iter().enumerate() {
            let is_owed = subscription.late.contains(&number)
                || (stays
                    && self.is_accepted(message)
                    && self.is_within(message, subscription, client.options.echo));
            let is_owed = is_owed && (self.is_accepted(message) || !self.memory_is_tight);
            if !is_owed || subscription.has(number) {
                continue;
            }
            match self.sequence_of(message) {
                Some(sequence) => {
                    unreported += u64::from(!reported.covers(&message.subject, sequence));
                }
                None => *missing.entry(&message.subject).or_default() += 1,
            }
        }
        let mut unknown = 0;
        for (subject, missing) in missing {
            unknown += missing.saturating_sub(reported.messages_of(subject));
        }
        unreported + unknown.saturating_sub(reported.without_subject)
    }

    fn sequence_of(&self, message: &Message) -> Option<u64> {
        message.sequence.filter(|_| !self.ledger.ephemeral.contains(&message.subject))
    }

    /// Checks that a request without a subscription got one 503.
    fn requests(&self) -> Verdict {
        for message in self.ledger.messages.iter().filter(|message| message.wants_responder) {
            let Some(client) = self.clients.iter().find(|one| one.wire == message.publisher) else {
                continue;
            };
            // Limit: a client's own subscriptions count even without echo, which other cores do not
            // know.
            let listens = |one: &&Subscription| matches(&one.pattern, &message.subject);
            let mut listeners = self.ledger.subscriptions.iter().filter(listens);
            let witnessed =
                super::blip::WITNESSED.iter().any(|pattern| matches(pattern, &message.subject));
            let is_heard = witnessed
                || listeners.clone().any(|one| {
                    let stays = self.client_of(one).state == State::Open && one.max.is_none();
                    stays && self.is_within(message, one, client.options.echo)
                });
            let is_unheard = !witnessed && listeners.next().is_none();
            let is_due = is_unheard
                && !self.memory_is_tight
                && (message.confirmed.is_some() || (client.state == State::Open && !self.stopping));
            if message.unheard > 1
                || (is_heard && message.unheard > 0)
                || (is_due && message.unheard == 0)
            {
                return Err(format!(
                    "{message:?}: certainly matched: {is_heard}, certainly unmatched: {is_unheard}"
                ));
            }
        }
        Ok(())
    }
}

/// The gaps that were reported for one subscription.
#[derive(Default)]
struct Reported<'a> {
    /// Ranges of sequences by subject.
    ranges: BTreeMap<&'a str, Vec<(u64, u64)>>,
    messages: u64,
    /// Those of them that were reported under the pattern of the subscription.
    without_subject: u64,
}

impl Reported<'_> {
    fn covers(&self, subject: &str, sequence: u64) -> bool {
        let ranges = self.ranges.get(subject).into_iter().flatten();
        ranges.into_iter().any(|(first, end)| (*first..*end).contains(&sequence))
    }

    fn messages_of(&self, subject: &str) -> u64 {
        let ranges = self.ranges.get(subject).into_iter().flatten();
        ranges.map(|(first, end)| end - first).sum()
    }
}
