//! Checks that each message of a queue group went to exactly one member.

use std::collections::{BTreeMap, BTreeSet};

use super::Circumstances;
use crate::nats::ledger::{Message, Subscription};
use crate::nats::op::{Op, next_op, parse_info};
use crate::truth::matches;

/// What members of queue groups were sent, whether they read it or not.
#[derive(Default)]
struct Sent<'a> {
    /// Numbers of messages, by wire and `sid`.
    messages: BTreeMap<(usize, &'a str), BTreeSet<usize>>,
    /// The id that INFO gave each client, by wire. Not the id that the client knows: a client that
    /// vanishes before it reads INFO never learns its id, yet the monitor is notified of what that
    /// client missed as a member.
    client_ids: BTreeMap<usize, u64>,
}

impl Circumstances<'_> {
    /// Checks all queue groups; returns how many messages went to no member without a report.
    pub(super) fn queues(&self) -> Result<u64, String> {
        let all_stayed = |queue: &&String| !self.ledger.queues_left.contains(*queue);
        if let Some(queue) = self.ledger.queues_out_of_order.iter().find(all_stayed) {
            return Err(format!("{queue} is out of order, and no member has left"));
        }
        let members = || self.ledger.subscriptions.iter().filter(|one| one.queue.is_some());
        let sent = self.sent_to_members(members().map(|one| one.client).collect())?;
        let queues: BTreeSet<&str> = members().filter_map(|one| one.queue.as_deref()).collect();
        let mut unreported = 0;
        for queue in queues {
            let members: Vec<&Subscription> =
                members().filter(|one| one.queue.as_deref() == Some(queue)).collect();
            unreported += self.queue(queue, &members, &sent)?;
        }
        Ok(unreported)
    }

    /// What these wires were sent; also those of vanished clients, whose messages do not come back.
    fn sent_to_members(&self, wires: BTreeSet<usize>) -> Result<Sent<'_>, String> {
        let mut sent = Sent::default();
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

    /// Checks one queue group.
    fn queue(
        &self,
        queue: &str,
        members: &[&Subscription],
        sent: &Sent<'_>,
    ) -> Result<u64, String> {
        let patterns: BTreeSet<&str> = members.iter().map(|one| &*one.pattern).collect();
        let shares_one_pattern = patterns.len() == 1;
        let left = self.ledger.queues_left.contains(queue);
        let mut may_be_lost: u64 =
            members.iter().map(|member| self.may_be_lost_with(member, sent)).sum();
        let mut unreported = 0;
        for (number, message) in self.ledger.messages.iter().enumerate() {
            let has = |member: &&&Subscription| {
                let of_member = sent.messages.get(&(member.client, &*member.sid));
                of_member.is_some_and(|of_member| of_member.contains(&number))
            };
            let times = members.iter().filter(has).count();
            if times > 1 {
                return Err(format!("{message:?} went to {times} members of {queue}"));
            }
            let is_owed = self.is_accepted(message)
                && (shares_one_pattern || !left)
                && members.iter().any(|member| self.is_owed_to_group(message, member));
            if !is_owed || times == 1 {
                continue;
            }
            let is_reported = self.is_reported_to(message, members, sent);
            // Limit: a member that ends by its maximum or an offence may vanish with what it was dealt.
            if !is_reported && may_be_lost > 0 {
                may_be_lost -= 1;
                continue;
            }
            if !is_reported && self.monitor_gets_all {
                return self.lost(queue, number, members);
            }
            unreported += u64::from(!is_reported);
        }
        Ok(unreported)
    }

    /// How many messages a member may have taken along when it vanished.
    fn may_be_lost_with(&self, member: &Subscription, sent: &Sent<'_>) -> u64 {
        let client = self.client_of(member);
        let of_member = sent.messages.get(&(member.client, &*member.sid));
        let was_sent = of_member.map_or(0, |of_member| of_member.len() as u64);
        match member.max {
            _ if client.stayed() => 0,
            _ if client.has_offended() => u64::MAX / 1_024,
            // After UNSUB a member is still sent what it was dealt, and takes it along if it vanishes.
            _ if member.ended.is_some() => u64::MAX / 1_024,
            Some(max) => max.saturating_sub(was_sent),
            None => 0,
        }
    }

    /// Whether a member guarantees that its group gets a message.
    fn is_owed_to_group(&self, message: &Message, member: &Subscription) -> bool {
        let client = self.client_of(member);
        // Limit: what the last member was dealt is lost with that member, also at an UNSUB.
        client.stayed()
            && member.max.is_none()
            && member.ended.is_none()
            && self.is_within(message, member, client.options.echo)
    }

    /// Whether some member was reported to have missed a message.
    fn is_reported_to(
        &self,
        message: &Message,
        members: &[&Subscription],
        sent: &Sent<'_>,
    ) -> bool {
        self.ledger.gaps.iter().any(|gap| {
            let of_member = |member: &&Subscription| {
                gap.sid == member.sid && sent.client_ids.get(&member.client) == Some(&gap.client_id)
            };
            let is_meant = match self.sequence_of(message) {
                Some(sequence) => {
                    gap.subject == message.subject
                        && (gap.first..gap.first + gap.messages).contains(&sequence)
                }
                None => matches(&gap.subject, &message.subject),
            };
            is_meant && members.iter().any(of_member)
        })
    }

    fn lost(&self, queue: &str, number: usize, members: &[&Subscription]) -> Result<u64, String> {
        let message = &self.ledger.messages[number];
        let gaps = self.ledger.gaps.iter();
        let reported: Vec<_> = gaps.filter(|gap| gap.subject == message.subject).collect();
        Err(format!(
            "{number}, {message:?}, went to no member of {queue}; reported: {reported:?}; \
             members: {members:?}"
        ))
    }
}
