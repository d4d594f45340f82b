//! What NATS clients were owed, when nothing moves any more.

use std::collections::{BTreeMap, BTreeSet};

use super::client::{Client, Op, State, next_op, parse_info};
use super::ledger::{Ledger, Message, Subscription, Verdict};
use crate::truth::matches;

/// What the end of a world is judged by.
pub struct Circumstances<'a> {
    pub ledger: &'a Ledger,
    pub clients: &'a [Client],
    /// What was sent to each of them, by wire.
    pub sent: &'a dyn Fn(usize) -> &'a [u8],
    pub stopping: bool,
    /// The broker may have refused messages for want of memory.
    pub memory_is_tight: bool,
    /// The monitor has room for all it is told.
    pub monitor_gets_all: bool,
    /// What all cores have counted as dropped, expired or conflated.
    pub dropped: u64,
}

/// What members of queue groups were sent, whether they read it or not.
#[derive(Default)]
struct SentToMembers<'a> {
    /// The numbers of messages, by wire and sid.
    messages: BTreeMap<(usize, &'a str), BTreeSet<usize>>,
    /// As INFO gave them, by wire. Not as clients know them: one that vanishes before it reads INFO
    /// never learns its id, yet the monitor is notified of what that client missed as a member.
    client_ids: BTreeMap<usize, u64>,
}

