//! What is owed beyond live messages: retained ones to subscribers that asked for them, and each
//! message of a group to one member.

use blipmq::protocol::GapReason;

use crate::conversation::{Conversation, Cover, Subscription};
use crate::plan::Plan;
use crate::truth::{Topic, Truth, matches};

type Verdict = Result<(), String>;

impl Conversation {
    /// Whether the client stays to the end, so that everything is owed.
    pub fn stays(&self) -> bool {
        !self.abandoned && self.fatal.is_none() && self.fatal_expected.is_none()
    }

    /// Checks that every subscription that asked for retained messages got as many as it must.
    pub fn replays_owed(&self, truth: &Truth, plan: &Plan) -> Verdict {
        for subscription in self.subscriptions.values() {
            let asked = subscription.start != 0 && subscription.group.is_empty();
            let stays = self.stays() && subscription.ended.is_none();
            if !asked || !stays || subscription.subscribed.is_none() {
                continue;
            }
            for (index, topic) in truth.topics.iter().enumerate() {
                if matches(&subscription.pattern, &topic.name) {
                    let replayed = subscription.addressed.get(&index);
                    let replayed = replayed.map_or(&[][..], |replayed| &replayed[..]);
                    let verdict = replay_owed(subscription, topic, replayed, plan);
                    verdict.map_err(|what| format!("`{}`: {what}; {replayed:?}", topic.name))?;
                    let mut others = self.subscriptions.values().filter(|other| {
                        !std::ptr::eq(*other, subscription)
                            && other.group.is_empty()
                            && matches(&other.pattern, &topic.name)
                    });
                    let live = self.streams.get(&index).and_then(|stream| stream.covers.first());
                    if let (None, Some(live), Some(last)) = (others.next(), live, replayed.last())
                        && live.first < last.first + last.messages
                    {
                        return Err(format!("{live:?} came live, {last:?} was replayed"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The first message that such a subscription is owed live, as far as the client can know.
pub fn live_from(subscription: &Subscription, replayed: &[Cover], plan: &Plan) -> Option<u64> {
    match (replayed.last(), subscription.start) {
        (_, 0) => None,
        (Some(last), _) => Some(last.first + last.messages),
        // Nothing was retained from there on: the message is still to come.
        (None, 2) => Some(subscription.argument.max(1)),
        // Nothing was retained, so the topic had no messages.
        (None, _) => (subscription.argument > 0 && plan.retains_all()).then_some(1),
    }
}

fn replay_owed(
    subscription: &Subscription,
    topic: &Topic,
    replayed: &[Cover],
    plan: &Plan,
) -> Verdict {
    let until = |turn: u32| topic.accepted.partition_point(|accepted| accepted.turn <= turn) as u64;
    let subscribed = subscription.subscribed.expect("the caller looked");
    // The turn of SUBSCRIBE may have accepted some messages before it.
    let least = until(subscription.asked.saturating_sub(1));
    let most = until(subscribed);
    let (Some(first), Some(last)) = (replayed.first(), replayed.last()) else {
        let wants = match subscription.start {
            1 => subscription.argument > 0 && plan.retains_all(),
            _ => subscription.argument <= least,
        };
        return match wants && least > 0 {
            true => Err(format!("{least} were accepted before, nothing came")),
            false => Ok(()),
        };
    };
    let next = last.first + last.messages;
    if next - 1 < least || next - 1 > most {
        return Err(format!("replayed messages end at {next}, accepted were {least} to {most}"));
    }
    let capacity = u64::from(plan.settings.queues.topic_capacity);
    let came = next - first.first;
    if subscription.start == 1 {
        let owed = subscription.argument.min(capacity).min(next - 1);
        if came > subscription.argument || (plan.retains_all() && came < owed) {
            return Err(format!(
                "{came} messages were replayed, {} were asked for",
                subscription.argument
            ));
        }
    } else if first.first != subscription.argument.max(1) {
        return Err(format!("asked for from {}", subscription.argument));
    } else if first.gap == Some(GapReason::NoLongerKept)
        && plan.retains_all()
        && first.first + first.messages + capacity > next
    {
        return Err(format!("{first:?} must be retained, {capacity} are"));
    }
    Ok(())
}

/// Checks that while a group has a member, each message goes to some member or is reported to one.
pub fn groups(truth: &Truth, conversations: &[Conversation]) -> Verdict {
    for ((pattern, name), group) in &truth.groups {
        let members = || {
            conversations.iter().flat_map(move |conversation| {
                let subscriptions = conversation.subscriptions.values();
                let own = subscriptions
                    .filter(move |own| own.pattern == *pattern && own.group == *name && own.handed);
                own.map(move |own| (conversation, own))
            })
        };
        // A member that vanished may have taken messages along.
        if members().any(|(conversation, _)| !conversation.stays()) {
            continue;
        }
        let stays = members().filter(|(_, member)| member.ended.is_none());
        let Some(since) = stays.filter_map(|(_, member)| member.subscribed).min() else { continue };
        for (index, topic) in truth.topics.iter().enumerate() {
            if !matches(pattern, &topic.name) {
                continue;
            }
            for (sequence, accepted) in (1..).zip(&topic.accepted) {
                if accepted.turn > since && !group.accounted.contains_key(&(index, sequence)) {
                    return Err(format!(
                        "{sequence} of `{}`, accepted in turn {}, went to no member of {name} on \
                         {pattern}, which has one since turn {since}",
                        topic.name, accepted.turn
                    ));
                }
            }
        }
    }
    Ok(())
}