impl Circumstances<'_> {
    pub fn hold(&self) -> Verdict {
        let told: u64 = self.ledger.gaps.iter().map(|gap| gap.messages).sum();
        let mut untold = 0;
        for (index, subscription) in self.ledger.subscriptions.iter().enumerate() {
            let client = self.client_of(subscription);
            if subscription.queue.is_none() && !client.is_monitor {
                untold += self.plain(index, subscription, client)?;
            }
        }
        untold += self.queues()?;
        let accounted = told + untold + self.ledger.witness_missed;
        if accounted > self.dropped || (untold > 0 && self.monitor_gets_all) {
            return Err(format!(
                "{untold} messages neither came nor were told, {told} were told; {} dropped",
                self.dropped
            ));
        }
        self.requests()
    }

    fn client_of(&self, subscription: &Subscription) -> &Client {
        let found = self.clients.iter().find(|client| client.wire == subscription.client);
        found.expect("subscriptions have clients")
    }

    /// Whether the broker must have taken a message.
    fn is_accepted(&self, message: &Message) -> bool {
        if message.seen || self.memory_is_tight || self.stopping {
            return message.seen || (message.confirmed.is_some() && !self.memory_is_tight);
        }
        let publisher = self.clients.iter().find(|client| client.wire == message.publisher);
        let stays = publisher.is_some_and(|client| client.state == State::Open);
        message.confirmed.is_some() || stays
    }

    /// Whether a message came while a subscription was surely in force.
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

    /// Returns how many messages a plain subscription missed that nobody was told of.
    fn plain(
        &self,
        index: usize,
        subscription: &Subscription,
        client: &Client,
    ) -> Result<u64, String> {
        let gaps = self
            .ledger
            .gaps
            .iter()
            .filter(|gap| gap.client_id == client.client_id && gap.sid == subscription.sid);
        let mut covered: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
        let (mut gapped, mut told_together) = (0, 0);
        for gap in gaps {
            // Subjects that are not kept are told together, under the subscription's own.
            if gap.first == 0 && gap.subject == subscription.pattern {
                gapped += gap.messages;
                told_together += gap.messages;
                continue;
            }
            if !matches(&subscription.pattern, &gap.subject) {
                return Err(format!("{gap:?} of {subscription:?}"));
            }
            gapped += gap.messages;
            covered.entry(&gap.subject).or_default().push((gap.first, gap.first + gap.messages));
        }
        for number in &subscription.got {
            let message = &self.ledger.messages[*number];
            if let Some(sequence) = self.sequence_of(message)
                && covers(&covered, &message.subject, sequence)
            {
                return Err(format!("{message:?} came and was missed: {subscription:?}"));
            }
        }
        let stays = client.stayed();
        let mut missing: BTreeMap<&str, u64> = BTreeMap::new();
        let mut untold = 0;
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
                    untold += u64::from(!covers(&covered, &message.subject, sequence));
                }
                None => *missing.entry(&message.subject).or_default() += 1,
            }
        }
        let mut unknown = 0;
        for (subject, missing) in missing {
            let told = covered.get(subject).into_iter().flatten();
            let told: u64 = told.map(|(first, end)| end - first).sum();
            unknown += missing.saturating_sub(told);
        }
        untold += unknown.saturating_sub(told_together);
        if let Some(max) = subscription.max {
            let had = subscription.got.len() as u64 + gapped + subscription.of_system;
            // What nobody was told of counts as well, and is not known.
            let knows_all = self.monitor_gets_all && subscription.pattern != ">";
            if had >= max || self.dropped > 0 && !knows_all {
                return Ok(0);
            }
            untold = untold.min(max - had);
        }
        if untold > 0 && (self.monitor_gets_all || self.dropped == 0) {
            let what: Vec<_> = (self.ledger.messages.iter().enumerate())
                .filter(|(number, message)| {
                    !subscription.has(*number)
                        && self.is_within(message, subscription, client.options.echo)
                })
                .map(|(number, message)| (number, &message.subject, message.sequence))
                .collect();
            return Err(format!(
                "{untold} of {what:?} neither came nor were told to subscription {index}, \
                 {subscription:?}; told: {covered:?}"
            ));
        }
        Ok(untold)
    }

    fn sequence_of(&self, message: &Message) -> Option<u64> {
        message.sequence.filter(|_| !self.ledger.passing.contains(&message.subject))
    }

    /// What members of queue groups were sent, also those that have vanished.
    fn sent_to_members(&self) -> Result<SentToMembers<'_>, String> {
        let mut sent = SentToMembers::default();
        let members = self.ledger.subscriptions.iter().filter(|one| one.queue.is_some());
        let wires: BTreeSet<usize> = members.map(|one| one.client).collect();
        for wire in wires {
            let mut rest = (self.sent)(wire);
            while let Some((op, len)) = next_op(rest)? {
                rest = &rest[len..];
                match op {
                    Op::Info(json) => {
                        sent.client_ids.insert(wire, parse_info(json)?.0);
                    }
                    Op::Message { sid, delivered_at } => {
                        if let Ok(number) = self.ledger.number_of(delivered_at.payload) {
                            sent.messages.entry((wire, sid)).or_default().insert(number);
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(sent)
    }

    /// Of queue groups each message goes to one member. Returns how many went to none, and nobody was
    /// told.
    fn queues(&self) -> Result<u64, String> {
        let all_stayed = |queue: &&String| !self.ledger.queues_left.contains(*queue);
        if let Some(queue) = self.ledger.queues_out_of_order.iter().find(all_stayed) {
            return Err(format!("{queue} is out of order, and nobody has left it"));
        }
        let sent = self.sent_to_members()?;
        let members = || self.ledger.subscriptions.iter().filter(|one| one.queue.is_some());
        let queues: BTreeSet<&str> = members().filter_map(|one| one.queue.as_deref()).collect();
        let mut untold = 0;
        for queue in queues {
            let members: Vec<&Subscription> =
                members().filter(|one| one.queue.as_deref() == Some(queue)).collect();
            let patterns: BTreeSet<&str> = members.iter().map(|one| &*one.pattern).collect();
            let shares_one_pattern = patterns.len() == 1;
            let left = self.ledger.queues_left.contains(queue);
            let kept = |member: &&Subscription| -> u64 {
                let client = self.client_of(member);
                let of_member = sent.messages.get(&(member.client, &*member.sid));
                let was_sent = of_member.map_or(0, |of_member| of_member.len() as u64);
                match member.max {
                    _ if client.stayed() => 0,
                    _ if client.has_offended() => u64::MAX / 1_024,
                    // Who says UNSUB is sent what it was dealt, and takes it along if it vanishes.
                    _ if member.ended.is_some() => u64::MAX / 1_024,
                    Some(max) => max.saturating_sub(was_sent),
                    None => 0,
                }
            };
            let mut may_be_lost: u64 = members.iter().map(kept).sum();
            for (number, message) in self.ledger.messages.iter().enumerate() {
                let has = |member: &&&Subscription| {
                    let of_member = sent.messages.get(&(member.client, &*member.sid));
                    of_member.is_some_and(|of_member| of_member.contains(&number))
                };
                let times = members.iter().filter(has).count();
                if times > 1 {
                    return Err(format!("{message:?} went to {times} members of {queue}"));
                }
                let keeps = |member: &&Subscription| {
                    let client = self.client_of(member);
                    // Limit: what the last member was dealt goes with it, also at an UNSUB.
                    client.stayed()
                        && member.max.is_none()
                        && member.ended.is_none()
                        && self.is_within(message, member, client.options.echo)
                };
                let is_owed = self.is_accepted(message)
                    && (shares_one_pattern || !left)
                    && members.iter().any(keeps);
                if !is_owed || times == 1 {
                    continue;
                }
                let is_told = self.ledger.gaps.iter().any(|gap| {
                    let of_member = |member: &&Subscription| {
                        gap.sid == member.sid
                            && sent.client_ids.get(&member.client) == Some(&gap.client_id)
                    };
                    let is_meant = match self.sequence_of(message) {
                        Some(sequence) => {
                            gap.subject == message.subject
                                && (gap.first..gap.first + gap.messages).contains(&sequence)
                        }
                        None => matches(&gap.subject, &message.subject),
                    };
                    is_meant && members.iter().any(of_member)
                });
                // Limit: who ends by a number or an offence keeps what it was dealt, and may vanish.
                if !is_told && may_be_lost > 0 {
                    may_be_lost -= 1;
                    continue;
                }
                if !is_told && self.monitor_gets_all {
                    let told: Vec<_> = self
                        .ledger
                        .gaps
                        .iter()
                        .filter(|gap| gap.subject == message.subject)
                        .collect();
                    return Err(format!(
                        "{number}, {message:?}, went to nobody of {queue}; told: {told:?}; \
                         members: {members:?}"
                    ));
                }
                untold += u64::from(!is_told);
            }
        }
        Ok(untold)
    }

    /// Who asks where nobody listens is told, once.
    fn requests(&self) -> Verdict {
        for message in self.ledger.messages.iter().filter(|message| message.wants_responder) {
            let Some(client) = self.clients.iter().find(|one| one.wire == message.publisher) else {
                continue;
            };
            // Limit: its own count as well when it wants no echo, for other cores do not know that.
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
                    "{message:?}: heard by somebody: {is_heard}, by nobody: {is_unheard}"
                ));
            }
        }
        Ok(())
    }
}

fn covers(covered: &BTreeMap<&str, Vec<(u64, u64)>>, subject: &str, sequence: u64) -> bool {
    let ranges = covered.get(subject).into_iter().flatten();
    ranges.into_iter().any(|(first, end)| (*first..*end).contains(&sequence))
}
